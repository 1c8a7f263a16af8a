
/* The learned latency of a batch. */


#include <math.h>

#include "tap.h"
#include "mark_latency.h"


static unsigned  seed = 1;


static double
noise(void)
{
    seed = seed * 1103515245 + 12345;

    return ((seed >> 16) % 2001) / 1000.0 - 1;
}


static void
learn(mark_latency_t *l, double a, double b, double spread, int rows, int n)
{
    int  i, k;

    for (i = 0; i < n; i++) {
        k = rows ? rows : 1 + i % 32;
        mark_latency_observe(l, k, (uint64_t) (a + b * k + spread * noise()),
                             1);
    }
}


static int
near(double got, double want, double share)
{
    return fabs(got - want) <= want * share;
}


/* The most rows whose bound is within a time. */

static void
rows(void)
{
    mark_latency_t  l;

    mark_latency_init(&l);
    is_int(mark_latency_rows(&l, 1000000), 0, "rows: not known");

    learn(&l, 10000, 500, 0, 0, 100);
    l.a = 10000;
    l.b = 500;
    l.residual = 0;

    is_int(mark_latency_rows(&l, 26000), 32, "rows: exactly");
    is_int(mark_latency_rows(&l, 25999), 31, "rows: just not");
    is_int(mark_latency_rows(&l, 10500), 1, "rows: one, exactly");
    is_int(mark_latency_rows(&l, 10499), 0, "rows: not even one");
    is_int(mark_latency_rows(&l, 0), 0, "rows: in no time");

    l.residual = 1000;
    is_int(mark_latency_rows(&l, 26000), 30, "rows: with the residual");

    l.b = 0;
    ok(mark_latency_rows(&l, 11000) == UINT32_MAX, "rows: any number");
    is_int(mark_latency_rows(&l, 10999), 0, "rows: none");

    l.b = 1e-9;
    ok(mark_latency_rows(&l, UINT64_MAX) == UINT32_MAX, "rows: very many");
}


/* Batches that a peer takes at one time. */

static void
limit(void)
{
    int             i;
    mark_latency_t  l;

    mark_latency_init(&l);
    is_int(mark_latency_limit(&l), 1, "limit: one at first");
    is_int(mark_latency_usual(&l), 0, "usual: nothing was seen");

    mark_latency_observe(&l, 4, 5000, 1);
    mark_latency_observe(&l, 8, 5000, 1);
    is_int(mark_latency_usual(&l), 5000, "usual: before the line is known");

    mark_latency_init(&l);
    learn(&l, 10000, 500, 0, 0, 20);
    ok(mark_latency_limit(&l) >= 2, "limit: another one is tried");

    /* a peer that takes eight: with nine one of them waits */

    for (i = 0; i < 300; i++) {
        unsigned  k = mark_latency_limit(&l);

        mark_latency_observe(&l, 16, k > 8 ? 36000 : 18000, k);
    }

    ok(mark_latency_limit(&l) >= 7 && mark_latency_limit(&l) <= 9,
       "limit: %u of eight", mark_latency_limit(&l));

    /* which then takes only one */

    for (i = 0; i < 30; i++) {
        unsigned  k = mark_latency_limit(&l);

        mark_latency_observe(&l, 16, 18000 * k, k);
    }

    ok(mark_latency_limit(&l) <= 2, "limit: %u of one", mark_latency_limit(&l));
    ok(near(mark_latency_mean(&l, 16), 18000, 0.05),
       "limit: a wait at the backend is no part of T(n)");

    /* what was never alone for long must be */

    l.limit = 2.5;

    for (i = 0; i < 81; i++) {
        mark_latency_observe(&l, 16, 18000, 2);
        l.limit = 2.5;
    }

    is_int(mark_latency_limit(&l), 1, "limit: time to look again");
    mark_latency_observe(&l, 16, 18000, 1);
    is_int(mark_latency_limit(&l), 2, "limit: which was done");

    for (i = 0; i < 100000; i++) {
        mark_latency_observe(&l, 16, 18000, 2 * MARK_LATENCY_LIMIT);
        mark_latency_observe(&l, 16, 18000, 1);
    }

    ok(mark_latency_limit(&l) <= MARK_LATENCY_LIMIT, "limit: has one");
}


static void
outliers(void)
{
    int             i;
    mark_latency_t  l;

    mark_latency_init(&l);
    learn(&l, 10000, 500, 100, 0, 200);

    mark_latency_observe(&l, 16, 10000000, 1);
    ok(mark_latency_mean(&l, 16) < 21000, "one that hung is one of many");

    /* slower for good */

    learn(&l, 40000, 2000, 0, 0, 150);
    ok(near(mark_latency_mean(&l, 16), 72000, 0.1), "four times slower");

    /* and faster: a few, one a second, must do */

    for (i = 0; i < 3; i++) {
        mark_latency_observe(&l, 1, 10500, 1);
    }

    ok(mark_latency_mean(&l, 1) < 20000, "fast again: %lu us",
       (unsigned long) mark_latency_mean(&l, 1));
}


/* Somebody's word, and what becomes of it. */

static void
prior(void)
{
    mark_latency_t  l;

    learn(&l, 90000, 0, 0, 0, 20);
    mark_latency_prior(&l, 10000, 500, 2000);

    ok(mark_latency_known(&l), "prior: known at once");
    is_int(mark_latency_mean(&l, 1), 10500, "prior: T(1)");
    is_int(mark_latency_mean(&l, 32), 26000, "prior: T(32)");
    is_int(mark_latency_bound(&l, 32), 28000, "prior: with the residual");
    is_int(mark_latency_limit(&l), 1, "prior: one batch at a time");
    ok(mark_latency_pays(&l, 32), "prior: batches pay");

    learn(&l, 10000, 500, 0, 0, 50);
    ok(near(mark_latency_mean(&l, 16), 18000, 0.01), "prior: confirmed");

    mark_latency_prior(&l, 10000, 500, 2000);
    learn(&l, 40000, 2000, 0, 0, 20);
    ok(near(mark_latency_mean(&l, 16), 72000, 0.15), "prior: too fast, %lu us",
       (unsigned long) mark_latency_mean(&l, 16));

    mark_latency_prior(&l, 40000, 2000, 0);
    learn(&l, 10000, 500, 0, 0, 32);
    ok(near(mark_latency_mean(&l, 16), 18000, 0.15), "prior: too slow, %lu us",
       (unsigned long) mark_latency_mean(&l, 16));

    /* a peer that is said to take no time, or none for a row */

    mark_latency_prior(&l, 0, 0, 0);
    ok(mark_latency_known(&l), "prior: of nothing");
    is_int(mark_latency_bound(&l, 8), 0, "prior: nothing");
    learn(&l, 10000, 500, 0, 0, 64);
    ok(near(mark_latency_mean(&l, 16), 18000, 0.2), "prior: something, %lu us",
       (unsigned long) mark_latency_mean(&l, 16));
}


int
main(void)
{
    int             i, over;
    mark_latency_t  l;

    mark_latency_init(&l);

    ok(!mark_latency_known(&l), "nothing is known at first");
    is_int(mark_latency_mean(&l, 8), 0, "so nothing is foretold");
    is_int(mark_latency_bound(&l, 8), 0, "nor bounded");
    ok(mark_latency_pays(&l, 8), "and batching is presumed to pay");

    learn(&l, 10000, 500, 0, 0, MARK_LATENCY_WARM);

    ok(mark_latency_known(&l), "known after a few");
    ok(near(mark_latency_mean(&l, 1), 10500, 0.01), "T(1)");
    ok(near(mark_latency_mean(&l, 32), 26000, 0.01), "T(32)");
    ok(mark_latency_pays(&l, 32), "which pays");

    learn(&l, 10000, 500, 2000, 0, 500);

    ok(near(mark_latency_mean(&l, 16), 18000, 0.1), "T(16) in noise");

    over = 0;

    for (i = 0; i < 1000; i++) {
        double  t = 10000 + 500 * 16 + 2000 * noise();

        over += t > mark_latency_bound(&l, 16);
        mark_latency_observe(&l, 16, (uint64_t) t, 1);
    }

    ok(over > 10 && over < 150, "about 1 of 20 is over the bound: %d of 1000",
       over);

    /* the backend becomes twice as slow */

    learn(&l, 20000, 1000, 100, 0, 200);
    ok(near(mark_latency_mean(&l, 16), 36000, 0.1), "it follows");

    /* batches of one size keep the slope they had */

    learn(&l, 20000, 1000, 0, 8, 200);
    ok(near(mark_latency_mean(&l, 8), 28000, 0.05), "one size: T(8)");
    ok(near(mark_latency_mean(&l, 32), 52000, 0.25), "one size: T(32)");

    mark_latency_init(&l);
    learn(&l, 10, 1000, 0, 0, 100);
    ok(!mark_latency_pays(&l, 32), "all rows, no gain");

    mark_latency_init(&l);
    learn(&l, 50000, -1000, 0, 0, 100);
    ok(l.b >= 0 && mark_latency_mean(&l, 32) > 0, "no negative slope");

    rows();
    limit();
    outliers();
    prior();

    return done_testing();
}
