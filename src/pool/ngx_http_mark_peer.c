
/*
 * The balancer of "mark_balance slo": what an upstream request has to do with
 * the pool.  It works for requests of all modules and locations, batched or
 * not; "keepalive" wraps it as it wraps every balancer.
 *
 * All that the request keeps of a peer is copied into its own memory: the
 * slot may have become another one's by the time the log is written.
 */


#include "ngx_http_mark_pool.h"


#if (NGX_HTTP_SSL)

/* TLS sessions are of the process, as the core's are without a zone. */

struct ngx_http_mark_session_s {
    uint32_t                   generation;
    ngx_ssl_session_t         *session;
};

#endif


typedef struct {
    ngx_http_mark_claim_t      claim;
    ngx_http_mark_claim_t     *reserved;     /* by its queue; or NULL */
    ngx_http_request_t        *request;
    ngx_uint_t                 asked;
    ngx_uint_t                *tried;        /* a bit a slot */
    ngx_http_mark_decision_t   decision;
} ngx_http_mark_peer_t;


static ngx_uint_t ngx_http_mark_peer_tries(ngx_http_mark_pool_t *pool);
static void ngx_http_mark_peer_kind(ngx_http_mark_peer_t *peer);
static ngx_int_t ngx_http_mark_peer_get(ngx_peer_connection_t *pc, void *data);
static void ngx_http_mark_peer_free(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state);
static ngx_http_mark_claim_e ngx_http_mark_peer_how(ngx_http_request_t *r,
    ngx_connection_t *c, ngx_uint_t state);
static void ngx_http_mark_peer_kept(void *data);
#if (NGX_HTTP_SSL)
static void ngx_http_mark_peer_exit(void *data);
static struct ngx_http_mark_session_s *ngx_http_mark_peer_session(
    ngx_http_mark_peer_t *peer);
static ngx_int_t ngx_http_mark_peer_set_session(ngx_peer_connection_t *pc,
    void *data);
static void ngx_http_mark_peer_save_session(ngx_peer_connection_t *pc,
    void *data);
#elif (NGX_COMPAT)
static ngx_int_t ngx_http_mark_peer_set_session(ngx_peer_connection_t *pc,
    void *data);
static void ngx_http_mark_peer_save_session(ngx_peer_connection_t *pc,
    void *data);
#endif


ngx_int_t
ngx_http_mark_peer_init_process(ngx_http_mark_pool_t *pool, ngx_cycle_t *cycle)
{
#if (NGX_HTTP_SSL)

    ngx_pool_cleanup_t  *cln;

    pool->sessions = ngx_pcalloc(cycle->pool,
                                 pool->nslots
                                 * sizeof(struct ngx_http_mark_session_s));

    cln = ngx_pool_cleanup_add(cycle->pool, 0);

    if (pool->sessions == NULL || cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_mark_peer_exit;
    cln->data = pool;

#endif

    return NGX_OK;
}


ngx_int_t
ngx_http_mark_peer_init(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *uscf)
{
    ngx_uint_t              n;
    ngx_pool_cleanup_t     *cln;
    ngx_http_mark_pool_t   *pool;
    ngx_http_mark_peer_t   *peer;
    ngx_http_mark_batch_t  *batch;
    ngx_peer_connection_t  *pc;

    pool = ngx_http_mark_pool_of(uscf);
    n = 8 * sizeof(ngx_uint_t);
    n = (pool->nslots + n - 1) / n;

    batch = ngx_http_mark_carrier_batch(r);

    peer = ngx_pcalloc(r->pool, sizeof(ngx_http_mark_peer_t)
                                + n * sizeof(ngx_uint_t));
    cln = ngx_pool_cleanup_add(r->pool, 0);

    if (peer == NULL || cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_mark_peer_kept;
    cln->data = peer;

    peer->request = r;
    peer->tried = (ngx_uint_t *) &peer[1];
    peer->claim.pool = pool;

    /* what a batch and its hedge have tried is one, and outlives them */

    if (batch && batch->conf->pool == pool && ngx_http_mark_hedge_on(batch)) {

        if (batch->of) {
            batch = batch->of;
        }

        if (batch->tried == NULL) {
            batch->tried = ngx_pcalloc(batch->pool, n * sizeof(ngx_uint_t));
            if (batch->tried == NULL) {
                return NGX_ERROR;
            }
        }

        peer->tried = batch->tried;
    }

    peer->claim.slot = -1;

    ngx_http_mark_peer_kind(peer);

    pc = &r->upstream->peer;

    pc->data = peer;
    pc->get = ngx_http_mark_peer_get;
    pc->free = ngx_http_mark_peer_free;
    pc->tries = ngx_http_mark_peer_tries(pool);

#if (NGX_HTTP_SSL || NGX_COMPAT)
    pc->set_session = ngx_http_mark_peer_set_session;
    pc->save_session = ngx_http_mark_peer_save_session;
#endif

    return NGX_OK;
}


/* One for each that may have it at all; without the lock, a hint. */

static ngx_uint_t
ngx_http_mark_peer_tries(ngx_http_mark_pool_t *pool)
{
    ngx_uint_t             i, n;
    ngx_http_mark_slot_t  *slot;

    n = 0;

    for (i = 0; i < pool->node->top; i++) {
        slot = &pool->node->slots[i];

        if ((slot->state == NGX_HTTP_MARK_SLOT_READY
             || slot->state == NGX_HTTP_MARK_SLOT_WARMING)
            && !slot->down)
        {
            n++;
        }
    }

    return ngx_max(n, 1);
}


/* What the request is, to the pool: of which kind, how large, until when. */

static void
ngx_http_mark_peer_kind(ngx_http_mark_peer_t *peer)
{
    ngx_http_request_t     *r;
    ngx_http_mark_ctx_t    *ctx;
    ngx_http_mark_batch_t  *batch;
    ngx_http_mark_claim_t  *reserved;

    r = peer->request;
    batch = ngx_http_mark_carrier_batch(r);

    peer->claim.rows = 1;

    if (batch) {
        peer->claim.kind = batch->queue->kind;
        peer->claim.rows = batch->rows;
        peer->claim.deadline = batch->deadline;

        reserved = &batch->flight.claim;

    } else {
        ctx = (r == r->main) ? ngx_http_mark_get_ctx(r) : NULL;
        reserved = NULL;

        peer->claim.kind = ngx_http_mark_kind(r);

        if (ctx && ctx->state == NGX_HTTP_MARK_ALONE) {
            peer->claim.deadline = ctx->deadline;
            peer->claim.rows = ngx_max(ctx->req.nrows, 1);

            reserved = ctx->queue ? &ctx->flight.claim : NULL;

        } else {
            peer->claim.deadline = ngx_http_mark_deadline_plain(r);
        }
    }

    if (reserved && reserved->pool == peer->claim.pool) {
        peer->reserved = reserved;
    }
}


static ngx_int_t
ngx_http_mark_peer_get(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_mark_peer_t *peer = data;

    ngx_str_t              *name;
    ngx_uint_t              bits;
    struct sockaddr        *sockaddr;
    ngx_http_mark_slot_t   *slot;
    ngx_http_mark_batch_t  *batch;

    name = ngx_palloc(peer->request->pool, sizeof(ngx_str_t));
    if (name == NULL) {
        return NGX_ERROR;
    }

    batch = ngx_http_mark_carrier_batch(peer->request);
    peer->claim.once = (batch && (batch->of || batch->twin));

    pc->cached = 0;
    pc->connection = NULL;

    *name = peer->claim.pool->name;
    pc->name = name;

    if (peer->reserved && peer->reserved->slot != -1) {
        peer->claim = *peer->reserved;
        peer->reserved->slot = -1;
        peer->reserved = NULL;

    } else if (ngx_http_mark_pool_claim(&peer->claim, peer->tried,
                                        peer->asked)
               != NGX_OK)
    {
        return NGX_BUSY;
    }

    peer->asked = 1;

    /* the slot is nobody else's while this request is in flight */

    slot = &peer->claim.pool->node->slots[peer->claim.slot];

    bits = 8 * sizeof(ngx_uint_t);
    peer->tried[peer->claim.slot / bits] |= (ngx_uint_t) 1
                                            << peer->claim.slot % bits;

    sockaddr = ngx_palloc(peer->request->pool, slot->socklen);
    name->len = ngx_strlen(slot->addr);
    name->data = ngx_pnalloc(peer->request->pool, name->len);

    if (sockaddr == NULL || name->data == NULL) {
        ngx_http_mark_claim_release(&peer->claim, NGX_HTTP_MARK_CLAIM_UNUSED,
                                   NULL);
        name->len = 0;
        return NGX_ERROR;
    }

    ngx_memcpy(sockaddr, &slot->sockaddr, slot->socklen);
    ngx_memcpy(name->data, slot->addr, name->len);

    pc->sockaddr = sockaddr;
    pc->socklen = slot->socklen;

    peer->decision.reason = peer->claim.reason;
    peer->decision.expected = peer->claim.expected;
    ngx_memcpy(peer->decision.class, slot->class, sizeof(slot->class));

    if (batch) {
        batch->answer.decision = peer->decision;
        ngx_http_mark_hedge_arm(batch, peer->claim.bound);
    }

    ngx_log_debug5(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "mark: peer \"%V\" rows:%ui beside:%ui %s expected:%uLus",
                   name, peer->claim.rows, peer->claim.beside,
                   mark_select_reason(peer->claim.reason),
                   peer->claim.expected);

    return NGX_OK;
}


static void
ngx_http_mark_peer_free(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state)
{
    ngx_http_mark_peer_t *peer = data;

    ngx_http_mark_claim_release(&peer->claim,
                               ngx_http_mark_peer_how(peer->request,
                                                      pc->connection, state),
                               peer->request);

    if (pc->tries) {
        pc->tries--;
    }
}


static ngx_http_mark_claim_e
ngx_http_mark_peer_how(ngx_http_request_t *r, ngx_connection_t *c,
    ngx_uint_t state)
{
    ngx_uint_t              status;
    ngx_event_pipe_t       *p;
    ngx_http_upstream_t    *u;
    ngx_http_mark_batch_t  *batch;

    batch = ngx_http_mark_carrier_batch(r);

    if (batch && batch->lost) {
        return NGX_HTTP_MARK_CLAIM_BEATEN;
    }

    u = r->upstream;
    status = u->headers_in.status_n;

    if (status >= NGX_HTTP_INTERNAL_SERVER_ERROR) {
        return NGX_HTTP_MARK_CLAIM_ERROR;
    }

    if (state & NGX_PEER_FAILED) {
        return NGX_HTTP_MARK_CLAIM_FAILED;
    }

    /* a client that left, or what was only asked for a cached answer */

    if (status == 0 || !u->header_sent) {
        return status ? NGX_HTTP_MARK_CLAIM_ALIVE : NGX_HTTP_MARK_CLAIM_UNUSED;
    }

    if (status >= NGX_HTTP_BAD_REQUEST) {
        return NGX_HTTP_MARK_CLAIM_ALIVE;
    }

    p = u->buffering ? u->pipe : NULL;

    if (p == NULL) {

        if (u->length == 0 || u->length == -1 || u->upgrade) {
            return NGX_HTTP_MARK_CLAIM_OK;
        }

        return c && (c->read->eof || c->read->error || c->read->timedout)
               ? NGX_HTTP_MARK_CLAIM_FAILED : NGX_HTTP_MARK_CLAIM_ALIVE;
    }

    if (p->upstream_done || (p->upstream_eof && p->length == -1)) {
        return NGX_HTTP_MARK_CLAIM_OK;
    }

    /* it broke off, or the client did */

    return (p->upstream_error || p->upstream_eof)
           ? NGX_HTTP_MARK_CLAIM_FAILED : NGX_HTTP_MARK_CLAIM_ALIVE;
}


/* The mark by which ngx_http_mark_peer_decision() finds the peer again. */

static void
ngx_http_mark_peer_kept(void *data)
{
    return;
}


/*
 * Why the request, or NULL, went where it went the last time.  u->peer.data is
 * not for us to read: it is the keepalive module's, where there is that.
 */

ngx_http_mark_decision_t *
ngx_http_mark_peer_decision(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t    *cln;
    ngx_http_mark_peer_t  *peer;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler != ngx_http_mark_peer_kept) {
            continue;
        }

        /* subrequests have the same pool */

        peer = cln->data;

        if (peer->request == r) {
            return peer->asked ? &peer->decision : NULL;
        }
    }

    return NULL;
}


#if (NGX_HTTP_SSL)

static void
ngx_http_mark_peer_exit(void *data)
{
    ngx_http_mark_pool_t *pool = data;

    ngx_uint_t  i;

    for (i = 0; i < pool->nslots; i++) {
        if (pool->sessions[i].session) {
            ngx_ssl_free_session(pool->sessions[i].session);
            pool->sessions[i].session = NULL;
        }
    }
}


/* NULL: it has no slot.  A session of who had it before is gone. */

static struct ngx_http_mark_session_s *
ngx_http_mark_peer_session(ngx_http_mark_peer_t *peer)
{
    struct ngx_http_mark_session_s  *s;

    if (peer->claim.slot == -1) {
        return NULL;
    }

    s = &peer->claim.pool->sessions[peer->claim.slot];

    if (s->generation != peer->claim.generation) {

        if (s->session) {
            ngx_ssl_free_session(s->session);
            s->session = NULL;
        }

        s->generation = peer->claim.generation;
    }

    return s;
}


static ngx_int_t
ngx_http_mark_peer_set_session(ngx_peer_connection_t *pc, void *data)
{
    struct ngx_http_mark_session_s  *s;

    s = ngx_http_mark_peer_session(data);

    return s ? ngx_ssl_set_session(pc->connection, s->session) : NGX_OK;
}


static void
ngx_http_mark_peer_save_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_ssl_session_t               *session;
    struct ngx_http_mark_session_s  *s;

    s = ngx_http_mark_peer_session(data);

    if (s == NULL) {
        return;
    }

    session = ngx_ssl_get_session(pc->connection);

    if (session == NULL) {
        return;
    }

    if (s->session) {
        ngx_ssl_free_session(s->session);
    }

    s->session = session;
}

#elif (NGX_COMPAT)

static ngx_int_t
ngx_http_mark_peer_set_session(ngx_peer_connection_t *pc, void *data)
{
    return NGX_OK;
}


static void
ngx_http_mark_peer_save_session(ngx_peer_connection_t *pc, void *data)
{
    return;
}

#endif
