
/*
 * The claim on a peer: from the choice of it until it is known what became of
 * the request.  All that is learned of peers is learned here.
 */


#include "ngx_http_mark_pool.h"


/* A batch that is so much over twice its time is stuck; usec. */
#define NGX_HTTP_MARK_STALL      100000


static void ngx_http_mark_claim_ended(ngx_http_mark_pool_t *pool,
    ngx_http_mark_claim_t *claim, ngx_http_mark_slot_t *slot,
    ngx_http_mark_claim_e how, uint64_t now);
static void ngx_http_mark_claim_event(ngx_http_mark_pool_t *pool,
    ngx_http_mark_slot_t *slot, mark_outlier_event_t event, uint64_t began,
    uint64_t now);


/* The claimed batch has so many rows, as is known only now. */

void
ngx_http_mark_claim_load(ngx_http_mark_claim_t *claim, ngx_uint_t rows)
{
    ngx_http_mark_pool_t  *pool;
    ngx_http_mark_slot_t  *slot;

    pool = claim->pool;

    if (pool == NULL || claim->slot == -1) {
        return;
    }

    ngx_shmtx_lock(pool->mutex);

    slot = ngx_http_mark_claim_slot(claim);

    if (slot) {
        ngx_http_mark_claim_placed(pool, claim, slot, rows);
    }

    ngx_shmtx_unlock(pool->mutex);
}


/*
 * The claim is over.  r is the request that was sent, whose answer may have a
 * load report; or NULL.
 */

void
ngx_http_mark_claim_release(ngx_http_mark_claim_t *claim,
    ngx_http_mark_claim_e how, ngx_http_request_t *r)
{
    uint64_t                now;
    ngx_queue_t            *link;
    mark_orca_t             report;
    ngx_uint_t              reported;
    ngx_http_mark_pool_t   *pool;
    ngx_http_mark_slot_t   *slot;
    ngx_http_mark_queue_t  *q;

    pool = claim->pool;

    if (pool == NULL || claim->slot == -1) {
        return;
    }

    reported = (r && ngx_http_mark_report_read(pool, r, &report) == NGX_OK);
    now = ngx_http_mark_now();

    ngx_shmtx_lock(pool->mutex);

    slot = ngx_http_mark_claim_slot(claim);

    if (slot) {
        slot->in_flight -= ngx_min(slot->in_flight, 1);
        slot->held[pool->seat] -= ngx_min(slot->held[pool->seat], 1);

        ngx_http_mark_claim_ended(pool, claim, slot, how, now);

        if (reported) {
            ngx_http_mark_report_apply(pool, slot, &report, now);
        }

        ngx_http_mark_slot_tidy(pool, slot);
    }

    ngx_shmtx_unlock(pool->mutex);

    claim->slot = -1;

    while (!ngx_queue_empty(&pool->waiting)) {
        link = ngx_queue_head(&pool->waiting);
        ngx_queue_remove(link);

        q = ngx_queue_data(link, ngx_http_mark_queue_t, pooled);
        q->pooled.next = NULL;

        if (!q->event.posted) {
            ngx_post_event(&q->event, &ngx_posted_events);
        }
    }
}


void
ngx_http_mark_claim_place(ngx_http_mark_pool_t *pool,
    ngx_http_mark_claim_t *claim, ngx_uint_t i, uint64_t now)
{
    ngx_http_mark_slot_t  *slot;

    slot = &pool->node->slots[i];

    claim->slot = i;
    claim->generation = slot->generation;
    claim->sent = now;

    slot->in_flight++;
    slot->held[pool->seat]++;

    if (mark_outlier_status(&slot->outlier, now) == MARK_OUTLIER_PROBING) {
        mark_outlier_try(&slot->outlier, now);
    }

    claim->beside = slot->concurrency
                    ? (slot->in_flight + slot->concurrency - 1)
                      / slot->concurrency
                    : slot->in_flight;
}


void
ngx_http_mark_claim_placed(ngx_http_mark_pool_t *pool,
    ngx_http_mark_claim_t *claim, ngx_http_mark_slot_t *slot, ngx_uint_t rows)
{
    uint64_t             time;
    ngx_uint_t           kind, limit;
    mark_select_peer_t   peer;

    kind = ngx_http_mark_pool_kind(pool, claim->kind, claim->sent);

    ngx_memzero(&peer, sizeof(mark_select_peer_t));
    peer.latency = &slot->latency[kind];
    peer.concurrency = slot->concurrency;

    limit = mark_select_limit(&peer);
    time = mark_latency_mean(peer.latency, rows);

    if (slot->in_flight <= limit) {
        slot->free_at = ngx_max(slot->free_at, claim->sent + time);

    } else {
        slot->free_at = ngx_max(slot->free_at, claim->sent) + time / limit;
    }

    claim->rows = rows;
    claim->expected = 0;
    claim->bound = 0;

    if (mark_latency_known(peer.latency)) {
        claim->expected = (slot->in_flight <= limit)
                          ? time : slot->free_at - claim->sent;
        claim->bound = claim->expected
                       + mark_latency_bound(peer.latency, rows) - time;
    }

    slot->last_sent = claim->sent;
    slot->last_rows = rows;
    slot->requests++;
    slot->rows += rows;
}


static void
ngx_http_mark_claim_ended(ngx_http_mark_pool_t *pool,
    ngx_http_mark_claim_t *claim, ngx_http_mark_slot_t *slot,
    ngx_http_mark_claim_e how, uint64_t now)
{
    uint64_t              usec, alone, left;
    ngx_uint_t            kind, limit, beside;
    mark_latency_t       *latency;
    mark_select_peer_t    peer;
    mark_outlier_event_t  event;

    kind = ngx_http_mark_pool_kind(pool, claim->kind, now);
    latency = &slot->latency[kind];
    usec = ngx_max(now - claim->sent, 1);

    ngx_memzero(&peer, sizeof(mark_select_peer_t));
    peer.latency = latency;
    peer.concurrency = slot->concurrency;
    limit = mark_select_limit(&peer);

    beside = claim->beside;
    alone = usec;

    /*
     * What is said to serve one at a time has begun with this one when it was
     * done with the last: so it is learned from under any load.  If that is
     * not so, each has its part of the time at least.
     */

    if (slot->concurrency == 1 && slot->last_done > claim->sent) {
        alone = ngx_max(now - slot->last_done, usec / claim->beside);
        alone = ngx_max(alone, 1);
        beside = 1;
    }

    slot->last_done = now;
    slot->stalled = 0;

    /* what is left is done so long from now, if not sooner */

    left = now + (uint64_t) slot->in_flight
                 * mark_latency_mean(latency, ngx_max(slot->last_rows, 1))
                 / limit;

    /* of several at one time some are half done */

    slot->free_at = (limit == 1) ? left : ngx_min(slot->free_at, left);

    if (how != NGX_HTTP_MARK_CLAIM_UNUSED
        && how != NGX_HTTP_MARK_CLAIM_BEATEN)
    {
        slot->busy += usec;
        slot->cost += slot->price * usec
                      / (3.6e9 * ngx_max(limit, claim->beside));
    }

    switch (how) {

    case NGX_HTTP_MARK_CLAIM_OK:
        mark_latency_observe(latency, claim->rows, alone, beside);

        /* fall through */

    case NGX_HTTP_MARK_CLAIM_ALIVE:
        event = MARK_OUTLIER_OK;
        slot->failed = 0;
        break;

    case NGX_HTTP_MARK_CLAIM_ERROR:
        event = MARK_OUTLIER_5XX;
        slot->failures++;
        slot->failed = now;
        break;

    case NGX_HTTP_MARK_CLAIM_FAILED:
        event = MARK_OUTLIER_FAILURE;
        slot->failures++;
        slot->failed = now;
        break;

    case NGX_HTTP_MARK_CLAIM_BEATEN:

        /* it is not for others to say that it was too slow, by its own time */

        event = (claim->bound
                 && usec > ngx_http_mark_hedge_after(claim->bound))
                ? MARK_OUTLIER_FAILURE : MARK_OUTLIER_ABANDONED;
        break;

    default: /* NGX_HTTP_MARK_CLAIM_UNUSED */
        event = MARK_OUTLIER_ABANDONED;
    }

    ngx_http_mark_claim_event(pool, slot, event, claim->sent, now);
}


/*
 * A peer that should have answered long ago is not asked again for a while:
 * what waits for it may still be answered, but nothing more shall wait.
 */

void
ngx_http_mark_claim_stall(ngx_http_mark_pool_t *pool,
    ngx_http_mark_slot_t *slot, ngx_uint_t kind, uint64_t now)
{
    uint64_t         late, since;
    mark_latency_t  *latency;

    latency = &slot->latency[kind];

    if (slot->in_flight == 0 || slot->stalled || !mark_latency_known(latency))
    {
        return;
    }

    late = 2 * mark_latency_bound(latency, ngx_max(slot->last_rows, 1))
           + NGX_HTTP_MARK_STALL;
    since = ngx_max(slot->free_at, slot->last_done);

    if (now > since + late) {
        slot->stalled = 1;
        ngx_http_mark_claim_event(pool, slot, MARK_OUTLIER_STALLED,
                                 slot->last_sent, now);
    }
}


/* Ejects the peer if it was not the first time that something went wrong. */

static void
ngx_http_mark_claim_event(ngx_http_mark_pool_t *pool,
    ngx_http_mark_slot_t *slot, mark_outlier_event_t event, uint64_t began,
    uint64_t now)
{
    ngx_uint_t                  i, n, ejected;
    ngx_http_mark_slot_t       *other;
    ngx_http_mark_pool_node_t  *node;

    if (slot->steady) {
        return;
    }

    node = pool->node;
    n = 0;
    ejected = 0;

    for (i = 0; i < node->top; i++) {
        other = &node->slots[i];

        if (other->state == NGX_HTTP_MARK_SLOT_READY && !other->down) {
            n++;
            ejected += other->outlier.ejected;
        }
    }

    if (mark_outlier_event(&slot->outlier, &pool->outlier, event, began,
                           mark_outlier_allowed(n, ejected,
                                                pool->max_ejected),
                           now))
    {
        slot->ejections++;
    }
}
