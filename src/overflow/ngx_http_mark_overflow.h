
/*
 * mark_overflow: where a batch goes that the servers cannot answer in time,
 * and what bounds that.
 */


#ifndef _NGX_HTTP_MARK_OVERFLOW_H_INCLUDED_
#define _NGX_HTTP_MARK_OVERFLOW_H_INCLUDED_


#include "ngx_http_mark.h"
#include "mark_budget.h"
#include "mark_outlier.h"


/* Why a request overflows. */

typedef enum {
    NGX_HTTP_MARK_OVERFLOW_LATE = 0,     /* it would miss its deadline */
    NGX_HTTP_MARK_OVERFLOW_FULL,         /* over mark_max_queue_size */
    NGX_HTTP_MARK_OVERFLOW_NREASONS
} ngx_http_mark_overflow_reason_e;


/* Why one that should does not. */

typedef enum {
    NGX_HTTP_MARK_KEPT_DISARMED = 0,
    NGX_HTTP_MARK_KEPT_RATE,
    NGX_HTTP_MARK_KEPT_CONCURRENCY,
    NGX_HTTP_MARK_KEPT_COST,
    NGX_HTTP_MARK_KEPT_BACKOFF,          /* it failed, or said so */
    NGX_HTTP_MARK_KEPT_SLOW,             /* it would be too late there, too */
    NGX_HTTP_MARK_KEPT_NREASONS
} ngx_http_mark_kept_e;


/* Of a location, in the counters' zone, under its mutex. */

struct ngx_http_mark_overflow_state_s {
    mark_budget_t              budget;
    mark_latency_t             latency;
    mark_outlier_t             outlier;
    uint64_t                   last_sent;    /* usec */
    uint64_t                   not_before;   /* usec; as it asked for */
    uint64_t                   buried;       /* usec; looked for the dead */
    uint64_t                   expected;     /* nano-dollars a batch */
    uint64_t                   spent;        /* nano-dollars, ever */

    uint32_t                   held[NGX_HTTP_MARK_SEATS];
    uint64_t                   reserved[NGX_HTTP_MARK_SEATS];

    ngx_atomic_uint_t          batches;
    ngx_atomic_uint_t          failed;
    ngx_atomic_uint_t          requests[NGX_HTTP_MARK_OVERFLOW_NREASONS];
    ngx_atomic_uint_t          kept[NGX_HTTP_MARK_KEPT_NREASONS];
};


/* A location's directive. */

struct ngx_http_mark_overflow_s {
    ngx_str_t                  name;
    ngx_http_core_loc_conf_t  *location;
    ngx_http_core_srv_conf_t  *server;
    double                     rate;         /* INFINITY: no limit */
    double                     concurrency;
    double                     cost;         /* an hour */
    uint64_t                   request_cost; /* nano-dollars */
    ngx_flag_t                 armed;
    u_char                    *file;
    ngx_uint_t                 line;
};


char *ngx_http_mark_overflow(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
ngx_int_t ngx_http_mark_overflow_bind(ngx_conf_t *cf,
    ngx_http_mark_main_conf_t *mmcf);

/* The budget; all with the lock held. */
ngx_uint_t ngx_http_mark_overflow_limits(ngx_http_mark_loc_conf_t *mlcf,
    mark_budget_limits_t *limits);
mark_budget_status_t ngx_http_mark_overflow_budget(
    ngx_http_mark_main_conf_t *mmcf, ngx_http_mark_overflow_state_t *o,
    uint64_t cost, mark_budget_limits_t *limits, uint64_t now);
ngx_uint_t ngx_http_mark_overflow_broke(ngx_http_mark_overflow_state_t *o,
    mark_budget_limits_t *limits, uint64_t request_cost, uint64_t now);
void ngx_http_mark_overflow_bury(ngx_http_mark_overflow_state_t *o,
    ngx_http_mark_shm_t *shm, uint64_t now);

/* MARK_POLICY_WAIT, or a load of what the servers would answer too late. */
mark_policy_reason_t ngx_http_mark_overflow_look(ngx_http_mark_queue_t *q,
    ngx_http_mark_line_t *line, mark_policy_state_t *state, uint64_t *again,
    ngx_http_mark_load_t *load);

/* The batch's carrier has ended: what is to be known of it. */
void ngx_http_mark_overflow_finish(ngx_http_mark_batch_t *batch,
    ngx_http_request_t *r);

/* It did not leave after all. */
void ngx_http_mark_overflow_cancel(ngx_http_mark_queue_t *q,
    ngx_http_mark_away_t *away);

/* It is back; usec 0: not with a whole answer of 200. */
void ngx_http_mark_overflow_done(ngx_http_mark_batch_t *batch,
    ngx_http_mark_fate_e fate, uint64_t usec);

extern mark_outlier_conf_t  ngx_http_mark_overflow_outlier;

const char *ngx_http_mark_overflow_reason(ngx_uint_t reason);
const char *ngx_http_mark_kept_reason(ngx_uint_t reason);


#endif /* _NGX_HTTP_MARK_OVERFLOW_H_INCLUDED_ */
