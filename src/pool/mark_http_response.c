
/* An HTTP/1.1 response parser that does no I/O: bytes in, body pieces out. */

#include <string.h>
#include <strings.h>

#include "mark_http_response.h"


typedef enum {
    ST_STATUS = 0,
    ST_HEADER,
    ST_LENGTH,
    ST_CLOSE,
    ST_CHUNK_SIZE,
    ST_CHUNK_DATA,
    ST_CHUNK_END,
    ST_TRAILER,
    ST_DONE,
    ST_ERROR
} state_e;


typedef struct {
    const char  *data;
    size_t       len;
} line_t;


static int fail(mark_http_response_t *r, const char *why);
static int next_line(mark_http_response_t *r, const char **pos,
    const char *end, line_t *line);
static int status_line(mark_http_response_t *r, line_t *line);
static int header_line(mark_http_response_t *r, line_t *line);
static int content_length(mark_http_response_t *r, line_t *value);
static void connection_header(mark_http_response_t *r, line_t *value);
static void end_of_head(mark_http_response_t *r);
static int chunk_size(mark_http_response_t *r, line_t *line);
static int body_piece(mark_http_response_t *r, const char **pos,
    const char *end);


void
mark_http_response_init(mark_http_response_t *r, int no_body)
{
    memset(r, 0, offsetof(mark_http_response_t, line));
    r->no_body = no_body ? 1 : 0;
}


mark_http_rc_e
mark_http_response_parse(mark_http_response_t *r, const char **pos,
    const char *end)
{
    int     rc;
    line_t  line;

    for ( ;; ) {

        switch (r->state) {

        case ST_DONE:
            return MARK_HTTP_DONE;

        case ST_ERROR:
            return MARK_HTTP_ERROR;

        case ST_LENGTH:
        case ST_CHUNK_DATA:
            if (r->left == 0) {
                r->state = r->chunked ? ST_CHUNK_END : ST_DONE;
                continue;
            }

            return body_piece(r, pos, end) ? MARK_HTTP_BODY : MARK_HTTP_AGAIN;

        case ST_CLOSE:
            return body_piece(r, pos, end) ? MARK_HTTP_BODY : MARK_HTTP_AGAIN;
        }

        rc = next_line(r, pos, end, &line);

        if (rc == 0) {
            return MARK_HTTP_AGAIN;
        }

        if (rc < 0) {
            return MARK_HTTP_ERROR;
        }

        switch (r->state) {

        case ST_STATUS:
            rc = status_line(r, &line);
            break;

        case ST_HEADER:
            if (line.len == 0) {
                end_of_head(r);
                break;
            }

            rc = header_line(r, &line);
            break;

        case ST_CHUNK_SIZE:
            rc = chunk_size(r, &line);
            break;

        case ST_CHUNK_END:
            if (line.len != 0) {
                rc = fail(r, "a chunk is longer than its size");
                break;
            }

            r->state = ST_CHUNK_SIZE;
            break;

        default: /* ST_TRAILER */
            if (line.len == 0) {
                r->state = ST_DONE;
            }
        }

        if (rc < 0) {
            return MARK_HTTP_ERROR;
        }
    }
}


mark_http_rc_e
mark_http_response_eof(mark_http_response_t *r)
{
    if (r->state == ST_CLOSE) {
        r->state = ST_DONE;
    }

    if (r->state == ST_DONE) {
        return MARK_HTTP_DONE;
    }

    fail(r, "the response is cut short");

    return MARK_HTTP_ERROR;
}


static int
fail(mark_http_response_t *r, const char *why)
{
    if (r->state != ST_ERROR) {
        r->error = why;
        r->state = ST_ERROR;
    }

    return -1;
}


/*
 * 1: line is a whole line without its end, valid until the next call.
 * A line that lies in the input as a whole is not copied.
 */

static int
next_line(mark_http_response_t *r, const char **pos, const char *end,
    line_t *line)
{
    size_t       n;
    const char  *lf, *start;

    start = *pos;

    if (start == end) {
        return 0;
    }

    lf = memchr(start, '\n', end - start);
    n = (lf ? lf + 1 : end) - start;

    if (r->line_len + n > MARK_HTTP_LINE_MAX) {
        return fail(r, "a line is too long");
    }

    if (r->head_len + r->line_len + n > MARK_HTTP_HEAD_MAX) {
        return fail(r, "the head is too long");
    }

    *pos += n;

    if (lf && r->line_len == 0) {
        line->data = start;
        line->len = n;

    } else {
        memcpy(r->line + r->line_len, start, n);
        r->line_len += n;

        if (lf == NULL) {
            return 0;
        }

        line->data = r->line;
        line->len = r->line_len;
        r->line_len = 0;
    }

    /* chunk sizes are no part of a head: a body may have any number of them */

    if (r->state != ST_CHUNK_SIZE && r->state != ST_CHUNK_END) {
        r->head_len += line->len;
    }

    line->len--;

    if (line->len && line->data[line->len - 1] == '\r') {
        line->len--;
    }

    return 1;
}


static int
status_line(mark_http_response_t *r, line_t *line)
{
    unsigned     i;
    const char  *p;

    p = line->data;

    if (line->len < sizeof("HTTP/1.1 200") - 1
        || memcmp(p, "HTTP/1.", 7) != 0
        || (p[7] != '0' && p[7] != '1')
        || p[8] != ' '
        || (line->len > 12 && p[12] != ' '))
    {
        return fail(r, "no HTTP/1.x status line");
    }

    r->status = 0;

    for (i = 9; i < 12; i++) {
        if (p[i] < '0' || p[i] > '9') {
            return fail(r, "the status is no number");
        }

        r->status = r->status * 10 + (p[i] - '0');
    }

    if (r->status < 100 || r->status > 599) {
        return fail(r, "the status is out of range");
    }

    if (r->status == 101) {
        return fail(r, "101 was not asked for");
    }

    r->keep_alive = (p[7] == '1');
    r->state = ST_HEADER;

    return 0;
}


static int
is_name(line_t *name, const char *text)
{
    return name->len == strlen(text)
           && strncasecmp(name->data, text, name->len) == 0;
}


static int
header_line(mark_http_response_t *r, line_t *line)
{
    line_t       name, value;
    const char  *colon;

    if (line->data[0] == ' ' || line->data[0] == '\t') {
        return fail(r, "a folded header");
    }

    colon = memchr(line->data, ':', line->len);

    if (colon == NULL || colon == line->data
        || colon[-1] == ' ' || colon[-1] == '\t')
    {
        return fail(r, "a header without a name");
    }

    name.data = line->data;
    name.len = colon - line->data;

    value.data = colon + 1;
    value.len = line->len - name.len - 1;

    while (value.len && (*value.data == ' ' || *value.data == '\t')) {
        value.data++;
        value.len--;
    }

    while (value.len && (value.data[value.len - 1] == ' '
                         || value.data[value.len - 1] == '\t'))
    {
        value.len--;
    }

    if (is_name(&name, "content-length")) {
        return content_length(r, &value);
    }

    if (is_name(&name, "transfer-encoding")) {
        if (r->chunked || !is_name(&value, "chunked")) {
            return fail(r, "an unknown Transfer-Encoding");
        }

        r->chunked = 1;

    } else if (is_name(&name, "connection")) {
        connection_header(r, &value);
    }

    if (r->chunked && r->has_length) {
        return fail(r, "both Content-Length and Transfer-Encoding");
    }

    return 0;
}


static int
content_length(mark_http_response_t *r, line_t *value)
{
    size_t    i;
    uint64_t  n;

    if (value->len == 0 || value->len > 18) {
        return fail(r, "a bad Content-Length");
    }

    for (i = 0, n = 0; i < value->len; i++) {
        if (value->data[i] < '0' || value->data[i] > '9') {
            return fail(r, "a bad Content-Length");
        }

        n = n * 10 + (value->data[i] - '0');
    }

    if (r->has_length && n != r->length) {
        return fail(r, "two different Content-Length");
    }

    if (r->chunked) {
        return fail(r, "both Content-Length and Transfer-Encoding");
    }

    r->has_length = 1;
    r->length = n;

    return 0;
}


static void
connection_header(mark_http_response_t *r, line_t *value)
{
    line_t  token;
    size_t  i;

    for (i = 0; i < value->len; /* void */) {

        while (i < value->len && strchr(", \t", value->data[i])) {
            i++;
        }

        token.data = value->data + i;
        token.len = 0;

        while (i < value->len && !strchr(", \t", value->data[i])) {
            token.len++;
            i++;
        }

        if (is_name(&token, "close")) {
            r->keep_alive = 0;
            return;
        }

        if (is_name(&token, "keep-alive")) {
            r->keep_alive = 1;
        }
    }
}


static void
end_of_head(mark_http_response_t *r)
{
    if (r->status < 200) {
        r->state = ST_STATUS;
        r->chunked = 0;
        r->has_length = 0;
        return;
    }

    r->head = 1;

    if (r->no_body || r->status == 204 || r->status == 304) {
        r->state = ST_DONE;

    } else if (r->chunked) {
        r->state = ST_CHUNK_SIZE;

    } else if (r->has_length) {
        r->left = r->length;
        r->state = ST_LENGTH;

    } else {
        r->keep_alive = 0;
        r->state = ST_CLOSE;
    }
}


static int
chunk_size(mark_http_response_t *r, line_t *line)
{
    int       c;
    size_t    i;
    uint64_t  n;

    for (i = 0, n = 0; i < line->len; i++) {
        c = line->data[i];

        if (c >= '0' && c <= '9') {
            c -= '0';

        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            c = (c | 0x20) - 'a' + 10;

        } else {
            break;
        }

        if (n >> 56) {
            return fail(r, "a chunk is too large");
        }

        n = n * 16 + c;
    }

    if (i == 0 || (i < line->len && !strchr("; \t", line->data[i]))) {
        return fail(r, "a bad chunk size");
    }

    r->left = n;
    r->state = n ? ST_CHUNK_DATA : ST_TRAILER;

    return 0;
}


static int
body_piece(mark_http_response_t *r, const char **pos, const char *end)
{
    size_t  n;

    n = end - *pos;

    if (r->state != ST_CLOSE && n > r->left) {
        n = (size_t) r->left;
    }

    if (n == 0) {
        return 0;
    }

    r->piece = *pos;
    r->piece_len = n;

    *pos += n;

    if (r->state != ST_CLOSE) {
        r->left -= n;
    }

    return 1;
}
