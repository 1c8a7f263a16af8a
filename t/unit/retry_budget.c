
/* How many retries and hedges there may be. */


#include <math.h>
#include <string.h>

#include "tap.h"
#include "mark_retry_budget.h"


#define S  1000000ULL


static mark_retry_budget_t       b;
static mark_retry_budget_conf_t  conf;


static void
reset(double share, double floor)
{
    memset(&b, 0, sizeof(b));

    conf.share = share;
    conf.floor = floor;
}


static void
requests(unsigned n, uint64_t now)
{
    while (n--) {
        mark_retry_budget_request(&b, now);
    }
}


static unsigned
retries(uint64_t now)
{
    unsigned  n;

    for (n = 0; n < 10000; n++) {
        if (!mark_retry_budget_take(&b, &conf, now)) {
            break;
        }
    }

    return n;
}


static void
cases(void)
{
    reset(0, 0);
    requests(1000, S);
    is_int(retries(S), 0, "no share, no floor");

    reset(0.2, 0);
    is_int(retries(100 * S), 0, "no request, no retry");
    requests(4, 100 * S);
    is_int(retries(100 * S), 0, "four");
    requests(1, 100 * S);
    is_int(retries(100 * S), 1, "five");
    requests(995, 100 * S);
    is_int(retries(109 * S), 199, "a thousand, ten seconds");
    is_int(retries(110 * S), 0, "no more");
    requests(10, 110 * S);
    is_int(retries(118 * S), 0, "nor for ten: what was taken counts longer");
    is_int(retries(119 * S), 2, "than those that it was taken for");
    is_int(retries(100 * S), 0, "a clock behind");
    requests(5, 100 * S);
    is_int(retries(119 * S), 1, "its requests count all the same");

    reset(0.2, 0);
    requests(1000, 100 * S);
    is_int(retries(110 * S), 0, "requests of ten seconds ago");

    reset(0, 0.5);
    is_int(retries(100 * S), 5, "one every other second, saved up");
    is_int(retries(109 * S), 0, "for as long");
    is_int(retries(110 * S), 5, "again");

    reset(0.1, 0);
    requests(3, S);
    conf.share = 1;
    is_int(retries(S), 3, "one each");

    reset(0.1, 0);
    requests(30, S);
    is_int(retries(S), 3, "a tenth of thirty");

    reset(0.29, 0);
    requests(100, S);
    is_int(retries(S), 29, "which is a little less in a double");

    reset(NAN, 0);
    requests(30, S);
    is_int(retries(S), 0, "a share that is none");
}


/* The same from a list of all that happened. */

#define EVENTS  20000

static uint64_t  seconds[2][EVENTS];
static unsigned  n[2];


static unsigned
model(int of, uint64_t second)
{
    unsigned  i, count;

    count = 0;

    for (i = n[of]; i > 0 && seconds[of][i - 1] + 10 > second; i--) {
        count++;
    }

    return count;
}


static void
sequences(double share, double floor, unsigned many)
{
    int       i, got, want, wrong;
    uint64_t  x, now;

    reset(share, floor);
    n[0] = 0;
    n[1] = 0;
    wrong = 0;
    now = 7777777;
    x = 88172645463325252ULL;

    for (i = 0; i < EVENTS; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;

        now += (x & 1023) == 0 ? (x >> 16) % (30 * S) : (x >> 16) % (S / 8);

        if ((x >> 40) % 100 < many) {
            mark_retry_budget_request(&b, now);
            seconds[0][n[0]++] = now / S;
            continue;
        }

        want = model(1, now / S) + 1
               <= share * model(0, now / S) + floor * 10 + 1e-6;
        got = mark_retry_budget_take(&b, &conf, now);
        wrong += got != want;

        if (got) {
            seconds[1][n[1]++] = now / S;
        }
    }

    is_int(wrong, 0, "%g of %u requests, %g a second: %u", share, n[0], floor,
           n[1]);
    ok(n[1] > 100 && n[1] + n[0] < EVENTS - 100, "some are, some are not");
}


int
main(void)
{
    cases();

    sequences(0.2, 0, 70);
    sequences(0.2, 1, 70);
    sequences(0, 0.5, 50);
    sequences(1, 0.1, 40);

    return done_testing();
}
