
/*
 * What a queue sends, and when: the decision is mark_policy's, made on the
 * requests of all workers if they share the queue.
 */


#include "ngx_http_mark.h"
#include "ngx_http_mark_share.h"


static mark_policy_reason_t ngx_http_mark_queue_look(
    ngx_http_mark_queue_t *q, mark_policy_state_t *state, uint64_t *again,
    ngx_http_mark_load_t *load);
static mark_policy_reason_t ngx_http_mark_queue_decide(
    ngx_http_mark_queue_t *q, ngx_http_mark_line_t *line,
    mark_policy_state_t *state, uint64_t *again);
static void ngx_http_mark_queue_front(ngx_http_mark_queue_t *q,
    ngx_http_mark_line_t *line);
static ngx_uint_t ngx_http_mark_queue_mine(ngx_http_mark_queue_t *q,
    ngx_http_mark_line_t *line);
static ngx_int_t ngx_http_mark_queue_take(ngx_http_mark_queue_t *q,
    ngx_http_mark_line_t *line, mark_policy_state_t *state,
    mark_policy_reason_t reason, ngx_http_mark_load_t *load);
static ngx_uint_t ngx_http_mark_queue_leads(ngx_http_mark_queue_t *q,
    uint64_t now);
static ngx_uint_t ngx_http_mark_queue_lead(ngx_http_mark_queue_t *q,
    ngx_http_mark_line_t *line, mark_policy_state_t *state,
    ngx_http_mark_load_t *load);
static void ngx_http_mark_queue_trim(ngx_http_mark_queue_t *q);
static void ngx_http_mark_queue_refuse(ngx_http_mark_queue_t *q,
    ngx_http_mark_item_t *item, ngx_uint_t late);
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


static mark_policy_reason_t
ngx_http_mark_queue_decide(ngx_http_mark_queue_t *q,
    ngx_http_mark_line_t *line, mark_policy_state_t *state, uint64_t *again)
{
    uint64_t                  now, last;
    mark_policy_reason_t      reason;
    ngx_http_mark_item_t     *item;
    ngx_http_mark_service_t  *s;

    s = ngx_http_mark_service(q);
    now = ngx_http_mark_now();
    *again = UINT64_MAX;

    for ( ;; ) {
        ngx_http_mark_line_state(line, s, now, state);
        state->blocked = ngx_http_mark_gate_full(q->conf->gate);

        /*
         * What there was no room for is not seen by the others, who would
         * keep the backend busy for ever: it waits for this worker's own.
         */

        if (line == &q->line && q->shared
            && ngx_http_mark_queue_own(q) == 0)
        {
            state->in_flight = ngx_min(state->in_flight, q->flying);
        }

        item = ngx_http_mark_line_late(line, q->conf, state);
        if (item == NULL) {
            break;
        }

        ngx_http_mark_queue_refuse(q, item, 1);

        if (line->nitems == 0) {
            return MARK_POLICY_WAIT;
        }
    }

    state->blocked = 0;
    reason = mark_policy_decide(&q->conf->policy, state, again);

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
        reason = mark_policy_decide(&q->conf->policy, state, again);
    }

    /* to be rejected in time */

    if (reason == MARK_POLICY_WAIT && state->deadline
        && q->conf->timeout_action == NGX_HTTP_MARK_REJECT)
    {
        last = state->deadline - mark_latency_mean(&s->latency, 1);

        /* it may be tried in spite of that, and then is late at its deadline */

        if (last <= now) {
            last = state->deadline;
        }

        *again = ngx_min(*again, last);
    }

    return reason;
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

        if (rows >= q->conf->max_rows) {
            break;
        }
    }

    return ngx_http_mark_line_oldest(line)->cell->worker == ngx_worker;
}


/*
 * Takes the load of one batch, which has its place at the gate.  NGX_DECLINED:
 * none of it is of this worker, which could not make its carrier; the first
 * one's worker is told.
 */

static ngx_int_t
ngx_http_mark_queue_take(ngx_http_mark_queue_t *q, ngx_http_mark_line_t *line,
    mark_policy_state_t *state, mark_policy_reason_t reason,
    ngx_http_mark_load_t *load)
{
    ngx_queue_t              *link;
    ngx_http_mark_item_t     *item;
    ngx_http_mark_service_t  *s;

    ngx_queue_init(&load->items);

    load->n = ngx_http_mark_line_take(line, q->conf, state, &load->items);

    if (line != &q->line && ngx_http_mark_cell_take(&load->items) == 0
        && ngx_http_mark_queue_lead(q, line, state, load) == 0)
    {
        while (!ngx_queue_empty(&load->items)) {
            link = ngx_queue_head(&load->items);
            ngx_queue_remove(link);

            item = ngx_queue_data(link, ngx_http_mark_item_t, link);
            ngx_http_mark_line_add(line, item);
        }

        ngx_http_mark_cell_next(q);
        ngx_http_mark_gate_leave(q->conf->gate);

        return NGX_DECLINED;
    }

    if (line != &q->line) {
        q->shared->passed = 0;
    }

    if (reason == MARK_POLICY_OVERDUE) {
        s = ngx_http_mark_service(q);
        s->epoch++;
        s->current = 0;
    }

    load->flight.sent = state->now;
    load->flight.rows = 0;

    for (link = ngx_queue_head(&load->items);
         link != ngx_queue_sentinel(&load->items);
         link = ngx_queue_next(link))
    {
        item = ngx_queue_data(link, ngx_http_mark_item_t, link);
        load->flight.rows += item->rows;
    }

    ngx_http_mark_service_leave(q, &load->flight);

    return NGX_OK;
}


/*
 * A load with nothing of this worker's is for the worker of its first.  Tells
 * whether that had its time, and may be stopped or dead, while we wait.
 */

static ngx_uint_t
ngx_http_mark_queue_leads(ngx_http_mark_queue_t *q, uint64_t now)
{
    if (ngx_http_mark_cell_waiting(q) == NULL) {
        return 0;
    }

    if (q->shared->passed == 0) {
        q->shared->passed = now;
    }

    return now >= q->shared->passed + NGX_HTTP_MARK_SECOND;
}


/* Then the first of our own takes the place of the last; returns 0 or 1. */

static ngx_uint_t
ngx_http_mark_queue_lead(ngx_http_mark_queue_t *q, ngx_http_mark_line_t *line,
    mark_policy_state_t *state, ngx_http_mark_load_t *load)
{
    size_t                 bytes;
    ngx_uint_t             rows, limit;
    ngx_queue_t           *link;
    ngx_http_mark_item_t  *item, *own;

    if (!ngx_http_mark_queue_leads(q, state->now)) {
        return 0;
    }

    own = ngx_http_mark_cell_waiting(q);
    limit = mark_policy_rows(&q->conf->policy, state);
    rows = own->rows;
    bytes = own->bytes;

    ngx_http_mark_line_remove(line, own);

    for (link = ngx_queue_head(&load->items);
         link != ngx_queue_sentinel(&load->items);
         link = ngx_queue_next(link))
    {
        item = ngx_queue_data(link, ngx_http_mark_item_t, link);
        rows += item->rows;
        bytes += item->bytes;
    }

    while (!ngx_queue_empty(&load->items)
           && (rows > limit || bytes > q->conf->max_bytes))
    {
        link = ngx_queue_last(&load->items);
        ngx_queue_remove(link);

        item = ngx_queue_data(link, ngx_http_mark_item_t, link);
        ngx_http_mark_line_add(line, item);

        load->n--;
        rows -= item->rows;
        bytes -= item->bytes;
    }

    ngx_queue_insert_tail(&load->items, &own->link);
    load->n++;

    return ngx_http_mark_cell_take(&load->items);
}


/* Over mark_max_queue_size the least urgent are shed. */

static void
ngx_http_mark_queue_trim(ngx_http_mark_queue_t *q)
{
    ngx_uint_t             n;
    ngx_http_mark_line_t  *line;
    ngx_http_mark_item_t  *item, *other;

    if (q->conf->max_queue == 0) {
        return;
    }

    for ( ;; ) {
        n = q->line.nitems + (q->shared ? q->shared->line.nitems : 0);

        if (n <= q->conf->max_queue) {
            return;
        }

        line = &q->line;

        if (line->nitems == 0) {
            line = &q->shared->line;

        } else if (q->shared && q->shared->line.nitems) {
            item = ngx_http_mark_line_last(line);
            other = ngx_http_mark_line_last(&q->shared->line);

            if (ngx_http_mark_line_before(item, other)) {
                line = &q->shared->line;
            }
        }

        item = ngx_http_mark_line_last(line);

        ngx_http_mark_line_remove(line, item);
        ngx_http_mark_queue_refuse(q, item, 0);
    }
}


/* An item that was taken out of a line will be answered with an error. */

static void
ngx_http_mark_queue_refuse(ngx_http_mark_queue_t *q,
    ngx_http_mark_item_t *item, ngx_uint_t late)
{
    if (item->cell) {
        ngx_http_mark_cell_refuse(q, item, late);
        return;
    }

    item->ctx->late = late;
    ngx_http_mark_queue_shed(q, item->ctx);
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

    if (load->n > 1) {
        batch = ngx_http_mark_batch_create(q, load->n, name, &load->flight);

        if (batch == NULL) {
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

        } else if (load->n == 1) {
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
