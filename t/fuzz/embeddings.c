
/*
 * libFuzzer target: OpenAI's embeddings.  What parses must join with itself
 * to a body of twice the rows and the same key, and an answer of that many
 * rows split into two that are alike.  A text that is an answer is split as
 * well: what comes out splits again, to itself.
 */


#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "batch.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static void twice(mark_request_t *req);
static void halves(mark_slice_t *slices, size_t nrows);
static void again(mark_slice_t *slice);


static const mark_codec_t  *codec = &mark_embeddings_codec;


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mark_slice_t    slices[2];
    mark_request_t  req;

    memset(slices, 0, sizeof(slices));
    slices[0].nrows = 1;
    slices[0].weight = 3;
    slices[1].nrows = 2;
    slices[1].weight = 7;

    if (batch_split(codec, NULL, slices, 2, data, size) == MARK_CODEC_OK) {
        again(&slices[0]);
        again(&slices[1]);
    }

    if (batch_parse(codec, NULL, &req, data, size) == MARK_CODEC_OK) {
        twice(&req);
    }

    codec_free();

    return 0;
}


static void
twice(mark_request_t *req)
{
    mark_body_t       body;
    mark_parts_t      joined;
    mark_slice_t      slices[2];
    mark_request_t   *both[2], all;

    both[0] = req;
    both[1] = req;

    if (codec->join(both, slices, 2, NULL, &codec_memory, &joined)
        != MARK_CODEC_OK)
    {
        __builtin_trap();
    }

    body = codec_put(&joined);

    if (batch_parse(codec, NULL, &all, body.data, body.len) != MARK_CODEC_OK
        || all.nrows != 2 * req->nrows || !batch_same_key(&all, req))
    {
        __builtin_trap();
    }

    halves(slices, req->nrows);
}


static void
halves(mark_slice_t *slices, size_t nrows)
{
    char         *text, *p;
    size_t        i;
    mark_body_t   a, b;

    text = codec_alloc(NULL, 64 + 2 * nrows * 32);
    p = text + sprintf(text, "{\"usage\":{\"n\":%u},\"data\":[",
                       (unsigned) (2 * nrows));

    for (i = 0; i < 2 * nrows; i++) {
        p += sprintf(p, "%s{\"index\":%u}", i ? "," : "", (unsigned) i);
    }

    p += sprintf(p, "]}");

    if (batch_split(codec, NULL, slices, 2, text, p - text) != MARK_CODEC_OK) {
        __builtin_trap();
    }

    a = codec_put(&slices[0].answer);
    b = codec_put(&slices[1].answer);

    if (a.len != b.len || memcmp(a.data, b.data, a.len) != 0) {
        __builtin_trap();
    }

    again(&slices[0]);
}


static void
again(mark_slice_t *slice)
{
    mark_body_t  a, b;

    a = codec_put(&slice->answer);

    if (batch_split(codec, NULL, slice, 1, a.data, a.len) != MARK_CODEC_OK) {
        __builtin_trap();
    }

    b = codec_put(&slice->answer);

    if (a.len != b.len || memcmp(a.data, b.data, a.len) != 0) {
        __builtin_trap();
    }
}
