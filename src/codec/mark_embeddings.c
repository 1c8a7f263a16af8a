
/* OpenAI's embeddings, requests: see mark_embeddings.h. */


#include <string.h>

#include "mark_embeddings.h"


static mark_codec_status_t mark_embeddings_parse(mark_request_t *request,
    const mark_codec_conf_t *conf, mark_memory_t *memory);
static mark_codec_status_t mark_embeddings_member(mark_json_t *j,
    const mark_span_t *name, mark_span_t *values);
static mark_codec_status_t mark_embeddings_key(mark_request_t *request,
    const mark_embeddings_t *input, const mark_span_t *values,
    mark_memory_t *memory);
static mark_codec_status_t mark_embeddings_join(mark_request_t **requests,
    mark_slice_t *slices, size_t n, const mark_codec_conf_t *conf,
    mark_memory_t *memory, mark_parts_t *joined);


/*
 * Members that are equal in all requests of a batch.  Others are not known
 * to be of no one request in particular.
 */

static const char  *mark_embeddings_names[] = {
    "model", "encoding_format", "dimensions", "user"
};

#define MARK_EMBEDDINGS_NAMES                                                 \
    (sizeof(mark_embeddings_names) / sizeof(mark_embeddings_names[0]))


const mark_codec_t  mark_embeddings_codec = {
    "embeddings",
    "{\"error\": {\"message\": \"",
    "\", \"type\": \"server_error\", \"param\": null, \"code\": null}}",
    mark_embeddings_parse,
    mark_embeddings_join,
    mark_embeddings_split,
    NULL
};


static mark_codec_status_t
mark_embeddings_parse(mark_request_t *request, const mark_codec_conf_t *conf,
    mark_memory_t *memory)
{
    int                   rc, first;
    mark_span_t           name, values[MARK_EMBEDDINGS_NAMES];
    mark_json_t           j;
    mark_embeddings_t    *input;
    mark_codec_status_t   status;

    request->timeout = 0;
    request->priority = 0;

    memset(values, 0, sizeof(values));

    input = NULL;
    first = 1;

    mark_json_init(&j, request->body.data, request->body.len);

    if (mark_json_enter(&j, MARK_JSON_OBJECT) != 0) {
        return MARK_CODEC_INVALID;
    }

    while ((rc = mark_json_member(&j, &name, &first, 0)) == 1) {

        if (mark_json_key_is(&name, "input")) {
            input = mark_memory_alloc(memory, sizeof(mark_embeddings_t));

            if (input == NULL) {
                return MARK_CODEC_MEMORY;
            }

            memset(input, 0, sizeof(mark_embeddings_t));

            status = mark_embeddings_input(request, input, &j);

        } else {
            status = mark_embeddings_member(&j, &name, values);
        }

        if (status != MARK_CODEC_OK) {
            return status;
        }
    }

    if (rc != 0 || mark_json_end(&j) != 0) {
        return MARK_CODEC_INVALID;
    }

    if (input == NULL) {
        return MARK_CODEC_UNSUPPORTED;
    }

    if (request->nrows == 0) {
        return MARK_CODEC_NO_ROWS;
    }

    request->parsed = input;
    request->parsed_len = sizeof(mark_embeddings_t);

    return mark_embeddings_key(request, input, values, memory);
}


static mark_codec_status_t
mark_embeddings_member(mark_json_t *j, const mark_span_t *name,
    mark_span_t *values)
{
    size_t          i;
    const uint8_t  *start;

    mark_json_space(j);
    start = j->pos;

    if (mark_json_skip(j) != 0) {
        return MARK_CODEC_INVALID;
    }

    for (i = 0; i < MARK_EMBEDDINGS_NAMES; i++) {

        if (!mark_json_key_is(name, mark_embeddings_names[i])) {
            continue;
        }

        if (j->type == MARK_JSON_ARRAY || j->type == MARK_JSON_OBJECT) {
            return MARK_CODEC_UNSUPPORTED;
        }

        values[i].data = start;
        values[i].len = j->pos - start;

        return MARK_CODEC_OK;
    }

    if (mark_json_key_is(name, "stream") && *start == 't') {
        return MARK_CODEC_STREAM;
    }

    return MARK_CODEC_UNSUPPORTED;
}


/*
 * The form of the rows and the members that must be equal, in our order: it
 * is of no consequence in an object.  A value is one token of JSON, or
 * nothing, so the commas tell them apart.
 */

static mark_codec_status_t
mark_embeddings_key(mark_request_t *request, const mark_embeddings_t *input,
    const mark_span_t *values, mark_memory_t *memory)
{
    size_t    i, len;
    uint8_t  *p;

    len = 1 + MARK_EMBEDDINGS_NAMES;

    for (i = 0; i < MARK_EMBEDDINGS_NAMES; i++) {
        len += values[i].len;
    }

    p = mark_memory_alloc(memory, len);

    if (p == NULL) {
        return MARK_CODEC_MEMORY;
    }

    request->key.data = p;
    request->key.len = len;

    *p++ = input->tokens ? 't' : 's';

    for (i = 0; i < MARK_EMBEDDINGS_NAMES; i++) {
        *p++ = ',';

        if (values[i].len) {
            memcpy(p, values[i].data, values[i].len);
            p += values[i].len;
        }
    }

    return MARK_CODEC_OK;
}


/* One alone is sent as it came: a backend may know no lists. */

static mark_codec_status_t
mark_embeddings_join(mark_request_t **requests, mark_slice_t *slices,
    size_t n, const mark_codec_conf_t *conf, mark_memory_t *memory,
    mark_parts_t *joined)
{
    size_t                    i;
    const uint8_t            *data;
    const mark_embeddings_t  *input, *first;

    memset(joined, 0, sizeof(mark_parts_t));

    joined->spans = mark_memory_alloc(memory,
                                      (2 * n + 3) * sizeof(mark_span_t));

    if (joined->spans == NULL) {
        return MARK_CODEC_MEMORY;
    }

    for (i = 0; i < n; i++) {
        input = requests[i]->parsed;

        slices[i].nrows = requests[i]->nrows;
        slices[i].weight = input->weight;
    }

    first = requests[0]->parsed;
    data = requests[0]->body.data;

    if (n == 1) {
        mark_parts_add(joined, data, requests[0]->body.len);
        joined->json_len = joined->len;

        return MARK_CODEC_OK;
    }

    mark_parts_add(joined, data, first->start);
    mark_parts_add(joined, (const uint8_t *) "[", 1);

    for (i = 0; i < n; i++) {
        input = requests[i]->parsed;

        if (i) {
            mark_parts_add(joined, (const uint8_t *) ",", 1);
        }

        mark_parts_add(joined, requests[i]->body.data + input->rows_start,
                       input->rows_end - input->rows_start);
    }

    mark_parts_add(joined, (const uint8_t *) "]", 1);
    mark_parts_add(joined, data + first->end,
                   requests[0]->body.len - first->end);

    joined->json_len = joined->len;

    return MARK_CODEC_OK;
}
