
/* TensorFlow Serving's REST API, requests: see mark_v1.h. */


#include <string.h>

#include "mark_v1.h"


#define MARK_V1_INSTANCES  'v'
#define MARK_V1_INPUT      'i'
#define MARK_V1_COLUMNS    'c'
#define MARK_V1_EXAMPLES   'e'

static mark_codec_status_t mark_v1_parse(mark_request_t *request,
    const mark_codec_conf_t *conf, mark_memory_t *memory);
static mark_codec_status_t mark_v1_member(mark_v1_reader_t *r,
    const mark_span_t *name);
static mark_codec_status_t mark_v1_lists(mark_v1_reader_t *r, uint8_t form);
static mark_codec_status_t mark_v1_value(mark_json_t *j, mark_span_t *value);
static mark_codec_status_t mark_v1_key(mark_v1_reader_t *r,
    mark_memory_t *memory);
static mark_codec_status_t mark_v1_join(mark_request_t **requests,
    mark_slice_t *slices, size_t n, const mark_codec_conf_t *conf,
    mark_memory_t *memory, mark_parts_t *joined);


const mark_codec_t  mark_v1_codec = {
    "v1",
    "{\"error\": \"",
    "\"}",
    mark_v1_parse,
    mark_v1_join,
    mark_v1_split,
    NULL
};


static mark_codec_status_t
mark_v1_parse(mark_request_t *request, const mark_codec_conf_t *conf,
    mark_memory_t *memory)
{
    int                   rc, first;
    size_t                size;
    mark_span_t           name;
    mark_v1_reader_t      r;
    mark_codec_status_t   status;

    r.request = request;
    r.form = 0;
    r.signature.len = 0;
    r.context.len = 0;
    first = 1;

    mark_json_init(&r.json, request->body.data, request->body.len);

    if (mark_json_enter(&r.json, MARK_JSON_OBJECT) != 0) {
        return MARK_CODEC_INVALID;
    }

    while ((rc = mark_json_member(&r.json, &name, &first, 0)) == 1) {
        status = mark_v1_member(&r, &name);

        if (status != MARK_CODEC_OK) {
            return status;
        }
    }

    if (rc != 0 || mark_json_end(&r.json) != 0) {
        return MARK_CODEC_INVALID;
    }

    if (r.form == 0 || (r.context.len && r.form != MARK_V1_EXAMPLES)) {
        return MARK_CODEC_UNSUPPORTED;
    }

    if (request->nrows == 0) {
        return MARK_CODEC_NO_ROWS;
    }

    size = offsetof(mark_v1_t, lists) + r.v1.nlists * sizeof(mark_v1_list_t);

    request->parsed = mark_memory_alloc(memory, size);
    if (request->parsed == NULL) {
        return MARK_CODEC_MEMORY;
    }

    memcpy(request->parsed, &r.v1, size);

    request->parsed_len = size;
    request->timeout = 0;
    request->priority = 0;

    return mark_v1_key(&r, memory);
}


static mark_codec_status_t
mark_v1_member(mark_v1_reader_t *r, const mark_span_t *name)
{
    if (mark_json_key_is(name, "instances")) {
        return mark_v1_lists(r, MARK_V1_INSTANCES);
    }

    if (mark_json_key_is(name, "signature_name")) {
        return mark_v1_value(&r->json, &r->signature);
    }

    if (mark_json_key_is(name, "inputs")) {
        return mark_v1_lists(r, MARK_V1_INPUT);
    }

    if (mark_json_key_is(name, "examples")) {
        return mark_v1_lists(r, MARK_V1_EXAMPLES);
    }

    if (mark_json_key_is(name, "context")) {
        return mark_v1_value(&r->json, &r->context);
    }

    /*
     * What a member that nobody told us of means to one request, its
     * identity, say, cannot be known, so only these are passed on.
     */

    return MARK_CODEC_UNSUPPORTED;
}


static mark_codec_status_t
mark_v1_lists(mark_v1_reader_t *r, uint8_t form)
{
    mark_json_t  *j;

    /* TensorFlow Serving takes only one form at a time, others may not */

    if (r->form) {
        return MARK_CODEC_UNSUPPORTED;
    }

    r->form = form;
    r->v1.nlists = 0;

    j = &r->json;

    mark_json_space(j);

    if (form == MARK_V1_INPUT && j->pos < j->last && *j->pos == '{') {
        r->form = MARK_V1_COLUMNS;
        return mark_v1_columns(r);
    }

    return mark_v1_rows(r);
}


static mark_codec_status_t
mark_v1_value(mark_json_t *j, mark_span_t *value)
{
    mark_json_space(j);

    value->data = j->pos;

    if (mark_json_skip(j) != 0) {
        return MARK_CODEC_INVALID;
    }

    value->len = j->pos - value->data;

    return MARK_CODEC_OK;
}


/*
 * The signature, and behind a comma the form, unless it is "instances", with
 * what else must be equal in it.  Nothing can be taken for part of something
 * else: a JSON value tells where it ends.
 */

static mark_codec_status_t
mark_v1_key(mark_v1_reader_t *r, mark_memory_t *memory)
{
    size_t        i, n, len;
    uint8_t      *key, *p;
    mark_span_t  *more;

    more = r->names;
    n = (r->form == MARK_V1_COLUMNS) ? r->v1.nlists : 0;

    if (r->context.len) {
        more = &r->context;
        n = 1;
    }

    len = 1 + r->signature.len + 2;

    for (i = 0; i < n; i++) {
        len += more[i].len;
    }

    key = mark_memory_alloc(memory, len);
    if (key == NULL) {
        return MARK_CODEC_MEMORY;
    }

    /* requests with NaN keep apart: not every backend reads it */

    p = key;
    *p++ = r->json.lax ? 'n' : 'v';

    if (r->signature.len) {
        memcpy(p, r->signature.data, r->signature.len);
        p += r->signature.len;
    }

    if (r->form != MARK_V1_INSTANCES) {
        *p++ = ',';
        *p++ = r->form;
    }

    for (i = 0; i < n; i++) {
        memcpy(p, more[i].data, more[i].len);
        p += more[i].len;
    }

    r->request->key.data = key;
    r->request->key.len = p - key;

    return MARK_CODEC_OK;
}


/* The first one's text, with all rows in the place of its own. */

static mark_codec_status_t
mark_v1_join(mark_request_t **requests, mark_slice_t *slices, size_t n,
    const mark_codec_conf_t *conf, mark_memory_t *memory, mark_parts_t *joined)
{
    size_t                 i, k, pos;
    const uint8_t         *first;
    const mark_v1_t       *v1;
    const mark_v1_list_t  *list;

    v1 = requests[0]->parsed;
    first = requests[0]->body.data;

    joined->spans = mark_memory_alloc(memory, (2 * n * v1->nlists + 1)
                                              * sizeof(mark_span_t));
    if (joined->spans == NULL) {
        return MARK_CODEC_MEMORY;
    }

    joined->nspans = 0;
    joined->len = 0;
    joined->binary = 0;

    for (i = 0; i < n; i++) {
        slices[i].nrows = requests[i]->nrows;
    }

    pos = 0;

    for (k = 0; k < v1->nlists; k++) {
        mark_parts_add(joined, first + pos, v1->lists[k].head - pos);

        for (i = 0; i < n; i++) {
            list = &((mark_v1_t *) requests[i]->parsed)->lists[k];

            if (i) {
                mark_parts_add(joined, (const uint8_t *) ",", 1);
            }

            mark_parts_add(joined, requests[i]->body.data + list->rows,
                           list->rows_end - list->rows);
        }

        pos = v1->lists[k].tail;
    }

    mark_parts_add(joined, first + pos, requests[0]->body.len - pos);

    joined->json_len = joined->len;

    return MARK_CODEC_OK;
}
