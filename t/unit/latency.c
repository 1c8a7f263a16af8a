
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
        mark_latency_observe(l, k, (uint64_t) (a + b * k + spread * noise()));
    }
}


static int
near(double got, double want, double share)
{
    return fabs(got - want) <= want * share;
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
        mark_latency_observe(&l, 16, (uint64_t) t);
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

    return done_testing();
}
