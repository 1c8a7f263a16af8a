
/*
 * TensorFlow Serving's REST API, also KServe's V1, in its three forms:
 *
 *     {"instances": [row, ...]}            {"predictions": [row, ...]}
 *
 *     {"inputs": [row, ...]}               {"outputs": [row, ...]}
 *     {"inputs": {"a": [row, ...],         {"outputs": {"x": [row, ...],
 *                 "b": [row, ...]}}                     "y": [row, ...]}}
 *
 *     {"context": {...}, "examples": [row, ...]}     {"results": [row, ...]}
 *
 * each with "signature_name".  A request is one list of rows or, of columns,
 * several of one length: requests are joined list by list.  Rows are moved as
 * bytes; nothing is decoded or printed again, so an answer is what the
 * backend wrote.
 *
 * That the elements of columns are rows is what the API says of "instances"
 * only: a model may take "inputs" that are one matrix.  Its answer then is
 * not as long as its inputs, or it must not be batched.
 */


#ifndef _MARK_V1_H_INCLUDED_
#define _MARK_V1_H_INCLUDED_


#include "mark_codec.h"


/* More named inputs or outputs are of something else than a model. */

#define MARK_V1_LISTS  64


/* A list of rows, as offsets into the body. */

typedef struct {
    size_t             head;      /* after its '[' */
    size_t             rows;      /* the first row's first byte */
    size_t             rows_end;  /* the byte after the last row */
    size_t             tail;      /* its ']' */
} mark_v1_list_t;


/* What parse() leaves for join(), with so many lists as there are. */

typedef struct {
    size_t             nlists;
    mark_v1_list_t     lists[MARK_V1_LISTS];
} mark_v1_t;


/* A request as it is read. */

typedef struct {
    mark_json_t        json;
    mark_request_t    *request;

    uint8_t            form;      /* how its key begins; 0: no rows yet */
    mark_span_t        signature;
    mark_span_t        context;
    mark_span_t        names[MARK_V1_LISTS];     /* of columns */
    mark_v1_t          v1;
} mark_v1_reader_t;


/* Reads the value that is next: a list of rows, or an object of such lists. */
mark_codec_status_t mark_v1_rows(mark_v1_reader_t *r);
mark_codec_status_t mark_v1_columns(mark_v1_reader_t *r);

mark_codec_status_t mark_v1_split(const mark_body_t *body,
    mark_slice_t *slices, size_t n, const mark_codec_conf_t *conf,
    mark_memory_t *memory);


#endif /* _MARK_V1_H_INCLUDED_ */
