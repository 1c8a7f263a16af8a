
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
 * Which queues there are is ngx_http_mark_queues.c's business, in which order
 * requests wait that of ngx_http_mark_line.c.
 */


#include "ngx_http_mark.h"


static ngx_int_t ngx_http_mark_queue_make_room(ngx_http_mark_queue_t *q,
    ngx_http_mark_ctx_t *ctx);
static void ngx_http_mark_queue_shed(ngx_http_mark_queue_t *q,
    ngx_http_mark_ctx_t *ctx);
static mark_policy_reason_t ngx_http_mark_queue_decide(
    ngx_http_mark_queue_t *q, mark_policy_state_t *state, uint64_t *again);
static void ngx_http_mark_queue_arm(ngx_http_mark_queue_t *q, uint64_t now,
    uint64_t when);
static void ngx_http_mark_queue_handler(ngx_event_t *ev);
static void ngx_http_mark_queue_dispatch(ngx_http_mark_queue_t *q,
    mark_policy_state_t *state, mark_policy_reason_t reason);
static ngx_uint_t ngx_http_mark_queue_backlog(ngx_http_mark_queue_t *q);
static void ngx_http_mark_queue_run_shed(ngx_http_mark_queue_t *q);
static void ngx_http_mark_queue_run_retries(ngx_http_mark_queue_t *q,
    uint64_t now);


void
ngx_http_mark_queue_init(ngx_http_mark_queue_t *q)
{
    q->log = *ngx_cycle->log;

    q->event.handler = ngx_http_mark_queue_handler;
    q->event.data = q;
    q->event.log = &q->log;

    ngx_http_mark_line_init(&q->line);
    ngx_queue_init(&q->shed);
    ngx_queue_init(&q->retries);

    q->service.slots = 1;
    mark_latency_init(&q->service.latency);
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
    ngx_str_t                key;
    ngx_http_mark_item_t    *item;
    ngx_http_mark_queue_t   *q;

    if (ngx_http_mark_key(ctx, &key) != NGX_OK) {
        return NGX_ERROR;
    }

    q = ngx_http_mark_queues_get(mmcf, ctx->conf, &key);
    if (q == NULL) {
        return NGX_ERROR;
    }

    if (q->service.paused) {
        if (ngx_time() < q->service.paused) {
            return NGX_DECLINED;
        }

        q->service.paused = 0;
    }

    item = &ctx->item;

    item->ctx = ctx;
    item->arrived = ctx->arrived;
    item->deadline = ctx->deadline;
    item->due = ctx->deadline ? ctx->deadline
                              : ctx->arrived + NGX_HTTP_MARK_PATIENT;
    item->priority = ctx->req.priority
                     ? ngx_min(ctx->req.priority, NGX_HTTP_MARK_LATE - 1)
                     : NGX_HTTP_MARK_PRIORITY;
    item->rows = ctx->req.nrows;
    item->bytes = ctx->req.body.len;

    if (ctx->conf->max_queue && q->line.nitems >= ctx->conf->max_queue
        && ngx_http_mark_queue_make_room(q, ctx) != NGX_OK)
    {
        return NGX_BUSY;
    }

    ctx->state = NGX_HTTP_MARK_QUEUED;
    ctx->queue = q;

    ngx_http_mark_line_add(&q->line, item);

    ngx_http_mark_count(q->conf, queued);

    ngx_log_debug4(NGX_LOG_DEBUG_HTTP, ctx->request->connection->log, 0,
                   "mark: queued %p n:%ui rows:%ui in flight:%ui",
                   q, q->line.nitems, q->line.rows, q->service.in_flight);

    if (!q->event.posted) {
        ngx_post_event(&q->event, &ngx_posted_events);
    }

    return NGX_OK;
}


/*
 * A full queue sheds what is least urgent: NGX_BUSY if that would be the one
 * that is about to be added.
 */

static ngx_int_t
ngx_http_mark_queue_make_room(ngx_http_mark_queue_t *q,
    ngx_http_mark_ctx_t *ctx)
{
    ngx_http_mark_item_t  *last;

    last = ngx_http_mark_line_last(&q->line);

    if (!ngx_http_mark_line_before(&ctx->item, last)) {
        return NGX_BUSY;
    }

    ngx_http_mark_line_remove(&q->line, last);
    ngx_http_mark_queue_shed(q, last->ctx);

    return NGX_OK;
}


/* It is answered by the queue's event, which comes, not by another client's. */

static void
ngx_http_mark_queue_shed(ngx_http_mark_queue_t *q, ngx_http_mark_ctx_t *ctx)
{
    ctx->state = NGX_HTTP_MARK_SHED;

    ngx_queue_insert_tail(&q->shed, &ctx->item.link);
    q->nshed++;
}


/* Takes out a request that waits, in whichever list. */

void
ngx_http_mark_queue_remove(ngx_http_mark_ctx_t *ctx)
{
    ngx_http_mark_queue_t  *q;

    q = ctx->queue;

    if (ctx->state == NGX_HTTP_MARK_QUEUED) {
        ngx_http_mark_line_remove(&q->line, &ctx->item);

        /* it would hold up a worker that is shutting down */

        if (q->line.nitems == 0 && q->event.timer_set) {
            ngx_del_timer(&q->event);
        }

    } else {
        ngx_queue_remove(&ctx->item.link);

        if (ctx->state == NGX_HTTP_MARK_RETRYING) {
            q->nretries--;

        } else {
            q->nshed--;
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

    ngx_queue_insert_tail(&q->retries, &ctx->item.link);
    q->nretries++;

    ngx_http_mark_count(q->conf, queued);

    ngx_post_event(&q->event, &ngx_posted_events);
}


static mark_policy_reason_t
ngx_http_mark_queue_decide(ngx_http_mark_queue_t *q,
    mark_policy_state_t *state, uint64_t *again)
{
    uint64_t               now, last;
    mark_policy_reason_t   reason;
    ngx_http_mark_item_t  *item;

    now = ngx_http_mark_now();

    for ( ;; ) {
        ngx_http_mark_line_state(&q->line, &q->service, now, state);

        item = ngx_http_mark_line_late(&q->line, q->conf, state);
        if (item == NULL) {
            break;
        }

        item->ctx->late = 1;
        ngx_http_mark_queue_shed(q, item->ctx);

        if (q->line.nitems == 0) {
            return MARK_POLICY_WAIT;
        }
    }

    reason = mark_policy_decide(&q->conf->policy, state, again);

    /* to be rejected in time */

    if (reason == MARK_POLICY_WAIT && state->deadline
        && q->conf->timeout_action == NGX_HTTP_MARK_REJECT)
    {
        last = state->deadline - mark_latency_mean(&q->service.latency, 1);
        *again = ngx_min(*again, last);
    }

    return reason;
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
    uint64_t              again;
    mark_policy_state_t   state;
    mark_policy_reason_t  reason;

    q->used = ngx_time();

    if (q->event.posted) {
        ngx_delete_posted_event(&q->event);
    }

    ngx_http_mark_queue_run_retries(q, ngx_http_mark_now());

    while (q->line.nitems) {
        reason = ngx_http_mark_queue_decide(q, &state, &again);

        if (reason == MARK_POLICY_WAIT) {
            break;
        }

        ngx_http_mark_queue_dispatch(q, &state, reason);
    }

    if (q->line.nitems) {
        ngx_http_mark_queue_arm(q, state.now, again);

    } else if (q->event.timer_set) {
        ngx_del_timer(&q->event);
    }

    ngx_http_mark_queue_run_shed(q);
}


/* Sends one batch. */

static void
ngx_http_mark_queue_dispatch(ngx_http_mark_queue_t *q,
    mark_policy_state_t *state, mark_policy_reason_t reason)
{
    ngx_uint_t              n;
    const char             *name;
    ngx_queue_t             taken;
    ngx_http_mark_ctx_t    *ctx;
    ngx_http_mark_item_t   *item;
    ngx_http_mark_batch_t  *batch;

    ngx_queue_init(&taken);

    n = ngx_http_mark_line_take(&q->line, q->conf, state, &taken);

    if (reason == MARK_POLICY_OVERDUE) {
        ngx_http_mark_service_overdue(q);
    }

    name = mark_policy_reason(reason);

    ngx_http_mark_count(q->conf, batches[reason]);

    batch = (n > 1) ? ngx_http_mark_batch_create(q, n, name, state->now)
                    : NULL;

    while (!ngx_queue_empty(&taken)) {
        item = ngx_queue_data(ngx_queue_head(&taken), ngx_http_mark_item_t,
                              link);
        ngx_queue_remove(&item->link);

        ctx = item->ctx;
        ctx->queue = NULL;
        ctx->sent = state->now;

        ngx_http_mark_add(q->conf, queued, -1);
        ngx_http_mark_observe_usec(&q->conf->counters->queue_time,
                                   ctx->sent - ctx->arrived);

        if (batch) {
            ngx_http_mark_batch_add(batch, ctx);

        } else if (n == 1) {
            ngx_http_mark_observe_rows(&q->conf->counters->batch_rows,
                                       ctx->req.nrows);
            ctx->queue = q;
            ctx->epoch = ngx_http_mark_service_sent(q, ctx->sent,
                                                    ctx->req.nrows);
            ngx_http_mark_alone(ctx, name);

        } else {
            /* no memory for a batch: each by itself, a few at a time */
            ngx_http_mark_queue_retry(q, ctx);
        }
    }

    if (batch) {
        ngx_http_mark_observe_rows(&q->conf->counters->batch_rows,
                                   batch->rows);
        ngx_http_mark_batch_start(batch);
    }
}


/* Seconds after which a client may try again: what is waiting takes so long. */

static ngx_uint_t
ngx_http_mark_queue_backlog(ngx_http_mark_queue_t *q)
{
    uint64_t                  usec;
    ngx_uint_t                full;
    ngx_http_mark_service_t  *s;

    s = &q->service;
    full = mark_policy_full(&q->conf->policy);

    usec = (q->line.rows / full + 1) * mark_latency_mean(&s->latency, full)
           / s->slots;

    return ngx_min((usec + 999999) / 1000000, 60);
}


static void
ngx_http_mark_queue_run_shed(ngx_http_mark_queue_t *q)
{
    ngx_connection_t     *c;
    ngx_http_mark_ctx_t  *ctx;

    while (q->nshed) {
        ctx = ngx_queue_data(ngx_queue_head(&q->shed), ngx_http_mark_ctx_t,
                             item.link);

        ngx_http_mark_queue_remove(ctx);

        c = ctx->request->connection;

        if (ctx->late) {
            ngx_http_mark_reply_late(ctx, ngx_http_mark_queue_backlog(q));

        } else {
            ngx_http_mark_reply_rejected(ctx);
        }

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
                             item.link);

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

        ctx->epoch = ngx_http_mark_service_sent(q, now, ctx->req.nrows);
        ngx_http_mark_alone(ctx, "retry");
    }
}
