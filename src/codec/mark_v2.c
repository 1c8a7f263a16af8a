
/* The Open Inference Protocol (V2): its codec, and how its bodies are read. */


#include <string.h>

#include "mark_v2.h"


const mark_codec_t  mark_v2_codec = {
    "v2",
    "{\"error\":\"",
    "\"}",
    mark_v2_parse,
    mark_v2_join,
    mark_v2_split,
    mark_v2_error
};


mark_codec_status_t
mark_v2_scan(mark_v2_scan_t *scan, const mark_body_t *body)
{
    scan->body = body;
    scan->text_len = body->len;
    scan->binary_len = 0;
    scan->nrows = 0;
    scan->ntensors = 0;
    scan->nholes = 0;
    scan->slices = NULL;

    if (body->binary) {
        if (body->json_len > body->len) {
            return MARK_CODEC_INVALID;
        }

        /* raw mode: a single tensor without a shape */

        if (body->json_len == 0) {
            return MARK_CODEC_UNSUPPORTED;
        }

        scan->text_len = body->json_len;
    }

    mark_json_init(&scan->json, body->data, scan->text_len);

    return MARK_CODEC_OK;
}


void
mark_v2_hole(mark_v2_scan_t *scan, mark_v2_type_t type, const uint8_t *data,
    size_t len, uint64_t value)
{
    size_t           i, offset;
    mark_v2_hole_t  *hole;

    offset = data - scan->body->data;

    /* data before its shape is read after it */

    for (i = scan->nholes; i > 0; i--) {
        if (scan->holes[i - 1].offset < offset) {
            break;
        }

        scan->holes[i] = scan->holes[i - 1];
    }

    hole = &scan->holes[i];

    hole->type = type;
    hole->tensor = scan->ntensors;
    hole->value = value;
    hole->offset = offset;
    hole->len = len;
    hole->binary = scan->text_len + scan->binary_len;

    scan->nholes++;
}


mark_codec_status_t
mark_v2_string(mark_v2_scan_t *scan, mark_span_t *span)
{
    mark_json_t  *j;

    j = &scan->json;

    mark_json_space(j);
    span->data = j->pos;

    if (mark_json_skip(j) != 0) {
        return MARK_CODEC_INVALID;
    }

    span->len = j->pos - span->data;

    return j->type == MARK_JSON_STRING ? MARK_CODEC_OK
                                       : MARK_CODEC_UNSUPPORTED;
}


mark_codec_status_t
mark_v2_size(mark_v2_scan_t *scan, uint64_t *size)
{
    mark_json_t    *j;
    const uint8_t  *start;

    j = &scan->json;

    mark_json_space(j);
    start = j->pos;

    if (mark_json_unsigned(j, size) != 1 || *size > PTRDIFF_MAX) {
        return MARK_CODEC_INVALID;
    }

    /* without the header nobody knows where the bytes begin */

    if (!scan->body->binary) {
        return MARK_CODEC_INVALID;
    }

    mark_v2_hole(scan, MARK_V2_SIZE, start, j->pos - start, *size);

    return MARK_CODEC_OK;
}


int
mark_v2_null(mark_v2_scan_t *scan)
{
    mark_json_space(&scan->json);

    return scan->json.pos < scan->json.last && *scan->json.pos == 'n';
}


int
mark_v2_print(uint64_t value, mark_memory_t *memory, mark_span_t *span)
{
    size_t    i;
    uint8_t  *p, digits[20];

    i = sizeof(digits);

    do {
        digits[--i] = '0' + value % 10;
        value /= 10;
    } while (value);

    span->len = sizeof(digits) - i;
    p = mark_memory_alloc(memory, span->len);

    if (p == NULL) {
        return -1;
    }

    span->data = memcpy(p, digits + i, span->len);

    return 0;
}
