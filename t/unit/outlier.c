
/* Which peers are ejected, for how long, and how they come back. */


#include <math.h>
#include <string.h>

#include "tap.h"
#include "mark_outlier.h"
#include "mark_slowstart.h"


#define MS  1000ULL
#define S   1000000ULL


static const mark_outlier_conf_t  conf = {
    MARK_OUTLIER_ERRORS, MARK_OUTLIER_FAILURES, MARK_OUTLIER_BASE,
    MARK_OUTLIER_MAX, MARK_OUTLIER_CALM
};

static mark_outlier_t  o;
static uint64_t        now;


static int
event(mark_outlier_event_t e)
{
    return mark_outlier_event(&o, &conf, e, now, 1, now);
}


static void
reset(void)
{
    memset(&o, 0, sizeof(o));
    now = 1000 * S;
}


/* After a letter an event: what must be so at the end. */

static void
thresholds(void)
{
    int          ejected;
    size_t       i;
    const char  *p;

    static const struct {
        const char  *events;
        int          ejected;
    } cases[] = {
        { "FF", 0 }, { "FFF", 1 }, { "5555", 0 }, { "55555", 1 },
        { "S", 1 }, { "AAAAAAAA", 0 }, { "OOO", 0 }, { "FFOFF", 0 },
        { "FF5FF", 1 }, { "FF5F", 0 }, { "5F5F5", 1 }, { "5555O5555", 0 },
        { "FFAF", 1 }, { "OFFF", 1 }, { "55OS", 1 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        reset();
        ejected = 0;

        for (p = cases[i].events; *p; p++) {
            now += MS;
            ejected += event(*p == 'O' ? MARK_OUTLIER_OK
                             : *p == '5' ? MARK_OUTLIER_5XX
                             : *p == 'F' ? MARK_OUTLIER_FAILURE
                             : *p == 'S' ? MARK_OUTLIER_STALLED
                             : MARK_OUTLIER_ABANDONED);
        }

        is_int(ejected, cases[i].ejected, "%s", cases[i].events);
        is_int(mark_outlier_status(&o, now) == MARK_OUTLIER_EJECTED,
               cases[i].ejected, "its status");
    }
}


static void
life(void)
{
    uint64_t  sent;

    reset();
    ok(mark_outlier_may_try(&o, &conf, now), "healthy at first");

    sent = now;
    now += 10 * MS;
    is_int(event(MARK_OUTLIER_STALLED), 1, "stalled");
    ok(!mark_outlier_may_try(&o, &conf, now), "no more for it");
    ok(!mark_outlier_may_try(&o, &conf, now + S - 1), "for a second");

    is_int(mark_outlier_event(&o, &conf, MARK_OUTLIER_OK, sent, 1, now), 0,
           "an answer from before");
    is_int(mark_outlier_status(&o, now), MARK_OUTLIER_EJECTED, "is no news");

    now += S;
    ok(mark_outlier_may_try(&o, &conf, now), "then one");
    is_int(mark_outlier_status(&o, now), MARK_OUTLIER_PROBING, "to probe it");

    mark_outlier_try(&o, now);
    ok(!mark_outlier_may_try(&o, &conf, now), "at a time");

    is_int(mark_outlier_event(&o, &conf, MARK_OUTLIER_FAILURE, sent, 1, now),
           0, "a time-out from before");
    is_int(mark_outlier_status(&o, now), MARK_OUTLIER_PROBING,
           "is not the probe's");

    is_int(event(MARK_OUTLIER_ABANDONED), 0, "its client left");
    ok(mark_outlier_may_try(&o, &conf, now), "another one");

    mark_outlier_try(&o, now);
    is_int(event(MARK_OUTLIER_5XX), 1, "fails");
    ok(!mark_outlier_may_try(&o, &conf, now + 2 * S - 1), "two seconds");

    now += 2 * S;
    mark_outlier_try(&o, now);
    ok(!mark_outlier_may_try(&o, &conf, now + 8 * S - 1), "not heard of");
    ok(mark_outlier_may_try(&o, &conf, now + 8 * S), "and forgotten");

    now += 8 * S;
    mark_outlier_try(&o, now);
    is_int(event(MARK_OUTLIER_OK), 0, "succeeds");
    is_int(mark_outlier_status(&o, now), MARK_OUTLIER_HEALTHY, "is back");
    is_int(o.healthy, now, "since now");

    sent = o.at - 1;
    now += S;
    is_int(mark_outlier_event(&o, &conf, MARK_OUTLIER_STALLED, sent, 1, now),
           0, "what was sent before the outage");
    is_int(mark_outlier_status(&o, now), MARK_OUTLIER_HEALTHY,
           "does not count after it");
}


/* The peer fails as soon as it may; how long is it away? */

static void
doubling(void)
{
    int  i;

    static const unsigned  seconds[] = { 1, 2, 4, 8, 8, 8 };

    reset();
    (void) event(MARK_OUTLIER_STALLED);

    for (i = 0; i < 6; i++) {
        is_int(o.until - o.at, seconds[i] * S, "ejection %d", i + 1);
        now = o.until;
        mark_outlier_try(&o, now);
        (void) event(MARK_OUTLIER_FAILURE);
    }

    now = o.until;
    mark_outlier_try(&o, now);
    (void) event(MARK_OUTLIER_OK);

    now += 10 * S - 1;
    (void) event(MARK_OUTLIER_STALLED);
    is_int(o.until - o.at, 8 * S, "not ten seconds of health");

    now = o.until;
    (void) event(MARK_OUTLIER_OK);
    now += 20 * S;
    (void) event(MARK_OUTLIER_STALLED);
    is_int(o.until - o.at, 2 * S, "twenty: two doublings undone");

    now = o.until;
    (void) event(MARK_OUTLIER_OK);
    now += 10000 * S;
    (void) event(MARK_OUTLIER_STALLED);
    is_int(o.until - o.at, 1 * S, "long ago");
}


static void
capped(void)
{
    int  i;

    reset();

    for (i = 0; i < 10; i++) {
        is_int(mark_outlier_event(&o, &conf, MARK_OUTLIER_FAILURE, now, 0,
                                  now), 0, "failure %d, not allowed", i + 1);
    }

    is_int(event(MARK_OUTLIER_FAILURE), 1, "allowed by now");

    /* it is one of the ejected already */

    now = o.until;
    mark_outlier_try(&o, now);
    is_int(mark_outlier_event(&o, &conf, MARK_OUTLIER_FAILURE, now, 0, now),
           1, "once more: no need to ask");
}


static void
allowed(void)
{
    unsigned  i, n, ejected, most;

    static const struct {
        unsigned  percent;
        unsigned  most[9];     /* of none, of one, of two, ... */
    } cases[] = {
        { 0,   { 0, 0, 0, 0, 0, 0, 0, 0, 0 } },
        { 1,   { 0, 0, 1, 1, 1, 1, 1, 1, 1 } },
        { 50,  { 0, 0, 1, 1, 2, 2, 3, 3, 4 } },
        { 67,  { 0, 0, 1, 2, 2, 3, 4, 4, 5 } },
        { 100, { 0, 0, 1, 2, 3, 4, 5, 6, 7 } },
        { 900, { 0, 0, 1, 2, 3, 4, 5, 6, 7 } }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (n = 0; n < 9; n++) {
            ejected = 0;

            while (ejected < 10
                   && mark_outlier_allowed(n, ejected, cases[i].percent))
            {
                ejected++;
            }

            most = cases[i].most[n];
            is_int(ejected, most, "%u%% of %u peers", cases[i].percent, n);
        }
    }

    ok(!mark_outlier_allowed(4, 4000000000U, 50), "more than there are");
}


/*
 * The same by memory alone: all that ever happened is kept, and the state
 * worked out from that each time.
 */

#define EVENTS  4000

typedef struct {
    mark_outlier_event_t  event;
    uint64_t              at;
} seen_t;

typedef struct {
    uint64_t  from;
    uint64_t  until;
    uint64_t  back;       /* 0: not yet */
} away_t;

static seen_t    seen[EVENTS];           /* while it was healthy */
static unsigned  nseen;
static away_t    aways[EVENTS];
static unsigned  naways;
static uint64_t  tries[EVENTS];          /* that are under way */
static unsigned  ntries;


static unsigned
model_level(uint64_t t)
{
    int       level;
    unsigned  i;

    level = 0;

    for (i = 0; i < naways; i++) {
        level = (level < 3) ? level + 1 : 3;

        if (aways[i].back) {
            level -= ((i + 1 < naways ? aways[i + 1].from : t)
                      - aways[i].back) / conf.calm;
            level = (level > 0) ? level : 0;
        }
    }

    return level;
}


static int
model_outlier(void)
{
    unsigned  i, errors, failures;
    uint64_t  back;

    errors = 0;
    failures = 0;
    back = naways ? aways[naways - 1].back : 0;

    if (nseen && seen[nseen - 1].event == MARK_OUTLIER_STALLED) {
        return 1;
    }

    for (i = nseen; i > 0 && seen[i - 1].at >= back; i--) {
        if (seen[i - 1].event == MARK_OUTLIER_OK) {
            break;
        }

        errors += seen[i - 1].event != MARK_OUTLIER_STALLED;
    }

    for (i = nseen; i > 0 && seen[i - 1].at >= back; i--) {
        if (seen[i - 1].event == MARK_OUTLIER_STALLED) {
            continue;
        }

        if (seen[i - 1].event != MARK_OUTLIER_FAILURE) {
            break;
        }

        failures++;
    }

    return errors >= conf.errors || failures >= conf.failures;
}


static void
model_eject(uint64_t t)
{
    unsigned  level;

    level = model_level(t);

    aways[naways].from = t;
    aways[naways].until = t + (conf.base << level);
    aways[naways].back = 0;
    naways++;
    ntries = 0;
}


static int
model_event(mark_outlier_event_t e, uint64_t began, int may, uint64_t t)
{
    away_t  *away;

    away = naways ? &aways[naways - 1] : NULL;

    if (away && began < away->from) {
        return 0;
    }

    if (away && away->back == 0) {

        if (e == MARK_OUTLIER_OK) {
            away->back = t;
            ntries = 0;

        } else if (ntries && began >= tries[ntries - 1]) {

            if (e != MARK_OUTLIER_ABANDONED) {
                model_eject(t);
                return 1;
            }

            ntries = 0;
        }

        return 0;
    }

    if (e == MARK_OUTLIER_ABANDONED) {
        return 0;
    }

    seen[nseen].event = e;
    seen[nseen].at = t;
    nseen++;

    if (!may || e == MARK_OUTLIER_OK || !model_outlier()) {
        return 0;
    }

    model_eject(t);

    return 1;
}


static int
model_may_try(uint64_t t)
{
    away_t  *away;

    away = naways ? &aways[naways - 1] : NULL;

    if (away == NULL || away->back) {
        return 1;
    }

    return t >= away->until
           && (ntries == 0 || t - tries[ntries - 1] >= conf.max);
}


static void
sequences(unsigned badness)
{
    int                    i, may, got, want, wrong, backs, longest;
    uint64_t               x, began;
    mark_outlier_event_t   e;

    reset();
    nseen = 0;
    naways = 0;
    ntries = 0;
    wrong = 0;
    backs = 0;
    longest = 0;
    x = 88172645463325252ULL + badness;

    for (i = 0; i < EVENTS; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;

        now += 1 + ((x & 31) ? (x >> 8) % (400 * MS) : (x >> 8) % (40 * S));

        got = mark_outlier_may_try(&o, &conf, now);
        wrong += got != model_may_try(now);

        if (got && mark_outlier_status(&o, now) != MARK_OUTLIER_HEALTHY
            && (x & 32))
        {
            mark_outlier_try(&o, now);
            tries[ntries++] = now;
        }

        /* most of what ends began a moment ago, or is the try */

        began = (x & 64) ? now : now - (x >> 20) % (2 * S);

        if (ntries && (x & 128)) {
            began = tries[ntries - 1];
        }

        e = ((x >> 32) % 100 < badness) ? MARK_OUTLIER_5XX + (x >> 40) % 9 / 4
                                        : MARK_OUTLIER_OK;
        e = ((x >> 48) % 50 == 0) ? MARK_OUTLIER_ABANDONED : e;
        may = (x >> 54) % 4 > 0;

        backs += o.ejected;
        got = mark_outlier_event(&o, &conf, e, began, may, now);
        backs -= o.ejected;

        want = model_event(e, began, may, now);
        wrong += got != want;

        if (got) {
            wrong += o.until != aways[naways - 1].until;
            longest += o.until - o.at == conf.max;
        }
    }

    is_int(wrong, 0, "%u%% errors, %u ejections, %d of them the longest",
           badness, naways, longest);
    ok(naways > 20 && naways < EVENTS / 2, "which is a lot, but not all");
}


static void
slowstart(void)
{
    double    f, before;
    uint64_t  t;

    ok(mark_slowstart(0, 2 * S, 1) == 1, "was always there");
    ok(mark_slowstart(S, 2 * S, S) == MARK_SLOWSTART_MIN, "just came");
    ok(mark_slowstart(S, 2 * S, S - 1) == MARK_SLOWSTART_MIN, "a clock behind");
    ok(fabs(mark_slowstart(S, 2 * S, 2 * S) - 0.55) < 1e-9, "half-way");
    ok(mark_slowstart(S, 2 * S, 3 * S) == 1, "all of it");
    ok(mark_slowstart(S, 2 * S, UINT64_MAX) == 1, "for good");
    ok(mark_slowstart(S, 0, S) == 1, "no slow start");

    before = 0;

    for (t = S; t <= 3 * S; t += MS) {
        f = mark_slowstart(S, 2 * S, t);

        if (f <= before || f > 1) {
            break;
        }

        before = f;
    }

    ok(t > 3 * S, "grows all the time");
}


int
main(void)
{
    thresholds();
    life();
    doubling();
    capped();
    allowed();
    sequences(30);
    sequences(60);
    sequences(90);
    slowstart();

    return done_testing();
}
