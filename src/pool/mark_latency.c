
/* The learned latency of a batch: see mark_latency.h. */


#include <string.h>

#include "mark_latency.h"


static void mark_latency_fit(mark_latency_t *l);


void
mark_latency_init(mark_latency_t *l)
{
    memset(l, 0, sizeof(mark_latency_t));
}


void
mark_latency_observe(mark_latency_t *l, unsigned rows, uint64_t usec)
{
    double  x, y, error, step;

    x = rows;
    y = usec;

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

    l->w = l->w * MARK_LATENCY_MEMORY + 1;
    l->x = l->x * MARK_LATENCY_MEMORY + x;
    l->y = l->y * MARK_LATENCY_MEMORY + y;
    l->xx = l->xx * MARK_LATENCY_MEMORY + x * x;
    l->xy = l->xy * MARK_LATENCY_MEMORY + x * y;

    if (l->observed < MARK_LATENCY_WARM) {
        l->observed++;
    }

    mark_latency_fit(l);
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
