
/*
 * libFuzzer target: lists at a path.  What parses must join with itself to a
 * body of twice the rows and the same key, which, seen as an answer, splits
 * into two of what each would be.
 */


#include <stddef.h>
#include <stdint.h>

#include "batch.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static void twice(mark_request_t *req, const mark_codec_conf_t *conf);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t              i;
    mark_slice_t        slices[2];
    mark_request_t      req;
    mark_codec_conf_t   conf;

    static const char  *paths[] = { "$", "a", "a.b" };

    for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        (void) mark_path_parse(&conf.in, paths[i], strlen(paths[i]));
        conf.out = conf.in;

        memset(slices, 0, sizeof(slices));
        slices[0].nrows = 1;
        slices[1].nrows = 2;
        (void) batch_split(&mark_list_codec, &conf, slices, 2, data, size);

        if (batch_parse(&mark_list_codec, &conf, &req, data, size)
            == MARK_CODEC_OK)
        {
            twice(&req, &conf);
        }

        codec_free();
    }

    /* any text is a path or an error */

    (void) mark_path_parse(&conf.in, (const char *) data, size);

    return 0;
}


static void
twice(mark_request_t *req, const mark_codec_conf_t *conf)
{
    size_t                i;
    mark_body_t           body, half;
    mark_span_t           rows;
    mark_parts_t          joined;
    mark_slice_t          slices[2];
    mark_request_t       *both[2], all;
    mark_codec_status_t   status;

    both[0] = req;
    both[1] = req;

    if (mark_list_codec.join(both, slices, 2, conf, &codec_memory, &joined)
        != MARK_CODEC_OK)
    {
        __builtin_trap();
    }

    rows = joined.spans[1];
    body = codec_put(&joined);

    if (body.len > 2 * req->body.len
        || batch_parse(&mark_list_codec, conf, &all, body.data, body.len)
           != MARK_CODEC_OK
        || all.nrows != 2 * req->nrows || !batch_same_key(&all, req))
    {
        __builtin_trap();
    }

    status = mark_list_codec.split(&body, slices, 2, conf, &codec_memory);

    if (status == MARK_CODEC_UNSUPPORTED) {
        return;               /* a request may have lists beside its own */
    }

    if (status != MARK_CODEC_OK) {
        __builtin_trap();
    }

    for (i = 0; i < 2; i++) {
        half = codec_put(&slices[i].answer);

        if (batch_parse(&mark_list_codec, conf, &all, half.data, half.len)
            != MARK_CODEC_OK
            || all.nrows != req->nrows || !batch_same_key(&all, req)
            || slices[i].answer.spans[1].len != rows.len
            || memcmp(slices[i].answer.spans[1].data, rows.data, rows.len)
               != 0)
        {
            __builtin_trap();
        }
    }
}
