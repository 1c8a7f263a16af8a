
/* OpenAI's embeddings, answers: see mark_embeddings.h. */


#include <stdio.h>
#include <string.h>

#include "mark_embeddings.h"
#include "mark_apportion.h"


/* Digits of an integer that is less than 2^32, and the end of a string. */

#define MARK_EMBEDDINGS_COUNT_LEN  11


/* Where a slice's answer is in the body: text behind is not yet taken. */

typedef struct {
    const uint8_t  *pos;
    mark_parts_t   *parts;
} mark_embeddings_copy_t;


static mark_codec_status_t mark_embeddings_alloc(mark_embeddings_answer_t *a,
    mark_memory_t *memory);
static mark_codec_status_t mark_embeddings_share(mark_embeddings_answer_t *a,
    char **shares, mark_memory_t *memory);
static mark_codec_status_t mark_embeddings_cut(mark_embeddings_answer_t *a,
    const char *shares, const mark_body_t *body, mark_memory_t *memory);
static void mark_embeddings_counts(mark_embeddings_copy_t *copy,
    mark_embeddings_answer_t *a, const char *share, const uint8_t *from,
    const uint8_t *to);
static void mark_embeddings_replace(mark_embeddings_copy_t *copy,
    const mark_span_t *old, const uint8_t *text, size_t len);
static void mark_embeddings_upto(mark_embeddings_copy_t *copy,
    const uint8_t *pos);


mark_codec_status_t
mark_embeddings_split(const mark_body_t *body, mark_slice_t *slices, size_t n,
    const mark_codec_conf_t *conf, mark_memory_t *memory)
{
    char                      *shares;
    mark_codec_status_t        status;
    mark_embeddings_answer_t   a;

    a.slices = slices;
    a.n = n;

    status = mark_embeddings_alloc(&a, memory);

    if (status != MARK_CODEC_OK) {
        return status;
    }

    mark_json_init(&a.json, body->data, body->len);

    status = mark_embeddings_answer(&a);

    if (status == MARK_CODEC_OK) {
        status = mark_embeddings_share(&a, &shares, memory);
    }

    if (status != MARK_CODEC_OK) {
        return status;
    }

    return mark_embeddings_cut(&a, shares, body, memory);
}


static mark_codec_status_t
mark_embeddings_alloc(mark_embeddings_answer_t *a, mark_memory_t *memory)
{
    size_t  i, nrows;

    nrows = 0;

    for (i = 0; i < a->n; i++) {
        nrows += a->slices[i].nrows;
    }

    a->rows = mark_memory_alloc(memory, (a->n + nrows) * sizeof(mark_span_t));

    if (a->rows == NULL) {
        return MARK_CODEC_MEMORY;
    }

    a->indexes = a->rows + a->n;

    return MARK_CODEC_OK;
}


/* The texts of all counts of the first slice, those of the second, ... */

static mark_codec_status_t
mark_embeddings_share(mark_embeddings_answer_t *a, char **text,
    mark_memory_t *memory)
{
    char          *p;
    size_t         i, k;
    mark_apportion_t  *shares;

    shares = mark_memory_alloc(memory, a->n * sizeof(mark_apportion_t));
    p = mark_memory_alloc(memory, a->n * a->ncounts
                                  * MARK_EMBEDDINGS_COUNT_LEN);

    if (shares == NULL || p == NULL) {
        return MARK_CODEC_MEMORY;
    }

    *text = p;

    for (i = 0; i < a->n; i++) {
        shares[i].weight = (a->slices[i].weight < UINT32_MAX)
                           ? a->slices[i].weight : UINT32_MAX;
    }

    for (k = 0; k < a->ncounts; k++) {
        mark_apportion(shares, a->n, a->counts[k].value);

        for (i = 0; i < a->n; i++) {
            p = *text + (i * a->ncounts + k) * MARK_EMBEDDINGS_COUNT_LEN;
            sprintf(p, "%u", (unsigned) shares[i].share);
        }
    }

    return MARK_CODEC_OK;
}


/*
 * All that is around the rows goes to each, with its counts, and to each its
 * rows.  The text of an index is that of the row so many places from the
 * first of all, which the backend itself has written.
 */

static mark_codec_status_t
mark_embeddings_cut(mark_embeddings_answer_t *a, const char *shares,
    const mark_body_t *body, mark_memory_t *memory)
{
    size_t                   i, k, row, nspans;
    mark_span_t             *spans, *index;
    const uint8_t           *start, *end, *last;
    mark_embeddings_copy_t   copy;

    start = a->rows[0].data;
    end = a->rows[a->n - 1].data + a->rows[a->n - 1].len;
    last = body->data + body->len;
    row = 0;

    for (i = 0; i < a->n; i++) {

        /* two for each text that is replaced, and three around */

        nspans = 2 * a->ncounts + 3;

        if (i && a->indexes) {
            nspans += 2 * a->slices[i].nrows;
        }

        spans = mark_memory_alloc(memory, nspans * sizeof(mark_span_t));

        if (spans == NULL) {
            return MARK_CODEC_MEMORY;
        }

        memset(&a->slices[i].answer, 0, sizeof(mark_parts_t));
        a->slices[i].answer.spans = spans;

        copy.parts = &a->slices[i].answer;
        copy.pos = body->data;

        mark_embeddings_counts(&copy, a, shares, body->data, start);
        mark_embeddings_upto(&copy, start);

        copy.pos = a->rows[i].data;

        for (k = 0; i && a->indexes && k < a->slices[i].nrows; k++) {
            index = &a->indexes[k];
            mark_embeddings_replace(&copy, &a->indexes[row + k], index->data,
                                    index->len);
        }

        mark_embeddings_upto(&copy, a->rows[i].data + a->rows[i].len);

        copy.pos = end;

        mark_embeddings_counts(&copy, a, shares, end, last);
        mark_embeddings_upto(&copy, last);

        a->slices[i].answer.json_len = a->slices[i].answer.len;

        row += a->slices[i].nrows;
        shares += a->ncounts * MARK_EMBEDDINGS_COUNT_LEN;
    }

    return MARK_CODEC_OK;
}


/* Puts a slice's counts where those between two places are. */

static void
mark_embeddings_counts(mark_embeddings_copy_t *copy,
    mark_embeddings_answer_t *a, const char *share, const uint8_t *from,
    const uint8_t *to)
{
    size_t              k;
    const mark_span_t  *old;

    for (k = 0; k < a->ncounts; k++) {
        old = &a->counts[k].text;

        if (old->data >= from && old->data < to) {
            mark_embeddings_replace(copy, old, (const uint8_t *) share,
                                    strlen(share));
        }

        share += MARK_EMBEDDINGS_COUNT_LEN;
    }
}


static void
mark_embeddings_replace(mark_embeddings_copy_t *copy, const mark_span_t *old,
    const uint8_t *text, size_t len)
{
    mark_embeddings_upto(copy, old->data);
    mark_parts_add(copy->parts, text, len);

    copy->pos = old->data + old->len;
}


static void
mark_embeddings_upto(mark_embeddings_copy_t *copy, const uint8_t *pos)
{
    mark_parts_add(copy->parts, copy->pos, pos - copy->pos);
    copy->pos = pos;
}
