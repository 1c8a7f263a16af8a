
/*
 * Many requests of the Open Inference Protocol made one: the first one's
 * text, with what they have of their own in its holes.
 */


#include <string.h>

#include "mark_v2.h"


static mark_codec_status_t mark_v2_join_ids(mark_request_t **requests,
    mark_slice_t *slices, size_t n, mark_memory_t *memory);
static mark_codec_status_t mark_v2_join_hole(mark_request_t **requests,
    size_t n, size_t index, mark_memory_t *memory, mark_parts_t *joined);
static void mark_v2_join_rows(mark_request_t **requests, size_t n,
    size_t index, mark_parts_t *joined);
static void mark_v2_join_binary(mark_request_t **requests, size_t n,
    mark_parts_t *joined);
static uint64_t mark_v2_join_number(mark_v2_type_t type, uint64_t a,
    uint64_t b);
static const mark_v2_hole_t *mark_v2_request_hole(
    const mark_request_t *request, size_t index);


mark_codec_status_t
mark_v2_join(mark_request_t **requests, mark_slice_t *slices, size_t n,
    const mark_codec_conf_t *conf, mark_memory_t *memory,
    mark_parts_t *joined)
{
    size_t                   i, nspans;
    const uint8_t           *p, *data;
    mark_codec_status_t      status;
    const mark_v2_hole_t    *hole;
    const mark_v2_parsed_t  *first;

    status = mark_v2_join_ids(requests, slices, n, memory);

    if (status != MARK_CODEC_OK) {
        return status;
    }

    first = requests[0]->parsed;
    data = requests[0]->body.data;

    /* text and hole in turn; rows, with commas, in one or behind the text */

    nspans = 1 + first->nholes * (2 + 2 * n);

    joined->spans = mark_memory_alloc(memory, nspans * sizeof(mark_span_t));

    if (joined->spans == NULL) {
        return MARK_CODEC_MEMORY;
    }

    joined->nspans = 0;
    joined->len = 0;

    p = data;

    for (i = 0; i < first->nholes; i++) {
        hole = &first->holes[i];

        mark_parts_add(joined, p, data + hole->offset - p);

        status = mark_v2_join_hole(requests, n, i, memory, joined);

        if (status != MARK_CODEC_OK) {
            return status;
        }

        p = data + hole->offset + hole->len;
    }

    mark_parts_add(joined, p, data + first->text_len - p);

    joined->binary = requests[0]->body.binary;
    joined->json_len = joined->len;

    mark_v2_join_binary(requests, n, joined);

    return MARK_CODEC_OK;
}


/* The ids outlive the bodies. */

static mark_codec_status_t
mark_v2_join_ids(mark_request_t **requests, mark_slice_t *slices, size_t n,
    mark_memory_t *memory)
{
    size_t                   i, k;
    uint8_t                 *id;
    const mark_v2_hole_t    *hole;
    const mark_v2_parsed_t  *first;

    first = requests[0]->parsed;

    for (k = 0; k < first->nholes; k++) {
        if (first->holes[k].type == MARK_V2_ID) {
            break;
        }
    }

    for (i = 0; i < n; i++) {
        slices[i].nrows = requests[i]->nrows;
        slices[i].id.data = NULL;
        slices[i].id.len = 0;

        if (k == first->nholes) {
            continue;
        }

        hole = mark_v2_request_hole(requests[i], k);
        id = mark_memory_alloc(memory, hole->len);

        if (id == NULL) {
            return MARK_CODEC_MEMORY;
        }

        memcpy(id, requests[i]->body.data + hole->offset, hole->len);

        slices[i].id.data = id;
        slices[i].id.len = hole->len;
    }

    return MARK_CODEC_OK;
}


static mark_codec_status_t
mark_v2_join_hole(mark_request_t **requests, size_t n, size_t index,
    mark_memory_t *memory, mark_parts_t *joined)
{
    size_t                  i;
    uint64_t                value;
    mark_span_t             number;
    const mark_v2_hole_t   *hole, *other;

    hole = mark_v2_request_hole(requests[0], index);

    switch (hole->type) {

    case MARK_V2_ID:
        mark_parts_add(joined, requests[0]->body.data + hole->offset,
                       hole->len);
        return MARK_CODEC_OK;

    case MARK_V2_DATA:
        mark_v2_join_rows(requests, n, index, joined);
        return MARK_CODEC_OK;
    }

    value = hole->value;

    for (i = 1; i < n; i++) {
        other = mark_v2_request_hole(requests[i], index);
        value = mark_v2_join_number(hole->type, value, other->value);
    }

    if (mark_v2_print(value, memory, &number) != 0) {
        return MARK_CODEC_MEMORY;
    }

    mark_parts_add(joined, number.data, number.len);

    return MARK_CODEC_OK;
}


static void
mark_v2_join_rows(mark_request_t **requests, size_t n, size_t index,
    mark_parts_t *joined)
{
    size_t                 i;
    const mark_v2_hole_t  *hole;

    static const uint8_t   comma[] = { ',' };

    for (i = 0; i < n; i++) {
        hole = mark_v2_request_hole(requests[i], index);

        if (i) {
            mark_parts_add(joined, comma, 1);
        }

        mark_parts_add(joined, requests[i]->body.data + hole->offset,
                       hole->len);
    }
}


/* Binary tensors, in the order of the text that tells their sizes. */

static void
mark_v2_join_binary(mark_request_t **requests, size_t n,
    mark_parts_t *joined)
{
    size_t                   i, k;
    const mark_v2_hole_t    *hole;
    const mark_v2_parsed_t  *first;

    first = requests[0]->parsed;

    for (k = 0; k < first->nholes; k++) {

        if (first->holes[k].type != MARK_V2_SIZE) {
            continue;
        }

        for (i = 0; i < n; i++) {
            hole = mark_v2_request_hole(requests[i], k);

            mark_parts_add(joined, requests[i]->body.data + hole->binary,
                           hole->value);
        }
    }
}


/* The least pressing timeout, of which none at all is the least: 0. */

static uint64_t
mark_v2_join_number(mark_v2_type_t type, uint64_t a, uint64_t b)
{
    switch (type) {

    case MARK_V2_TIMEOUT:
        return (a == 0 || b == 0) ? 0 : (a > b ? a : b);

    case MARK_V2_PRIORITY:
        return (a == 0) ? b : (b == 0 || a < b ? a : b);

    default:
        return a + b;
    }
}


static const mark_v2_hole_t *
mark_v2_request_hole(const mark_request_t *request, size_t index)
{
    const mark_v2_parsed_t  *parsed;

    parsed = request->parsed;

    return &parsed->holes[index];
}
