
/*
 * The property that all codecs have: each request gets out of a batch, byte
 * for byte, what it would have got alone.
 */


#ifndef _BATCH_H_INCLUDED_
#define _BATCH_H_INCLUDED_


#include "codec.h"


#define BATCH   8             /* requests of one batch */
#define BODY    16384         /* bytes of one body */


/* What a model server answers to a body: the length of what it wrote. */
typedef size_t (*backend_t)(char *out, const char *body, size_t len,
    unsigned style);


static unsigned  seed = 7;


static inline unsigned
rnd(unsigned n)
{
    seed = seed * 1103515245 + 12345;

    return (seed >> 16) % n;
}


static inline void *
batch_copy(const void *data, size_t len)
{
    void  *copy;

    copy = codec_alloc(NULL, len);

    if (len) {
        memcpy(copy, data, len);
    }

    return copy;
}


/* Parses a copy of a body. */

static inline mark_codec_status_t
batch_parse(const mark_codec_t *codec, const mark_codec_conf_t *conf,
    mark_request_t *request, const void *body, size_t len)
{
    memset(request, 0, sizeof(mark_request_t));

    request->body.data = batch_copy(body, len);
    request->body.len = len;

    return codec->parse(request, conf, &codec_memory);
}


/* The same for an answer to slices of so many rows. */

static inline mark_codec_status_t
batch_split(const mark_codec_t *codec, const mark_codec_conf_t *conf,
    mark_slice_t *slices, size_t n, const void *body, size_t len)
{
    mark_body_t  answer;

    memset(&answer, 0, sizeof(mark_body_t));

    answer.data = batch_copy(body, len);
    answer.len = len;

    return codec->split(&answer, slices, n, conf, &codec_memory);
}


static inline int
batch_same_key(const mark_request_t *a, const mark_request_t *b)
{
    return a->key.len == b->key.len
           && memcmp(a->key.data, b->key.data, a->key.len) == 0;
}


/* Another process has a copy of the body and of what was parsed, no more. */

static inline void
batch_move(mark_request_t *request)
{
    void  *old;

    old = (void *) request->body.data;
    request->body.data = batch_copy(old, request->body.len);
    memset(old, 'x', request->body.len);

    old = request->parsed;
    request->parsed = batch_copy(old, request->parsed_len);
    memset(old, 0xee, request->parsed_len);
}


/*
 * Sends n bodies, which should make a batch, through it.  Returns what went
 * wrong, or NULL.  Without exact, the caller compares the answers, which
 * slices have.
 */

static inline const char *
batch_check(const mark_codec_t *codec, const mark_codec_conf_t *conf,
    char bodies[][BODY], const size_t *lens, size_t n, backend_t backend,
    unsigned style, int exact, mark_slice_t *slices)
{
    size_t            i, len, nrows;
    mark_body_t       body;
    mark_span_t       key;
    mark_parts_t      joined;
    mark_slice_t      odd[BATCH];
    mark_request_t    requests[BATCH], *list[BATCH], all;

    static char       answer[BODY * BATCH], alone[BODY * BATCH];

    nrows = 0;

    for (i = 0; i < n; i++) {
        if (batch_parse(codec, conf, &requests[i], bodies[i], lens[i])
            != MARK_CODEC_OK)
        {
            return "a request does not parse";
        }

        if (!batch_same_key(&requests[0], &requests[i])) {
            return "keys differ";
        }

        nrows += requests[i].nrows;
        list[i] = &requests[i];
    }

    key.len = requests[0].key.len;
    key.data = batch_copy(requests[0].key.data, key.len);

    for (i = 0; i < n; i++) {
        batch_move(&requests[i]);
        requests[i].key = key;
    }

    memset(slices, 0xee, n * sizeof(mark_slice_t));

    if (codec->join(list, slices, n, conf, &codec_memory, &joined)
        != MARK_CODEC_OK)
    {
        return "they do not join";
    }

    body = codec_put(&joined);

    if (batch_parse(codec, conf, &all, body.data, body.len) != MARK_CODEC_OK
        || all.nrows != nrows || !batch_same_key(&all, &requests[0]))
    {
        return "the joined body is another request";
    }

    len = backend(answer, (const char *) body.data, body.len, style);

    /* one row more than was sent is nobody's answer, nor is one less */

    memcpy(odd, slices, n * sizeof(mark_slice_t));
    odd[rnd(n)].nrows++;

    if (batch_split(codec, conf, odd, n, answer, len) != MARK_CODEC_MISMATCH) {
        return "an answer with a row too few is taken";
    }

    memcpy(odd, slices, n * sizeof(mark_slice_t));
    i = rnd(n);

    if (--odd[i].nrows
        && batch_split(codec, conf, odd, n, answer, len)
           != MARK_CODEC_MISMATCH)
    {
        return "an answer with a row too many is taken";
    }

    if (batch_split(codec, conf, slices, n, answer, len) != MARK_CODEC_OK) {
        return "the answer does not split";
    }

    for (i = 0; exact && i < n; i++) {
        body = codec_put(&slices[i].answer);
        len = backend(alone, bodies[i], lens[i], style);

        if (body.len != len || memcmp(body.data, alone, len) != 0) {
            return "an answer differs from what it is alone";
        }
    }

    return NULL;
}


#endif /* _BATCH_H_INCLUDED_ */
