
/* Tensors of requests and answers, in JSON or in the bytes behind it. */


#include "mark_v2.h"


/* An object of "inputs" or "outputs", as far as it has been read. */

typedef struct {
    const mark_datatype_t  *datatype;
    mark_shape_t            shape;
    const uint8_t          *data;         /* to be read, when all is known */
    unsigned                named:1;
    unsigned                typed:1;
    unsigned                shaped:1;
    unsigned                listed:1;     /* has data, as JSON */
    uint64_t                size;         /* in bytes, if it is binary */
} mark_v2_tensor_t;


static mark_codec_status_t mark_v2_tensor(mark_v2_scan_t *scan);
static mark_codec_status_t mark_v2_tensor_member(mark_v2_scan_t *scan,
    mark_v2_tensor_t *tensor, mark_span_t *key);
static mark_codec_status_t mark_v2_datatype(mark_v2_scan_t *scan,
    mark_v2_tensor_t *tensor);
static mark_codec_status_t mark_v2_shape(mark_v2_scan_t *scan,
    mark_v2_tensor_t *tensor);
static mark_codec_status_t mark_v2_data(mark_v2_scan_t *scan,
    mark_v2_tensor_t *tensor);
static mark_codec_status_t mark_v2_binary(mark_v2_scan_t *scan,
    mark_v2_tensor_t *tensor);


mark_codec_status_t
mark_v2_tensors(mark_v2_scan_t *scan)
{
    int                   rc, first;
    mark_json_t          *j;
    mark_codec_status_t   status;

    j = &scan->json;

    mark_json_space(j);

    if (j->pos == j->last || *j->pos != '[') {
        return MARK_CODEC_UNSUPPORTED;
    }

    if (mark_json_enter(j, MARK_JSON_ARRAY) != 0) {
        return MARK_CODEC_INVALID;
    }

    first = 1;

    while ((rc = mark_json_element(j, &first)) == 1) {

        if (scan->ntensors == MARK_V2_MAX_TENSORS) {
            return MARK_CODEC_UNSUPPORTED;
        }

        status = mark_v2_tensor(scan);

        if (status != MARK_CODEC_OK) {
            return status;
        }

        scan->ntensors++;
    }

    if (rc != 0) {
        return MARK_CODEC_INVALID;
    }

    return scan->ntensors ? MARK_CODEC_OK : MARK_CODEC_UNSUPPORTED;
}


static mark_codec_status_t
mark_v2_tensor(mark_v2_scan_t *scan)
{
    int                   rc, first;
    unsigned              keys;
    mark_span_t           key;
    mark_json_t          *j;
    const uint8_t        *end;
    mark_v2_tensor_t      tensor;
    mark_codec_status_t   status;

    j = &scan->json;
    keys = j->nkeys;
    first = 1;

    tensor.datatype = NULL;
    tensor.data = NULL;
    tensor.named = 0;
    tensor.typed = 0;
    tensor.shaped = 0;
    tensor.listed = 0;
    tensor.size = MARK_V2_NO_SIZE;

    if (mark_json_enter(j, MARK_JSON_OBJECT) != 0) {
        return MARK_CODEC_INVALID;
    }

    while ((rc = mark_json_member(j, &key, &first, keys)) == 1) {
        status = mark_v2_tensor_member(scan, &tensor, &key);

        if (status != MARK_CODEC_OK) {
            return status;
        }
    }

    if (rc != 0) {
        return MARK_CODEC_INVALID;
    }

    if (!tensor.shaped || !tensor.named) {
        return MARK_CODEC_INVALID;
    }

    if (scan->slices == NULL && !tensor.typed) {
        return MARK_CODEC_INVALID;
    }

    if (tensor.size != MARK_V2_NO_SIZE) {
        return tensor.listed ? MARK_CODEC_INVALID
                             : mark_v2_binary(scan, &tensor);
    }

    if (!tensor.listed) {
        return MARK_CODEC_INVALID;
    }

    if (tensor.data) {
        end = j->pos;
        j->pos = tensor.data;

        status = mark_v2_data(scan, &tensor);

        j->pos = end;
        return status;
    }

    return MARK_CODEC_OK;
}


static mark_codec_status_t
mark_v2_tensor_member(mark_v2_scan_t *scan, mark_v2_tensor_t *tensor,
    mark_span_t *key)
{
    mark_span_t   name;
    mark_json_t  *j;

    j = &scan->json;

    if (mark_json_key_is(key, "data")) {
        tensor->listed = 1;

        if (tensor->shaped && tensor->typed) {
            return mark_v2_data(scan, tensor);
        }

        mark_json_space(j);
        tensor->data = j->pos;

        return mark_json_skip(j) == 0 ? MARK_CODEC_OK : MARK_CODEC_INVALID;
    }

    if (mark_json_key_is(key, "name")) {
        tensor->named = 1;
        return mark_v2_string(scan, &name);
    }

    if (mark_json_key_is(key, "shape")) {
        return mark_v2_shape(scan, tensor);
    }

    if (mark_json_key_is(key, "datatype")) {
        return mark_v2_datatype(scan, tensor);
    }

    if (mark_json_key_is(key, "parameters")) {
        return scan->slices ? mark_v2_output_parameters(scan, &tensor->size)
                            : mark_v2_input_parameters(scan, &tensor->size);
    }

    if (scan->slices == NULL) {
        return MARK_CODEC_UNSUPPORTED;
    }

    return mark_v2_answer_scalar(scan);
}


static mark_codec_status_t
mark_v2_datatype(mark_v2_scan_t *scan, mark_v2_tensor_t *tensor)
{
    mark_span_t          name;
    mark_codec_status_t  status;

    status = mark_v2_string(scan, &name);

    if (status != MARK_CODEC_OK) {
        return status;
    }

    tensor->typed = 1;
    tensor->datatype = mark_datatype(&name);

    /* an answer's elements in JSON can be counted whatever their type */

    if (tensor->datatype == NULL && scan->slices == NULL) {
        return MARK_CODEC_UNSUPPORTED;
    }

    return MARK_CODEC_OK;
}


static mark_codec_status_t
mark_v2_shape(mark_v2_scan_t *scan, mark_v2_tensor_t *tensor)
{
    size_t                nrows;
    mark_span_t           rows;
    mark_shape_t         *shape;
    mark_codec_status_t   status;

    shape = &tensor->shape;
    status = mark_shape_parse(&scan->json, shape, &rows);

    if (status != MARK_CODEC_OK) {
        return status;
    }

    nrows = shape->dims[0];

    if (scan->slices) {
        if (nrows != scan->nrows) {
            return MARK_CODEC_MISMATCH;
        }

    } else {
        if (nrows == 0) {
            return MARK_CODEC_NO_ROWS;
        }

        /* the first dimension is not that of a batch, or rows are empty */

        if (shape->row == 0 || (scan->nrows && nrows != scan->nrows)) {
            return MARK_CODEC_UNSUPPORTED;
        }

        scan->nrows = nrows;
    }

    tensor->shaped = 1;
    mark_v2_hole(scan, MARK_V2_ROWS, rows.data, rows.len, nrows);

    return MARK_CODEC_OK;
}


static mark_codec_status_t
mark_v2_data(mark_v2_scan_t *scan, mark_v2_tensor_t *tensor)
{
    size_t                i, n;
    uint64_t              flags;
    mark_span_t           all, *rows;
    mark_tensor_t         list;
    mark_codec_status_t   status;

    /*
     * A server prints what it likes, null for NaN among it; in a request,
     * what one server takes for a number and another does not would be a
     * fault for all that share its batch.
     */

    static const mark_json_scalar_t  any = { MARK_JSON_ANY, 0, 0 };

    n = 1;
    rows = &all;

    if (scan->slices) {
        n = scan->nslices;
        rows = mark_memory_alloc(scan->memory, n * sizeof(mark_span_t));

        if (rows == NULL) {
            return MARK_CODEC_MEMORY;
        }

        scan->rows[scan->ntensors] = rows;
    }

    scan->json.lax = 0;

    status = mark_tensor_open(&list, &scan->json, &tensor->shape,
                              scan->slices ? &any : &tensor->datatype->scalar);

    for (i = 0; status == MARK_CODEC_OK && i < n; i++) {
        status = mark_tensor_rows(&list, scan->slices ? scan->slices[i].nrows
                                                      : scan->nrows,
                                  &rows[i]);
    }

    if (status == MARK_CODEC_OK) {
        status = mark_tensor_close(&list);
    }

    if (status != MARK_CODEC_OK) {
        return status;
    }

    flags = (list.nested ? MARK_V2_NESTED : 0)
            | (scan->json.lax ? MARK_V2_LAX : 0);

    mark_v2_hole(scan, MARK_V2_DATA, rows[0].data,
                 rows[n - 1].data + rows[n - 1].len - rows[0].data, flags);

    return MARK_CODEC_OK;
}


/* Its bytes are those that follow the ones of the tensors before it. */

static mark_codec_status_t
mark_v2_binary(mark_v2_scan_t *scan, mark_v2_tensor_t *tensor)
{
    size_t                i, n, nrows;
    mark_span_t          *rows;
    const uint8_t        *p, *next, *last;

    if (tensor->datatype == NULL) {
        return MARK_CODEC_UNSUPPORTED;
    }

    p = scan->body->data + scan->text_len + scan->binary_len;

    if (tensor->size > scan->body->len - scan->text_len - scan->binary_len) {
        return MARK_CODEC_MISMATCH;
    }

    last = p + tensor->size;
    n = 1;
    rows = NULL;

    if (scan->slices) {
        n = scan->nslices;
        rows = mark_memory_alloc(scan->memory, n * sizeof(mark_span_t));

        if (rows == NULL) {
            return MARK_CODEC_MEMORY;
        }

        scan->rows[scan->ntensors] = rows;
    }

    for (i = 0; i < n; i++) {
        nrows = scan->slices ? scan->slices[i].nrows : scan->nrows;
        next = mark_tensor_pass(p, last, &tensor->shape, tensor->datatype,
                                nrows);

        if (next == NULL) {
            return MARK_CODEC_MISMATCH;
        }

        if (rows) {
            rows[i].data = p;
            rows[i].len = next - p;
        }

        p = next;
    }

    if (p != last) {
        return MARK_CODEC_MISMATCH;
    }

    scan->binary_len += tensor->size;

    return MARK_CODEC_OK;
}
