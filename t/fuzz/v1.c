
/*
 * libFuzzer target: V1 bodies.  What parses must join with itself to a body
 * of twice the rows, whose rows, seen as a reply, split into the two halves.
 */


#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mark_v1.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t              len;
    uint8_t            *joined, *reply, *p;
    mark_v1_reply_t     parts;
    mark_v1_slice_t     slices[2];
    mark_v1_request_t   req, all;

    static const char   head[] = "{\"predictions\":[";

    slices[0].nrows = 1;
    slices[1].nrows = 1;
    (void) mark_v1_split(&parts, data, size, slices, 2);

    if (mark_v1_parse(&req, data, size) != MARK_V1_OK) {
        return 0;
    }

    joined = malloc(2 * size);

    p = mark_v1_join_begin(joined, &req);
    p = mark_v1_join_rows(p, &req, 0);
    p = mark_v1_join_rows(p, &req, 1);
    p = mark_v1_join_end(p, &req);

    if ((size_t) (p - joined) > 2 * size
        || mark_v1_parse(&all, joined, p - joined) != MARK_V1_OK
        || all.nrows != 2 * req.nrows)
    {
        __builtin_trap();
    }

    len = sizeof(head) - 1 + all.rows.len + 2;
    reply = malloc(len);

    memcpy(reply, head, sizeof(head) - 1);
    memcpy(reply + sizeof(head) - 1, all.rows.data, all.rows.len);
    memcpy(reply + len - 2, "]}", 2);

    slices[0].nrows = req.nrows;
    slices[1].nrows = req.nrows;

    if (mark_v1_split(&parts, reply, len, slices, 2) != MARK_V1_OK
        || slices[0].rows.len != req.rows.len
        || slices[1].rows.len != req.rows.len
        || memcmp(slices[0].rows.data, req.rows.data, req.rows.len) != 0
        || memcmp(slices[1].rows.data, req.rows.data, req.rows.len) != 0)
    {
        __builtin_trap();
    }

    free(reply);
    free(joined);

    return 0;
}
