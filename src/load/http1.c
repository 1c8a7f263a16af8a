/* HTTP/1.1: one request at a time on a connection that is kept alive. */

#include <string.h>

#include "run.h"


static void http1_send(connection_t *c, request_t *r);
static void http1_write(connection_t *c);
static void http1_read(connection_t *c, const char *data, size_t len);
static void http1_closed(connection_t *c, int kind);
static void http1_proceed(connection_t *c, request_t *r);
static void http1_cancel(connection_t *c, request_t *r);
static void http1_done(connection_t *c, int reusable);


const protocol_t  http1 = {
    1,
    http1_send,
    http1_write,
    http1_read,
    http1_closed,
    http1_proceed,
    http1_cancel
};


static void
http1_send(connection_t *c, request_t *r)
{
    size_t   head_len;
    body_t  *b;

    b = r->body;
    c->request = r;

    if (b->wire) {
        request_begin(r, b->wire, b->wire_len, b->head_len);

    } else {
        head_len = message_append(&c->run->message, b, &r->digits, &r->out);
        request_begin(r, r->out.data, r->out.len, head_len);
    }

    mark_http_response_init(&c->response,
                            strcmp(c->run->message.method, "HEAD") == 0);

    if (c->fd == -1) {
        if (connection_open(c) != 0) {
            http1_closed(c, ERROR_CONNECT);
        }

        return;
    }

    http1_write(c);
}


static void
http1_write(connection_t *c)
{
    ssize_t     n;
    request_t  *r;

    r = c->request;

    if (r == NULL) {
        return;
    }

    while (r->sent < r->allowed) {
        n = connection_write(c, r->wire + r->sent, r->allowed - r->sent);

        if (n < 0) {
            return;
        }

        r->sent += n;
    }

    if (r->allowed < r->goal || r->abort) {
        request_pause(r);
    }
}


static void
http1_read(connection_t *c, const char *data, size_t len)
{
    request_t       *r;
    const char      *end;
    mark_http_rc_e   rc;

    r = c->request;
    end = data + len;

    if (r == NULL) {

        /* nobody asked: 408, for instance, before an idle one is closed */

        connection_close(c, 0);
        return;
    }

    r->received = 1;

    for ( ;; ) {
        rc = mark_http_response_parse(&c->response, &data, end);

        if (rc != MARK_HTTP_BODY) {
            break;
        }

        if (c->run->check.needs_body) {
            buffer_append(&r->answer, c->response.piece,
                          c->response.piece_len);
        }
    }

    switch (rc) {

    case MARK_HTTP_DONE:
        http1_done(c, c->response.keep_alive && data == end
                      && r->sent == r->wire_len);
        break;

    case MARK_HTTP_ERROR:
        http1_closed(c, ERROR_MALFORMED);
        break;

    default:
        break;
    }
}


static void
http1_done(connection_t *c, int reusable)
{
    request_t  *r;

    r = c->request;
    r->status = c->response.status;

    c->request = NULL;
    c->served++;

    if (!reusable) {
        connection_close(c, 0);
    }

    connection_release(c);

    if (r->abort == ABORT_SENDING) {
        run_aborted(r);

    } else {
        run_answered(r);
    }
}


static void
http1_closed(connection_t *c, int kind)
{
    unsigned    kept_alive;
    request_t  *r;

    r = c->request;
    kept_alive = (c->served != 0);

    if (r && kind == ERROR_CLOSED
        && mark_http_response_eof(&c->response) == MARK_HTTP_DONE)
    {
        http1_done(c, 0);
        return;
    }

    connection_close(c, 0);

    if (r == NULL) {
        return;
    }

    if (kept_alive && kind != ERROR_MALFORMED && kind != ERROR_CONNECT
        && run_may_repeat(r, 0))
    {
        if (r->armed) {
            evtimer_del(&r->timer);
            r->armed = 0;
        }

        r->out.len = 0;
        http1_send(c, r);
        return;
    }

    c->request = NULL;
    connection_release(c);
    run_failed(r, kind);
}


static void
http1_proceed(connection_t *c, request_t *r)
{
    if (c->open) {
        http1_write(c);
    }
}


static void
http1_cancel(connection_t *c, request_t *r)
{
    c->request = NULL;

    connection_close(c, r->abort && (r->number & 1));
    connection_release(c);
}
