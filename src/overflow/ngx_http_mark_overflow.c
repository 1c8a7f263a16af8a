
/*
 * Overflow: what the servers of a location would answer too late, or has no
 * room in its queue, is carried to another location instead, as MArk sends to
 * Lambda what an instance's bouncer rejects.
 *
 * The line is gone through in the order of its urgency, each request with the
 * time at which the servers are expected to be done with it and all before it.
 * What would miss its deadline, but be in time elsewhere, is gathered until a
 * batch is full or the first of it has to go; until then the servers may still
 * turn out to be faster.  What may not overflow stays, and mark_timeout_action
 * says what becomes of it.
 *
 * Money and rates are bounded for all workers together (mark_budget.h), by the
 * directive and by the plan of the location's pool, whichever is less.
 */


#include "ngx_http_mark_overflow.h"
#include "ngx_http_mark_pool.h"
#include "ngx_http_mark_share.h"


/* Batches ahead of which the servers' times are foreseen. */
#define NGX_HTTP_MARK_FORESEEN   32

/* Requests that overflow together, at most. */
#define NGX_HTTP_MARK_LOST       256

/* A location that was too slow is tried again after so long; usec. */
#define NGX_HTTP_MARK_OVERFLOW_STALE  5000000


/* What would be too late, the most urgent first. */

typedef struct {
    ngx_uint_t                 n;
    ngx_uint_t                 late;         /* of them; others: no room */
    ngx_uint_t                 rows;
    size_t                     bytes;
    uint64_t                   deadline;     /* the earliest; 0: none */
    ngx_uint_t                 reason;
    unsigned                   full:1;       /* no more may come in */
    unsigned                   fresh:1;      /* one was not kept before */
    ngx_http_mark_item_t      *items[NGX_HTTP_MARK_LOST];
} ngx_http_mark_lost_t;


static void ngx_http_mark_overflow_lost(ngx_http_mark_queue_t *q,
    ngx_http_mark_line_t *line, mark_policy_state_t *state,
    ngx_http_mark_lost_t *lost);
static uint64_t ngx_http_mark_overflow_foresee(ngx_http_mark_queue_t *q,
    mark_policy_state_t *state, ngx_uint_t batch, ngx_uint_t full);
static uint64_t ngx_http_mark_overflow_when(ngx_http_mark_queue_t *q,
    ngx_http_mark_lost_t *lost, uint64_t now);
static ngx_uint_t ngx_http_mark_overflow_ours(ngx_http_mark_lost_t *lost);
static ngx_int_t ngx_http_mark_overflow_admit(ngx_http_mark_queue_t *q,
    ngx_http_mark_lost_t *lost, ngx_http_mark_load_t *load, uint64_t now);
static ngx_uint_t ngx_http_mark_overflow_shut(ngx_http_mark_queue_t *q,
    uint64_t now);
static ngx_uint_t ngx_http_mark_overflow_left(
    ngx_http_mark_overflow_state_t *o, uint64_t now);
static ngx_uint_t ngx_http_mark_overflow_slow(
    ngx_http_mark_overflow_state_t *o, ngx_http_mark_lost_t *lost,
    uint64_t now);
static void ngx_http_mark_overflow_take(ngx_http_mark_line_t *line,
    ngx_http_mark_lost_t *lost, ngx_http_mark_load_t *load, uint64_t now);
static void ngx_http_mark_overflow_refuse(ngx_http_mark_queue_t *q,
    ngx_http_mark_line_t *line, ngx_http_mark_lost_t *lost);


mark_outlier_conf_t  ngx_http_mark_overflow_outlier = {
    MARK_OUTLIER_ERRORS, MARK_OUTLIER_FAILURES, MARK_OUTLIER_BASE,
    MARK_OUTLIER_MAX, MARK_OUTLIER_CALM
};


const char *
ngx_http_mark_overflow_reason(ngx_uint_t reason)
{
    static const char  *names[] = { "late", "full" };

    return names[reason];
}


const char *
ngx_http_mark_kept_reason(ngx_uint_t reason)
{
    static const char  *names[] = {
        "disarmed", "rate", "concurrency", "cost", "backoff", "slow"
    };

    return names[reason];
}


/* The line is locked if it is the shared one. */

mark_policy_reason_t
ngx_http_mark_overflow_look(ngx_http_mark_queue_t *q,
    ngx_http_mark_line_t *line, mark_policy_state_t *state, uint64_t *again,
    ngx_http_mark_load_t *load)
{
    uint64_t              when;
    ngx_http_mark_lost_t  lost;

next:

    ngx_http_mark_overflow_lost(q, line, state, &lost);

    if (lost.n == 0) {
        return MARK_POLICY_WAIT;
    }

    if (q->conf->overflow == NULL) {
        ngx_http_mark_overflow_refuse(q, line, &lost);
        goto next;
    }

    when = ngx_http_mark_overflow_when(q, &lost, state->now);

    if (when > state->now) {
        *again = ngx_min(*again, when);
        return MARK_POLICY_WAIT;
    }

    /* the carrier needs a request of this worker's to be made after */

    if (line != &q->line && ngx_http_mark_overflow_ours(&lost) == 0) {
        ngx_http_mark_cell_next(q);
        *again = ngx_min(*again, state->now + NGX_HTTP_MARK_SECOND);
        return MARK_POLICY_WAIT;
    }

    switch (ngx_http_mark_overflow_admit(q, &lost, load, state->now)) {

    case NGX_OK:
        break;

    case NGX_BUSY:

        /* soon there may be room */

        *again = ngx_min(*again, state->now + NGX_HTTP_MARK_SECOND);
        return MARK_POLICY_WAIT;

    default: /* NGX_DECLINED */

        if (q->conf->timeout_action == NGX_HTTP_MARK_REJECT && lost.late) {
            ngx_http_mark_overflow_refuse(q, line, &lost);
            goto next;
        }

        /* these go behind the others, which have not been asked for */

        if (lost.fresh) {
            *again = ngx_min(*again, state->now + NGX_HTTP_MARK_SECOND);
        }

        return MARK_POLICY_WAIT;
    }

    ngx_http_mark_overflow_take(line, &lost, load, state->now);

    if (line != &q->line) {
        (void) ngx_http_mark_cell_take(&load->items);
    }

    return MARK_POLICY_OVERFLOW;
}


/*
 * Finds what the servers would answer too late, as many as one batch holds.
 * What is already behind all others because it is too late does not count.
 */

static void
ngx_http_mark_overflow_lost(ngx_http_mark_queue_t *q,
    ngx_http_mark_line_t *line, mark_policy_state_t *state,
    ngx_http_mark_lost_t *lost)
{
    uint64_t               finish;
    ngx_uint_t             n, rows, full, batch, beyond;
    ngx_queue_t           *link;
    ngx_http_mark_item_t  *item;

    lost->n = 0;
    lost->late = 0;
    lost->rows = 0;
    lost->bytes = 0;
    lost->deadline = 0;
    lost->reason = 0;
    lost->full = 0;
    lost->fresh = 0;

    full = mark_policy_full(&q->policy, state);
    batch = 0;
    n = 0;
    rows = 0;

    finish = ngx_http_mark_overflow_foresee(q, state, 0, full);

    for (link = ngx_queue_head(&line->items);
         link != ngx_queue_sentinel(&line->items);
         link = ngx_queue_next(link))
    {
        item = ngx_queue_data(link, ngx_http_mark_item_t, link);

        if (rows / full != batch && finish != UINT64_MAX) {
            batch = rows / full;

            if (batch < NGX_HTTP_MARK_FORESEEN) {
                finish = ngx_http_mark_overflow_foresee(q, state, batch, full);
            }
        }

        beyond = (q->max_queue && n >= q->max_queue && q->conf->overflow);

        if (!beyond
            && finish != NGX_HTTP_MARK_NEVER
            && (item->deadline == 0
                || item->priority == NGX_HTTP_MARK_LATE
                || (finish == UINT64_MAX && state->now < item->deadline)
                || (finish != UINT64_MAX
                    && finish + MARK_POLICY_MARGIN <= item->deadline)))
        {
            n++;
            rows += item->rows;
            continue;
        }

        if (lost->n
            && (lost->n == NGX_HTTP_MARK_LOST
                || lost->rows + item->rows > q->policy.max_rows
                || lost->bytes + item->bytes > q->policy.max_bytes))
        {
            lost->full = 1;
            return;
        }

        if (lost->n == 0) {
            lost->reason = beyond ? NGX_HTTP_MARK_OVERFLOW_FULL
                                  : NGX_HTTP_MARK_OVERFLOW_LATE;
        }

        if (item->deadline
            && (lost->deadline == 0 || item->deadline < lost->deadline))
        {
            lost->deadline = item->deadline;
        }

        lost->items[lost->n++] = item;
        lost->late += !beyond;
        lost->rows += item->rows;
        lost->bytes += item->bytes;
    }

    lost->full = (lost->rows >= q->policy.max_rows
                  || finish == NGX_HTTP_MARK_NEVER);
}


/* When the servers are done with a batch that has so many before it. */

static uint64_t
ngx_http_mark_overflow_foresee(ngx_http_mark_queue_t *q,
    mark_policy_state_t *state, ngx_uint_t batch, ngx_uint_t full)
{
    uint64_t    start, time;
    ngx_uint_t  places, rows;

    rows = batch ? full : ngx_min(full, ngx_max(state->rows, 1));

    if (q->conf->pool) {
        return ngx_http_mark_pool_finish(q->conf->pool, q->kind, batch * rows,
                                         rows);
    }

    if (!mark_latency_known(state->latency)) {
        return UINT64_MAX;
    }

    start = state->now;
    places = ngx_max(state->slots, 1) * mark_latency_limit(state->latency);
    time = mark_latency_mean(state->latency, rows);

    if (state->in_flight >= places) {
        start = ngx_max(start, state->last_sent
                               + mark_latency_mean(state->latency,
                                                   state->last_rows));
    }

    return start + (batch / places + 1) * time;
}


/* When these must go, if they are to be in time. */

static uint64_t
ngx_http_mark_overflow_when(ngx_http_mark_queue_t *q,
    ngx_http_mark_lost_t *lost, uint64_t now)
{
    uint64_t        need;
    ngx_uint_t      rows;
    mark_latency_t  latency;

    if (lost->full || lost->reason == NGX_HTTP_MARK_OVERFLOW_FULL
        || lost->deadline == 0)
    {
        return now;
    }

    /* what may not go need not wait for company */

    if (ngx_http_mark_overflow_shut(q, now)) {
        return now;
    }

    /* a picture of it is as good as any, without the lock */

    latency = q->conf->overflow_state->latency;

    if (!mark_latency_known(&latency)) {
        return now;
    }

    /* with as many as it might be by then, and a quarter to spare */

    rows = ngx_min(2 * lost->rows, q->policy.max_rows);
    need = mark_latency_bound(&latency, rows);
    need += need / 4 + 2 * MARK_POLICY_MARGIN;

    return lost->deadline > need ? lost->deadline - need : now;
}


/* Tells how many of them are of this worker. */

static ngx_uint_t
ngx_http_mark_overflow_ours(ngx_http_mark_lost_t *lost)
{
    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < lost->n; i++) {
        n += (lost->items[i]->cell->worker == ngx_worker);
    }

    return n;
}


/* NGX_DECLINED: they may not go; NGX_BUSY: not now. */

static ngx_int_t
ngx_http_mark_overflow_admit(ngx_http_mark_queue_t *q,
    ngx_http_mark_lost_t *lost, ngx_http_mark_load_t *load, uint64_t now)
{
    uint64_t                         cost;
    ngx_int_t                        rc, kept;
    ngx_uint_t                       i, seat;
    mark_budget_limits_t             limits;
    ngx_http_mark_overflow_state_t  *o;

    o = q->conf->overflow_state;
    seat = q->main->seat_index;
    kept = -1;
    rc = NGX_DECLINED;

    ngx_shmtx_lock(q->main->mutex);

    if (ngx_http_mark_overflow_limits(q->conf, &limits) == 0) {
        kept = NGX_HTTP_MARK_KEPT_DISARMED;
        goto done;
    }

    if (ngx_http_mark_overflow_left(o, now)) {
        kept = NGX_HTTP_MARK_KEPT_BACKOFF;
        goto done;
    }

    if (lost->deadline && ngx_http_mark_overflow_slow(o, lost, now)) {
        kept = NGX_HTTP_MARK_KEPT_SLOW;
        goto done;
    }

    cost = ngx_max(o->expected, q->conf->overflow->request_cost);

    switch (ngx_http_mark_overflow_budget(q->main, o, cost, &limits,
                                          now)) {

    case MARK_BUDGET_OK:
        rc = NGX_OK;
        break;

    case MARK_BUDGET_RATE:
        kept = NGX_HTTP_MARK_KEPT_RATE;
        rc = NGX_BUSY;
        goto done;

    case MARK_BUDGET_CONCURRENCY:
        kept = NGX_HTTP_MARK_KEPT_CONCURRENCY;
        rc = NGX_BUSY;
        goto done;

    default:
        kept = NGX_HTTP_MARK_KEPT_COST;
        goto done;
    }

    if (mark_outlier_status(&o->outlier, now) == MARK_OUTLIER_PROBING) {
        mark_outlier_try(&o->outlier, now);
    }

    o->held[seat]++;
    o->reserved[seat] += cost;
    o->last_sent = now;
    o->batches++;
    o->requests[lost->reason] += lost->n;

    load->overflow.reason = lost->reason;
    load->overflow.reserved = cost;

done:

    /* each request is counted once, by what it was kept for first */

    for (i = 0; kept != -1 && i < lost->n; i++) {

        /* without a deadline it could wait for a place for ever */

        if ((rc == NGX_DECLINED || lost->items[i]->deadline == 0)
            && !lost->items[i]->kept)
        {
            lost->items[i]->kept = 1;
            lost->fresh = 1;
        }

        if (!lost->items[i]->counted) {
            lost->items[i]->counted = 1;
            o->kept[kept]++;
        }
    }

    ngx_shmtx_unlock(q->main->mutex);

    return rc;
}


/* Tells whether nothing may go for some time, whatever it is. */

static ngx_uint_t
ngx_http_mark_overflow_shut(ngx_http_mark_queue_t *q, uint64_t now)
{
    ngx_uint_t                       shut;
    mark_budget_limits_t             limits;
    ngx_http_mark_overflow_state_t  *o;

    o = q->conf->overflow_state;

    ngx_shmtx_lock(q->main->mutex);

    shut = ngx_http_mark_overflow_limits(q->conf, &limits) == 0
           || ngx_http_mark_overflow_left(o, now)
           || ngx_http_mark_overflow_broke(o, &limits,
                                       q->conf->overflow->request_cost, now);

    ngx_shmtx_unlock(q->main->mutex);

    return shut;
}


/* It failed, or asked for patience. */

static ngx_uint_t
ngx_http_mark_overflow_left(ngx_http_mark_overflow_state_t *o, uint64_t now)
{
    return now < o->not_before
           || !mark_outlier_may_try(&o->outlier,
                                    &ngx_http_mark_overflow_outlier, now);
}


/*
 * Tells whether some of them would be too late elsewhere, too: they are then
 * all that is left.  It is tried in spite of that once in a while, with those
 * whose deadline has not passed.
 */

static ngx_uint_t
ngx_http_mark_overflow_slow(ngx_http_mark_overflow_state_t *o,
    ngx_http_mark_lost_t *lost, uint64_t now)
{
    uint64_t    done;
    ngx_uint_t  i, n, late;

    done = now;

    if (mark_latency_known(&o->latency)
        && now < o->last_sent + NGX_HTTP_MARK_OVERFLOW_STALE)
    {
        done += mark_latency_mean(&o->latency, lost->rows);
    }

    n = 0;
    late = 0;

    for (i = 0; i < lost->n; i++) {
        if (lost->items[i]->deadline && lost->items[i]->deadline <= done) {
            late += (i < lost->late);
            lost->items[n++] = lost->items[i];
        }
    }

    if (n) {
        lost->n = n;
        lost->late = late;
    }

    return n;
}


static void
ngx_http_mark_overflow_take(ngx_http_mark_line_t *line,
    ngx_http_mark_lost_t *lost, ngx_http_mark_load_t *load, uint64_t now)
{
    ngx_uint_t  i;

    ngx_queue_init(&load->items);

    for (i = 0; i < lost->n; i++) {
        ngx_http_mark_line_remove(line, lost->items[i]);
        ngx_queue_insert_tail(&load->items, &lost->items[i]->link);
    }

    load->n = lost->n;

    ngx_memzero(&load->flight, sizeof(ngx_http_mark_flight_t));
    load->flight.sent = now;
    load->flight.rows = lost->rows;
}


/* To be rejected, they are told so at once; the queue's size is not judged. */

static void
ngx_http_mark_overflow_refuse(ngx_http_mark_queue_t *q,
    ngx_http_mark_line_t *line, ngx_http_mark_lost_t *lost)
{
    ngx_uint_t  i;

    for (i = 0; i < lost->late; i++) {
        ngx_http_mark_line_remove(line, lost->items[i]);
        ngx_http_mark_queue_refuse(q, lost->items[i], 1);
    }
}
