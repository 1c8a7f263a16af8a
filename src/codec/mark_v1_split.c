
/*
 * TensorFlow Serving's REST API, answers: see mark_v1.h.  The answer of one
 * client is all that is around the rows, and its own rows: white space around
 * all rows of a list belongs to what is around them, so a backend that prints
 * prettily is quoted exactly.
 */


#include "mark_v1.h"


/* An answer as it is read. */

typedef struct {
    mark_json_t      json;

    mark_slice_t    *slices;
    size_t           n;
    mark_memory_t   *memory;

    size_t           nlists;
    mark_span_t     *lists[MARK_V1_LISTS];   /* of each, the slices' rows */
} mark_v1_answer_t;


static mark_codec_status_t mark_v1_answer(mark_v1_answer_t *a);
static int mark_v1_answer_is(const mark_span_t *name);
static mark_codec_status_t mark_v1_answer_lists(mark_v1_answer_t *a,
    const mark_span_t *name);
static mark_codec_status_t mark_v1_answer_columns(mark_v1_answer_t *a);
static mark_codec_status_t mark_v1_answer_rows(mark_v1_answer_t *a);
static mark_codec_status_t mark_v1_cut(mark_v1_answer_t *a,
    const mark_body_t *body);


mark_codec_status_t
mark_v1_split(const mark_body_t *body, mark_slice_t *slices, size_t n,
    const mark_codec_conf_t *conf, mark_memory_t *memory)
{
    mark_v1_answer_t      a;
    mark_codec_status_t   status;

    a.slices = slices;
    a.n = n;
    a.memory = memory;
    a.nlists = 0;

    mark_json_init(&a.json, body->data, body->len);

    status = mark_v1_answer(&a);

    return status == MARK_CODEC_OK ? mark_v1_cut(&a, body) : status;
}


static mark_codec_status_t
mark_v1_answer(mark_v1_answer_t *a)
{
    int                   rc, first;
    mark_span_t           name;
    mark_json_t          *j;
    mark_codec_status_t   status;

    j = &a->json;
    first = 1;

    if (mark_json_enter(j, MARK_JSON_OBJECT) != 0) {
        return MARK_CODEC_INVALID;
    }

    while ((rc = mark_json_member(j, &name, &first, 0)) == 1) {

        if (mark_v1_answer_is(&name)) {
            status = mark_v1_answer_lists(a, &name);

            if (status != MARK_CODEC_OK) {
                return status;
            }

            continue;
        }

        if (mark_json_skip(j) != 0) {
            return MARK_CODEC_INVALID;
        }

        /* it could hold something of a single client */

        if (j->type == MARK_JSON_ARRAY || j->type == MARK_JSON_OBJECT) {
            return MARK_CODEC_UNSUPPORTED;
        }
    }

    if (rc != 0 || mark_json_end(j) != 0) {
        return MARK_CODEC_INVALID;
    }

    return a->nlists ? MARK_CODEC_OK : MARK_CODEC_UNSUPPORTED;
}


/* Of "examples" it is "results", and "result" in the documentation. */

static int
mark_v1_answer_is(const mark_span_t *name)
{
    return mark_json_key_is(name, "predictions")
           || mark_json_key_is(name, "outputs")
           || mark_json_key_is(name, "results")
           || mark_json_key_is(name, "result");
}


static mark_codec_status_t
mark_v1_answer_lists(mark_v1_answer_t *a, const mark_span_t *name)
{
    mark_json_t  *j;

    /* an answer has one of these */

    if (a->nlists) {
        return MARK_CODEC_UNSUPPORTED;
    }

    j = &a->json;

    mark_json_space(j);

    if (j->pos < j->last) {

        if (*j->pos == '[') {
            return mark_v1_answer_rows(a);
        }

        if (*j->pos == '{' && mark_json_key_is(name, "outputs")) {
            return mark_v1_answer_columns(a);
        }
    }

    return MARK_CODEC_UNSUPPORTED;
}


static mark_codec_status_t
mark_v1_answer_columns(mark_v1_answer_t *a)
{
    int                   rc, first;
    unsigned              keys;
    mark_span_t           name;
    mark_json_t          *j;
    mark_codec_status_t   status;

    j = &a->json;
    keys = j->nkeys;
    first = 1;

    if (mark_json_enter(j, MARK_JSON_OBJECT) != 0) {
        return MARK_CODEC_INVALID;
    }

    while ((rc = mark_json_member(j, &name, &first, keys)) == 1) {

        if (a->nlists == MARK_V1_LISTS) {
            return MARK_CODEC_UNSUPPORTED;
        }

        mark_json_space(j);

        /* one value for the whole batch */

        if (j->pos == j->last || *j->pos != '[') {
            return MARK_CODEC_MISMATCH;
        }

        status = mark_v1_answer_rows(a);

        if (status != MARK_CODEC_OK) {
            return status;
        }
    }

    return rc == 0 ? MARK_CODEC_OK : MARK_CODEC_INVALID;
}


static mark_codec_status_t
mark_v1_answer_rows(mark_v1_answer_t *a)
{
    int           rc, first;
    size_t        i, k, nrows;
    mark_json_t  *j;
    mark_span_t  *rows;

    j = &a->json;

    if (mark_json_enter(j, MARK_JSON_ARRAY) != 0) {
        return MARK_CODEC_INVALID;
    }

    rows = mark_memory_alloc(a->memory, a->n * sizeof(mark_span_t));
    if (rows == NULL) {
        return MARK_CODEC_MEMORY;
    }

    a->lists[a->nlists++] = rows;

    first = 1;

    for (i = 0; i < a->n; i++) {
        nrows = a->slices[i].nrows;

        for (k = 0; k < nrows; k++) {
            rc = mark_json_element(j, &first);

            if (rc != 1) {
                return rc == 0 ? MARK_CODEC_MISMATCH : MARK_CODEC_INVALID;
            }

            if (k == 0) {
                rows[i].data = j->pos;
            }

            if (mark_json_skip(j) != 0) {
                return MARK_CODEC_INVALID;
            }
        }

        rows[i].len = j->pos - rows[i].data;
    }

    rc = mark_json_element(j, &first);

    if (rc != 0) {
        return rc == 1 ? MARK_CODEC_MISMATCH : MARK_CODEC_INVALID;
    }

    return MARK_CODEC_OK;
}


static mark_codec_status_t
mark_v1_cut(mark_v1_answer_t *a, const mark_body_t *body)
{
    size_t               i, k;
    mark_span_t         *spans, *rows;
    mark_parts_t        *answer;
    const uint8_t       *pos, *last;

    last = body->data + body->len;

    spans = mark_memory_alloc(a->memory, a->n * (2 * a->nlists + 1)
                                         * sizeof(mark_span_t));
    if (spans == NULL) {
        return MARK_CODEC_MEMORY;
    }

    for (i = 0; i < a->n; i++) {
        answer = &a->slices[i].answer;

        answer->spans = spans;
        answer->nspans = 0;
        answer->len = 0;
        answer->binary = 0;

        pos = body->data;

        for (k = 0; k < a->nlists; k++) {
            rows = a->lists[k];

            mark_parts_add(answer, pos, rows[0].data - pos);
            mark_parts_add(answer, rows[i].data, rows[i].len);

            pos = rows[a->n - 1].data + rows[a->n - 1].len;
        }

        mark_parts_add(answer, pos, last - pos);

        answer->json_len = answer->len;
        spans += answer->nspans;
    }

    return MARK_CODEC_OK;
}
