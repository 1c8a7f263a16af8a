
/*
 * What the files of ngx_http_mark_module share: its configuration, the state
 * of a client's request, a queue, a batch, and who calls whom.
 */


#ifndef _NGX_HTTP_MARK_H_INCLUDED_
#define _NGX_HTTP_MARK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "mark_codec.h"
#include "mark_latency.h"
#include "mark_policy.h"
#include "ngx_http_mark_counters.h"


#define NGX_HTTP_MARK_VERSION   "0.1.0"

/* mark_max_queue_delay auto */
#define NGX_HTTP_MARK_AUTO      ((ngx_msec_t) -2)

/* The longest deadline that a client can ask for: a day, in milliseconds. */
#define NGX_HTTP_MARK_MAX_SLO   86400000

/*
 * What has no deadline waits among the rest as if it had this one, in
 * microseconds, so that it is not passed over for ever.
 */
#define NGX_HTTP_MARK_PATIENT   10000000

/* And what waits longer has a part of each batch, whatever is before it. */
#define NGX_HTTP_MARK_STARVED   1000000

/*
 * Priorities: 1 is the highest.  A request that says nothing has the second;
 * what cannot meet its deadline any more goes behind all.
 */
#define NGX_HTTP_MARK_PRIORITY  2
#define NGX_HTTP_MARK_LATE      256

/* mark_timeout_action */
#define NGX_HTTP_MARK_DELAY     0
#define NGX_HTTP_MARK_REJECT    1
#define NGX_HTTP_MARK_OVERFLOW  2

/* Values of mark_batch_key. */
#define NGX_HTTP_MARK_MAX_KEYS  8

/* Worker processes that can share queues. */
#define NGX_HTTP_MARK_WORKERS   64

/*
 * How much later than the first worker the others look at a line that they
 * share, and how often all look after their cells; in usec.
 */
#define NGX_HTTP_MARK_SECOND    3000
#define NGX_HTTP_MARK_GUARD     1000000

/* Parts of failed batches that one queue has in flight at one time. */
#define NGX_HTTP_MARK_RETRIES   4

/* Answers in a row that could not be split, until the queue stops trying. */
#define NGX_HTTP_MARK_UNSPLIT   3

/* The same of batches of several workers that failed, whose fault it was. */
#define NGX_HTTP_MARK_REFUSED   8

/* And for how long, in seconds. */
#define NGX_HTTP_MARK_PAUSE     30

/* Of the binary tensor extension: how much of a body is JSON. */
#define NGX_HTTP_MARK_JSON_LEN  "Inference-Header-Content-Length"

/* A captured reply may be this many times mark_max_batch_bytes. */
#define NGX_HTTP_MARK_REPLY     16


typedef struct ngx_http_mark_ctx_s    ngx_http_mark_ctx_t;
typedef struct ngx_http_mark_item_s   ngx_http_mark_item_t;
typedef struct ngx_http_mark_queue_s  ngx_http_mark_queue_t;
typedef struct ngx_http_mark_batch_s  ngx_http_mark_batch_t;
typedef struct ngx_http_mark_trial_s  ngx_http_mark_trial_t;
typedef struct ngx_http_mark_gate_s   ngx_http_mark_gate_t;
typedef struct ngx_http_mark_cell_s   ngx_http_mark_cell_t;
typedef struct ngx_http_mark_shared_s ngx_http_mark_shared_t;
typedef struct ngx_http_mark_pool_s   ngx_http_mark_pool_t;
typedef struct ngx_http_mark_lambda_conf_s  ngx_http_mark_lambda_conf_t;
typedef struct ngx_http_mark_overflow_s        ngx_http_mark_overflow_t;
typedef struct ngx_http_mark_overflow_state_s  ngx_http_mark_overflow_state_t;


typedef struct {
    ngx_array_t                confs;       /* of ngx_http_mark_loc_conf_t * */
    ngx_array_t                locations;   /* those of different names */
    ngx_array_t                gates;       /* of ngx_http_mark_gate_t * */
    ngx_array_t                pools;       /* of ngx_http_mark_pool_t * */
    uint64_t                   cycle;       /* a number of its own */

    ngx_str_t                  zone_name;
    size_t                     zone_size;   /* 0: as needed */
    ngx_shm_zone_t            *zone;

    /* of the process: queues by key, the least recently used ones first */

    ngx_rbtree_t               queues;
    ngx_rbtree_node_t          sentinel;
    ngx_queue_t                lru;
    ngx_uint_t                 nqueues;

    ngx_array_t                of_client;   /* of ngx_uint_t, see carrier */

    ngx_flag_t                 share;
    size_t                     share_size;  /* 0 is the default */
    ngx_shm_zone_t            *share_zone;

    ngx_atomic_t              *seat;        /* of the process's counters */
    ngx_uint_t                 seat_index;
    ngx_shmtx_t               *mutex;       /* of their zone */
} ngx_http_mark_main_conf_t;


typedef struct {
    const mark_codec_t        *codec;       /* NULL is off */
    mark_codec_conf_t          codec_conf;
    ngx_msec_t                 slo;         /* 0 is none */
    ngx_http_complex_value_t  *slo_value;   /* or the request's own, or NULL */
    ngx_str_t                  slo_header;  /* that it comes from */
    ngx_uint_t                 max_rows;
    size_t                     max_bytes;
    ngx_msec_t                 delay;
    ngx_uint_t                 max_queue;   /* 0 is no limit */
    ngx_uint_t                 timeout_action;
    ngx_msec_t                 hedge;       /* after; 0 is never */
    ngx_array_t               *sizes;       /* ngx_uint_t, ascending */
    ngx_array_t               *keys;        /* ngx_http_complex_value_t */
    ngx_array_t               *ignored;     /* ngx_hash_key_t */
    ngx_hash_t                 ignored_hash;

    ngx_uint_t                 prometheus;  /* of mark_status */

    mark_policy_conf_t         policy;
    ngx_str_t                  server;      /* its labels in the metrics */
    ngx_str_t                  location;
    u_char                    *file;        /* where mark_batch stands */
    ngx_uint_t                 line;

    ngx_http_mark_gate_t      *gate;        /* NULL: no limit */
    ngx_http_mark_pool_t      *pool;        /* NULL: no mark_balance */
    ngx_http_mark_overflow_t  *overflow;    /* NULL: no mark_overflow */
    ngx_http_upstream_srv_conf_t  *upstream;    /* NULL: not known */
    ngx_http_mark_lambda_conf_t   *lambda;      /* NULL: no mark_lambda */

    /* of the process */

    ngx_http_mark_counters_t  *counters;
    ngx_http_mark_overflow_state_t  *overflow_state;
    unsigned                   body_replaced:1;

    unsigned                   hedge_here:1;    /* mark_hedge stands in it */
} ngx_http_mark_loc_conf_t;


/* Its requests go by carriers, be it one by one: only these are hedged. */

#define ngx_http_mark_hedges(conf)                                           \
    ((conf)->hedge && (conf)->pool)


/* A request in a line. */

struct ngx_http_mark_item_s {
    ngx_queue_t                link;        /* by urgency */
    ngx_queue_t                age;         /* by arrival */

    ngx_uint_t                 priority;
    uint64_t                   due;         /* usec; the earlier the sooner */
    uint64_t                   deadline;    /* usec, 0 is none */
    uint64_t                   arrived;
    ngx_uint_t                 rows;
    size_t                     bytes;

    /* NULL cell: ctx is of this worker, which is the only one to see it */

    ngx_http_mark_ctx_t       *ctx;         /* of the worker whose it is */
    ngx_http_mark_cell_t      *cell;

    unsigned                   kept:1;      /* it may not overflow */
    unsigned                   counted:1;   /* as one that did not */
};


/* Requests that wait for a batch, the most urgent first. */

typedef struct {
    ngx_queue_t                items;
    ngx_queue_t                ages;
    ngx_uint_t                 nitems;
    ngx_uint_t                 rows;
    size_t                     bytes;
} ngx_http_mark_line_t;


/* What is known of the backend of a queue: what it has, what it takes. */

typedef struct {
    ngx_uint_t                 slots;       /* peers */
    ngx_uint_t                 in_flight;
    ngx_uint_t                 current;     /* of them, of this epoch */
    ngx_uint_t                 epoch;
    uint64_t                   last_sent;
    ngx_uint_t                 last_rows;
    mark_latency_t             latency;

    ngx_uint_t                 unsplit;     /* in a row */
    ngx_uint_t                 refused;     /* of several workers, in a row */
    time_t                     paused;      /* until */
    unsigned                   replaced:1;  /* by another body */
} ngx_http_mark_service_t;


/*
 * The choice of a peer for one try, and then what it holds of it; see
 * ngx_http_mark_pool.c.
 */

typedef struct {
    ngx_http_mark_pool_t      *pool;        /* NULL: there is none */
    ngx_int_t                  slot;        /* -1: none is held */
    uint32_t                   generation;
    uint32_t                   kind;        /* hash */
    ngx_uint_t                 rows;
    uint64_t                   deadline;    /* usec, 0: none */
    uint64_t                   sent;
    ngx_uint_t                 beside;      /* a place of the peer had */
    ngx_uint_t                 reason;      /* mark_select_reason_t */
    uint64_t                   expected;    /* usec, 0: not known */
    uint64_t                   bound;       /* the same, nearly always */
    unsigned                   once:1;      /* to no peer again, a hedge is */
                                            /* there */
} ngx_http_mark_claim_t;


/* Which of two was faster. */

typedef enum {
    NGX_HTTP_MARK_HEDGE_NONE = 0,    /* there was one */
    NGX_HTTP_MARK_HEDGE_LOST,
    NGX_HTTP_MARK_HEDGE_WON
} ngx_http_mark_hedge_e;


/* Of the peer that a request had last, for the log line. */

typedef struct {
    ngx_uint_t                 reason;      /* mark_select_reason_t */
    uint64_t                   expected;    /* usec, 0: not known */
    u_char                     class[32];
    ngx_http_mark_hedge_e      hedge;
} ngx_http_mark_decision_t;


/* A batch, or a request alone, that is with the backend. */

typedef struct {
    uint64_t                   sent;        /* usec */
    ngx_uint_t                 rows;
    ngx_uint_t                 epoch;       /* of the service, then */
    ngx_uint_t                 beside;      /* a peer then had so many */
    ngx_http_mark_claim_t      claim;       /* until it is connected */
    unsigned                   shared:1;    /* of the shared queue's */
} ngx_http_mark_flight_t;


/* Of a batch that is carried elsewhere; see ngx_http_mark_overflow.c. */

typedef struct {
    ngx_uint_t                 reason;
    uint64_t                   reserved;    /* nano-dollars */
    uint64_t                   cost;        /* what it was, if known */
    ngx_msec_t                 backoff;     /* that is asked for */
    unsigned                   known:1;
} ngx_http_mark_away_t;


/* The requests of one batch. */

typedef struct {
    ngx_queue_t                items;
    ngx_uint_t                 n;
    ngx_http_mark_flight_t     flight;
    ngx_http_mark_away_t       overflow;
} ngx_http_mark_load_t;


/*
 * A client's request.  It lives in the request's pool; the request's cleanup
 * handler takes it out of whatever holds it.
 */

typedef enum {
    NGX_HTTP_MARK_READING = 0,   /* its body */
    NGX_HTTP_MARK_QUEUED,        /* in queue->line */
    NGX_HTTP_MARK_SHARED,        /* in cell, and queue->cells */
    NGX_HTTP_MARK_RETRYING,      /* in queue->retries, after its batch */
    NGX_HTTP_MARK_SHED,          /* in queue->shed, to be rejected */
    NGX_HTTP_MARK_RIDING,        /* in slot of batch */
    NGX_HTTP_MARK_ALONE,         /* runs the location's handler itself */
    NGX_HTTP_MARK_DONE
} ngx_http_mark_state_e;


struct ngx_http_mark_ctx_s {
    ngx_http_mark_state_e      state;
    ngx_http_request_t        *request;
    ngx_http_mark_loc_conf_t  *conf;
    ngx_http_handler_pt        handler;     /* the location's own */

    ngx_http_mark_queue_t     *queue;       /* all in a queue; ALONE or 0 */
    ngx_http_mark_item_t       item;        /* QUEUED; its link: RETRYING, */
                                            /* SHED, SHARED */
    ngx_http_mark_cell_t      *cell;        /* SHARED */
    ngx_http_mark_batch_t     *batch;       /* RIDING */
    ngx_uint_t                 slot;

    ngx_http_mark_trial_t     *trial;       /* of its failed batch, or NULL */
    ngx_uint_t                 unit;        /* in it; 0: to be tried alone */

    mark_request_t             req;

    uint64_t                   arrived;     /* usec, whole body read */
    uint64_t                   deadline;    /* usec, 0 is none */
    uint64_t                   sent;        /* 0 is not yet */
    ngx_http_mark_flight_t     flight;
    uint64_t                   answered;

    ngx_uint_t                 batch_size;  /* requests */
    ngx_uint_t                 batch_rows;
    const char                *reason;
    const char                *overflow;    /* why it did; or NULL */
    ngx_http_mark_decision_t   decision;    /* of its batch */
    ngx_uint_t                 retry_after; /* seconds */
    unsigned                   retry:1;     /* alone after its batch failed */
    unsigned                   retried:1;   /* counted as such */
    unsigned                   late:1;      /* SHED because it was too late */
    unsigned                   private:1;   /* there was no room to share it */
    unsigned                   judged:1;    /* against its deadline */
    unsigned                   met:1;
};


/*
 * Requests that may share a batch.  Queues belong to a worker; they stay for
 * a while after their last request, for what they have learned.
 */

struct ngx_http_mark_queue_s {
    ngx_str_node_t             sn;          /* its key */
    ngx_queue_t                lru;
    time_t                     used;

    ngx_http_mark_main_conf_t *main;
    ngx_http_mark_loc_conf_t  *conf;

    ngx_event_t                event;       /* posted, or a timer */
    ngx_log_t                  log;

    /* of this worker; or in the memory that workers share, if shared is set */

    ngx_http_mark_line_t       line;
    ngx_http_mark_service_t    service;

    ngx_http_mark_shared_t    *shared;
    ngx_queue_t                cells;       /* clients' that others may take */
    ngx_uint_t                 ncells;
    ngx_uint_t                 flying;      /* batches of this worker's */
    uint64_t                   checked;     /* usec, the cells */

    ngx_queue_t                shed;
    ngx_uint_t                 nshed;

    ngx_queue_t                retries;
    ngx_uint_t                 nretries;    /* waiting */
    ngx_uint_t                 retrying;    /* units in flight */

    mark_policy_conf_t         policy;      /* the location's, or a plan's */
    ngx_uint_t                 max_queue;   /* as well */
    uint64_t                   plan;        /* its version; 0: there is none */
    uint32_t                   kind;        /* of its requests, to a pool */
    mark_latency_t             latency;     /* of the peer looked at */
    ngx_http_mark_claim_t      claim;       /* of the batch about to leave */
    ngx_queue_t                pooled;      /* waits for a peer; next 0: not */

    ngx_queue_t                blocked;     /* of the gate; next 0: is not */
    ngx_http_mark_item_t       front;       /* ours in the shared line, when */
                                            /* we looked; due 0: none */
    unsigned                   waited:1;    /* its next batch, at the gate */
};


/* What is in the memory that workers share. */

typedef struct {
    ngx_uint_t                 queues;
    ngx_uint_t                 cells;       /* requests */
    size_t                     bytes_free;
} ngx_http_mark_usage_t;


/* What came back but for the body; status 0 is that nothing did. */

typedef struct {
    ngx_uint_t                 status;
    ngx_uint_t                 err_status;  /* nginx's own, or intercepted */
    ngx_uint_t                 upstream_status;
    ngx_str_t                  status_line;
    ngx_str_t                  content_type;
    size_t                     content_type_len;
    ngx_str_t                  charset;
    ngx_array_t                headers;     /* ngx_table_elt_t */
    ngx_array_t                states;      /* ngx_http_upstream_state_t */
    ngx_http_mark_decision_t   decision;
} ngx_http_mark_answer_t;


/* What becomes of the members of a batch. */

typedef enum {
    NGX_HTTP_MARK_SPLIT = 0,     /* each member has its slice */
    NGX_HTTP_MARK_SAME,          /* the whole reply is everybody's */
    NGX_HTTP_MARK_ERROR,         /* nginx's own answer is everybody's */
    NGX_HTTP_MARK_HALVES,        /* members are to be tried by halves */
    NGX_HTTP_MARK_APART          /* each member is to be tried alone */
} ngx_http_mark_fate_e;


/*
 * A batch in flight.  It and all that its carrier needs live in its own
 * pool, because every client may leave before the backend answers.
 */

struct ngx_http_mark_batch_s {
    ngx_pool_t                *pool;
    ngx_log_t                 *log;
    ngx_http_mark_queue_t     *queue;
    ngx_http_mark_loc_conf_t  *conf;

    ngx_uint_t                 nslots;
    ngx_uint_t                 members;     /* that have not left */
    ngx_http_mark_ctx_t      **slots;       /* NULL where the client left */
    ngx_http_mark_cell_t     **cells;       /* of members from other workers */
    ngx_uint_t                 ncells;
    mark_slice_t              *slices;
    ngx_uint_t                 rows;
    const char                *reason;
    uint64_t                   sent;
    uint64_t                   answered;
    uint64_t                   deadline;    /* the earliest; 0: none */
    ngx_http_mark_flight_t     flight;

    ngx_buf_t                 *body;
    size_t                     json_len;    /* of a binary body */
    ngx_http_request_t        *carrier;     /* while it lives */

    ngx_http_mark_answer_t     answer;
    ngx_uint_t                 peers;
    u_char                    *reply;
    size_t                     reply_len;
    size_t                     reply_size;
    size_t                     reply_json_len;

    ngx_http_mark_away_t       overflow;

    /* see ngx_http_mark_hedge.c */

    ngx_http_mark_batch_t     *twin;        /* its hedge, or NULL */
    ngx_http_mark_batch_t     *of;          /* of a hedge; else NULL */
    ngx_uint_t                *tried;       /* peers of both, a bit a slot */
    ngx_event_t                hedge;       /* a timer */

    unsigned                   away:1;      /* it overflowed */
    unsigned                   retry:1;     /* a part of a failed batch */
    unsigned                   left:1;      /* a client has */
    unsigned                   binary:1;    /* tensors behind JSON */
    unsigned                   reply_binary:1;
    unsigned                   complete:1;  /* the last byte came */
    unsigned                   personal:1;  /* for one client's eyes */
    unsigned                   redirect:1;  /* X-Accel-Redirect */
    unsigned                   encoded:1;
    unsigned                   oversize:1;  /* the reply, for us */
    unsigned                   replaced:1;  /* the body was not sent */
    unsigned                   cached:1;
    unsigned                   ended:1;     /* the carrier has */
    unsigned                   settled:1;   /* members have their answer */
    unsigned                   lost:1;      /* to its twin */
};


/* conf */

void *ngx_http_mark_create_main_conf(ngx_conf_t *cf);
void *ngx_http_mark_create_loc_conf(ngx_conf_t *cf);
char *ngx_http_mark_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
char *ngx_http_mark_delay(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_mark_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_mark_preferred(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* pool/ */

void *ngx_http_mark_create_srv_conf(ngx_conf_t *cf);
char *ngx_http_mark_max_concurrent(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
void ngx_http_mark_gates_bind(ngx_http_mark_main_conf_t *mmcf);
void ngx_http_mark_gates_run(void);
void ngx_http_mark_gates_destroy(ngx_http_mark_main_conf_t *mmcf);
ngx_uint_t ngx_http_mark_peers(ngx_http_upstream_srv_conf_t *uscf);

ngx_uint_t ngx_http_mark_gate_full(ngx_http_mark_gate_t *gate);
ngx_int_t ngx_http_mark_gate_enter(ngx_http_mark_queue_t *q);
void ngx_http_mark_gate_wait(ngx_http_mark_queue_t *q);
void ngx_http_mark_gate_tell(ngx_http_mark_gate_t *gate, ngx_uint_t worker,
    ngx_http_mark_item_t *item);
void ngx_http_mark_gate_leave(ngx_http_mark_gate_t *gate);
void ngx_http_mark_gate_unblock(ngx_http_mark_queue_t *q);
void ngx_http_mark_gate_settle(ngx_http_mark_queue_t *q);
void ngx_http_mark_gate_met(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *uscf);

ngx_http_mark_decision_t *ngx_http_mark_peer_decision(ngx_http_request_t *r);

/* metrics/ */

char *ngx_http_mark_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


/*
 * Latencies of a millisecond are learned and reported in microseconds, which
 * nginx's cached time does not have.
 */

static ngx_inline uint64_t
ngx_http_mark_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


extern ngx_module_t  ngx_http_mark_module;


#include "ngx_http_mark_request.h"
#include "ngx_http_mark_batch.h"


#endif /* _NGX_HTTP_MARK_H_INCLUDED_ */
