
/* When a batch leaves, and when not. */


#include <string.h>

#include "tap.h"
#include "mark_policy.h"


static mark_latency_t       latency;
static mark_policy_conf_t   conf;
static mark_policy_state_t  state;
static uint64_t             again;


static void
reset(uint64_t delay)
{
    conf.max_rows = 32;
    conf.max_bytes = 1000;
    conf.delay = delay;
    conf.nsizes = 0;

    memset(&state, 0, sizeof(state));

    state.now = 1000000;
    state.oldest = 1000000;
    state.rows = 4;
    state.bytes = 100;
    state.slots = 1;
    state.latency = &latency;

    mark_latency_init(&latency);
}


/* Batches take 10ms and half a millisecond a row. */

static void
learned(void)
{
    int  i;

    for (i = 1; i <= 32; i++) {
        mark_latency_observe(&latency, i, 10000 + 500 * i, 1);
    }

    latency.a = 10000;
    latency.b = 500;
    latency.residual = 0;
    latency.limit = 1;
}


static void
decides(mark_policy_reason_t want, const char *what)
{
    is_str(mark_policy_reason(mark_policy_decide(&conf, &state, &again)),
           mark_policy_reason(want), "%s", what);
}


static void
automatic(void)
{
    reset(MARK_POLICY_AUTO);
    decides(MARK_POLICY_IDLE, "nothing in flight");

    state.in_flight = 1;
    state.last_sent = state.now;
    state.last_rows = 1;
    decides(MARK_POLICY_WAIT, "one in flight, one server");
    is_int(again, state.now + MARK_POLICY_PATIENCE, "but not for ever");

    state.slots = 2;
    decides(MARK_POLICY_IDLE, "one in flight, two servers");

    state.in_flight = 2;
    state.rows = 32;
    decides(MARK_POLICY_WAIT, "all rows, but two in flight");

    latency.limit = 2;
    decides(MARK_POLICY_FULL, "all rows: each server takes two");

    state.rows = 4;
    decides(MARK_POLICY_WAIT, "some rows");

    state.bytes = 1000;
    decides(MARK_POLICY_BYTES, "all bytes");

    state.in_flight = 4;
    decides(MARK_POLICY_WAIT, "all bytes, but four in flight");

    state.slots = 1;
    state.in_flight = 1;
    state.bytes = 100;
    state.draining = 1;
    decides(MARK_POLICY_DRAIN, "draining");

    state.draining = 0;
    state.now += MARK_POLICY_PATIENCE;
    decides(MARK_POLICY_OVERDUE, "the one in flight does not come back");

    state.last_sent = state.now;
    learned();
    decides(MARK_POLICY_WAIT, "learned: T(1) is 10.5ms");
    ok(again >= state.now + 21000 && again < state.now + 30000,
       "twice that is overdue");
}


static void
quick(void)
{
    int  i;

    reset(MARK_POLICY_AUTO);

    for (i = 1; i <= 32; i++) {
        mark_latency_observe(&latency, i, 300 + i, 1);
    }

    state.last_sent = state.now;
    state.last_rows = 1;

    latency.limit = 2;
    state.in_flight = 2;
    decides(MARK_POLICY_WAIT, "quick: as many as the peer takes");

    latency.limit = 100;
    state.in_flight = MARK_POLICY_PIPELINE - 1;
    decides(MARK_POLICY_IDLE, "quick: some in flight");

    state.in_flight = MARK_POLICY_PIPELINE;
    decides(MARK_POLICY_WAIT, "quick: enough in flight");

    learned();
    learned();
    state.in_flight = 1;
    decides(MARK_POLICY_WAIT, "quick no more");
}


static void
deadline(void)
{
    reset(MARK_POLICY_AUTO);
    learned();

    latency.limit = 2;
    state.in_flight = 1;
    state.last_sent = state.now;
    state.last_rows = 32;

    state.deadline = state.now + 200000;
    decides(MARK_POLICY_WAIT, "the deadline is far");

    state.deadline = state.now + 20000;
    decides(MARK_POLICY_WAIT, "the deadline is near");
    ok(again > state.now + 3000 && again < state.now + 8000,
       "it can wait for some milliseconds");

    state.now = again;
    decides(MARK_POLICY_DEADLINE, "and then no longer");

    latency.limit = 1;
    decides(MARK_POLICY_WAIT, "it would only wait at the backend");
    latency.limit = 2;

    state.now = state.deadline - 5000;
    decides(MARK_POLICY_WAIT, "what is too late does not hurry");

    state.deadline = 0;
    decides(MARK_POLICY_WAIT, "no deadline");
}


static void
fixed(void)
{
    reset(5000);

    decides(MARK_POLICY_WAIT, "a fixed delay is waited for");
    is_int(again, state.oldest + 5000, "until it is over");

    state.in_flight = 3;
    decides(MARK_POLICY_WAIT, "whatever is in flight");

    state.now += 5000;
    decides(MARK_POLICY_DELAY, "it is over");

    reset(0);
    decides(MARK_POLICY_DELAY, "a delay of nothing");

    reset(50000);
    learned();
    state.deadline = state.now + 20000;
    decides(MARK_POLICY_WAIT, "a deadline before the delay's end");
    ok(again < state.now + 20000, "comes first");

    state.now = state.deadline - 5000;
    decides(MARK_POLICY_DEADLINE, "late, and a peer is idle");

    state.in_flight = 1;
    decides(MARK_POLICY_WAIT, "late, and none is");
}


static void
no_gain(void)
{
    int  i;

    reset(MARK_POLICY_AUTO);

    state.in_flight = 1;
    state.last_sent = state.now;
    state.last_rows = 1;

    for (i = 1; i <= 32; i++) {
        mark_latency_observe(&latency, i, 1000 * i, 1);
    }

    decides(MARK_POLICY_NO_GAIN, "batches as slow as their rows");

    latency.limit = 1;
    decides(MARK_POLICY_WAIT, "if the peer takes another at all");
}


static void
blocked(void)
{
    reset(MARK_POLICY_AUTO);

    state.blocked = 1;
    decides(MARK_POLICY_WAIT, "blocked: idle as it seems");
    is_int(again, state.now + MARK_POLICY_PATIENCE, "blocked: asks again");

    state.rows = 32;
    state.draining = 1;
    decides(MARK_POLICY_WAIT, "blocked: full, and draining");

    state.blocked = 0;
    decides(MARK_POLICY_FULL, "blocked no more");
}


static void
overdue(void)
{
    reset(MARK_POLICY_AUTO);
    mark_latency_observe(&latency, 1, 300000, 1);

    state.in_flight = 1;
    state.last_sent = state.now;
    state.last_rows = 1;

    decides(MARK_POLICY_WAIT, "overdue: one was seen to take 300 ms");
    is_int(again, state.now + 600000, "overdue: after twice that");

    learned();
    decides(MARK_POLICY_WAIT, "overdue: one row is in flight");
    is_int(again, state.now + 2 * 10500 + MARK_POLICY_MARGIN,
           "overdue: by that row");

    state.in_flight = 2;
    decides(MARK_POLICY_WAIT, "overdue: something else is as well");
    is_int(again, state.now + 2 * 26000 + MARK_POLICY_MARGIN,
           "overdue: which may be a full batch");

    state.now = again;
    decides(MARK_POLICY_OVERDUE, "overdue");

    state.rows = 32;
    decides(MARK_POLICY_OVERDUE, "overdue, and full");
}


static void
full(void)
{
    reset(MARK_POLICY_AUTO);
    is_int(mark_policy_full(&conf, &state), 32, "full: mark_max_batch_size");

    conf.nsizes = 2;
    conf.sizes[0] = 4;
    conf.sizes[1] = 16;
    is_int(mark_policy_full(&conf, &state), 16,
           "full: the largest preferred size");

    latency.limit = 2;
    state.in_flight = 1;
    state.last_sent = state.now;
    state.rows = 15;
    decides(MARK_POLICY_WAIT, "full: not with 15");

    state.rows = 16;
    decides(MARK_POLICY_FULL, "full: with 16");
}


static void
rows(void)
{
    reset(MARK_POLICY_AUTO);

    is_int(mark_policy_rows(&conf, &state), 4, "rows: all that wait");

    state.rows = 33;
    is_int(mark_policy_rows(&conf, &state), 32, "rows: as many as may");

    state.rows = 20;
    state.deadline = state.now + 1;
    is_int(mark_policy_rows(&conf, &state), 20, "rows: T(n) is not known");

    /* T(20) is 20 ms */

    learned();
    state.deadline = state.now + 20000 + MARK_POLICY_MARGIN / 2;
    is_int(mark_policy_rows(&conf, &state), 20, "rows: met exactly");

    state.deadline--;
    is_int(mark_policy_rows(&conf, &state), 19, "rows: one less");

    state.deadline = state.now + 10500 + MARK_POLICY_MARGIN / 2;
    is_int(mark_policy_rows(&conf, &state), 1, "rows: one is met");

    state.deadline--;
    is_int(mark_policy_rows(&conf, &state), 20, "rows: none would be met");

    state.deadline = state.now - 1;
    is_int(mark_policy_rows(&conf, &state), 20, "rows: it is past");

    state.deadline = 0;
    is_int(mark_policy_rows(&conf, &state), 20, "rows: there is none");

    state.deadline = state.now + 20000;
    state.rows = 32;
    is_int(mark_policy_rows(&conf, &state), 18, "rows: one batch waits");

    state.rows = 33;
    is_int(mark_policy_rows(&conf, &state), 32, "rows: in overload all");

    latency.b = 0;
    state.rows = 20;
    is_int(mark_policy_rows(&conf, &state), 20, "rows: they cost nothing");
}


static void
preferred(void)
{
    reset(MARK_POLICY_AUTO);
    learned();

    conf.nsizes = 3;
    conf.sizes[0] = 4;
    conf.sizes[1] = 8;
    conf.sizes[2] = 16;

    state.rows = 3;
    is_int(mark_policy_rows(&conf, &state), 3, "preferred: fewer than any");

    state.rows = 4;
    is_int(mark_policy_rows(&conf, &state), 4, "preferred: the smallest");

    state.rows = 15;
    is_int(mark_policy_rows(&conf, &state), 8, "preferred: the next below");

    state.rows = 100;
    is_int(mark_policy_rows(&conf, &state), 16, "preferred: the largest");

    state.rows = 15;
    state.deadline = state.now + 13500 + MARK_POLICY_MARGIN / 2;
    is_int(mark_policy_rows(&conf, &state), 4, "preferred: in time for 7");

    state.deadline = state.now + 11000 + MARK_POLICY_MARGIN / 2;
    is_int(mark_policy_rows(&conf, &state), 2, "preferred: in time for 2");

   }


static int
late(uint64_t deadline)
{
    return mark_policy_late(&conf, &state, deadline, 1);
}


static void
too_late(void)
{
    uint64_t  now;

    reset(MARK_POLICY_AUTO);
    now = state.now;

    ok(!late(0), "late: no deadline");
    ok(!late(now + 1), "late: nothing known, a moment left");
    ok(late(now), "late: nothing known, and it is over");

    learned();
    state.last_sent = now;
    ok(!late(now + 10500), "late: T(1) is just enough");
    ok(late(now + 10499), "late: T(1) is just not");
    ok(!late(0), "late: no deadline, whatever is known");
    ok(mark_policy_late(&conf, &state, now + 11999, 4)
       && !mark_policy_late(&conf, &state, now + 12000, 4),
       "late: by its own rows");

    /* an idle peer, not asked for a second */

    state.last_sent = now - MARK_POLICY_STALE;
    ok(late(now + 10499), "late: not yet stale");

    state.last_sent--;
    ok(!late(now + 1), "late: stale, it is tried");
    ok(late(now), "late: stale, but it is over");

    state.in_flight = 1;
    state.slots = 2;
    ok(late(now + 10499), "late: not stale, something is in flight");

    /* the peer is busy for 18 ms more */

    state.slots = 1;
    state.last_rows = 32;
    state.last_sent = now - 8000;
    ok(!late(now + 28500), "late: when the peer is free, just enough");
    ok(late(now + 28499), "late: when the peer is free, just not");

    state.in_flight = 0;
    state.blocked = 1;
    ok(late(now + 28499), "late: blocked is busy as well");

    state.blocked = 0;
    state.in_flight = 1;
    latency.limit = 2;
    ok(!late(now + 10500), "late: the peer takes another");

    /* it should have been free already */

    latency.limit = 1;
    state.last_sent = now - 30000;
    ok(!late(now + 10500), "late: overdue counts as free");

    /* more than a batch: a full one, for certain */

    state.rows = 32;
    ok(!late(now + 10500), "late: one batch waits");

    state.rows = 33;
    ok(!late(now + 26000 + MARK_POLICY_MARGIN), "late: overload, enough");
    ok(late(now + 26000 + MARK_POLICY_MARGIN - 1), "late: overload, not");

    conf.nsizes = 1;
    conf.sizes[0] = 8;
    ok(!late(now + 14000 + MARK_POLICY_MARGIN),
       "late: overload, the preferred size");
}


int
main(void)
{
    automatic();
    quick();
    deadline();
    fixed();
    no_gain();
    blocked();
    overdue();
    full();
    rows();
    preferred();
    too_late();

    ok(mark_policy_blames_member(400) && mark_policy_blames_member(413)
       && mark_policy_blames_member(422) && mark_policy_blames_member(500),
       "may be a member's fault");
    ok(!mark_policy_blames_member(401) && !mark_policy_blames_member(429)
       && !mark_policy_blames_member(503) && !mark_policy_blames_member(504)
       && !mark_policy_blames_member(200) && !mark_policy_blames_member(302),
       "is no member's fault");

    return done_testing();
}
