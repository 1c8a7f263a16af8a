
/*
 * Which of several functions, equal but for their memory (and with it their
 * speed and their price), is asked: the one that costs the least of those
 * that are fast enough for the deadline.  And what an invocation costs.
 */


#ifndef _MARK_FUNCTION_H_INCLUDED_
#define _MARK_FUNCTION_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "mark_latency.h"


#define MARK_FUNCTION_MAX     8

/* Invocations at one time of a function that is not known yet. */
#define MARK_FUNCTION_TRIALS  2

/* After so many failures in a row it is passed over. */
#define MARK_FUNCTION_FAILED  3

/*
 * One that was passed over so many times in a row is tried again: it may have
 * been updated, or it was cold when it was learned.
 */
#define MARK_FUNCTION_AGAIN   256


typedef struct {
    unsigned        memory;       /* MB */
    mark_latency_t  latency;      /* of units: rows, or KB of payload */
    unsigned        trials;       /* in flight while it is not known */
    unsigned        failed;       /* in a row */
    unsigned        passed;       /* over, in a row */
} mark_function_t;


typedef struct {
    double          gb_second;    /* USD */
    double          request;      /* USD */
} mark_function_price_t;


/* What a function says of one invocation, in the end of its log. */

typedef struct {
    unsigned        billed;       /* msec */
    unsigned        memory;       /* MB */
} mark_function_report_t;


/*
 * The one of n functions (n >= 1, the smallest first) for so many units, with
 * usec left to the deadline; 0: none.  A trial of one that is not known is
 * counted; one of the next two is to be called once for each choice.
 */
size_t mark_function_choose(mark_function_t *f, size_t n, unsigned units,
    uint64_t usec);

/* An invocation took usec, or 0: it failed, and nothing is learned. */
void mark_function_done(mark_function_t *f, unsigned units, uint64_t usec);

/* Or its end is not known, as whoever waited for it has left. */
void mark_function_left(mark_function_t *f);

/* Billionths of a dollar. */
uint64_t mark_function_cost(const mark_function_price_t *price,
    unsigned memory, unsigned billed);

/* Finds the REPORT line; returns 0, or -1 if there is none that is whole. */
int mark_function_report(mark_function_report_t *report, const uint8_t *log,
    size_t len);


#endif /* _MARK_FUNCTION_H_INCLUDED_ */
