
/* Plans are written by the tables of the schema, without what is preset. */


#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mark_plan_schema.h"
#include "mark_plan_text.h"


static void mark_plan_object(mark_plan_text_t *text,
    const mark_plan_field_t *fields, const void *source, size_t level);
static int mark_plan_said(const mark_plan_field_t *field, const void *source);
static void mark_plan_put_value(mark_plan_text_t *text,
    const mark_plan_field_t *field, const void *source, size_t level);
static void mark_plan_put_peers(mark_plan_text_t *text,
    const mark_plan_t *plan);


size_t
mark_plan_serialise(const mark_plan_t *plan, char *buf, size_t size)
{
    mark_plan_text_t  text;

    text.buf = buf;
    text.size = size;
    text.len = 0;

    mark_plan_object(&text, mark_plan_fields, plan, 0);
    mark_plan_puts(&text, "\n");

    return text.len;
}


/* A line for each member of the document and for each peer. */

static void
mark_plan_object(mark_plan_text_t *text, const mark_plan_field_t *fields,
    const void *source, size_t level)
{
    int                       first;
    const void               *value;
    const mark_plan_field_t  *field;

    first = 1;

    mark_plan_puts(text, "{");

    for (field = fields; field->name; field++) {
        value = (const char *) source + field->offset;

        if (!field->required && !mark_plan_said(field, value)) {
            continue;
        }

        if (level == 0) {
            mark_plan_puts(text, first ? "\n    \"" : ",\n    \"");

        } else {
            mark_plan_puts(text, first ? "\"" : ", \"");
        }

        mark_plan_puts(text, field->name);
        mark_plan_puts(text, "\": ");
        mark_plan_put_value(text, field, value, level);

        first = 0;
    }

    mark_plan_puts(text, level == 0 ? "\n}" : "}");
}


static int
mark_plan_said(const mark_plan_field_t *field, const void *source)
{
    switch (field->type) {

    case MARK_PLAN_FIELD_TEXT:
        return ((const mark_span_t *) source)->len != 0;

    case MARK_PLAN_FIELD_NUMBER:
    case MARK_PLAN_FIELD_DELAY:
        return *(const double *) source != field->preset;

    case MARK_PLAN_FIELD_OBJECT:
        return *(const int *) source;

    default: /* int */
        return *(const int *) source != field->preset;
    }
}


static void
mark_plan_put_value(mark_plan_text_t *text, const mark_plan_field_t *field,
    const void *source, size_t level)
{
    char  buf[MARK_PLAN_NUMBER];

    switch (field->type) {

    case MARK_PLAN_FIELD_TEXT:
    case MARK_PLAN_FIELD_ADDRESS:
    case MARK_PLAN_FIELD_DOCUMENT:
        mark_plan_put_string(text, source);
        return;

    case MARK_PLAN_FIELD_VERSION:
        (void) snprintf(buf, sizeof(buf), "%" PRIu64,
                        *(const uint64_t *) source);
        break;

    case MARK_PLAN_FIELD_INTEGER:
        (void) snprintf(buf, sizeof(buf), "%d", *(const int *) source);
        break;

    case MARK_PLAN_FIELD_DELAY:
        if (*(const double *) source == MARK_PLAN_AUTO) {
            mark_plan_puts(text, "\"auto\"");
            return;
        }

        /* fall through */

    case MARK_PLAN_FIELD_NUMBER:
        mark_plan_number(buf, *(const double *) source);
        break;

    case MARK_PLAN_FIELD_FLAG:
        mark_plan_puts(text, *(const int *) source ? "true" : "false");
        return;

    case MARK_PLAN_FIELD_STATE:
        mark_plan_puts(text, "\"");
        mark_plan_puts(text, mark_plan_states[*(const int *) source]);
        mark_plan_puts(text, "\"");
        return;

    case MARK_PLAN_FIELD_OBJECT:
        mark_plan_object(text, field->members, source, level + 1);
        return;

    case MARK_PLAN_FIELD_PEERS:
        mark_plan_put_peers(text, (const void *) ((const char *) source
                                                  - field->offset));
        return;
    }

    mark_plan_puts(text, buf);
}


static void
mark_plan_put_peers(mark_plan_text_t *text, const mark_plan_t *plan)
{
    size_t  i;

    mark_plan_puts(text, "[");

    for (i = 0; i < plan->npeers; i++) {
        mark_plan_puts(text, i ? ",\n        " : "\n        ");
        mark_plan_object(text, mark_plan_peer_fields, &plan->peers[i], 2);
    }

    mark_plan_puts(text, plan->npeers ? "\n    ]" : "]");
}
