
/* Counters of each batched location in shared memory, one set a process. */


#ifndef _NGX_HTTP_MARK_COUNTERS_H_INCLUDED_
#define _NGX_HTTP_MARK_COUNTERS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "mark_policy.h"


/* Worker processes with counters of their own; more of them share. */
#define NGX_HTTP_MARK_SEATS        32

/* Why a request was passed on by itself, beside the names in counters.c. */

typedef enum {
    NGX_HTTP_MARK_PASS_METHOD = 0,   /* not a POST, or an upgrade */
    NGX_HTTP_MARK_PASS_SUBREQUEST,
    NGX_HTTP_MARK_PASS_ENCODED,      /* Content-Encoding */
    NGX_HTTP_MARK_PASS_BYTES,        /* over mark_max_batch_bytes */
    NGX_HTTP_MARK_PASS_ROWS,         /* over mark_max_batch_size */
    NGX_HTTP_MARK_PASS_NO_ROWS,
    NGX_HTTP_MARK_PASS_INVALID,      /* not the JSON that all parsers read */
    NGX_HTTP_MARK_PASS_UNSUPPORTED,  /* not this protocol */
    NGX_HTTP_MARK_PASS_STATEFUL,     /* a sequence, or shared memory */
    NGX_HTTP_MARK_PASS_STREAM,
    NGX_HTTP_MARK_PASS_UNSPLIT,      /* answers here could not be split */
    NGX_HTTP_MARK_PASS_REPLACED,     /* the location sends another body */
    NGX_HTTP_MARK_PASS_MEMORY,
    NGX_HTTP_MARK_PASS_NREASONS
} ngx_http_mark_pass_e;


#define NGX_HTTP_MARK_ROW_BUCKETS  12
#define NGX_HTTP_MARK_SEC_BUCKETS  17


typedef struct {
    ngx_atomic_t  buckets[NGX_HTTP_MARK_ROW_BUCKETS];   /* the last: +Inf */
    ngx_atomic_t  sum;
} ngx_http_mark_row_histogram_t;


typedef struct {
    ngx_atomic_t  buckets[NGX_HTTP_MARK_SEC_BUCKETS];   /* the last: +Inf */
    ngx_atomic_t  sum;                                  /* usec */
} ngx_http_mark_sec_histogram_t;


typedef struct {
    ngx_uint_t    usec;
    const char   *seconds;
} ngx_http_mark_bound_t;


/* What the queue that had an answer last has learned; at 0: nothing yet. */

typedef struct {
    ngx_atomic_t  at;                  /* ngx_current_msec */
    ngx_atomic_t  base;                /* usec a batch */
    ngx_atomic_t  row;                 /* nsec a row */
    ngx_atomic_t  residual;            /* usec, see mark_latency.h */
    ngx_atomic_t  limit;               /* batches at one time, a peer */
} ngx_http_mark_learned_t;


typedef struct {
    ngx_atomic_t  requests;
    ngx_atomic_t  rows;
    ngx_atomic_t  batches[MARK_POLICY_NREASONS];
    ngx_atomic_t  passed[NGX_HTTP_MARK_PASS_NREASONS];
    ngx_atomic_t  failed;              /* batches that did not answer all */
    ngx_atomic_t  retries;             /* members of those, tried again */
    ngx_atomic_t  expired;             /* too late to be tried again */
    ngx_atomic_t  rejected;            /* over mark_max_queue_size */
    ngx_atomic_t  timeouts;            /* too late for mark_timeout_action */
    ngx_atomic_t  aborted;             /* clients gone before their answer */
    ngx_atomic_t  slo_met;
    ngx_atomic_t  slo_missed;
    ngx_atomic_t  body_files;          /* bodies read back from a file */
    ngx_atomic_t  unshared;            /* no room in the shared memory */
    ngx_atomic_t  carriers_created;
    ngx_atomic_t  carriers_freed;

    ngx_http_mark_row_histogram_t  batch_rows;
    ngx_http_mark_sec_histogram_t  queue_time;
    ngx_http_mark_sec_histogram_t  batch_time;

    /* gauges of the process that has the seat */

    ngx_atomic_t  queued;
    ngx_atomic_t  in_flight;

    ngx_http_mark_learned_t  learned;
} ngx_http_mark_counters_t;


typedef struct ngx_http_mark_node_s       ngx_http_mark_node_t;
typedef struct ngx_http_mark_gate_node_s  ngx_http_mark_gate_node_t;
typedef struct ngx_http_mark_pool_node_s  ngx_http_mark_pool_node_t;


/* The zone. */

typedef struct {
    ngx_uint_t                  layout;
    size_t                      size;
    ngx_http_mark_node_t       *nodes;
    ngx_http_mark_gate_node_t  *gates;
    ngx_http_mark_pool_node_t  *pools;
    ngx_atomic_t                seats[NGX_HTTP_MARK_SEATS];    /* pids */
} ngx_http_mark_shm_t;


#define ngx_http_mark_count(conf, field)                                     \
    (void) ngx_atomic_fetch_add(&(conf)->counters->field, 1)

#define ngx_http_mark_add(conf, field, n)                                    \
    (void) ngx_atomic_fetch_add(&(conf)->counters->field, (n))


extern const ngx_uint_t  ngx_http_mark_row_bounds[];
extern const ngx_http_mark_bound_t  ngx_http_mark_sec_bounds[];

const char *ngx_http_mark_pass_reason(ngx_uint_t reason);

void ngx_http_mark_observe_rows(ngx_http_mark_row_histogram_t *h,
    ngx_uint_t rows);
void ngx_http_mark_observe_usec(ngx_http_mark_sec_histogram_t *h,
    uint64_t usec);

/* Shows what a queue has learned. */
void ngx_http_mark_counters_learned(ngx_http_mark_counters_t *counters,
    const mark_latency_t *latency);

/* The rows of a batch that takes msec at most by that, nearly always. */
ngx_uint_t ngx_http_mark_learned_rows(const ngx_http_mark_learned_t *learned,
    ngx_msec_t msec, ngx_uint_t max);

/* Makes the zone; called when all locations are known. */
ngx_int_t ngx_http_mark_counters_zone(ngx_conf_t *cf);

/* Takes a seat for this process, and gives it back. */
ngx_int_t ngx_http_mark_counters_init_process(ngx_cycle_t *cycle);
void ngx_http_mark_counters_exit_process(ngx_cycle_t *cycle);

/* Tells whether there is such a process, at the price of a system call. */
ngx_uint_t ngx_http_mark_alive(ngx_atomic_uint_t pid);

/*
 * Adds up all seats of the i-th location of the configuration; what is learned
 * is that of the seat which learned last.
 */
void ngx_http_mark_counters_sum(void *main_conf, ngx_uint_t i,
    ngx_http_mark_counters_t *sum);


#endif /* _NGX_HTTP_MARK_COUNTERS_H_INCLUDED_ */
