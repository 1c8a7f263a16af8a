
/* The parts of a canonical request: see mark_sigv4_parts.h. */


#include <string.h>

#include "mark_sigv4_parts.h"


static uint8_t *mark_sigv4_encode(uint8_t *p, uint8_t c);
static uint8_t *mark_sigv4_encode_path(uint8_t *p, const uint8_t *data,
    size_t len, unsigned encode);
static uint8_t *mark_sigv4_encode_query(uint8_t *p, const uint8_t *data,
    size_t len);
static int mark_sigv4_digit(uint8_t c);
static int mark_sigv4_before(const mark_sigv4_pair_t *a,
    const mark_sigv4_pair_t *b, int by_value);
static int mark_sigv4_compare(const mark_span_t *a, const mark_span_t *b);
static void mark_sigv4_sort(mark_sigv4_pair_t *pairs, size_t n,
    int by_value);
static uint8_t *mark_sigv4_trim(uint8_t *p, const mark_span_t *value);


size_t
mark_sigv4_path_size(const mark_sigv4_request_t *request)
{
    return request->path.len * (request->encode ? 3 : 1) + 1;
}


/*
 * What "/a/.." leaves, "/" or "/a/", is not the same everywhere: RFC 3986
 * keeps the slash of what it takes away, AWS's own SDKs mostly do not, and so
 * it is here.  A path ends with a slash if it did before.
 */

uint8_t *
mark_sigv4_path(uint8_t *p, const mark_sigv4_request_t *request)
{
    size_t          n;
    uint8_t        *start;
    const uint8_t  *next, *last;

    start = p;
    next = request->path.data;
    last = next + request->path.len;

    if (!request->normalize) {
        p = mark_sigv4_encode_path(p, next, request->path.len,
                                   request->encode);

        if (p == start) {
            *p++ = '/';
        }

        return p;
    }

    while (next < last) {
        next++;

        for (n = 0; next + n < last && next[n] != '/'; n++) { /* void */ }

        if (n == 2 && next[0] == '.' && next[1] == '.') {
            while (p > start && *--p != '/') { /* void */ }

        } else if (n && !(n == 1 && *next == '.')) {
            *p++ = '/';
            p = mark_sigv4_encode_path(p, next, n, request->encode);
        }

        next += n;
    }

    if (p == start || last[-1] == '/') {
        *p++ = '/';
    }

    return p;
}


size_t
mark_sigv4_query_pairs(const mark_span_t *query)
{
    size_t  i, n;

    n = 1;

    for (i = 0; i < query->len; i++) {
        n += (query->data[i] == '&');
    }

    return n;
}


/* Each byte escaped, and of each parameter a '=' that may have been absent. */

size_t
mark_sigv4_query_size(const mark_span_t *query)
{
    return query->len * 3 + mark_sigv4_query_pairs(query);
}


/*
 * Sorted by escaped name, then by escaped value: not as lines, where '='
 * would take part.  Of "a&&b" the empty one is nothing.
 */

uint8_t *
mark_sigv4_query(uint8_t *p, const mark_span_t *query,
    mark_sigv4_pair_t *pairs, uint8_t *scratch)
{
    size_t          i, n, len, name;
    const uint8_t  *next, *last;

    n = 0;
    next = query->data;
    last = next + query->len;

    while (next < last) {
        for (len = 0; next + len < last && next[len] != '&'; len++) {
            /* void */
        }

        if (len) {
            for (name = 0; name < len && next[name] != '='; name++) {
                /* void */
            }

            pairs[n].name.data = scratch;
            scratch = mark_sigv4_encode_query(scratch, next, name);
            pairs[n].name.len = scratch - pairs[n].name.data;

            name += (name < len);

            pairs[n].value.data = scratch;
            scratch = mark_sigv4_encode_query(scratch, next + name,
                                              len - name);
            pairs[n].value.len = scratch - pairs[n].value.data;

            pairs[n].order = n;
            n++;
        }

        next += len;
        next += (next < last);
    }

    mark_sigv4_sort(pairs, n, 1);

    for (i = 0; i < n; i++) {
        if (i) {
            *p++ = '&';
        }

        p = mark_sigv4_put(p, pairs[i].name.data, pairs[i].name.len);
        *p++ = '=';
        p = mark_sigv4_put(p, pairs[i].value.data, pairs[i].value.len);
    }

    return p;
}


int
mark_sigv4_signs(const mark_span_t *name)
{
    size_t   i, k;
    uint8_t  c;

    static const char  *skipped[] = {
        "authorization", "connection", "expect", "te", "transfer-encoding",
        "upgrade", "user-agent", "x-amz-content-sha256", "x-amz-date",
        "x-amz-security-token", "x-amzn-trace-id"
    };

    for (i = 0; i < sizeof(skipped) / sizeof(skipped[0]); i++) {

        if (strlen(skipped[i]) != name->len) {
            continue;
        }

        for (k = 0; k < name->len; k++) {
            c = name->data[k];
            c |= (c >= 'A' && c <= 'Z') ? 0x20 : 0;

            if (c != (uint8_t) skipped[i][k]) {
                break;
            }
        }

        if (k == name->len) {
            return 0;
        }
    }

    return 1;
}


void
mark_sigv4_sort_headers(mark_sigv4_pair_t *headers, size_t n)
{
    mark_sigv4_sort(headers, n, 0);
}


uint8_t *
mark_sigv4_headers(uint8_t *p, const mark_sigv4_pair_t *headers, size_t n)
{
    size_t  i;

    for (i = 0; i < n; i++) {

        if (i && mark_sigv4_compare(&headers[i].name, &headers[i - 1].name)
                 == 0)
        {
            p[-1] = ',';

        } else {
            p = mark_sigv4_put(p, headers[i].name.data, headers[i].name.len);
            *p++ = ':';
        }

        p = mark_sigv4_trim(p, &headers[i].value);
        *p++ = '\n';
    }

    return p;
}


uint8_t *
mark_sigv4_signed_headers(uint8_t *p, const mark_sigv4_pair_t *headers,
    size_t n)
{
    size_t  i;

    for (i = 0; i < n; i++) {

        if (i) {
            if (mark_sigv4_compare(&headers[i].name, &headers[i - 1].name)
                == 0)
            {
                continue;
            }

            *p++ = ';';
        }

        p = mark_sigv4_put(p, headers[i].name.data, headers[i].name.len);
    }

    return p;
}


static uint8_t *
mark_sigv4_encode(uint8_t *p, uint8_t c)
{
    static const uint8_t  digits[] = "0123456789ABCDEF";

    if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')
        || (c >= '0' && c <= '9')
        || c == '-' || c == '.' || c == '_' || c == '~')
    {
        *p++ = c;
        return p;
    }

    *p++ = '%';
    *p++ = digits[c >> 4];
    *p++ = digits[c & 15];

    return p;
}


static uint8_t *
mark_sigv4_encode_path(uint8_t *p, const uint8_t *data, size_t len,
    unsigned encode)
{
    size_t  i;

    if (!encode) {
        return mark_sigv4_put(p, data, len);
    }

    for (i = 0; i < len; i++) {
        if (data[i] == '/') {
            *p++ = '/';

        } else {
            p = mark_sigv4_encode(p, data[i]);
        }
    }

    return p;
}


/*
 * Escapes of the wire are undone first, so that "%7e" and "~" are one.  A '%'
 * that begins no escape is itself.
 */

static uint8_t *
mark_sigv4_encode_query(uint8_t *p, const uint8_t *data, size_t len)
{
    int      high, low;
    size_t   i;
    uint8_t  c;

    for (i = 0; i < len; i++) {
        c = data[i];

        if (c == '%' && len - i > 2) {
            high = mark_sigv4_digit(data[i + 1]);
            low = mark_sigv4_digit(data[i + 2]);

            if (high >= 0 && low >= 0) {
                c = (uint8_t) (high << 4 | low);
                i += 2;
            }
        }

        p = mark_sigv4_encode(p, c);
    }

    return p;
}


static int
mark_sigv4_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    return (c >= 'a' && c <= 'f') ? c - 'a' + 10 : -1;
}


static int
mark_sigv4_before(const mark_sigv4_pair_t *a, const mark_sigv4_pair_t *b,
    int by_value)
{
    int  rc;

    rc = mark_sigv4_compare(&a->name, &b->name);

    if (rc == 0 && by_value) {
        rc = mark_sigv4_compare(&a->value, &b->value);
    }

    return rc ? rc < 0 : a->order < b->order;
}


static int
mark_sigv4_compare(const mark_span_t *a, const mark_span_t *b)
{
    int     rc;
    size_t  n;

    n = a->len < b->len ? a->len : b->len;
    rc = n ? memcmp(a->data, b->data, n) : 0;

    if (rc == 0) {
        rc = (a->len > b->len) - (a->len < b->len);
    }

    return rc;
}


/*
 * Shell's sort: qsort() may take memory of its own, and no two are equal, so
 * that it need not be stable.
 */

static void
mark_sigv4_sort(mark_sigv4_pair_t *pairs, size_t n, int by_value)
{
    size_t             i, k, gap;
    mark_sigv4_pair_t  pair;

    for (gap = 1; gap < n / 3; gap = 3 * gap + 1) { /* void */ }

    for ( /* void */ ; gap; gap /= 3) {

        for (i = gap; i < n; i++) {
            pair = pairs[i];

            for (k = i;
                 k >= gap && mark_sigv4_before(&pair, &pairs[k - gap],
                                               by_value);
                 k -= gap)
            {
                pairs[k] = pairs[k - gap];
            }

            pairs[k] = pair;
        }
    }
}


/* White space, that of folded lines as well, becomes one space inside. */

static uint8_t *
mark_sigv4_trim(uint8_t *p, const mark_span_t *value)
{
    int      space;
    size_t   i;
    uint8_t  c, *start;

    start = p;
    space = 0;

    for (i = 0; i < value->len; i++) {
        c = value->data[i];

        if (c == ' ' || (c >= '\t' && c <= '\r')) {
            space = (p > start);
            continue;
        }

        if (space) {
            *p++ = ' ';
            space = 0;
        }

        *p++ = c;
    }

    return p;
}
