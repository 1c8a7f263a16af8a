
/* OpenAI's embeddings, what an answer has: see mark_embeddings.h. */


#include "mark_embeddings.h"


static mark_codec_status_t mark_embeddings_data(mark_embeddings_answer_t *a);
static mark_codec_status_t mark_embeddings_row(mark_embeddings_answer_t *a,
    size_t row);
static mark_codec_status_t mark_embeddings_usage(mark_embeddings_answer_t *a);
static int mark_embeddings_integer(const mark_span_t *text, uint32_t *value);


mark_codec_status_t
mark_embeddings_answer(mark_embeddings_answer_t *a)
{
    int                   rc, first, found;
    mark_span_t           name;
    mark_json_t          *j;
    mark_codec_status_t   status;

    j = &a->json;
    found = 0;
    first = 1;

    a->ncounts = 0;

    if (mark_json_enter(j, MARK_JSON_OBJECT) != 0) {
        return MARK_CODEC_INVALID;
    }

    while ((rc = mark_json_member(j, &name, &first, 0)) == 1) {

        mark_json_space(j);

        if (mark_json_key_is(&name, "data")) {
            status = mark_embeddings_data(a);

            if (status != MARK_CODEC_OK) {
                return status;
            }

            found = 1;
            continue;
        }

        if (mark_json_key_is(&name, "usage")
            && j->pos < j->last && *j->pos == '{')
        {
            status = mark_embeddings_usage(a);

            if (status != MARK_CODEC_OK) {
                return status;
            }

            continue;
        }

        if (mark_json_skip(j) != 0) {
            return MARK_CODEC_INVALID;
        }

        if (j->type == MARK_JSON_ARRAY || j->type == MARK_JSON_OBJECT) {
            return MARK_CODEC_UNSUPPORTED;
        }
    }

    if (rc != 0 || mark_json_end(j) != 0) {
        return MARK_CODEC_INVALID;
    }

    return found ? MARK_CODEC_OK : MARK_CODEC_UNSUPPORTED;
}


static mark_codec_status_t
mark_embeddings_data(mark_embeddings_answer_t *a)
{
    int                   rc, first;
    size_t                i, k, row;
    mark_json_t          *j;
    mark_codec_status_t   status;

    j = &a->json;
    first = 1;
    row = 0;

    if (j->pos == j->last || *j->pos != '[') {
        return MARK_CODEC_UNSUPPORTED;
    }

    if (mark_json_enter(j, MARK_JSON_ARRAY) != 0) {
        return MARK_CODEC_INVALID;
    }

    for (i = 0; i < a->n; i++) {

        for (k = 0; k < a->slices[i].nrows; k++) {
            rc = mark_json_element(j, &first);

            if (rc != 1) {
                return rc == 0 ? MARK_CODEC_MISMATCH : MARK_CODEC_INVALID;
            }

            if (k == 0) {
                a->rows[i].data = j->pos;
            }

            status = mark_embeddings_row(a, row++);

            if (status != MARK_CODEC_OK) {
                return status;
            }
        }

        a->rows[i].len = j->pos - a->rows[i].data;
    }

    rc = mark_json_element(j, &first);

    if (rc != 0) {
        return rc == 1 ? MARK_CODEC_MISMATCH : MARK_CODEC_INVALID;
    }

    if (a->indexes[0].data == NULL) {
        a->indexes = NULL;
    }

    return MARK_CODEC_OK;
}


static mark_codec_status_t
mark_embeddings_row(mark_embeddings_answer_t *a, size_t row)
{
    int             rc, first;
    uint32_t        value;
    unsigned        keys;
    mark_json_t    *j;
    mark_span_t     name, *index;
    const uint8_t  *start;

    j = &a->json;
    keys = j->nkeys;
    first = 1;

    index = &a->indexes[row];
    index->data = NULL;

    if (j->pos == j->last || *j->pos != '{') {
        return MARK_CODEC_UNSUPPORTED;
    }

    if (mark_json_enter(j, MARK_JSON_OBJECT) != 0) {
        return MARK_CODEC_INVALID;
    }

    while ((rc = mark_json_member(j, &name, &first, keys)) == 1) {

        mark_json_space(j);
        start = j->pos;

        if (mark_json_skip(j) != 0) {
            return MARK_CODEC_INVALID;
        }

        if (mark_json_key_is(&name, "index")) {

            index->data = start;
            index->len = j->pos - start;

            if (mark_embeddings_integer(index, &value) != 0 || value != row) {
                return MARK_CODEC_MISMATCH;
            }

            continue;
        }

        if (j->type == MARK_JSON_OBJECT
            || (j->type == MARK_JSON_ARRAY
                && !mark_json_key_is(&name, "embedding")))
        {
            return MARK_CODEC_UNSUPPORTED;
        }
    }

    if (rc != 0) {
        return MARK_CODEC_INVALID;
    }

    /* all of them or none */

    if ((index->data == NULL) != (a->indexes[0].data == NULL)) {
        return MARK_CODEC_MISMATCH;
    }

    return MARK_CODEC_OK;
}


static mark_codec_status_t
mark_embeddings_usage(mark_embeddings_answer_t *a)
{
    int                       rc, first;
    unsigned                  keys;
    mark_json_t              *j;
    mark_span_t               name;
    const uint8_t            *start;
    mark_embeddings_count_t  *count;

    j = &a->json;
    keys = j->nkeys;
    first = 1;

    if (mark_json_enter(j, MARK_JSON_OBJECT) != 0) {
        return MARK_CODEC_INVALID;
    }

    while ((rc = mark_json_member(j, &name, &first, keys)) == 1) {

        mark_json_space(j);
        start = j->pos;

        if (mark_json_skip(j) != 0) {
            return MARK_CODEC_INVALID;
        }

        if (*start == 'n') {
            continue;               /* null */
        }

        if (a->ncounts == MARK_EMBEDDINGS_COUNTS) {
            return MARK_CODEC_UNSUPPORTED;
        }

        count = &a->counts[a->ncounts++];
        count->text.data = start;
        count->text.len = j->pos - start;

        if (mark_embeddings_integer(&count->text, &count->value) != 0) {
            return MARK_CODEC_UNSUPPORTED;
        }
    }

    return rc == 0 ? MARK_CODEC_OK : MARK_CODEC_INVALID;
}


/* A value that is a plain integer, without a sign, of less than 2^32. */

static int
mark_embeddings_integer(const mark_span_t *text, uint32_t *value)
{
    size_t    i;
    uint64_t  n;

    n = 0;

    if (text->len > 10) {
        return -1;
    }

    for (i = 0; i < text->len; i++) {
        if (text->data[i] < '0' || text->data[i] > '9') {
            return -1;
        }

        n = n * 10 + (text->data[i] - '0');
    }

    *value = n;

    return n <= UINT32_MAX ? 0 : -1;
}
