
/* What the files of the carrier share. */


#ifndef _NGX_HTTP_MARK_CARRIER_H_INCLUDED_
#define _NGX_HTTP_MARK_CARRIER_H_INCLUDED_


typedef struct {
    ngx_connection_t        connection;    /* must be the first */
    ngx_event_t             read;
    ngx_event_t             write;
    ngx_event_t             done;
    ngx_log_t               log;
    ngx_http_log_ctx_t      log_ctx;
    ngx_http_mark_batch_t  *batch;
    unsigned                finished:1;
} ngx_http_mark_carrier_t;


ngx_http_request_t *ngx_http_mark_carrier_request(ngx_connection_t *c,
    ngx_http_request_t *lr, ngx_http_mark_batch_t *batch);
ngx_int_t ngx_http_mark_carrier_headers(ngx_http_request_t *r,
    ngx_http_request_t *lr, ngx_http_mark_batch_t *batch);
ngx_int_t ngx_http_mark_carrier_dup(ngx_pool_t *pool, ngx_str_t *to,
    ngx_str_t *from);


#endif /* _NGX_HTTP_MARK_CARRIER_H_INCLUDED_ */
