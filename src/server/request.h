/*
 * A request on its way through the server.
 */


#ifndef _MARK_SERVER_REQUEST_H_INCLUDED_
#define _MARK_SERVER_REQUEST_H_INCLUDED_


#include <stddef.h>

#include "instances.h"
#include "model.h"


/* Bytes free before the body, for the head of an echo's answer. */
#define REQUEST_HEADROOM    16


typedef enum {
    REQUEST_HEALTH = 1,
    REQUEST_METRICS,
    REQUEST_STATUS,
    REQUEST_METADATA,
    REQUEST_PREDICT
} request_type_t;


typedef struct {
    request_type_t    type;
    model_t          *model;

    char             *buf;            /* headroom and body */
    size_t            len;            /* of the body */
    size_t            size;           /* of the buffer, without headroom */

    job_t             job;            /* its rows count for all models */
    instances_t       instances;

    int               status;         /* of the answer */
    const char       *type_text;      /* of the answer */
    char             *text;           /* the answer: in base, to be freed */
    size_t            text_len;
    char             *base;
    const char       *allow;          /* the method, if it was the wrong one */
} request_t;


/*
 * Finds out what is asked for.  Returns 0, or -1 with the answer, an error,
 * made.
 */
int request_route(request_t *r, const char *method, const char *url);

/* Takes a part of the body; -1 if there is no memory. */
int request_append(request_t *r, const char *data, size_t len);

/*
 * Once the body is here: makes the answer and returns 0, or returns 1 if the
 * job is to be run on the model's executor.
 */
int request_begin(request_t *r);

/* Makes the answer from the job that was run. */
void request_finish(request_t *r);

void request_error(request_t *r, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Frees all that r holds; base is taken out before if it is sent. */
void request_free(request_t *r);


#endif /* _MARK_SERVER_REQUEST_H_INCLUDED_ */
