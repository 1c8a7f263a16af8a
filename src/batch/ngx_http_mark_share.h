
/* What workers have in common: the layout of the shared memory. */


#ifndef _NGX_HTTP_MARK_SHARE_H_INCLUDED_
#define _NGX_HTTP_MARK_SHARE_H_INCLUDED_


/* All addresses in it are good in all workers, which map it at one place. */


typedef enum {
    NGX_HTTP_MARK_CELL_NEW = 0,      /* its worker writes it */
    NGX_HTTP_MARK_CELL_WAITING,      /* in the line of its queue */
    NGX_HTTP_MARK_CELL_TAKEN,        /* in a batch of the taker's */
    NGX_HTTP_MARK_CELL_ANSWERED,     /* in the box of its worker */
    NGX_HTTP_MARK_CELL_RETURNED,     /* the same: it has to go alone */
    NGX_HTTP_MARK_CELL_LATE,         /* the same: too late */
    NGX_HTTP_MARK_CELL_SHED          /* the same: too many are waiting */
} ngx_http_mark_cell_e;


typedef struct ngx_http_mark_block_s   ngx_http_mark_block_t;


/* A queue that workers share. */

struct ngx_http_mark_shared_s {
    ngx_str_node_t             sn;          /* its key */
    ngx_queue_t                all;         /* in share->queues */
    uint64_t                   users;       /* workers that know it, a bit */
                                            /* each */
    ngx_http_mark_line_t       line;
    ngx_http_mark_service_t    service;
    uint64_t                   passed;      /* usec; 0: to nobody, see */
                                            /* dispatch */
    ngx_uint_t                 in_flight[NGX_HTTP_MARK_WORKERS];
};


/* The answer to a batch, for its members in other workers. */

struct ngx_http_mark_block_s {
    ngx_queue_t                all;         /* in share->blocks */
    ngx_uint_t                 worker;      /* that makes it */
    ngx_uint_t                 refs;        /* 0: it is being made */
    ngx_http_mark_answer_t     answer;
};


/* A request that waits where all workers see it; its body stands behind. */

struct ngx_http_mark_cell_s {
    ngx_http_mark_item_t       item;
    mark_request_t             req;
    ngx_http_mark_cell_e       state;
    ngx_http_mark_shared_t    *queue;

    /* of its worker, for as long as that has this seat */

    ngx_http_mark_counters_t  *counters;
    ngx_atomic_t              *seat;
    ngx_atomic_uint_t          holder;

    ngx_queue_t                all;         /* in share->cells */
    ngx_queue_t                box;         /* of a worker, if boxed */
    ngx_uint_t                 worker;
    ngx_uint_t                 taker;       /* TAKEN */
    ngx_pid_t                  taker_pid;

    ngx_http_mark_batch_t     *batch;       /* of the taker's process */
    ngx_uint_t                 slot;

    unsigned                   boxed:1;
    unsigned                   gone:1;      /* its client has left */
    unsigned                   refused:1;   /* ANSWERED by an error of ours */
    unsigned                   binary:1;

    ngx_http_mark_block_t     *block;       /* ANSWERED */
    mark_span_t                body;
    size_t                     json_len;
    ngx_uint_t                 batch_size;
    ngx_uint_t                 batch_rows;
    const char                *reason;
    uint64_t                   sent;
    uint64_t                   answered;
};


/* The zone. */

typedef struct {
    ngx_atomic_t               inside;      /* pid of who has the lock */
    ngx_atomic_t               broken;

    ngx_rbtree_t               tree;
    ngx_rbtree_node_t          sentinel;
    ngx_queue_t                queues;
    ngx_uint_t                 nqueues;

    ngx_queue_t                cells;
    ngx_uint_t                 ncells;
    ngx_queue_t                blocks;
    ngx_queue_t                boxes[NGX_HTTP_MARK_WORKERS];
} ngx_http_mark_share_t;


/* Of the process; NULL: it shares nothing. */

extern ngx_http_mark_share_t  *ngx_http_mark_share;


ngx_int_t ngx_http_mark_share_lock(void);
void ngx_http_mark_share_unlock(void);

/* All of these with the lock held. */

void *ngx_http_mark_share_alloc(size_t size);
void ngx_http_mark_share_free(void *p);
void ngx_http_mark_share_drop(ngx_http_mark_shared_t *sq);

void ngx_http_mark_cell_free(ngx_http_mark_cell_t *cell);
void ngx_http_mark_cell_box(ngx_http_mark_cell_t *cell, ngx_uint_t worker);
void ngx_http_mark_block_free(ngx_http_mark_block_t *block);

/* Without it. */

void ngx_http_mark_share_ring(void);
void ngx_http_mark_sweep(ngx_uint_t worker);


/* With or without it, as each says where it stands. */

void ngx_http_mark_cell_publish(ngx_http_mark_queue_t *q);
ngx_uint_t ngx_http_mark_cell_take(ngx_queue_t *taken);
void ngx_http_mark_cell_refuse(ngx_http_mark_queue_t *q,
    ngx_http_mark_item_t *item, ngx_uint_t late);
void ngx_http_mark_cell_next(ngx_http_mark_queue_t *q);
ngx_http_mark_item_t *ngx_http_mark_cell_waiting(ngx_http_mark_queue_t *q);
void ngx_http_mark_cell_return(ngx_http_mark_cell_t *cell);
void ngx_http_mark_cell_remove(ngx_http_mark_ctx_t *ctx);
void ngx_http_mark_cell_detach(ngx_http_mark_ctx_t *ctx);
void ngx_http_mark_cell_heard(ngx_http_mark_main_conf_t *mmcf);

void ngx_http_mark_sweep_check(ngx_http_mark_queue_t *q, uint64_t now);
void ngx_http_mark_sweep_broken(ngx_http_mark_main_conf_t *mmcf);
void ngx_http_mark_sweep_abandon(ngx_http_mark_queue_t *q);

void ngx_http_mark_answer_members(ngx_http_mark_batch_t *batch,
    ngx_http_mark_fate_e fate, mark_parts_t *whole);
void ngx_http_mark_answer_deliver(ngx_http_mark_ctx_t *ctx,
    ngx_http_mark_cell_t *cell);


#endif /* _NGX_HTTP_MARK_SHARE_H_INCLUDED_ */
