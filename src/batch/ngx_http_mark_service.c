
/*
 * The service that a queue has from its backend: how much is in flight, and
 * how long it takes.
 *
 * When what is in flight is overdue a new epoch begins, and what was sent
 * before it counts no longer as something to gather behind, for as long as
 * the backend may hang on it.
 */


#include "ngx_http_mark.h"


/*
 * A batch, or a request alone, has left for the backend.  The epoch that is
 * returned goes to ngx_http_mark_service_answered().
 */

ngx_uint_t
ngx_http_mark_service_sent(ngx_http_mark_queue_t *q, uint64_t now,
    ngx_uint_t rows)
{
    ngx_http_mark_service_t  *s;

    s = &q->service;

    s->in_flight++;
    s->current++;
    s->last_sent = now;
    s->last_rows = rows;

    ngx_http_mark_count(q->conf, in_flight);

    return s->epoch;
}


/*
 * It came back: after usec, or with usec 0 without an answer to learn from.
 * peers is how many servers stood behind it, 0 if that is not known.
 */

void
ngx_http_mark_service_answered(ngx_http_mark_queue_t *q, ngx_uint_t epoch,
    ngx_uint_t rows, uint64_t usec, ngx_uint_t peers)
{
    ngx_http_mark_service_t  *s;

    s = &q->service;

    s->in_flight--;

    if (epoch == s->epoch) {
        s->current--;
    }

    q->used = ngx_time();

    ngx_http_mark_add(q->conf, in_flight, -1);

    if (usec) {
        mark_latency_observe(&s->latency, rows, usec);
        ngx_http_mark_observe_usec(&q->conf->counters->batch_time, usec);
    }

    if (peers) {
        s->slots = peers;
    }

    if (q->line.nitems || q->nretries) {
        ngx_post_event(&q->event, &ngx_posted_events);
    }
}


void
ngx_http_mark_service_overdue(ngx_http_mark_queue_t *q)
{
    q->service.epoch++;
    q->service.current = 0;
}


/* A request that was run alone is over; ok if it was answered with 200. */

void
ngx_http_mark_service_finish(ngx_http_mark_ctx_t *ctx, ngx_uint_t ok)
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

    ngx_http_mark_service_answered(q, ctx->epoch, ctx->req.nrows, usec,
                                   ngx_http_mark_carrier_peers(ctx->request));
}
