
/* A budget of retries and hedges: see mark_retry_budget.h. */


#include "mark_retry_budget.h"


static unsigned mark_retry_budget_turn(mark_retry_budget_t *b, uint64_t now);


void
mark_retry_budget_request(mark_retry_budget_t *b, uint64_t now)
{
    b->requests[mark_retry_budget_turn(b, now)]++;
}


int
mark_retry_budget_take(mark_retry_budget_t *b,
    const mark_retry_budget_conf_t *conf, uint64_t now)
{
    double    allowed;
    unsigned  i, current;
    uint64_t  requests, taken;

    current = mark_retry_budget_turn(b, now);

    requests = 0;
    taken = 0;

    for (i = 0; i < MARK_RETRY_BUDGET_SECONDS; i++) {
        requests += b->requests[i];
        taken += b->taken[i];
    }

    allowed = conf->share * requests
              + conf->floor * MARK_RETRY_BUDGET_SECONDS;

    /* 0.1 three times is not 0.3, in either direction */

    if (!(taken + 1 <= allowed + 1e-6)) {
        return 0;
    }

    b->taken[current]++;

    return 1;
}


/* Clears what is over and returns the current second's place. */

static unsigned
mark_retry_budget_turn(mark_retry_budget_t *b, uint64_t now)
{
    unsigned  k;
    uint64_t  i, n;

    now /= 1000000;

    if (now > b->second) {
        n = now - b->second;
        b->second = now;

        for (i = 0; i < n && i < MARK_RETRY_BUDGET_SECONDS; i++) {
            k = (now - i) % MARK_RETRY_BUDGET_SECONDS;
            b->requests[k] = 0;
            b->taken[k] = 0;
        }
    }

    return b->second % MARK_RETRY_BUDGET_SECONDS;
}
