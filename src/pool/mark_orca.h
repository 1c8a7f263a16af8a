
/*
 * ORCA load reports: what a backend says of its own load in the headers of an
 * answer, xds.data.orca.v3.OrcaLoadReport.  vLLM, Triton and gRPC's servers
 * send them when a request asks by "endpoint-load-metrics-format: TEXT" or
 * JSON.
 *
 *     endpoint-load-metrics: TEXT cpu_utilization=0.7, named_metrics.queue=3
 *     endpoint-load-metrics: JSON {"cpu_utilization": 0.7,
 *                                  "named_metrics": {"queue": 3}}
 *
 * TEXT takes "=" and ":", as emitters have it either way, JSON the names of
 * the .proto and protobuf's own in camel case.  A value without a format in
 * front is guessed: the older header endpoint-load-metrics-json is that, and
 * Azure's documentation shows it.  BIN, a serialized message in base64, is
 * not read.
 */


#ifndef _MARK_ORCA_H_INCLUDED_
#define _MARK_ORCA_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


/* Metrics of a report in TEXT; one with more of them is refused. */
#define MARK_ORCA_MAX_METRICS  128


typedef enum {
    MARK_ORCA_OK = 0,
    MARK_ORCA_INVALID,
    MARK_ORCA_UNSUPPORTED     /* BIN */
} mark_orca_status_t;


/*
 * All are finite and not negative.  Zero and absent are the same, as they are
 * in the message itself.
 */

typedef struct {
    double    application_utilization;     /* 1: all it can; may be more */
    double    cpu_utilization;             /* the same */
    double    mem_utilization;             /* 0 to 1 */
    double    eps;                         /* errors a second */
    double    rps;                         /* rps_fractional, requests a s. */
    double    named;                       /* the metric asked for */
    unsigned  found:1;                     /* whether that was there */
} mark_orca_t;


/*
 * Parses the value of the header; of several such headers the first counts.
 * metric is the one wanted beside the fields: "named_metrics.NAME",
 * "utilization.NAME", "request_cost.NAME", a field, or NULL for none.
 *
 * One thing that is wrong voids all of it: a number that is none, or NaN, or
 * infinite, a name twice, or something negative that may not be.  Named
 * metrics and costs may be, unless they are the one wanted.  What a newer
 * version of the message may add is passed over.  The report is all zeros
 * unless MARK_ORCA_OK is returned.
 */
mark_orca_status_t mark_orca_parse(mark_orca_t *report, const void *data,
    size_t len, const char *metric);

/* Tells whether mark_orca_parse() can ever find such a metric. */
int mark_orca_metric(const char *metric);


#endif /* _MARK_ORCA_H_INCLUDED_ */
