
/*
 * libFuzzer target: the signer.  Input is lines: options (a byte), method,
 * path, query, session token, then headers "name:value", up to an empty one;
 * the rest is the payload.
 *
 * What is signed must be signed alike with a cached key, with the headers of
 * other names in another order, and with the payload in pieces or as a hash.
 */


#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "codec.h"
#include "mark_sigv4.h"


#define HEADERS  64


typedef struct {
    const uint8_t         *p;
    const uint8_t         *last;
} input_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static mark_span_t next_line(input_t *in);
static size_t next_headers(input_t *in, mark_sigv4_header_t *headers);
static void sign(mark_sigv4_signature_t *s, const mark_sigv4_request_t *r,
    const mark_sigv4_signer_t *signer, mark_sigv4_key_t *key);
static void same(const mark_sigv4_signature_t *a,
    const mark_sigv4_signature_t *b);
static void whole(const mark_sigv4_signature_t *s,
    const mark_sigv4_request_t *r);
static void turn(mark_sigv4_header_t *headers, size_t n);
static int alike(const mark_span_t *a, const mark_span_t *b);


static mark_sigv4_key_t  cached;


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input_t                  in;
    uint8_t                  hash[MARK_SIGV4_HEX], options;
    mark_span_t              line, pieces[2];
    mark_sigv4_header_t      headers[HEADERS];
    mark_sigv4_signer_t      signer;
    mark_sigv4_request_t     r;
    mark_sigv4_signature_t   one, other;

    memset(&r, 0, sizeof(r));
    memset(&signer, 0, sizeof(signer));

    in.p = data;
    in.last = data + size;

    line = next_line(&in);
    options = line.len ? line.data[0] : 0;

    r.normalize = options & 1;
    r.encode = options >> 1 & 1;
    r.content_sha256 = options >> 2 & 1;
    r.omit_token = options >> 3 & 1;
    r.time = 1440938160 + (options >> 4) * 43200;

    r.method = next_line(&in);
    r.path = next_line(&in);
    r.query = next_line(&in);

    signer.token = next_line(&in);
    signer.access_key.data = (uint8_t *) "AK";
    signer.access_key.len = 2;
    signer.secret_key.data = (uint8_t *) "secret";
    signer.secret_key.len = 6;
    signer.region.data = (uint8_t *) "r";
    signer.region.len = 1;
    signer.service.data = (uint8_t *) "s";
    signer.service.len = 1;

    r.headers = headers;
    r.nheaders = next_headers(&in, headers);

    pieces[0].data = in.p;
    pieces[0].len = in.last - in.p;
    r.payload = pieces;
    r.npayload = 1;

    if (mark_sigv4_sign(&one, &r, &signer, &cached, &codec_memory)
        == MARK_SIGV4_OK)
    {
        whole(&one, &r);

        pieces[0].len /= 2;
        pieces[1].data = pieces[0].data + pieces[0].len;
        pieces[1].len = in.last - pieces[1].data;
        r.npayload = 2;

        turn(headers, r.nheaders);
        sign(&other, &r, &signer, NULL);
        same(&one, &other);

        if (mark_sigv4_hash(hash, pieces, 2) != MARK_SIGV4_OK) {
            __builtin_trap();
        }

        r.payload_hash.data = hash;
        r.payload_hash.len = MARK_SIGV4_HEX;

        sign(&other, &r, &signer, &cached);
        same(&one, &other);
    }

    codec_free();

    return 0;
}


static mark_span_t
next_line(input_t *in)
{
    mark_span_t     line;
    const uint8_t  *end;

    end = in->p < in->last ? memchr(in->p, '\n', in->last - in->p) : NULL;

    line.data = in->p;
    line.len = (end ? end : in->last) - in->p;
    in->p = end ? end + 1 : in->last;

    return line;
}


/* One is Host, without which nothing is signed. */

static size_t
next_headers(input_t *in, mark_sigv4_header_t *headers)
{
    size_t          n;
    mark_span_t     line;
    const uint8_t  *colon;

    headers[0].name.data = (uint8_t *) "Host";
    headers[0].name.len = 4;
    headers[0].value = headers[0].name;

    for (n = 1; n < HEADERS; n++) {
        line = next_line(in);

        if (line.len == 0) {
            break;
        }

        colon = memchr(line.data, ':', line.len);

        headers[n].name.data = line.data;
        headers[n].name.len = colon ? (size_t) (colon - line.data) : line.len;
        headers[n].value.data = line.data + headers[n].name.len;
        headers[n].value.len = line.len - headers[n].name.len;
    }

    return n;
}


static void
sign(mark_sigv4_signature_t *s, const mark_sigv4_request_t *r,
    const mark_sigv4_signer_t *signer, mark_sigv4_key_t *key)
{
    if (mark_sigv4_sign(s, r, signer, key, &codec_memory) != MARK_SIGV4_OK) {
        __builtin_trap();
    }
}


static void
same(const mark_sigv4_signature_t *a, const mark_sigv4_signature_t *b)
{
    if (a->authorization.len != b->authorization.len
        || memcmp(a->authorization.data, b->authorization.data,
                  a->authorization.len) != 0)
    {
        __builtin_trap();
    }
}


/* A canonical request has a line for each part, and for each header one. */

static void
whole(const mark_sigv4_signature_t *s, const mark_sigv4_request_t *r)
{
    size_t  i, lines, names;

    lines = 0;
    names = 1;

    for (i = 0; i < s->canonical.len; i++) {
        lines += (s->canonical.data[i] == '\n');
    }

    for (i = 0; i < s->authorization.len; i++) {
        names += (s->authorization.data[i] == ';');

        if (s->authorization.data[i] < ' ' || s->authorization.data[i] > '~') {
            __builtin_trap();
        }
    }

    if (lines != names + 5
        || s->canonical.data[r->method.len + 1] != '/'
        || s->date.len != 16 || s->signature.len != MARK_SIGV4_HEX)
    {
        __builtin_trap();
    }
}


/* The other way round, but for those of one name. */

static void
turn(mark_sigv4_header_t *headers, size_t n)
{
    size_t               i, k;
    mark_sigv4_header_t  header;

    for (i = 1; i < n; i++) {
        header = headers[i];

        for (k = 0; k < i && !alike(&headers[k].name, &header.name); k++) {
            /* void */
        }

        if (k == i) {
            memmove(headers + 1, headers, i * sizeof(header));
            headers[0] = header;
        }
    }
}


static int
alike(const mark_span_t *a, const mark_span_t *b)
{
    size_t  i;

    for (i = 0; i < a->len && i < b->len; i++) {
        if ((a->data[i] | 0x20) != (b->data[i] | 0x20)) {
            return 0;
        }
    }

    return a->len == b->len;
}
