
/*
 * A budget of retries and hedges, after Finagle's: they may be a share of the
 * requests, and a few a second beside that where there are not many.  When a
 * pool is overloaded all requests fail, and retries without such a bound are
 * what keeps it so.
 *
 * Requests and retries of the current second and the nine before it count.
 * The few a second are saved up over these as well, so up to ten seconds'
 * worth of them may come at once.
 *
 * The state may lie in shared memory, under the caller's lock; all zeros is a
 * valid one.  Times are microseconds of one clock; one that stands a little
 * behind is taken for the latest seen.
 */


#ifndef _MARK_RETRY_BUDGET_H_INCLUDED_
#define _MARK_RETRY_BUDGET_H_INCLUDED_


#include <stdint.h>


#define MARK_RETRY_BUDGET_SECONDS  10

/* Defaults. */
#define MARK_RETRY_BUDGET_SHARE    0.2
#define MARK_RETRY_BUDGET_FLOOR    1


typedef struct {
    double    share;      /* retries a request, 0 or more */
    double    floor;      /* retries a second beside that, 0 or more */
} mark_retry_budget_conf_t;


typedef struct {
    uint64_t  second;     /* the latest one */
    uint32_t  requests[MARK_RETRY_BUDGET_SECONDS];   /* rings of seconds */
    uint32_t  taken[MARK_RETRY_BUDGET_SECONDS];
} mark_retry_budget_t;


/* A request came; its retries and hedges are none. */
void mark_retry_budget_request(mark_retry_budget_t *b, uint64_t now);

/* Asks for one retry or hedge: 1 if it may be made, and it is counted. */
int mark_retry_budget_take(mark_retry_budget_t *b,
    const mark_retry_budget_conf_t *conf, uint64_t now);


#endif /* _MARK_RETRY_BUDGET_H_INCLUDED_ */
