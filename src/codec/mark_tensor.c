
/* Tensors of the Open Inference Protocol: see mark_tensor.h. */


#include <string.h>

#include "mark_tensor.h"


/* No element is larger than 8 bytes, so sizes do not overflow either. */

#define MARK_TENSOR_MAX  (PTRDIFF_MAX / 8)


static mark_codec_status_t mark_tensor_list(mark_tensor_t *tensor,
    size_t level);
static mark_codec_status_t mark_tensor_scalars(mark_tensor_t *tensor,
    size_t n);
static mark_codec_status_t mark_tensor_next(mark_tensor_t *tensor,
    int *first);
static mark_codec_status_t mark_tensor_end(mark_tensor_t *tensor, int *first);


/*
 * An integer that its type cannot hold is refused by some servers, wrapped or
 * rounded by others.  16-bit floats have no form in JSON.
 */

static const mark_datatype_t  mark_datatypes[] = {
    { "FP32",   4, { MARK_JSON_NUMBERS, 0, 0 } },
    { "FP64",   8, { MARK_JSON_NUMBERS, 0, 0 } },
    { "FP16",   2, { MARK_JSON_NONE, 0, 0 } },
    { "BF16",   2, { MARK_JSON_NONE, 0, 0 } },
    { "INT8",   1, { MARK_JSON_INTEGERS, INT8_MAX, 1ULL << 7 } },
    { "INT16",  2, { MARK_JSON_INTEGERS, INT16_MAX, 1ULL << 15 } },
    { "INT32",  4, { MARK_JSON_INTEGERS, INT32_MAX, 1ULL << 31 } },
    { "INT64",  8, { MARK_JSON_INTEGERS, INT64_MAX, 1ULL << 63 } },
    { "UINT8",  1, { MARK_JSON_INTEGERS, UINT8_MAX, 0 } },
    { "UINT16", 2, { MARK_JSON_INTEGERS, UINT16_MAX, 0 } },
    { "UINT32", 4, { MARK_JSON_INTEGERS, UINT32_MAX, 0 } },
    { "UINT64", 8, { MARK_JSON_INTEGERS, UINT64_MAX, 0 } },
    { "BOOL",   1, { MARK_JSON_BOOLEANS, 0, 0 } },
    { "BYTES",  0, { MARK_JSON_STRINGS, 0, 0 } },
    { NULL,     0, { MARK_JSON_NONE, 0, 0 } }
};


const mark_datatype_t *
mark_datatype(const mark_span_t *name)
{
    const mark_datatype_t  *d;

    for (d = mark_datatypes; d->name; d++) {
        if (mark_json_key_is(name, d->name)) {
            return d;
        }
    }

    return NULL;
}


mark_codec_status_t
mark_shape_parse(mark_json_t *j, mark_shape_t *shape, mark_span_t *rows)
{
    int       rc, first;
    size_t    n;
    uint64_t  dim;

    if (mark_json_enter(j, MARK_JSON_ARRAY) != 0) {
        return MARK_CODEC_INVALID;
    }

    n = 0;
    first = 1;
    shape->row = 1;

    while ((rc = mark_json_element(j, &first)) == 1) {

        if (n == MARK_TENSOR_MAX_DIMS) {
            return MARK_CODEC_UNSUPPORTED;
        }

        if (n == 0) {
            rows->data = j->pos;
        }

        if (mark_json_unsigned(j, &dim) != 1 || dim > PTRDIFF_MAX) {
            return MARK_CODEC_INVALID;
        }

        if (n == 0) {
            rows->len = j->pos - rows->data;

        } else if (dim && shape->row > MARK_TENSOR_MAX / dim) {
            return MARK_CODEC_INVALID;

        } else {
            shape->row *= dim;
        }

        shape->dims[n++] = dim;
    }

    if (rc != 0) {
        return MARK_CODEC_INVALID;
    }

    if (n == 0) {
        return MARK_CODEC_UNSUPPORTED;
    }

    if (shape->dims[0] && shape->row > MARK_TENSOR_MAX / shape->dims[0]) {
        return MARK_CODEC_INVALID;
    }

    shape->ndims = n;

    return MARK_CODEC_OK;
}


mark_codec_status_t
mark_tensor_open(mark_tensor_t *tensor, mark_json_t *j,
    const mark_shape_t *shape, const mark_json_scalar_t *scalar)
{
    const uint8_t  *start;

    mark_json_space(j);

    /* "data": "text" is somebody's own */

    if (j->pos == j->last || *j->pos != '[') {
        return MARK_CODEC_UNSUPPORTED;
    }

    if (mark_json_enter(j, MARK_JSON_ARRAY) != 0) {
        return MARK_CODEC_INVALID;
    }

    start = j->pos;
    mark_json_space(j);

    tensor->json = j;
    tensor->shape = shape;
    tensor->scalar = scalar;
    tensor->first = 1;
    tensor->nested = (j->pos < j->last && *j->pos == '[' && shape->ndims > 1);

    j->pos = start;

    return MARK_CODEC_OK;
}


mark_codec_status_t
mark_tensor_rows(mark_tensor_t *tensor, size_t n, mark_span_t *rows)
{
    mark_json_t          *j;
    mark_codec_status_t   status;

    j = tensor->json;

    if (n == 0 || (!tensor->nested && tensor->shape->row == 0)) {
        rows->data = j->pos;
        rows->len = 0;
        return MARK_CODEC_OK;
    }

    status = mark_tensor_next(tensor, &tensor->first);

    if (status != MARK_CODEC_OK) {
        return status;
    }

    rows->data = j->pos;

    if (!tensor->nested) {
        status = mark_tensor_scalars(tensor, n * tensor->shape->row);

        rows->len = j->pos - rows->data;
        return status;
    }

    for ( ;; ) {
        status = mark_tensor_list(tensor, 1);

        if (status != MARK_CODEC_OK || --n == 0) {
            break;
        }

        status = mark_tensor_next(tensor, &tensor->first);

        if (status != MARK_CODEC_OK) {
            break;
        }
    }

    rows->len = j->pos - rows->data;

    return status;
}


mark_codec_status_t
mark_tensor_close(mark_tensor_t *tensor)
{
    return mark_tensor_end(tensor, &tensor->first);
}


/* A list as long as that dimension, of lists or of scalars. */

static mark_codec_status_t
mark_tensor_list(mark_tensor_t *tensor, size_t level)
{
    int                   first;
    size_t                i, n;
    mark_json_t          *j;
    mark_codec_status_t   status;

    j = tensor->json;
    n = tensor->shape->dims[level];

    if (j->pos == j->last || *j->pos != '[') {
        return MARK_CODEC_MISMATCH;
    }

    if (mark_json_enter(j, MARK_JSON_ARRAY) != 0) {
        return MARK_CODEC_INVALID;
    }

    first = 1;

    if (n && level + 1 == tensor->shape->ndims) {
        status = mark_tensor_next(tensor, &first);

        if (status == MARK_CODEC_OK) {
            status = mark_tensor_scalars(tensor, n);
        }

        if (status != MARK_CODEC_OK) {
            return status;
        }

        return mark_tensor_end(tensor, &first);
    }

    for (i = 0; i < n; i++) {
        status = mark_tensor_next(tensor, &first);

        if (status == MARK_CODEC_OK) {
            status = mark_tensor_list(tensor, level + 1);
        }

        if (status != MARK_CODEC_OK) {
            return status;
        }
    }

    return mark_tensor_end(tensor, &first);
}


static mark_codec_status_t
mark_tensor_scalars(mark_tensor_t *tensor, size_t n)
{
    mark_json_t  *j;

    j = tensor->json;

    switch (mark_json_scalars(j, tensor->scalar, n)) {

    case 1:
        return MARK_CODEC_OK;

    case 0:
        if (j->pos < j->last && *j->pos == '{') {
            return MARK_CODEC_UNSUPPORTED;
        }

        return MARK_CODEC_MISMATCH;

    default:
        return MARK_CODEC_INVALID;
    }
}


static mark_codec_status_t
mark_tensor_next(mark_tensor_t *tensor, int *first)
{
    switch (mark_json_element(tensor->json, first)) {

    case 1:
        return MARK_CODEC_OK;

    case 0:
        return MARK_CODEC_MISMATCH;

    default:
        return MARK_CODEC_INVALID;
    }
}


static mark_codec_status_t
mark_tensor_end(mark_tensor_t *tensor, int *first)
{
    switch (mark_json_element(tensor->json, first)) {

    case 0:
        return MARK_CODEC_OK;

    case 1:
        return MARK_CODEC_MISMATCH;

    default:
        return MARK_CODEC_INVALID;
    }
}


const uint8_t *
mark_tensor_pass(const uint8_t *p, const uint8_t *last,
    const mark_shape_t *shape, const mark_datatype_t *datatype, size_t n)
{
    size_t    left;
    uint64_t  len;

    left = n * shape->row;

    if (datatype->size) {
        left *= datatype->size;
        return (size_t) (last - p) < left ? NULL : p + left;
    }

    /* BYTES: each element has its length before it, little endian */

    for ( /* void */ ; left; left--) {

        if (last - p < 4) {
            return NULL;
        }

        len = p[0] | p[1] << 8 | p[2] << 16 | (uint64_t) p[3] << 24;
        p += 4;

        if ((size_t) (last - p) < len) {
            return NULL;
        }

        p += len;
    }

    return p;
}
