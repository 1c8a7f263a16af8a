
/*
 * Names, at run time: by nginx's "resolver", in the worker that asks.
 *
 * ngx_http_mark_resolve() resolves one name once, and calls the handler when
 * it is done, which may be before it returns.  What "resolve" in an upstream's
 * block keeps doing with names is in ngx_http_mark_names.c.
 */


#ifndef _NGX_HTTP_MARK_RESOLVE_H_INCLUDED_
#define _NGX_HTTP_MARK_RESOLVE_H_INCLUDED_


#include "ngx_http_mark_pool.h"


typedef struct ngx_http_mark_resolve_s  ngx_http_mark_resolve_t;

typedef void (*ngx_http_mark_resolve_pt)(ngx_http_mark_resolve_t *rs);


/*
 * The caller's, and untouched once the handler was called: it may free it, or
 * resolve again.  It must live until then.
 */

struct ngx_http_mark_resolve_s {
    ngx_http_mark_pool_t      *pool;         /* whose resolver it is */
    ngx_str_t                  host;
    in_port_t                  port;         /* that the addresses have */
    ngx_http_mark_resolve_pt   handler;
    void                      *data;

    /* the answer, until the handler returns */

    ngx_int_t                  state;        /* NGX_OK, NGX_RESOLVE_..., */
                                             /* NGX_ERROR: not even asked */
    time_t                     valid;        /* until; 0: not known */
    ngx_addr_t                *addrs;
    ngx_uint_t                 naddrs;

    u_char                     name[NGX_HTTP_MARK_NAME_LEN + 1];
};


void ngx_http_mark_resolve(ngx_http_mark_resolve_t *rs);

/* conf: names.c */

ngx_int_t ngx_http_mark_names_server(ngx_conf_t *cf,
    ngx_http_mark_pool_t *pool, ngx_http_mark_server_t *own,
    ngx_http_upstream_server_t *server);
ngx_int_t ngx_http_mark_names_init(ngx_conf_t *cf, ngx_http_mark_pool_t *pool,
    ngx_http_upstream_srv_conf_t *us);

/* process */

void ngx_http_mark_names_start(ngx_http_mark_pool_t *pool,
    ngx_cycle_t *cycle);


extern ngx_addr_t  ngx_http_mark_nowhere;


#endif /* _NGX_HTTP_MARK_RESOLVE_H_INCLUDED_ */
