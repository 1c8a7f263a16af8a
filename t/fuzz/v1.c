
/*
 * libFuzzer target: V1 bodies.  What parses must join with itself to a body
 * of twice the rows and an equal key, whose rows, seen as an answer, split
 * into the two halves.
 */


#include <stddef.h>
#include <stdint.h>

#include "codec.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static const char  head[] = "{\"predictions\":[";


static void
check(mark_request_t *req)
{
    size_t            len;
    uint8_t          *answer;
    mark_span_t       rows;
    mark_parts_t      parts;
    mark_slice_t      slices[2];
    mark_request_t    all, *both[2] = { req, req };

    memset(slices, 0, sizeof(slices));
    memset(&all, 0, sizeof(all));

    if (mark_v1_codec.join(both, slices, 2, NULL, &codec_memory, &parts)
        != MARK_CODEC_OK)
    {
        __builtin_trap();
    }

    all.body = codec_put(&parts);

    if (mark_v1_codec.parse(&all, NULL, &codec_memory) != MARK_CODEC_OK
        || all.nrows != 2 * req->nrows
        || all.key.len != req->key.len
        || memcmp(all.key.data, req->key.data, all.key.len) != 0)
    {
        __builtin_trap();
    }

    /* head, rows, a comma, the same rows, tail */

    rows = parts.spans[1];
    len = sizeof(head) - 1 + 2 * rows.len + 3;
    answer = codec_alloc(NULL, len);

    memcpy(answer, head, sizeof(head) - 1);
    memcpy(answer + sizeof(head) - 1, rows.data, rows.len);
    answer[sizeof(head) - 1 + rows.len] = ',';
    memcpy(answer + sizeof(head) + rows.len, rows.data, rows.len);
    memcpy(answer + len - 2, "]}", 2);

    all.body.data = answer;
    all.body.len = len;

    if (mark_v1_codec.split(&all.body, slices, 2, NULL, &codec_memory)
        != MARK_CODEC_OK
        || slices[0].answer.spans[1].len != rows.len
        || slices[1].answer.spans[1].len != rows.len
        || memcmp(slices[0].answer.spans[1].data, rows.data, rows.len) != 0
        || memcmp(slices[1].answer.spans[1].data, rows.data, rows.len) != 0)
    {
        __builtin_trap();
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mark_slice_t    slices[2];
    mark_request_t  req;

    memset(slices, 0, sizeof(slices));
    memset(&req, 0, sizeof(req));

    req.body.data = data;
    req.body.len = size;

    slices[0].nrows = 1;
    slices[1].nrows = 1;
    (void) mark_v1_codec.split(&req.body, slices, 2, NULL, &codec_memory);

    if (mark_v1_codec.parse(&req, NULL, &codec_memory) == MARK_CODEC_OK) {
        check(&req);
    }

    codec_free();

    return 0;
}
