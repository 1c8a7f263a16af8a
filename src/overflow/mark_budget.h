
/*
 * What bounds an overflow: requests a second, requests in flight, and money
 * an hour.
 *
 * Requests a second are a token bucket that holds one second's worth, and one
 * request at least: no more than that and what the rate allows in any time.
 *
 * Money is reserved before a request is sent, in the amount that is expected,
 * and settled when the true cost is known.  What is reserved, what was spent
 * in the last hour and what is asked for come to no more than the budget, so
 * in no hour, whenever it begins, is more than the budget spent, provided
 * that no request costs more than was expected; if some do, then by the
 * difference of those that are in flight at one time.  Fixed hours would let
 * through twice the budget around the full hour, and a bucket that is
 * refilled as much as it holds more than the budget.  Here each minute's
 * spending is kept until the hour that it may belong to is over, which takes
 * 61 of them: at a steady rate up to a sixtieth of the budget is not used.
 *
 * The state may lie in shared memory, under the caller's lock; all zeros is a
 * valid one.  Limits belong to the caller and may be others each time: lower
 * ones stop new requests at once and leave those in flight alone.  Times are
 * microseconds of one clock; one that stands a little behind is taken for
 * the latest seen.  Money is nano-dollars: a request to AWS Lambda costs some
 * thousands of them, and 64 bits hold eighteen billion dollars.
 */


#ifndef _MARK_BUDGET_H_INCLUDED_
#define _MARK_BUDGET_H_INCLUDED_


#include <stdint.h>


#define MARK_BUDGET_MINUTES    61

#define MARK_BUDGET_UNLIMITED  UINT64_MAX

/* A rate above this is this, a million a second. */
#define MARK_BUDGET_MAX_RATE   1000000000


typedef enum {
    MARK_BUDGET_OK = 0,
    MARK_BUDGET_RATE,
    MARK_BUDGET_CONCURRENCY,
    MARK_BUDGET_COST
} mark_budget_status_t;


/* Zero is none of it, and MARK_BUDGET_UNLIMITED any number. */

typedef struct {
    uint64_t  rate;           /* thousandths of a request a second */
    uint64_t  concurrency;    /* requests */
    uint64_t  cost;           /* nano-dollars an hour */
} mark_budget_limits_t;


typedef struct {
    uint64_t  used;           /* of the rate's bucket, 1e-9 requests */
    uint64_t  at;             /* when that was so */
    uint64_t  in_flight;
    uint64_t  reserved;       /* nano-dollars, of those in flight */
    uint64_t  minute;         /* the latest one */
    uint64_t  spent[MARK_BUDGET_MINUTES];    /* a ring of minutes */
} mark_budget_t;


/*
 * Makes limits of a plan's numbers, rounded down: requests a second, requests
 * in flight, dollars an hour; INFINITY is no limit.  Returns -1, and limits
 * that let nothing through, if one is negative or NaN.
 */
int mark_budget_limits(mark_budget_limits_t *limits, double rate,
    double concurrency, double dollars);

/*
 * Asks for one request that is expected to cost so much; the reason is the
 * first one that stands in its way, and nothing is taken then.  Each OK is
 * answered by one of the calls below, with the same expected cost.
 */
mark_budget_status_t mark_budget_take(mark_budget_t *b,
    const mark_budget_limits_t *limits, uint64_t now, uint64_t expected);

/* The request is over, and this is what it cost. */
void mark_budget_settle(mark_budget_t *b, uint64_t now, uint64_t expected,
    uint64_t actual);

/*
 * The request was not sent after all.  Its place in the rate's bucket stays
 * taken: it may be filled again by now, and given back would be two.
 */
void mark_budget_cancel(mark_budget_t *b, uint64_t expected);

/*
 * A process died with n requests in flight, for which it had reserved so
 * much: that may well have been spent, and counts so.  The caller keeps both
 * sums of each process.
 */
void mark_budget_forfeit(mark_budget_t *b, uint64_t now, uint64_t n,
    uint64_t reserved);

/* What was spent in the last hour, or up to a minute more. */
uint64_t mark_budget_spent(const mark_budget_t *b, uint64_t now);


#endif /* _MARK_BUDGET_H_INCLUDED_ */
