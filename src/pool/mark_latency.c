
/* The learned latency of a batch: see mark_latency.h. */


#include <string.h>

#include "mark_latency.h"


static int mark_latency_crowded(mark_latency_t *l, double rows, double usec,
    unsigned beside);
static double mark_latency_cap(const mark_latency_t *l, double rows,
    double usec);
static void mark_latency_fit(mark_latency_t *l);


void
mark_latency_init(mark_latency_t *l)
{
    memset(l, 0, sizeof(mark_latency_t));
}


void
mark_latency_prior(mark_latency_t *l, double base, double row,
    double residual)
{
    mark_latency_init(l);

    /* as if two batches had been seen, of 1 row and of 2, on the line */

    l->observed = MARK_LATENCY_WARM;
    l->w = 2;
    l->x = 1 + 2;
    l->xx = 1 + 4;
    l->y = (base + row) + (base + 2 * row);
    l->xy = (base + row) + 2 * (base + 2 * row);
    l->a = base;
    l->b = row;
    l->residual = residual;
    l->deviation = residual / 2;
}


void
mark_latency_observe(mark_latency_t *l, unsigned rows, uint64_t usec,
    unsigned beside)
{
    double  x, y, error, memory, step;

    x = rows;
    y = usec;

    if (mark_latency_crowded(l, x, y, beside)) {
        return;
    }

    memory = MARK_LATENCY_MEMORY;

    if (mark_latency_known(l)) {
        y = mark_latency_cap(l, x, y);

        if (y < 0.5 * (l->a + l->b * x)) {
            memory = MARK_LATENCY_FASTER;
            l->residual *= memory;
            l->deviation *= memory;
        }
    }

    /*
     * The quantile follows by steps in proportion to the usual deviation: up
     * by q after a larger error, down by 1 - q after a smaller one, which
     * balances where a share of 1 - q is larger.
     */

    if (mark_latency_known(l)) {
        error = y - (l->a + l->b * x);

        l->deviation += 0.1 * ((error < 0 ? -error : error) - l->deviation);

        step = 0.5 * l->deviation;

        if (error > l->residual) {
            l->residual += step * MARK_LATENCY_QUANTILE;

        } else {
            l->residual -= step * (1 - MARK_LATENCY_QUANTILE);
        }

        if (l->residual < 0) {
            l->residual = 0;
        }
    }

    l->w = l->w * memory + 1;
    l->x = l->x * memory + x;
    l->y = l->y * memory + y;
    l->xx = l->xx * memory + x * x;
    l->xy = l->xy * memory + x * y;

    if (l->observed < MARK_LATENCY_WARM) {
        l->observed++;
    }

    mark_latency_fit(l);
}


/*
 * Learns how many batches the peer takes at one time, as TCP learns a window:
 * up while those that were sent beside others came back no later for it, at
 * first quickly, and down when one had to wait.  Tells whether the time of
 * this one says nothing of a batch that has the peer for itself: taken for
 * that, the wait in an overloaded backend's own queue would never be over.
 */

static int
mark_latency_crowded(mark_latency_t *l, double rows, double usec,
    unsigned beside)
{
    double  expected, spread;

    if (l->limit < 1) {
        l->limit = 1;
        l->growth = 0.25;
    }

    if (!mark_latency_known(l)) {
        return 0;
    }

    expected = l->a + l->b * rows;
    spread = (l->residual < expected) ? l->residual : expected;

    if (beside > 1 && usec > 1.3 * expected + spread + MARK_LATENCY_WAIT) {
        l->growth = 0.02;
        l->limit -= 0.5;

        if (l->limit < 1) {
            l->limit = 1;
        }

    } else if (beside + 1 > l->limit && l->limit < MARK_LATENCY_LIMIT) {
        l->limit += l->growth;
    }

    if (beside <= 1) {
        l->crowded = 0;
        return 0;
    }

    l->crowded++;

    return 1;
}


/*
 * One batch that hangs for a while must not make all deadlines seem lost, so
 * each counts as twice what hardly any takes, at most; a backend that became
 * slower for good is followed all the same, by its next batches.
 */

static double
mark_latency_cap(const mark_latency_t *l, double rows, double usec)
{
    double  most;

    most = 2 * (l->a + l->b * rows + l->residual) + MARK_LATENCY_WAIT;

    return usec < most ? usec : most;
}


static void
mark_latency_fit(mark_latency_t *l)
{
    double  mx, my, var;

    mx = l->x / l->w;
    my = l->y / l->w;
    var = l->xx / l->w - mx * mx;

    /*
     * Batches of nearly one size say nothing of the slope: the one learned
     * before is kept as far as the mean allows.
     */

    if (var > 0.05 * mx) {
        l->b = (l->xy / l->w - mx * my) / var;
    }

    if (l->b < 0) {
        l->b = 0;
    }

    l->a = my - l->b * mx;

    if (l->a < 0) {
        l->a = 0;
        l->b = my / mx;
    }
}


int
mark_latency_known(const mark_latency_t *l)
{
    return l->observed == MARK_LATENCY_WARM;
}


uint64_t
mark_latency_usual(const mark_latency_t *l)
{
    return l->w > 0 ? (uint64_t) (l->y / l->w) : 0;
}


uint64_t
mark_latency_mean(const mark_latency_t *l, unsigned rows)
{
    return mark_latency_known(l) ? (uint64_t) (l->a + l->b * rows) : 0;
}


uint64_t
mark_latency_bound(const mark_latency_t *l, unsigned rows)
{
    if (!mark_latency_known(l)) {
        return 0;
    }

    return (uint64_t) (l->a + l->b * rows + l->residual);
}


unsigned
mark_latency_rows(const mark_latency_t *l, uint64_t usec)
{
    double  rows, left;

    left = (double) usec - l->a - l->residual;

    if (!mark_latency_known(l) || left < l->b) {
        return 0;
    }

    if (l->b == 0) {
        return UINT32_MAX;
    }

    rows = left / l->b;

    return rows < UINT32_MAX ? (unsigned) rows : UINT32_MAX;
}


unsigned
mark_latency_limit(const mark_latency_t *l)
{
    /* long only beside others: what one takes alone must be looked at again */

    if (l->limit < 1 || l->crowded > 32 * l->limit) {
        return 1;
    }

    return (unsigned) l->limit;
}


int
mark_latency_pays(const mark_latency_t *l, unsigned rows)
{
    double  one, all;

    if (!mark_latency_known(l) || rows < 2) {
        return 1;
    }

    one = l->a + l->b;
    all = l->a + l->b * rows;

    return all < 0.9 * one * rows;
}
