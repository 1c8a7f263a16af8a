
/* mark_plan: where a pool's plan comes from. */


#ifndef _NGX_HTTP_MARK_PLAN_H_INCLUDED_
#define _NGX_HTTP_MARK_PLAN_H_INCLUDED_


#include "ngx_http_mark_pool.h"


typedef struct {
    ngx_str_t                  path;
    ngx_msec_t                 interval;
    mark_plan_key_t            key;
    unsigned                   keyed:1;

    /* of worker 0 */

    ngx_event_t                event;
    ngx_http_mark_pool_t      *pool;
    ngx_file_uniq_t            inode;        /* of the file as it was read */
    off_t                      size;
    struct timespec            mtime;
    uint32_t                   crc;          /* of its text */
    size_t                     len;
    ngx_err_t                  unread;       /* why not; and the log says so */
    unsigned                   started:1;    /* it was applied or refused */
    unsigned                   crowded:1;    /* no room, and it says so */
} ngx_http_mark_plan_t;


char *ngx_http_mark_plan(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* Begins to watch the plans of all pools, in worker 0. */
void ngx_http_mark_plans_init_worker(ngx_http_mark_main_conf_t *mmcf,
    ngx_cycle_t *cycle);

/*
 * Applies the text of a plan to the pool.  NGX_OK: it is in force, or was
 * already; NGX_AGAIN: there will be room for its servers when those that
 * leave have; NGX_DECLINED: it changes nothing, the log says why.
 */
ngx_int_t ngx_http_mark_plan_apply(ngx_http_mark_pool_t *pool,
    ngx_http_mark_plan_t *plan, ngx_str_t *text, ngx_uint_t first);

/* The queue has the limits of the plan in force; with the lock held. */
void ngx_http_mark_plan_limits(ngx_http_mark_pool_t *pool,
    ngx_http_mark_queue_t *q);


#endif /* _NGX_HTTP_MARK_PLAN_H_INCLUDED_ */
