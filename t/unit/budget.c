
/* The bounds of an overflow: requests a second, in flight, money an hour. */


#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "mark_budget.h"


#define MS      1000ULL
#define S       1000000ULL
#define MINUTE  (60 * S)
#define HOUR    (60 * MINUTE)

#define NONE    MARK_BUDGET_UNLIMITED


static mark_budget_t         b;
static mark_budget_limits_t  limits;


static void
reset(uint64_t rate, uint64_t concurrency, uint64_t cost)
{
    memset(&b, 0, sizeof(b));

    limits.rate = rate;
    limits.concurrency = concurrency;
    limits.cost = cost;
}


static void
take(mark_budget_status_t want, uint64_t now, uint64_t expected,
    const char *what)
{
    is_int(mark_budget_take(&b, &limits, now, expected), want, "%s", what);
}


static unsigned
burst(uint64_t now)
{
    unsigned  n;

    for (n = 0; n < 100000; n++) {
        if (mark_budget_take(&b, &limits, now, 0) != MARK_BUDGET_OK) {
            break;
        }
    }

    return n;
}


static void
rate(void)
{
    reset(0, NONE, NONE);
    take(MARK_BUDGET_RATE, 1000 * S, 0, "no rate, no request");

    reset(5000, NONE, NONE);
    is_int(burst(1000 * S), 5, "five a second");
    is_int(burst(1000 * S + 199 * MS), 0, "not yet");
    is_int(burst(1000 * S + 200 * MS), 1, "the sixth");
    is_int(burst(1000 * S), 0, "by a clock behind");
    is_int(burst(5000 * S), 5, "no more after a long time");
    is_int(burst(UINT64_MAX), 5, "or the longest");

    reset(1500, NONE, NONE);
    is_int(burst(S), 1, "one and a half: one");
    is_int(burst(S + 333333), 0, "and the other half");
    is_int(burst(S + 333334), 1, "is there after a third of a second");

    reset(300, NONE, NONE);
    is_int(burst(S), 1, "one in three and a third seconds");
    is_int(burst(S + 3333333), 0, "is not one a microsecond");
    is_int(burst(S + 3333334), 1, "before");

    reset(1, NONE, NONE);
    is_int(burst(0), 1, "one in 1000 s, at any time");
    is_int(burst(1000 * S - 1), 0, "is one in 1000 s");
    is_int(burst(1000 * S), 1, "exactly");

    reset(1000000000000ULL, NONE, NONE);
    is_int(burst(S), 100000, "the highest rate");

    /* another plan: less room than is taken, then more */

    reset(10000, NONE, NONE);
    is_int(burst(S), 10, "ten a second");
    limits.rate = 2000;
    is_int(burst(S + 4 * S), 0, "two: eight too many");
    is_int(burst(S + 4 * S + 500 * MS), 1, "which take four seconds");
    limits.rate = 20000;
    is_int(burst(S + 4 * S + 500 * MS), 18, "twenty: two are taken");
    limits.rate = 0;
    is_int(burst(100 * S), 0, "none");
    limits.rate = NONE;
    is_int(burst(100 * S), 100000, "any number");
    limits.rate = 20000;
    is_int(burst(100 * S), 0, "but what was taken is not forgotten");
}


static void
concurrency(void)
{
    reset(NONE, 0, NONE);
    take(MARK_BUDGET_CONCURRENCY, S, 0, "none in flight");

    reset(NONE, 2, NONE);
    is_int(burst(S), 2, "two in flight");
    mark_budget_settle(&b, S, 0, 0);
    is_int(burst(S), 1, "one came back");
    mark_budget_cancel(&b, 0);
    is_int(burst(S), 1, "one was not sent");
    mark_budget_forfeit(&b, S, 2, 0);
    is_int(burst(S), 2, "two were a process's that died");

    limits.concurrency = 1;
    mark_budget_settle(&b, S, 0, 0);
    take(MARK_BUDGET_CONCURRENCY, S, 0, "another plan: one");
    mark_budget_settle(&b, S, 0, 0);
    take(MARK_BUDGET_OK, S, 0, "is back");

    mark_budget_settle(&b, S, 0, 0);
    mark_budget_settle(&b, S, 0, 0);
    is_int(b.in_flight, 0, "never less than none");

    reset(5000, 2, NONE);
    is_int(burst(S), 2, "two in flight, of five a second");
    mark_budget_settle(&b, S, 0, 0);
    mark_budget_settle(&b, S, 0, 0);
    limits.concurrency = NONE;
    is_int(burst(S), 3, "those refused took nothing of it");
}


static void
money(void)
{
    reset(NONE, NONE, 0);
    take(MARK_BUDGET_OK, S, 0, "no money: free of charge");
    take(MARK_BUDGET_COST, S, 1, "or not at all");

    reset(NONE, NONE, 100);
    take(MARK_BUDGET_COST, S, 101, "more than there is");
    take(MARK_BUDGET_COST, S, UINT64_MAX, "much more");
    take(MARK_BUDGET_OK, S, 60, "60");
    take(MARK_BUDGET_COST, S, 41, "41 are too many");
    take(MARK_BUDGET_OK, S, 40, "40 are not");
    mark_budget_settle(&b, S, 60, 30);
    take(MARK_BUDGET_COST, S, 31, "the first cost half of that");
    take(MARK_BUDGET_OK, S, 30, "and leaves room");
    mark_budget_cancel(&b, 30);
    take(MARK_BUDGET_OK, S, 30, "as one does that was not sent");

    is_int(b.reserved, 70, "reserved");
    is_int(mark_budget_spent(&b, S), 30, "spent");

    take(MARK_BUDGET_COST, 10 * HOUR, 31, "in flight for long: reserved");

    mark_budget_settle(&b, 10 * HOUR, 40, 40);
    mark_budget_settle(&b, 10 * HOUR, 30, 30);
    is_int(mark_budget_spent(&b, 10 * HOUR), 70, "paid when it is over");
    take(MARK_BUDGET_OK, 10 * HOUR, 30, "the first is forgotten");
    mark_budget_cancel(&b, 30);

    take(MARK_BUDGET_COST, 11 * HOUR - 1, 31, "an hour on");
    take(MARK_BUDGET_COST, 11 * HOUR + MINUTE - 1, 31, "nearly a minute more");
    take(MARK_BUDGET_OK, 11 * HOUR + MINUTE, 100, "all of it");
    take(MARK_BUDGET_COST, 10 * HOUR, 1, "not for a clock behind");

    mark_budget_settle(&b, 10 * HOUR, 100, 100);
    is_int(mark_budget_spent(&b, 12 * HOUR), 100, "nor forgotten by one");

    /* more than was expected, and a process that died */

    reset(NONE, NONE, 100);
    take(MARK_BUDGET_OK, S, 10, "10");
    mark_budget_settle(&b, S, 10, UINT64_MAX);
    take(MARK_BUDGET_COST, S, 0, "were all the money in the world");
    mark_budget_settle(&b, S, 10, 10);
    is_int(mark_budget_spent(&b, S) == UINT64_MAX, 1, "and are that still");

    reset(NONE, NONE, 100);
    take(MARK_BUDGET_OK, S, 30, "30");
    take(MARK_BUDGET_OK, S, 30, "and 30");
    mark_budget_forfeit(&b, S, 2, 60);
    is_int(b.reserved, 0, "of a process that died");
    is_int(mark_budget_spent(&b, S), 60, "are spent");

    /* another plan */

    limits.cost = 50;
    take(MARK_BUDGET_COST, S, 0, "less than is spent: not even for nothing");
    limits.cost = NONE;
    take(MARK_BUDGET_OK, S, UINT64_MAX, "no limit");
    take(MARK_BUDGET_OK, S, UINT64_MAX, "none at all");
}


static void
made(void)
{
    size_t                i;
    mark_budget_limits_t  l;

    static const struct {
        double                rate, concurrency, dollars;
        int                   rc;
        mark_budget_limits_t  want;
    } cases[] = {
        { 0, 0, 0, 0, { 0, 0, 0 } },
        { 1.001, 7.9, 0.29, 0, { 1001, 7, 290000000 } },
        { 0.001, 1, 1e-9, 0, { 1, 1, 1 } },
        { 0.0009, 1, 9e-10, 0, { 0, 1, 0 } },
        { 20, 64, 12.5, 0, { 20000, 64, 12500000000ULL } },
        { INFINITY, INFINITY, INFINITY, 0, { NONE, NONE, NONE } },
        { 1e300, 1e300, 1e300, 0, { NONE, NONE, NONE } },
        { -1, 1, 1, -1, { 0, 0, 0 } },
        { 1, -1, 1, -1, { 0, 0, 0 } },
        { 1, 1, -1, -1, { 0, 0, 0 } },
        { NAN, 1, 1, -1, { 0, 0, 0 } },
        { 1, NAN, 1, -1, { 0, 0, 0 } },
        { 1, 1, NAN, -1, { 0, 0, 0 } }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memset(&l, 0xff, sizeof(l));

        is_int(mark_budget_limits(&l, cases[i].rate, cases[i].concurrency,
                                  cases[i].dollars), cases[i].rc,
               "%g a second, %g at one time, %g $ an hour", cases[i].rate,
               cases[i].concurrency, cases[i].dollars);
        ok(memcmp(&l, &cases[i].want, sizeof(l)) == 0, "its limits");
    }
}


/*
 * All that ever happened, in a list: from that it is told whether a request
 * may be taken, and no more is ever taken than the limits say.
 */

#define EVENTS  6000

typedef struct {
    uint64_t  at;
    uint64_t  expected;
    uint64_t  over;       /* 0: in flight */
    uint64_t  actual;
} request_t;

static request_t  all[EVENTS];
static unsigned   nall;


/*
 * A token bucket is this: from each request to any later one there are no
 * more than it holds, and what came in between.
 */

static int
model_rate(uint64_t now)
{
    double    size, n;
    unsigned  i;

    size = limits.rate / 1e3;
    size = size < 1 ? 1 : size;

    for (i = 0; i < nall; i++) {
        n = nall - i + 1;

        if (n > size + (now - all[i].at) * 1e-6 * limits.rate / 1e3 + 1e-7) {
            return 0;
        }
    }

    return 1;
}


static mark_budget_status_t
model(uint64_t now, uint64_t expected)
{
    unsigned  i, in_flight;
    uint64_t  money;

    if (!model_rate(now)) {
        return MARK_BUDGET_RATE;
    }

    in_flight = 0;
    money = expected;

    for (i = 0; i < nall; i++) {
        if (all[i].over == 0) {
            in_flight++;
            money += all[i].expected;

        } else if (all[i].over / MINUTE + 60 >= now / MINUTE) {
            money += all[i].actual;
        }
    }

    if (in_flight >= limits.concurrency) {
        return MARK_BUDGET_CONCURRENCY;
    }

    return money > limits.cost ? MARK_BUDGET_COST : MARK_BUDGET_OK;
}


/* The most that was spent in an hour, by when it began or when it was over. */

static uint64_t
hours(int began)
{
    unsigned  i, k;
    uint64_t  sum, most, from, at;

    most = 0;

    for (i = 0; i < nall; i++) {
        from = began ? all[i].at : all[i].over;
        sum = 0;

        for (k = 0; k < nall; k++) {
            at = began ? all[k].at : all[k].over;

            if (all[k].over && at >= from && at - from < HOUR) {
                sum += all[k].actual;
            }
        }

        most = sum > most ? sum : most;
    }

    return most;
}


static void
sequences(uint64_t rate, uint64_t concurrency, uint64_t cost, uint64_t pause)
{
    int                    i, wrong, got, n[4];
    unsigned               k;
    uint64_t               x, now, expected;
    mark_budget_status_t   want;

    reset(rate, concurrency, cost);
    nall = 0;
    wrong = 0;
    memset(n, 0, sizeof(n));
    now = 123456789;
    x = 88172645463325252ULL + rate;

    for (i = 0; i < EVENTS; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;

        now += (x & 511) == 0 ? (x >> 16) % (90 * MINUTE)
                              : (x >> 16) % (2 * pause);

        if (x & 512) {
            expected = (x >> 40) % 1000;
            want = model(now, expected);
            got = mark_budget_take(&b, &limits, now, expected);

            wrong += got != (int) want;
            n[want]++;

            if (want == MARK_BUDGET_OK) {
                all[nall].at = now;
                all[nall].expected = expected;
                all[nall].over = 0;
                all[nall].actual = 0;
                nall++;
            }

            continue;
        }

        /* one is over, and cost no more than was expected */

        for (k = nall ? (x >> 24) % nall : 0; k < nall && all[k].over; k++) {
            /* void */
        }

        if (k == nall) {
            continue;
        }

        all[k].over = now;

        if ((x >> 33) % 8 == 0) {
            mark_budget_cancel(&b, all[k].expected);

        } else {
            all[k].actual = all[k].expected - (x >> 48) % (all[k].expected / 4
                                                           + 1);
            mark_budget_settle(&b, now, all[k].expected, all[k].actual);
        }
    }

    is_int(wrong, 0, "%u/1000 a second, %u in flight, %lu an hour:"
           " %d taken, refused %d %d %d", (unsigned) rate,
           (unsigned) concurrency, (unsigned long) cost, n[MARK_BUDGET_OK],
           n[MARK_BUDGET_RATE], n[MARK_BUDGET_CONCURRENCY],
           n[MARK_BUDGET_COST]);

    ok(hours(0) <= cost && hours(1) <= cost, "no hour is over the budget");
    ok(hours(0) > cost / 2 || n[MARK_BUDGET_COST] == 0, "which is used");
    ok(n[MARK_BUDGET_OK] > 100
       && n[MARK_BUDGET_RATE] + n[MARK_BUDGET_CONCURRENCY]
          + n[MARK_BUDGET_COST] > 100, "and not free of refusals");
}


int
main(void)
{
    rate();
    concurrency();
    money();
    made();

    /* each bound is met most in one of them, and all are in the last */

    sequences(20000, 1000000, 1000000000, 10 * MS);
    sequences(300, 1000000, 1000000000, S);
    sequences(1000000, 12, 1000000000, S);
    sequences(1000000, 1000000, 20000, 20 * S);
    sequences(1000000, 1000000, 12000, 60 * S);
    sequences(60, 4, 25000, 12 * S);

    return done_testing();
}
