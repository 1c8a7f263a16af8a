
/* A batch that overflowed comes back: what it took, and what it cost. */


#include "ngx_http_mark_overflow.h"
#include "ngx_http_mark_lambda.h"


/* One that said "not now" without saying for how long; msec. */
#define NGX_HTTP_MARK_BACKOFF      1000

/* The longest that is believed; seconds. */
#define NGX_HTTP_MARK_MAX_BACKOFF  3600

/* What a batch is expected to cost falls by this share a batch, and rises */
/* at once. */
#define NGX_HTTP_MARK_CHEAPER      0.01


static ngx_msec_t ngx_http_mark_overflow_wait(ngx_http_upstream_t *u);
static mark_outlier_event_t ngx_http_mark_overflow_event(
    ngx_http_mark_batch_t *batch, ngx_http_mark_fate_e fate);


/* While its request is still there. */

void
ngx_http_mark_overflow_finish(ngx_http_mark_batch_t *batch,
    ngx_http_request_t *r)
{
    batch->overflow.known = (ngx_http_mark_lambda_cost(r,
                                                      &batch->overflow.cost)
                             == NGX_OK);

    batch->overflow.backoff = ngx_http_mark_lambda_backoff(r);

    if (batch->overflow.backoff == 0 && r->upstream) {
        batch->overflow.backoff = ngx_http_mark_overflow_wait(r->upstream);
    }
}


/* 429, and 503 with Retry-After, mean "not now"; 0: it is none of these. */

static ngx_msec_t
ngx_http_mark_overflow_wait(ngx_http_upstream_t *u)
{
    ngx_int_t         seconds;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    if (u->headers_in.status_n != NGX_HTTP_TOO_MANY_REQUESTS
        && u->headers_in.status_n != NGX_HTTP_SERVICE_UNAVAILABLE)
    {
        return 0;
    }

    part = &u->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].hash == 0
            || h[i].key.len != sizeof("Retry-After") - 1
            || ngx_strncasecmp(h[i].key.data, (u_char *) "Retry-After",
                               sizeof("Retry-After") - 1)
               != 0)
        {
            continue;
        }

        /* or a date, or nonsense */

        seconds = ngx_atoi(h[i].value.data, h[i].value.len);

        return seconds > 0
               ? ngx_min(seconds, NGX_HTTP_MARK_MAX_BACKOFF) * 1000
               : NGX_HTTP_MARK_BACKOFF;
    }

    return u->headers_in.status_n == NGX_HTTP_TOO_MANY_REQUESTS
           ? NGX_HTTP_MARK_BACKOFF : 0;
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


void
ngx_http_mark_overflow_done(ngx_http_mark_batch_t *batch,
    ngx_http_mark_fate_e fate, uint64_t usec)
{
    uint64_t                         now, cost, reserved;
    ngx_uint_t                       seat, ejected;
    mark_outlier_event_t             event;
    ngx_http_mark_main_conf_t       *mmcf;
    ngx_http_mark_overflow_state_t  *o;

    mmcf = batch->queue->main;
    seat = mmcf->seat_index;
    o = batch->conf->overflow_state;
    now = ngx_http_mark_now();

    event = ngx_http_mark_overflow_event(batch, fate);
    reserved = batch->overflow.reserved;

    /* what nobody waited for, or timed out, may be billed all the same */

    cost = batch->overflow.known ? batch->overflow.cost
           : batch->overflow.backoff ? batch->conf->overflow->request_cost
           : reserved;

    ngx_shmtx_lock(mmcf->mutex);

    o->held[seat] -= ngx_min(o->held[seat], 1);
    o->reserved[seat] -= ngx_min(o->reserved[seat], reserved);

    mark_budget_settle(&o->budget, now, reserved, cost);

    o->spent += cost;

    if (batch->overflow.known) {
        o->expected -= (uint64_t) (o->expected * NGX_HTTP_MARK_CHEAPER);
        o->expected = ngx_max(o->expected, cost);
    }

    if (batch->overflow.backoff) {
        o->not_before = ngx_max(o->not_before,
                                now + (uint64_t) batch->overflow.backoff
                                      * 1000);
    }

    if (usec && event == MARK_OUTLIER_OK) {
        mark_latency_observe(&o->latency, batch->rows, usec, 1);
    }

    o->failed += (event == MARK_OUTLIER_5XX || event == MARK_OUTLIER_FAILURE);

    ejected = mark_outlier_event(&o->outlier, &ngx_http_mark_overflow_outlier,
                                 event, batch->sent, 1, now);

    ngx_shmtx_unlock(mmcf->mutex);

    if (ejected) {
        ngx_log_error(NGX_LOG_WARN, batch->log, 0,
                      "mark: overflow \"%V\" of location \"%V\" fails, it "
                      "is left alone for a while",
                      &batch->conf->overflow->name, &batch->conf->location);
    }
}


/* What is a member's fault, or only asks for patience, is no failure. */

static mark_outlier_event_t
ngx_http_mark_overflow_event(ngx_http_mark_batch_t *batch,
    ngx_http_mark_fate_e fate)
{
    ngx_uint_t  status;

    if (batch->overflow.backoff
        || (batch->members == 0 && !batch->complete))
    {
        return MARK_OUTLIER_ABANDONED;
    }

    if (fate == NGX_HTTP_MARK_SPLIT) {
        return MARK_OUTLIER_OK;
    }

    status = batch->answer.err_status ? batch->answer.err_status
                                      : batch->answer.status;

    if (status >= NGX_HTTP_BAD_REQUEST
        && status < NGX_HTTP_INTERNAL_SERVER_ERROR)
    {
        return MARK_OUTLIER_OK;
    }

    return batch->answer.upstream_status ? MARK_OUTLIER_5XX
                                         : MARK_OUTLIER_FAILURE;
}
