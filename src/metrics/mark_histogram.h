/* A log-linear histogram of microseconds: percentiles within one percent. */

#ifndef MARK_HISTOGRAM_H
#define MARK_HISTOGRAM_H


#include <stdint.h>


/*
 * Values below 128 us have a counter each.  Above, every power of two is cut
 * into 64 buckets of equal width, and a bucket answers for its middle, so a
 * value read back is wrong by 1/128 (0.8 %) at most.  Values above one hour
 * are counted in the last bucket; sum and max stay exact.
 *
 * The structure is flat: all zeroes is an empty histogram, and it may be
 * copied, cleared with memset() and live in shared memory.  It does not lock.
 */

#define MARK_HISTOGRAM_LIMIT    3600000000u
#define MARK_HISTOGRAM_BUCKETS  1708


typedef struct {
    uint64_t  count;
    uint64_t  sum;
    uint64_t  min;
    uint64_t  max;
    uint64_t  bucket[MARK_HISTOGRAM_BUCKETS];
} mark_histogram_t;


void mark_histogram_clear(mark_histogram_t *h);
void mark_histogram_record(mark_histogram_t *h, uint64_t us);
void mark_histogram_merge(mark_histogram_t *to, const mark_histogram_t *from);
double mark_histogram_mean(const mark_histogram_t *h);

/* the value that the share q (0 to 1) of all values does not exceed */
uint64_t mark_histogram_quantile(const mark_histogram_t *h, double q);

/* the bucket that counts a value; the smallest value and width of a bucket */
unsigned mark_histogram_index(uint64_t us);
uint64_t mark_histogram_low(unsigned index);
uint64_t mark_histogram_width(unsigned index);


#endif /* MARK_HISTOGRAM_H */
