
/* Objects are read by their tables, as strictly as these say. */


#include <string.h>

#include "mark_plan_schema.h"
#include "mark_plan_address.h"


static mark_plan_status_t mark_plan_unknown(mark_plan_reader_t *r,
    const json_t *object, const mark_plan_field_t *fields);
static void mark_plan_preset(const mark_plan_field_t *field, void *target);
static mark_plan_status_t mark_plan_value(mark_plan_reader_t *r,
    const json_t *value, const mark_plan_field_t *field, void *target);
static mark_plan_status_t mark_plan_text(mark_plan_reader_t *r,
    const json_t *value, const mark_plan_field_t *field, mark_span_t *text);
static mark_plan_status_t mark_plan_integer(mark_plan_reader_t *r,
    const json_t *value, const mark_plan_field_t *field, void *target);
static mark_plan_status_t mark_plan_double(mark_plan_reader_t *r,
    const json_t *value, const mark_plan_field_t *field, double *number);
static mark_plan_status_t mark_plan_state(mark_plan_reader_t *r,
    const json_t *value, const mark_plan_field_t *field, int *state);
static mark_plan_status_t mark_plan_peers(mark_plan_reader_t *r,
    const json_t *value, const mark_plan_field_t *field, mark_plan_t *plan);


mark_plan_status_t
mark_plan_read(mark_plan_reader_t *r, const json_t *object,
    const mark_plan_field_t *fields, void *target)
{
    size_t                    known;
    const json_t             *value;
    mark_plan_status_t        status;
    const mark_plan_field_t  *field;

    known = 0;

    for (field = fields; field->name; field++) {
        value = json_object_get(object, field->name);

        if (value != NULL) {
            known++;

        } else if (field->required) {

            /* a key that was misspelled tells more than one that is missing */

            status = mark_plan_unknown(r, object, fields);

            if (status != MARK_PLAN_OK) {
                return status;
            }
        }

        status = mark_plan_read_field(r, object, field, target);

        if (status != MARK_PLAN_OK) {
            return status;
        }
    }

    if (known == json_object_size(object)) {
        return MARK_PLAN_OK;
    }

    return mark_plan_unknown(r, object, fields);
}


static mark_plan_status_t
mark_plan_unknown(mark_plan_reader_t *r, const json_t *object,
    const mark_plan_field_t *fields)
{
    int                       n;
    char                      names[256];
    void                     *iter;
    size_t                    len;
    const char               *key;
    const mark_plan_field_t  *field;

    iter = json_object_iter((json_t *) object);

    for ( /* void */ ; iter; iter = json_object_iter_next((json_t *) object,
                                                          iter))
    {
        key = json_object_iter_key(iter);

        for (field = fields; field->name; field++) {
            if (strcmp(field->name, key) == 0) {
                break;
            }
        }

        if (field->name) {
            continue;
        }

        len = 0;

        for (field = fields; field->name; field++) {
            n = snprintf(names + len, sizeof(names) - len, "%s%s",
                         field == fields ? "" : field[1].name ? ", " : " and ",
                         field->name);
            len += n;
        }

        return mark_plan_refuse(r, MARK_PLAN_SCHEMA, key,
                                "unknown, the keys here are %s", names);
    }

    return MARK_PLAN_OK;
}


mark_plan_status_t
mark_plan_read_field(mark_plan_reader_t *r, const json_t *object,
    const mark_plan_field_t *field, void *target)
{
    const json_t        *value;
    mark_plan_status_t   status;

    value = json_object_get(object, field->name);
    target = (char *) target + field->offset;

    if (value == NULL) {
        if (field->required) {
            return mark_plan_refuse(r, MARK_PLAN_SCHEMA, field->name,
                                    "is required");
        }

        mark_plan_preset(field, target);

        return MARK_PLAN_OK;
    }

    r->steps[r->depth++].name = field->name;

    status = mark_plan_value(r, value, field, target);

    r->depth--;

    return status;
}


static void
mark_plan_preset(const mark_plan_field_t *field, void *target)
{
    const mark_plan_field_t  *member;

    switch (field->type) {

    case MARK_PLAN_FIELD_INTEGER:
    case MARK_PLAN_FIELD_FLAG:
    case MARK_PLAN_FIELD_STATE:
        *(int *) target = field->preset;
        return;

    case MARK_PLAN_FIELD_NUMBER:
    case MARK_PLAN_FIELD_DELAY:
        *(double *) target = field->preset;
        return;

    case MARK_PLAN_FIELD_OBJECT:
        for (member = field->members; member->name; member++) {
            mark_plan_preset(member, (char *) target + member->offset);
        }

        return;

    default: /* zeros as they are */
        return;
    }
}


static mark_plan_status_t
mark_plan_value(mark_plan_reader_t *r, const json_t *value,
    const mark_plan_field_t *field, void *target)
{
    mark_span_t  *document;

    switch (field->type) {

    case MARK_PLAN_FIELD_TEXT:
    case MARK_PLAN_FIELD_ADDRESS:
        return mark_plan_text(r, value, field, target);

    case MARK_PLAN_FIELD_DOCUMENT:
        if (!json_is_string(value)) {
            return mark_plan_refuse_value(r, field, value, NULL);
        }

        document = target;
        document->data = (const uint8_t *) json_string_value(value);
        document->len = json_string_length(value);

        return MARK_PLAN_OK;

    case MARK_PLAN_FIELD_VERSION:
    case MARK_PLAN_FIELD_INTEGER:
        return mark_plan_integer(r, value, field, target);

    case MARK_PLAN_FIELD_DELAY:
        if (json_is_string(value)
            && strcmp(json_string_value(value), "auto") == 0)
        {
            *(double *) target = MARK_PLAN_AUTO;
            return MARK_PLAN_OK;
        }

        /* fall through */

    case MARK_PLAN_FIELD_NUMBER:
        return mark_plan_double(r, value, field, target);

    case MARK_PLAN_FIELD_FLAG:
        if (!json_is_boolean(value)) {
            return mark_plan_refuse_value(r, field, value, NULL);
        }

        *(int *) target = json_is_true(value);

        return MARK_PLAN_OK;

    case MARK_PLAN_FIELD_STATE:
        return mark_plan_state(r, value, field, target);

    case MARK_PLAN_FIELD_PEERS:
        return mark_plan_peers(r, value, field,
                               (void *) ((char *) target - field->offset));

    default: /* MARK_PLAN_FIELD_OBJECT */
        if (!json_is_object(value)) {
            return mark_plan_refuse_value(r, field, value, NULL);
        }

        *(int *) target = 1;

        return mark_plan_read(r, value, field->members, target);
    }
}


static mark_plan_status_t
mark_plan_text(mark_plan_reader_t *r, const json_t *value,
    const mark_plan_field_t *field, mark_span_t *text)
{
    size_t                i;
    uint8_t              *copy;
    const char           *why;
    mark_span_t           s;
    mark_plan_address_t   address;

    if (!json_is_string(value)) {
        return mark_plan_refuse_value(r, field, value, NULL);
    }

    s.data = (const uint8_t *) json_string_value(value);
    s.len = json_string_length(value);

    if (field->type == MARK_PLAN_FIELD_ADDRESS) {
        why = mark_plan_address_parse(&address, &s);

        if (why != NULL) {
            return mark_plan_refuse_value(r, field, value, why);
        }

    } else {

        if (s.len < field->min || s.len > field->max) {
            return mark_plan_refuse_value(r, field, value, NULL);
        }

        for (i = 0; i < s.len; i++) {
            if (s.data[i] < 0x20 || s.data[i] == 0x7f) {
                return mark_plan_refuse_value(r, field, value, NULL);
            }
        }
    }

    copy = mark_memory_alloc(r->memory, s.len + 1);

    if (copy == NULL) {
        return mark_plan_fail(r->error, MARK_PLAN_MEMORY, "no memory");
    }

    memcpy(copy, s.data, s.len + 1);

    text->data = copy;
    text->len = s.len;

    return MARK_PLAN_OK;
}


/* A real is no integer, even if it is whole: 64-bit integers stay exact. */

static mark_plan_status_t
mark_plan_integer(mark_plan_reader_t *r, const json_t *value,
    const mark_plan_field_t *field, void *target)
{
    json_int_t  n;

    n = json_integer_value(value);

    if (!json_is_integer(value) || n < (json_int_t) field->min
        || n > (json_int_t) field->max)
    {
        return mark_plan_refuse_value(r, field, value, NULL);
    }

    if (field->type == MARK_PLAN_FIELD_VERSION) {
        *(uint64_t *) target = n;

    } else {
        *(int *) target = n;
    }

    return MARK_PLAN_OK;
}


static mark_plan_status_t
mark_plan_double(mark_plan_reader_t *r, const json_t *value,
    const mark_plan_field_t *field, double *number)
{
    double  n;

    n = json_number_value(value);

    if (!json_is_number(value) || n < field->min || n > field->max) {
        return mark_plan_refuse_value(r, field, value, NULL);
    }

    /* no -0: it is written "-0", which is an integer, and reads 0 */

    *number = n + 0.0;

    return MARK_PLAN_OK;
}


static mark_plan_status_t
mark_plan_state(mark_plan_reader_t *r, const json_t *value,
    const mark_plan_field_t *field, int *state)
{
    int          i;
    const char  *text;

    text = json_string_value(value);

    for (i = 0; text && mark_plan_states[i]; i++) {
        if (strcmp(text, mark_plan_states[i]) == 0) {
            *state = i;
            return MARK_PLAN_OK;
        }
    }

    return mark_plan_refuse_value(r, field, value, NULL);
}


static mark_plan_status_t
mark_plan_peers(mark_plan_reader_t *r, const json_t *value,
    const mark_plan_field_t *field, mark_plan_t *plan)
{
    size_t               i, n;
    const json_t        *peer;
    mark_plan_status_t   status;

    if (!json_is_array(value)) {
        return mark_plan_refuse_value(r, field, value, NULL);
    }

    n = json_array_size(value);

    if (r->limits->peers && n > r->limits->peers) {
        return mark_plan_refuse(r, MARK_PLAN_SCHEMA, NULL,
                                "%zu are more than the %zu that the pool has "
                                "room for", n, r->limits->peers);
    }

    if (n == 0) {
        return MARK_PLAN_OK;
    }

    plan->peers = mark_memory_alloc(r->memory, n * sizeof(mark_plan_peer_t));

    if (plan->peers == NULL) {
        return mark_plan_fail(r->error, MARK_PLAN_MEMORY, "no memory");
    }

    memset(plan->peers, 0, n * sizeof(mark_plan_peer_t));
    plan->npeers = n;

    for (i = 0; i < n; i++) {
        peer = json_array_get(value, i);

        r->steps[r->depth].name = NULL;
        r->steps[r->depth++].index = i;

        if (!json_is_object(peer)) {
            return mark_plan_refuse(r, MARK_PLAN_SCHEMA, NULL,
                                    "must be an object");
        }

        status = mark_plan_read(r, peer, mark_plan_peer_fields,
                                &plan->peers[i]);

        if (status != MARK_PLAN_OK) {
            return status;
        }

        r->depth--;
    }

    return mark_plan_unique(r, plan);
}
