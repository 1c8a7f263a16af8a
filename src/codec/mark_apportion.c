
/* Counts apportioned among the members of a batch: see mark_apportion.h. */


#include "mark_apportion.h"


static void mark_apportion_rest(mark_apportion_t *shares, size_t n,
    uint64_t sum, uint64_t rest);


void
mark_apportion(mark_apportion_t *shares, size_t n, uint32_t total)
{
    size_t    i, small;
    uint64_t  left, rest, sum, weight, product;

    left = total;
    sum = 0;

    for (i = 0; i < n; i++) {
        shares[i].share = 0;
        sum += shares[i].weight;
    }

    /*
     * Each that gets 1 here gets more than its due, which leaves less for
     * the others and may make another of them small.  Rounds are few: what
     * the next one finds lies closer to the average by orders of magnitude.
     */

    if (total >= n) {

        do {
            small = 0;
            weight = 0;

            for (i = 0; i < n; i++) {
                if (shares[i].share == 0 && shares[i].weight * left < sum) {
                    shares[i].share = 1;
                    weight += shares[i].weight;
                    small++;
                }
            }

            left -= small;
            sum -= weight;

        } while (small);
    }

    rest = left;

    for (i = 0; i < n; i++) {
        if (shares[i].share) {
            shares[i].remainder = 0;
            continue;
        }

        product = shares[i].weight * left;

        shares[i].share = product / sum;
        shares[i].remainder = product % sum;

        rest -= shares[i].share;
    }

    if (rest) {
        mark_apportion_rest(shares, n, sum, rest);
    }
}


/*
 * One more for each of the rest largest remainders.  The least remainder that
 * so many at most are above is searched for by halves, which needs no sorting
 * and no memory.  It is not 0: all together are rest times the sum, each is
 * less than the sum, so more than rest are above 0.
 */

static void
mark_apportion_rest(mark_apportion_t *shares, size_t n, uint64_t sum,
    uint64_t rest)
{
    size_t    i;
    uint64_t  low, high, middle, above;

    low = 0;
    high = sum;

    while (low < high) {
        middle = low + (high - low) / 2;
        above = 0;

        for (i = 0; i < n; i++) {
            above += shares[i].remainder > middle;
        }

        if (above > rest) {
            low = middle + 1;

        } else {
            high = middle;
        }
    }

    for (i = 0; i < n; i++) {
        if (shares[i].remainder > low) {
            shares[i].share++;
            rest--;
        }
    }

    for (i = 0; rest; i++) {
        if (shares[i].remainder == low) {
            shares[i].share++;
            rest--;
        }
    }
}
