
/*
 * What a peer's load reports do to its share of the requests: a factor, 1 as
 * long as it has room and less as it fills up.
 *
 * Of two ramps the lower counts, as both often tell of the same thing: one
 * over the utilization, one over a metric of the user's choice.  S3ML took
 * the rate at which an enclave's memory is paged for that metric, which warns
 * of a broken SLO before the latency does; the fill of a KV cache, major
 * faults or the pressure stall information of a container serve as well.
 * Thresholds are found by experiment, for each model.
 *
 * The factor is smoothed over the reports, so that peers do not swing between
 * full and empty, and a report that grew old is forgotten: the factor grows
 * back to 1, or a peer that got nothing because of its last report would
 * never send another one.
 *
 * The state is one peer's and may lie in shared memory; all zeros is a peer
 * that has not reported.  Times are microseconds of one clock; one that is
 * read a little behind another process's does no harm.
 */


#ifndef _MARK_PRESSURE_H_INCLUDED_
#define _MARK_PRESSURE_H_INCLUDED_


#include <stdint.h>

#include "mark_orca.h"


/* The least share: the peer must still be asked to report that it is well. */
#define MARK_PRESSURE_MIN   0.05

/* Where a utilization begins to count, and where only the least is left. */
#define MARK_PRESSURE_LOW   0.5
#define MARK_PRESSURE_HIGH  1.0

/* Defaults of the times below. */
#define MARK_PRESSURE_TAU   1000000
#define MARK_PRESSURE_TTL   10000000


typedef struct {
    double    low;        /* 1 up to here; in the metric's own unit */
    double    high;       /* the least from here; 0: no metric is used */
    uint64_t  tau;        /* the smoothing's time constant; 0: none */
    uint64_t  ttl;        /* how long a report holds */
} mark_pressure_conf_t;


typedef struct {
    double    share;      /* smoothed, when the last report came */
    uint64_t  at;         /* when it came */
    unsigned  reported:1;
} mark_pressure_t;


/*
 * Takes a report: application_utilization, or cpu_utilization where that is
 * zero, and, if it was found, the metric that was asked for.  The first one
 * counts whole.
 */
void mark_pressure_report(mark_pressure_t *p,
    const mark_pressure_conf_t *conf, const mark_orca_t *report, uint64_t now);

/*
 * The factor, MARK_PRESSURE_MIN to 1.  It holds for ttl after the last report
 * and is back at 1 after as long again, on a straight line.
 */
double mark_pressure_factor(const mark_pressure_t *p,
    const mark_pressure_conf_t *conf, uint64_t now);


#endif /* _MARK_PRESSURE_H_INCLUDED_ */
