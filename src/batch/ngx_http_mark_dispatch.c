
/*
 * What a queue sends, and when: the decision is mark_policy's, made on the
 * requests of all workers if they share the queue.
 */


#include "ngx_http_mark.h"
#include "ngx_http_mark_overflow.h"
#include "ngx_http_mark_pool.h"
#include "ngx_http_mark_share.h"


static mark_policy_reason_t ngx_http_mark_queue_look(
    ngx_http_mark_queue_t *q, mark_policy_state_t *state, uint64_t *again,
    ngx_http_mark_load_t *load);
static mark_policy_reason_t ngx_http_mark_queue_overflow(
    ngx_http_mark_queue_t *q, ngx_http_mark_line_t *line,
    mark_policy_state_t *state, uint64_t *again, ngx_http_mark_load_t *load);
static mark_policy_reason_t ngx_http_mark_queue_decide(
    ngx_http_mark_queue_t *q, ngx_http_mark_line_t *line,
    mark_policy_state_t *state, uint64_t *again);
static mark_policy_reason_t ngx_http_mark_queue_claim(
    ngx_http_mark_queue_t *q, mark_policy_state_t *state,
    mark_select_choice_t *choice, mark_policy_reason_t reason,
    uint64_t *again);
static void ngx_http_mark_queue_front(ngx_http_mark_queue_t *q,
    ngx_http_mark_line_t *line);
static ngx_uint_t ngx_http_mark_queue_mine(ngx_http_mark_queue_t *q,
    ngx_http_mark_line_t *line);
static ngx_uint_t ngx_http_mark_queue_own(ngx_http_mark_queue_t *q);


/*
 * Decides what is next: MARK_POLICY_WAIT, or the reason for which the load
 * leaves.  What must wait goes where other workers can take it.
 */

mark_policy_reason_t
ngx_http_mark_queue_next(ngx_http_mark_queue_t *q, mark_policy_state_t *state,
    uint64_t *again, ngx_http_mark_load_t *load)
{
    mark_policy_reason_t  reason;

    if (q->shared == NULL) {
        return ngx_http_mark_queue_look(q, state, again, load);
    }

    /* a hint, without the lock; what it says late is seen below */

    if (q->shared->line.nitems && ngx_http_mark_queue_own(q)) {
        ngx_http_mark_cell_publish(q);
    }

    for ( ;; ) {

        if (ngx_http_mark_share_lock() != NGX_OK) {
            ngx_http_mark_sweep_abandon(q);
            return ngx_http_mark_queue_look(q, state, again, load);
        }

        reason = ngx_http_mark_queue_look(q, state, again, load);

        ngx_http_mark_share_unlock();

        if (reason != MARK_POLICY_WAIT || !ngx_http_mark_queue_own(q)) {
            return reason;
        }

        ngx_http_mark_cell_publish(q);
    }
}


/* Tells whether something waits in this worker's line that may be shared. */

static ngx_uint_t
ngx_http_mark_queue_own(ngx_http_mark_queue_t *q)
{
    ngx_queue_t           *link;
    ngx_http_mark_item_t  *item;

    /* the newest are at the end, most of the time */

    for (link = ngx_queue_last(&q->line.items);
         link != ngx_queue_sentinel(&q->line.items);
         link = ngx_queue_prev(link))
    {
        item = ngx_queue_data(link, ngx_http_mark_item_t, link);

        if (!item->ctx->private) {
            return 1;
        }
    }

    return 0;
}


/* Looks at the worker's own line, and at the shared one: it is locked. */

static mark_policy_reason_t
ngx_http_mark_queue_look(ngx_http_mark_queue_t *q, mark_policy_state_t *state,
    uint64_t *again, ngx_http_mark_load_t *load)
{
    uint64_t               when;
    mark_policy_reason_t   reason;
    ngx_http_mark_line_t  *line;
    ngx_http_mark_item_t  *oldest;

    *again = UINT64_MAX;

    if (q->line.nitems) {
        reason = ngx_http_mark_queue_decide(q, &q->line, state, again);

        if (reason != MARK_POLICY_WAIT
            && ngx_http_mark_queue_take(q, &q->line, state, reason, load)
               == NGX_OK)
        {
            return reason;
        }

        if (ngx_http_mark_queue_overflow(q, &q->line, state, again, load)
            != MARK_POLICY_WAIT)
        {
            return MARK_POLICY_OVERFLOW;
        }
    }

    line = q->shared ? &q->shared->line : NULL;
    q->front.due = 0;

    if (line && line->nitems) {

        if (q->conf->gate) {
            ngx_http_mark_queue_front(q, line);
        }

        reason = ngx_http_mark_queue_decide(q, line, state, &when);

        if (reason != MARK_POLICY_WAIT
            && ngx_http_mark_queue_take(q, line, state, reason, load)
               == NGX_OK)
        {
            return reason;
        }

        if (ngx_http_mark_queue_overflow(q, line, state, again, load)
            != MARK_POLICY_WAIT)
        {
            return MARK_POLICY_OVERFLOW;
        }

        /* all wait for the same: the worker of the oldest comes first */

        if (line->nitems) {
            oldest = ngx_queue_data(ngx_queue_head(&line->ages),
                                    ngx_http_mark_item_t, age);

            if (reason != MARK_POLICY_WAIT) {
                when = state->now + NGX_HTTP_MARK_SECOND;

            } else if (oldest->cell->worker != ngx_worker) {
                when = ngx_max(when, state->now) + NGX_HTTP_MARK_SECOND;
            }

            *again = ngx_min(*again, when);
        }
    }

    ngx_http_mark_queue_trim(q);

    return MARK_POLICY_WAIT;
}


/* What stays, and would be too late, has another way; or is told so. */

static mark_policy_reason_t
ngx_http_mark_queue_overflow(ngx_http_mark_queue_t *q,
    ngx_http_mark_line_t *line, mark_policy_state_t *state, uint64_t *again,
    ngx_http_mark_load_t *load)
{
    if (q->conf->overflow == NULL
        && (q->conf->pool == NULL
            || q->conf->timeout_action != NGX_HTTP_MARK_REJECT))
    {
        return MARK_POLICY_WAIT;
    }

    return ngx_http_mark_overflow_look(q, line, state, again, load);
}


static mark_policy_reason_t
ngx_http_mark_queue_decide(ngx_http_mark_queue_t *q,
    ngx_http_mark_line_t *line, mark_policy_state_t *state, uint64_t *again)
{
    uint64_t                  now, last;
    ngx_uint_t                usable;
    mark_policy_reason_t      reason;
    ngx_http_mark_item_t     *item;
    ngx_http_mark_pool_t     *pool;
    mark_select_choice_t      choice;
    ngx_http_mark_service_t  *s;

    s = ngx_http_mark_service(q);
    pool = q->conf->pool;
    now = ngx_http_mark_now();
    usable = 1;
    *again = UINT64_MAX;

    for ( ;; ) {
        ngx_http_mark_line_state(line, s, now, state);

        if (pool) {
            usable = ngx_http_mark_pool_look(pool, q, state, &choice);
        }

        state->blocked = ngx_http_mark_gate_full(q->conf->gate);

        /*
         * What there was no room for is not seen by the others, who would
         * keep the backend busy for ever: it waits for this worker's own.
         */

        if (line == &q->line && q->shared && pool == NULL
            && ngx_http_mark_queue_own(q) == 0)
        {
            state->in_flight = ngx_min(state->in_flight, q->flying);
        }

        item = ngx_http_mark_line_late(line, &q->policy,
                                       q->conf->timeout_action,
                                       q->conf->overflow != NULL, state);
        if (item == NULL) {
            break;
        }

        ngx_http_mark_queue_refuse(q, item, 1);

        if (line->nitems == 0) {
            return MARK_POLICY_WAIT;
        }
    }

    /* with all servers out of order there may be another way */

    if (usable == 0 && q->conf->overflow
        && !ngx_http_mark_line_first(line)->kept)
    {
        *again = now + MARK_POLICY_PATIENCE;
        return MARK_POLICY_WAIT;
    }

    state->blocked = 0;
    reason = mark_policy_decide(&q->policy, state, again);

    if (reason != MARK_POLICY_WAIT && line != &q->line
        && !ngx_http_mark_queue_mine(q, line)
        && !ngx_http_mark_queue_leads(q, now))
    {
        /* who has a part in it sends it, we what comes behind it */

        ngx_http_mark_cell_next(q);
        ngx_http_mark_gate_wait(q);

        *again = now + NGX_HTTP_MARK_SECOND;
        return MARK_POLICY_WAIT;
    }

    if (reason != MARK_POLICY_WAIT && ngx_http_mark_gate_enter(q) != NGX_OK) {
        state->blocked = 1;
        reason = mark_policy_decide(&q->policy, state, again);
    }

    if (pool) {
        reason = ngx_http_mark_queue_claim(q, state, &choice, reason, again);
    }

    /* to be rejected in time */

    if (reason == MARK_POLICY_WAIT && state->deadline
        && q->conf->timeout_action == NGX_HTTP_MARK_REJECT)
    {
        last = state->deadline - mark_latency_mean(state->latency, 1);

        /* it may be tried in spite of that, and then is late at its deadline */

        if (last <= now) {
            last = state->deadline;
        }

        *again = ngx_min(*again, last);
    }

    return reason;
}


/*
 * Claims a peer of the pool for the batch that may leave for reason, or says
 * when to look again: when the peer that it waits for should be free, and when
 * that one would be too late and another has its turn.
 */

static mark_policy_reason_t
ngx_http_mark_queue_claim(ngx_http_mark_queue_t *q,
    mark_policy_state_t *state, mark_select_choice_t *choice,
    mark_policy_reason_t reason, uint64_t *again)
{
    ngx_uint_t             force;
    ngx_http_mark_pool_t  *pool;

    pool = q->conf->pool;

    if (reason != MARK_POLICY_WAIT) {

        force = (reason == MARK_POLICY_DRAIN
                 || reason == MARK_POLICY_OVERDUE
                 || q->policy.delay != MARK_POLICY_AUTO);

        if (ngx_http_mark_pool_enter(pool, q, state, force) != NGX_BUSY) {
            return reason;
        }

        /* another queue, or worker, was faster */

        ngx_http_mark_gate_leave(q->conf->gate);

        *again = state->now + 1000;
    }

    ngx_http_mark_pool_wait(pool, q);

    /* what another worker's release, or a plan, changes is not told */

    *again = ngx_min(*again, state->now + MARK_POLICY_PATIENCE);

    if (choice->peer != -1) {

        if (choice->start > state->now) {
            *again = ngx_min(*again, choice->start);
        }

        if (choice->latest > state->now) {
            *again = ngx_min(*again, choice->latest);
        }
    }

    return MARK_POLICY_WAIT;
}


/*
 * Notes for the gate, which does not have the lock, the most urgent request of
 * this worker's in the shared line.
 */

static void
ngx_http_mark_queue_front(ngx_http_mark_queue_t *q,
    ngx_http_mark_line_t *line)
{
    ngx_queue_t           *link;
    ngx_http_mark_item_t  *item;

    for (link = ngx_queue_head(&line->items);
         link != ngx_queue_sentinel(&line->items);
         link = ngx_queue_next(link))
    {
        item = ngx_queue_data(link, ngx_http_mark_item_t, link);

        if (item->cell->worker == ngx_worker) {
            q->front = *item;
            return;
        }
    }
}


/* Tells whether the batch that would leave the shared line has one of ours. */

static ngx_uint_t
ngx_http_mark_queue_mine(ngx_http_mark_queue_t *q, ngx_http_mark_line_t *line)
{
    ngx_uint_t             rows;
    ngx_queue_t           *link;
    ngx_http_mark_item_t  *item;

    rows = 0;

    for (link = ngx_queue_head(&line->items);
         link != ngx_queue_sentinel(&line->items);
         link = ngx_queue_next(link))
    {
        item = ngx_queue_data(link, ngx_http_mark_item_t, link);

        if (item->cell->worker == ngx_worker) {
            return 1;
        }

        rows += item->rows;

        if (rows >= q->policy.max_rows) {
            break;
        }
    }

    return ngx_http_mark_line_oldest(line)->cell->worker == ngx_worker;
}


/* Sends one batch. */

void
ngx_http_mark_queue_dispatch(ngx_http_mark_queue_t *q,
    ngx_http_mark_load_t *load, mark_policy_reason_t reason)
{
    uint64_t                sent;
    const char             *name;
    ngx_queue_t            *link;
    ngx_http_mark_ctx_t    *ctx;
    ngx_http_mark_item_t   *item;
    ngx_http_mark_batch_t  *batch;

    name = mark_policy_reason(reason);
    sent = load->flight.sent;

    ngx_http_mark_count(q->conf, batches[reason]);
    ngx_http_mark_observe_rows(&q->conf->counters->batch_rows,
                               load->flight.rows);

    batch = NULL;

    if (load->n > 1 || reason == MARK_POLICY_OVERFLOW
        || ngx_http_mark_hedges(q->conf))
    {
        batch = ngx_http_mark_batch_create(q, load->n, name, &load->flight);

        if (batch && reason == MARK_POLICY_OVERFLOW) {
            batch->away = 1;
            batch->overflow = load->overflow;

        } else if (reason == MARK_POLICY_OVERFLOW) {
            ngx_http_mark_overflow_cancel(q, &load->overflow);

        } else if (batch == NULL) {
            ngx_http_mark_service_answered(q, &load->flight, 0, 0);
        }
    }

    while (!ngx_queue_empty(&load->items)) {
        link = ngx_queue_head(&load->items);
        ngx_queue_remove(link);

        item = ngx_queue_data(link, ngx_http_mark_item_t, link);

        ngx_http_mark_observe_usec(&q->conf->counters->queue_time,
                                   sent - item->arrived);

        if (item->cell) {

            if (batch) {
                ngx_http_mark_batch_add_cell(batch, item->cell);

            } else {
                ngx_http_mark_cell_return(item->cell);
            }

            continue;
        }

        ngx_http_mark_add(q->conf, queued, -1);

        ctx = item->ctx;
        ctx->queue = NULL;
        ctx->sent = sent;

        if (batch) {
            ngx_http_mark_batch_add(batch, ctx);

        } else if (load->n == 1 && reason != MARK_POLICY_OVERFLOW
                   && !ngx_http_mark_hedges(q->conf))
        {
            ctx->queue = q;
            ctx->flight = load->flight;
            ngx_http_mark_alone(ctx, name);

        } else {
            /* no memory for a batch: each by itself, a few at a time */
            ngx_http_mark_retry(q, ctx);
        }
    }

    if (batch) {
        ngx_http_mark_batch_start(batch);
    }
}
