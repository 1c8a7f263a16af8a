
/*
 * What becomes of the members of a failed batch: they are tried again by
 * halves, so that the one that is to blame is found in about twice log2 of
 * them requests, and the others are answered in large batches.
 *
 * A unit is a half of a batch or of another unit; its members stand together
 * in the queue's list of retries, and it is sent as a batch of its own, or, of
 * one member, alone.  Units have the numbers of a binary heap: the batch is 1,
 * the halves of unit i are 2i and 2i + 1.  Unit 0 is to go alone.  So a member
 * of a batch of n is tried at most log2(n) times, rounded up, after the batch.
 *
 * Where both halves of a unit fail there is more than one culprit, or none,
 * and what is left of the unit goes alone, member by member.
 *
 * A trial is what is remembered of a failed batch until its last member is
 * answered or gone.  All members that wait or are in flight refer to it, and
 * keep the queue; it has memory of its own, as each of them may go first.
 */


#include "ngx_http_mark.h"
#include "ngx_http_mark_share.h"


struct ngx_http_mark_trial_s {
    ngx_http_mark_queue_t     *queue;
    ngx_uint_t                 members;     /* not yet answered or gone */
    ngx_uint_t                 size;        /* of the batch */
    ngx_uint_t                 suspect;     /* status of its answer; 0: the */
                                            /* batch is not to be blamed */
    u_char                     failed[1];   /* a bit a unit */
};


static ngx_http_mark_trial_t *ngx_http_mark_retry_trial(
    ngx_http_mark_batch_t *batch);
static void ngx_http_mark_retry_failed(ngx_http_mark_trial_t *trial,
    ngx_uint_t unit);
static ngx_uint_t ngx_http_mark_retry_hopeless(ngx_http_mark_trial_t *trial,
    ngx_uint_t unit);
static ngx_uint_t ngx_http_mark_retry_unit(ngx_http_mark_queue_t *q,
    uint64_t now);
static void ngx_http_mark_retry_send(ngx_http_mark_queue_t *q, ngx_uint_t n,
    uint64_t now);
static ngx_http_mark_ctx_t *ngx_http_mark_retry_take(ngx_http_mark_queue_t *q,
    uint64_t now);
static void ngx_http_mark_retry_expire(ngx_http_mark_ctx_t *ctx);


#define ngx_http_mark_retry_head(q)                                          \
    ngx_queue_data(ngx_queue_head(&(q)->retries), ngx_http_mark_ctx_t,       \
                   item.link)

#define ngx_http_mark_retry_expired(ctx, now)                                \
    ((ctx)->deadline && (now) > (ctx)->deadline)


/*
 * The batch has failed: those of its members that are still there are tried
 * again, by halves or each alone.
 */

void
ngx_http_mark_retry_batch(ngx_http_mark_batch_t *batch, ngx_uint_t halve)
{
    ngx_uint_t              i, n, unit;
    ngx_http_mark_ctx_t    *ctx;
    ngx_http_mark_trial_t  *trial;

    /* other workers try theirs themselves; one of them may be to blame */

    if (batch->ncells) {
        batch->left = 1;
        batch->members -= batch->ncells;
        ngx_http_mark_answer_members(batch, NGX_HTTP_MARK_APART, NULL);
    }

    trial = NULL;
    unit = 0;

    if (batch->retry) {

        for (i = 0; batch->slots[i] == NULL; i++) { /* void */ }

        trial = batch->slots[i]->trial;
        unit = halve ? batch->slots[i]->unit : 0;

        ngx_http_mark_retry_failed(trial, batch->slots[i]->unit);

        if (ngx_http_mark_retry_hopeless(trial, unit)) {
            unit = 0;
        }

    } else if (halve && batch->members > 1) {
        trial = ngx_http_mark_retry_trial(batch);
        unit = trial ? 1 : 0;
    }

    n = 0;

    for (i = 0; i < batch->nslots; i++) {
        ctx = batch->slots[i];

        if (ctx == NULL) {
            continue;
        }

        /* by members, not by rows: that is what bounds the number of tries */

        ctx->trial = trial;
        ctx->unit = unit ? 2 * unit + (2 * n >= batch->members) : 0;
        n++;

        ngx_http_mark_reply_states(ctx, &batch->answer);
        ngx_http_mark_retry(batch->queue, ctx);
    }
}


/* Puts the member at the end of those to be tried again. */

void
ngx_http_mark_retry(ngx_http_mark_queue_t *q, ngx_http_mark_ctx_t *ctx)
{
    ctx->state = NGX_HTTP_MARK_RETRYING;
    ctx->queue = q;
    ctx->batch = NULL;

    ngx_queue_insert_tail(&q->retries, &ctx->item.link);
    q->nretries++;

    ngx_http_mark_count(q->conf, queued);

    ngx_post_event(&q->event, &ngx_posted_events);
}


/*
 * A trial for all members of the batch; NULL: no memory.  Units get their
 * numbers while they have members, so that none is four times theirs.
 */

static ngx_http_mark_trial_t *
ngx_http_mark_retry_trial(ngx_http_mark_batch_t *batch)
{
    ngx_uint_t              status;
    ngx_http_mark_trial_t  *trial;

    trial = ngx_calloc(sizeof(ngx_http_mark_trial_t) + batch->members / 2,
                       batch->log);
    if (trial == NULL) {
        return NULL;
    }

    trial->queue = batch->queue;
    trial->members = batch->members;
    trial->size = batch->nslots;

    status = batch->answer.err_status ? batch->answer.err_status
                                      : batch->answer.status;

    /* one who left may be to blame; what cannot be split is counted already */

    if (!batch->left && status >= NGX_HTTP_BAD_REQUEST) {
        trial->suspect = status;
    }

    return trial;
}


static void
ngx_http_mark_retry_failed(ngx_http_mark_trial_t *trial, ngx_uint_t unit)
{
    trial->failed[unit / 8] |= 1 << unit % 8;
}


/* Tells whether the unit is one of two that failed, or a part of such. */

static ngx_uint_t
ngx_http_mark_retry_hopeless(ngx_http_mark_trial_t *trial, ngx_uint_t unit)
{
    ngx_uint_t  other;

    for ( /* void */ ; unit > 1; unit /= 2) {
        other = unit ^ 1;

        if (trial->failed[unit / 8] & 1 << unit % 8
            && trial->failed[other / 8] & 1 << other % 8)
        {
            return 1;
        }
    }

    return 0;
}


/*
 * Sends what is to be tried again, a few units at a time, so that a failure
 * does not become a burst.  One whose deadline is over is told so: the batch's
 * answer was not its own.
 */

void
ngx_http_mark_retry_run(ngx_http_mark_queue_t *q, uint64_t now)
{
    ngx_uint_t            n, limit;
    ngx_http_mark_ctx_t  *ctx;

    limit = NGX_HTTP_MARK_RETRIES;

    if (q->shared) {
        limit = ngx_max(limit / ngx_http_mark_bells_n(), 1);
    }

    while (q->nretries && q->retrying < limit) {

        ctx = ngx_http_mark_retry_head(q);

        if (ngx_http_mark_retry_expired(ctx, now)) {
            ngx_http_mark_retry_expire(ctx);
            continue;
        }

        n = ngx_http_mark_retry_unit(q, now);

        if (n == 0) {
            continue;
        }

        if (ngx_http_mark_gate_enter(q) != NGX_OK) {
            break;
        }

        ngx_http_mark_retry_send(q, n, now);
    }
}


/*
 * How many members the first unit has; 0: some whose deadline is over were
 * put before it.  No request ends in here.
 */

static ngx_uint_t
ngx_http_mark_retry_unit(ngx_http_mark_queue_t *q, uint64_t now)
{
    ngx_uint_t            n, late;
    ngx_queue_t          *link, *next;
    ngx_http_mark_ctx_t  *first, *ctx;

    first = ngx_http_mark_retry_head(q);

    if (first->unit == 0
        || ngx_http_mark_retry_hopeless(first->trial, first->unit))
    {
        return 1;
    }

    n = 0;
    late = 0;

    for (link = ngx_queue_head(&q->retries);
         link != ngx_queue_sentinel(&q->retries);
         link = next)
    {
        next = ngx_queue_next(link);
        ctx = ngx_queue_data(link, ngx_http_mark_ctx_t, item.link);

        if (ctx->trial != first->trial || ctx->unit != first->unit) {
            break;
        }

        if (ngx_http_mark_retry_expired(ctx, now)) {
            ngx_queue_remove(link);
            ngx_queue_insert_head(&q->retries, link);
            ctx->unit = 0;
            late = 1;
            continue;
        }

        n++;
    }

    return late ? 0 : n;
}


static void
ngx_http_mark_retry_send(ngx_http_mark_queue_t *q, ngx_uint_t n, uint64_t now)
{
    ngx_http_mark_ctx_t    *ctx;
    ngx_http_mark_batch_t  *batch;
    ngx_http_mark_flight_t  flight;

    q->retrying++;

    batch = NULL;

    if (n > 1) {
        ngx_memzero(&flight, sizeof(ngx_http_mark_flight_t));
        flight.sent = now;

        batch = ngx_http_mark_batch_create(q, n, "retry", &flight);
    }

    if (batch) {
        batch->retry = 1;

        while (n--) {
            ngx_http_mark_batch_add(batch, ngx_http_mark_retry_take(q, now));
        }

        ngx_http_mark_service_sent(q, now, batch->rows, &batch->flight);
        ngx_http_mark_batch_start(batch);
        return;
    }

    ctx = ngx_http_mark_retry_take(q, now);

    ctx->retry = 1;
    ctx->queue = q;

    ngx_http_mark_service_sent(q, now, ctx->req.nrows, &ctx->flight);

    ngx_http_mark_alone(ctx, "retry");
}


static ngx_http_mark_ctx_t *
ngx_http_mark_retry_take(ngx_http_mark_queue_t *q, uint64_t now)
{
    ngx_http_mark_ctx_t  *ctx;

    ctx = ngx_http_mark_retry_head(q);

    ngx_http_mark_queue_remove(ctx);

    if (!ctx->retried) {
        ctx->retried = 1;
        ngx_http_mark_count(q->conf, retries);
    }

    ctx->sent = now;
    ctx->answered = 0;

    return ctx;
}


static void
ngx_http_mark_retry_expire(ngx_http_mark_ctx_t *ctx)
{
    ngx_connection_t  *c;

    ngx_http_mark_queue_remove(ctx);
    ngx_http_mark_retry_end(ctx, 0);

    ngx_http_mark_count(ctx->conf, expired);

    c = ctx->request->connection;
    ctx->reason = "expired";

    ngx_http_mark_reply_error(ctx, NGX_HTTP_GATEWAY_TIME_OUT,
                              "the batch of this request failed and its "
                              "deadline has passed");
    ngx_http_run_posted_requests(c);
}


/* A unit is no longer in flight. */

void
ngx_http_mark_retry_back(ngx_http_mark_queue_t *q)
{
    q->retrying--;
}


/*
 * A request is answered or gone; well: its answer is no error.  If all members
 * of a failed batch are answered well, no member was to blame: a backend that
 * fails every batch would cost each request two tries for ever.
 */

void
ngx_http_mark_retry_end(ngx_http_mark_ctx_t *ctx, ngx_uint_t well)
{
    u_char                  why[NGX_INT_T_LEN + 64];
    ngx_http_mark_trial_t  *trial;

    trial = ctx->trial;

    if (trial == NULL) {
        return;
    }

    ctx->trial = NULL;

    if (!well) {
        trial->suspect = 0;
    }

    if (--trial->members) {
        return;
    }

    if (trial->suspect) {
        ngx_sprintf(why, "has status %ui, which was no member's fault%Z",
                    trial->suspect);
        ngx_http_mark_service_unsplit(trial->queue, trial->size,
                                      (char *) why);
    }

    ngx_free(trial);
}
