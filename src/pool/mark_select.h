
/*
 * Which peer a batch goes to: of those that are expected to meet its deadline
 * the cheapest per row, else the one that is done first.  This is what MArk's
 * load balancer and bouncers decide together (USENIX ATC'19; Figure 4), with
 * the learned latency of each peer instead of a profile.
 *
 * A pure decision over a picture of the pool.  Times are in microseconds of
 * one monotonic clock, which the caller reads.
 */


#ifndef _MARK_SELECT_H_INCLUDED_
#define _MARK_SELECT_H_INCLUDED_


#include <stdint.h>

#include "mark_latency.h"


/* What the way to the peer and a timer of a millisecond take. */
#define MARK_SELECT_MARGIN    2000

/* And which part of its time a batch may be late by, as all is but foreseen. */
#define MARK_SELECT_DOUBT     0.1

/*
 * Peers of one price whose rows cost at most so many times the cheapest's are
 * as cheap: of those the first to be done is taken, so that the noise of what
 * was learned does not put all load on one of several like it.
 */
#define MARK_SELECT_BAND      1.25

/* What a peer of which nothing is known may have beside what is new. */
#define MARK_SELECT_UNKNOWN   1

/* And how much later than others it is thought to be when it has that. */
#define MARK_SELECT_PATIENCE  100000

/* What a batch takes at least, where a peer is to be looked at again. */
#define MARK_SELECT_LEAST     4000

/* A peer that had nothing for so long is to be looked at again. */
#define MARK_SELECT_STALE     5000000


typedef struct {
    const mark_latency_t  *latency;      /* of such batches */
    double                 price;        /* an hour; 0: costs nothing */
    double                 share;        /* above 0, 1: all that it could */
    unsigned               weight;       /* at least 1 */
    unsigned               concurrency;  /* batches at one time; 0: learned */
    unsigned               in_flight;    /* batches and requests */
    unsigned               max_rows;     /* of a batch; 0: no limit */
    uint64_t               free_at;      /* when these are expected back */
    uint64_t               last_sent;    /* 0: never */
    unsigned               usable:1;     /* is to be considered at all */
    unsigned               backup:1;     /* only if no other one is usable */
    unsigned               probe:1;      /* one request, to see if it lives */
    unsigned               failing:1;    /* and has done nothing else lately */
} mark_select_peer_t;


typedef struct {
    uint64_t               now;
    uint64_t               deadline;     /* the earliest; 0: none */
    unsigned               rows;         /* 1 or more */
    unsigned               waiting;      /* with all behind it; 0: just it */
    unsigned               explore:1;    /* a stale peer may have it */
} mark_select_batch_t;


/* Why it was that one. */

typedef enum {
    MARK_SELECT_NONE = 0,
    MARK_SELECT_CHEAPEST,                /* of those that meet the deadline */
    MARK_SELECT_EARLIEST,                /* to finish; without a deadline, */
                                         /* or where no peer meets it */
    MARK_SELECT_EXPLORE,                 /* it had nothing for long */
    MARK_SELECT_PROBE,                   /* it was ejected: does it live? */
    MARK_SELECT_NREASONS
} mark_select_reason_t;


typedef struct {
    int                    peer;         /* -1: none is usable */
    unsigned               rows;         /* that it would have */
    uint64_t               start;        /* when it is expected to begin */
    uint64_t               finish;       /* and to be done, nearly always */
    uint64_t               latest;       /* when it must begin; 0: any time */
    mark_select_reason_t   reason;
    unsigned               meets:1;      /* the deadline */
    unsigned               explores:1;   /* was chosen to be looked at */
} mark_select_choice_t;


const char *mark_select_reason(mark_select_reason_t reason);

/*
 * Chooses for a batch.  start > now: it is worth waiting for that peer.  Where
 * more waits than this batch, that is so only if the peer would be done with
 * all of it by then: a free one is not left idle for the sake of the first.
 */
void mark_select(const mark_select_peer_t *peers, unsigned n,
    const mark_select_batch_t *batch, mark_select_choice_t *choice);

/*
 * When a row is expected to be done that has so many before it in the queue,
 * if batches of up to full rows go to whichever peer is done with them first.
 * work has room for n times; UINT64_MAX: no peer is usable, or one of them is
 * not known yet (then it may be any time).
 */
uint64_t mark_select_finish(const mark_select_peer_t *peers, unsigned n,
    uint64_t now, unsigned ahead, unsigned full, uint64_t *work);

/* How many batches the peer takes at one time, as told or as learned. */
unsigned mark_select_limit(const mark_select_peer_t *peer);

/* When the peer can begin with another batch. */
uint64_t mark_select_start(const mark_select_peer_t *peer, uint64_t now);


#endif /* _MARK_SELECT_H_INCLUDED_ */
