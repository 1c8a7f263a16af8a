
/*
 * Active health checks of a pool's servers, "mark_health".
 *
 * One worker checks for all; what it finds out is in the slots.  What it
 * counts on the way there is its own, and its successor begins anew.
 */


#ifndef _NGX_HTTP_MARK_HEALTH_H_INCLUDED_
#define _NGX_HTTP_MARK_HEALTH_H_INCLUDED_


#include "ngx_http_mark_pool.h"
#include "mark_http_response.h"


typedef struct ngx_http_mark_check_s  ngx_http_mark_check_t;


/* What the worker knows of a slot. */

typedef struct {
    uint32_t                   generation;   /* 0: it is not checked */
    ngx_uint_t                 passes;       /* in a row */
    ngx_uint_t                 fails;
    ngx_msec_t                 due;
    ngx_http_mark_check_t     *check;        /* under way; or NULL */
} ngx_http_mark_watch_t;


typedef struct {
    ngx_http_mark_pool_t      *pool;
    u_char                    *file;         /* where mark_health stands */
    ngx_uint_t                 line;

    ngx_str_t                  uri;
    ngx_str_t                  host;         /* empty: the server's name */
    ngx_msec_t                 interval;
    ngx_msec_t                 timeout;
    ngx_uint_t                 fails;
    ngx_uint_t                 passes;
    ngx_uint_t                 port;         /* 0: the server's */
    ngx_uint_t                 first;        /* statuses that pass */
    ngx_uint_t                 last;
    ngx_str_t                  trusted;      /* certificates' file */
    unsigned                   tls:1;
    unsigned                   verify:1;
#if (NGX_HTTP_SSL)
    ngx_ssl_t                 *ssl;
#endif

    /* of the process */

    ngx_event_t                timer;
    uint64_t                   changed;      /* as the slots were then */
    ngx_http_mark_watch_t     *watches;      /* of nslots */
} ngx_http_mark_health_t;


/* One check, from the connection to the head of the answer. */

struct ngx_http_mark_check_s {
    ngx_http_mark_health_t    *health;
    ngx_uint_t                 slot;
    uint32_t                   generation;

    ngx_pool_t                *pool;
    ngx_log_t                  log;
    ngx_event_t                timer;
    ngx_peer_connection_t      peer;
    ngx_sockaddr_t             sockaddr;
    ngx_str_t                  name;         /* of the server, as written */
    ngx_str_t                  addr;
    ngx_buf_t                 *request;
    mark_http_response_t       response;
};


/* when, and what comes of it: health.c */

ngx_int_t ngx_http_mark_health_start(ngx_http_mark_pool_t *pool,
    ngx_cycle_t *cycle);
void ngx_http_mark_health_stop(ngx_http_mark_pool_t *pool);
void ngx_http_mark_health_result(ngx_http_mark_check_t *check, ngx_uint_t ok,
    u_char *reason);

/* the connection: check.c */

void ngx_http_mark_check_start(ngx_http_mark_health_t *health,
    ngx_uint_t slot);
void ngx_http_mark_check_close(ngx_http_mark_check_t *check);


#endif /* _NGX_HTTP_MARK_HEALTH_H_INCLUDED_ */
