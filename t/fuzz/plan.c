
/*
 * libFuzzer target: plans, bare and in envelopes.  What parses is written to
 * a text that parses and is written the same; with a key nothing is taken
 * but what that key signed.  An error is one line of UTF-8.
 */


#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "codec.h"
#include "mark_plan.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static mark_plan_t *read_plan(const char *text, size_t len,
    const mark_plan_key_t *key);
static char *write_plan(const mark_plan_t *plan, size_t *len);
static void enveloped(const mark_span_t *document, mark_plan_t *plan,
    int bare);


static mark_plan_error_t  error;

static const uint8_t      secret[] = "0123456789abcdef";


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int               bare;
    char             *one, *two;
    size_t            len, again;
    mark_span_t       span;
    mark_plan_t      *plan;
    mark_plan_key_t   key;

    memset(&key, 0, sizeof(mark_plan_key_t));
    key.secret.data = secret;
    key.secret.len = sizeof(secret) - 1;

    if (read_plan((const char *) data, size, &key) == NULL) {
        bare = strncmp(error.text, "the plan is not signed", 22) == 0;

    } else {
        bare = 0;
    }

    span.data = data;
    span.len = size;
    plan = read_plan((const char *) data, size, NULL);

    enveloped(&span, plan, bare);

    if (plan) {
        one = write_plan(plan, &len);
        plan = read_plan(one, len, NULL);

        if (plan == NULL) {
            __builtin_trap();
        }

        two = write_plan(plan, &again);

        if (again != len || memcmp(one, two, len) != 0) {
            __builtin_trap();
        }
    }

    codec_free();

    return 0;
}


static mark_plan_t *
read_plan(const char *text, size_t len, const mark_plan_key_t *key)
{
    char                *p;
    json_t              *utf8;
    mark_plan_t         *plan;
    mark_plan_limits_t   limits;
    mark_plan_status_t   status;

    memset(&limits, 0, sizeof(mark_plan_limits_t));
    limits.peers = 100;
    limits.key = key;
    plan = NULL;

    status = mark_plan_parse(text, len, &limits, 1, &codec_memory, &plan,
                             &error);

    if (status != error.status
        || (status == MARK_PLAN_OK) != (plan != NULL)
        || (status == MARK_PLAN_OK) != (error.text[0] == '\0'))
    {
        __builtin_trap();
    }

    for (p = error.text; *p; p++) {
        if ((unsigned char) *p < 0x20 || *p == 0x7f) {
            __builtin_trap();
        }
    }

    utf8 = json_string(error.text);

    if (utf8 == NULL) {
        __builtin_trap();
    }

    json_decref(utf8);

    return plan;
}


static char *
write_plan(const mark_plan_t *plan, size_t *len)
{
    char  *text;

    *len = mark_plan_serialise(plan, NULL, 0);
    text = codec_alloc(NULL, *len);

    if (mark_plan_serialise(plan, text, *len) != *len) {
        __builtin_trap();
    }

    return text;
}


/*
 * The bytes, signed, if they are a document: one that comes out of its
 * envelope as it went in.
 */

static void
enveloped(const mark_span_t *document, mark_plan_t *plan, int bare)
{
    char             *text;
    size_t            len;
    mark_plan_t      *read;
    mark_plan_key_t   key;

    memset(&key, 0, sizeof(mark_plan_key_t));
    key.secret.data = secret;
    key.secret.len = sizeof(secret) - 1;
    key.signs = 1;
    key.id.data = secret;
    key.id.len = 1;

    (void) mark_plan_wrap(&key, document, NULL, 0, &len, &error);
    text = codec_alloc(NULL, len);
    (void) mark_plan_wrap(&key, document, text, len, &len, &error);

    read = read_plan(text, len, &key);

    /* an envelope in an envelope is no plan */

    if (read != NULL
        && (plan == NULL || memcmp(&read->stamp, &plan->stamp,
                                   sizeof(mark_plan_stamp_t)) != 0))
    {
        __builtin_trap();
    }

    if (read == NULL && plan != NULL && bare) {
        __builtin_trap();
    }
}
