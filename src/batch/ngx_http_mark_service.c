
/*
 * The service that a queue has from its backend: how much is in flight, and
 * how long it takes.  Queues that workers share have it in common.
 *
 * When what is in flight is overdue a new epoch begins, and what was sent
 * before it counts no longer as something to gather behind, for as long as
 * the backend may hang on it.
 */


#include "ngx_http_mark.h"
#include "ngx_http_mark_pool.h"
#include "ngx_http_mark_share.h"


static void ngx_http_mark_service_pause(ngx_http_mark_queue_t *q,
    ngx_http_mark_service_t *s, ngx_uint_t n, const char *why);


void
ngx_http_mark_service_init(ngx_http_mark_service_t *s)
{
    ngx_memzero(s, sizeof(ngx_http_mark_service_t));

    s->slots = 1;
    mark_latency_init(&s->latency);
}


ngx_http_mark_service_t *
ngx_http_mark_service(ngx_http_mark_queue_t *q)
{
    return q->shared ? &q->shared->service : &q->service;
}


/*
 * A batch, or a request alone, is about to leave for the backend.  The caller
 * sets its sent and rows, and holds the lock if the queue is shared.
 */

void
ngx_http_mark_service_leave(ngx_http_mark_queue_t *q,
    ngx_http_mark_flight_t *flight)
{
    ngx_http_mark_service_t  *s;

    s = ngx_http_mark_service(q);

    s->in_flight++;
    s->current++;

    flight->shared = (q->shared != NULL);
    flight->epoch = s->epoch;
    flight->beside = (s->in_flight + s->slots - 1) / s->slots;

    s->last_sent = flight->sent;
    s->last_rows = flight->rows;

    if (q->shared) {
        q->shared->in_flight[ngx_worker]++;
    }

    q->flying++;

    ngx_http_mark_count(q->conf, in_flight);
}


/* The same, of one that nobody has decided on with the lock held. */

void
ngx_http_mark_service_sent(ngx_http_mark_queue_t *q, uint64_t now,
    ngx_uint_t rows, ngx_http_mark_flight_t *flight)
{
    ngx_int_t  locked;

    flight->sent = now;
    flight->rows = rows;

    locked = q->shared ? ngx_http_mark_share_lock() : NGX_DECLINED;

    ngx_http_mark_service_leave(q, flight);

    if (locked == NGX_OK) {
        ngx_http_mark_share_unlock();
    }
}


/*
 * It came back: after usec, or with usec 0 without an answer to learn from.
 * peers is how many servers stood behind it, 0 if that is not known.
 */

void
ngx_http_mark_service_answered(ngx_http_mark_queue_t *q,
    ngx_http_mark_flight_t *flight, uint64_t usec, ngx_uint_t peers)
{
    ngx_uint_t                waiting;
    ngx_http_mark_service_t  *s;

    q->flying--;
    q->used = ngx_time();

    /* it may have ended before it came to the balancer */

    ngx_http_mark_claim_release(&flight->claim, NGX_HTTP_MARK_CLAIM_UNUSED,
                               NULL);

    ngx_http_mark_add(q->conf, in_flight, -1);

    if (usec) {
        ngx_http_mark_observe_usec(&q->conf->counters->batch_time, usec);
    }

    waiting = q->line.nitems || q->nretries;
    s = &q->service;

    if (flight->shared) {

        /* broken since: nobody looks at it any more, but at our own */

        if (ngx_http_mark_share_lock() != NGX_OK) {
            ngx_http_mark_gate_leave(q->conf->gate);
            ngx_post_event(&q->event, &ngx_posted_events);
            return;
        }

        s = &q->shared->service;
        q->shared->in_flight[ngx_worker]--;
    }

    s->in_flight--;

    if (flight->epoch == s->epoch && s->current) {
        s->current--;
    }

    if (usec) {
        mark_latency_observe(&s->latency, flight->rows, usec,
                             flight->beside);
        ngx_http_mark_counters_learned(q->conf->counters, &s->latency);
    }

    if (peers) {
        s->slots = peers;
    }

    if (flight->shared) {

        if (q->shared->line.nitems) {
            waiting = 1;

            /* without a gate it is early enough if this worker has no part */

            if (q->conf->gate) {
                ngx_http_mark_cell_next(q);
            }
        }

        ngx_http_mark_share_unlock();
    }

    ngx_http_mark_gate_leave(q->conf->gate);

    if (waiting) {
        ngx_post_event(&q->event, &ngx_posted_events);
    }
}


/*
 * A batch whose reply cannot be split costs each member another try.  Once may
 * be a member's fault; a backend that always answers so is not asked in
 * batches for a while.
 */

void
ngx_http_mark_service_unsplit(ngx_http_mark_queue_t *q, ngx_uint_t n,
    const char *why)
{
    ngx_http_mark_service_t  *s;

    s = ngx_http_mark_service(q);

    if (++s->unsplit < NGX_HTTP_MARK_UNSPLIT) {
        ngx_log_error(NGX_LOG_INFO, &q->log, 0,
                      "mark: the reply to a batch of %ui %s, its members are "
                      "answered by other tries", n, why);
        return;
    }

    ngx_http_mark_service_pause(q, s, n, why);
}


/*
 * Whose fault it is that a batch has failed is not known where other workers
 * try their members themselves.  If no batch is answered between so many that
 * fail, it does not pay to make any.
 */

void
ngx_http_mark_service_refused(ngx_http_mark_queue_t *q, ngx_uint_t n)
{
    ngx_http_mark_service_t  *s;

    s = ngx_http_mark_service(q);

    if (++s->refused >= NGX_HTTP_MARK_REFUSED) {
        ngx_http_mark_service_pause(q, s, n, "is an error");
    }
}


static void
ngx_http_mark_service_pause(ngx_http_mark_queue_t *q,
    ngx_http_mark_service_t *s, ngx_uint_t n, const char *why)
{
    s->unsplit = 0;
    s->refused = 0;
    s->paused = ngx_time() + NGX_HTTP_MARK_PAUSE;

    ngx_log_error(NGX_LOG_WARN, &q->log, 0,
                  "mark: the reply to a batch of %ui %s, as those before: "
                  "such requests to location \"%V\" are not batched for %d "
                  "seconds",
                  n, why, &q->conf->location, NGX_HTTP_MARK_PAUSE);
}


/* A request that was run alone is over; ok if it was answered with 200. */

void
ngx_http_mark_service_finish(ngx_http_mark_ctx_t *ctx, ngx_uint_t ok)
{
    uint64_t                usec;
    ngx_uint_t              well;
    ngx_http_request_t     *r;
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

    r = ctx->request;

    if (ctx->retry) {
        ngx_http_mark_retry_back(q);

        /* what an error_page says of it is no answer of the backend */

        well = ngx_http_get_module_ctx(r, ngx_http_mark_module) == ctx
               && r->headers_out.status >= NGX_HTTP_OK
               && r->headers_out.status < NGX_HTTP_BAD_REQUEST;

        ngx_http_mark_retry_end(ctx, well);
    }

    usec = ok ? ngx_max(ctx->answered - ctx->sent, 1) : 0;

    ngx_http_mark_service_answered(q, &ctx->flight, usec,
                                   ngx_http_mark_carrier_peers(r));
}
