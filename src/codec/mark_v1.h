
/*
 * TensorFlow Serving's REST rows, also KServe's V1: requests
 * {"signature_name": ..., "instances": [row, ...]} are joined into one, and
 * its answer {"predictions": [row, ...]} is cut back into theirs.  Rows are
 * moved as bytes; nothing is decoded or printed again, so an answer is what
 * the backend wrote.
 */


#ifndef _MARK_V1_H_INCLUDED_
#define _MARK_V1_H_INCLUDED_


#include "mark_json.h"


typedef enum {
    MARK_V1_OK = 0,
    MARK_V1_INVALID,          /* not JSON, or JSON that parsers differ on */
    MARK_V1_UNSUPPORTED,      /* no "instances", or a member unknown here */
    MARK_V1_NO_ROWS,          /* "instances" is empty */
    MARK_V1_MISMATCH          /* of a reply: not as many rows as were sent */
} mark_v1_status_t;


/* A parsed request.  The spans point into the body, which must stay. */

typedef struct {
    mark_span_t  head;        /* the body up to and with the '[' of the rows */
    mark_span_t  rows;        /* from the first row's first byte to the last */
    mark_span_t  tail;        /* from the ']' of the rows to the body's end */
    mark_span_t  signature;   /* value of "signature_name", empty without */
    size_t       nrows;
    unsigned     lax:1;       /* has NaN or an Infinity */
} mark_v1_request_t;


/* One client's part of a reply. */

typedef struct {
    size_t       nrows;       /* in: rows that the client sent */
    mark_span_t  rows;        /* out: its rows, with what separates them */
} mark_v1_slice_t;


/*
 * A reply taken apart.  The answer of one client is head, its slice's rows,
 * tail: white space around the rows belongs to head and tail, so a backend
 * that prints prettily is quoted exactly.
 */

typedef struct {
    mark_span_t  head;
    mark_span_t  tail;
} mark_v1_reply_t;


/* Parses and validates a whole body. */
mark_v1_status_t mark_v1_parse(mark_v1_request_t *req, const void *body,
    size_t len);

/*
 * Writes the bytes that must be equal for two requests to share a batch, at
 * most req->signature.len + 1; returns how many.
 */
size_t mark_v1_key(const mark_v1_request_t *req, uint8_t *key);

/*
 * Writes the parts of a joined body, in order: _begin() once with the first
 * request of the batch, _rows() for each request (n counts from 0), _end()
 * with the first again.  Each returns the position after what it wrote; the
 * whole takes at most the sum of the bodies' lengths.
 */
uint8_t *mark_v1_join_begin(uint8_t *p, const mark_v1_request_t *first);
uint8_t *mark_v1_join_rows(uint8_t *p, const mark_v1_request_t *req,
    size_t n);
uint8_t *mark_v1_join_end(uint8_t *p, const mark_v1_request_t *first);

/*
 * Cuts a reply into n slices.  Refused are a reply that is not JSON, has no
 * "predictions" or not exactly the rows that were sent, and one with another
 * member that could hold something of a single client (an array or object).
 */
mark_v1_status_t mark_v1_split(mark_v1_reply_t *reply, const void *body,
    size_t len, mark_v1_slice_t *slices, size_t n);


#endif /* _MARK_V1_H_INCLUDED_ */
