/* Unit tests of the histogram: buckets, accuracy, quantiles, merging. */

#include <stdlib.h>

#include "mark_histogram.h"
#include "tap.h"


static mark_histogram_t  h, other;


static int
is_near(uint64_t got, uint64_t want)
{
    double  error;

    error = got > want ? (double) (got - want) : (double) (want - got);

    return error <= (double) want * 0.01;
}


static void
buckets(void)
{
    int       low, order, near;
    unsigned  i, last;
    uint64_t  v, next;

    low = order = 1;

    for (i = 0; i < MARK_HISTOGRAM_BUCKETS; i++) {
        v = mark_histogram_low(i);
        next = v + mark_histogram_width(i);

        if (mark_histogram_index(v) != i
            || (i + 1 < MARK_HISTOGRAM_BUCKETS
                && mark_histogram_index(next - 1) != i))
        {
            low = 0;
        }

        if (i + 1 < MARK_HISTOGRAM_BUCKETS
            && next != mark_histogram_low(i + 1))
        {
            order = 0;
        }
    }

    ok(low, "every bucket holds its first and its last value");
    ok(order, "buckets follow each other without a gap");

    last = MARK_HISTOGRAM_BUCKETS - 1;
    is_int(mark_histogram_index(MARK_HISTOGRAM_LIMIT), last,
           "an hour is in the last bucket");
    is_int(mark_histogram_index(UINT64_MAX), last, "so is everything above");

    near = 1;

    for (v = 1; v < MARK_HISTOGRAM_LIMIT; v += v / 97 + 1) {
        i = mark_histogram_index(v);

        if (!is_near(mark_histogram_low(i) + mark_histogram_width(i) / 2, v)) {
            near = 0;
        }
    }

    ok(near, "a bucket's middle is within one percent of its values");
}


static void
quantiles(void)
{
    uint64_t  v;

    mark_histogram_clear(&h);

    is_int(mark_histogram_quantile(&h, 0.5), 0, "an empty one has median 0");
    ok(mark_histogram_mean(&h) == 0, "and mean 0");

    for (v = 1; v <= 100; v++) {
        mark_histogram_record(&h, v);
    }

    is_int(h.count, 100, "count");
    ok(mark_histogram_mean(&h) == 50.5, "mean is exact");
    is_int(mark_histogram_quantile(&h, 0), 1, "quantile 0 is the least");
    is_int(mark_histogram_quantile(&h, 0.07), 7, "0.07 of 100 is the 7th");
    is_int(mark_histogram_quantile(&h, 0.5), 50, "median");
    is_int(mark_histogram_quantile(&h, 0.99), 99, "0.99");
    is_int(mark_histogram_quantile(&h, 0.991), 100, "0.991 is the last one");
    is_int(mark_histogram_quantile(&h, 1), 100, "quantile 1 is the largest");

    mark_histogram_clear(&h);

    for (v = 1; v <= 100000; v++) {
        mark_histogram_record(&h, v * 10);
    }

    ok(is_near(mark_histogram_quantile(&h, 0.5), 500000), "p50 of 100000");
    ok(is_near(mark_histogram_quantile(&h, 0.99), 990000), "p99");
    ok(is_near(mark_histogram_quantile(&h, 0.999), 999000), "p999");
    is_int(mark_histogram_quantile(&h, 1), 1000000, "the maximum is exact");

    mark_histogram_clear(&h);
    mark_histogram_record(&h, 1000003);

    is_int(mark_histogram_quantile(&h, 0.5), 1000003,
           "one value answers for itself");

    mark_histogram_record(&h, (uint64_t) 1 << 40);

    is_int(h.max, (long) 1 << 40, "max stays exact above an hour");
    ok(is_near(mark_histogram_quantile(&h, 0.5), 1000003), "the lower of two");
}


static void
merging(void)
{
    mark_histogram_clear(&h);
    mark_histogram_clear(&other);

    mark_histogram_record(&other, 500);
    mark_histogram_record(&other, 7);
    mark_histogram_merge(&h, &other);

    is_int(h.min, 7, "merging into an empty one takes its least value");

    mark_histogram_clear(&other);
    mark_histogram_merge(&h, &other);

    is_int(h.min, 7, "merging an empty one changes nothing");
    is_int(h.count, 2, "neither the count");

    mark_histogram_record(&other, 3);
    mark_histogram_record(&other, 90000);
    mark_histogram_merge(&h, &other);

    is_int(h.count, 4, "counts add up");
    is_int(h.sum, 90510, "sums add up");
    is_int(h.min, 3, "the least of both");
    is_int(h.max, 90000, "the largest of both");
    is_int(mark_histogram_quantile(&h, 0.5), 7, "the median of both");
}


int
main(void)
{
    buckets();
    quantiles();
    merging();

    return done_testing();
}
