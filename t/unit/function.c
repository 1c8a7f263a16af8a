
/* The choice among functions of several sizes, and what they cost. */


#include "tap.h"
#include "mark_function.h"


static mark_function_t  f[3];


/* 512, 1024 and 2048 MB; the time of each is usec a unit, 0: not known. */

static void
learned(unsigned small, unsigned middle, unsigned big)
{
    int       i, k;
    unsigned  usec[3] = { small, middle, big };

    memset(f, 0, sizeof(f));

    for (i = 0; i < 3; i++) {
        f[i].memory = 512 << i;

        for (k = 0; usec[i] && k < 64; k++) {
            mark_function_done(&f[i], 1 + k % 8, usec[i] * (1 + k % 8));
        }
    }
}


static void
choice(void)
{
    learned(100000, 60000, 40000);

    is_int(mark_function_choose(f, 3, 4, 0), 0, "choice: no deadline");
    is_int(mark_function_choose(f, 3, 4, 1000000), 0, "choice: in time");
    is_int(mark_function_choose(f, 3, 4, 300000), 1, "choice: the next one");
    is_int(mark_function_choose(f, 3, 4, 200000), 2, "choice: the last");
    is_int(mark_function_choose(f, 3, 4, 50000), 2,
           "choice: none is fast enough, but one is the fastest");
    is_int(mark_function_choose(f, 3, 1, 110000), 0,
           "choice: a small one is in time");

    /* twice the memory at a third of the time */

    learned(120000, 40000, 30000);
    is_int(mark_function_choose(f, 3, 4, 0), 1,
           "choice: the cheapest is not the smallest");

    learned(100000, 60000, 10000);
    f[2].failed = MARK_FUNCTION_FAILED;
    is_int(mark_function_choose(f, 3, 4, 50000), 1,
           "choice: not one that fails");

    is_int(mark_function_choose(f, 1, 4, 1), 0, "choice: of one");
}


static void
trials(void)
{
    int  i;

    learned(0, 0, 40000);

    for (i = 0; i < MARK_FUNCTION_TRIALS; i++) {
        is_int(mark_function_choose(f, 3, 1, 1), 0, "trials: the smallest");
    }

    for (i = 0; i < MARK_FUNCTION_TRIALS; i++) {
        is_int(mark_function_choose(f, 3, 1, 1), 1, "trials: the next");
    }

    is_int(mark_function_choose(f, 3, 1, 1), 2, "trials: what is known");

    mark_function_done(&f[0], 1, 50000);
    is_int(mark_function_choose(f, 3, 1, 1), 0, "trials: one came back");

    mark_function_left(&f[0]);
    is_int(f[0].failed, 0, "trials: to leave is not to fail");
    is_int(mark_function_choose(f, 3, 1, 1), 0, "trials: one was left");

    for (i = 0; i < MARK_FUNCTION_FAILED; i++) {
        mark_function_done(&f[0], 1, 0);
    }

    f[1].trials = MARK_FUNCTION_TRIALS;
    is_int(mark_function_choose(f, 3, 1, 1), 2, "trials: not what fails");

    mark_function_done(&f[0], 1, 50000);
    is_int(mark_function_choose(f, 3, 1, 1), 0, "trials: what recovered");

    learned(0, 0, 0);

    for (i = 0; i < 3 * MARK_FUNCTION_TRIALS; i++) {
        (void) mark_function_choose(f, 3, 1, 1);
    }

    is_int(mark_function_choose(f, 3, 1, 1), 2,
           "trials: the largest while nothing is known");
}


/* One that has become faster is found out. */

static void
again(void)
{
    int  i, seen;

    learned(100000, 60000, 40000);

    seen = 0;

    for (i = 0; i < MARK_FUNCTION_AGAIN; i++) {
        seen += (mark_function_choose(f, 2, 1, 70000) == 0);
    }

    is_int(seen, 1, "again: once in a while");

    for (i = 0; i < 100; i++) {
        if (mark_function_choose(f, 2, 1, 70000) == 0) {
            break;
        }

        mark_function_done(&f[0], 1, 10000);
    }

    ok(i < 100, "again: it is fast now");
}


static int
report(mark_function_report_t *r, const char *log)
{
    return mark_function_report(r, (const uint8_t *) log, strlen(log));
}


static void
costs(void)
{
    mark_function_price_t   price = { 0.0000166667, 0.0000002 };
    mark_function_report_t  r;

    is_int(mark_function_cost(&price, 1024, 1000), 16867, "cost: a GB second");
    is_int(mark_function_cost(&price, 128, 4), 208, "cost: hardly any");
    is_int(mark_function_cost(&price, 10240, 900000), 150000500,
           "cost: all that there is");

    is_int(report(&r, "START RequestId: 1\nREPORT RequestId: 1-2\t"
                  "Duration: 3.21 ms\tBilled Duration: 4 ms\t"
                  "Memory Size: 512 MB\tMax Memory Used: 34 MB\t\n"),
           0, "report: found");
    is_int(r.billed, 4, "report: billed");
    is_int(r.memory, 512, "report: memory");

    is_int(report(&r, "REPORT RequestId: 1\tBilled Duration: 4.2 ms\t"
                  "Memory Size: 128 MB"), 0, "report: a fraction");
    is_int(r.billed, 5, "report: what is started is billed");

    is_int(report(&r, ""), -1, "report: nothing");
    is_int(report(&r, "REPORT RequestId: 1\tBilled Duration: "), -1,
           "report: cut");
    is_int(report(&r, "REPORT RequestId: 1\tBilled Duration: 4 ms\n"
                  "Memory Size: 512 MB"), -1, "report: another line");
    is_int(report(&r, "REPORT RequestId: 1\tBilled Duration: "
                  "99999999999 ms\tMemory Size: 1 MB"), -1, "report: no end");
}


int
main(void)
{
    choice();
    trials();
    again();
    costs();

    return done_testing();
}
