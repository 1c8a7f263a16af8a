
/*
 * Choosing among the slots of a pool.
 *
 * A queue first looks: it is told of the peer that its next batch would go
 * to, and mark_policy decides on the picture of that one whether the batch
 * leaves.  Then it enters, which claims the peer for the batch; the balancer
 * finds the claim when the carrier connects (ngx_http_mark_peer.c).  Requests
 * that are in no queue, and all that is tried again, claim a peer there.
 *
 * A claim is released once, with how it ended: that is all that is learned of
 * a peer.  What is told of it by others (health checks, plans) is in the slot
 * as well, and here it is decided who is usable.
 */


#include "ngx_http_mark_plan.h"


/* What failed is not the first to be asked for so long; usec. */
#define NGX_HTTP_MARK_FAILING    1000000

/* Of all peers of a pool one is looked at again in so long, at most; usec. */
#define NGX_HTTP_MARK_EXPLORE    1000000

/* A kind that was used within so many usec keeps its place in the tables. */
#define NGX_HTTP_MARK_KIND_KEPT  60000000

/* A hedge that finds no place looks again after so long, at least; usec. */
#define NGX_HTTP_MARK_AGAIN      10000


static ngx_uint_t ngx_http_mark_pool_picture(ngx_http_mark_pool_t *pool,
    ngx_uint_t kind, ngx_uint_t *tried, uint64_t now);
static void ngx_http_mark_pool_batch(ngx_http_mark_queue_t *q,
    mark_policy_state_t *state, mark_select_batch_t *batch);
static ngx_uint_t ngx_http_mark_pool_usable(ngx_http_mark_pool_t *pool,
    ngx_http_mark_slot_t *slot, uint64_t now);


/*
 * Tells the policy of the peer that a batch of what is in state would go to;
 * peer -1: there is none, and state is left as it is.  Returns how many peers
 * are in order.
 */

ngx_uint_t
ngx_http_mark_pool_look(ngx_http_mark_pool_t *pool, ngx_http_mark_queue_t *q,
    mark_policy_state_t *state, mark_select_choice_t *choice)
{
    uint64_t                    now;
    ngx_uint_t                  n, kind;
    mark_select_peer_t         *peer;
    mark_select_batch_t         batch;
    ngx_http_mark_slot_t       *slot;
    ngx_http_mark_pool_node_t  *node;

    node = pool->node;
    now = state->now;

    ngx_http_mark_pool_batch(q, state, &batch);

    ngx_shmtx_lock(pool->mutex);

    ngx_http_mark_plan_limits(pool, q);

    batch.explore = (node->explored + NGX_HTTP_MARK_EXPLORE < now);

    kind = ngx_http_mark_pool_kind(pool, q->kind, now);
    n = ngx_http_mark_pool_picture(pool, kind, NULL, now);

    mark_select(pool->peers, node->top, &batch, choice);

    if (choice->peer != -1) {
        peer = &pool->peers[choice->peer];
        slot = &node->slots[choice->peer];

        q->latency = slot->latency[kind];

        state->slots = 1;
        state->in_flight = peer->in_flight;
        state->last_sent = slot->last_sent;
        state->last_rows = slot->last_rows;
        state->max_rows = slot->max_batch;
        state->free = choice->start;
        state->latency = &q->latency;

        /* what is told is not to be learned */

        if (peer->concurrency || peer->probe) {
            state->slots = mark_select_limit(peer);
            q->latency.limit = 1;
        }
    }

    ngx_shmtx_unlock(pool->mutex);

    return n;
}


/*
 * Claims a peer for the batch that leaves now, as q->claim.  NGX_BUSY: the one
 * to wait for is busy; unless force is set, that one has as many as it takes,
 * with it, as many as it is said to take.  NGX_DECLINED: no peer is usable.
 */

ngx_int_t
ngx_http_mark_pool_enter(ngx_http_mark_pool_t *pool, ngx_http_mark_queue_t *q,
    mark_policy_state_t *state, ngx_uint_t force)
{
    uint64_t                    now;
    ngx_int_t                   rc;
    ngx_uint_t                  kind;
    mark_select_peer_t         *peer;
    mark_select_batch_t         batch;
    mark_select_choice_t        choice;
    ngx_http_mark_pool_node_t  *node;

    node = pool->node;
    now = state->now;

    ngx_http_mark_pool_batch(q, state, &batch);

    q->claim.slot = -1;
    q->claim.pool = pool;
    q->claim.kind = q->kind;
    q->claim.deadline = state->deadline;

    ngx_shmtx_lock(pool->mutex);

    batch.explore = (node->explored + NGX_HTTP_MARK_EXPLORE < now);

    kind = ngx_http_mark_pool_kind(pool, q->kind, now);
    (void) ngx_http_mark_pool_picture(pool, kind, NULL, now);

    mark_select(pool->peers, node->top, &batch, &choice);

    if (choice.peer == -1) {
        node->no_peer++;
        rc = NGX_DECLINED;
        goto done;
    }

    peer = &pool->peers[choice.peer];

    if (peer->in_flight >= mark_select_limit(peer)
        && (!force || peer->concurrency))
    {
        rc = NGX_BUSY;
        goto done;
    }

    if (choice.explores) {
        node->explored = now;
        node->slots[choice.peer].explored++;
    }

    mark_retry_budget_request(&node->retries, now);

    q->claim.reason = choice.reason;

    ngx_http_mark_claim_place(pool, &q->claim, choice.peer, now);
    state->max_rows = node->slots[choice.peer].max_batch;
    rc = NGX_OK;

done:

    ngx_shmtx_unlock(pool->mutex);

    return rc;
}


/* What would leave of what waits. */

static void
ngx_http_mark_pool_batch(ngx_http_mark_queue_t *q, mark_policy_state_t *state,
    mark_select_batch_t *batch)
{
    batch->now = state->now;
    batch->rows = ngx_min(state->rows, q->policy.max_rows);
    batch->waiting = state->rows;
    batch->deadline = state->deadline;
}


/*
 * Claims a peer for what is to be sent now, wherever that is; tried is a bit a
 * slot, of those that had it before.  NGX_BUSY: there is none, or the request
 * is not worth another try.
 */

ngx_int_t
ngx_http_mark_pool_claim(ngx_http_mark_claim_t *claim, ngx_uint_t *tried,
    ngx_uint_t retry)
{
    uint64_t                    now;
    ngx_int_t                   rc;
    ngx_uint_t                  kind;
    mark_select_batch_t         batch;
    mark_select_choice_t        choice;
    ngx_http_mark_pool_t       *pool;
    ngx_http_mark_pool_node_t  *node;

    pool = claim->pool;
    node = pool->node;
    now = ngx_http_mark_now();

    if (retry && claim->deadline && now >= claim->deadline) {
        return NGX_BUSY;
    }

    batch.now = now;
    batch.rows = claim->rows;
    batch.waiting = 0;
    batch.deadline = claim->deadline;

    rc = NGX_BUSY;

    ngx_shmtx_lock(pool->mutex);

    batch.explore = (!retry && node->explored + NGX_HTTP_MARK_EXPLORE < now);

    if (retry) {
        if (!mark_retry_budget_take(&node->retries, &pool->retries, now)) {
            node->retry_refused++;
            goto done;
        }

        node->retried++;

    } else {
        mark_retry_budget_request(&node->retries, now);
    }

    kind = ngx_http_mark_pool_kind(pool, claim->kind, now);
    (void) ngx_http_mark_pool_picture(pool, kind, tried, now);

    mark_select(pool->peers, node->top, &batch, &choice);

    if (choice.peer == -1 && retry && !claim->once) {

        /* all that are left had it: one of them again */

        (void) ngx_http_mark_pool_picture(pool, kind, NULL, now);
        mark_select(pool->peers, node->top, &batch, &choice);
    }

    if (choice.peer == -1) {
        node->no_peer++;
        goto done;
    }

    if (choice.explores) {
        node->explored = now;
        node->slots[choice.peer].explored++;
    }

    claim->reason = choice.reason;

    ngx_http_mark_claim_place(pool, claim, choice.peer, now);
    ngx_http_mark_claim_placed(pool, claim, &node->slots[choice.peer],
                              claim->rows);
    rc = NGX_OK;

done:

    ngx_shmtx_unlock(pool->mutex);

    return rc;
}


/*
 * Claims a peer for a copy of what is in flight: one that has not had it, has
 * a place and is expected to be done before the deadline.  NGX_AGAIN: there
 * may be a place *again usec later; NGX_DECLINED: there is no such peer, or the
 * budget is spent.
 */

ngx_int_t
ngx_http_mark_pool_hedge(ngx_http_mark_claim_t *claim, ngx_uint_t *tried,
    uint64_t *again)
{
    uint64_t                    now, time;
    ngx_int_t                   rc;
    ngx_uint_t                  kind;
    mark_select_peer_t         *peer;
    mark_select_batch_t         batch;
    mark_select_choice_t        choice;
    ngx_http_mark_pool_t       *pool;
    ngx_http_mark_pool_node_t  *node;

    pool = claim->pool;
    node = pool->node;
    now = ngx_http_mark_now();
    rc = NGX_DECLINED;

    batch.now = now;
    batch.rows = claim->rows;
    batch.waiting = 0;
    batch.deadline = claim->deadline;
    batch.explore = 0;

    ngx_shmtx_lock(pool->mutex);

    kind = ngx_http_mark_pool_kind(pool, claim->kind, now);
    (void) ngx_http_mark_pool_picture(pool, kind, tried, now);

    mark_select(pool->peers, node->top, &batch, &choice);

    if (choice.peer == -1) {
        goto done;
    }

    peer = &pool->peers[choice.peer];
    time = mark_latency_mean(peer->latency, claim->rows);

    if (claim->deadline
        && ngx_max(choice.start, now) + time >= claim->deadline)
    {
        goto done;
    }

    if (peer->concurrency && peer->in_flight >= peer->concurrency) {
        *again = ngx_max(choice.start, now + NGX_HTTP_MARK_AGAIN) - now;
        rc = NGX_AGAIN;
        goto done;
    }

    if (!mark_retry_budget_take(&node->retries, &pool->retries, now)) {
        node->retry_refused++;
        goto done;
    }

    node->hedged++;

    claim->reason = choice.reason;

    ngx_http_mark_claim_place(pool, claim, choice.peer, now);
    ngx_http_mark_claim_placed(pool, claim, &node->slots[choice.peer],
                              claim->rows);
    rc = NGX_OK;

done:

    ngx_shmtx_unlock(pool->mutex);

    return rc;
}


/*
 * The index of this kind in the slots' tables.  The longest unused one goes if
 * it is out of use; if all are in use the kind is learned together with one of
 * them, as what comes and goes would never be known.
 */

ngx_uint_t
ngx_http_mark_pool_kind(ngx_http_mark_pool_t *pool, uint32_t hash,
    uint64_t now)
{
    ngx_uint_t                  i, oldest;
    ngx_http_mark_kind_t       *kinds;
    ngx_http_mark_slot_t       *slot;
    ngx_http_mark_pool_node_t  *node;

    node = pool->node;
    kinds = node->kinds;
    oldest = 0;

    for (i = 0; i < NGX_HTTP_MARK_KINDS; i++) {

        if (kinds[i].used && kinds[i].hash == hash) {
            kinds[i].used = now;
            return i;
        }

        if (kinds[i].used < kinds[oldest].used) {
            oldest = i;
        }
    }

    if (kinds[oldest].used
        && kinds[oldest].used + NGX_HTTP_MARK_KIND_KEPT > now)
    {
        return hash % NGX_HTTP_MARK_KINDS;
    }

    kinds[oldest].hash = hash;
    kinds[oldest].used = now;

    for (i = 0; i < node->top; i++) {
        slot = &node->slots[i];

        mark_latency_init(&slot->latency[oldest]);

        if (slot->known) {
            mark_latency_prior(&slot->latency[oldest], slot->prior[0],
                               slot->prior[1], slot->prior[2]);
        }
    }

    return oldest;
}


/*
 * Returns how many peers are in order.  The last one that is usable is never
 * ejected, and one that is out of order may be better than none: but it is
 * counted only once a second.
 */

static ngx_uint_t
ngx_http_mark_pool_picture(ngx_http_mark_pool_t *pool, ngx_uint_t kind,
    ngx_uint_t *tried, uint64_t now)
{
    ngx_uint_t                  i, n, bits, usable, failing;
    mark_select_peer_t         *peer;
    ngx_http_mark_slot_t       *slot;
    ngx_http_mark_pool_node_t  *node;

    node = pool->node;
    bits = 8 * sizeof(ngx_uint_t);
    n = 0;
    failing = 0;

    for (i = 0; i < node->top; i++) {
        slot = &node->slots[i];
        peer = &pool->peers[i];

        peer->usable = 0;

        if (slot->state != NGX_HTTP_MARK_SLOT_READY
            && slot->state != NGX_HTTP_MARK_SLOT_WARMING)
        {
            continue;
        }

        ngx_http_mark_claim_stall(pool, slot, kind, now);

        usable = ngx_http_mark_pool_usable(pool, slot, now);

        peer->latency = &slot->latency[kind];
        peer->price = slot->price;
        peer->weight = slot->weight;
        peer->concurrency = slot->concurrency;
        peer->in_flight = slot->in_flight;
        peer->max_rows = slot->max_batch;
        peer->free_at = slot->free_at;
        peer->last_sent = slot->last_sent;
        peer->failing = (slot->failed + NGX_HTTP_MARK_FAILING > now);
        peer->backup = slot->backup;
        peer->probe = (mark_outlier_status(&slot->outlier, now)
                       == MARK_OUTLIER_PROBING);
        peer->share = mark_slowstart(ngx_max(slot->fresh,
                                             slot->outlier.healthy),
                                     pool->slow_start, now)
                      * mark_pressure_factor(&slot->pressure, &pool->pressure,
                                             now);

        n += usable;
        failing += usable && peer->failing
                   && (slot->outlier.failures >= pool->outlier.failures
                       || slot->outlier.errors >= pool->outlier.errors);
        peer->usable = usable
                       && !(tried
                            && (tried[i / bits] & (ngx_uint_t) 1 << i % bits));
    }

    if (n) {
        return n - failing;
    }

    /* with all of them out of order, rather one that may be than none */

    for (i = 0; i < node->top; i++) {
        slot = &node->slots[i];

        pool->peers[i].usable = slot->state == NGX_HTTP_MARK_SLOT_READY
                                && !slot->down
                                && !(tried
                                     && (tried[i / bits]
                                         & (ngx_uint_t) 1 << i % bits));
    }

    return 0;
}


static ngx_uint_t
ngx_http_mark_pool_usable(ngx_http_mark_pool_t *pool,
    ngx_http_mark_slot_t *slot, uint64_t now)
{
    if (slot->down || slot->health == NGX_HTTP_MARK_HEALTH_DOWN) {
        return 0;
    }

    /* what boots is ready when it says so */

    if (slot->state == NGX_HTTP_MARK_SLOT_WARMING
        && slot->health != NGX_HTTP_MARK_HEALTH_UP)
    {
        return 0;
    }

    return mark_outlier_may_try(&slot->outlier, &pool->outlier, now);
}


/* How many batches all usable peers may have; without the lock, a hint. */

ngx_uint_t
ngx_http_mark_pool_places(ngx_http_mark_pool_t *pool)
{
    uint64_t               now;
    ngx_uint_t             i, n;
    ngx_http_mark_slot_t  *slot;

    now = ngx_http_mark_now();
    n = 0;

    for (i = 0; i < pool->node->top; i++) {
        slot = &pool->node->slots[i];

        if ((slot->state == NGX_HTTP_MARK_SLOT_READY
             || slot->state == NGX_HTTP_MARK_SLOT_WARMING)
            && ngx_http_mark_pool_usable(pool, slot, now))
        {
            n += slot->concurrency ? slot->concurrency : 1;
        }
    }

    return ngx_max(n, 1);
}


/*
 * See mark_select_finish(); NGX_HTTP_MARK_NEVER: all peers are out of order.
 */

uint64_t
ngx_http_mark_pool_finish(ngx_http_mark_pool_t *pool, uint32_t kind,
    ngx_uint_t ahead, ngx_uint_t full)
{
    uint64_t    now, finish;
    ngx_uint_t  index;

    now = ngx_http_mark_now();
    finish = NGX_HTTP_MARK_NEVER;

    ngx_shmtx_lock(pool->mutex);

    index = ngx_http_mark_pool_kind(pool, kind, now);

    if (ngx_http_mark_pool_picture(pool, index, NULL, now)) {
        finish = mark_select_finish(pool->peers, pool->node->top, now, ahead,
                                    full, pool->work);
    }

    ngx_shmtx_unlock(pool->mutex);

    return finish;
}


/* The queue waits for a peer of the pool, and is run when one is free. */

void
ngx_http_mark_pool_wait(ngx_http_mark_pool_t *pool, ngx_http_mark_queue_t *q)
{
    if (q->pooled.next == NULL) {
        ngx_queue_insert_tail(&pool->waiting, &q->pooled);
    }
}


void
ngx_http_mark_pool_unwait(ngx_http_mark_queue_t *q)
{
    if (q->pooled.next) {
        ngx_queue_remove(&q->pooled);
        q->pooled.next = NULL;
    }
}
