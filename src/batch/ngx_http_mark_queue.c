
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
 * requests wait that of ngx_http_mark_line.c, and what becomes of those whose
 * batch has failed that of ngx_http_mark_retry.c.
 */


#include "ngx_http_mark.h"
#include "ngx_http_mark_pool.h"
#include "ngx_http_mark_share.h"


static void ngx_http_mark_queue_arm(ngx_http_mark_queue_t *q, uint64_t now,
    uint64_t when);
static void ngx_http_mark_queue_handler(ngx_event_t *ev);
static ngx_uint_t ngx_http_mark_queue_backlog(ngx_http_mark_queue_t *q);
static void ngx_http_mark_queue_run_shed(ngx_http_mark_queue_t *q);


void
ngx_http_mark_queue_init(ngx_http_mark_queue_t *q)
{
    q->log = *ngx_cycle->log;

    q->event.handler = ngx_http_mark_queue_handler;
    q->event.data = q;
    q->event.log = &q->log;

    q->policy = q->conf->policy;
    q->max_queue = q->conf->max_queue;
    q->claim.slot = -1;

    ngx_http_mark_line_init(&q->line);
    ngx_http_mark_service_init(&q->service);
    ngx_queue_init(&q->cells);
    ngx_queue_init(&q->shed);
    ngx_queue_init(&q->retries);
}


/*
 * Queues the request.  NGX_OK; NGX_DECLINED: the answers to this kind of
 * request turned out not to be splittable; NGX_ERROR: no memory.
 */

ngx_int_t
ngx_http_mark_queue_add(ngx_http_mark_main_conf_t *mmcf,
    ngx_http_mark_ctx_t *ctx)
{
    ngx_str_t                 key;
    ngx_http_mark_item_t     *item;
    ngx_http_mark_queue_t    *q;
    ngx_http_mark_service_t  *s;

    if (ngx_http_mark_key(ctx, &key) != NGX_OK) {
        return NGX_ERROR;
    }

    q = ngx_http_mark_queues_get(mmcf, ctx->conf, &key);
    if (q == NULL) {
        return NGX_ERROR;
    }

    if (q->kind == 0) {
        q->kind = ngx_http_mark_kind(ctx->request);
    }

    s = ngx_http_mark_service(q);

    if (s->replaced) {
        ctx->conf->body_replaced = 1;
        return NGX_DECLINED;
    }

    if (s->paused) {
        if (ngx_time() < s->paused) {
            return NGX_DECLINED;
        }

        s->paused = 0;
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

    ctx->state = NGX_HTTP_MARK_QUEUED;
    ctx->queue = q;

    ngx_http_mark_line_add(&q->line, item);

    ngx_http_mark_count(q->conf, queued);

    ngx_log_debug4(NGX_LOG_DEBUG_HTTP, ctx->request->connection->log, 0,
                   "mark: queued %p n:%ui rows:%ui in flight:%ui",
                   q, q->line.nitems, q->line.rows, s->in_flight);

    if (!q->event.posted) {
        ngx_post_event(&q->event, &ngx_posted_events);
    }

    return NGX_OK;
}


/* It is answered by the queue's event, which comes, not by another client's. */

void
ngx_http_mark_queue_shed(ngx_http_mark_queue_t *q, ngx_http_mark_ctx_t *ctx)
{
    ctx->state = NGX_HTTP_MARK_SHED;
    ctx->queue = q;

    ngx_queue_insert_tail(&q->shed, &ctx->item.link);
    q->nshed++;
}


/* Takes out a request that waits, in whichever list. */

void
ngx_http_mark_queue_remove(ngx_http_mark_ctx_t *ctx)
{
    ngx_http_mark_queue_t  *q;

    q = ctx->queue;

    if (ctx->state == NGX_HTTP_MARK_SHARED) {
        ngx_http_mark_cell_remove(ctx);
        return;
    }

    if (ctx->state == NGX_HTTP_MARK_QUEUED) {
        ngx_http_mark_line_remove(&q->line, &ctx->item);

        /* it would hold up a worker that is shutting down */

        if (q->line.nitems == 0 && q->ncells == 0 && q->event.timer_set) {
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

    if (q->blocked.next) {
        ngx_http_mark_gate_settle(q);
    }

    ctx->state = NGX_HTTP_MARK_DONE;
    ctx->queue = NULL;
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
    mark_policy_state_t   state;
    ngx_http_mark_load_t  load;
    mark_policy_reason_t  reason;

    q->used = ngx_time();

    if (q->event.posted) {
        ngx_delete_posted_event(&q->event);
    }

    ngx_http_mark_gate_unblock(q);
    ngx_http_mark_pool_unwait(q);

    now = ngx_http_mark_now();

    if (q->shared && ngx_http_mark_share_broken()) {
        ngx_http_mark_sweep_abandon(q);
    }

    if (q->ncells) {
        ngx_http_mark_sweep_check(q, now);
    }

    ngx_http_mark_retry_run(q, now);

    for ( ;; ) {
        reason = ngx_http_mark_queue_next(q, &state, &again, &load);

        if (reason == MARK_POLICY_WAIT) {
            break;
        }

        ngx_http_mark_queue_dispatch(q, &load, reason);
    }

    if (q->line.nitems || q->ncells) {
        now = ngx_http_mark_now();

        if (q->ncells) {
            again = ngx_min(again, now + NGX_HTTP_MARK_GUARD);
        }

        ngx_http_mark_queue_arm(q, now, again);

    } else if (q->event.timer_set) {
        ngx_del_timer(&q->event);
    }

    ngx_http_mark_gate_settle(q);

    ngx_http_mark_queue_run_shed(q);
}


/* Seconds after which a client may try again: what is waiting takes so long. */

static ngx_uint_t
ngx_http_mark_queue_backlog(ngx_http_mark_queue_t *q)
{
    uint64_t                  usec;
    ngx_uint_t                full, rows;
    ngx_http_mark_service_t  *s;

    s = ngx_http_mark_service(q);
    full = q->policy.max_rows;
    rows = q->line.rows + (q->shared ? q->shared->line.rows : 0);

    usec = (rows / full + 1) * mark_latency_mean(&s->latency, full)
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
