
/*
 * Queues: requests that may share a batch wait here, and here it is decided
 * when they leave.
 *
 * A queue belongs to one worker and is found by its key.  Requests enter from
 * their clients' events and leave from the queue's own event only, which is
 * posted behind the events of the same round of the loop: whatever arrives in
 * one round can share a batch, and no request is run, answered or freed in
 * the stack of another one.
 *
 * While something waits the event is posted or its timer, which is not
 * cancelable, is set: a worker that is shutting down stays for it.
 *
 * Which queues there are is ngx_http_mark_queues.c's business.
 */


#include "ngx_http_mark.h"


static void ngx_http_mark_queue_insert(ngx_http_mark_queue_t *q,
    ngx_http_mark_ctx_t *ctx);
static ngx_int_t ngx_http_mark_queue_make_room(ngx_http_mark_queue_t *q,
    uint64_t due);
static mark_policy_reason_t ngx_http_mark_queue_decide(
    ngx_http_mark_queue_t *q, uint64_t now, uint64_t *again);
static void ngx_http_mark_queue_check(ngx_http_mark_queue_t *q,
    uint64_t now);
static void ngx_http_mark_queue_arm(ngx_http_mark_queue_t *q, uint64_t now,
    uint64_t when);
static void ngx_http_mark_queue_handler(ngx_event_t *ev);
static void ngx_http_mark_queue_dispatch(ngx_http_mark_queue_t *q,
    uint64_t now, mark_policy_reason_t reason);
static void ngx_http_mark_queue_run_shed(ngx_http_mark_queue_t *q);
static void ngx_http_mark_queue_run_retries(ngx_http_mark_queue_t *q,
    uint64_t now);


void
ngx_http_mark_queue_init(ngx_http_mark_queue_t *q)
{
    q->slots = 1;
    q->log = *ngx_cycle->log;

    q->event.handler = ngx_http_mark_queue_handler;
    q->event.data = q;
    q->event.log = &q->log;

    ngx_queue_init(&q->items);
    ngx_queue_init(&q->ages);
    ngx_queue_init(&q->shed);
    ngx_queue_init(&q->retries);
    mark_latency_init(&q->latency);
}


/*
 * Queues the request.  NGX_OK; NGX_BUSY: as many wait as may; NGX_DECLINED:
 * the answers to this kind of request turned out not to be splittable;
 * NGX_ERROR: no memory.
 */

ngx_int_t
ngx_http_mark_queue_add(ngx_http_mark_main_conf_t *mmcf,
    ngx_http_mark_ctx_t *ctx)
{
    ngx_str_t               key;
    ngx_http_mark_queue_t  *q;

    if (ngx_http_mark_key(ctx, &key) != NGX_OK) {
        return NGX_ERROR;
    }

    q = ngx_http_mark_queues_get(mmcf, ctx->conf, &key);
    if (q == NULL) {
        return NGX_ERROR;
    }

    if (q->paused) {
        if (ngx_time() < q->paused) {
            return NGX_DECLINED;
        }

        q->paused = 0;
    }

    ctx->due = ctx->deadline ? ctx->deadline
                             : ctx->arrived + NGX_HTTP_MARK_PATIENT;

    if (ctx->conf->max_queue && q->nitems >= ctx->conf->max_queue
        && ngx_http_mark_queue_make_room(q, ctx->due) != NGX_OK)
    {
        return NGX_BUSY;
    }

    ctx->state = NGX_HTTP_MARK_QUEUED;
    ctx->queue = q;

    ngx_http_mark_queue_insert(q, ctx);
    q->nitems++;
    q->rows += ctx->req.nrows;
    q->bytes += ctx->req.body.len;

    ngx_http_mark_count(q->conf, queued);

    ngx_log_debug4(NGX_LOG_DEBUG_HTTP, ctx->request->connection->log, 0,
                   "mark: queued %p n:%ui rows:%ui in flight:%ui",
                   q, q->nitems, q->rows, q->in_flight);

    ngx_http_mark_queue_check(q, ctx->arrived);

    return NGX_OK;
}


/* Earliest deadline first; equal ones, the usual case, as they came. */

static void
ngx_http_mark_queue_insert(ngx_http_mark_queue_t *q, ngx_http_mark_ctx_t *ctx)
{
    ngx_queue_t          *link;
    ngx_http_mark_ctx_t  *before;

    for (link = ngx_queue_last(&q->items);
         link != ngx_queue_sentinel(&q->items);
         link = ngx_queue_prev(link))
    {
        before = ngx_queue_data(link, ngx_http_mark_ctx_t, link);

        if (before->due <= ctx->due) {
            break;
        }
    }

    ngx_queue_insert_after(link, &ctx->link);
    ngx_queue_insert_tail(&q->ages, &ctx->age);
}


/*
 * A full queue sheds what is least urgent: NGX_BUSY if that would be the one
 * that is due then, which is about to be added.
 */

static ngx_int_t
ngx_http_mark_queue_make_room(ngx_http_mark_queue_t *q, uint64_t due)
{
    ngx_http_mark_ctx_t  *last;

    last = ngx_queue_data(ngx_queue_last(&q->items), ngx_http_mark_ctx_t,
                          link);

    if (last->due <= due) {
        return NGX_BUSY;
    }

    /* it is answered by the queue's event, not by another client's */

    ngx_http_mark_queue_remove(last);

    last->state = NGX_HTTP_MARK_SHED;
    last->queue = q;

    ngx_queue_insert_tail(&q->shed, &last->link);
    q->nshed++;

    ngx_http_mark_count(q->conf, queued);

    ngx_post_event(&q->event, &ngx_posted_events);

    return NGX_OK;
}


/* Takes out a request that waits, in whichever list. */

void
ngx_http_mark_queue_remove(ngx_http_mark_ctx_t *ctx)
{
    ngx_http_mark_queue_t  *q;

    q = ctx->queue;

    ngx_queue_remove(&ctx->link);

    if (ctx->state == NGX_HTTP_MARK_RETRYING) {
        q->nretries--;

    } else if (ctx->state == NGX_HTTP_MARK_SHED) {
        q->nshed--;

    } else {
        ngx_queue_remove(&ctx->age);

        q->nitems--;
        q->rows -= ctx->req.nrows;
        q->bytes -= ctx->req.body.len;

        /* it would hold up a worker that is shutting down */

        if (q->nitems == 0 && q->event.timer_set) {
            ngx_del_timer(&q->event);
        }
    }

    ngx_http_mark_add(q->conf, queued, -1);

    ctx->state = NGX_HTTP_MARK_DONE;
    ctx->queue = NULL;
}


/* A member of a failed batch is to be tried alone, when its turn comes. */

void
ngx_http_mark_queue_retry(ngx_http_mark_queue_t *q, ngx_http_mark_ctx_t *ctx)
{
    ctx->state = NGX_HTTP_MARK_RETRYING;
    ctx->queue = q;
    ctx->batch = NULL;

    ngx_queue_insert_tail(&q->retries, &ctx->link);
    q->nretries++;

    ngx_http_mark_count(q->conf, queued);

    ngx_post_event(&q->event, &ngx_posted_events);
}


/*
 * A batch, or a request alone, has left for the backend.  The epoch that is
 * returned goes to ngx_http_mark_queue_answered(): when what is in flight is
 * overdue a new epoch begins, and what was sent before it counts no longer as
 * something to gather behind, for as long as the backend may hang on it.
 */

ngx_uint_t
ngx_http_mark_queue_sent(ngx_http_mark_queue_t *q, uint64_t now,
    ngx_uint_t rows)
{
    q->in_flight++;
    q->current++;
    q->last_sent = now;
    q->last_rows = rows;

    ngx_http_mark_count(q->conf, in_flight);

    return q->epoch;
}


/*
 * It came back: after usec, or with usec 0 without an answer to learn from.
 * peers is how many servers stood behind it, 0 if that is not known.
 */

void
ngx_http_mark_queue_answered(ngx_http_mark_queue_t *q, ngx_uint_t epoch,
    ngx_uint_t rows, uint64_t usec, ngx_uint_t peers)
{
    q->in_flight--;

    if (epoch == q->epoch) {
        q->current--;
    }

    q->used = ngx_time();

    ngx_http_mark_add(q->conf, in_flight, -1);

    if (usec) {
        mark_latency_observe(&q->latency, rows, usec);
        ngx_http_mark_observe_usec(&q->conf->counters->batch_time, usec);
    }

    if (peers) {
        q->slots = peers;
    }

    if (q->nitems || q->nretries) {
        ngx_post_event(&q->event, &ngx_posted_events);
    }
}


/* A request that was run alone is over; ok if it was answered with 200. */

void
ngx_http_mark_queue_finish(ngx_http_mark_ctx_t *ctx, ngx_uint_t ok)
{
    uint64_t                usec;
    ngx_http_mark_queue_t  *q;

    /* the end of a request comes after its answer, once the client has it */

    if (ctx->answered == 0) {
        ctx->answered = ngx_http_mark_now();
    }

    q = ctx->queue;

    if (q == NULL) {
        return;
    }

    ctx->queue = NULL;

    if (ctx->retry) {
        q->retrying--;
    }

    usec = ok ? ngx_max(ctx->answered - ctx->sent, 1) : 0;

    ngx_http_mark_queue_answered(q, ctx->epoch, ctx->req.nrows, usec,
                                 ngx_http_mark_carrier_peers(ctx->request));
}


static mark_policy_reason_t
ngx_http_mark_queue_decide(ngx_http_mark_queue_t *q, uint64_t now,
    uint64_t *again)
{
    ngx_queue_t          *link;
    ngx_http_mark_ctx_t  *oldest, *urgent;
    mark_policy_state_t   state;

    oldest = ngx_queue_data(ngx_queue_head(&q->ages), ngx_http_mark_ctx_t,
                            age);

    /* the most urgent of those that can still be in time */

    state.deadline = 0;

    for (link = ngx_queue_head(&q->items);
         link != ngx_queue_sentinel(&q->items);
         link = ngx_queue_next(link))
    {
        urgent = ngx_queue_data(link, ngx_http_mark_ctx_t, link);

        if (urgent->deadline == 0) {
            continue;
        }

        state.deadline = urgent->deadline;

        if (now + mark_latency_mean(&q->latency, urgent->req.nrows)
            <= urgent->deadline)
        {
            break;
        }
    }

    state.now = now;
    state.rows = q->rows;
    state.bytes = q->bytes;
    state.oldest = oldest->arrived;
    state.slots = q->slots;
    state.in_flight = q->current;
    state.last_sent = q->last_sent;
    state.last_rows = q->last_rows;
    state.draining = ngx_exiting || ngx_terminate;
    state.latency = &q->latency;

    return mark_policy_decide(&q->conf->policy, &state, again);
}


/* Called from a client's event: only posts the queue's, or sets its timer. */

static void
ngx_http_mark_queue_check(ngx_http_mark_queue_t *q, uint64_t now)
{
    uint64_t  again;

    if (q->event.posted) {
        return;
    }

    if (ngx_http_mark_queue_decide(q, now, &again) != MARK_POLICY_WAIT) {
        ngx_post_event(&q->event, &ngx_posted_events);
        return;
    }

    ngx_http_mark_queue_arm(q, now, again);
}


static void
ngx_http_mark_queue_arm(ngx_http_mark_queue_t *q, uint64_t now, uint64_t when)
{
    ngx_msec_t  timer, key;

    timer = (when > now) ? (ngx_msec_t) ((when - now + 999) / 1000) : 1;
    key = ngx_current_msec + timer;

    if (q->event.timer_set) {

        if (q->event.timer.key == key) {
            return;
        }

        /* ngx_add_timer() would leave a timer that is less than 300ms off */

        ngx_del_timer(&q->event);
    }

    ngx_add_timer(&q->event, timer);
}


static void
ngx_http_mark_queue_handler(ngx_event_t *ev)
{
    ngx_http_mark_queue_run(ev->data);
}


/*
 * Sends whatever may leave now.  Only for events that are no client's own:
 * requests are run, and may end, in here.
 */

void
ngx_http_mark_queue_run(ngx_http_mark_queue_t *q)
{
    uint64_t              now, again;
    mark_policy_reason_t  reason;

    now = ngx_http_mark_now();
    q->used = ngx_time();

    if (q->event.posted) {
        ngx_delete_posted_event(&q->event);
    }

    ngx_http_mark_queue_run_shed(q);
    ngx_http_mark_queue_run_retries(q, now);

    while (q->nitems) {
        reason = ngx_http_mark_queue_decide(q, now, &again);

        if (reason == MARK_POLICY_WAIT) {
            ngx_http_mark_queue_arm(q, now, again);
            return;
        }

        ngx_http_mark_queue_dispatch(q, now, reason);
    }

    if (q->event.timer_set) {
        ngx_del_timer(&q->event);
    }
}


/* Sends what fits into one batch, from the head. */

static void
ngx_http_mark_queue_dispatch(ngx_http_mark_queue_t *q, uint64_t now,
    mark_policy_reason_t reason)
{
    size_t                  bytes;
    ngx_uint_t              n, i, rows;
    const char             *name;
    ngx_queue_t            *link;
    ngx_http_mark_ctx_t    *ctx;
    ngx_http_mark_batch_t  *batch;

    n = 0;
    rows = 0;
    bytes = 0;

    for (link = ngx_queue_head(&q->items);
         link != ngx_queue_sentinel(&q->items);
         link = ngx_queue_next(link))
    {
        ctx = ngx_queue_data(link, ngx_http_mark_ctx_t, link);

        if (n
            && (rows + ctx->req.nrows > q->conf->max_rows
                || bytes + ctx->req.body.len > q->conf->max_bytes))
        {
            break;
        }

        n++;
        rows += ctx->req.nrows;
        bytes += ctx->req.body.len;
    }

    if (reason == MARK_POLICY_OVERDUE) {
        q->epoch++;
        q->current = 0;
    }

    name = mark_policy_reason(reason);

    ngx_http_mark_count(q->conf, batches[reason]);
    ngx_http_mark_observe_rows(&q->conf->counters->batch_rows, rows);

    batch = (n > 1) ? ngx_http_mark_batch_create(q, n, name, now) : NULL;

    for (i = 0; i < n; i++) {
        ctx = ngx_queue_data(ngx_queue_head(&q->items), ngx_http_mark_ctx_t,
                             link);

        ngx_http_mark_queue_remove(ctx);

        ctx->sent = now;
        ngx_http_mark_observe_usec(&q->conf->counters->queue_time,
                                   now - ctx->arrived);

        if (batch) {
            ngx_http_mark_batch_add(batch, ctx);

        } else if (n == 1) {
            ctx->queue = q;
            ctx->epoch = ngx_http_mark_queue_sent(q, now, ctx->req.nrows);
            ngx_http_mark_alone(ctx, name);

        } else {
            /* no memory for a batch: each by itself, a few at a time */
            ngx_http_mark_queue_retry(q, ctx);
        }
    }

    if (batch) {
        ngx_http_mark_batch_start(batch);
    }
}


static void
ngx_http_mark_queue_run_shed(ngx_http_mark_queue_t *q)
{
    ngx_connection_t     *c;
    ngx_http_mark_ctx_t  *ctx;

    while (q->nshed) {
        ctx = ngx_queue_data(ngx_queue_head(&q->shed), ngx_http_mark_ctx_t,
                             link);

        ngx_http_mark_queue_remove(ctx);

        c = ctx->request->connection;

        ngx_http_mark_reply_rejected(ctx);
        ngx_http_run_posted_requests(c);
    }
}


/*
 * Members of failed batches go alone, a few at a time, so that a failure does
 * not become a burst.  One whose deadline is over is told so: the batch's
 * answer was not its own.
 */

static void
ngx_http_mark_queue_run_retries(ngx_http_mark_queue_t *q, uint64_t now)
{
    ngx_connection_t     *c;
    ngx_http_mark_ctx_t  *ctx;

    while (q->nretries && q->retrying < NGX_HTTP_MARK_RETRIES) {

        ctx = ngx_queue_data(ngx_queue_head(&q->retries), ngx_http_mark_ctx_t,
                             link);

        ngx_http_mark_queue_remove(ctx);

        if (ctx->deadline && now > ctx->deadline) {
            ngx_http_mark_count(q->conf, expired);

            c = ctx->request->connection;
            ctx->reason = "expired";

            ngx_http_mark_reply_error(ctx, NGX_HTTP_GATEWAY_TIME_OUT,
                                      "the batch of this request failed and "
                                      "its deadline has passed");
            ngx_http_run_posted_requests(c);
            continue;
        }

        ngx_http_mark_count(q->conf, retries);

        q->retrying++;

        ctx->retry = 1;
        ctx->sent = now;
        ctx->answered = 0;
        ctx->queue = q;

        ctx->epoch = ngx_http_mark_queue_sent(q, now, ctx->req.nrows);
        ngx_http_mark_alone(ctx, "retry");
    }
}
