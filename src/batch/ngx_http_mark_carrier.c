
/*
 * The carrier: a request that no client made, which runs the location's own
 * content handler (proxy_pass, most of the time) once for a whole batch, with
 * every proxy_* directive of the location in force.
 *
 * It is a main request on a connection without a socket (fd -1), which never
 * becomes ready and to which nothing is ever written, as the filters of
 * ngx_http_mark_capture.c take all output.  Three pools: the batch's holds
 * this struct with the connection; nginx destroys the connection's own pool
 * in ngx_http_close_connection() and the request's in
 * ngx_http_free_request().
 *
 * The end is a cleanup of the request's pool, the one thing that happens
 * exactly once on all paths: an answer, a special response, an error, the
 * termination of the request.  It posts an event, in which the batch goes on
 * when nginx is done with the connection.
 *
 * Everything is copied from the leader, the first member of the batch, which
 * may leave before the carrier comes back.
 */


#include "ngx_http_mark.h"
#include "ngx_http_mark_carrier.h"
#include "ngx_http_mark_lambda.h"
#include "ngx_http_mark_overflow.h"


static ngx_int_t ngx_http_mark_carrier_connection(
    ngx_http_mark_carrier_t *carrier, ngx_connection_t *lc);
static ngx_uint_t ngx_http_mark_carrier_sends(ngx_http_request_t *r,
    ngx_buf_t *body);
static void ngx_http_mark_carrier_cleanup(void *data);
static void ngx_http_mark_carrier_done(ngx_event_t *ev);
static void ngx_http_mark_carrier_event(ngx_event_t *ev);
static ssize_t ngx_http_mark_carrier_recv(ngx_connection_t *c, u_char *buf,
    size_t size);
static ssize_t ngx_http_mark_carrier_send(ngx_connection_t *c, u_char *buf,
    size_t size);
static ngx_chain_t *ngx_http_mark_carrier_send_chain(ngx_connection_t *c,
    ngx_chain_t *in, off_t limit);
static u_char *ngx_http_mark_carrier_log(ngx_http_request_t *r,
    ngx_http_request_t *sr, u_char *buf, size_t len);


/*
 * Starts the batch's carrier.  On NGX_OK ngx_http_mark_batch_done() is called
 * some time later, never before this returns; otherwise never.
 */

ngx_int_t
ngx_http_mark_carrier_start(ngx_http_mark_batch_t *batch,
    ngx_http_mark_ctx_t *leader)
{
    ngx_connection_t         *c;
    ngx_pool_cleanup_t       *cln;
    ngx_http_request_t       *r, *lr;
    ngx_http_handler_pt       handler;
    ngx_http_mark_carrier_t  *carrier;

    lr = leader->request;

    carrier = ngx_pcalloc(batch->pool, sizeof(ngx_http_mark_carrier_t));
    if (carrier == NULL) {
        return NGX_ERROR;
    }

    carrier->batch = batch;

    if (ngx_http_mark_carrier_connection(carrier, lr->connection) != NGX_OK) {
        return NGX_ERROR;
    }

    c = &carrier->connection;

    r = ngx_http_mark_carrier_request(c, lr, batch);
    if (r == NULL) {
        ngx_destroy_pool(c->pool);
        return NGX_ERROR;
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        ngx_destroy_pool(r->pool);
        ngx_destroy_pool(c->pool);
        return NGX_ERROR;
    }

    ngx_http_mark_count(batch->conf, carriers_created);

#if (NGX_STAT_STUB)
    /* ngx_http_close_connection() will take it back */
    (void) ngx_atomic_fetch_add(ngx_stat_active, 1);
#endif

    cln->handler = ngx_http_mark_carrier_cleanup;
    cln->data = r;

    batch->carrier = r;

    c->data = r;
    carrier->log_ctx.request = r;
    carrier->log_ctx.current_request = r;
    r->log_handler = ngx_http_mark_carrier_log;

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, c->log, 0,
                   "mark: carrier of batch of %ui, rows:%ui bytes:%O",
                   batch->nslots, batch->rows, ngx_buf_size(batch->body));

    handler = batch->away ? batch->conf->overflow->location->handler
                          : leader->handler;

    ngx_http_finalize_request(r, handler(r));

    /* it may be over, and r freed, by now; the carrier is not */

    if (!carrier->finished && !batch->conf->body_replaced
        && !ngx_http_mark_carrier_sends(r, batch->body))
    {
        batch->replaced = 1;
    }

    ngx_http_run_posted_requests(c);

    return NGX_OK;
}


/*
 * Ends the batch's carrier before its time.  ngx_http_mark_batch_done() is
 * called nevertheless.
 */

void
ngx_http_mark_carrier_cancel(ngx_http_mark_batch_t *batch)
{
    ngx_http_request_t  *r;

    r = batch->carrier;

    if (r && r->upstream && r->upstream->conf->ignore_client_abort
        && !ngx_exiting)
    {
        return;
    }

    ngx_http_mark_carrier_abort(batch);
}


/* The same, whatever the location says of clients that leave. */

void
ngx_http_mark_carrier_abort(ngx_http_mark_batch_t *batch)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = batch->carrier;

    if (r == NULL) {
        return;
    }

    c = r->connection;

    /* as ngx_http_request_handler() does for a connection to be closed */

    r->main->count++;
    ngx_http_finalize_request(r, NGX_HTTP_CLIENT_CLOSED_REQUEST);

    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_http_mark_carrier_connection(ngx_http_mark_carrier_t *carrier,
    ngx_connection_t *lc)
{
    ngx_log_t         *log;
    ngx_connection_t  *c;

    c = &carrier->connection;
    log = &carrier->log;

    /* the copy has the handler, which is static in the core */

    *log = *lc->log;
    log->data = &carrier->log_ctx;
    log->action = "carrying a batch";

    carrier->log_ctx.connection = c;

    c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);
    log->connection = c->number;

    c->pool = ngx_create_pool(512, log);
    if (c->pool == NULL) {
        return NGX_ERROR;
    }

    /* $server_addr must not ask a socket that is not there */

    if (ngx_connection_local_sockaddr(lc, NULL, 0) != NGX_OK) {
        goto failed;
    }

    c->sockaddr = ngx_palloc(c->pool, lc->socklen);
    c->local_sockaddr = ngx_palloc(c->pool, lc->local_socklen);

    if (c->sockaddr == NULL || c->local_sockaddr == NULL
        || ngx_http_mark_carrier_dup(c->pool, &c->addr_text, &lc->addr_text)
           != NGX_OK)
    {
        goto failed;
    }

    ngx_memcpy(c->sockaddr, lc->sockaddr, lc->socklen);
    c->socklen = lc->socklen;

    ngx_memcpy(c->local_sockaddr, lc->local_sockaddr, lc->local_socklen);
    c->local_socklen = lc->local_socklen;

    c->fd = (ngx_socket_t) -1;
    c->type = lc->type;
    c->listening = lc->listening;
    c->log = log;
    c->log_error = NGX_ERROR_INFO;
    c->start_time = ngx_current_msec;

    c->recv = ngx_http_mark_carrier_recv;
    c->send = ngx_http_mark_carrier_send;
    c->send_chain = ngx_http_mark_carrier_send_chain;

    /* each of these would be a setsockopt() */

    c->tcp_nodelay = NGX_TCP_NODELAY_DISABLED;
    c->tcp_nopush = NGX_TCP_NOPUSH_DISABLED;
    c->sndlowat = 1;

    c->read = &carrier->read;
    c->write = &carrier->write;

    c->read->data = c;
    c->read->log = log;
    c->read->handler = ngx_http_mark_carrier_event;

    c->write->data = c;
    c->write->log = log;
    c->write->handler = ngx_http_mark_carrier_event;
    c->write->write = 1;

    /*
     * nginx must find nothing to add to its event method and nothing to
     * delete from it.
     */

    if (ngx_event_flags & NGX_USE_CLEAR_EVENT) {
        c->read->active = 1;
        c->write->active = 1;
        c->write->ready = 1;

    } else {
        c->read->ready = 1;
        c->write->ready = 1;
    }

    carrier->done.data = carrier;
    carrier->done.log = carrier->batch->log;
    carrier->done.handler = ngx_http_mark_carrier_done;

    return NGX_OK;

failed:

    ngx_destroy_pool(c->pool);

    return NGX_ERROR;
}


ngx_http_mark_batch_t *
ngx_http_mark_carrier_batch(ngx_http_request_t *r)
{
    ngx_http_mark_carrier_t  *carrier;

    /* not by a context: internal redirects forget them */

    if (r->connection->send_chain != ngx_http_mark_carrier_send_chain) {
        return NULL;
    }

    carrier = (ngx_http_mark_carrier_t *) r->connection;

    return carrier->batch;
}


/* How many servers stand behind the request's upstream; 0: not known. */

ngx_uint_t
ngx_http_mark_carrier_peers(ngx_http_request_t *r)
{
    if (r->upstream == NULL || r->upstream->upstream == NULL) {
        return 0;
    }

    ngx_http_mark_gate_met(r, r->upstream->upstream);

    return ngx_http_mark_peers(r->upstream->upstream);
}


/*
 * Tells whether the handler is sending the batch's body: proxy_set_body makes
 * it another one, whose answer is nobody's.  A request that could not even be
 * prepared sends nothing wrong.
 */

static ngx_uint_t
ngx_http_mark_carrier_sends(ngx_http_request_t *r, ngx_buf_t *body)
{
    ngx_chain_t  *cl;

    if (r->upstream == NULL || r->upstream->request_bufs == NULL) {
        return 1;
    }

    /* mark_lambda may have it in an event */

    if (ngx_http_mark_lambda_get_ctx(r)) {
        return 1;
    }

    for (cl = r->upstream->request_bufs; cl; cl = cl->next) {
        if (cl->buf->start == body->start) {
            return 1;
        }
    }

    return 0;
}


static void
ngx_http_mark_carrier_cleanup(void *data)
{
    ngx_http_request_t *r = data;

    ngx_connection_t         *c;
    ngx_http_mark_carrier_t  *carrier;

    c = r->connection;
    carrier = (ngx_http_mark_carrier_t *) c;

    ngx_http_mark_capture_finish(carrier->batch, r);

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }

    if (c->write->posted) {
        ngx_delete_posted_event(c->write);
    }

    /*
     * ngx_close_connection() comes next, and raises an alert for a connection
     * that has no socket; all else in it is right.  The log is our own.
     */

    carrier->log.log_level = 0;

    carrier->batch->carrier = NULL;
    carrier->finished = 1;
    ngx_post_event(&carrier->done, &ngx_posted_events);
}


static void
ngx_http_mark_carrier_done(ngx_event_t *ev)
{
    ngx_http_mark_carrier_t  *carrier;

    carrier = ev->data;

    ngx_http_mark_count(carrier->batch->conf, carriers_freed);

    ngx_http_mark_batch_done(carrier->batch);
}


static void
ngx_http_mark_carrier_event(ngx_event_t *ev)
{
    /* level-triggered methods let nginx post the events; nothing is there */
}


static ssize_t
ngx_http_mark_carrier_recv(ngx_connection_t *c, u_char *buf, size_t size)
{
    return NGX_AGAIN;
}


static ssize_t
ngx_http_mark_carrier_send(ngx_connection_t *c, u_char *buf, size_t size)
{
    return NGX_ERROR;
}


/* All output is captured before; to come here would be an error. */

static ngx_chain_t *
ngx_http_mark_carrier_send_chain(ngx_connection_t *c, ngx_chain_t *in,
    off_t limit)
{
    ngx_log_error(NGX_LOG_ALERT, c->log, 0,
                  "mark: a carrier was to be written to");

    return NGX_CHAIN_ERROR;
}


static u_char *
ngx_http_mark_carrier_log(ngx_http_request_t *r, ngx_http_request_t *sr,
    u_char *buf, size_t len)
{
    u_char                   *p;
    ngx_http_upstream_t      *u;
    ngx_http_mark_carrier_t  *carrier;

    carrier = (ngx_http_mark_carrier_t *) r->connection;

    p = ngx_snprintf(buf, len, ", server: %V, batch of %ui, first: \"%V\"",
                     &r->headers_in.server, carrier->batch->nslots,
                     &r->request_line);
    len -= p - buf;
    buf = p;

    u = sr->upstream;

    if (u && u->peer.name) {
        p = ngx_snprintf(buf, len, ", upstream: \"%V%V%s%V\"",
                         &u->schema, u->peer.name,
                         u->peer.name->len > 5
                         && ngx_strncmp(u->peer.name->data, "unix:", 5) == 0
                         ? ":" : "",
                         &u->uri);
    }

    return p;
}
