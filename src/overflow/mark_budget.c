
/* What bounds an overflow: see mark_budget.h. */


#include <string.h>

#include "mark_budget.h"


#define MARK_BUDGET_REQUEST  1000000000ULL     /* in the rate's bucket */
#define MARK_BUDGET_MINUTE   60000000ULL

static uint64_t mark_budget_limit(double value, double unit);
static void mark_budget_refill(mark_budget_t *b, uint64_t rate, uint64_t now);
static void mark_budget_turn(mark_budget_t *b, uint64_t now);
static void mark_budget_spend(mark_budget_t *b, uint64_t now, uint64_t cost);
static uint64_t mark_budget_add(uint64_t a, uint64_t b);
static uint64_t mark_budget_sub(uint64_t a, uint64_t b);


int
mark_budget_limits(mark_budget_limits_t *limits, double rate,
    double concurrency, double dollars)
{
    memset(limits, 0, sizeof(mark_budget_limits_t));

    if (!(rate >= 0 && concurrency >= 0 && dollars >= 0)) {
        return -1;
    }

    limits->rate = mark_budget_limit(rate, 1e3);
    limits->concurrency = mark_budget_limit(concurrency, 1);
    limits->cost = mark_budget_limit(dollars, 1e9);

    return 0;
}


/* 1.001 * 1000 is a little less than 1001, and no less is meant. */

static uint64_t
mark_budget_limit(double value, double unit)
{
    value = value * unit * (1 + 1e-15);

    return value < 1.8e19 ? (uint64_t) value : MARK_BUDGET_UNLIMITED;
}


mark_budget_status_t
mark_budget_take(mark_budget_t *b, const mark_budget_limits_t *limits,
    uint64_t now, uint64_t expected)
{
    uint64_t  rate, size, cost;

    mark_budget_turn(b, now);

    if (limits->rate != MARK_BUDGET_UNLIMITED) {
        rate = limits->rate;

        if (rate > MARK_BUDGET_MAX_RATE) {
            rate = MARK_BUDGET_MAX_RATE;
        }

        mark_budget_refill(b, rate, now);

        /* one second's worth: a thousandth is 1e6 of the bucket's units */

        size = rate * 1000000;

        if (size < MARK_BUDGET_REQUEST) {
            size = MARK_BUDGET_REQUEST;
        }

        if (rate == 0 || b->used > size - MARK_BUDGET_REQUEST) {
            return MARK_BUDGET_RATE;
        }
    }

    if (limits->concurrency != MARK_BUDGET_UNLIMITED
        && b->in_flight >= limits->concurrency)
    {
        return MARK_BUDGET_CONCURRENCY;
    }

    if (limits->cost != MARK_BUDGET_UNLIMITED) {
        cost = mark_budget_add(mark_budget_spent(b, now), b->reserved);
        cost = mark_budget_add(cost, expected);

        if (cost > limits->cost) {
            return MARK_BUDGET_COST;
        }
    }

    if (limits->rate != MARK_BUDGET_UNLIMITED) {
        b->used += MARK_BUDGET_REQUEST;
    }

    b->in_flight++;
    b->reserved = mark_budget_add(b->reserved, expected);

    return MARK_BUDGET_OK;
}


/* The bucket is kept as what is gone from it: so it may change its size. */

static void
mark_budget_refill(mark_budget_t *b, uint64_t rate, uint64_t now)
{
    uint64_t  age;

    if (now <= b->at) {
        return;
    }

    age = now - b->at;
    b->at = now;

    /* microseconds by thousandths a second are 1e-9 requests */

    if (rate && age > b->used / rate) {
        b->used = 0;

    } else {
        b->used -= age * rate;
    }
}


void
mark_budget_settle(mark_budget_t *b, uint64_t now, uint64_t expected,
    uint64_t actual)
{
    b->in_flight = mark_budget_sub(b->in_flight, 1);
    b->reserved = mark_budget_sub(b->reserved, expected);

    mark_budget_spend(b, now, actual);
}


void
mark_budget_cancel(mark_budget_t *b, uint64_t expected)
{
    b->in_flight = mark_budget_sub(b->in_flight, 1);
    b->reserved = mark_budget_sub(b->reserved, expected);
}


void
mark_budget_forfeit(mark_budget_t *b, uint64_t now, uint64_t n,
    uint64_t reserved)
{
    b->in_flight = mark_budget_sub(b->in_flight, n);
    b->reserved = mark_budget_sub(b->reserved, reserved);

    mark_budget_spend(b, now, reserved);
}


static void
mark_budget_spend(mark_budget_t *b, uint64_t now, uint64_t cost)
{
    uint64_t  *spent;

    mark_budget_turn(b, now);

    spent = &b->spent[b->minute % MARK_BUDGET_MINUTES];
    *spent = mark_budget_add(*spent, cost);
}


/* Makes now's minute the latest, and clears those that began meanwhile. */

static void
mark_budget_turn(mark_budget_t *b, uint64_t now)
{
    uint64_t  i, n;

    n = mark_budget_sub(now / MARK_BUDGET_MINUTE, b->minute);
    b->minute += n;

    for (i = 0; i < n && i < MARK_BUDGET_MINUTES; i++) {
        b->spent[(b->minute - i) % MARK_BUDGET_MINUTES] = 0;
    }
}


/* The minutes that now's hour touches are those above now's minus 61. */

uint64_t
mark_budget_spent(const mark_budget_t *b, uint64_t now)
{
    uint64_t  i, n, sum;

    n = mark_budget_sub(now / MARK_BUDGET_MINUTE, b->minute);
    sum = 0;

    for (i = 0; i + n < MARK_BUDGET_MINUTES && i <= b->minute; i++) {
        sum = mark_budget_add(sum, b->spent[(b->minute - i)
                                            % MARK_BUDGET_MINUTES]);
    }

    return sum;
}


/* Sums stop at either end: one of nonsense must not come out as nothing. */

static uint64_t
mark_budget_add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}


static uint64_t
mark_budget_sub(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}
