
/*
 * TensorFlow Serving's REST rows, also KServe's V1: requests
 * {"signature_name": ..., "instances": [row, ...]} are joined into one, and
 * its answer {"predictions": [row, ...]} is cut back into theirs.  Rows are
 * moved as bytes; nothing is decoded or printed again, so an answer is what
 * the backend wrote.
 *
 * The answer of one client is all before the rows, its own rows, and all
 * behind them: white space around the rows belongs to what is around them,
 * so a backend that prints prettily is quoted exactly.
 */


#include <string.h>

#include "mark_codec.h"


/* What parse() leaves for join(): offsets into the body. */

typedef struct {
    size_t       rows;        /* the first row's first byte */
    size_t       rows_len;    /* from there to the last row's last byte */
    size_t       head_len;    /* the body up to and with the '[' of the rows */
    size_t       tail;        /* the ']' of the rows */
} mark_v1_t;


static mark_codec_status_t mark_v1_parse(mark_request_t *request,
    const mark_codec_conf_t *conf, mark_memory_t *memory);
static mark_codec_status_t mark_v1_parse_rows(mark_json_t *j,
    mark_request_t *request, mark_v1_t *v1);
static mark_codec_status_t mark_v1_join(mark_request_t **requests,
    mark_slice_t *slices, size_t n, const mark_codec_conf_t *conf,
    mark_memory_t *memory, mark_parts_t *joined);
static mark_codec_status_t mark_v1_split(const mark_body_t *body,
    mark_slice_t *slices, size_t n, const mark_codec_conf_t *conf,
    mark_memory_t *memory);
static mark_codec_status_t mark_v1_split_rows(mark_json_t *j,
    mark_slice_t *slices, size_t n, const uint8_t **tail);


const mark_codec_t  mark_v1_codec = {
    "v1",
    "{\"error\": \"",
    "\"}",
    mark_v1_parse,
    mark_v1_join,
    mark_v1_split
};


static mark_codec_status_t
mark_v1_parse(mark_request_t *request, const mark_codec_conf_t *conf,
    mark_memory_t *memory)
{
    int                   rc, first, found;
    uint8_t              *key;
    mark_v1_t            *v1;
    mark_span_t           name, signature;
    mark_json_t           j;
    mark_codec_status_t   status;

    v1 = mark_memory_alloc(memory, sizeof(mark_v1_t));
    if (v1 == NULL) {
        return MARK_CODEC_MEMORY;
    }

    signature.data = NULL;
    signature.len = 0;
    found = 0;
    first = 1;

    mark_json_init(&j, request->body.data, request->body.len);

    if (mark_json_enter(&j, MARK_JSON_OBJECT) != 0) {
        return MARK_CODEC_INVALID;
    }

    while ((rc = mark_json_member(&j, &name, &first, 0)) == 1) {

        if (mark_json_key_is(&name, "instances")) {
            status = mark_v1_parse_rows(&j, request, v1);

            if (status != MARK_CODEC_OK) {
                return status;
            }

            found = 1;
            continue;
        }

        /*
         * What a member that nobody told us of means to one request, its
         * identity, say, cannot be known, so only this one is passed on.
         */

        if (!mark_json_key_is(&name, "signature_name")) {
            return MARK_CODEC_UNSUPPORTED;
        }

        mark_json_space(&j);
        signature.data = j.pos;

        if (mark_json_skip(&j) != 0) {
            return MARK_CODEC_INVALID;
        }

        signature.len = j.pos - signature.data;
    }

    if (rc != 0 || mark_json_end(&j) != 0) {
        return MARK_CODEC_INVALID;
    }

    if (!found) {
        return MARK_CODEC_UNSUPPORTED;
    }

    if (request->nrows == 0) {
        return MARK_CODEC_NO_ROWS;
    }

    key = mark_memory_alloc(memory, 1 + signature.len);
    if (key == NULL) {
        return MARK_CODEC_MEMORY;
    }

    /* requests with NaN keep apart: not every backend reads it */

    key[0] = j.lax ? 'n' : 'v';

    if (signature.len) {
        memcpy(key + 1, signature.data, signature.len);
    }

    request->key.data = key;
    request->key.len = 1 + signature.len;
    request->timeout = 0;
    request->priority = 0;
    request->parsed = v1;
    request->parsed_len = sizeof(mark_v1_t);

    return MARK_CODEC_OK;
}


static mark_codec_status_t
mark_v1_parse_rows(mark_json_t *j, mark_request_t *request, mark_v1_t *v1)
{
    int             rc, first;
    size_t          n;
    const uint8_t  *body, *start, *last;

    mark_json_space(j);

    /* {"instances": {...}} is for the backend to refuse */

    if (j->pos == j->last || *j->pos != '[') {
        return MARK_CODEC_UNSUPPORTED;
    }

    if (mark_json_enter(j, MARK_JSON_ARRAY) != 0) {
        return MARK_CODEC_INVALID;
    }

    body = request->body.data;

    v1->head_len = j->pos - body;

    start = j->pos;
    last = j->pos;
    first = 1;
    n = 0;

    while ((rc = mark_json_element(j, &first)) == 1) {

        if (n++ == 0) {
            start = j->pos;
        }

        if (mark_json_skip(j) != 0) {
            return MARK_CODEC_INVALID;
        }

        last = j->pos;
    }

    if (rc != 0) {
        return MARK_CODEC_INVALID;
    }

    request->nrows = n;

    v1->rows = start - body;
    v1->rows_len = last - start;
    v1->tail = j->pos - 1 - body;

    return MARK_CODEC_OK;
}


static mark_codec_status_t
mark_v1_join(mark_request_t **requests, mark_slice_t *slices, size_t n,
    const mark_codec_conf_t *conf, mark_memory_t *memory, mark_parts_t *joined)
{
    size_t            i;
    mark_v1_t        *v1;
    const uint8_t    *body;

    joined->spans = mark_memory_alloc(memory,
                                      (2 * n + 1) * sizeof(mark_span_t));
    if (joined->spans == NULL) {
        return MARK_CODEC_MEMORY;
    }

    joined->nspans = 0;
    joined->len = 0;
    joined->binary = 0;

    v1 = requests[0]->parsed;

    mark_parts_add(joined, requests[0]->body.data, v1->head_len);

    for (i = 0; i < n; i++) {
        body = requests[i]->body.data;
        v1 = requests[i]->parsed;

        slices[i].nrows = requests[i]->nrows;

        if (i) {
            mark_parts_add(joined, (const uint8_t *) ",", 1);
        }

        mark_parts_add(joined, body + v1->rows, v1->rows_len);
    }

    v1 = requests[0]->parsed;

    mark_parts_add(joined, requests[0]->body.data + v1->tail,
                   requests[0]->body.len - v1->tail);

    return MARK_CODEC_OK;
}


static mark_codec_status_t
mark_v1_split(const mark_body_t *body, mark_slice_t *slices, size_t n,
    const mark_codec_conf_t *conf, mark_memory_t *memory)
{
    int                   rc, first, found;
    size_t                i, head_len;
    mark_span_t           name, *spans;
    mark_json_t           j;
    mark_parts_t         *answer;
    const uint8_t        *last, *tail;
    mark_codec_status_t   status;

    spans = mark_memory_alloc(memory, 3 * n * sizeof(mark_span_t));
    if (spans == NULL) {
        return MARK_CODEC_MEMORY;
    }

    for (i = 0; i < n; i++) {
        slices[i].answer.spans = &spans[3 * i];
    }

    found = 0;
    first = 1;
    tail = NULL;

    mark_json_init(&j, body->data, body->len);

    if (mark_json_enter(&j, MARK_JSON_OBJECT) != 0) {
        return MARK_CODEC_INVALID;
    }

    while ((rc = mark_json_member(&j, &name, &first, 0)) == 1) {

        if (mark_json_key_is(&name, "predictions")) {
            status = mark_v1_split_rows(&j, slices, n, &tail);

            if (status != MARK_CODEC_OK) {
                return status;
            }

            found = 1;
            continue;
        }

        if (mark_json_skip(&j) != 0) {
            return MARK_CODEC_INVALID;
        }

        /* it could hold something of a single client */

        if (j.type == MARK_JSON_ARRAY || j.type == MARK_JSON_OBJECT) {
            return MARK_CODEC_UNSUPPORTED;
        }
    }

    if (rc != 0 || mark_json_end(&j) != 0) {
        return MARK_CODEC_INVALID;
    }

    if (!found) {
        return MARK_CODEC_UNSUPPORTED;
    }

    head_len = slices[0].answer.spans[1].data - body->data;
    last = body->data + body->len;

    for (i = 0; i < n; i++) {
        answer = &slices[i].answer;

        answer->spans[0].data = body->data;
        answer->spans[0].len = head_len;
        answer->spans[2].data = tail;
        answer->spans[2].len = last - tail;

        answer->nspans = 3;
        answer->len = head_len + answer->spans[1].len + (last - tail);
        answer->binary = 0;
    }

    return MARK_CODEC_OK;
}


/* Leaves the rows of each slice as the second of its spans. */

static mark_codec_status_t
mark_v1_split_rows(mark_json_t *j, mark_slice_t *slices, size_t n,
    const uint8_t **tail)
{
    int           rc, first;
    size_t        i, k;
    mark_span_t  *rows;

    mark_json_space(j);

    if (j->pos == j->last || *j->pos != '[') {
        return MARK_CODEC_UNSUPPORTED;
    }

    if (mark_json_enter(j, MARK_JSON_ARRAY) != 0) {
        return MARK_CODEC_INVALID;
    }

    first = 1;

    for (i = 0; i < n; i++) {
        rows = &slices[i].answer.spans[1];

        for (k = 0; k < slices[i].nrows; k++) {
            rc = mark_json_element(j, &first);

            if (rc != 1) {
                return rc == 0 ? MARK_CODEC_MISMATCH : MARK_CODEC_INVALID;
            }

            if (k == 0) {
                rows->data = j->pos;
            }

            if (mark_json_skip(j) != 0) {
                return MARK_CODEC_INVALID;
            }
        }

        rows->len = j->pos - rows->data;
    }

    *tail = j->pos;

    rc = mark_json_element(j, &first);

    if (rc != 0) {
        return rc == 1 ? MARK_CODEC_MISMATCH : MARK_CODEC_INVALID;
    }

    return MARK_CODEC_OK;
}
