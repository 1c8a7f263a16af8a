
/*
 * The pool of an upstream with "mark_balance slo": its servers as slots in
 * shared memory, and who may do what with them.
 *
 * All of the zone is under the mutex of the counters' zone, the only lock that
 * nginx repairs after a crash.  Callers hold an index and a generation, never
 * a pointer to a slot: what they do with a slot that has become another one's
 * is nothing.
 */


#ifndef _NGX_HTTP_MARK_POOL_H_INCLUDED_
#define _NGX_HTTP_MARK_POOL_H_INCLUDED_


#include "ngx_http_mark.h"
#include "ngx_http_mark_gate.h"
#include "mark_orca.h"
#include "mark_outlier.h"
#include "mark_plan.h"
#include "mark_pressure.h"
#include "mark_retry_budget.h"
#include "mark_select.h"
#include "mark_slowstart.h"


#define NGX_HTTP_MARK_SLOTS        64
#define NGX_HTTP_MARK_MAX_SLOTS    1024

/* Kinds of requests (models, most of the time) whose latencies differ. */
#define NGX_HTTP_MARK_KINDS        8

#define NGX_HTTP_MARK_NAME_LEN     255

/* Later than all deadlines, and no overflow when something is added. */
#define NGX_HTTP_MARK_NEVER        (UINT64_MAX / 2)


typedef enum {
    NGX_HTTP_MARK_SLOT_EMPTY = 0,
    NGX_HTTP_MARK_SLOT_WARMING,      /* nothing goes there yet */
    NGX_HTTP_MARK_SLOT_READY,
    NGX_HTTP_MARK_SLOT_DRAINING      /* nothing more does; then it is empty */
} ngx_http_mark_slot_state_e;


typedef enum {
    NGX_HTTP_MARK_HEALTH_UNKNOWN = 0,
    NGX_HTTP_MARK_HEALTH_UP,
    NGX_HTTP_MARK_HEALTH_DOWN
} ngx_http_mark_health_e;


/* What is told of a server, by the configuration or by a plan. */

typedef struct {
    ngx_str_t                  name;         /* host and port, as written */
    ngx_str_t                  id;
    ngx_str_t                  class;
    struct sockaddr           *sockaddr;
    socklen_t                  socklen;
    double                     price;        /* an hour */
    ngx_uint_t                 weight;
    ngx_uint_t                 concurrency;  /* 0: learned */
    ngx_uint_t                 max_batch;    /* rows, 0: no limit of its own */
    ngx_uint_t                 state;
    double                     prior[3];     /* base, row, residual; usec */
    unsigned                   backup:1;
    unsigned                   down:1;
    unsigned                   steady:1;     /* never ejected */
    unsigned                   known:1;      /* there is a prior */
    unsigned                   fresh:1;      /* to start slowly */
    unsigned                   resolve:1;    /* its addresses may change */
} ngx_http_mark_server_t;


typedef struct {
    uint32_t                   generation;   /* of who has the slot */
    ngx_uint_t                 state;
    ngx_uint_t                 health;
    uint64_t                   since;        /* usec, of the state */

    socklen_t                  socklen;
    ngx_sockaddr_t             sockaddr;
    u_char                     name[NGX_HTTP_MARK_NAME_LEN + 1];
    u_char                     addr[NGX_SOCKADDR_STRLEN + 1];
    u_char                     id[64];
    u_char                     class[32];

    double                     price;
    ngx_uint_t                 weight;
    ngx_uint_t                 concurrency;
    ngx_uint_t                 max_batch;
    unsigned                   backup:1;
    unsigned                   down:1;
    unsigned                   steady:1;
    unsigned                   known:1;      /* prior is */
    unsigned                   listed:1;     /* in the plan, or the block */

    uint32_t                   in_flight;
    uint32_t                   held[NGX_HTTP_MARK_SEATS];
    uint64_t                   free_at;      /* usec, see mark_select.h */
    uint64_t                   last_sent;
    uint64_t                   last_done;
    ngx_uint_t                 last_rows;
    uint64_t                   failed;       /* usec; 0: it answered since */
    unsigned                   stalled:1;

    double                     prior[3];
    mark_latency_t             latency[NGX_HTTP_MARK_KINDS];
    mark_outlier_t             outlier;
    uint64_t                   fresh;        /* usec, in use since; 0: long */
    mark_pressure_t            pressure;

    /* counters */

    ngx_atomic_uint_t          requests;     /* batches and requests sent */
    ngx_atomic_uint_t          rows;
    ngx_atomic_uint_t          failures;
    ngx_atomic_uint_t          ejections;
    ngx_atomic_uint_t          explored;
    uint64_t                   busy;         /* usec, of all in flight */
    double                     cost;         /* price * busy, per hour */
} ngx_http_mark_slot_t;


typedef struct {
    uint32_t                   hash;
    uint64_t                   used;         /* usec; 0: nobody */
} ngx_http_mark_kind_t;


/* The plan that is in force, and what became of others. */

typedef struct {
    mark_plan_stamp_t          stamp;        /* version 0: there was none */
    double                     expires;      /* unix seconds */
    uint64_t                   applied;      /* usec */

    mark_plan_overflow_t       overflow;
    mark_plan_batching_t       batching;

    ngx_atomic_uint_t          accepted;
    ngx_atomic_uint_t          refused;
} ngx_http_mark_plan_state_t;


struct ngx_http_mark_pool_node_s {
    ngx_http_mark_pool_node_t *next;
    ngx_str_t                  name;
    ngx_uint_t                 nslots;
    ngx_uint_t                 top;          /* slots from here on are empty */
    uint32_t                   generation;   /* of the last slot taken */
    uint64_t                   changed;      /* counts changes of the slots */
    uint64_t                   cycle;        /* whose servers it has */
    ngx_uint_t                 lost;         /* of them, for want of room */
    uint64_t                   explored;     /* usec */

    ngx_http_mark_plan_state_t plan;
    mark_retry_budget_t        retries;

    ngx_atomic_uint_t          retried;
    ngx_atomic_uint_t          retry_refused;
    ngx_atomic_uint_t          hedged;
    ngx_atomic_uint_t          no_peer;

    ngx_http_mark_kind_t       kinds[NGX_HTTP_MARK_KINDS];
    ngx_http_mark_slot_t       slots[1];
};


/* An upstream's "mark_balance"; upstream NULL: it has none. */

struct ngx_http_mark_pool_s {
    ngx_http_upstream_srv_conf_t  *upstream;
    ngx_str_t                      name;
    ngx_uint_t                     nslots;
    uint64_t                       slow_start;      /* usec */
    ngx_uint_t                     max_ejected;     /* percent */
    char                          *metric;          /* of load reports */
    mark_outlier_conf_t            outlier;
    mark_pressure_conf_t           pressure;
    mark_retry_budget_conf_t       retries;
    ngx_array_t                    extras;          /* of mark_server */
    ngx_array_t                    servers;  /* ngx_http_mark_server_t */
    ngx_array_t                    names;    /* of it, to be resolved */
    ngx_resolver_t                *resolver;        /* NULL: there is none */
    ngx_msec_t                     resolver_timeout;
    ngx_uint_t                     max;      /* mark_max_concurrent_batches */
    void                          *health;   /* mark_health; or NULL */
    void                          *plan;     /* mark_plan; or NULL */
    ngx_event_t                    tick;

    /* of the process */

    ngx_http_mark_pool_node_t     *node;
    uint64_t                       cycle;           /* the keeper's */
    ngx_cycle_t                   *loaded;          /* its configuration */
    ngx_shmtx_t                   *mutex;
    ngx_http_mark_shm_t           *shm;
    ngx_uint_t                     seat;
    ngx_log_t                     *log;
    mark_select_peer_t            *peers;           /* of nslots */
    uint64_t                      *work;
    ngx_uint_t                     lost;            /* that the log tells of */
#if (NGX_HTTP_SSL)
    struct ngx_http_mark_session_s *sessions;       /* of nslots */
#endif
    ngx_queue_t                    waiting;         /* queues */
};


/* How it ended. */

typedef enum {
    NGX_HTTP_MARK_CLAIM_OK = 0,
    NGX_HTTP_MARK_CLAIM_ALIVE,       /* of its time nothing is to be learned */
    NGX_HTTP_MARK_CLAIM_ERROR,       /* an answer, of 5xx */
    NGX_HTTP_MARK_CLAIM_FAILED,      /* none */
    NGX_HTTP_MARK_CLAIM_UNUSED,      /* it was not sent, or given up */
    NGX_HTTP_MARK_CLAIM_BEATEN       /* given up: another peer was faster */
} ngx_http_mark_claim_e;


/* The module's configuration of an upstream. */

typedef struct {
    ngx_http_mark_gate_t           gate;     /* mark_max_concurrent_batches */
    ngx_http_mark_pool_t          *pool;
} ngx_http_mark_srv_conf_t;


/* conf: pools.c */

char *ngx_http_mark_balance(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_mark_server(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_mark_health(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
ngx_http_mark_pool_t *ngx_http_mark_pool_of(
    ngx_http_upstream_srv_conf_t *uscf);
ngx_int_t ngx_http_mark_pools_check(ngx_conf_t *cf);
size_t ngx_http_mark_pools_size(ngx_http_mark_main_conf_t *mmcf);
ngx_int_t ngx_http_mark_pools_init_zone(ngx_http_mark_main_conf_t *mmcf,
    ngx_slab_pool_t *shpool);
void ngx_http_mark_pools_bury(ngx_http_mark_shm_t *shm);
ngx_int_t ngx_http_mark_pools_init_process(ngx_http_mark_main_conf_t *mmcf,
    ngx_slab_pool_t *shpool, ngx_uint_t seat, ngx_cycle_t *cycle);
void ngx_http_mark_pools_init_worker(ngx_http_mark_main_conf_t *mmcf,
    ngx_cycle_t *cycle);

/* slots: slot.c; with the lock held */

ngx_http_mark_slot_t *ngx_http_mark_slot_set(ngx_http_mark_pool_t *pool,
    ngx_http_mark_server_t *server, uint64_t now);
void ngx_http_mark_slot_drain(ngx_http_mark_pool_t *pool,
    ngx_http_mark_slot_t *slot, uint64_t now);
void ngx_http_mark_slot_tidy(ngx_http_mark_pool_t *pool,
    ngx_http_mark_slot_t *slot);
void ngx_http_mark_slots_bury(ngx_http_mark_pool_node_t *node,
    ngx_http_mark_shm_t *shm);
ngx_uint_t ngx_http_mark_slots_seed(ngx_http_mark_pool_t *pool,
    ngx_array_t *servers, uint64_t now);
ngx_uint_t ngx_http_mark_slots_renew(ngx_http_mark_pool_t *pool,
    ngx_str_t *name, ngx_http_mark_server_t *servers, ngx_uint_t n,
    uint64_t now);

/* one worker looks after all pools: keeper.c */

ngx_int_t ngx_http_mark_keeper_init(ngx_conf_t *cf);
ngx_int_t ngx_http_mark_keeper_init_process(ngx_http_mark_main_conf_t *mmcf,
    ngx_cycle_t *cycle);
void ngx_http_mark_keeper_exit_process(ngx_http_mark_main_conf_t *mmcf);
ngx_uint_t ngx_http_mark_keeper(ngx_http_mark_pool_t *pool);

/* choosing: pool.c */

ngx_uint_t ngx_http_mark_pool_look(ngx_http_mark_pool_t *pool,
    ngx_http_mark_queue_t *q, mark_policy_state_t *state,
    mark_select_choice_t *choice);
ngx_int_t ngx_http_mark_pool_enter(ngx_http_mark_pool_t *pool,
    ngx_http_mark_queue_t *q, mark_policy_state_t *state, ngx_uint_t force);
ngx_int_t ngx_http_mark_pool_claim(ngx_http_mark_claim_t *claim,
    ngx_uint_t *tried, ngx_uint_t retry);
ngx_int_t ngx_http_mark_pool_hedge(ngx_http_mark_claim_t *claim,
    ngx_uint_t *tried, uint64_t *again);
ngx_uint_t ngx_http_mark_pool_kind(ngx_http_mark_pool_t *pool, uint32_t hash,
    uint64_t now);
ngx_uint_t ngx_http_mark_pool_places(ngx_http_mark_pool_t *pool);
uint64_t ngx_http_mark_pool_finish(ngx_http_mark_pool_t *pool, uint32_t kind,
    ngx_uint_t ahead, ngx_uint_t full);
void ngx_http_mark_pool_wait(ngx_http_mark_pool_t *pool,
    ngx_http_mark_queue_t *q);
void ngx_http_mark_pool_unwait(ngx_http_mark_queue_t *q);

/* claims: claim.c; those that name a slot with the lock held */

void ngx_http_mark_claim_load(ngx_http_mark_claim_t *claim, ngx_uint_t rows);
void ngx_http_mark_claim_release(ngx_http_mark_claim_t *claim,
    ngx_http_mark_claim_e how, ngx_http_request_t *r);
void ngx_http_mark_claim_place(ngx_http_mark_pool_t *pool,
    ngx_http_mark_claim_t *claim, ngx_uint_t i, uint64_t now);
void ngx_http_mark_claim_placed(ngx_http_mark_pool_t *pool,
    ngx_http_mark_claim_t *claim, ngx_http_mark_slot_t *slot, ngx_uint_t rows);
void ngx_http_mark_claim_stall(ngx_http_mark_pool_t *pool,
    ngx_http_mark_slot_t *slot, ngx_uint_t kind, uint64_t now);

/* load reports: report.c */

ngx_int_t ngx_http_mark_report_read(ngx_http_mark_pool_t *pool,
    ngx_http_request_t *r, mark_orca_t *report);
void ngx_http_mark_report_apply(ngx_http_mark_pool_t *pool,
    ngx_http_mark_slot_t *slot, mark_orca_t *report, uint64_t now);

/* balancing: peer.c */

ngx_int_t ngx_http_mark_peer_init_process(ngx_http_mark_pool_t *pool,
    ngx_cycle_t *cycle);
ngx_int_t ngx_http_mark_peer_init(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *uscf);


static ngx_inline ngx_http_mark_slot_t *
ngx_http_mark_claim_slot(ngx_http_mark_claim_t *claim)
{
    ngx_http_mark_slot_t  *slot;

    if (claim->slot == -1) {
        return NULL;
    }

    slot = &claim->pool->node->slots[claim->slot];

    return slot->generation == claim->generation ? slot : NULL;
}


#endif /* _NGX_HTTP_MARK_POOL_H_INCLUDED_ */
