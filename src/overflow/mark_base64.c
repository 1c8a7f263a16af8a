
/* Base64: see mark_base64.h. */


#include "mark_base64.h"


#define MARK_BASE64_NONE  64


static unsigned mark_base64_value(uint8_t c);


static const char  mark_base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";


uint8_t *
mark_base64_encode(uint8_t *p, const uint8_t *data, size_t len)
{
    uint32_t  w;

    for ( /* void */ ; len >= 3; data += 3, len -= 3) {
        w = (uint32_t) data[0] << 16 | data[1] << 8 | data[2];

        *p++ = mark_base64_digits[w >> 18];
        *p++ = mark_base64_digits[w >> 12 & 63];
        *p++ = mark_base64_digits[w >> 6 & 63];
        *p++ = mark_base64_digits[w & 63];
    }

    if (len) {
        w = (uint32_t) data[0] << 16 | (len == 2 ? data[1] << 8 : 0);

        *p++ = mark_base64_digits[w >> 18];
        *p++ = mark_base64_digits[w >> 12 & 63];
        *p++ = (len == 2) ? mark_base64_digits[w >> 6 & 63] : '=';
        *p++ = '=';
    }

    return p;
}


uint8_t *
mark_base64_decode(uint8_t *p, const uint8_t *data, size_t len)
{
    size_t    i, n;
    uint32_t  w;
    unsigned  v;

    if (len % 4) {
        return NULL;
    }

    for ( /* void */ ; len; data += 4, len -= 4) {

        n = 4;

        if (len == 4 && data[3] == '=') {
            n = (data[2] == '=') ? 2 : 3;
        }

        w = 0;

        for (i = 0; i < n; i++) {
            v = mark_base64_value(data[i]);

            if (v == MARK_BASE64_NONE) {
                return NULL;
            }

            w |= v << (18 - 6 * i);
        }

        *p++ = w >> 16;

        if (n > 2) {
            *p++ = w >> 8 & 255;
        }

        if (n > 3) {
            *p++ = w & 255;
        }
    }

    return p;
}


static unsigned
mark_base64_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }

    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }

    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }

    return (c == '+') ? 62 : (c == '/') ? 63 : MARK_BASE64_NONE;
}
