
/*
 * One health check: a connection, a GET, and the head of what comes back.
 *
 * A check has a pool of its own, which goes with it; one timer bounds the
 * whole of it.  nginx logs nothing of its connection, because a server that is
 * away would be in the log every few seconds: what went wrong is the reason
 * of the result.
 */


#include "ngx_http_mark_health.h"


#define NGX_HTTP_MARK_CHECK_BUFFER  4096
#define NGX_HTTP_MARK_CHECK_REASON  256


static ngx_http_mark_check_t *ngx_http_mark_check_create(
    ngx_http_mark_health_t *health, ngx_uint_t i);
static ngx_int_t ngx_http_mark_check_request(ngx_http_mark_check_t *check);
static ngx_str_t ngx_http_mark_check_host(ngx_http_mark_check_t *check);
static void ngx_http_mark_check_timeout(ngx_event_t *ev);
static void ngx_http_mark_check_connected(ngx_event_t *wev);
static void ngx_http_mark_check_write(ngx_event_t *wev);
static void ngx_http_mark_check_read(ngx_event_t *rev);
static void ngx_http_mark_check_idle(ngx_event_t *ev);
#if (NGX_HTTP_SSL)
static void ngx_http_mark_check_tls(ngx_http_mark_check_t *check);
static void ngx_http_mark_check_handshaked(ngx_connection_t *c);
#endif
static void ngx_http_mark_check_failed(ngx_http_mark_check_t *check,
    const char *what, ngx_err_t err);


void
ngx_http_mark_check_start(ngx_http_mark_health_t *health, ngx_uint_t i)
{
    ngx_err_t               err;
    ngx_int_t               rc;
    ngx_connection_t       *c;
    ngx_http_mark_check_t  *check;

    check = ngx_http_mark_check_create(health, i);

    if (check == NULL) {
        return;
    }

    health->watches[i].check = check;

    rc = ngx_event_connect_peer(&check->peer);
    err = ngx_socket_errno;

    if (rc == NGX_DECLINED) {
        ngx_http_mark_check_failed(check, "connect() failed", err);
        return;
    }

    if (rc != NGX_OK && rc != NGX_AGAIN) {

        /* no socket, or no connection: nothing is known of the server */

        ngx_http_mark_check_close(check);
        return;
    }

    c = check->peer.connection;

    c->data = check;
    c->pool = check->pool;
    c->read->handler = ngx_http_mark_check_idle;
    c->write->handler = ngx_http_mark_check_connected;

    check->timer.handler = ngx_http_mark_check_timeout;
    check->timer.data = check;
    check->timer.log = &check->log;
    check->timer.cancelable = 1;

    ngx_add_timer(&check->timer, health->timeout);

    if (rc == NGX_OK) {
        ngx_http_mark_check_connected(c->write);
    }
}


/* NULL: the slot is another's by now, or there is no memory. */

static ngx_http_mark_check_t *
ngx_http_mark_check_create(ngx_http_mark_health_t *health, ngx_uint_t i)
{
    ngx_pool_t             *pool;
    ngx_http_mark_slot_t   *slot;
    ngx_http_mark_check_t  *check;

    pool = ngx_create_pool(1024, health->pool->log);
    if (pool == NULL) {
        return NULL;
    }

    check = ngx_pcalloc(pool, sizeof(ngx_http_mark_check_t));
    if (check == NULL) {
        goto failed;
    }

    check->pool = pool;
    check->health = health;
    check->slot = i;
    check->generation = health->watches[i].generation;

    check->log = *health->pool->log;
    check->log.log_level = NGX_LOG_ALERT;

    check->name.data = ngx_pnalloc(pool, NGX_HTTP_MARK_NAME_LEN + 1);
    check->addr.data = ngx_pnalloc(pool, NGX_SOCKADDR_STRLEN + 1);

    if (check->name.data == NULL || check->addr.data == NULL) {
        goto failed;
    }

    check->peer.sockaddr = &check->sockaddr.sockaddr;
    check->peer.name = &check->addr;
    check->peer.get = ngx_event_get_peer;
    check->peer.log = &check->log;
    check->peer.log_error = NGX_ERROR_ERR;

    ngx_shmtx_lock(health->pool->mutex);

    slot = &health->pool->node->slots[i];

    if (slot->generation != check->generation) {
        ngx_shmtx_unlock(health->pool->mutex);
        goto failed;
    }

    check->sockaddr = slot->sockaddr;
    check->peer.socklen = slot->socklen;
    ngx_memcpy(check->name.data, slot->name, NGX_HTTP_MARK_NAME_LEN + 1);
    ngx_memcpy(check->addr.data, slot->addr, NGX_SOCKADDR_STRLEN + 1);

    ngx_shmtx_unlock(health->pool->mutex);

    check->name.len = ngx_strlen(check->name.data);
    check->addr.len = ngx_strlen(check->addr.data);

    if (health->port) {
        ngx_inet_set_port(check->peer.sockaddr, (in_port_t) health->port);
    }

    if (ngx_http_mark_check_request(check) != NGX_OK) {
        goto failed;
    }

    mark_http_response_init(&check->response, 0);

    return check;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


static ngx_int_t
ngx_http_mark_check_request(ngx_http_mark_check_t *check)
{
    size_t                   len;
    ngx_buf_t               *b;
    ngx_str_t                host, port;
    u_char                   text[sizeof(":65535")];
    ngx_http_mark_health_t  *health;

    health = check->health;
    host = health->host;
    port.data = text;
    port.len = 0;

    if (host.len == 0) {
        host = check->name;

        if (check->peer.sockaddr->sa_family == AF_UNIX) {
            ngx_str_set(&host, "localhost");

        } else if (health->port) {
            host = ngx_http_mark_check_host(check);
            port.len = ngx_sprintf(text, ":%ui", health->port) - text;
        }
    }

    len = sizeof("GET  HTTP/1.1" CRLF "Host: " CRLF
                 "User-Agent: nginx-mark/" NGX_HTTP_MARK_VERSION CRLF
                 "Accept: */*" CRLF "Connection: close" CRLF CRLF)
          + health->uri.len + host.len + port.len;

    b = ngx_create_temp_buf(check->pool, len);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->last = ngx_sprintf(b->last,
                          "GET %V HTTP/1.1" CRLF "Host: %V%V" CRLF
                          "User-Agent: nginx-mark/" NGX_HTTP_MARK_VERSION CRLF
                          "Accept: */*" CRLF "Connection: close" CRLF CRLF,
                          &health->uri, &host, &port);

    check->request = b;

    return NGX_OK;
}


/* The server's name without its port. */

static ngx_str_t
ngx_http_mark_check_host(ngx_http_mark_check_t *check)
{
    u_char     *p;
    ngx_str_t   host;

    host = check->health->host.len ? check->health->host : check->name;

    for (p = host.data + host.len; p > host.data; p--) {

        if (p[-1] == ']') {
            break;
        }

        if (p[-1] == ':') {
            host.len = p - 1 - host.data;
            break;
        }
    }

    return host;
}


static void
ngx_http_mark_check_timeout(ngx_event_t *ev)
{
    ngx_http_mark_check_failed(ev->data, "timed out", 0);
}


static void
ngx_http_mark_check_connected(ngx_event_t *wev)
{
    int                     err;
    socklen_t               len;
    ngx_connection_t       *c;
    ngx_http_mark_check_t  *check;

    c = wev->data;
    check = c->data;

    err = 0;
    len = sizeof(int);

    /* BSDs and Linux return 0 and the error in err, Solaris returns -1 */

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err) {
        ngx_http_mark_check_failed(check, "connect() failed", err);
        return;
    }

#if (NGX_HTTP_SSL)

    if (check->health->ssl) {
        ngx_http_mark_check_tls(check);
        return;
    }

#endif

    wev->handler = ngx_http_mark_check_write;
    ngx_http_mark_check_write(wev);
}


#if (NGX_HTTP_SSL)

static void
ngx_http_mark_check_tls(ngx_http_mark_check_t *check)
{
    ngx_int_t          rc;
    ngx_str_t          host;
    u_char            *name;
    ngx_connection_t  *c;

    c = check->peer.connection;

    if (ngx_ssl_create_connection(check->health->ssl, c, NGX_SSL_CLIENT)
        != NGX_OK)
    {
        ngx_http_mark_check_close(check);
        return;
    }

    host = ngx_http_mark_check_host(check);
    name = ngx_pnalloc(check->pool, host.len + 1);

    if (name == NULL) {
        ngx_http_mark_check_close(check);
        return;
    }

    (void) ngx_cpystrn(name, host.data, host.len + 1);

    /* addresses are no names of servers, by RFC 6066 */

    if (host.len && host.data[0] != '['
        && ngx_inet_addr(host.data, host.len) == INADDR_NONE
        && check->peer.sockaddr->sa_family != AF_UNIX)
    {
        (void) SSL_set_tlsext_host_name(c->ssl->connection, (char *) name);
    }

    rc = ngx_ssl_handshake(c);

    if (rc == NGX_AGAIN) {
        c->ssl->handler = ngx_http_mark_check_handshaked;
        return;
    }

    ngx_http_mark_check_handshaked(c);
}


static void
ngx_http_mark_check_handshaked(ngx_connection_t *c)
{
    ngx_str_t               host;
    ngx_http_mark_check_t  *check;

    check = c->data;

    if (!c->ssl->handshaked) {
        ngx_http_mark_check_failed(check, "the TLS handshake failed", 0);
        return;
    }

    if (check->health->verify) {
        host = ngx_http_mark_check_host(check);

        if (SSL_get_verify_result(c->ssl->connection) != X509_V_OK
            || ngx_ssl_check_host(c, &host) != NGX_OK)
        {
            ngx_http_mark_check_failed(check,
                                       "its certificate does not verify", 0);
            return;
        }
    }

    c->read->handler = ngx_http_mark_check_idle;
    c->write->handler = ngx_http_mark_check_write;

    ngx_http_mark_check_write(c->write);
}

#endif


static void
ngx_http_mark_check_write(ngx_event_t *wev)
{
    ssize_t                 n;
    ngx_buf_t              *b;
    ngx_connection_t       *c;
    ngx_http_mark_check_t  *check;

    c = wev->data;
    check = c->data;
    b = check->request;

    while (b->pos < b->last) {
        n = c->send(c, b->pos, b->last - b->pos);

        if (n == NGX_AGAIN) {
            if (ngx_handle_write_event(wev, 0) != NGX_OK) {
                ngx_http_mark_check_close(check);
            }

            return;
        }

        if (n == NGX_ERROR) {
            ngx_http_mark_check_failed(check, "send() failed",
                                       ngx_socket_errno);
            return;
        }

        b->pos += n;
    }

    wev->handler = ngx_http_mark_check_idle;

    if (ngx_handle_write_event(wev, 0) != NGX_OK) {
        ngx_http_mark_check_close(check);
        return;
    }

    c->read->handler = ngx_http_mark_check_read;
    ngx_http_mark_check_read(c->read);
}


static void
ngx_http_mark_check_read(ngx_event_t *rev)
{
    u_char                   reason[sizeof("status 200")];
    u_char                   buf[NGX_HTTP_MARK_CHECK_BUFFER];
    ssize_t                  n;
    const char              *pos;
    mark_http_rc_e           rc;
    ngx_connection_t        *c;
    mark_http_response_t    *response;
    ngx_http_mark_check_t   *check;
    ngx_http_mark_health_t  *health;

    c = rev->data;
    check = c->data;
    health = check->health;
    response = &check->response;

    do {
        n = c->recv(c, buf, sizeof(buf));

        if (n == NGX_AGAIN) {
            if (ngx_handle_read_event(rev, 0) != NGX_OK) {
                ngx_http_mark_check_close(check);
            }

            return;
        }

        if (n == NGX_ERROR) {
            ngx_http_mark_check_failed(check, "recv() failed",
                                       ngx_socket_errno);
            return;
        }

        if (n == 0) {
            rc = mark_http_response_eof(response);

        } else {
            pos = (char *) buf;
            rc = mark_http_response_parse(response, &pos, pos + n);
        }

        if (!response->head && rc == MARK_HTTP_ERROR) {
            ngx_http_mark_check_failed(check, response->error, 0);
            return;
        }

    } while (!response->head);

    ngx_sprintf(reason, "status %ui%Z", (ngx_uint_t) response->status);

    ngx_http_mark_health_result(check, response->status >= health->first
                                       && response->status <= health->last,
                                reason);
    ngx_http_mark_check_close(check);
}


static void
ngx_http_mark_check_idle(ngx_event_t *ev)
{
    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, ev->log, 0, "mark: check idle");
}


static void
ngx_http_mark_check_failed(ngx_http_mark_check_t *check, const char *what,
    ngx_err_t err)
{
    u_char  *p, *last;
    u_char   reason[NGX_HTTP_MARK_CHECK_REASON];

    last = reason + sizeof(reason) - 1;
    p = ngx_slprintf(reason, last, "%s", what);

    if (err) {
        p = ngx_slprintf(p, last, " (%d: ", err);
        p = ngx_strerror(err, p, last - p);
        p = ngx_slprintf(p, last, ")");
    }

    *p = '\0';

    ngx_http_mark_health_result(check, 0, reason);
    ngx_http_mark_check_close(check);
}


void
ngx_http_mark_check_close(ngx_http_mark_check_t *check)
{
    ngx_connection_t       *c;
    ngx_http_mark_watch_t  *watch;

    watch = &check->health->watches[check->slot];
    watch->check = NULL;

    if (check->timer.timer_set) {
        ngx_del_timer(&check->timer);
    }

    c = check->peer.connection;

    if (c) {

#if (NGX_HTTP_SSL)

        if (c->ssl) {
            c->ssl->no_wait_shutdown = 1;
            c->ssl->no_send_shutdown = 1;

            (void) ngx_ssl_shutdown(c);
        }

#endif

        ngx_close_connection(c);
    }

    ngx_destroy_pool(check->pool);
}
