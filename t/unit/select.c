
/* The choice of a peer, case by case. */


#include "select.h"


/* The choice for so many rows and a deadline in so many ms, 0: none. */

static int
chosen(unsigned n, unsigned rows, double deadline)
{
    memset(&batch, 0, sizeof(mark_select_batch_t));

    batch.now = NOW;
    batch.rows = rows;
    batch.deadline = deadline ? NOW + (uint64_t) (deadline * MS) : 0;

    mark_select(peers, n, &batch, &choice);

    return choice.peer;
}


/* The same with more waiting behind it. */

static int
waiting(unsigned n, unsigned rows, unsigned all, double deadline)
{
    memset(&batch, 0, sizeof(mark_select_batch_t));

    batch.now = NOW;
    batch.rows = rows;
    batch.waiting = all;
    batch.deadline = NOW + (uint64_t) (deadline * MS);

    mark_select(peers, n, &batch, &choice);

    return choice.peer;
}


static int
explored(unsigned n, double deadline)
{
    memset(&batch, 0, sizeof(mark_select_batch_t));

    batch.now = NOW;
    batch.rows = 1;
    batch.deadline = deadline ? NOW + (uint64_t) (deadline * MS) : 0;
    batch.explore = 1;

    mark_select(peers, n, &batch, &choice);

    return choice.peer;
}


/* One is fast and dear, one slow and cheap: 11 ms at 10, 44 ms at 1. */

static void
fast_and_cheap(void)
{
    peer(0, 10, 1, 10);
    peer(1, 40, 4, 1);
}


static void
cheapest(void)
{
    fast_and_cheap();

    is_int(chosen(2, 1, 100), 1, "cheapest: with time");
    ok(choice.meets && choice.start == NOW, "cheapest: in time, at once");
    ok(choice.finish == NOW + 44 * MS, "cheapest: done when");
    ok(choice.latest == NOW + (uint64_t) ((100 - 48.4 - 2) * MS),
       "cheapest: which can begin so late");

    /* 44 ms, a tenth for doubt, and the margin of 2 */

    is_int(chosen(2, 1, 50.4), 1, "cheapest: just in time");
    is_int(chosen(2, 1, 50.399), 0, "cheapest: just not");
    ok(choice.meets, "cheapest: the dear one is in time");

    is_int(chosen(2, 1, 12), 0, "none in time: the first to be done");
    ok(!choice.meets && choice.latest < NOW, "none in time: and says so");

    is_int(chosen(2, 1, 0), 0, "no deadline: the first to be done");
    ok(choice.meets && choice.latest == 0, "no deadline: which is in time");

    is_int(chosen(2, 10, 100), 1, "ten rows: cheapest");
    is_int(chosen(2, 20, 100), 0, "twenty rows: in time");
    is_int(choice.rows, 20, "twenty rows: all of them");

    /* the time that hardly any batch exceeds counts, and the usual one costs */

    mark_latency_prior(&latencies[1], 40 * MS, 4 * MS, 60 * MS);
    is_int(chosen(2, 1, 100), 0, "unsteady: not in time");
    is_int(chosen(2, 1, 117), 1, "unsteady: cheapest");

    /* no cost at all */

    fast_and_cheap();
    peers[0].price = 0;
    peers[1].price = 0;
    is_int(chosen(2, 1, 100), 0, "for nothing: the first to be done");

    peers[0].price = 1;
    is_int(chosen(2, 1, 100), 1, "for nothing, where the other is not");

    /* the price of an hour is not that of a row */

    peer(0, 10, 0, 4);
    peer(1, 50, 0, 1);
    is_int(chosen(2, 1, 100), 0, "a row: four times the price, a fifth of T");
}


static void
band(void)
{
    /* of one price: the slower is the dearer */

    peer(0, 20, 0, 1);
    peers[0].in_flight = 1;
    peers[0].free_at = NOW + 10 * MS;

    peer(1, 24, 0, 1);
    is_int(chosen(2, 1, 100), 1, "band: a fifth slower, but sooner");

    peer(1, 25, 0, 1);
    is_int(chosen(2, 1, 100), 1, "band: its end");

    peer(1, 26, 0, 1);
    is_int(chosen(2, 1, 100), 0, "band: beyond");

    /* of another price: what a row costs decides */

    peer(0, 40, 0, 1);
    peer(1, 20, 0, 2);
    is_int(chosen(2, 1, 100), 1, "prices: as cheap, and sooner");

    peer(1, 20, 0, 2.01);
    is_int(chosen(2, 1, 100), 0, "prices: hardly dearer");

    peer(2, 10, 0, 6);
    is_int(chosen(3, 1, 100), 0, "prices: three of them");
    is_int(chosen(3, 1, 30), 1, "prices: of those in time");
    is_int(chosen(3, 1, 20), 2, "prices: the only one in time");
}


/* What waits behind the batch. */

static void
backlog(void)
{
    fast_and_cheap();

    peers[0].in_flight = 1;
    peers[0].free_at = NOW + 10 * MS;
    peers[0].max_rows = 8;
    peers[1].max_rows = 8;
    peers[1].price = 100;

    is_int(waiting(2, 8, 8, 200), 0, "backlog: none, the first to be free");
    is_int(waiting(2, 8, 24, 200), 0, "backlog: which is done with all");
    is_int(waiting(2, 8, 96, 200), 1, "backlog: not with so many");
    ok(choice.start == NOW, "backlog: at once");

    /* nobody waits for the cheap one with a queue behind him */

    fast_and_cheap();
    peers[1].in_flight = 1;
    peers[1].free_at = NOW + 5 * MS;

    is_int(waiting(2, 1, 1, 100), 1, "backlog: one waits for the cheap one");
    is_int(waiting(2, 1, 3, 100), 0, "backlog: three do not");
}


static void
busy(void)
{
    fast_and_cheap();

    peers[1].in_flight = 1;
    peers[1].free_at = NOW + 20 * MS;

    is_int(chosen(2, 1, 100), 1, "busy: worth waiting for");
    ok(choice.start == NOW + 20 * MS, "busy: until when");
    ok(choice.latest == NOW + (uint64_t) ((100 - 48.4 - 2) * MS),
       "busy: at the latest");
    is_int(chosen(2, 1, 65), 0, "busy: for too long");

    peers[0].in_flight = 1;
    peers[0].free_at = NOW + 60 * MS;
    is_int(chosen(2, 1, 0), 1, "both busy: the first to be done");
    is_int(chosen(2, 1, 10), 1, "both busy: none in time");

    /* several at one time: when the first of them is done */

    peers[1].concurrency = 4;
    peers[1].in_flight = 4;
    peers[1].free_at = NOW + 50 * MS;
    ok(mark_select_start(&peers[1], NOW) == NOW + (50 - 33) * MS,
       "four: the first is done");
    peers[1].in_flight = 3;
    ok(mark_select_start(&peers[1], NOW) == NOW, "four: one is free");

    /* overdue: nobody knows for how long */

    peers[1].in_flight = 4;
    peers[1].free_at = NOW - 1;
    ok(mark_select_start(&peers[1], NOW) == NOW + 11 * MS, "overdue: a while");

    peer(2, 0, 0, 1)->in_flight = 1;
    ok(mark_select_start(&peers[2], NOW) == NOW + MARK_SELECT_LEAST / 4,
       "overdue: a little, where nothing is known");
}


static void
limits(void)
{
    int  i;

    peer(0, 10, 1, 1)->concurrency = 8;
    is_int(mark_select_limit(&peers[0]), 8, "limit: as told");

    peers[0].concurrency = 0;
    is_int(mark_select_limit(&peers[0]), 1, "limit: one before it is learned");

    for (i = 0; i < 40; i++) {
        mark_latency_observe(&latencies[0], 1, 11 * MS, 4);
        mark_latency_observe(&latencies[0], 1, 11 * MS, 1);
    }

    ok(mark_select_limit(&peers[0]) > 1, "limit: as learned");

    peers[0].probe = 1;
    is_int(mark_select_limit(&peers[0]), 1, "limit: a probe is one");
    peers[0].concurrency = 8;
    is_int(mark_select_limit(&peers[0]), 1, "limit: whatever is told");

    peer(0, 0, 0, 1)->concurrency = 0;
    is_int(mark_select_limit(&peers[0]), MARK_SELECT_UNKNOWN,
           "limit: of what is not known");
}


static void
unknown(void)
{
    fast_and_cheap();
    peer(2, 0, 0, 100);

    is_int(chosen(3, 1, 100), 2, "unknown: is tried, whatever it costs");
    is_int(chosen(3, 1, 0), 2, "unknown: without a deadline as well");
    ok(choice.meets, "unknown: and is thought to be in time");

    peers[2].in_flight = 1;
    is_int(chosen(3, 1, 100), 1, "unknown: with one at a time");
    is_int(chosen(3, 1, 0), 0, "unknown: not worth waiting for");

    peers[0].usable = 0;
    peers[1].usable = 0;
    is_int(chosen(3, 1, 100), 2, "unknown: unless there is no other");
    ok(choice.start > NOW && !choice.meets, "unknown: it may be late");
}


static void
states(void)
{
    is_int(chosen(0, 1, 100), -1, "no peers");

    fast_and_cheap();
    peers[0].usable = 0;
    is_int(chosen(2, 1, 51), 1, "one is not usable");
    is_int(chosen(2, 1, 12), 1, "not even to be in time");
    peers[1].usable = 0;
    is_int(chosen(2, 1, 100), -1, "none is usable");
    ok(choice.rows == 0 && !choice.meets, "none is usable: nothing is told");

    fast_and_cheap();
    peers[1].backup = 1;
    is_int(chosen(2, 1, 100), 0, "backup: not while there is another");
    is_int(chosen(2, 1, 12), 0, "backup: not to be in time");
    peers[0].usable = 0;
    is_int(chosen(2, 1, 100), 1, "backup: if there is none");

    fast_and_cheap();
    peers[1].share = 0.5;
    is_int(chosen(2, 1, 99), 1, "half its share: in time");
    is_int(chosen(2, 1, 98), 0, "half its share: twice the time");
    ok(choice.finish == NOW + 11 * MS, "the other is as fast as it was");

    fast_and_cheap();
    peers[1].probe = 1;
    peers[1].concurrency = 8;
    is_int(chosen(2, 1, 100), 1, "probe: one");
    peers[1].in_flight = 1;
    peers[1].free_at = NOW + 90 * MS;
    is_int(chosen(2, 1, 100), 0, "probe: no second one");

    fast_and_cheap();
    peers[1].max_rows = 4;
    peers[1].price = 0.5;
    is_int(chosen(2, 20, 100), 1, "max_rows: a part of it is in time");
    is_int(choice.rows, 4, "max_rows: of so many");
    ok(choice.finish == NOW + 56 * MS, "max_rows: done when");
}


/* Several like one another. */

static void
equals(void)
{
    unsigned  i;

    for (i = 0; i < 3; i++) {
        peer(i, 10, 0, 1)->concurrency = 8;
    }

    peers[0].last_sent = NOW - 10;
    peers[1].last_sent = NOW - 30;
    peers[2].last_sent = NOW - 20;
    is_int(chosen(3, 1, 100), 1, "equal: that had nothing for longest");

    peers[1].in_flight = 2;
    peers[2].in_flight = 1;
    peers[0].in_flight = 1;
    is_int(chosen(3, 1, 100), 2, "equal: with less in flight");

    peers[1].weight = 2;
    is_int(chosen(3, 1, 100), 1, "weight: for its weight less");

    /* within what nobody would notice */

    peer(0, 10, 0, 1);
    peer(1, 10.4, 0, 1)->last_sent = NOW - 2000;
    is_int(chosen(2, 1, 0), 1, "nearly equal: its turn");
    peer(1, 11, 0, 1)->last_sent = NOW - 2000;
    is_int(chosen(2, 1, 0), 0, "not equal: sooner");

    /* which is no way from one to the next, to whichever is the slowest */

    peer(1, 10.5, 0, 1)->last_sent = NOW - 2000;
    peer(2, 11.1, 0, 1)->last_sent = NOW - 3000;
    peer(3, 11.7, 0, 1)->last_sent = NOW - 4000;
    is_int(chosen(4, 1, 0), 1, "nearly equal: to the first");
}


/* One request after the other, to peers that are alike but for their weight. */

static void
turns(unsigned n, unsigned *had)
{
    int       best;
    unsigned  i;

    for (i = 0; i < n; i++) {
        peers[i].last_sent = NOW;
        had[i] = 0;
    }

    memset(&batch, 0, sizeof(mark_select_batch_t));
    batch.rows = 1;

    for (i = 1; i <= 600; i++) {
        batch.now = NOW + i * 10 * MS;

        mark_select(peers, n, &batch, &choice);

        best = choice.peer;
        peers[best].last_sent = batch.now;
        had[best]++;
    }
}


static void
weights(void)
{
    unsigned  i, had[3];

    for (i = 0; i < 3; i++) {
        peer(i, 10, 0, 1);
    }

    turns(3, had);
    ok(had[0] == 200 && had[1] == 200, "no weights: %u, %u and %u", had[0],
       had[1], had[2]);

    peers[0].weight = 3;
    turns(2, had);
    is_int(had[0], 450, "weights: three and one");

    peers[1].weight = 2;
    turns(3, had);
    ok(had[0] >= had[1] && had[1] > had[2] && had[2] >= 60,
       "weights: three, two and one: %u, %u and %u", had[0], had[1], had[2]);
}


static void
exploring(void)
{
    fast_and_cheap();
    peers[0].last_sent = NOW - MARK_SELECT_STALE - 1;

    is_int(chosen(2, 1, 100), 1, "stale: not each batch is for that");
    ok(!choice.explores, "stale: which says so");
    is_int(explored(2, 100), 0, "stale: the dear one is looked at again");
    ok(choice.explores && choice.meets, "stale: for that");
    is_int(explored(2, 0), 0, "stale: without a deadline");

    peers[0].last_sent = NOW - MARK_SELECT_STALE;
    is_int(explored(2, 100), 1, "not stale yet");

    peers[1].last_sent = NOW - MARK_SELECT_STALE - 1;
    is_int(explored(2, 200), 1, "stale: the other one");
    ok(choice.explores, "stale: which would have it anyway");
    is_int(explored(2, 134), 1, "stale: thrice its time is in time");
    ok(choice.explores, "stale: just");
    is_int(explored(2, 133.9), 1, "stale: and just not");
    ok(!choice.explores, "stale: no reason to explore");

    peers[0].last_sent = NOW - 2 * MARK_SELECT_STALE;
    is_int(explored(2, 200), 0, "stale: the longest first");

    peers[0].in_flight = 1;
    is_int(explored(2, 200), 1, "stale: has something");
    peers[0].in_flight = 0;
    peers[0].probe = 1;
    is_int(explored(2, 200), 1, "stale: is being probed");
    peers[0].probe = 0;
    peers[0].usable = 0;
    is_int(explored(2, 200), 1, "stale: is not usable");
    peers[0].usable = 1;
    peers[0].backup = 1;
    is_int(explored(2, 200), 1, "stale: is for emergencies");
}


int
main(void)
{
    cheapest();
    band();
    backlog();
    busy();
    limits();
    unknown();
    states();
    equals();
    weights();
    exploring();

    return done_testing();
}
