
/* What a client's request goes through: see ngx_http_mark_intercept.c. */


#ifndef _NGX_HTTP_MARK_REQUEST_H_INCLUDED_
#define _NGX_HTTP_MARK_REQUEST_H_INCLUDED_


ngx_int_t ngx_http_mark_precontent_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_mark_log_handler(ngx_http_request_t *r);
void ngx_http_mark_alone(ngx_http_mark_ctx_t *ctx, const char *reason);
ngx_http_mark_ctx_t *ngx_http_mark_get_ctx(ngx_http_request_t *r);
void *ngx_http_mark_alloc(void *pool, size_t size);
void ngx_http_mark_judge(ngx_http_mark_ctx_t *ctx);

ngx_int_t ngx_http_mark_body(ngx_http_request_t *r, mark_body_t *body,
    size_t limit);
ngx_int_t ngx_http_mark_body_json_len(ngx_str_t *value, mark_body_t *body);

void ngx_http_mark_deadline(ngx_http_mark_ctx_t *ctx);
uint64_t ngx_http_mark_deadline_plain(ngx_http_request_t *r);
void ngx_http_mark_deadline_own(ngx_http_mark_ctx_t *ctx);
char *ngx_http_mark_slo(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

ngx_int_t ngx_http_mark_key(ngx_http_mark_ctx_t *ctx, ngx_str_t *key);
uint32_t ngx_http_mark_kind(ngx_http_request_t *r);
char *ngx_http_mark_batch_key(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_mark_ignore_header(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_mark_ignored(ngx_conf_t *cf, ngx_hash_t *hash,
    ngx_array_t *names, ngx_str_t *more);

void ngx_http_mark_reply(ngx_http_mark_ctx_t *ctx,
    ngx_http_mark_answer_t *answer, mark_parts_t *body);
void ngx_http_mark_reply_states(ngx_http_mark_ctx_t *ctx,
    ngx_http_mark_answer_t *answer);
void ngx_http_mark_reply_refused(ngx_http_mark_ctx_t *ctx,
    ngx_http_mark_answer_t *answer);
void ngx_http_mark_reply_rejected(ngx_http_mark_ctx_t *ctx);
void ngx_http_mark_reply_late(ngx_http_mark_ctx_t *ctx, ngx_uint_t seconds);
void ngx_http_mark_reply_status(ngx_http_mark_ctx_t *ctx, ngx_int_t status);
void ngx_http_mark_reply_error(ngx_http_mark_ctx_t *ctx, ngx_int_t status,
    const char *text);

char *ngx_http_mark_protocol(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

ngx_int_t ngx_http_mark_add_variables(ngx_conf_t *cf);

char *ngx_http_mark_check_location(ngx_conf_t *cf,
    ngx_http_mark_loc_conf_t *prev, ngx_http_mark_loc_conf_t *conf,
    ngx_http_core_loc_conf_t *clcf);


#endif /* _NGX_HTTP_MARK_REQUEST_H_INCLUDED_ */
