
/* When a batch leaves: see mark_policy.h. */


#include "mark_policy.h"


static int mark_policy_crowded(const mark_policy_conf_t *conf,
    const mark_policy_state_t *state);
static int mark_policy_idle(const mark_policy_state_t *state);
static uint64_t mark_policy_overdue(const mark_policy_conf_t *conf,
    const mark_policy_state_t *state);


mark_policy_reason_t
mark_policy_decide(const mark_policy_conf_t *conf,
    const mark_policy_state_t *state, uint64_t *again)
{
    uint64_t               when, need, latest;
    const mark_latency_t  *l;

    l = state->latency;

    if (state->blocked) {
        *again = state->now + MARK_POLICY_PATIENCE;
        return MARK_POLICY_WAIT;
    }

    if (mark_policy_crowded(conf, state)) {
        *again = mark_policy_overdue(conf, state);
        return state->now >= *again ? MARK_POLICY_OVERDUE : MARK_POLICY_WAIT;
    }

    if (state->rows >= mark_policy_full(conf, state)) {
        return MARK_POLICY_FULL;
    }

    if (state->bytes >= conf->max_bytes) {
        return MARK_POLICY_BYTES;
    }

    if (state->draining) {
        return MARK_POLICY_DRAIN;
    }

    if (conf->delay != MARK_POLICY_AUTO) {
        when = state->oldest + conf->delay;

        if (state->now >= when) {
            return MARK_POLICY_DELAY;
        }

        /* what is late as it is must not be later still */

        if (state->late && state->in_flight < state->slots) {
            return MARK_POLICY_DEADLINE;
        }

    } else {

        if (mark_policy_idle(state)) {
            return MARK_POLICY_IDLE;
        }

        if (!mark_latency_pays(l, conf->max_rows)) {
            return MARK_POLICY_NO_GAIN;
        }

        when = mark_policy_overdue(conf, state);

        if (state->now >= when) {
            return MARK_POLICY_OVERDUE;
        }
    }

    *again = when;

    /*
     * A deadline that not even a batch sent at once would meet does not
     * hurry while all peers are busy: in overload that would send many small
     * batches, and miss the deadlines behind it as well.  With a peer that
     * has nothing to do, a timer that came late must not make it much later.
     */

    if (state->deadline && mark_latency_known(l)
        && (state->in_flight < state->slots
            || state->now + mark_latency_mean(l, state->rows)
               <= state->deadline))
    {
        need = mark_latency_bound(l, state->rows) + MARK_POLICY_MARGIN;
        latest = (state->deadline > need) ? state->deadline - need : 0;

        if (state->now >= latest) {
            return MARK_POLICY_DEADLINE;
        }

        if (latest < when) {
            *again = latest;
        }
    }

    return MARK_POLICY_WAIT;
}


unsigned
mark_policy_full(const mark_policy_conf_t *conf,
    const mark_policy_state_t *state)
{
    unsigned  full;

    full = conf->nsizes ? conf->sizes[conf->nsizes - 1] : conf->max_rows;

    return (state->max_rows && state->max_rows < full) ? state->max_rows
                                                       : full;
}


unsigned
mark_policy_rows(const mark_policy_conf_t *conf,
    const mark_policy_state_t *state)
{
    unsigned  i, n, fit, full;
    uint64_t  latest;

    full = mark_policy_full(conf, state);
    n = (state->rows < full) ? state->rows : full;

    if (state->deadline && state->rows <= full
        && mark_latency_known(state->latency))
    {
        latest = state->now + MARK_POLICY_MARGIN / 2;

        fit = (state->deadline > latest)
              ? mark_latency_rows(state->latency, state->deadline - latest)
              : 0;

        /* what not one row would meet is not met by fewer */

        if (fit && fit < n) {
            n = fit;
        }
    }

    for (i = conf->nsizes; i; i--) {
        if (conf->sizes[i - 1] <= n) {
            return conf->sizes[i - 1];
        }
    }

    return n;
}


int
mark_policy_late(const mark_policy_conf_t *conf,
    const mark_policy_state_t *state, uint64_t deadline, unsigned rows)
{
    uint64_t  start, free, time;
    unsigned  full;

    if (deadline == 0) {
        return 0;
    }

    if (!mark_latency_known(state->latency)
        || (state->in_flight == 0
            && state->now > state->last_sent + MARK_POLICY_STALE))
    {
        return state->now >= deadline;
    }

    start = state->now;

    if (state->free) {
        if (state->free > start) {
            start = state->free;
        }

    } else if (state->blocked
        || state->in_flight
           >= state->slots * mark_latency_limit(state->latency))
    {
        free = state->last_sent
               + mark_latency_mean(state->latency, state->last_rows);

        if (free > start) {
            start = free;
        }
    }

    full = mark_policy_full(conf, state);

    time = (state->rows > full)
           ? mark_latency_bound(state->latency, full) + MARK_POLICY_MARGIN
           : mark_latency_mean(state->latency, rows);

    return start + time > deadline;
}


/* Tells whether a further batch would have to wait at its peer. */

static int
mark_policy_crowded(const mark_policy_conf_t *conf,
    const mark_policy_state_t *state)
{
    return conf->delay == MARK_POLICY_AUTO
           && !state->draining
           && state->in_flight
              >= state->slots * mark_latency_limit(state->latency);
}


static int
mark_policy_idle(const mark_policy_state_t *state)
{
    unsigned  each, limit;

    each = 1;

    if (mark_latency_known(state->latency)
        && mark_latency_mean(state->latency, state->rows) < MARK_POLICY_QUICK)
    {
        limit = mark_latency_limit(state->latency);
        each = (limit < MARK_POLICY_PIPELINE) ? limit : MARK_POLICY_PIPELINE;
    }

    return state->in_flight < state->slots * each;
}


/*
 * A backend that does not answer must not hold up those behind: after twice
 * the time that hardly any batch takes, the next one is tried beside it.  Of
 * several in flight the latest may be the smallest, and the one to wait for
 * the largest.
 */

static uint64_t
mark_policy_overdue(const mark_policy_conf_t *conf,
    const mark_policy_state_t *state)
{
    unsigned  rows;
    uint64_t  expected;

    if (!mark_latency_known(state->latency)) {
        expected = mark_latency_usual(state->latency);

        return state->last_sent + ((2 * expected > MARK_POLICY_PATIENCE)
                                   ? 2 * expected : MARK_POLICY_PATIENCE);
    }

    rows = (state->in_flight > 1) ? mark_policy_full(conf, state)
                                  : state->last_rows;
    expected = mark_latency_bound(state->latency, rows);

    return state->last_sent + 2 * expected + MARK_POLICY_MARGIN;
}


const char *
mark_policy_reason(mark_policy_reason_t reason)
{
    static const char  *names[] = {
        "wait", "full", "bytes", "idle", "delay", "deadline", "overdue",
        "no_gain", "drain", "overflow"
    };

    return reason < MARK_POLICY_NREASONS ? names[reason] : "unknown";
}


int
mark_policy_blames_member(unsigned status)
{
    switch (status) {
    case 401:
    case 403:
    case 407:
    case 408:
    case 429:
    case 502:
    case 503:
    case 504:
        return 0;
    }

    return status >= 400 && status < 600;
}
