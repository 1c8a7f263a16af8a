
/*
 * libFuzzer target: mark-load's response parser, fed whole and byte by byte,
 * with the same result.
 */


#include <stddef.h>
#include <stdint.h>

#include "mark_http_response.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static mark_http_rc_e
feed(mark_http_response_t *r, const char *text, size_t size, size_t step,
    size_t *body, size_t *used)
{
    size_t           n;
    const char      *pos, *end;
    mark_http_rc_e   rc;

    mark_http_response_init(r, 0);

    rc = MARK_HTTP_AGAIN;
    pos = text;
    *body = 0;

    while (rc != MARK_HTTP_DONE && rc != MARK_HTTP_ERROR
           && pos < text + size)
    {
        n = (size_t) (text + size - pos);
        end = pos + (n < step ? n : step);

        do {
            rc = mark_http_response_parse(r, &pos, end);

            if (rc == MARK_HTTP_BODY) {
                *body += r->piece_len;
            }
        } while (rc == MARK_HTTP_BODY);
    }

    *used = (size_t) (pos - text);

    return rc;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t          body[2], used[2];
    mark_http_rc_e  rc[2];

    static mark_http_response_t  whole, bytes;

    rc[0] = feed(&whole, (const char *) data, size, size + 1, &body[0],
                 &used[0]);
    rc[1] = feed(&bytes, (const char *) data, size, 1, &body[1], &used[1]);

    if (rc[0] != rc[1]
        || (rc[0] == MARK_HTTP_DONE
            && (body[0] != body[1] || used[0] != used[1]
                || whole.status != bytes.status)))
    {
        __builtin_trap();
    }

    return 0;
}
