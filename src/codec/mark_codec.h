
/*
 * What a protocol must know to be batched.  A codec takes the bodies of
 * requests that are equal in all but their rows, makes them one, and cuts the
 * answer to that one into the answers that each of them would have got alone.
 *
 * Nothing is decoded or printed again but a few counts (a shape, a size, an
 * index): what comes out are spans, most of them of the bodies that came in,
 * and whoever called puts them where they are needed.  Codecs know no nginx,
 * no socket and no clock, keep no state, and do not copy tensors.
 */


#ifndef _MARK_CODEC_H_INCLUDED_
#define _MARK_CODEC_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "mark_json.h"
#include "mark_path.h"


typedef enum {
    MARK_CODEC_OK = 0,
    MARK_CODEC_INVALID,       /* malformed, or parsers differ on it */
    MARK_CODEC_UNSUPPORTED,   /* another protocol, or something unknown */
    MARK_CODEC_NO_ROWS,       /* a request of none */
    MARK_CODEC_STATEFUL,      /* a sequence, or shared memory */
    MARK_CODEC_STREAM,        /* streaming, or a decoupled model's */
    MARK_CODEC_MISMATCH,      /* of an answer: not the rows that were sent */
    MARK_CODEC_MEMORY         /* none left */
} mark_codec_status_t;


/* Where results live; nothing is freed but the whole. */

typedef struct {
    void  *(*alloc)(void *pool, size_t size);    /* aligned; NULL: no memory */
    void   *pool;
} mark_memory_t;


/* What a location says of its protocol. */

typedef struct {
    mark_path_t  in;          /* of json: where requests have their rows */
    mark_path_t  out;         /*          and answers */
} mark_codec_conf_t;


/* A body, of a request or an answer. */

typedef struct {
    const uint8_t  *data;
    size_t          len;

    /*
     * How much of it is JSON, with tensors behind: the value of
     * Inference-Header-Content-Length, if binary is set.
     */

    size_t          json_len;
    unsigned        binary:1;
} mark_body_t;


/*
 * A request.  The caller sets body, and parse() the rest.
 *
 * parsed is one block of parsed_len bytes without pointers in it (offsets
 * into the body, rather): a copy of it serves with a copy of the body, in
 * another process as well.
 */

typedef struct {
    mark_body_t     body;

    size_t          nrows;        /* 1 or more */
    mark_span_t     key;          /* equal in all requests of one batch */
    uint64_t        timeout;      /* usec that the client grants; 0: none */
    unsigned        priority;     /* 1 is the highest; 0: none */

    void           *parsed;
    size_t          parsed_len;
} mark_request_t;


/* Pieces of memory that make a body when they are put together. */

typedef struct {
    mark_span_t    *spans;
    size_t          nspans;
    size_t          len;          /* of them all */

    size_t          json_len;     /* as in mark_body_t */
    unsigned        binary:1;
} mark_parts_t;


/*
 * One request's share of a batch.  join() notes here what split() will need;
 * the request and its body may be gone by then.
 */

typedef struct {
    size_t          nrows;
    mark_span_t     id;           /* of V2: with its quotes; in memory */
    size_t          weight;       /* of embeddings: share of the usage */

    mark_parts_t    answer;       /* out, by split() */
} mark_slice_t;


typedef struct {
    const char     *name;         /* as mark_batch has it */

    /* text around the message of an error that we answer with ourselves */

    const char     *error_head;
    const char     *error_tail;

    /*
     * Validates a request as a whole, strictly enough that it cannot change
     * what is beside it in a batch, and finds its rows.  key and parsed may
     * point into memory, key into the body as well.
     */

    mark_codec_status_t  (*parse)(mark_request_t *request,
        const mark_codec_conf_t *conf, mark_memory_t *memory);

    /*
     * Makes n requests (n >= 1) of one key a single one.  Spans point into
     * the bodies of the requests and into memory.  MARK_CODEC_OK, or _MEMORY.
     */

    mark_codec_status_t  (*join)(mark_request_t **requests,
        mark_slice_t *slices, size_t n, const mark_codec_conf_t *conf,
        mark_memory_t *memory, mark_parts_t *joined);

    /*
     * Cuts the answer to what join() made.  Refused is whatever is not
     * certain to be, row by row, what each would have got alone: other rows
     * than were sent, an output of another outer length, an unknown member
     * that could be of one request only.  Spans point into the body and into
     * memory.
     */

    mark_codec_status_t  (*split)(const mark_body_t *body,
        mark_slice_t *slices, size_t n, const mark_codec_conf_t *conf,
        mark_memory_t *memory);

    /*
     * Makes of an error that is the same for all the one that each would have
     * got alone, where it says whose it is.  MARK_CODEC_UNSUPPORTED: it does
     * not.  NULL: it never does.
     */

    mark_codec_status_t  (*error)(const mark_body_t *body,
        mark_slice_t *slices, size_t n, mark_memory_t *memory);
} mark_codec_t;


extern const mark_codec_t  mark_v1_codec;
extern const mark_codec_t  mark_v2_codec;
extern const mark_codec_t  mark_embeddings_codec;
extern const mark_codec_t  mark_list_codec;      /* mark_batch json */


static inline void *
mark_memory_alloc(mark_memory_t *memory, size_t size)
{
    return memory->alloc(memory->pool, size);
}


/* V2's error(). */
mark_codec_status_t mark_v2_error(const mark_body_t *body,
    mark_slice_t *slices, size_t n, mark_memory_t *memory);


/* Adds a span to parts, which has room for it. */

static inline void
mark_parts_add(mark_parts_t *parts, const uint8_t *data, size_t len)
{
    parts->spans[parts->nspans].data = data;
    parts->spans[parts->nspans].len = len;
    parts->nspans++;
    parts->len += len;
}


#endif /* _MARK_CODEC_H_INCLUDED_ */
