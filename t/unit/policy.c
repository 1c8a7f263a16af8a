
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
        mark_latency_observe(&latency, i, 10000 + 500 * i);
    }
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

    state.slots = 1;
    state.rows = 32;
    decides(MARK_POLICY_FULL, "all rows");

    state.rows = 4;
    state.bytes = 1000;
    decides(MARK_POLICY_BYTES, "all bytes");

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
        mark_latency_observe(&latency, i, 300 + i);
    }

    state.last_sent = state.now;
    state.last_rows = 1;

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
        mark_latency_observe(&latency, i, 1000 * i);
    }

    decides(MARK_POLICY_NO_GAIN, "batches as slow as their rows");
}


int
main(void)
{
    automatic();
    quick();
    deadline();
    fixed();
    no_gain();

    ok(mark_policy_blames_member(400) && mark_policy_blames_member(413)
       && mark_policy_blames_member(422) && mark_policy_blames_member(500),
       "may be a member's fault");
    ok(!mark_policy_blames_member(401) && !mark_policy_blames_member(429)
       && !mark_policy_blames_member(503) && !mark_policy_blames_member(504)
       && !mark_policy_blames_member(200) && !mark_policy_blames_member(302),
       "is no member's fault");

    return done_testing();
}
