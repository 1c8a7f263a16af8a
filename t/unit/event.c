
/* Requests as events, answers of functions that take them, and base64. */


#include "tap.h"
#include "memory.h"
#include "mark_base64.h"
#include "mark_event.h"


static memory_t       pieces;
static mark_memory_t  memory;


static mark_span_t
span(const char *s)
{
    mark_span_t  to;

    to.data = (const uint8_t *) s;
    to.len = strlen(s);

    return to;
}


static void
base64_is(const char *text, const char *want)
{
    uint8_t   to[64], back[64], *last;

    last = mark_base64_encode(to, (const uint8_t *) text, strlen(text));
    is_mem(to, last - to, want, strlen(want), "base64: of \"%s\"", text);
    is_int(mark_base64_encoded(strlen(text)), strlen(want),
           "base64: its length");

    last = mark_base64_decode(back, to, last - to);
    ok(last && (size_t) (last - back) == strlen(text)
       && memcmp(back, text, last - back) == 0, "base64: and back");
}


static void
base64(void)
{
    size_t              i;
    uint8_t             to[64];
    static const char  *bad[] = {
        "Zg", "Zg=", "=g==", "Zg=a", "Z===", "====", "Zm9v\n", "Zm-v",
        "Zg==Zg=="
    };

    base64_is("", "");
    base64_is("f", "Zg==");
    base64_is("fo", "Zm8=");
    base64_is("foo", "Zm9v");
    base64_is("foob", "Zm9vYg==");
    base64_is("foobar", "Zm9vYmFy");
    base64_is("\xff\xef\xbe\xfb", "/++++w==");

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ok(mark_base64_decode(to, (const uint8_t *) bad[i], strlen(bad[i]))
           == NULL, "base64: \"%s\" is none", bad[i]);
    }
}


static void
request(mark_event_request_t *req)
{
    memset(req, 0, sizeof(mark_event_request_t));

    req->method = span("POST");
    req->path = span("/v1/models/m%3A:predict");
    req->query = span("a=b&c=%22");
    req->protocol = span("HTTP/1.1");
    req->source_ip = span("192.0.2.1");
    req->user_agent = span("a \"b\"\\c");
    req->domain = span("example.com");
    req->id = span("0af7");
    req->time = 1763800000123ull;
    req->type = span("application/json");
    req->body = span("{\"instances\": [\"\xc3\xbc\"]}");
}


static void
event_is(const mark_event_request_t *req, const char *want, const char *what)
{
    size_t    n;
    uint8_t  *p;

    n = mark_event_write(NULL, req);
    p = malloc(n + 1);

    is_int(mark_event_write(p, req), n, "%s: as long as it was measured",
           what);

    p[n] = '\0';
    ok(strstr((char *) p, want) != NULL, "%s", what)
        || (diag("got: %s\nwithout: %s", p, want), 0);

    free(p);
}


static void
writes(void)
{
    mark_event_header_t   h[4];
    mark_event_request_t  req;

    request(&req);

    event_is(&req, "{\"version\":\"2.0\",\"routeKey\":\"$default\","
             "\"rawPath\":\"/v1/models/m%3A:predict\","
             "\"rawQueryString\":\"a=b&c=%22\",\"headers\":{},"
             "\"requestContext\":{\"accountId\":\"anonymous\","
             "\"domainName\":\"example.com\",\"http\":{\"method\":\"POST\","
             "\"path\":\"/v1/models/m%3A:predict\",\"protocol\":\"HTTP/1.1\","
             "\"sourceIp\":\"192.0.2.1\","
             "\"userAgent\":\"a \\\"b\\\"\\\\c\"},\"requestId\":\"0af7\","
             "\"routeKey\":\"$default\",\"stage\":\"$default\","
             "\"timeEpoch\":1763800000123},"
             "\"body\":\"{\\\"instances\\\": [\\\"\xc3\xbc\\\"]}\","
             "\"isBase64Encoded\":false}", "write: the whole");

    h[0].name = span("Content-Type");
    h[0].value = span("a\tb\n");
    h[1].name = span("X-A");
    h[1].value = span("1");
    h[2].name = span("X-A");
    h[2].value = span("2");
    h[3].name = span("X-Latin");
    h[3].value = span("\xe4\x7f");
    req.headers = h;
    req.nheaders = 4;

    event_is(&req, "\"headers\":{\"content-type\":\"a\\u0009b\\n\","
             "\"x-a\":\"1,2\",\"x-latin\":\"\\u00e4\x7f\"}",
             "write: headers");

    req.type = span("application/octet-stream");
    req.body = span("foo");
    event_is(&req, "\"body\":\"Zm9v\",\"isBase64Encoded\":true}",
             "write: another type is base64");

    req.type = span("Application/JSON; charset=utf-8");
    event_is(&req, "\"body\":\"foo\",\"isBase64Encoded\":false}",
             "write: a type with a parameter");

    req.type = span("application/ld+json");
    event_is(&req, "\"body\":\"foo\",\"isBase64Encoded\":false}",
             "write: a type that is JSON as well");

    req.type = span("application/json");
    req.body = span("\xed\xa0\x80");
    event_is(&req, "\"body\":\"7aCA\",\"isBase64Encoded\":true}",
             "write: what is not UTF-8 is base64");

    req.body = span("\xf0\x9f\x98");
    event_is(&req, "\"isBase64Encoded\":true}", "write: cut in a character");

    req.body = span("");
    req.type = span("");
    event_is(&req, "\"body\":\"\",\"isBase64Encoded\":true}",
             "write: nothing");
}


static mark_codec_status_t
reads(mark_event_answer_t *a, const char *text)
{
    return mark_event_read(a, (const uint8_t *) text, strlen(text), &memory);
}


static void
body_is(const char *text, unsigned status, const char *body,
    const char *what)
{
    mark_event_answer_t  a;

    is_int(reads(&a, text), MARK_CODEC_OK, "%s", what);
    is_int(a.status, status, "%s: status", what);
    is_mem(a.body.data, a.body.len, body, strlen(body), "%s: body", what);

    memory_free(&pieces);
}


static void
read_back(void)
{
    size_t               i;
    mark_event_answer_t  a;

    static const char  *bad[] = {
        "", "{", "[1", "{\"statusCode\": 200} x",
        "{\"statusCode\": \"200\"}", "{\"statusCode\": 2e2}",
        "{\"statusCode\": 99}", "{\"statusCode\": 100}",
        "{\"statusCode\": 600}", "{\"statusCode\": 200, \"body\": {}}",
        "{\"statusCode\": 200, \"headers\": []}",
        "{\"statusCode\": 200, \"headers\": {\"a\": [1]}}",
        "{\"statusCode\": 200, \"cookies\": [1]}",
        "{\"statusCode\": 200, \"cookies\": {}}",
        "{\"statusCode\": 200, \"isBase64Encoded\": 1}",
        "{\"statusCode\": 200, \"body\": \"@\", \"isBase64Encoded\": true}",
        "{\"statusCode\": 200, \"statusCode\": 201}"
    };

    body_is("{\"statusCode\": 201, \"body\": \"a\\n\\u00fc\\ud83d\\ude00\\/\"}",
            201, "a\n\xc3\xbc\xf0\x9f\x98\x80/", "read: escapes");
    body_is("{\"statusCode\": 200, \"body\": \"Zm9v\", "
            "\"isBase64Encoded\": true}", 200, "foo", "read: base64");
    body_is("{\"statusCode\": 404}", 404, "", "read: no body");
    body_is("{\"statusCode\": 200, \"body\": null, \"headers\": null, "
            "\"cookies\": null, \"isBase64Encoded\": null}", 200, "",
            "read: nulls");
    body_is("{\"predictions\": [NaN]}", 200, "{\"predictions\": [NaN]}",
            "read: no envelope");
    body_is(" [1, 2]", 200, " [1, 2]", "read: no object");

    is_int(reads(&a, "{\"headers\": {\"A\": \"b\\\"c\", \"n\": 1.50, "
                 "\"t\": true}, \"cookies\": [\"x=1\", \"y=2\"], "
                 "\"statusCode\": 200}"), MARK_CODEC_OK, "read: headers");
    is_int(a.nheaders, 5, "read: of them");
    is_mem(a.headers[0].value.data, a.headers[0].value.len, "b\"c", 3,
           "read: a string");
    is_mem(a.headers[1].value.data, a.headers[1].value.len, "1.50", 4,
           "read: a number");
    is_mem(a.headers[4].name.data, a.headers[4].name.len, "Set-Cookie", 10,
           "read: a cookie");
    is_mem(a.headers[4].value.data, a.headers[4].value.len, "y=2", 3,
           "read: its value");
    memory_free(&pieces);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        is_int(reads(&a, bad[i]), MARK_CODEC_INVALID, "read: not %s", bad[i]);
        memory_free(&pieces);
    }

    pieces.limit = 0;
    is_int(reads(&a, "{\"statusCode\": 200, \"body\": \"\\n\"}"),
           MARK_CODEC_MEMORY, "read: no memory");
    pieces.limit = MEMORY_PIECES;
}


static void
strings(void)
{
    mark_span_t        s;
    static const char  text[] = "{\"errorMessage\": \"a \\\"b\\\"\", \"n\": 1}";

    is_int(mark_event_string((const uint8_t *) text, sizeof(text) - 1,
                             "errorMessage", &s), 0, "string: found");
    is_mem(s.data, s.len, "a \\\"b\\\"", 7, "string: as it stands");
    is_int(mark_event_string((const uint8_t *) text, sizeof(text) - 1,
                             "n", &s), -1, "string: a number is none");
    is_int(mark_event_string((const uint8_t *) text, sizeof(text) - 2,
                             "errorMessage", &s), -1, "string: cut");
    is_int(mark_event_string((const uint8_t *) "[1]", 3,
                             "errorMessage", &s), -1, "string: no object");
}


int
main(void)
{
    memory_init(&memory, &pieces);

    base64();
    writes();
    read_back();
    strings();

    return done_testing();
}
