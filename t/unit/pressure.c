
/* What load reports do to a peer's share. */


#include <math.h>
#include <string.h>

#include "tap.h"
#include "mark_pressure.h"


#define MS  1000
#define S   1000000ULL


typedef struct {
    double  application;
    double  cpu;
    double  metric;       /* below 0: not in the report */
    double  low;
    double  high;
    double  want;
} case_t;


static const case_t  cases[] = {
    { 0, 0, -1, 0, 0, 1 },
    { 0.5, 0, -1, 0, 0, 1 },
    { 0.75, 0, -1, 0, 0, 0.525 },
    { 1, 0, -1, 0, 0, MARK_PRESSURE_MIN },
    { 7, 0, -1, 0, 0, MARK_PRESSURE_MIN },
    { 1e300, 0, -1, 0, 0, MARK_PRESSURE_MIN },
    { 0, 0.75, -1, 0, 0, 0.525 },              /* the CPU instead */
    { 0.1, 1, -1, 0, 0, 1 },                   /* not beside */
    { 0, 0, 1000, 0, 0, 1 },                   /* no metric is used */
    { 0, 0, -1, 100, 200, 1 },                 /* it is not there */
    { 0, 0, 100, 100, 200, 1 },
    { 0, 0, 150, 100, 200, 0.525 },
    { 0, 0, 200, 100, 200, MARK_PRESSURE_MIN },
    { 0, 0, 1e308, 100, 200, MARK_PRESSURE_MIN },
    { 0, 0, 0.25, 0, 1, 0.7625 },
    { 0.75, 0, 110, 100, 200, 0.525 },         /* the lower one */
    { 0.55, 0, 150, 100, 200, 0.525 },
    { 0, 0, 100, 100, 100, 1 },                /* a step */
    { 0, 0, 100.1, 100, 100, MARK_PRESSURE_MIN },
    { 0, 0, 150, 200, 100, 1 },
    { 0, 0, 201, 200, 100, MARK_PRESSURE_MIN }
};


static mark_pressure_t       p;
static mark_pressure_conf_t  conf;


static void
reset(void)
{
    memset(&p, 0, sizeof(p));
    memset(&conf, 0, sizeof(conf));

    conf.tau = MARK_PRESSURE_TAU;
    conf.ttl = MARK_PRESSURE_TTL;
}


static void
report(double utilization, uint64_t now)
{
    mark_orca_t  r;

    memset(&r, 0, sizeof(r));
    r.application_utilization = utilization;

    mark_pressure_report(&p, &conf, &r, now);
}


static int
is(double got, double want)
{
    return fabs(got - want) < 1e-9;
}


static void
ramps(void)
{
    size_t         i;
    double         got;
    mark_orca_t    r;
    const case_t  *c;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        c = &cases[i];

        reset();
        conf.low = c->low;
        conf.high = c->high;

        memset(&r, 0, sizeof(r));
        r.application_utilization = c->application;
        r.cpu_utilization = c->cpu;
        r.named = c->metric < 0 ? 0 : c->metric;
        r.found = c->metric >= 0;

        mark_pressure_report(&p, &conf, &r, 5 * S);
        got = mark_pressure_factor(&p, &conf, 5 * S);

        ok(is(got, c->want), "%g, %g, %g of %g to %g: %g", c->application,
           c->cpu, c->metric, c->low, c->high, got);
    }
}


static void
expiry(void)
{
    reset();

    ok(is(mark_pressure_factor(&p, &conf, 0), 1), "no report, all of it");
    ok(is(mark_pressure_factor(&p, &conf, 1000 * S), 1), "nor ever");

    report(1, 100 * S);

    ok(is(mark_pressure_factor(&p, &conf, 99 * S), 0.05), "a clock behind");
    ok(is(mark_pressure_factor(&p, &conf, 110 * S), 0.05), "ten seconds on");
    ok(is(mark_pressure_factor(&p, &conf, 115 * S), 0.525), "half forgotten");
    ok(is(mark_pressure_factor(&p, &conf, 120 * S), 1), "forgotten");
    ok(is(mark_pressure_factor(&p, &conf, UINT64_MAX), 1), "for good");

    /* the next one starts from there, and counts nearly whole after so long */

    report(1, 100000 * S);
    ok(mark_pressure_factor(&p, &conf, 100000 * S) < 0.06, "full again");

    /* half forgotten, and just so loaded: that is what it is then */

    reset();
    conf.tau = 10 * S;
    report(1, 100 * S);
    report(0.75, 115 * S);
    ok(is(mark_pressure_factor(&p, &conf, 115 * S), 0.525), "from there on");

    /* no time at all */

    conf.ttl = 0;
    ok(is(mark_pressure_factor(&p, &conf, 115 * S + 1), 1), "ttl is zero");
}


/* Whatever the interval is, it is the exponential of the time. */

static void
smoothing(void)
{
    double    error, want;
    size_t    i;
    uint64_t  now;

    const uint64_t  steps[] = { 1 * MS, 10 * MS, 50 * MS };

    for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        reset();
        report(0, 1 * S);
        error = 0;

        for (now = 1 * S + steps[i]; now < 5 * S; now += steps[i]) {
            report(1, now);
            want = 0.05 + 0.95 * exp(-((double) now - 1 * S) / conf.tau);
            error = fmax(error,
                         fabs(mark_pressure_factor(&p, &conf, now) - want));
        }

        ok(error < 0.01, "a report each %lu us: %g off at most",
           (unsigned long) steps[i], error);
    }

    reset();
    report(0, 1 * S);
    report(1, 1 * S);
    ok(is(mark_pressure_factor(&p, &conf, 1 * S), 1), "no time, no weight");

    report(1, 2 * S);
    ok(is(mark_pressure_factor(&p, &conf, 2 * S), 0.525), "tau, half of it");

    report(1, 1 * S);
    ok(is(mark_pressure_factor(&p, &conf, 2 * S), 0.525), "one from before");

    report(1, 3 * S);
    ok(mark_pressure_factor(&p, &conf, 3 * S) > 0.28, "did not stop the clock");

    conf.tau = 0;
    report(0, 3 * S);
    ok(is(mark_pressure_factor(&p, &conf, 3 * S), 1), "not smoothed");
}


/*
 * In any sequence the factor stays in its range, falls only by a report, and
 * one that is busier never has the higher one.
 */

static void
sequences(void)
{
    int                   i, range, falls, order;
    double                f, g, before, u;
    uint64_t              now, x;
    mark_pressure_t       busier;
    mark_orca_t           r;

    reset();
    memset(&busier, 0, sizeof(busier));
    memset(&r, 0, sizeof(r));

    x = 88172645463325252ULL;
    now = 0;
    range = 0;
    falls = 0;
    order = 0;

    for (i = 0; i < 200000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;

        before = mark_pressure_factor(&p, &conf, now);
        now += (x & 7) ? (x >> 8) % (300 * MS) : (x >> 8) % (30 * S);
        f = mark_pressure_factor(&p, &conf, now);
        g = mark_pressure_factor(&busier, &conf, now);

        falls += f < before - 1e-12;
        order += g > f + 1e-12;
        range += !(f >= 0.05 - 1e-12 && f <= 1 && g >= 0.05 - 1e-12);

        if (x & 16) {
            u = (x >> 40) * 0x1p-24 * 1.5;
            report(u, now);

            r.application_utilization = u * 1.2;
            mark_pressure_report(&busier, &conf, &r, now);
        }
    }

    is_int(range, 0, "out of range");
    is_int(falls, 0, "falls by itself");
    is_int(order, 0, "more for the busier one");
}


int
main(void)
{
    ramps();
    expiry();
    smoothing();
    sequences();

    return done_testing();
}
