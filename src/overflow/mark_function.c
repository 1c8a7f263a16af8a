
/* The choice of a function, and its cost: see mark_function.h. */


#include <string.h>

#include "mark_function.h"


static size_t mark_function_cheapest(const mark_function_t *f, size_t n,
    unsigned units, uint64_t usec);
static int mark_function_usable(const mark_function_t *f);
static size_t mark_function_fastest(const mark_function_t *f, size_t n,
    unsigned units);
static int mark_function_number(unsigned *number, const uint8_t *log,
    size_t len, const char *name);
static const uint8_t *mark_function_find(const uint8_t *log, size_t len,
    const char *text);


size_t
mark_function_choose(mark_function_t *f, size_t n, unsigned units,
    uint64_t usec)
{
    size_t  i, best;

    /* what is not known is tried, a few at a time, the smallest first */

    for (i = 0; i < n; i++) {
        if (!mark_latency_known(&f[i].latency)
            && f[i].trials < MARK_FUNCTION_TRIALS
            && f[i].failed < MARK_FUNCTION_FAILED)
        {
            f[i].trials++;
            return i;
        }
    }

    best = mark_function_cheapest(f, n, units, usec);

    if (best == n) {
        best = mark_function_fastest(f, n, units);
    }

    f[best].passed = 0;

    for (i = 0; i < best; i++) {
        if (++f[i].passed == MARK_FUNCTION_AGAIN) {
            f[i].passed = 0;
            return i;
        }
    }

    return best;
}


/* What its time costs is in proportion to its memory. */

static size_t
mark_function_cheapest(const mark_function_t *f, size_t n, unsigned units,
    uint64_t usec)
{
    size_t  i, best;
    double  cost, least;

    best = n;
    least = 0;

    for (i = 0; i < n; i++) {

        if (!mark_function_usable(&f[i])
            || (usec && mark_latency_bound(&f[i].latency, units) > usec))
        {
            continue;
        }

        cost = (double) f[i].memory * mark_latency_mean(&f[i].latency, units);

        if (best == n || cost < least) {
            best = i;
            least = cost;
        }
    }

    return best;
}


static int
mark_function_usable(const mark_function_t *f)
{
    return mark_latency_known(&f->latency)
           && f->failed < MARK_FUNCTION_FAILED;
}


/* Of those that are known; of none, the largest. */

static size_t
mark_function_fastest(const mark_function_t *f, size_t n, unsigned units)
{
    size_t    i, best;
    uint64_t  bound, least;

    best = n - 1;
    least = UINT64_MAX;

    for (i = 0; i < n; i++) {

        if (!mark_function_usable(&f[i])) {
            continue;
        }

        bound = mark_latency_bound(&f[i].latency, units);

        if (bound < least) {
            best = i;
            least = bound;
        }
    }

    return best;
}


void
mark_function_done(mark_function_t *f, unsigned units, uint64_t usec)
{
    mark_function_left(f);

    if (usec) {
        f->failed = 0;
        mark_latency_observe(&f->latency, units, usec, 1);

    } else {
        f->failed++;
    }
}


void
mark_function_left(mark_function_t *f)
{
    if (f->trials) {
        f->trials--;
    }
}


uint64_t
mark_function_cost(const mark_function_price_t *price, unsigned memory,
    unsigned billed)
{
    double  usd;

    usd = price->gb_second * memory / 1024 * billed / 1000 + price->request;

    return (uint64_t) (usd * 1e9 + 0.5);
}


/*
 * REPORT RequestId: ID, Duration: 3.21 ms, Billed Duration: 4 ms, Memory Size:
 * 128 MB, ... with tabs between them.
 */

int
mark_function_report(mark_function_report_t *report, const uint8_t *log,
    size_t len)
{
    const uint8_t  *line, *end;

    line = mark_function_find(log, len, "REPORT RequestId:");

    if (line == NULL) {
        return -1;
    }

    len -= line - log;
    end = memchr(line, '\n', len);

    if (end) {
        len = end - line;
    }

    return (mark_function_number(&report->billed, line, len,
                                 "Billed Duration: ") == 0
            && mark_function_number(&report->memory, line, len,
                                    "Memory Size: ") == 0) ? 0 : -1;
}


static int
mark_function_number(unsigned *number, const uint8_t *log, size_t len,
    const char *name)
{
    const uint8_t  *p, *last;

    p = mark_function_find(log, len, name);

    if (p == NULL) {
        return -1;
    }

    p += strlen(name);
    last = log + len;

    if (p == last || *p < '0' || *p > '9') {
        return -1;
    }

    *number = 0;

    for ( /* void */ ; p < last && *p >= '0' && *p <= '9'; p++) {

        if (*number > 100000000) {
            return -1;
        }

        *number = *number * 10 + (*p - '0');
    }

    /* a newer runtime may print a fraction: started is billed */

    if (p < last && *p == '.') {
        (*number)++;
    }

    return 0;
}


static const uint8_t *
mark_function_find(const uint8_t *log, size_t len, const char *text)
{
    size_t          n;
    const uint8_t  *p, *last;

    n = strlen(text);
    last = log + len;

    for (p = log; (size_t) (last - p) >= n; p++) {
        p = memchr(p, *text, last - p - n + 1);

        if (p == NULL) {
            return NULL;
        }

        if (memcmp(p, text, n) == 0) {
            return p;
        }
    }

    return NULL;
}
