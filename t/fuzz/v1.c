
/*
 * libFuzzer target: V1 bodies.  What parses must join with itself to a body
 * of twice the rows and an equal key, whose lists, seen as an answer, split
 * into two halves that are alike.
 */


#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "batch.h"
#include "mark_v1.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static void twice(mark_request_t *req);
static void halves(mark_slice_t *slices, const mark_request_t *all);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mark_slice_t    slices[2];
    mark_request_t  req;

    memset(slices, 0, sizeof(slices));
    slices[0].nrows = 1;
    slices[1].nrows = 1;
    (void) batch_split(&mark_v1_codec, NULL, slices, 2, data, size);

    if (batch_parse(&mark_v1_codec, NULL, &req, data, size)
        == MARK_CODEC_OK)
    {
        twice(&req);
    }

    codec_free();

    return 0;
}


static void
twice(mark_request_t *req)
{
    mark_body_t       body;
    mark_parts_t      parts;
    mark_slice_t      slices[2];
    mark_request_t    all, *both[2] = { req, req };

    if (mark_v1_codec.join(both, slices, 2, NULL, &codec_memory, &parts)
        != MARK_CODEC_OK)
    {
        __builtin_trap();
    }

    body = codec_put(&parts);

    if (batch_parse(&mark_v1_codec, NULL, &all, body.data, body.len)
        != MARK_CODEC_OK
        || all.nrows != 2 * req->nrows || !batch_same_key(&all, req))
    {
        __builtin_trap();
    }

    halves(slices, &all);
}


static void
halves(mark_slice_t *slices, const mark_request_t *all)
{
    char                  *text, *p;
    size_t                 k;
    mark_body_t            a, b;
    const mark_v1_t       *v1;
    const mark_v1_list_t  *list;

    v1 = all->parsed;
    text = codec_alloc(NULL, all->body.len + v1->nlists * 16 + 32);
    p = text + sprintf(text, "{\"outputs\":{");

    for (k = 0; k < v1->nlists; k++) {
        list = &v1->lists[k];

        p += sprintf(p, "%s\"%u\": [", k ? "," : "", (unsigned) k);
        memcpy(p, all->body.data + list->rows, list->rows_end - list->rows);
        p += list->rows_end - list->rows;
        *p++ = ']';
    }

    p += sprintf(p, "}}");

    if (batch_split(&mark_v1_codec, NULL, slices, 2, text, p - text)
        != MARK_CODEC_OK)
    {
        __builtin_trap();
    }

    a = codec_put(&slices[0].answer);
    b = codec_put(&slices[1].answer);

    if (a.len != b.len || memcmp(a.data, b.data, a.len) != 0) {
        __builtin_trap();
    }

    /* the half of two answers is one */

    slices[0].nrows = all->nrows / 2;

    if (batch_split(&mark_v1_codec, NULL, slices, 1, a.data, a.len)
        != MARK_CODEC_OK)
    {
        __builtin_trap();
    }
}
