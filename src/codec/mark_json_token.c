
/* The tokens of JSON, strings and words, and the comparison of keys. */


#include <string.h>

#include "mark_json.h"
#include "mark_json_token.h"


/* A key as it is decoded: one byte of its UTF-8 at a time. */

typedef struct {
    const uint8_t  *pos;
    const uint8_t  *last;
    uint8_t         rest[4];
    unsigned        nrest;
} mark_json_decoder_t;


static int mark_json_escape(mark_json_t *j);
static int mark_json_hex4(const uint8_t *p, const uint8_t *last,
    uint32_t *code);
static int mark_json_utf8(mark_json_t *j);
static int mark_json_decode(mark_json_decoder_t *d);


/*
 * The plain bytes of a string are passed eight at a time: base64 images are
 * long.  A byte needs a look when it is a quote, a backslash, a control
 * character or not ASCII; the expressions below set its top bit then (and,
 * by a borrow, may set that of a byte above it, which costs only a look).
 */

int
mark_json_string(mark_json_t *j)
{
    uint64_t        w, q, b;
    const uint8_t  *p;

    j->pos++;

    for ( ;; ) {

        for (p = j->pos; j->last - p >= 8; p += 8) {
            memcpy(&w, p, 8);

            q = w ^ (MARK_JSON_ONES * '"');
            b = w ^ (MARK_JSON_ONES * '\\');

            if (((q - MARK_JSON_ONES) | (b - MARK_JSON_ONES)
                 | (w - MARK_JSON_ONES * 0x20) | w) & MARK_JSON_TOPS)
            {
                break;
            }
        }

        while (p < j->last && *p >= 0x20 && *p < 0x80
               && *p != '"' && *p != '\\')
        {
            p++;
        }

        j->pos = p;

        if (p == j->last || *p < 0x20) {
            return mark_json_fail(j, MARK_JSON_SYNTAX);
        }

        if (*p == '"') {
            j->pos++;
            return 0;
        }

        if (*p == '\\') {
            if (mark_json_escape(j) != 0) {
                return -1;
            }

            continue;
        }

        if (mark_json_utf8(j) != 0) {
            return mark_json_fail(j, MARK_JSON_UTF8);
        }
    }
}


static int
mark_json_escape(mark_json_t *j)
{
    uint32_t        code, low;
    const uint8_t  *p;

    p = j->pos + 1;

    if (p == j->last) {
        return mark_json_fail(j, MARK_JSON_SYNTAX);
    }

    if (*p != 'u') {
        if (*p == 0 || strchr("\"\\/bfnrt", *p) == NULL) {
            return mark_json_fail(j, MARK_JSON_SYNTAX);
        }

        j->pos = p + 1;
        return 0;
    }

    if (mark_json_hex4(p + 1, j->last, &code) != 0) {
        return mark_json_fail(j, MARK_JSON_SYNTAX);
    }

    p += 5;

    if (code >= 0xd800 && code < 0xe000) {

        if (code >= 0xdc00 || j->last - p < 6 || p[0] != '\\' || p[1] != 'u'
            || mark_json_hex4(p + 2, j->last, &low) != 0
            || low < 0xdc00 || low > 0xdfff)
        {
            return mark_json_fail(j, MARK_JSON_UTF8);
        }

        p += 6;
    }

    j->pos = p;

    return 0;
}


static int
mark_json_hex4(const uint8_t *p, const uint8_t *last, uint32_t *code)
{
    int       i;
    uint8_t   c;
    uint32_t  value;

    if (last - p < 4) {
        return -1;
    }

    value = 0;

    for (i = 0; i < 4; i++) {
        c = p[i];

        if (mark_json_is_digit(c)) {
            c -= '0';

        } else {
            c |= 0x20;

            if (c < 'a' || c > 'f') {
                return -1;
            }

            c -= 'a' - 10;
        }

        value = value << 4 | c;
    }

    *code = value;

    return 0;
}


/* Well-formed UTF-8 as Unicode's table 3-7 has it, one character. */

static int
mark_json_utf8(mark_json_t *j)
{
    size_t          n;
    uint8_t         low, high;
    const uint8_t  *p;

    p = j->pos;
    low = 0x80;
    high = 0xbf;

    if (*p >= 0xc2 && *p <= 0xdf) {
        n = 2;

    } else if (*p >= 0xe0 && *p <= 0xef) {
        n = 3;
        low = (*p == 0xe0) ? 0xa0 : 0x80;
        high = (*p == 0xed) ? 0x9f : 0xbf;

    } else if (*p >= 0xf0 && *p <= 0xf4) {
        n = 4;
        low = (*p == 0xf0) ? 0x90 : 0x80;
        high = (*p == 0xf4) ? 0x8f : 0xbf;

    } else {
        return -1;
    }

    if ((size_t) (j->last - p) < n || p[1] < low || p[1] > high) {
        return -1;
    }

    j->pos = p + n;

    for (p += 2; p < j->pos; p++) {
        if ((*p & 0xc0) != 0x80) {
            return -1;
        }
    }

    return 0;
}


int
mark_json_word(mark_json_t *j, const char *word, size_t len)
{
    if ((size_t) (j->last - j->pos) < len || memcmp(j->pos, word, len) != 0) {
        return mark_json_fail(j, MARK_JSON_SYNTAX);
    }

    j->pos += len;

    return 0;
}


/*
 * Two spellings of one key ("a" and "\u0061") are one key to a parser, so
 * keys with escapes are compared decoded.
 */

int
mark_json_same_key(const mark_span_t *a, const mark_span_t *b)
{
    int                  c;
    mark_json_decoder_t  da, db;

    if (memchr(a->data, '\\', a->len) == NULL
        && memchr(b->data, '\\', b->len) == NULL)
    {
        return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
    }

    da.pos = a->data + 1;
    da.last = a->data + a->len - 1;
    da.nrest = 0;

    db.pos = b->data + 1;
    db.last = b->data + b->len - 1;
    db.nrest = 0;

    do {
        c = mark_json_decode(&da);

        if (c != mark_json_decode(&db)) {
            return 0;
        }

    } while (c != -1);

    return 1;
}


int
mark_json_key_is(const mark_span_t *key, const char *name)
{
    mark_span_t  span;
    char         quoted[64];
    size_t       len;

    len = strlen(name);

    if (key->len == len + 2) {
        return memcmp(key->data + 1, name, len) == 0;
    }

    if (key->len < len + 2 || len + 2 > sizeof(quoted)) {
        return 0;
    }

    quoted[0] = '"';
    memcpy(quoted + 1, name, len);
    quoted[len + 1] = '"';

    span.data = (uint8_t *) quoted;
    span.len = len + 2;

    return mark_json_same_key(key, &span);
}


/* The next byte of a validated string, -1 at its end. */

static int
mark_json_decode(mark_json_decoder_t *d)
{
    uint8_t      c;
    uint32_t     code, low;
    const char  *p;

    static const char  from[] = "bfnrt";
    static const char  to[] = "\b\f\n\r\t";

    code = 0;
    low = 0;

    if (d->nrest) {
        return d->rest[--d->nrest];
    }

    if (d->pos == d->last) {
        return -1;
    }

    c = *d->pos++;

    if (c != '\\') {
        return c;
    }

    c = *d->pos++;

    if (c != 'u') {
        p = strchr(from, c);
        return p ? to[p - from] : c;
    }

    (void) mark_json_hex4(d->pos, d->last, &code);
    d->pos += 4;

    if (code < 0x80) {
        return code;
    }

    if (code < 0x800) {
        d->rest[0] = 0x80 | (code & 0x3f);
        d->nrest = 1;
        return 0xc0 | (code >> 6);
    }

    if (code < 0xd800 || code > 0xdfff) {
        d->rest[1] = 0x80 | ((code >> 6) & 0x3f);
        d->rest[0] = 0x80 | (code & 0x3f);
        d->nrest = 2;
        return 0xe0 | (code >> 12);
    }

    (void) mark_json_hex4(d->pos + 2, d->last, &low);
    d->pos += 6;

    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);

    d->rest[2] = 0x80 | ((code >> 12) & 0x3f);
    d->rest[1] = 0x80 | ((code >> 6) & 0x3f);
    d->rest[0] = 0x80 | (code & 0x3f);
    d->nrest = 3;

    return 0xf0 | (code >> 18);
}
