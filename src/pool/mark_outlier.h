
/*
 * Passive outlier ejection, after Envoy's: a peer whose requests fail one
 * after the other, or that holds one far longer than it takes, gets no more
 * of them for a while.  The while doubles each time, up to a cap, and halves
 * again as the peer stays healthy.  Then the peer is on probation: one request
 * at a time is tried, which either brings it back (mark_slowstart.h tells how
 * slowly) or has it ejected for longer.
 *
 *              errors                     time
 *     HEALTHY --------> EJECTED ------------------> PROBING
 *        ^                 ^       try fails           |
 *        |                 +---------------------------+
 *        +---------------------------------------------+
 *                           try succeeds
 *
 * The times are Envoy's by a thirtieth: nothing but requests finds out here
 * that a peer has recovered, and the pool is to have it back soon.
 *
 * The state is one peer's and may lie in shared memory, under the caller's
 * lock; all zeros is a healthy peer.  Times are microseconds of one clock.
 */


#ifndef _MARK_OUTLIER_H_INCLUDED_
#define _MARK_OUTLIER_H_INCLUDED_


#include <stdint.h>


/* Defaults. */
#define MARK_OUTLIER_ERRORS    5
#define MARK_OUTLIER_FAILURES  3
#define MARK_OUTLIER_BASE      1000000
#define MARK_OUTLIER_MAX       8000000
#define MARK_OUTLIER_CALM      10000000
#define MARK_OUTLIER_PERCENT   50


typedef enum {
    MARK_OUTLIER_OK = 0,      /* an answer, of any status below 500 */
    MARK_OUTLIER_5XX,         /* an answer */
    MARK_OUTLIER_FAILURE,     /* none: not connected, reset, timed out */
    MARK_OUTLIER_STALLED,     /* none yet, far beyond the predicted time */
    MARK_OUTLIER_ABANDONED    /* the request was given up: says nothing */
} mark_outlier_event_t;


typedef enum {
    MARK_OUTLIER_HEALTHY = 0,
    MARK_OUTLIER_EJECTED,
    MARK_OUTLIER_PROBING
} mark_outlier_status_t;


typedef struct {
    unsigned  errors;       /* consecutive, both sorts; 0: never ejects */
    unsigned  failures;     /* consecutive, without an answer; 0: the same */
    uint64_t  base;         /* the first ejection's time, 1 or more */
    uint64_t  max;          /* the longest ejection's */
    uint64_t  calm;         /* of health that undoes one doubling, 1 or more */
} mark_outlier_conf_t;


typedef struct {
    unsigned  errors;       /* consecutive, as above */
    unsigned  failures;
    unsigned  times;        /* the next ejection is base * 2^times */
    unsigned  ejected:1;    /* and not back yet */
    unsigned  probing:1;    /* a try is under way, since: */
    uint64_t  probe;
    uint64_t  at;           /* of the last ejection */
    uint64_t  until;        /* its end */
    uint64_t  healthy;      /* when the peer came back; 0: was never away */
} mark_outlier_t;


/*
 * Something became of a request that was sent to the peer at began.  allowed
 * is mark_outlier_allowed()'s word.  Returns 1 if that ejected the peer, or
 * ejected it again.
 *
 * What was sent before the last ejection is no news and changes nothing: an
 * outage fails many requests, and some of them late.  A success of what was
 * sent after it brings the peer back at once, a try or not (where all peers
 * are ejected, callers may send all the same; a health check may also say
 * so); failures count only of a try.
 */
int mark_outlier_event(mark_outlier_t *o, const mark_outlier_conf_t *conf,
    mark_outlier_event_t event, uint64_t began, int allowed, uint64_t now);

/*
 * Tells whether a request may be sent: always to a healthy peer, and to one
 * that is probed if no other try is under way.  A try that is not heard of
 * for conf->max is forgotten, as its process may have died.
 */
int mark_outlier_may_try(const mark_outlier_t *o,
    const mark_outlier_conf_t *conf, uint64_t now);

/*
 * A request is sent now, after mark_outlier_may_try(); its events have this
 * now for began.  One must follow, MARK_OUTLIER_ABANDONED if no other.
 */
void mark_outlier_try(mark_outlier_t *o, uint64_t now);

mark_outlier_status_t mark_outlier_status(const mark_outlier_t *o,
    uint64_t now);

/*
 * Tells whether one more of a pool's peers may be ejected: the first one, and
 * others while they are no more than max_percent of all, rounded down, as
 * Envoy has it with always_eject_one_host.  But never the last one: a peer
 * that fails is better than none.  npeers are those that could be used, the
 * nejected among them (the probed ones too) included; 0 percent ejects none.
 */
int mark_outlier_allowed(unsigned npeers, unsigned nejected,
    unsigned max_percent);


#endif /* _MARK_OUTLIER_H_INCLUDED_ */
