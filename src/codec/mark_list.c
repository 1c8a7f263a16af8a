
/*
 * Any API that takes a list and gives one, "mark_batch json in=PATH out=PATH":
 * the elements of the list that conf->in leads to are the rows, and those of
 * the list that conf->out leads to are their answers.  With in=texts,
 *
 *     {"lang": "en", "texts": ["a", "b"]}
 *
 * has two rows.  What is around the list is taken for fixed: requests with
 * other text there, but for white space, are not joined, and the joined
 * request and the answers have it once.
 */


#include <string.h>

#include "mark_codec.h"
#include "mark_list_walk.h"


/* A parsed request: where its rows are in the body. */

typedef struct {
    uint64_t            head;         /* where the text before them ends */
    uint64_t            start;        /* the first byte of the first */
    uint64_t            end;          /* after the last of the last */
    uint64_t            tail;         /* where the text behind them begins */
} mark_list_t;


static mark_codec_status_t mark_list_parse(mark_request_t *request,
    const mark_codec_conf_t *conf, mark_memory_t *memory);
static mark_codec_status_t mark_list_rows(mark_request_t *request,
    mark_json_t *j, mark_list_t *list);
static mark_codec_status_t mark_list_key(mark_request_t *request,
    const mark_list_t *list, unsigned lax, mark_memory_t *memory);
static uint8_t *mark_list_squeeze(uint8_t *dst, const uint8_t *p,
    const uint8_t *last);
static mark_codec_status_t mark_list_join(mark_request_t **requests,
    mark_slice_t *slices, size_t n, const mark_codec_conf_t *conf,
    mark_memory_t *memory, mark_parts_t *joined);
static mark_codec_status_t mark_list_split(const mark_body_t *body,
    mark_slice_t *slices, size_t n, const mark_codec_conf_t *conf,
    mark_memory_t *memory);
static mark_codec_status_t mark_list_split_rows(mark_json_t *j,
    mark_slice_t *slices, size_t n);


const mark_codec_t  mark_list_codec = {
    "json",
    "{\"error\": \"",
    "\"}",
    mark_list_parse,
    mark_list_join,
    mark_list_split,
    NULL
};


static mark_codec_status_t
mark_list_parse(mark_request_t *request, const mark_codec_conf_t *conf,
    mark_memory_t *memory)
{
    mark_list_t          *list;
    mark_list_walk_t      walk;
    mark_codec_status_t   status;

    request->timeout = 0;
    request->priority = 0;

    mark_json_init(&walk.json, request->body.data, request->body.len);
    walk.path = &conf->in;
    walk.scalars = 0;

    status = mark_list_walk_in(&walk);

    if (status != MARK_CODEC_OK) {
        return status;
    }

    list = mark_memory_alloc(memory, sizeof(mark_list_t));

    if (list == NULL) {
        return MARK_CODEC_MEMORY;
    }

    status = mark_list_rows(request, &walk.json, list);

    if (status == MARK_CODEC_OK) {
        status = mark_list_walk_out(&walk);
    }

    if (status != MARK_CODEC_OK) {
        return status;
    }

    if (request->nrows == 0) {
        return MARK_CODEC_NO_ROWS;
    }

    request->parsed = list;
    request->parsed_len = sizeof(mark_list_t);

    return mark_list_key(request, list, walk.json.lax, memory);
}


static mark_codec_status_t
mark_list_rows(mark_request_t *request, mark_json_t *j, mark_list_t *list)
{
    int             rc, first;
    size_t          n;
    const uint8_t  *start, *last;

    if (mark_json_enter(j, MARK_JSON_ARRAY) != 0) {
        return MARK_CODEC_INVALID;
    }

    list->head = j->pos - request->body.data;

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

    list->start = start - request->body.data;
    list->end = last - request->body.data;
    list->tail = j->pos - 1 - request->body.data;

    return MARK_CODEC_OK;
}


/*
 * What is around the rows, an empty list in the place of theirs: a document
 * of its own, so no two texts make the same key at different places.
 * Requests with NaN keep apart: not every backend reads it.
 */

static mark_codec_status_t
mark_list_key(mark_request_t *request, const mark_list_t *list, unsigned lax,
    mark_memory_t *memory)
{
    uint8_t        *key, *p;
    const uint8_t  *data, *last;

    data = request->body.data;
    last = data + request->body.len;

    key = mark_memory_alloc(memory, 1 + list->head
                                    + (request->body.len - list->tail));

    if (key == NULL) {
        return MARK_CODEC_MEMORY;
    }

    *key = lax ? 'n' : 'v';

    p = mark_list_squeeze(key + 1, data, data + list->head);
    p = mark_list_squeeze(p, data + list->tail, last);

    request->key.data = key;
    request->key.len = p - key;

    return MARK_CODEC_OK;
}


/* Copies valid JSON, which no string is cut in, without its white space. */

static uint8_t *
mark_list_squeeze(uint8_t *dst, const uint8_t *p, const uint8_t *last)
{
    int             quoted;
    const uint8_t  *start;

    quoted = 0;

    while (p < last) {
        start = p;

        while (p < last && *p != '"' && *p != '\\' && (quoted || *p > ' ')) {
            p++;
        }

        memcpy(dst, start, p - start);
        dst += p - start;

        if (p == last) {
            break;
        }

        if (*p == '\\') {
            *dst++ = *p++;
            *dst++ = *p++;
            continue;
        }

        if (*p == '"') {
            quoted = !quoted;
            *dst++ = *p;
        }

        p++;
    }

    return dst;
}


static mark_codec_status_t
mark_list_join(mark_request_t **requests, mark_slice_t *slices, size_t n,
    const mark_codec_conf_t *conf, mark_memory_t *memory,
    mark_parts_t *joined)
{
    size_t              i;
    const uint8_t      *data;
    const mark_list_t  *list, *first;

    memset(joined, 0, sizeof(mark_parts_t));

    joined->spans = mark_memory_alloc(memory,
                                      (2 * n + 1) * sizeof(mark_span_t));

    if (joined->spans == NULL) {
        return MARK_CODEC_MEMORY;
    }

    first = requests[0]->parsed;

    mark_parts_add(joined, requests[0]->body.data, first->head);

    for (i = 0; i < n; i++) {
        list = requests[i]->parsed;
        data = requests[i]->body.data;

        if (i) {
            mark_parts_add(joined, (const uint8_t *) ",", 1);
        }

        mark_parts_add(joined, data + list->start, list->end - list->start);

        slices[i].nrows = requests[i]->nrows;
    }

    mark_parts_add(joined, requests[0]->body.data + first->tail,
                   requests[0]->body.len - first->tail);

    joined->json_len = joined->len;

    return MARK_CODEC_OK;
}


/*
 * An answer is the text around the rows and its own rows: white space around
 * all of them belongs to that text, so a backend that prints prettily is
 * quoted exactly.
 */

static mark_codec_status_t
mark_list_split(const mark_body_t *body, mark_slice_t *slices, size_t n,
    const mark_codec_conf_t *conf, mark_memory_t *memory)
{
    size_t                i;
    mark_span_t          *spans, rows, head, tail;
    mark_list_walk_t      walk;
    mark_codec_status_t   status;

    spans = mark_memory_alloc(memory, 3 * n * sizeof(mark_span_t));

    if (spans == NULL) {
        return MARK_CODEC_MEMORY;
    }

    for (i = 0; i < n; i++) {
        memset(&slices[i].answer, 0, sizeof(mark_parts_t));
        slices[i].answer.spans = spans + 3 * i;
    }

    mark_json_init(&walk.json, body->data, body->len);
    walk.path = &conf->out;
    walk.scalars = 1;

    status = mark_list_walk_in(&walk);

    if (status == MARK_CODEC_OK) {
        status = mark_list_split_rows(&walk.json, slices, n);
    }

    if (status == MARK_CODEC_OK) {
        status = mark_list_walk_out(&walk);
    }

    if (status != MARK_CODEC_OK) {
        return status;
    }

    head.data = body->data;
    head.len = slices[0].answer.spans[1].data - head.data;

    rows = slices[n - 1].answer.spans[1];
    tail.data = rows.data + rows.len;
    tail.len = body->data + body->len - tail.data;

    for (i = 0; i < n; i++) {
        rows = slices[i].answer.spans[1];

        mark_parts_add(&slices[i].answer, head.data, head.len);
        mark_parts_add(&slices[i].answer, rows.data, rows.len);
        mark_parts_add(&slices[i].answer, tail.data, tail.len);

        slices[i].answer.json_len = slices[i].answer.len;
    }

    return MARK_CODEC_OK;
}


/* Leaves each slice's rows in its second span. */

static mark_codec_status_t
mark_list_split_rows(mark_json_t *j, mark_slice_t *slices, size_t n)
{
    int           rc, first;
    size_t        i, k;
    mark_span_t  *rows;

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

    rc = mark_json_element(j, &first);

    if (rc != 0) {
        return rc == 1 ? MARK_CODEC_MISMATCH : MARK_CODEC_INVALID;
    }

    return MARK_CODEC_OK;
}
