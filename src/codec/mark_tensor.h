
/*
 * Tensors as the Open Inference Protocol writes them: a datatype, a shape,
 * and the elements, as JSON lists or as bytes.  Here they are only counted
 * and cut, by rows: the first dimension is that of the batch.
 */


#ifndef _MARK_TENSOR_H_INCLUDED_
#define _MARK_TENSOR_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "mark_codec.h"


#define MARK_TENSOR_MAX_DIMS  16


typedef struct {
    const char          *name;
    size_t               size;        /* of an element; 0: BYTES, they vary */
    mark_json_scalar_t   scalar;      /* an element in JSON */
} mark_datatype_t;


typedef struct {
    size_t               ndims;
    size_t               dims[MARK_TENSOR_MAX_DIMS];
    size_t               row;         /* elements in a row */
} mark_shape_t;


/* A JSON list of elements, as it is walked. */

typedef struct {
    mark_json_t               *json;
    const mark_shape_t        *shape;
    const mark_json_scalar_t  *scalar;
    int                        first;
    unsigned                   nested:1;  /* as the shape is, or else flat */
} mark_tensor_t;


/* Finds the datatype that a string with its quotes names, or NULL. */
const mark_datatype_t *mark_datatype(const mark_span_t *name);

/*
 * Passes a shape and tells where its first dimension is written.  _INVALID
 * are numbers that are not plain, and more elements than memory has bytes.
 */
mark_codec_status_t mark_shape_parse(mark_json_t *j, mark_shape_t *shape,
    mark_span_t *rows);

/*
 * Walk the elements, nested exactly as the shape says or all in one flat
 * list: _open() at the '[' of a list, then _rows() as often as wanted, which
 * tells from where to where n rows are, then _close().  What is not the
 * shape's is a _MISMATCH.
 */
mark_codec_status_t mark_tensor_open(mark_tensor_t *tensor, mark_json_t *j,
    const mark_shape_t *shape, const mark_json_scalar_t *scalar);
mark_codec_status_t mark_tensor_rows(mark_tensor_t *tensor, size_t n,
    mark_span_t *rows);
mark_codec_status_t mark_tensor_close(mark_tensor_t *tensor);

/*
 * Passes n rows of a binary tensor that begin at p.  Returns where they end,
 * or NULL if that is after last.
 */
const uint8_t *mark_tensor_pass(const uint8_t *p, const uint8_t *last,
    const mark_shape_t *shape, const mark_datatype_t *datatype, size_t n);


#endif /* _MARK_TENSOR_H_INCLUDED_ */
