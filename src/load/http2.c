/* HTTP/2 with prior knowledge: many requests at a time on a connection. */

#include <ctype.h>
#include <nghttp2/nghttp2.h>
#include <string.h>
#include <strings.h>

#include "run.h"


#define STREAM_WINDOW      (1 << 20)
#define CONNECTION_WINDOW  (1 << 24)
#define OUT_MAX            65536


/*
 * nghttp2 calls back while it reads; requests that are sent from there are
 * only submitted, and leave when it has returned: reading marks this time.
 * A stream whose request has ended has no user data any more.
 */

static void http2_send(connection_t *c, request_t *r);
static void http2_write(connection_t *c);
static void http2_read(connection_t *c, const char *data, size_t len);
static void http2_closed(connection_t *c, int kind);
static void http2_proceed(connection_t *c, request_t *r);
static void http2_cancel(connection_t *c, request_t *r);
static void open_session(connection_t *c);
static int submit(connection_t *c, request_t *r);
static unsigned make_head(connection_t *c, request_t *r);
static void detach(connection_t *c, request_t *r);
static void refused(connection_t *c, request_t *r);

static int on_header(nghttp2_session *session, const nghttp2_frame *frame,
    const uint8_t *name, size_t name_len, const uint8_t *value,
    size_t value_len, uint8_t flags, void *data);
static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream,
    const uint8_t *piece, size_t len, void *data);
static int on_frame(nghttp2_session *session, const nghttp2_frame *frame,
    void *data);
static int on_stream_close(nghttp2_session *session, int32_t stream,
    uint32_t code, void *data);
static int on_not_sent(nghttp2_session *session, const nghttp2_frame *frame,
    int error, void *data);
static ssize_t on_body(nghttp2_session *session, int32_t stream,
    uint8_t *to, size_t len, uint32_t *flags, nghttp2_data_source *source,
    void *data);


const protocol_t  http2 = {
    0,
    http2_send,
    http2_write,
    http2_read,
    http2_closed,
    http2_proceed,
    http2_cancel
};


static nghttp2_session_callbacks  *callbacks;
static nghttp2_nv                 *head;


static void
http2_send(connection_t *c, request_t *r)
{
    TAILQ_INSERT_TAIL(&c->requests, r, wait);
    r->stream = -1;

    if (c->fd == -1) {
        if (connection_open(c) != 0) {
            http2_closed(c, ERROR_CONNECT);
            return;
        }

        open_session(c);
    }

    if (submit(c, r) != 0) {
        TAILQ_REMOVE(&c->requests, r, wait);
        connection_release(c);
        run_failed(r, ERROR_STREAM);
        return;
    }

    http2_write(c);
}


static void
http2_write(connection_t *c)
{
    ssize_t         n;
    const uint8_t  *data;

    if (!c->open || c->reading) {
        return;
    }

    for ( ;; ) {
        if (c->out_sent == c->out.len) {
            c->out.len = 0;
            c->out_sent = 0;
        }

        while (c->out.len < OUT_MAX) {
            n = nghttp2_session_mem_send(c->session, &data);

            if (n <= 0) {
                break;
            }

            buffer_append(&c->out, data, n);
        }

        if (c->out.len == c->out_sent) {
            return;
        }

        n = connection_write(c, c->out.data + c->out_sent,
                             c->out.len - c->out_sent);
        if (n < 0) {
            return;
        }

        c->out_sent += n;
    }
}


static void
http2_read(connection_t *c, const char *data, size_t len)
{
    ssize_t  n;

    c->reading = 1;
    n = nghttp2_session_mem_recv(c->session, (const uint8_t *) data, len);
    c->reading = 0;

    if (n < 0) {
        http2_closed(c, ERROR_MALFORMED);
        return;
    }

    http2_write(c);

    if (c->draining && TAILQ_EMPTY(&c->requests)) {
        http2_closed(c, ERROR_CLOSED);

    } else if (!nghttp2_session_want_read(c->session)
               && !nghttp2_session_want_write(c->session))
    {
        http2_closed(c, c->draining ? ERROR_CLOSED : ERROR_MALFORMED);
    }
}


static void
http2_closed(connection_t *c, int kind)
{
    unsigned         kept_alive;
    request_t       *r;
    request_list_t   lost;

    kept_alive = (c->served != 0);

    if (c->session) {
        nghttp2_session_del(c->session);
        c->session = NULL;
    }

    connection_close(c, 0);

    /* what ends below may send again on this connection */

    TAILQ_INIT(&lost);
    TAILQ_CONCAT(&lost, &c->requests, wait);

    TAILQ_FOREACH(r, &lost, wait) {
        connection_release(c);
    }

    if (!c->resting) {
        connection_offer(c);
    }

    for ( ;; ) {
        r = TAILQ_FIRST(&lost);

        if (r == NULL) {
            run_pump(c->run);
            return;
        }

        TAILQ_REMOVE(&lost, r, wait);

        if (kept_alive && kind != ERROR_MALFORMED && kind != ERROR_CONNECT
            && run_may_repeat(r, 0))
        {
            run_repeat(r);

        } else {
            run_failed(r, kind);
        }
    }
}


static void
http2_proceed(connection_t *c, request_t *r)
{
    nghttp2_session_resume_data(c->session, r->stream);
    http2_write(c);
}


static void
http2_cancel(connection_t *c, request_t *r)
{
    nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, r->stream,
                              NGHTTP2_CANCEL);
    detach(c, r);
    http2_write(c);
}


static void
detach(connection_t *c, request_t *r)
{
    nghttp2_session_set_stream_user_data(c->session, r->stream, NULL);

    TAILQ_REMOVE(&c->requests, r, wait);
    connection_release(c);
}


static void
open_session(connection_t *c)
{
    nghttp2_session         *session;
    nghttp2_settings_entry   settings[2];

    if (callbacks == NULL) {
        nghttp2_session_callbacks_new(&callbacks);
        nghttp2_session_callbacks_set_on_header_callback(callbacks,
                                                         on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks,
                                                                  on_data);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks,
                                                             on_frame);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks,
                                                           on_stream_close);
        nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks,
                                                                on_not_sent);
    }

    if (nghttp2_session_client_new(&session, callbacks, c) != 0) {
        options_die("out of memory");
    }

    settings[0].settings_id = NGHTTP2_SETTINGS_ENABLE_PUSH;
    settings[0].value = 0;
    settings[1].settings_id = NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE;
    settings[1].value = STREAM_WINDOW;

    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, 2);
    nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                          CONNECTION_WINDOW);

    c->session = session;
    c->out.len = 0;
    c->out_sent = 0;
}


static int
submit(connection_t *c, request_t *r)
{
    unsigned               n;
    nghttp2_data_provider  body;

    n = make_head(c, r);

    body.source.ptr = NULL;
    body.read_callback = on_body;

    r->stream = nghttp2_submit_request(c->session, NULL, head, n,
                                       r->wire_len ? &body : NULL, r);
    if (r->stream < 0) {
        return -1;
    }

    if (r->wire_len == 0) {
        request_pause(r);
    }

    return 0;
}


static void
add(unsigned n, const char *name, size_t name_len, const char *value,
    size_t value_len, uint8_t flags)
{
    head[n].name = (uint8_t *) name;
    head[n].namelen = name_len;
    head[n].value = (uint8_t *) value;
    head[n].valuelen = value_len;
    head[n].flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | flags;
}


static void
add_template(unsigned n, const char *name, size_t name_len,
    const template_t *t, request_t *r)
{
    size_t  from;

    if (t->marks == 0) {
        add(n, name, name_len, t->text, t->len,
            NGHTTP2_NV_FLAG_NO_COPY_VALUE);
        return;
    }

    from = r->out.len;
    template_append(t, &r->digits, &r->out);
    add(n, name, name_len, r->out.data + from, r->out.len - from, 0);
}


/* What is made for this request lies in its out, which must not move. */

static unsigned
make_head(connection_t *c, request_t *r)
{
    size_t       len, size, from;
    field_t     *f;
    unsigned     i, n;
    message_t   *m;
    const char  *p;

    m = &c->run->message;
    len = template_length(&r->body->text, &r->digits);
    size = 32 + len + template_length(&m->head, &r->digits);

    if (head == NULL) {
        head = allocate((m->field_count + 5) * sizeof(nghttp2_nv));

        for (i = 0; i < m->field_count; i++) {
            for (n = 0; n < m->fields[i].name_len; n++) {
                m->fields[i].name[n] = tolower(m->fields[i].name[n]);
            }
        }
    }

    buffer_reserve(&r->out, size);

    add(0, ":method", 7, m->method, strlen(m->method),
        NGHTTP2_NV_FLAG_NO_COPY_VALUE);
    add(1, ":scheme", 7, "http", 4, NGHTTP2_NV_FLAG_NO_COPY_VALUE);
    add_template(2, ":authority", 10, &m->authority, r);
    add_template(3, ":path", 5, &m->path, r);

    n = 4;

    if (m->has_length) {
        from = r->out.len;
        buffer_printf(&r->out, "%zu", len);
        add(n++, "content-length", 14, r->out.data + from,
            r->out.len - from, 0);
    }

    for (i = 0; i < m->field_count; i++) {
        f = &m->fields[i];

        if (strcmp(f->name, "connection") == 0
            || strcmp(f->name, "keep-alive") == 0)
        {
            continue;
        }

        add_template(n++, f->name, f->name_len, &f->value, r);
    }

    p = r->body->text.text;

    if (r->body->text.marks) {
        from = r->out.len;
        template_append(&r->body->text, &r->digits, &r->out);
        p = r->out.data + from;
    }

    request_begin(r, p, len, 0);

    return n;
}


static int
on_header(nghttp2_session *session, const nghttp2_frame *frame,
    const uint8_t *name, size_t name_len, const uint8_t *value,
    size_t value_len, uint8_t flags, void *data)
{
    request_t  *r;

    if (name_len != 7 || memcmp(name, ":status", 7) != 0 || value_len != 3) {
        return 0;
    }

    r = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    if (r) {
        r->received = 1;
        r->status = (value[0] - '0') * 100 + (value[1] - '0') * 10
                    + value[2] - '0';
    }

    return 0;
}


static int
on_data(nghttp2_session *session, uint8_t flags, int32_t stream,
    const uint8_t *piece, size_t len, void *data)
{
    request_t     *r;
    connection_t  *c;

    c = data;
    r = nghttp2_session_get_stream_user_data(session, stream);

    if (r && c->run->check.needs_body) {
        buffer_append(&r->answer, piece, len);
    }

    return 0;
}


static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *data)
{
    request_t     *r;
    connection_t  *c;

    c = data;

    if (frame->hd.type == NGHTTP2_GOAWAY) {
        c->draining = 1;

        if (c->available) {
            c->available = 0;
            TAILQ_REMOVE(&c->run->available, c, link);
        }

        return 0;
    }

    if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
    {
        return 0;
    }

    r = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    if (r == NULL) {
        return 0;
    }

    if (r->sent < r->wire_len) {
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, r->stream,
                                  NGHTTP2_CANCEL);
    }

    c->served++;
    detach(c, r);

    if (r->abort == ABORT_SENDING) {
        run_aborted(r);

    } else if (r->status < 200 || r->status > 599) {
        run_failed(r, ERROR_MALFORMED);

    } else {
        run_answered(r);
    }

    return 0;
}


static int
on_stream_close(nghttp2_session *session, int32_t stream, uint32_t code,
    void *data)
{
    request_t     *r;
    connection_t  *c;

    c = data;
    r = nghttp2_session_get_stream_user_data(session, stream);

    if (r == NULL) {
        return 0;
    }

    if (code == NGHTTP2_REFUSED_STREAM) {
        refused(c, r);
        return 0;
    }

    detach(c, r);
    run_failed(r, ERROR_STREAM);

    return 0;
}


/* A request that the library did not send any more, after a GOAWAY. */

static int
on_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int error,
    void *data)
{
    request_t     *r;
    connection_t  *c;

    c = data;

    if (frame->hd.type != NGHTTP2_HEADERS) {
        return 0;
    }

    TAILQ_FOREACH(r, &c->requests, wait) {
        if (r->stream == frame->hd.stream_id) {
            refused(c, r);
            break;
        }
    }

    return 0;
}


static void
refused(connection_t *c, request_t *r)
{
    detach(c, r);

    if (run_may_repeat(r, 1)) {
        run_repeat(r);

    } else {
        run_failed(r, ERROR_STREAM);
    }
}


static ssize_t
on_body(nghttp2_session *session, int32_t stream, uint8_t *to, size_t len,
    uint32_t *flags, nghttp2_data_source *source, void *data)
{
    size_t      n;
    request_t  *r;

    r = nghttp2_session_get_stream_user_data(session, stream);

    if (r == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }

    n = r->allowed - r->sent;

    if (n == 0 && r->sent < r->wire_len) {
        request_pause(r);
        return NGHTTP2_ERR_DEFERRED;
    }

    if (n > len) {
        n = len;
    }

    memcpy(to, r->wire + r->sent, n);
    r->sent += n;

    if (r->sent == r->wire_len) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        request_pause(r);
    }

    return n;
}
