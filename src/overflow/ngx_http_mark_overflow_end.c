
/* A batch that overflowed comes back: what it took, and what it cost. */


#include "ngx_http_mark_overflow.h"
#include "ngx_http_mark_lambda.h"


/* One that said "not now" without saying for how long; msec. */
#define NGX_HTTP_MARK_BACKOFF    1000

/* What a batch is expected to cost falls by this share a batch, and rises */
/* at once. */
#define NGX_HTTP_MARK_CHEAPER    0.01


static ngx_uint_t ngx_http_mark_overflow_failed(ngx_http_mark_batch_t *batch);


/* While its request is still there. */

void
ngx_http_mark_overflow_finish(ngx_http_mark_batch_t *batch,
    ngx_http_request_t *r)
{
    batch->overflow.known = (ngx_http_mark_lambda_cost(r,
                                                      &batch->overflow.cost)
                             == NGX_OK);

    batch->overflow.backoff = ngx_http_mark_lambda_backoff(r);

    if (batch->overflow.backoff == 0
        && r->headers_out.status == NGX_HTTP_TOO_MANY_REQUESTS)
    {
        batch->overflow.backoff = NGX_HTTP_MARK_BACKOFF;
    }
}


void
ngx_http_mark_overflow_cancel(ngx_http_mark_queue_t *q,
    ngx_http_mark_away_t *away)
{
    uint64_t                         now;
    ngx_uint_t                       seat;
    ngx_http_mark_overflow_state_t  *o;

    seat = q->main->seat_index;
    o = q->conf->overflow_state;
    now = ngx_http_mark_now();

    ngx_shmtx_lock(q->main->mutex);

    o->held[seat] -= ngx_min(o->held[seat], 1);
    o->reserved[seat] -= ngx_min(o->reserved[seat], away->reserved);

    mark_budget_cancel(&o->budget, away->reserved);

    (void) mark_outlier_event(&o->outlier, &ngx_http_mark_overflow_outlier,
                              MARK_OUTLIER_ABANDONED, now, 1, now);

    ngx_shmtx_unlock(q->main->mutex);
}


/* usec 0: without an answer that could be used. */

void
ngx_http_mark_overflow_done(ngx_http_mark_batch_t *batch, uint64_t usec)
{
    uint64_t                         now, cost, reserved;
    ngx_uint_t                       seat;
    mark_outlier_event_t             event;
    ngx_http_mark_main_conf_t       *mmcf;
    ngx_http_mark_overflow_state_t  *o;

    mmcf = batch->queue->main;
    seat = mmcf->seat_index;
    o = batch->conf->overflow_state;
    now = ngx_http_mark_now();

    reserved = batch->overflow.reserved;
    cost = batch->overflow.known ? batch->overflow.cost
                                 : batch->conf->overflow->request_cost;

    ngx_shmtx_lock(mmcf->mutex);

    o->held[seat] -= ngx_min(o->held[seat], 1);
    o->reserved[seat] -= ngx_min(o->reserved[seat], reserved);

    mark_budget_settle(&o->budget, now, reserved, cost);

    o->spent += cost;
    o->expected -= (uint64_t) (o->expected * NGX_HTTP_MARK_CHEAPER);
    o->expected = ngx_max(o->expected, cost);

    if (batch->overflow.backoff) {
        o->not_before = ngx_max(o->not_before,
                                now + (uint64_t) batch->overflow.backoff
                                      * 1000);
    }

    if (usec) {
        mark_latency_observe(&o->latency, batch->rows, usec, 1);
        event = MARK_OUTLIER_OK;

    } else if (ngx_http_mark_overflow_failed(batch)) {
        o->failed++;
        event = (batch->answer.upstream_status) ? MARK_OUTLIER_5XX
                                                : MARK_OUTLIER_FAILURE;

    } else {
        event = MARK_OUTLIER_ABANDONED;
    }

    (void) mark_outlier_event(&o->outlier, &ngx_http_mark_overflow_outlier,
                              event, batch->sent, 1, now);

    ngx_shmtx_unlock(mmcf->mutex);
}


/* What is a member's fault, or only asks for patience, is no failure. */

static ngx_uint_t
ngx_http_mark_overflow_failed(ngx_http_mark_batch_t *batch)
{
    ngx_uint_t  status;

    status = batch->answer.err_status ? batch->answer.err_status
                                      : batch->answer.status;

    return status >= NGX_HTTP_INTERNAL_SERVER_ERROR
           && batch->overflow.backoff == 0;
}


/* Nobody will tell what those cost: it is taken for spent. */

void
ngx_http_mark_overflow_bury(ngx_http_mark_overflow_state_t *o,
    ngx_http_mark_shm_t *shm, uint64_t now)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_MARK_SEATS; i++) {

        if ((o->held[i] == 0 && o->reserved[i] == 0)
            || ngx_http_mark_alive(shm->seats[i]))
        {
            continue;
        }

        mark_budget_forfeit(&o->budget, now, o->held[i], o->reserved[i]);

        o->spent += o->reserved[i];
        o->held[i] = 0;
        o->reserved[i] = 0;
    }
}
