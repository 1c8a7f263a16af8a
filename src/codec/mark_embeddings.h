
/*
 * OpenAI's embeddings API, as vLLM, text-embeddings-inference, llama.cpp,
 * LocalAI and others have it.  The rows are the elements of "input":
 *
 *     {"model": "m", "input": ["a", "b"]}      two rows
 *     {"model": "m", "input": "a"}             one, and joins with these
 *     {"model": "m", "input": [[7, 2], [5]]}   two, of token ids
 *     {"model": "m", "input": [7, 2]}          one of two token ids
 *
 * In the answer, the elements of "data" are the rows:
 *
 *     {"object": "list", "model": "m",
 *      "data": [{"object": "embedding", "index": 0, "embedding": [0.1]}, ...],
 *      "usage": {"prompt_tokens": 8, "total_tokens": 8}}
 *
 * "index" is what it would be alone.  The counts of "usage" are of the whole
 * batch, and which member they are owed to is not told.  Each is apportioned
 * (see mark_apportion.h) by weight: the number of token ids, or the bytes of
 * the strings, as UTF-8.  So they add up to what the backend counted, are
 * exact for one member alone and for token ids, if the backend counts no
 * others, and are an estimate otherwise.
 */


#ifndef _MARK_EMBEDDINGS_H_INCLUDED_
#define _MARK_EMBEDDINGS_H_INCLUDED_


#include "mark_codec.h"


/* The value of "input" in a body, and its rows without their brackets. */

typedef struct {
    uint64_t  start;
    uint64_t  end;
    uint64_t  rows_start;
    uint64_t  rows_end;
    uint64_t  weight;
    unsigned  tokens:1;
} mark_embeddings_t;


/* Counts in "usage"; more are of something we do not know. */

#define MARK_EMBEDDINGS_COUNTS  16


typedef struct {
    mark_span_t     text;
    uint32_t        value;
} mark_embeddings_count_t;


/* An answer, and what is of interest in it. */

typedef struct {
    mark_json_t     json;

    mark_slice_t   *slices;
    size_t          n;
    mark_span_t    *rows;         /* of each slice, its elements */
    mark_span_t    *indexes;      /* of each row; NULL: they have none */

    size_t                    ncounts;
    mark_embeddings_count_t   counts[MARK_EMBEDDINGS_COUNTS];
} mark_embeddings_answer_t;


/* Finds the rows and their weight. */
mark_codec_status_t mark_embeddings_input(mark_request_t *request,
    mark_embeddings_t *input, mark_json_t *j);

/* Reads it to the end; the caller has set all down to n, and made room. */
mark_codec_status_t mark_embeddings_answer(mark_embeddings_answer_t *a);

mark_codec_status_t mark_embeddings_split(const mark_body_t *body,
    mark_slice_t *slices, size_t n, const mark_codec_conf_t *conf,
    mark_memory_t *memory);


#endif /* _MARK_EMBEDDINGS_H_INCLUDED_ */
