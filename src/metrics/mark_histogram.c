/* A log-linear histogram of microseconds: percentiles within one percent. */

#include <string.h>

#include "mark_histogram.h"


#define EXACT_BITS  7
#define EXACT       (1u << EXACT_BITS)
#define STEPS       (EXACT / 2)


void
mark_histogram_clear(mark_histogram_t *h)
{
    memset(h, 0, sizeof(mark_histogram_t));
}


unsigned
mark_histogram_index(uint64_t us)
{
    unsigned  octave;

    if (us < EXACT) {
        return (unsigned) us;
    }

    if (us > MARK_HISTOGRAM_LIMIT) {
        us = MARK_HISTOGRAM_LIMIT;
    }

    octave = 63 - (unsigned) __builtin_clzll(us) - EXACT_BITS;

    return EXACT + octave * STEPS + (unsigned) (us >> (octave + 1)) - STEPS;
}


uint64_t
mark_histogram_low(unsigned index)
{
    if (index < EXACT) {
        return index;
    }

    index -= EXACT;

    return (uint64_t) (STEPS + index % STEPS) << (index / STEPS + 1);
}


uint64_t
mark_histogram_width(unsigned index)
{
    return (index < EXACT) ? 1 : (uint64_t) 2 << (index - EXACT) / STEPS;
}


void
mark_histogram_record(mark_histogram_t *h, uint64_t us)
{
    if (h->count == 0 || us < h->min) {
        h->min = us;
    }

    if (us > h->max) {
        h->max = us;
    }

    h->count++;
    h->sum += us;
    h->bucket[mark_histogram_index(us)]++;
}


void
mark_histogram_merge(mark_histogram_t *to, const mark_histogram_t *from)
{
    unsigned  i;

    if (from->count == 0) {
        return;
    }

    if (to->count == 0 || from->min < to->min) {
        to->min = from->min;
    }

    if (from->max > to->max) {
        to->max = from->max;
    }

    to->count += from->count;
    to->sum += from->sum;

    for (i = 0; i < MARK_HISTOGRAM_BUCKETS; i++) {
        to->bucket[i] += from->bucket[i];
    }
}


double
mark_histogram_mean(const mark_histogram_t *h)
{
    return h->count ? (double) h->sum / (double) h->count : 0.0;
}


uint64_t
mark_histogram_quantile(const mark_histogram_t *h, double q)
{
    double    wanted;
    unsigned  i;
    uint64_t  rank, seen, value;

    if (h->count == 0) {
        return 0;
    }

    /* 0.07 * 100 must be rank 7 although it is 7.000000000000001 */

    wanted = q * (double) h->count * (1 - 1e-12);
    rank = (wanted > 0) ? (uint64_t) wanted : 0;

    if ((double) rank < wanted) {
        rank++;
    }

    if (rank >= h->count) {
        return h->max;
    }

    if (rank <= 1) {
        return h->min;
    }

    for (i = 0, seen = 0; i < MARK_HISTOGRAM_BUCKETS; i++) {
        seen += h->bucket[i];

        if (seen >= rank) {
            break;
        }
    }

    value = mark_histogram_low(i) + mark_histogram_width(i) / 2;

    if (value > h->max) {
        value = h->max;
    }

    return (value < h->min) ? h->min : value;
}
