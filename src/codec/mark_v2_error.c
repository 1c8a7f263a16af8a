
/*
 * Errors that name a request: Triton's begin with "[request id: ID] ", where
 * for a batch ID is that of its first member.
 */


#include <string.h>

#include "mark_codec.h"


static const uint8_t  mark_v2_error_name[] = "[request id: ";


#define MARK_V2_ERROR_NAME  (sizeof(mark_v2_error_name) - 1)


mark_codec_status_t
mark_v2_error(const mark_body_t *body, mark_slice_t *slices, size_t n,
    mark_memory_t *memory)
{
    size_t          i, head, len;
    mark_span_t    *spans;
    mark_parts_t   *answer;
    const uint8_t  *p, *last, *id;

    /* ids are noted with their quotes, and print as they are */

    if (slices[0].id.len < 2) {
        return MARK_CODEC_UNSUPPORTED;
    }

    id = slices[0].id.data + 1;
    len = slices[0].id.len - 2;
    last = body->data + body->len;

    for (p = body->data; ; p++) {

        p = ((size_t) (last - p) > MARK_V2_ERROR_NAME + len)
            ? memchr(p, '[', last - p - MARK_V2_ERROR_NAME - len) : NULL;

        if (p == NULL) {
            return MARK_CODEC_UNSUPPORTED;
        }

        if (memcmp(p, mark_v2_error_name, MARK_V2_ERROR_NAME) == 0
            && memcmp(p + MARK_V2_ERROR_NAME, id, len) == 0
            && p[MARK_V2_ERROR_NAME + len] == ']')
        {
            break;
        }
    }

    head = p + MARK_V2_ERROR_NAME - body->data;

    spans = mark_memory_alloc(memory, 3 * n * sizeof(mark_span_t));
    if (spans == NULL) {
        return MARK_CODEC_MEMORY;
    }

    for (i = 0; i < n; i++) {
        answer = &slices[i].answer;

        memset(answer, 0, sizeof(mark_parts_t));
        answer->spans = &spans[3 * i];

        mark_parts_add(answer, body->data, head);
        mark_parts_add(answer, slices[i].id.data + 1, slices[i].id.len - 2);
        mark_parts_add(answer, body->data + head + len,
                       body->len - head - len);
    }

    return MARK_CODEC_OK;
}
