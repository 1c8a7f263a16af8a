
/*
 * The gate's part of the balancing: of the places of an upstream each server
 * has as many as mark_max_concurrent_batches says.
 *
 * Which server a batch goes to is the balancer's choice.  If that one has all
 * the batches that it may have, the balancer is asked again, and what it chose
 * in vain is given back unused.  Each time it is asked as if by a new request:
 * of one request it does not take the same server twice, and goes over to
 * backup servers when it has had them all, both for good.  What the request
 * tries after a failure is left alone.
 *
 * One thing cannot be undone: to the balancer a server that is given back has
 * answered.  If it was out of order, but due to be tried again, it counts as
 * live from then on, and up to max_fails requests try it instead of one.
 *
 * All this is around whatever the configuration put together, keepalive
 * included; a cached connection that is not used goes back to the cache.
 */


#include "ngx_http_mark_gate.h"


/* How often the balancer is asked. */
#define NGX_HTTP_MARK_GATE_ASK  16


/* A balancer's state for a request. */

typedef struct {
    void                          *data;
    ngx_event_get_peer_pt          get;
    ngx_event_free_peer_pt         free;
    ngx_event_notify_peer_pt       notify;
#if (NGX_SSL || NGX_COMPAT)
    ngx_event_set_peer_session_pt  set_session;
    ngx_event_save_peer_session_pt save_session;
#endif
} ngx_http_mark_balancer_t;


typedef struct {
    ngx_http_mark_balancer_t       balancer;
    ngx_peer_connection_t          pc;          /* with its choice */
} ngx_http_mark_choice_t;


typedef struct {
    ngx_http_mark_balancer_t       balancer;
    ngx_http_mark_gate_t          *gate;
    ngx_http_request_t            *request;
    ngx_int_t                      peer;        /* that it holds, or -1 */
    unsigned                       asked:1;
} ngx_http_mark_gate_peer_t;


static ngx_int_t ngx_http_mark_gate_peer_init(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *uscf);
static ngx_uint_t ngx_http_mark_gate_peer_ours(ngx_http_request_t *r,
    ngx_http_mark_gate_t *gate);
static ngx_int_t ngx_http_mark_gate_peer_get(ngx_peer_connection_t *pc,
    void *data);
static void ngx_http_mark_gate_peer_free(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state);
static void ngx_http_mark_gate_peer_notify(ngx_peer_connection_t *pc,
    void *data, ngx_uint_t type);
#if (NGX_SSL || NGX_COMPAT)
static ngx_int_t ngx_http_mark_gate_peer_set_session(
    ngx_peer_connection_t *pc, void *data);
static void ngx_http_mark_gate_peer_save_session(ngx_peer_connection_t *pc,
    void *data);
#endif
static ngx_int_t ngx_http_mark_gate_peer_ask(ngx_http_mark_gate_peer_t *gp,
    ngx_peer_connection_t *pc);
static void ngx_http_mark_gate_peer_back(ngx_http_mark_gate_peer_t *gp,
    ngx_http_mark_choice_t *choice);
static void ngx_http_mark_gate_peer_close(ngx_connection_t *c);
static ngx_uint_t ngx_http_mark_gate_peer_take(ngx_http_mark_gate_peer_t *gp,
    ngx_peer_connection_t *pc, ngx_uint_t force);
static ngx_int_t ngx_http_mark_gate_peer_find(ngx_http_mark_gate_node_t *node,
    ngx_peer_connection_t *pc);
static ngx_uint_t ngx_http_mark_gate_peer_held(ngx_http_mark_gate_node_t *node,
    ngx_uint_t peer);


/* When all others have wrapped it: the outermost. */

void
ngx_http_mark_gate_wrap(ngx_http_mark_gate_t *gate)
{
    gate->init = gate->upstream->peer.init;
    gate->upstream->peer.init = ngx_http_mark_gate_peer_init;
}


static ngx_int_t
ngx_http_mark_gate_peer_init(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *uscf)
{
    ngx_http_mark_gate_t       *gate;
    ngx_peer_connection_t      *pc;
    ngx_http_mark_balancer_t   *b;
    ngx_http_mark_gate_peer_t  *gp;

    gate = ngx_http_conf_upstream_srv_conf(uscf, ngx_http_mark_module);

    if (gate->init(r, uscf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (gate->peers == 1 || !ngx_http_mark_gate_peer_ours(r, gate)) {
        return NGX_OK;
    }

    gp = ngx_pcalloc(r->pool, sizeof(ngx_http_mark_gate_peer_t));
    if (gp == NULL) {
        return NGX_ERROR;
    }

    gp->gate = gate;
    gp->request = r;
    gp->peer = -1;

    pc = &r->upstream->peer;
    b = &gp->balancer;

    b->data = pc->data;
    b->get = pc->get;
    b->free = pc->free;
    b->notify = pc->notify;

    pc->data = gp;
    pc->get = ngx_http_mark_gate_peer_get;
    pc->free = ngx_http_mark_gate_peer_free;

    if (b->notify) {
        pc->notify = ngx_http_mark_gate_peer_notify;
    }

#if (NGX_SSL || NGX_COMPAT)
    b->set_session = pc->set_session;
    b->save_session = pc->save_session;

    if (b->set_session) {
        pc->set_session = ngx_http_mark_gate_peer_set_session;
        pc->save_session = ngx_http_mark_gate_peer_save_session;
    }
#endif

    return NGX_OK;
}


/* Does the request hold a place? */

static ngx_uint_t
ngx_http_mark_gate_peer_ours(ngx_http_request_t *r, ngx_http_mark_gate_t *gate)
{
    ngx_http_mark_ctx_t    *ctx;
    ngx_http_mark_batch_t  *batch;

    batch = ngx_http_mark_carrier_batch(r);

    if (batch) {
        return batch->conf->gate == gate;
    }

    ctx = ngx_http_mark_get_ctx(r);

    return ctx && r == r->main && ctx->state == NGX_HTTP_MARK_ALONE
           && ctx->queue && ctx->conf->gate == gate;
}


static ngx_int_t
ngx_http_mark_gate_peer_get(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_mark_gate_peer_t *gp = data;

    ngx_int_t                rc, next;
    ngx_uint_t               i, n;
    ngx_http_mark_choice_t  *choices;

    rc = gp->balancer.get(pc, gp->balancer.data);

    if (rc != NGX_OK && rc != NGX_DONE) {
        return rc;
    }

    if (gp->asked) {
        (void) ngx_http_mark_gate_peer_take(gp, pc, 1);
        return rc;
    }

    gp->asked = 1;

    if (ngx_http_mark_gate_peer_take(gp, pc, 0)) {
        return rc;
    }

    choices = ngx_palloc(gp->request->pool, NGX_HTTP_MARK_GATE_ASK
                                            * sizeof(ngx_http_mark_choice_t));
    if (choices == NULL) {
        (void) ngx_http_mark_gate_peer_take(gp, pc, 1);
        return rc;
    }

    choices[0].balancer = gp->balancer;
    choices[0].pc = *pc;

    for (n = 1; n < NGX_HTTP_MARK_GATE_ASK; n++) {

        next = ngx_http_mark_gate_peer_ask(gp, pc);

        if (next != NGX_OK && next != NGX_DONE) {
            break;
        }

        if (ngx_http_mark_gate_peer_take(gp, pc, 0)) {
            rc = next;
            break;
        }

        choices[n].balancer = gp->balancer;
        choices[n].pc = *pc;
    }

    /* all had as many as they may, or are out of order: the first it is */

    if (gp->peer == -1) {
        gp->balancer = choices[0].balancer;
        *pc = choices[0].pc;

        (void) ngx_http_mark_gate_peer_take(gp, pc, 1);
        i = 1;

    } else {
        i = 0;
    }

    for ( /* void */ ; i < n; i++) {
        ngx_http_mark_gate_peer_back(gp, &choices[i]);
    }

    return rc;
}


/* Asks the balancer once more, as a new request; pc has its choice. */

static ngx_int_t
ngx_http_mark_gate_peer_ask(ngx_http_mark_gate_peer_t *gp,
    ngx_peer_connection_t *pc)
{
    ngx_peer_connection_t      own;
    ngx_http_mark_balancer_t  *b;

    own = *pc;

    pc->data = NULL;
    pc->connection = NULL;

    if (gp->gate->init(gp->request, gp->gate->upstream) != NGX_OK) {
        *pc = own;
        return NGX_ERROR;
    }

    b = &gp->balancer;

    b->data = pc->data;
    b->get = pc->get;
    b->free = pc->free;
    b->notify = pc->notify;

#if (NGX_SSL || NGX_COMPAT)
    b->set_session = pc->set_session;
    b->save_session = pc->save_session;
#endif

    *pc = own;
    pc->connection = NULL;

    return b->get(pc, b->data);
}


/* What was chosen in vain: as if it had not been. */

static void
ngx_http_mark_gate_peer_back(ngx_http_mark_gate_peer_t *gp,
    ngx_http_mark_choice_t *choice)
{
    ngx_uint_t            keepalive, sent;
    ngx_http_upstream_t  *u;

    u = gp->request->upstream;

    keepalive = u->keepalive;
    sent = u->request_body_sent;

    if (choice->pc.connection) {
        u->keepalive = 1;
        u->request_body_sent = 1;
    }

    choice->balancer.free(&choice->pc, choice->balancer.data, 0);

    u->keepalive = keepalive;
    u->request_body_sent = sent;

    if (choice->pc.connection) {
        ngx_http_mark_gate_peer_close(choice->pc.connection);
    }
}


/* The cache would not have it back. */

static void
ngx_http_mark_gate_peer_close(ngx_connection_t *c)
{
#if (NGX_HTTP_SSL)

    if (c->ssl) {
        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;

        (void) ngx_ssl_shutdown(c);
    }

#endif

    ngx_destroy_pool(c->pool);
    ngx_close_connection(c);
}


static void
ngx_http_mark_gate_peer_free(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state)
{
    ngx_http_mark_gate_peer_t *gp = data;

    uint32_t              *held;
    ngx_http_mark_gate_t  *gate;

    gate = gp->gate;

    if (gp->peer != -1) {
        held = &gate->node->peers[gp->peer].held[gate->seat];

        ngx_shmtx_lock(gate->mutex);

        if (*held) {
            (*held)--;
        }

        ngx_shmtx_unlock(gate->mutex);

        gp->peer = -1;
    }

    gp->balancer.free(pc, gp->balancer.data, state);
}


static void
ngx_http_mark_gate_peer_notify(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t type)
{
    ngx_http_mark_gate_peer_t *gp = data;

    gp->balancer.notify(pc, gp->balancer.data, type);
}


#if (NGX_SSL || NGX_COMPAT)

static ngx_int_t
ngx_http_mark_gate_peer_set_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_mark_gate_peer_t *gp = data;

    return gp->balancer.set_session(pc, gp->balancer.data);
}


static void
ngx_http_mark_gate_peer_save_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_mark_gate_peer_t *gp = data;

    gp->balancer.save_session(pc, gp->balancer.data);
}

#endif


/* Takes one of the chosen server's places; 0: they are all taken. */

static ngx_uint_t
ngx_http_mark_gate_peer_take(ngx_http_mark_gate_peer_t *gp,
    ngx_peer_connection_t *pc, ngx_uint_t force)
{
    ngx_int_t                   peer;
    ngx_uint_t                  ok;
    ngx_http_mark_gate_t       *gate;
    ngx_http_mark_gate_node_t  *node;

    gate = gp->gate;
    node = gate->node;

    ngx_shmtx_lock(gate->mutex);

    peer = ngx_http_mark_gate_peer_find(node, pc);

    ok = (peer == -1 || force
          || ngx_http_mark_gate_peer_held(node, peer) < gate->max);

    if (ok && peer != -1) {
        node->peers[peer].held[gate->seat]++;
        gp->peer = peer;
    }

    ngx_shmtx_unlock(gate->mutex);

    return ok;
}


/*
 * The server of this address, or a new one in the place of one without
 * batches; -1: there are more than so many.  Locked.
 */

static ngx_int_t
ngx_http_mark_gate_peer_find(ngx_http_mark_gate_node_t *node,
    ngx_peer_connection_t *pc)
{
    ngx_int_t                   empty;
    ngx_uint_t                  i;
    ngx_http_mark_gate_place_t  *peer;

    if (pc->socklen > (socklen_t) sizeof(ngx_sockaddr_t)) {
        return -1;
    }

    empty = -1;

    for (i = 0; i < NGX_HTTP_MARK_GATE_PEERS; i++) {
        peer = &node->peers[i];

        if (peer->socklen == pc->socklen
            && ngx_memcmp(&peer->sockaddr, pc->sockaddr, pc->socklen) == 0)
        {
            return i;
        }

        if (empty == -1 && ngx_http_mark_gate_peer_held(node, i) == 0) {
            empty = i;
        }
    }

    if (empty != -1) {
        peer = &node->peers[empty];

        peer->socklen = pc->socklen;
        ngx_memcpy(&peer->sockaddr, pc->sockaddr, pc->socklen);
    }

    return empty;
}


static ngx_uint_t
ngx_http_mark_gate_peer_held(ngx_http_mark_gate_node_t *node, ngx_uint_t peer)
{
    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < NGX_HTTP_MARK_SEATS; i++) {
        n += node->peers[peer].held[i];
    }

    return n;
}
