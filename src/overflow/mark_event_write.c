
/* A request as an event: see mark_event.h. */


#include <stdio.h>
#include <string.h>

#include "mark_base64.h"
#include "mark_event.h"


/* What is written; p is NULL while it is only measured. */

typedef struct {
    uint8_t  *p;
    size_t    n;
} mark_event_text_t;


static void mark_event_headers(mark_event_text_t *t,
    const mark_event_request_t *request);
static void mark_event_context(mark_event_text_t *t,
    const mark_event_request_t *request);
static void mark_event_body(mark_event_text_t *t,
    const mark_event_request_t *request);
static int mark_event_is_text(const mark_span_t *type,
    const mark_span_t *body);
static int mark_event_has(const mark_span_t *s, size_t len,
    const char *word);
static size_t mark_event_utf8(const uint8_t *p, const uint8_t *last);
static void mark_event_member(mark_event_text_t *t, const char *name,
    const mark_span_t *value);
static void mark_event_escape(mark_event_text_t *t, const mark_span_t *s);
static void mark_event_lower(mark_event_text_t *t, const mark_span_t *s);
static void mark_event_put(mark_event_text_t *t, const void *data,
    size_t len);
static void mark_event_puts(mark_event_text_t *t, const char *s);


size_t
mark_event_write(uint8_t *p, const mark_event_request_t *request)
{
    mark_event_text_t  t;

    t.p = p;
    t.n = 0;

    mark_event_puts(&t, "{\"version\":\"2.0\",\"routeKey\":\"$default\",");
    mark_event_member(&t, "rawPath", &request->path);
    mark_event_puts(&t, ",");
    mark_event_member(&t, "rawQueryString", &request->query);
    mark_event_puts(&t, ",\"headers\":{");
    mark_event_headers(&t, request);
    mark_event_puts(&t, "},\"requestContext\":{");
    mark_event_context(&t, request);
    mark_event_puts(&t, "},");
    mark_event_body(&t, request);
    mark_event_puts(&t, "}");

    return t.n;
}


/* Names in lower case; of the same name, values with commas between them. */

static void
mark_event_headers(mark_event_text_t *t, const mark_event_request_t *request)
{
    size_t                      i;
    const mark_event_header_t  *h, *last;

    last = NULL;

    for (i = 0; i < request->nheaders; i++) {
        h = &request->headers[i];

        if (last && last->name.len == h->name.len
            && memcmp(last->name.data, h->name.data, h->name.len) == 0)
        {
            mark_event_puts(t, ",");
            mark_event_escape(t, &h->value);
            continue;
        }

        mark_event_puts(t, last ? "\",\"" : "\"");
        mark_event_lower(t, &h->name);
        mark_event_puts(t, "\":\"");
        mark_event_escape(t, &h->value);

        last = h;
    }

    if (last) {
        mark_event_puts(t, "\"");
    }
}


static void
mark_event_context(mark_event_text_t *t, const mark_event_request_t *request)
{
    char  number[64];

    mark_event_puts(t, "\"accountId\":\"anonymous\",");
    mark_event_member(t, "domainName", &request->domain);
    mark_event_puts(t, ",\"http\":{");
    mark_event_member(t, "method", &request->method);
    mark_event_puts(t, ",");
    mark_event_member(t, "path", &request->path);
    mark_event_puts(t, ",");
    mark_event_member(t, "protocol", &request->protocol);
    mark_event_puts(t, ",");
    mark_event_member(t, "sourceIp", &request->source_ip);
    mark_event_puts(t, ",");
    mark_event_member(t, "userAgent", &request->user_agent);
    mark_event_puts(t, "},");
    mark_event_member(t, "requestId", &request->id);
    mark_event_puts(t, ",\"routeKey\":\"$default\",\"stage\":\"$default\",");

    (void) snprintf(number, sizeof(number), "\"timeEpoch\":%llu",
                    (unsigned long long) request->time);
    mark_event_puts(t, number);
}


static void
mark_event_body(mark_event_text_t *t, const mark_event_request_t *request)
{
    size_t  n;

    if (mark_event_is_text(&request->type, &request->body)) {
        mark_event_member(t, "body", &request->body);
        mark_event_puts(t, ",\"isBase64Encoded\":false");
        return;
    }

    mark_event_puts(t, "\"body\":\"");

    n = mark_base64_encoded(request->body.len);

    if (t->p) {
        (void) mark_base64_encode(t->p + t->n, request->body.data,
                                  request->body.len);
    }

    t->n += n;

    mark_event_puts(t, "\",\"isBase64Encoded\":true");
}


/* The types that function URLs take for text. */

static int
mark_event_is_text(const mark_span_t *type, const mark_span_t *body)
{
    size_t          n;
    mark_span_t     subtype;
    const uint8_t  *p, *last;

    /* up to the parameters */

    for (n = 0; n < type->len; n++) {
        if (type->data[n] == ';' || type->data[n] == ' ') {
            break;
        }
    }

    subtype.len = (n < 5) ? n : 5;
    subtype.data = type->data + n - subtype.len;

    if (!(n >= 5 && mark_event_has(type, 5, "text/"))
        && !mark_event_has(type, n, "application/json")
        && !mark_event_has(type, n, "application/xml")
        && !mark_event_has(type, n, "application/javascript")
        && !mark_event_has(type, n, "application/x-www-form-urlencoded")
        && !mark_event_has(&subtype, subtype.len, "+json"))
    {
        return 0;
    }

    p = body->data;
    last = p + body->len;

    while (p < last) {
        n = (*p < 0x80) ? 1 : mark_event_utf8(p, last);

        if (n == 0) {
            return 0;
        }

        p += n;
    }

    return 1;
}


/* Tells whether the first len bytes are the word, in any case of letters. */

static int
mark_event_has(const mark_span_t *s, size_t len, const char *word)
{
    size_t   i;
    uint8_t  c;

    if (strlen(word) != len) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        c = s->data[i];

        if (c >= 'A' && c <= 'Z') {
            c |= 0x20;
        }

        if (c != (uint8_t) word[i]) {
            return 0;
        }
    }

    return 1;
}


/* The length of the character at p, which is not ASCII; 0: it is not UTF-8. */

static size_t
mark_event_utf8(const uint8_t *p, const uint8_t *last)
{
    size_t   i, n;
    uint8_t  low, high;

    low = 0x80;
    high = 0xbf;

    if (*p >= 0xc2 && *p <= 0xdf) {
        n = 2;

    } else if (*p >= 0xe0 && *p <= 0xef) {
        n = 3;
        low = (*p == 0xe0) ? 0xa0 : low;
        high = (*p == 0xed) ? 0x9f : high;

    } else if (*p >= 0xf0 && *p <= 0xf4) {
        n = 4;
        low = (*p == 0xf0) ? 0x90 : low;
        high = (*p == 0xf4) ? 0x8f : high;

    } else {
        return 0;
    }

    if ((size_t) (last - p) < n || p[1] < low || p[1] > high) {
        return 0;
    }

    for (i = 2; i < n; i++) {
        if (p[i] < 0x80 || p[i] > 0xbf) {
            return 0;
        }
    }

    return n;
}


static void
mark_event_member(mark_event_text_t *t, const char *name,
    const mark_span_t *value)
{
    mark_event_puts(t, "\"");
    mark_event_puts(t, name);
    mark_event_puts(t, "\":\"");
    mark_event_escape(t, value);
    mark_event_puts(t, "\"");
}


/* Bytes that are not UTF-8, as in old headers, are taken for Latin-1. */

static void
mark_event_escape(mark_event_text_t *t, const mark_span_t *s)
{
    char            escape[8];
    size_t          n;
    const uint8_t  *p, *last, *from;

    from = s->data;
    last = s->data + s->len;

    for (p = from; p < last; p += n) {
        n = 1;

        if (*p >= ' ' && *p < 0x80 && *p != '"' && *p != '\\') {
            continue;
        }

        if (*p >= 0x80) {
            n = mark_event_utf8(p, last);

            if (n) {
                continue;
            }

            n = 1;
        }

        mark_event_put(t, from, p - from);
        from = p + 1;

        switch (*p) {

        case '"':
            mark_event_puts(t, "\\\"");
            break;

        case '\\':
            mark_event_puts(t, "\\\\");
            break;

        case '\n':
            mark_event_puts(t, "\\n");
            break;

        default:
            (void) snprintf(escape, sizeof(escape), "\\u%04x", *p);
            mark_event_puts(t, escape);
        }
    }

    mark_event_put(t, from, last - from);
}


static void
mark_event_lower(mark_event_text_t *t, const mark_span_t *s)
{
    size_t   i, from;

    from = t->n;
    mark_event_escape(t, s);

    for (i = from; t->p && i < t->n; i++) {
        if (t->p[i] >= 'A' && t->p[i] <= 'Z') {
            t->p[i] |= 0x20;
        }
    }
}


static void
mark_event_put(mark_event_text_t *t, const void *data, size_t len)
{
    if (t->p && len) {
        memcpy(t->p + t->n, data, len);
    }

    t->n += len;
}


static void
mark_event_puts(mark_event_text_t *t, const char *s)
{
    mark_event_put(t, s, strlen(s));
}
