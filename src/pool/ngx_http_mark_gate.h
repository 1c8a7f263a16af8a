
/* The gate of an upstream: how many batches may be with its servers. */


#ifndef _NGX_HTTP_MARK_GATE_H_INCLUDED_
#define _NGX_HTTP_MARK_GATE_H_INCLUDED_


#include "ngx_http_mark.h"


/* Servers of an upstream that are told apart. */
#define NGX_HTTP_MARK_GATE_PEERS  64


/* What one process holds of the places, and what it waits with. */

typedef struct {
    ngx_atomic_t                held;
    ngx_atomic_t                blocked;     /* a counter, it stays */

    /* the most urgent request that waits for a place */

    ngx_uint_t                  waits;       /* 0: there is none */
    ngx_uint_t                  priority;
    uint64_t                    due;
    uint64_t                    seen;        /* usec, when it last was */
} ngx_http_mark_gate_seat_t;


/* A server, and what each process has with it. */

typedef struct {
    socklen_t                   socklen;
    ngx_sockaddr_t              sockaddr;
    uint32_t                    held[NGX_HTTP_MARK_SEATS];
} ngx_http_mark_gate_place_t;


struct ngx_http_mark_gate_node_s {
    ngx_http_mark_gate_node_t  *next;
    ngx_str_t                   name;
    ngx_http_mark_gate_seat_t   seats[NGX_HTTP_MARK_SEATS];
    ngx_http_mark_gate_place_t  peers[NGX_HTTP_MARK_GATE_PEERS];
};


struct ngx_http_mark_gate_s {
    ngx_uint_t                     max;            /* the directive's slot */
    ngx_uint_t                     peers;
    ngx_str_t                      name;
    ngx_http_upstream_srv_conf_t  *upstream;
    ngx_http_mark_pool_t          *pool;           /* it has the places */
    ngx_http_upstream_init_peer_pt init;           /* the balancer's */

    /* of the process */

    ngx_http_mark_shm_t           *shm;
    ngx_shmtx_t                   *mutex;
    ngx_http_mark_gate_node_t     *node;
    ngx_uint_t                     seat;

    ngx_queue_t                    queues;         /* that wait for a place */
    ngx_uint_t                     entered;        /* ever */
    ngx_event_t                    event;
    unsigned                       published:1;    /* that it waits */
    unsigned                       running:1;
    unsigned                       bypassed:1;     /* and the log says so */
};


typedef struct {
    ngx_uint_t                  in_flight;
    ngx_atomic_uint_t           blocked;
} ngx_http_mark_gate_sum_t;


void ngx_http_mark_gate_sum(ngx_http_mark_gate_t *gate,
    ngx_http_mark_gate_sum_t *sum);

/* Of the counters' zone: room for the gates, and a process in its seat. */
size_t ngx_http_mark_gates_size(ngx_http_mark_main_conf_t *mmcf);
ngx_int_t ngx_http_mark_gates_init_zone(ngx_http_mark_main_conf_t *mmcf,
    ngx_slab_pool_t *shpool);
void ngx_http_mark_gates_init_process(ngx_http_mark_main_conf_t *mmcf,
    ngx_slab_pool_t *shpool, ngx_uint_t seat, ngx_log_t *log);

void ngx_http_mark_gate_wrap(ngx_http_mark_gate_t *gate);
/* Free places; without the lock it is a hint. */
ngx_uint_t ngx_http_mark_gate_free(ngx_http_mark_gate_t *gate);

/* Whose turn it is. */
ngx_uint_t ngx_http_mark_gate_urgency(ngx_http_mark_queue_t *q, uint64_t now,
    ngx_http_mark_item_t *item);
ngx_uint_t ngx_http_mark_gate_before(ngx_http_mark_gate_t *gate,
    ngx_uint_t seat, ngx_http_mark_item_t *item, uint64_t now);
void ngx_http_mark_gate_publish(ngx_http_mark_gate_t *gate);
void ngx_http_mark_gate_wake(ngx_http_mark_gate_t *gate);
void ngx_http_mark_gate_arm(ngx_http_mark_gate_t *gate);

void ngx_http_mark_gate_handler(ngx_event_t *ev);
void ngx_http_mark_gate_bury(ngx_http_mark_gate_node_t *node,
    ngx_http_mark_shm_t *shm);


#endif /* _NGX_HTTP_MARK_GATE_H_INCLUDED_ */
