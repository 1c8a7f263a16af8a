
/*
 * What a backend's answer to a batch of n rows takes, learned while it
 * serves: a + b * n microseconds by least squares that forget, and beside it
 * the quantile of what the line did not foretell.
 */


#ifndef _MARK_LATENCY_H_INCLUDED_
#define _MARK_LATENCY_H_INCLUDED_


#include <stdint.h>


/* Observations before a prediction is made at all. */
#define MARK_LATENCY_WARM      8

/* Each observation leaves this share of what was known before. */
#define MARK_LATENCY_MEMORY    0.97

/*
 * And one that took less than half of what was expected this: a backend that
 * was slow is asked so seldom that it would seem slow for long.
 */
#define MARK_LATENCY_FASTER    0.25

/* Batches that a peer is thought to take at one time, at most. */
#define MARK_LATENCY_LIMIT     1024

/* A wait at the backend of less than so many microseconds is none. */
#define MARK_LATENCY_WAIT      1000

/* The residual's quantile that mark_latency_bound() adds. */
#define MARK_LATENCY_QUANTILE  0.95


typedef struct {
    unsigned  observed;     /* observations, up to MARK_LATENCY_WARM */
    double    w;            /* sums of weight, rows, usec, ... */
    double    x;
    double    y;
    double    xx;
    double    xy;
    double    a;            /* usec a batch */
    double    b;            /* usec a row */
    double    residual;     /* usec, at MARK_LATENCY_QUANTILE, never < 0 */
    double    deviation;    /* usec, recent mean of |residual| */
    double    limit;        /* batches at one time; below 1: not yet set */
    double    growth;       /* of limit, a batch */
    unsigned  crowded;      /* batches since one had the peer for itself */
} mark_latency_t;


/* All zeros is a valid state that knows nothing; so does this make one. */
void mark_latency_init(mark_latency_t *l);

/*
 * Takes somebody's word, in microseconds: what is observed takes its place
 * soon.  The bound is off by residual until then.
 */
void mark_latency_prior(mark_latency_t *l, double base, double row,
    double residual);

/*
 * A batch of rows (1 or more) took usec.  When it left, so many were in flight
 * for its peer, itself included.
 */
void mark_latency_observe(mark_latency_t *l, unsigned rows, uint64_t usec,
    unsigned beside);

/* Tells whether predictions can be used: 0 from these below until then. */
int mark_latency_known(const mark_latency_t *l);

/* The mean of what was seen, of batches of any size; 0 before the first. */
uint64_t mark_latency_usual(const mark_latency_t *l);

/* The expected time of a batch of rows, in microseconds. */
uint64_t mark_latency_mean(const mark_latency_t *l, unsigned rows);

/* The same with the residual's quantile: 19 of 20 batches are faster. */
uint64_t mark_latency_bound(const mark_latency_t *l, unsigned rows);

/* The most rows whose bound is within usec; 0: not even one, or not known. */
unsigned mark_latency_rows(const mark_latency_t *l, uint64_t usec);

/* The batches that a peer takes at one time without one waiting, at least 1. */
unsigned mark_latency_limit(const mark_latency_t *l);

/*
 * Tells whether a batch of rows is served faster than its rows one by one:
 * MArk's second condition, rows / T(rows) >= 1 / T(1), with a tenth to spare.
 * True while nothing is known.
 */
int mark_latency_pays(const mark_latency_t *l, unsigned rows);


#endif /* _MARK_LATENCY_H_INCLUDED_ */
