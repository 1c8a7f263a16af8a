
/*
 * An answer of the Open Inference Protocol cut into those that each request
 * would have got: the same text to all, with each one's own in its holes.
 */


#include <string.h>

#include "mark_v2.h"


static mark_codec_status_t mark_v2_answer(mark_v2_scan_t *scan);
static mark_codec_status_t mark_v2_answer_id(mark_v2_scan_t *scan);
static mark_codec_status_t mark_v2_answer_slice(mark_v2_scan_t *scan,
    size_t n);
static int mark_v2_answer_hole(mark_v2_scan_t *scan, size_t n,
    const mark_v2_hole_t *hole, mark_span_t *span);


mark_codec_status_t
mark_v2_split(const mark_body_t *body, mark_slice_t *slices, size_t n,
    const mark_codec_conf_t *conf, mark_memory_t *memory)
{
    size_t               i;
    mark_v2_scan_t       scan;
    mark_codec_status_t  status;

    status = mark_v2_scan(&scan, body);

    if (status != MARK_CODEC_OK) {
        return status;
    }

    scan.slices = slices;
    scan.nslices = n;
    scan.memory = memory;

    for (i = 0; i < n; i++) {
        scan.nrows += slices[i].nrows;
    }

    status = mark_v2_answer(&scan);

    for (i = 0; status == MARK_CODEC_OK && i < n; i++) {
        status = mark_v2_answer_slice(&scan, i);
    }

    return status;
}


static mark_codec_status_t
mark_v2_answer(mark_v2_scan_t *scan)
{
    int                   rc, first, found, identified;
    mark_span_t           key;
    mark_json_t          *j;
    mark_codec_status_t   status;

    j = &scan->json;
    found = 0;
    identified = 0;
    first = 1;

    if (mark_json_enter(j, MARK_JSON_OBJECT) != 0) {
        return MARK_CODEC_INVALID;
    }

    while ((rc = mark_json_member(j, &key, &first, 0)) == 1) {

        if (mark_json_key_is(&key, "outputs")) {
            status = mark_v2_tensors(scan);
            found = 1;

        } else if (mark_json_key_is(&key, "id")) {
            status = mark_v2_answer_id(scan);
            identified = 1;

        } else if (mark_json_key_is(&key, "parameters")) {
            status = mark_v2_output_parameters(scan, NULL);

        } else if (mark_json_key_is(&key, "error")) {
            status = MARK_CODEC_UNSUPPORTED;

        } else {
            status = mark_v2_answer_scalar(scan);
        }

        if (status != MARK_CODEC_OK) {
            return status;
        }
    }

    if (rc != 0 || mark_json_end(j) != 0) {
        return MARK_CODEC_INVALID;
    }

    if (!found) {
        return MARK_CODEC_UNSUPPORTED;
    }

    if (!identified && scan->slices[0].id.len) {
        return MARK_CODEC_MISMATCH;
    }

    if (scan->text_len + scan->binary_len != scan->body->len) {
        return MARK_CODEC_MISMATCH;
    }

    return MARK_CODEC_OK;
}


/*
 * Where clients sent none, an id is the server's own invention for this
 * request (MLServer makes one up), and all get the same.
 */

static mark_codec_status_t
mark_v2_answer_id(mark_v2_scan_t *scan)
{
    mark_span_t           id;
    mark_codec_status_t   status;
    const mark_span_t    *sent;

    sent = &scan->slices[0].id;

    if (sent->len == 0) {
        return mark_v2_answer_scalar(scan);
    }

    status = mark_v2_string(scan, &id);

    if (status == MARK_CODEC_INVALID) {
        return status;
    }

    if (id.len != sent->len || memcmp(id.data, sent->data, id.len) != 0) {
        return MARK_CODEC_MISMATCH;
    }

    mark_v2_hole(scan, MARK_V2_ID, id.data, id.len, 0);

    return MARK_CODEC_OK;
}


mark_codec_status_t
mark_v2_output_parameters(mark_v2_scan_t *scan, uint64_t *size)
{
    int                   rc, first;
    unsigned              keys;
    mark_span_t           name;
    mark_json_t          *j;
    mark_codec_status_t   status;

    j = &scan->json;
    keys = j->nkeys;
    first = 1;

    if (mark_v2_null(scan)) {
        return mark_v2_answer_scalar(scan);
    }

    if (mark_json_enter(j, MARK_JSON_OBJECT) != 0) {
        return MARK_CODEC_UNSUPPORTED;
    }

    while ((rc = mark_json_member(j, &name, &first, keys)) == 1) {

        if (size && mark_json_key_is(&name, "binary_data_size")) {
            status = mark_v2_size(scan, size);

        } else {
            status = mark_v2_answer_scalar(scan);
        }

        if (status != MARK_CODEC_OK) {
            return status;
        }
    }

    return rc == 0 ? MARK_CODEC_OK : MARK_CODEC_INVALID;
}


/* A list or an object could hold something of a single client. */

mark_codec_status_t
mark_v2_answer_scalar(mark_v2_scan_t *scan)
{
    mark_json_t  *j;

    j = &scan->json;

    if (mark_json_skip(j) != 0) {
        return MARK_CODEC_INVALID;
    }

    if (j->type == MARK_JSON_ARRAY || j->type == MARK_JSON_OBJECT) {
        return MARK_CODEC_UNSUPPORTED;
    }

    return MARK_CODEC_OK;
}


static mark_codec_status_t
mark_v2_answer_slice(mark_v2_scan_t *scan, size_t n)
{
    size_t                 i, nspans;
    mark_span_t            span;
    mark_parts_t          *answer;
    const uint8_t         *p, *data;
    const mark_v2_hole_t  *hole;

    answer = &scan->slices[n].answer;
    data = scan->body->data;
    nspans = 2 * scan->nholes + 1 + scan->ntensors;

    answer->spans = mark_memory_alloc(scan->memory,
                                      nspans * sizeof(mark_span_t));

    if (answer->spans == NULL) {
        return MARK_CODEC_MEMORY;
    }

    answer->nspans = 0;
    answer->len = 0;

    p = data;

    for (i = 0; i < scan->nholes; i++) {
        hole = &scan->holes[i];

        mark_parts_add(answer, p, data + hole->offset - p);

        if (mark_v2_answer_hole(scan, n, hole, &span) != 0) {
            return MARK_CODEC_MEMORY;
        }

        /* empty: rows of nothing */

        if (span.len) {
            mark_parts_add(answer, span.data, span.len);
        }

        p = data + hole->offset + hole->len;
    }

    mark_parts_add(answer, p, data + scan->text_len - p);

    answer->binary = scan->body->binary;
    answer->json_len = answer->len;

    for (i = 0; i < scan->nholes; i++) {
        hole = &scan->holes[i];

        if (hole->type != MARK_V2_SIZE) {
            continue;
        }

        span = scan->rows[hole->tensor][n];

        if (span.len) {
            mark_parts_add(answer, span.data, span.len);
        }
    }

    return MARK_CODEC_OK;
}


static int
mark_v2_answer_hole(mark_v2_scan_t *scan, size_t n,
    const mark_v2_hole_t *hole, mark_span_t *span)
{
    switch (hole->type) {

    case MARK_V2_ID:
        *span = scan->slices[n].id;
        return 0;

    case MARK_V2_DATA:
        *span = scan->rows[hole->tensor][n];
        return 0;

    case MARK_V2_ROWS:
        return mark_v2_print(scan->slices[n].nrows, scan->memory, span);

    default: /* MARK_V2_SIZE */
        return mark_v2_print(scan->rows[hole->tensor][n].len, scan->memory,
                             span);
    }
}
