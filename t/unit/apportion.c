
/* Counts apportioned: against the rule as one would write it on paper. */


#include <stdint.h>
#include <string.h>

#include "tap.h"
#include "mark_apportion.h"


#define MEMBERS  12


static unsigned  seed = 7;


static unsigned
rnd(unsigned n)
{
    seed = seed * 1103515245 + 12345;

    return (seed >> 16) % n;
}


static void
shares(const char *want, uint32_t total, size_t n, const uint32_t *weights)
{
    char          got[256], *p;
    size_t        i;
    mark_apportion_t  s[MEMBERS];

    for (i = 0; i < n; i++) {
        s[i].weight = weights[i];
    }

    mark_apportion(s, n, total);

    for (i = 0, p = got; i < n; i++) {
        p += sprintf(p, "%s%u", i ? " " : "", (unsigned) s[i].share);
    }

    is_str(got, want, "%u in %s", (unsigned) total, want);
}


/* Pins the smallest while it is due less than 1, then gives the rest out. */

static void
paper(uint32_t *out, const mark_apportion_t *s, size_t n, uint32_t total)
{
    int       pinned[MEMBERS];
    size_t    i, least, most, k;
    uint64_t  left, sum, rests[MEMBERS];

    memset(pinned, 0, sizeof(pinned));

    left = total;
    sum = 0;

    for (i = 0; i < n; i++) {
        sum += s[i].weight;
    }

    for (k = 0; total >= n && k < n; k++) {
        least = n;

        for (i = 0; i < n; i++) {
            if (!pinned[i]
                && (least == n || s[i].weight < s[least].weight))
            {
                least = i;
            }
        }

        if (s[least].weight * left >= sum) {
            break;
        }

        pinned[least] = 1;
        sum -= s[least].weight;
        left--;
    }

    k = left;

    for (i = 0; i < n; i++) {
        out[i] = pinned[i] ? 1 : s[i].weight * left / sum;
        rests[i] = pinned[i] ? 0 : s[i].weight * left % sum;
        k -= pinned[i] ? 0 : out[i];
    }

    for ( /* void */ ; k; k--) {
        most = 0;

        for (i = 1; i < n; i++) {
            if (rests[i] > rests[most]) {
                most = i;
            }
        }

        out[most]++;
        rests[most] = 0;
    }
}


static void
property(void)
{
    size_t        i, n;
    uint32_t      total, sum, want[MEMBERS];
    unsigned      round, bad;
    mark_apportion_t  s[MEMBERS];

    bad = 0;

    for (round = 0; round < 20000; round++) {
        n = 1 + rnd(MEMBERS);
        total = rnd(1 << rnd(12));
        sum = 0;

        for (i = 0; i < n; i++) {
            s[i].weight = 1 + rnd(1 << rnd(12));
        }

        paper(want, s, n, total);
        mark_apportion(s, n, total);

        for (i = 0; i < n; i++) {
            sum += s[i].share;

            if (s[i].share != want[i] || (total >= n && s[i].share == 0)) {
                bad++;
            }
        }

        if (sum != total) {
            bad++;
        }
    }

    is_int(bad, 0, "20000 random counts are apportioned as on paper");
}


/* What pins one member a round, for as many rounds as there can be. */

static void
rounds(void)
{
    size_t        i;
    uint64_t      gap, sum;
    mark_apportion_t  s[MEMBERS];

    for (i = 0, gap = 1, sum = 0; i < MEMBERS; i++) {
        s[i].weight = UINT32_MAX - (i ? gap : 0);
        gap *= i ? i + 1 : 1;
        gap = (gap > UINT32_MAX - 1) ? UINT32_MAX - 1 : gap;
    }

    mark_apportion(s, MEMBERS, MEMBERS);

    for (i = 0; i < MEMBERS; i++) {
        sum += (s[i].share == 1);
    }

    is_int(sum, MEMBERS, "one for each");
}


int
main(void)
{
    shares("7", 7, 1, (uint32_t[]) { 3 });
    shares("0", 0, 1, (uint32_t[]) { 3 });
    shares("0 0", 0, 2, (uint32_t[]) { 3, 3 });
    shares("1 0", 1, 2, (uint32_t[]) { 3, 3 });
    shares("0 1", 1, 2, (uint32_t[]) { 3, 4 });
    shares("1 1", 2, 2, (uint32_t[]) { 1, 4000000000u });
    shares("1 2", 3, 2, (uint32_t[]) { 1, 4000000000u });
    shares("3 4 1", 8, 3, (uint32_t[]) { 3, 4, 1 });
    shares("6 8 2", 16, 3, (uint32_t[]) { 3, 4, 1 });
    shares("4 3 3", 10, 3, (uint32_t[]) { 5, 5, 5 });
    shares("1 49 50", 100, 3, (uint32_t[]) { 1, 999, 1000 });
    shares("1 1 98", 100, 3, (uint32_t[]) { 1, 2, 1000000 });
    shares("2147483648 2147483647", 4294967295u, 2,
           (uint32_t[]) { 4294967295u, 4294967295u });

    rounds();
    property();

    return done_testing();
}
