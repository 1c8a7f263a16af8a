
/* Plans are read, checked and compared: see mark_plan.h. */


#include <inttypes.h>
#include <string.h>

#include <openssl/evp.h>

#include "mark_plan_schema.h"
#include "mark_plan_text.h"


static mark_plan_status_t mark_plan_open(mark_plan_reader_t *r,
    const json_t *object, const mark_span_t *text, double now,
    mark_plan_t **plan);
static mark_plan_status_t mark_plan_document(mark_plan_reader_t *r,
    const json_t *object, const mark_span_t *text, double now,
    mark_plan_t **plan);
static mark_plan_status_t mark_plan_pool(mark_plan_reader_t *r,
    const json_t *object, mark_plan_t *plan);
static mark_plan_status_t mark_plan_check(mark_plan_reader_t *r,
    const mark_plan_t *plan, double now);


mark_plan_status_t
mark_plan_parse(const char *text, size_t len, const mark_plan_limits_t *limits,
    double now, mark_memory_t *memory, mark_plan_t **plan,
    mark_plan_error_t *error)
{
    json_t              *object;
    mark_span_t          span;
    mark_plan_reader_t   r;
    mark_plan_status_t   status;

    error->status = MARK_PLAN_OK;
    error->text[0] = '\0';

    r.limits = limits;
    r.memory = memory;
    r.error = error;
    r.depth = 0;

    span.data = (const uint8_t *) text;
    span.len = len;

    status = mark_plan_load(&object, &span, NULL, error);

    if (status != MARK_PLAN_OK) {
        return status;
    }

    status = mark_plan_open(&r, object, &span, now, plan);

    json_decref(object);

    return status;
}


mark_plan_status_t
mark_plan_load(json_t **object, const mark_span_t *text, const char *where,
    mark_plan_error_t *error)
{
    size_t          line, column, i;
    json_error_t    e;
    const uint8_t  *p, *zero;

    if (text->len > MARK_PLAN_MAX) {
        return mark_plan_fail(error, MARK_PLAN_SYNTAX,
                              "%zu bytes are more than the %d that a plan may "
                              "have", text->len, MARK_PLAN_MAX);
    }

    /* jansson passes over one behind a number */

    zero = memchr(text->data, '\0', text->len);

    if (zero != NULL) {
        line = 1;
        column = 1;

        for (p = text->data; p < zero; p++) {
            column++;

            if (*p == '\n') {
                line++;
                column = 1;
            }
        }

        return mark_plan_fail(error, MARK_PLAN_SYNTAX,
                              "%sline %zu, column %zu: a zero byte",
                              where ? where : "", line, column);
    }

    *object = json_loadb((const char *) text->data, text->len,
                         JSON_REJECT_DUPLICATES, &e);

    if (*object == NULL) {

        /* of some allocations jansson does not say that they failed */

        if (json_error_code(&e) == json_error_out_of_memory
            || e.text[0] == '\0')
        {
            return mark_plan_fail(error, MARK_PLAN_MEMORY, "no memory");
        }

        /* it quotes the text up to any byte, inside of a character as well */

        for (i = 0; e.text[i]; i++) {
            if (e.text[i] & 0x80) {
                e.text[i] = '?';
            }
        }

        return mark_plan_fail(error, MARK_PLAN_SYNTAX,
                              "%sline %d, column %d: %s",
                              where ? where : "", e.line, e.column, e.text);
    }

    if (!json_is_object(*object)) {
        json_decref(*object);

        return mark_plan_fail(error, MARK_PLAN_SCHEMA,
                              "%sa plan is an object, not a list",
                              where ? where : "");
    }

    return MARK_PLAN_OK;
}


/* No document has a key "plan", and no envelope is without. */

static mark_plan_status_t
mark_plan_open(mark_plan_reader_t *r, const json_t *object,
    const mark_span_t *text, double now, mark_plan_t **plan)
{
    json_t              *inner;
    mark_span_t          document;
    mark_plan_status_t   status;

    if (json_object_get(object, "plan") == NULL) {

        if (r->limits->key) {
            return mark_plan_fail(r->error, MARK_PLAN_SIGNATURE,
                                  "the plan is not signed, and has to be");
        }

        return mark_plan_document(r, object, text, now, plan);
    }

    status = mark_plan_unwrap(r, object, &document);

    if (status != MARK_PLAN_OK) {
        return status;
    }

    status = mark_plan_load(&inner, &document, "plan: ", r->error);

    if (status != MARK_PLAN_OK) {
        return status;
    }

    status = mark_plan_document(r, inner, &document, now, plan);

    json_decref(inner);

    return status;
}


static mark_plan_status_t
mark_plan_document(mark_plan_reader_t *r, const json_t *object,
    const mark_span_t *text, double now, mark_plan_t **plan)
{
    mark_plan_t         *p;
    mark_plan_status_t   status;

    p = mark_memory_alloc(r->memory, sizeof(mark_plan_t));

    if (p == NULL) {
        return mark_plan_fail(r->error, MARK_PLAN_MEMORY, "no memory");
    }

    memset(p, 0, sizeof(mark_plan_t));

    status = mark_plan_pool(r, object, p);

    if (status != MARK_PLAN_OK) {
        return status;
    }

    status = mark_plan_read(r, object, mark_plan_fields, p);

    if (status != MARK_PLAN_OK) {
        return status;
    }

    status = mark_plan_check(r, p, now);

    if (status != MARK_PLAN_OK) {
        return status;
    }

    if (EVP_Digest(text->data, text->len, p->stamp.digest, NULL, EVP_sha256(),
                   NULL)
        != 1)
    {
        return mark_plan_fail(r->error, MARK_PLAN_MEMORY, "no memory");
    }

    *plan = p;

    return MARK_PLAN_OK;
}


/*
 * Before anything else, so that a plan of a later format, or of another pool,
 * is told from one that is wrong.
 */

static mark_plan_status_t
mark_plan_pool(mark_plan_reader_t *r, const json_t *object, mark_plan_t *plan)
{
    char                 want[MARK_PLAN_QUOTED], is[MARK_PLAN_QUOTED];
    size_t               i;
    const mark_span_t   *pool;
    mark_plan_status_t   status;

    for (i = 0; i < 2; i++) {
        status = mark_plan_read_field(r, object, &mark_plan_fields[i], plan);

        if (status != MARK_PLAN_OK) {
            return status;
        }
    }

    pool = &r->limits->pool;

    if (pool->len && (pool->len != plan->pool.len
                      || memcmp(pool->data, plan->pool.data, pool->len) != 0))
    {
        mark_plan_quote(want, (const char *) pool->data, pool->len);
        mark_plan_quote(is, (const char *) plan->pool.data, plan->pool.len);

        return mark_plan_refuse(r, MARK_PLAN_POOL, "pool",
                                "must be %s, not %s", want, is);
    }

    return MARK_PLAN_OK;
}


static mark_plan_status_t
mark_plan_check(mark_plan_reader_t *r, const mark_plan_t *plan, double now)
{
    char  one[MARK_PLAN_NUMBER], two[MARK_PLAN_NUMBER];

    mark_plan_number(one, plan->expires);

    if (plan->expires <= plan->stamp.issued) {
        mark_plan_number(two, plan->stamp.issued);

        return mark_plan_refuse(r, MARK_PLAN_SCHEMA, "expires",
                                "must be later than issued, %s, not %s", two,
                                one);
    }

    if (plan->expires <= now) {
        mark_plan_number(two, now);

        return mark_plan_refuse(r, MARK_PLAN_EXPIRED, "expires",
                                "%s has passed, it is %s", one, two);
    }

    if (plan->npeers == 0 && !plan->overflow.armed) {
        return mark_plan_refuse(r, MARK_PLAN_SCHEMA, "peers",
                                "must not be empty unless overflow.armed is "
                                "true");
    }

    return MARK_PLAN_OK;
}


mark_plan_status_t
mark_plan_newer(const mark_plan_stamp_t *current,
    const mark_plan_stamp_t *next, mark_plan_error_t *error)
{
    char  one[MARK_PLAN_NUMBER], two[MARK_PLAN_NUMBER];

    if (next->version < current->version) {
        return mark_plan_fail(error, MARK_PLAN_STALE,
                              "version: %" PRIu64 " is older than the "
                              "current %" PRIu64,
                              next->version, current->version);
    }

    if (next->version == current->version) {

        if (memcmp(next->digest, current->digest, sizeof(next->digest)) == 0) {
            return mark_plan_fail(error, MARK_PLAN_UNCHANGED,
                                  "version: %" PRIu64 " is the current one",
                                  next->version);
        }

        return mark_plan_fail(error, MARK_PLAN_STALE,
                              "version: %" PRIu64 " is the current one, which "
                              "is another plan", next->version);
    }

    if (next->issued < current->issued) {
        mark_plan_number(one, next->issued);
        mark_plan_number(two, current->issued);

        return mark_plan_fail(error, MARK_PLAN_STALE,
                              "issued: %s is before the current plan's %s",
                              one, two);
    }

    error->status = MARK_PLAN_OK;
    error->text[0] = '\0';

    return MARK_PLAN_OK;
}
