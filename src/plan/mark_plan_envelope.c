
/* Envelopes, which carry a document and its signature. */


#include <string.h>

#include "mark_plan_schema.h"
#include "mark_plan_text.h"


typedef struct {
    mark_span_t  document;
    mark_span_t  algorithm;
    mark_span_t  key;
    mark_span_t  signature;
} mark_plan_envelope_t;


static int mark_plan_is(const mark_span_t *text, const char *name);
static void mark_plan_member(mark_plan_text_t *text, const char *name,
    const char *data, size_t len);


static const mark_plan_field_t  mark_plan_envelope_fields[] = {

    { "plan", MARK_PLAN_FIELD_DOCUMENT, 1,
      offsetof(mark_plan_envelope_t, document),
      0, 0, 0, NULL },

    { "algorithm", MARK_PLAN_FIELD_TEXT, 1,
      offsetof(mark_plan_envelope_t, algorithm),
      1, 31, 0, NULL },

    { "key", MARK_PLAN_FIELD_TEXT, 1, offsetof(mark_plan_envelope_t, key),
      1, 255, 0, NULL },

    { "signature", MARK_PLAN_FIELD_TEXT, 1,
      offsetof(mark_plan_envelope_t, signature),
      1, 255, 0, NULL },

    { NULL, 0, 0, 0, 0, 0, 0, NULL }
};


mark_plan_status_t
mark_plan_unwrap(mark_plan_reader_t *r, const json_t *object,
    mark_span_t *document)
{
    char                    id[MARK_PLAN_QUOTED], is[MARK_PLAN_QUOTED];
    const char             *want, *hmac, *ed25519;
    mark_plan_status_t      status;
    mark_plan_envelope_t    e;
    const mark_plan_key_t  *key;

    status = mark_plan_read(r, object, mark_plan_envelope_fields, &e);

    if (status != MARK_PLAN_OK) {
        return status;
    }

    hmac = mark_plan_algorithm_name(MARK_PLAN_HMAC_SHA256);
    ed25519 = mark_plan_algorithm_name(MARK_PLAN_ED25519);

    if (!mark_plan_is(&e.algorithm, hmac)
        && !mark_plan_is(&e.algorithm, ed25519))
    {
        return mark_plan_refuse(r, MARK_PLAN_SCHEMA, "algorithm",
                                "must be \"%s\" or \"%s\", not \"%s\"",
                                hmac, ed25519, e.algorithm.data);
    }

    *document = e.document;

    key = r->limits->key;

    if (key == NULL) {
        return MARK_PLAN_OK;
    }

    want = mark_plan_algorithm_name(key->algorithm);

    if (!mark_plan_is(&e.algorithm, want)) {
        return mark_plan_refuse(r, MARK_PLAN_SIGNATURE, "algorithm",
                                "must be \"%s\", which the key is for, not "
                                "\"%s\"", want, e.algorithm.data);
    }

    if (key->id.len && (key->id.len != e.key.len
                        || memcmp(key->id.data, e.key.data, e.key.len) != 0))
    {
        mark_plan_quote(id, (const char *) key->id.data, key->id.len);
        mark_plan_quote(is, (const char *) e.key.data, e.key.len);

        return mark_plan_refuse(r, MARK_PLAN_SIGNATURE, "key",
                                "must be %s, not %s", id, is);
    }

    return mark_plan_verify(key, &e.document, &e.signature, r->error);
}


static int
mark_plan_is(const mark_span_t *text, const char *name)
{
    return text->len == strlen(name)
           && memcmp(text->data, name, text->len) == 0;
}


mark_plan_status_t
mark_plan_wrap(const mark_plan_key_t *key, const mark_span_t *document,
    char *buf, size_t size, size_t *len, mark_plan_error_t *error)
{
    char                 signature[MARK_PLAN_SIGNATURE_SIZE];
    const char          *algorithm;
    mark_plan_text_t     text;
    mark_plan_status_t   status;

    if (key->id.len == 0) {
        return mark_plan_fail(error, MARK_PLAN_SIGNATURE,
                              "a key that signs has to have an id");
    }

    status = mark_plan_sign(key, document, signature, error);

    if (status != MARK_PLAN_OK) {
        return status;
    }

    algorithm = mark_plan_algorithm_name(key->algorithm);

    text.buf = buf;
    text.size = size;
    text.len = 0;

    mark_plan_puts(&text, "{");
    mark_plan_member(&text, "plan", (const char *) document->data,
                     document->len);
    mark_plan_puts(&text, ",\n ");
    mark_plan_member(&text, "algorithm", algorithm, strlen(algorithm));
    mark_plan_puts(&text, ",\n ");
    mark_plan_member(&text, "key", (const char *) key->id.data, key->id.len);
    mark_plan_puts(&text, ",\n ");
    mark_plan_member(&text, "signature", signature, strlen(signature));
    mark_plan_puts(&text, "}\n");

    *len = text.len;

    return MARK_PLAN_OK;
}


static void
mark_plan_member(mark_plan_text_t *text, const char *name, const char *data,
    size_t len)
{
    mark_span_t  value;

    value.data = (const uint8_t *) data;
    value.len = len;

    mark_plan_puts(text, "\"");
    mark_plan_puts(text, name);
    mark_plan_puts(text, "\": ");
    mark_plan_put_string(text, &value);
}
