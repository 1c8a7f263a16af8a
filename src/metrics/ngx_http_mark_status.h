
/* What mark_status and its Prometheus form share. */


#ifndef _NGX_HTTP_MARK_STATUS_H_INCLUDED_
#define _NGX_HTTP_MARK_STATUS_H_INCLUDED_


#include "ngx_http_mark_pool.h"


/*
 * Room for the text: the fixed part, a location's, and how often its names,
 * which escaping can make six times as long, stand in it.
 */
#define NGX_HTTP_MARK_STATUS_FIXED     8192
#define NGX_HTTP_MARK_STATUS_LINES     120
#define NGX_HTTP_MARK_STATUS_LOCATION  (NGX_HTTP_MARK_STATUS_LINES * 128)


#define NGX_HTTP_MARK_STATUS_UPSTREAM  512

#define NGX_HTTP_MARK_STATUS_POOL      1024
#define NGX_HTTP_MARK_STATUS_SLOT      1024
#define NGX_HTTP_MARK_STATUS_KIND      256

/* The same of Prometheus' form: so often a server's labels stand in it. */
#define NGX_HTTP_MARK_STATUS_SLOT_LINES  16

/* Beyond it a number with a fraction cannot be printed. */
#define NGX_HTTP_MARK_STATUS_MAX       1e15


/* A pool as it was; of its node all but the slots. */

typedef struct {
    ngx_http_mark_pool_t       *pool;
    ngx_http_mark_pool_node_t   node;
    ngx_http_mark_slot_t       *slots;       /* those that somebody has */
    ngx_uint_t                  nslots;
    uint64_t                    now;
} ngx_http_mark_pool_view_t;


ngx_array_t *ngx_http_mark_pool_views(ngx_pool_t *memory,
    ngx_http_mark_main_conf_t *mmcf);
const char *ngx_http_mark_slot_state(ngx_uint_t state);
double ngx_http_mark_slot_share(ngx_http_mark_pool_view_t *view,
    ngx_http_mark_slot_t *slot);
double ngx_http_mark_plan_applied(ngx_http_mark_pool_view_t *view);

size_t ngx_http_mark_status_pools_size(ngx_array_t *views);
u_char *ngx_http_mark_status_pools(u_char *p, ngx_array_t *views);

u_char *ngx_http_mark_prometheus(u_char *p, ngx_http_mark_main_conf_t *mmcf,
    ngx_http_mark_counters_t *sets);
u_char *ngx_http_mark_prometheus_head(u_char *p, const char *name,
    const char *type, const char *help);
u_char *ngx_http_mark_prometheus_line(u_char *p, const char *name,
    ngx_http_mark_loc_conf_t *mlcf, const char *label, const char *value);
u_char *ngx_http_mark_prometheus_escape(u_char *p, ngx_str_t *text);

size_t ngx_http_mark_prometheus_pools_size(ngx_array_t *views);
u_char *ngx_http_mark_prometheus_pools(u_char *p, ngx_array_t *views);

u_char *ngx_http_mark_status_overflow(u_char *p,
    ngx_http_mark_main_conf_t *mmcf, ngx_http_mark_loc_conf_t *mlcf);
u_char *ngx_http_mark_prometheus_overflow(u_char *p,
    ngx_http_mark_main_conf_t *mmcf);


#endif /* _NGX_HTTP_MARK_STATUS_H_INCLUDED_ */
