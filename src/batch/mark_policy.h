
/*
 * When does a batch leave?  A pure decision over the state of one queue, so
 * that nginx, the simulator and the tests decide alike.  Times are in
 * microseconds of one monotonic clock, which the caller reads.
 */


#ifndef _MARK_POLICY_H_INCLUDED_
#define _MARK_POLICY_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "mark_latency.h"


#define MARK_POLICY_AUTO       UINT64_MAX

/* How long to gather behind a batch in flight while nothing is learned. */
#define MARK_POLICY_PATIENCE   100000

/* What nginx's timers, of a millisecond, and the way to the backend take. */
#define MARK_POLICY_MARGIN     2000


/*
 * Behind batches that take less than so many microseconds there is nothing
 * to gather but what the kernel's wake-ups cost; so many of them then keep a
 * peer busy, where it takes as many.
 */
#define MARK_POLICY_QUICK      1000
#define MARK_POLICY_PIPELINE   4


/* An idle peer is tried again after so long, whatever was learned of it. */
#define MARK_POLICY_STALE      1000000

/* Preferred batch sizes of a queue. */
#define MARK_POLICY_SIZES      16


/* Why a batch left; the names are mark_policy_reason()'s. */

typedef enum {
    MARK_POLICY_WAIT = 0,     /* it stays */
    MARK_POLICY_FULL,         /* mark_max_batch_size rows are waiting */
    MARK_POLICY_BYTES,        /* mark_max_batch_bytes are waiting */
    MARK_POLICY_IDLE,         /* a peer has nothing to do */
    MARK_POLICY_DELAY,        /* mark_max_queue_delay is over */
    MARK_POLICY_DEADLINE,     /* the most urgent request can wait no longer */
    MARK_POLICY_OVERDUE,      /* what is in flight takes far too long */
    MARK_POLICY_NO_GAIN,      /* batches are served no faster than rows */
    MARK_POLICY_DRAIN,        /* the process is leaving */
    MARK_POLICY_OVERFLOW,     /* elsewhere: mark_policy_decide() never says */
    MARK_POLICY_NREASONS
} mark_policy_reason_t;


typedef struct {
    unsigned               max_rows;
    size_t                 max_bytes;
    uint64_t               delay;        /* or MARK_POLICY_AUTO */

    unsigned               nsizes;       /* preferred ones, ascending */
    unsigned               sizes[MARK_POLICY_SIZES];
} mark_policy_conf_t;


typedef struct {
    uint64_t               now;

    unsigned               rows;         /* waiting */
    size_t                 bytes;
    uint64_t               oldest;       /* arrival of the oldest */
    uint64_t               deadline;     /* the most urgent; 0 is none */

    unsigned               slots;        /* peers, each worth one batch */
    unsigned               in_flight;    /* batches, of one request or more */
    uint64_t               last_sent;    /* when the latest of them left */
    unsigned               last_rows;    /* and its rows */

    unsigned               max_rows;     /* of the peer; 0: no limit */
    uint64_t               free;         /* when it can begin; 0: not told */

    unsigned               draining:1;
    unsigned               blocked:1;    /* no peer may take another batch */
    unsigned               late:1;       /* all that wait will be */

    const mark_latency_t  *latency;
} mark_policy_state_t;


/*
 * Decides for a queue in which something waits.  With MARK_POLICY_AUTO no more
 * leaves than the peers take at one time, as learned (mark_latency_limit),
 * unless what is in flight is overdue or the process leaves: a batch that only
 * waits in the backend's queue grows no more and cannot be given up, and in
 * overload all deadlines would be missed there.
 *
 * On MARK_POLICY_WAIT, *again
 * is when to ask next if nothing happens before; it is always set.
 */
mark_policy_reason_t mark_policy_decide(const mark_policy_conf_t *conf,
    const mark_policy_state_t *state, uint64_t *again);

/*
 * How many rows the batch may have that leaves now, in the sense of MArk's
 * first condition, W + T(n) <= SLO, at least 1: as many as still meet the
 * most urgent deadline (of those that can be met), and a preferred size if
 * there is one.
 *
 * With more waiting than one batch holds the deadline of one request does not
 * count: batches that shrink for the sake of the first are served at a lower
 * rate, and all behind it would miss theirs as well.
 */
unsigned mark_policy_rows(const mark_policy_conf_t *conf,
    const mark_policy_state_t *state);

/*
 * Tells whether a request of so many rows, which is still waiting, is too
 * late for its deadline (0 is none), even if it leaves as soon as a peer is
 * free.  With more waiting than one batch holds it would share a full one,
 * whose time must be certain (this is the early drop of Nexus, SOSP'19,
 * section 4.3).  What was not asked for a while may have become faster.
 */
int mark_policy_late(const mark_policy_conf_t *conf,
    const mark_policy_state_t *state, uint64_t deadline, unsigned rows);

/* The rows of a batch that is not worth waiting for more of. */
unsigned mark_policy_full(const mark_policy_conf_t *conf,
    const mark_policy_state_t *state);

const char *mark_policy_reason(mark_policy_reason_t reason);

/*
 * Tells whether the answer to a batch, by its HTTP status, may be one
 * member's fault, so that its members are worth trying alone.  Statuses that
 * speak of the caller (401, 403, 407), of load (408, 429, 503) or of a
 * gateway (502, 504) would be said to each of them again.
 */
int mark_policy_blames_member(unsigned status);


#endif /* _MARK_POLICY_H_INCLUDED_ */
