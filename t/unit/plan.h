
/* For tests of plans: a document that is right, and one call to read it. */


#ifndef _PLAN_H_INCLUDED_
#define _PLAN_H_INCLUDED_


#include <stdio.h>

#include "codec.h"
#include "mark_plan.h"


#define PLAN_NOW     1763800100.0

#define PLAN_HEAD                                                             \
    "{\"format\": 1, \"pool\": \"resnet\", \"version\": 42,"                  \
    " \"issued\": 1763800000.25, \"expires\": 1763800600"

#define PLAN_PEER    "{\"address\": \"10.0.0.7:8501\"}"
#define PLAN_PEERS   ", \"peers\": [" PLAN_PEER "]"


static mark_plan_error_t  plan_error;


static inline mark_span_t
plan_span(const char *text)
{
    mark_span_t  span;

    span.data = (const uint8_t *) text;
    span.len = strlen(text);

    return span;
}


/* From a copy of its exact length, so that sanitizers see its end. */

static inline mark_plan_t *
plan_read(const char *text, double now, const mark_plan_limits_t *limits)
{
    char                *copy;
    size_t               len;
    mark_plan_t         *plan;
    mark_plan_limits_t   any;

    memset(&any, 0, sizeof(mark_plan_limits_t));
    plan = NULL;

    len = strlen(text);
    copy = malloc(len ? len : 1);
    memcpy(copy, text, len);

    if (mark_plan_parse(copy, len, limits ? limits : &any, now,
                        &codec_memory, &plan, &plan_error)
        != MARK_PLAN_OK)
    {
        plan = NULL;
    }

    free(copy);

    return plan;
}


#endif /* _PLAN_H_INCLUDED_ */
