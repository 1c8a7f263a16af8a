/* Unit tests of the HTTP/1.1 response parser, whole and byte by byte. */

#include "mark_http_response.h"
#include "tap.h"


#define WHOLE  ((size_t) -1)


typedef struct {
    mark_http_rc_e  rc;
    unsigned        status;
    int             keep_alive;
    size_t          used;
    size_t          body_len;
    const char     *error;
    char            body[65536];
} result_t;


static mark_http_response_t  parser;
static result_t              whole, bytes;


/* feeds step bytes at a time; a close follows if more is needed and eof */

static void
feed(result_t *result, const char *text, size_t len, size_t step, int no_body,
    int eof)
{
    size_t           at, n;
    const char      *pos;
    mark_http_rc_e   rc;

    memset(result, 0, sizeof(result_t));
    mark_http_response_init(&parser, no_body);

    rc = MARK_HTTP_AGAIN;

    for (at = 0; at < len && rc == MARK_HTTP_AGAIN; at = pos - text) {
        n = len - at < step ? len - at : step;
        pos = text + at;

        do {
            rc = mark_http_response_parse(&parser, &pos, text + at + n);

            if (rc == MARK_HTTP_BODY) {
                memcpy(result->body + result->body_len, parser.piece,
                       parser.piece_len);
                result->body_len += parser.piece_len;
            }

        } while (rc == MARK_HTTP_BODY);

        result->used = pos - text;
    }

    if (rc == MARK_HTTP_AGAIN && eof) {
        rc = mark_http_response_eof(&parser);
    }

    result->rc = rc;
    result->status = parser.status;
    result->keep_alive = parser.keep_alive;
    result->error = parser.error;
}


/* 1: whole and any smaller steps give the same; the result is in whole */

static int
parse(const char *text, size_t len, int no_body, int eof)
{
    size_t  step;

    feed(&whole, text, len, WHOLE, no_body, eof);

    for (step = 1; step < 8; step++) {
        feed(&bytes, text, len, step, no_body, eof);

        if (bytes.rc != whole.rc) {
            return 0;
        }

        if (whole.rc == MARK_HTTP_ERROR) {
            if (strcmp(bytes.error, whole.error) != 0) {
                return 0;
            }

            continue;
        }

        if (bytes.status != whole.status
            || bytes.keep_alive != whole.keep_alive
            || bytes.used != whole.used
            || bytes.body_len != whole.body_len
            || memcmp(bytes.body, whole.body, whole.body_len) != 0)
        {
            return 0;
        }
    }

    return 1;
}


static void
good(const char *name, const char *text, unsigned status, const char *body,
    int keep_alive, int eof)
{
    ok(parse(text, strlen(text), 0, eof), "%s: the same in pieces", name);
    is_int(whole.rc, MARK_HTTP_DONE, "%s: complete", name);
    is_int(whole.status, status, "%s: status", name);
    is_str(whole.body, body, "%s: body", name);
    is_int(whole.keep_alive, keep_alive, "%s: keep-alive", name);
}


static void
bad(const char *name, const char *text, const char *error)
{
    ok(parse(text, strlen(text), 0, 1), "%s: the same in pieces", name);
    is_int(whole.rc, MARK_HTTP_ERROR, "%s: refused", name);
    is_str(whole.error, error, "%s: says why", name);
}


#define OK  "HTTP/1.1 200 OK\r\n"


static void
good_ones(void)
{
    good("length", OK "Content-Length: 5\r\n\r\nhello", 200, "hello", 1, 0);
    good("bare line feeds", "HTTP/1.1 200\ncontent-length:5\n\nhello", 200,
         "hello", 1, 0);
    good("no body", OK "Content-Length: 0\r\n\r\n", 200, "", 1, 0);
    good("close", OK "Connection: close\r\nContent-Length: 2\r\n\r\nok", 200,
         "ok", 0, 0);
    good("tokens", OK "Connection: x, Close\r\nContent-Length: 2\r\n\r\nok",
         200, "ok", 0, 0);
    good("1.0", "HTTP/1.0 404 Not\r\nContent-Length: 2\r\n\r\nno", 404, "no",
         0, 0);
    good("1.0 kept", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"
         "Content-Length: 2\r\n\r\nok", 200, "ok", 1, 0);
    good("until close", OK "X: y\r\n\r\nall of it", 200, "all of it", 0, 1);
    good("204", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", 1, 0);
    good("304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304,
         "", 1, 0);
    good("100 first", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n"
         "Link: x\r\n\r\n" OK "Content-Length: 1\r\n\r\n!", 200, "!", 1, 0);
    good("equal lengths", OK "Content-Length: 2\r\nContent-Length: 2\r\n\r\n"
         "ok", 200, "ok", 1, 0);
    good("chunked", OK "Transfer-Encoding: chunked\r\n\r\n"
         "5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n", 200, "hello world", 1,
         0);
    good("chunked with trailers", OK "transfer-encoding: Chunked\r\n\r\n"
         "0A \r\n0123456789\r\n000\r\nX-Sum: 1\r\nY: 2\r\n\r\n", 200,
         "0123456789", 1, 0);
}


static void
ends(void)
{
    const char  *text;

    text = OK "Content-Length: 2\r\n\r\nokHTTP/1.1";
    ok(parse(text, strlen(text), 0, 0), "more than one: the same in pieces");
    is_int(whole.used, strlen(text) - 8, "what follows is left alone");

    text = OK "Content-Length: 5\r\n\r\n";
    ok(parse(text, strlen(text), 1, 0), "HEAD: the same in pieces");
    is_int(whole.rc, MARK_HTTP_DONE, "the answer to HEAD has no body");

    text = OK "Content-Length: 5\r\n\r\nhell";
    ok(parse(text, strlen(text), 0, 0), "not all: the same in pieces");
    is_int(whole.rc, MARK_HTTP_AGAIN, "a byte less needs more");
    is_str(whole.body, "hell", "but gives what there is");
}


static void
head(void)
{
    const char  *text;

    text = "HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r";
    ok(parse(text, strlen(text), 0, 0), "half a head: the same in pieces");
    is_int(parser.head, 0, "the head is not complete");

    text = OK "Content-Length: 5\r\n\r\n";
    ok(parse(text, strlen(text), 0, 0), "a head: the same in pieces");
    is_int(parser.head, 1, "the head is complete, before there is a body");
}


static void
bad_ones(void)
{
    bad("cut body", OK "Content-Length: 5\r\n\r\nhell",
        "the response is cut short");
    bad("cut head", OK "Content-Le", "the response is cut short");
    bad("cut chunks", OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "the response is cut short");
    bad("not HTTP", "SSH-2.0-OpenSSH_9.2p1 Debian\r\n",
        "no HTTP/1.x status line");
    bad("HTTP/2", "HTTP/2.0 200 OK\r\n\r\n", "no HTTP/1.x status line");
    bad("long status", "HTTP/1.1 2000 OK\r\n\r\n", "no HTTP/1.x status line");
    bad("letters", "HTTP/1.1 2x0 OK\r\n\r\n", "the status is no number");
    bad("999", "HTTP/1.1 999 OK\r\n\r\n", "the status is out of range");
    bad("101", "HTTP/1.1 101 Up\r\n\r\n", "101 was not asked for");
    bad("two lengths", OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "two different Content-Length");
    bad("length text", OK "Content-Length: 1, 1\r\n\r\na",
        "a bad Content-Length");
    bad("length sign", OK "Content-Length: +1\r\n\r\na",
        "a bad Content-Length");
    bad("length overflow", OK "Content-Length: 99999999999999999999\r\n\r\n",
        "a bad Content-Length");
    bad("both", OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "both Content-Length and Transfer-Encoding");
    bad("both, swapped", OK "Transfer-Encoding: chunked\r\nContent-Length: 1"
        "\r\n\r\n", "both Content-Length and Transfer-Encoding");
    bad("gzip", OK "Transfer-Encoding: gzip, chunked\r\n\r\n",
        "an unknown Transfer-Encoding");
    bad("folded", OK "X: y\r\n z\r\n\r\n", "a folded header");
    bad("no colon", OK "nonsense\r\n\r\n", "a header without a name");
    bad("blank name", OK "X : y\r\n\r\n", "a header without a name");
    bad("chunk size", OK "Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "a bad chunk size");
    bad("empty size", OK "Transfer-Encoding: chunked\r\n\r\n\r\n",
        "a bad chunk size");
    bad("huge chunk", OK "Transfer-Encoding: chunked\r\n\r\n"
        "ffffffffffffffff1\r\n", "a chunk is too large");
    bad("long chunk", OK "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n"
        "\r\n", "a chunk is longer than its size");
}


static void
limits(void)
{
    size_t       len, i;
    static char  text[MARK_HTTP_HEAD_MAX * 2];

    len = sprintf(text, OK "X: ");
    memset(text + len, 'x', MARK_HTTP_LINE_MAX);
    strcpy(text + len + MARK_HTTP_LINE_MAX, "\r\n\r\n");
    bad("long line", text, "a line is too long");

    strcpy(text + len + MARK_HTTP_LINE_MAX - 5, "\r\n\r\n");
    ok(parse(text, strlen(text), 1, 0), "longest line: the same in pieces");
    is_int(whole.rc, MARK_HTTP_DONE, "the longest line is taken");

    len = sprintf(text, OK);

    for (i = 0; i < 70; i++) {
        len += sprintf(text + len, "X-%zu: %01000zu\r\n", i, i);
    }

    bad("long head", text, "the head is too long");

    len = sprintf(text, OK "Transfer-Encoding: chunked\r\n\r\n");

    for (i = 0; i < 12000; i++) {
        len += sprintf(text + len, "1\r\n%c\r\n", (int) ('a' + i % 26));
    }

    sprintf(text + len, "0\r\n\r\n");

    ok(parse(text, strlen(text), 0, 0), "many chunks: the same in pieces");
    is_int(whole.rc, MARK_HTTP_DONE, "chunk sizes are no part of the head");
    is_int(whole.body_len, 12000, "all of many chunks");
}


int
main(void)
{
    good_ones();
    ends();
    head();
    bad_ones();
    limits();

    return done_testing();
}
