
/* The choice of a peer: what holds for any pool, and the same worked out. */


#include <stdlib.h>

#include "select.h"


static unsigned
below(unsigned n)
{
    return (unsigned) (random() % n);
}


static unsigned
random_pool(void)
{
    unsigned            i, n;
    mark_select_peer_t  *p;

    n = 1 + below(PEERS);

    for (i = 0; i < n; i++) {
        p = peer(i, below(5) ? 1 + below(60) : 0, below(40) / 10.0,
                 below(3) ? below(50) / 10.0 : 0);

        p->share = below(3) ? 1 : (1 + below(10)) / 10.0;
        p->weight = below(2) ? 1 : 1 + below(5);
        p->concurrency = below(5);
        p->in_flight = below(2) ? 0 : below(6);
        p->max_rows = below(3) ? 0 : 1 + below(16);
        p->free_at = NOW + below(80 * MS) - 20 * MS;
        p->last_sent = NOW - below(2 * MARK_SELECT_STALE);
        p->usable = below(4) != 0;
        p->backup = below(4) == 0;
        p->probe = below(8) == 0;
    }

    memset(&batch, 0, sizeof(mark_select_batch_t));

    batch.now = NOW;
    batch.rows = 1 + below(32);
    batch.deadline = below(5) ? NOW + below(200 * MS) : 0;
    batch.explore = below(4) == 0;

    return n;
}


static unsigned
rows_of(const mark_select_peer_t *p, unsigned rows)
{
    return (p->max_rows && p->max_rows < rows) ? p->max_rows : rows;
}


static double
time_of(const mark_select_peer_t *p)
{
    return mark_latency_bound(p->latency, rows_of(p, batch.rows)) / p->share;
}


static double
finish_of(const mark_select_peer_t *p)
{
    uint64_t  start;

    start = mark_select_start(p, NOW);

    return start + time_of(p)
           + (start > NOW && !mark_latency_known(p->latency)
              ? MARK_SELECT_PATIENCE : 0);
}


static double
cost_of(const mark_select_peer_t *p)
{
    unsigned  rows;

    rows = rows_of(p, batch.rows);

    return p->price * mark_latency_mean(p->latency, rows) / rows;
}


static int
candidate(unsigned n, unsigned i)
{
    unsigned  k;

    for (k = 0; k < n && peers[i].backup; k++) {
        if (peers[k].usable && !peers[k].backup) {
            return 0;
        }
    }

    return peers[i].usable;
}


static int
in_time(const mark_select_peer_t *p)
{
    uint64_t  finish, doubt;

    finish = finish_of(p);
    doubt = (uint64_t) (MARK_SELECT_DOUBT * (finish - NOW));

    return batch.deadline > NOW
           && (mark_latency_known(p->latency)
               || mark_select_start(p, NOW) == NOW)
           && finish + doubt + MARK_SELECT_MARGIN <= batch.deadline;
}


static void
properties(void)
{
    int                   best;
    double                cost, finish, slack;
    unsigned              i, n, round, meets;
    unsigned              unusable, missed, dear, early, again, stricter, late;
    mark_select_choice_t  other;

    unusable = missed = dear = early = again = stricter = 0;
    late = 0;

    for (round = 0; round < 100000; round++) {
        n = random_pool();

        mark_select(peers, n, &batch, &choice);

        best = -1;
        cost = -1;
        finish = -1;
        slack = 0;
        meets = 0;

        for (i = 0; i < n; i++) {
            if (!candidate(n, i)) {
                continue;
            }

            best = i;

            if (finish < 0 || finish_of(&peers[i]) < finish) {
                finish = finish_of(&peers[i]);
                slack = time_of(&peers[i]) / 16;
            }

            if (in_time(&peers[i])) {
                meets = 1;

                if (cost < 0 || cost_of(&peers[i]) < cost) {
                    cost = cost_of(&peers[i]);
                }
            }
        }

        if (choice.peer == -1 || best == -1) {
            unusable += (choice.peer != best);
            continue;
        }

        unusable += !candidate(n, choice.peer);
        missed += meets && !(in_time(&peers[choice.peer]) && choice.meets);
        missed += batch.deadline && !meets && choice.meets;
        early += choice.start < NOW || choice.finish < choice.start;

        if (meets && !choice.explores) {
            dear += cost_of(&peers[choice.peer])
                    > cost * MARK_SELECT_BAND * 1.000001;
        }

        if (!meets && !choice.explores) {
            late += finish_of(&peers[choice.peer]) > finish + slack + 2;
        }

        mark_select(peers, n, &batch, &other);
        again += memcmp(&choice, &other, sizeof(choice)) != 0;

        if (batch.deadline == 0) {
            continue;
        }

        /* with more time no less is met, for no more money but the band's */

        cost = cost_of(&peers[choice.peer]);
        batch.deadline += below(100 * MS);
        batch.explore = 0;

        mark_select(peers, n, &batch, &other);

        stricter += choice.meets && !other.meets;
        stricter += choice.meets && !choice.explores
                    && cost_of(&peers[other.peer])
                       > cost * MARK_SELECT_BAND * 1.000001;
    }

    is_int(unusable, 0, "random: always one that is usable");
    is_int(missed, 0, "random: in time if any is");
    is_int(dear, 0, "random: as cheap as any in time");
    is_int(late, 0, "random: if not in time, as soon as possible");
    is_int(early, 0, "random: nothing before its time");
    is_int(again, 0, "random: the same again");
    is_int(stricter, 0, "random: more time does no harm");
}


/* Each place of each peer has one batch after the other. */

static double
simulated(unsigned n, unsigned ahead, unsigned full, double *longest)
{
    double    end[PEERS][8], time, first;
    unsigned  i, k, rows, best, place;

    for (i = 0; i < n; i++) {
        for (k = 0; k < 8; k++) {
            end[i][k] = mark_select_start(&peers[i], NOW);
        }
    }

    for ( ;; ) {
        first = -1;
        best = 0;
        place = 0;

        for (i = 0; i < n; i++) {
            if (!candidate(n, i)) {
                continue;
            }

            time = mark_latency_mean(peers[i].latency,
                                     rows_of(&peers[i], full))
                   / peers[i].share;

            for (k = 0; k < mark_select_limit(&peers[i]); k++) {
                if (first < 0 || end[i][k] + time < first) {
                    first = end[i][k] + time;
                    best = i;
                    place = k;
                }
            }

            if (time > *longest) {
                *longest = time;
            }
        }

        rows = rows_of(&peers[best], full);

        if (ahead < rows) {
            return first;
        }

        ahead -= rows;
        end[best][place] = first;
    }
}


static void
finishing(void)
{
    double    want, got, longest;
    unsigned  i, n, round, ahead, full, before, after, one, never, known;
    unsigned  rounds;
    uint64_t  work[PEERS];

    is_int(mark_select_finish(peers, 0, NOW, 0, 8, work) == UINT64_MAX, 1,
           "finish: no peers");

    peer(0, 10, 1, 10);
    peer(1, 40, 4, 1);
    ok(mark_select_finish(peers, 2, NOW, 0, 10, work) == NOW + 20 * MS,
       "finish: the first row");
    ok(mark_select_finish(peers, 2, NOW, 9, 10, work) == NOW + 20 * MS,
       "finish: the last of its batch");
    ok(mark_select_finish(peers, 2, NOW, 10, 10, work) / 10
       == (NOW + 40 * MS) / 10, "finish: the next batch");

    peers[1].usable = 0;
    peers[0].usable = 0;
    ok(mark_select_finish(peers, 2, NOW, 0, 10, work) == UINT64_MAX,
       "finish: none is usable");

    before = after = one = never = rounds = 0;

    for (round = 0; round < 20000; round++) {
        n = random_pool();
        ahead = below(300);
        full = 1 + below(32);
        known = 1;
        longest = 0;

        for (i = 0; i < n; i++) {
            if (candidate(n, i) && !mark_latency_known(&latencies[i])) {
                known = 0;
            }

            if (round % 2) {
                peers[i].concurrency = 1;
            }
        }

        for (i = 0; i < n && !candidate(n, i); i++) { /* void */ }

        got = mark_select_finish(peers, n, NOW, ahead, full, work);

        if (!known || i == n) {
            never += (got != (double) UINT64_MAX);
            continue;
        }

        rounds++;
        want = simulated(n, ahead, full, &longest);

        if (round % 2) {

            /* a microsecond a batch is for rounding */

            one += (got < want - 2 || got > want + 2 * ahead + 2);
            continue;
        }

        /* several at one time are thought to follow each other evenly */

        before += (got < want - 2);
        after += (got > want + longest + 2 * ahead + 2);
    }

    ok(rounds > 1000, "finish: %u of them simulated", rounds);
    is_int(one, 0, "finish: one at a time");
    is_int(before, 0, "finish: several at a time, never too soon");
    is_int(after, 0, "finish: several at a time, late by less than one");
    is_int(never, 0, "finish: what is not known may be any time");
}


int
main(void)
{
    properties();
    finishing();

    return done_testing();
}
