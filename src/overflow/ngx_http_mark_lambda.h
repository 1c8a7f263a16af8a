
/*
 * mark_lambda: a location's handler that invokes an AWS Lambda function, once
 * for each request that is run there.  What its files share; the first three
 * functions are for whoever has requests run there.
 */


#ifndef _NGX_HTTP_MARK_LAMBDA_H_INCLUDED_
#define _NGX_HTTP_MARK_LAMBDA_H_INCLUDED_


#include "ngx_http_mark.h"
#include "mark_function.h"
#include "mark_sigv4.h"


/* The largest payload that a synchronous invocation takes. */
#define NGX_HTTP_MARK_LAMBDA_PAYLOAD   6291556

/* An answer is as large, and has its envelope around it. */
#define NGX_HTTP_MARK_LAMBDA_ANSWER    (8 * 1024 * 1024)

/* msec: a throttled location is left alone, twice as long each time. */
#define NGX_HTTP_MARK_LAMBDA_BACKOFF   100
#define NGX_HTTP_MARK_LAMBDA_PATIENCE  10000


typedef struct ngx_http_mark_credentials_s  ngx_http_mark_credentials_t;


struct ngx_http_mark_lambda_conf_s {
    ngx_http_upstream_conf_t       upstream;
    ngx_http_upstream_conf_t       kept;        /* on a kept connection */

    ngx_str_t                      host;        /* with a port, if not usual */
    ngx_str_t                      region;
    ngx_str_t                      endpoint;    /* as written, for messages */
    ngx_str_t                      trusted;     /* certificates of CAs */

    /* the smallest first; uris are of the Invoke API */

    ngx_uint_t                     nfunctions;
    ngx_str_t                      names[MARK_FUNCTION_MAX];
    ngx_str_t                      uris[MARK_FUNCTION_MAX];

    mark_function_price_t          price;
    ngx_http_mark_credentials_t   *credentials; /* NULL: does not sign */

    u_char                        *file;        /* where mark_lambda stands */
    ngx_uint_t                     line;

    unsigned                       event:1;
    unsigned                       url:1;       /* a function URL */
    unsigned                       log_tail:1;
    unsigned                       host_set:1;

    /* of the process */

    mark_function_t                functions[MARK_FUNCTION_MAX];
    mark_sigv4_key_t               key;
    ngx_msec_t                     not_before;
    ngx_uint_t                     throttled;   /* in a row */
    uint64_t                       throttled_at;    /* usec */
};


/* An invocation; in the request's pool. */

typedef struct {
    ngx_http_mark_lambda_conf_t   *conf;
    ngx_http_request_t            *request;

    ngx_uint_t                     function;
    ngx_uint_t                     units;
    uint64_t                       sent;        /* usec; 0 is not yet */
    uint64_t                       answered;

    ngx_chain_t                   *bufs;        /* the whole request */

    ngx_http_status_t              status;
    ngx_http_chunked_t             chunked;
    off_t                          length;      /* -1: chunks */
    u_char                        *body;
    size_t                         body_len;
    size_t                         body_size;

    ngx_array_t                    headers;     /* ngx_table_elt_t, of URLs */
    ngx_str_t                      request_id;
    ngx_str_t                      error_type;  /* of the service */
    ngx_str_t                      function_error;
    ngx_str_t                      retry_after;
    ngx_str_t                      log_result;

    mark_function_report_t         report;

    unsigned                       chosen:1;    /* a function; not yet done */
    unsigned                       reported:1;
    unsigned                       ok:1;        /* a function's good answer */
    unsigned                       failed:1;
    unsigned                       chunks:1;
    unsigned                       close:1;
} ngx_http_mark_lambda_ctx_t;


/*
 * For how many milliseconds the location in which r is, or is to be, should
 * not be used, because its function was throttled; 0: it may be used.  What
 * this worker has seen.  The other one asks before a request is there.
 */
ngx_msec_t ngx_http_mark_lambda_backoff(ngx_http_request_t *r);
ngx_msec_t ngx_http_mark_lambda_wait(ngx_http_mark_lambda_conf_t *lcf);

/*
 * What the request's invocation costs, in billionths of a dollar: as the
 * function's report says, or else by the time that it took.  NGX_DECLINED:
 * there was none, or its memory is not known.
 */
ngx_int_t ngx_http_mark_lambda_cost(ngx_http_request_t *r,
    uint64_t *nano_usd);

/* Tells whether the request is an invocation, NULL: it is not. */
ngx_http_mark_lambda_ctx_t *ngx_http_mark_lambda_get_ctx(
    ngx_http_request_t *r);

char *ngx_http_mark_lambda(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_mark_lambda_merge(ngx_conf_t *cf,
    ngx_http_mark_loc_conf_t *prev, ngx_http_mark_loc_conf_t *conf);
ngx_int_t ngx_http_mark_lambda_handler(ngx_http_request_t *r);

char *ngx_http_mark_lambda_bad(ngx_conf_t *cf, const char *text);

/* of ngx_http_mark_lambda_functions.c */
char *ngx_http_mark_lambda_functions(ngx_conf_t *cf,
    ngx_http_mark_lambda_conf_t *lcf, ngx_str_t *function, ngx_uint_t n,
    ngx_str_t *qualifier, ngx_str_t *memory);

/* of ngx_http_mark_lambda_endpoint.c */
char *ngx_http_mark_lambda_endpoint(ngx_conf_t *cf,
    ngx_http_mark_lambda_conf_t *lcf);
char *ngx_http_mark_lambda_tls(ngx_conf_t *cf,
    ngx_http_mark_lambda_conf_t *lcf);

/* of ngx_http_mark_lambda_request.c */
ngx_int_t ngx_http_mark_lambda_request(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx, mark_span_t *payload);
ngx_int_t ngx_http_mark_lambda_event(ngx_http_request_t *r, mark_body_t *body,
    mark_span_t *payload);
ngx_uint_t ngx_http_mark_lambda_hop(u_char *lowcase, size_t len);

/* of ngx_http_mark_lambda_response.c */
void ngx_http_mark_lambda_reset(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx);

/* of ngx_http_mark_lambda_answer.c: the client's */
ngx_int_t ngx_http_mark_lambda_answer(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx);

/* of ngx_http_mark_lambda_reply.c */
void ngx_http_mark_lambda_refuse(ngx_http_request_t *r, ngx_uint_t status,
    const char *text);
ngx_int_t ngx_http_mark_lambda_error(ngx_http_request_t *r,
    ngx_uint_t status, const char *text, mark_span_t *more);
ngx_int_t ngx_http_mark_lambda_put(ngx_http_request_t *r, ngx_uint_t status,
    u_char *body, size_t len);
ngx_int_t ngx_http_mark_lambda_put_header(ngx_http_request_t *r,
    const uint8_t *name, size_t name_len, const uint8_t *value, size_t len);

#define ngx_http_mark_lambda_type(r)                                          \
    ngx_http_mark_lambda_put_header(r, (uint8_t *) "Content-Type", 12,        \
                                    (uint8_t *) "application/json", 16)

/* of ngx_http_mark_lambda_credentials.c */
ngx_http_mark_credentials_t *ngx_http_mark_credentials_create(ngx_conf_t *cf,
    ngx_str_t *file, ngx_str_t *profile);
ngx_int_t ngx_http_mark_credentials_get(ngx_http_mark_credentials_t *c,
    mark_sigv4_signer_t *signer, ngx_log_t *log);

/* of ngx_http_mark_lambda_variables.c */
ngx_int_t ngx_http_mark_lambda_add_variables(ngx_conf_t *cf);


#endif /* _NGX_HTTP_MARK_LAMBDA_H_INCLUDED_ */
