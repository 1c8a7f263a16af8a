
/* What an invocation was and cost, for the log line of its request. */


#include "ngx_http_mark_lambda.h"


static ngx_int_t ngx_http_mark_lambda_variable_text(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_mark_lambda_variable_number(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_mark_lambda_variable_cost(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_mark_lambda_variable_function(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_mark_lambda_variable_backoff(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_mark_lambda_value(ngx_http_variable_value_t *v,
    u_char *data, size_t len);


static ngx_http_variable_t  ngx_http_mark_lambda_vars[] = {

    /* the service's name of the invocation */
    { ngx_string("mark_lambda_request_id"), NULL,
      ngx_http_mark_lambda_variable_text,
      offsetof(ngx_http_mark_lambda_ctx_t, request_id),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* Handled or Unhandled */
    { ngx_string("mark_lambda_function_error"), NULL,
      ngx_http_mark_lambda_variable_text,
      offsetof(ngx_http_mark_lambda_ctx_t, function_error),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* the one that was chosen */
    { ngx_string("mark_lambda_function"), NULL,
      ngx_http_mark_lambda_variable_function, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* msec, as billed */
    { ngx_string("mark_lambda_duration"), NULL,
      ngx_http_mark_lambda_variable_number,
      offsetof(mark_function_report_t, billed),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* MB */
    { ngx_string("mark_lambda_memory"), NULL,
      ngx_http_mark_lambda_variable_number,
      offsetof(mark_function_report_t, memory),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* US dollars */
    { ngx_string("mark_lambda_cost"), NULL,
      ngx_http_mark_lambda_variable_cost, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* msec for which the location should not be used; 0: it may be */
    { ngx_string("mark_lambda_backoff"), NULL,
      ngx_http_mark_lambda_variable_backoff, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_mark_lambda_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_mark_lambda_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_mark_lambda_cost(ngx_http_request_t *r, uint64_t *nano_usd)
{
    ngx_uint_t                   memory, billed;
    ngx_http_mark_lambda_ctx_t  *ctx;

    ctx = ngx_http_mark_lambda_get_ctx(r);

    /* what did not come to be invoked costs nothing, and is not known to */

    if (ctx == NULL || ctx->answered == 0
        || (!ctx->ok && ctx->function_error.len == 0))
    {
        return NGX_DECLINED;
    }

    if (ctx->reported) {
        memory = ctx->report.memory;
        billed = ctx->report.billed;

    } else {
        memory = ctx->conf->functions[ctx->function].memory;
        billed = (ctx->answered - ctx->sent + 999) / 1000;
    }

    if (memory == 0) {
        return NGX_DECLINED;
    }

    *nano_usd = mark_function_cost(&ctx->conf->price, memory, billed);

    return NGX_OK;
}


static ngx_int_t
ngx_http_mark_lambda_variable_text(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                   *text;
    ngx_http_mark_lambda_ctx_t  *ctx;

    ctx = ngx_http_mark_lambda_get_ctx(r);
    text = ctx ? (ngx_str_t *) ((u_char *) ctx + data) : NULL;

    if (text == NULL || text->len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    return ngx_http_mark_lambda_value(v, text->data, text->len);
}


static ngx_int_t
ngx_http_mark_lambda_variable_function(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                   *name;
    ngx_http_mark_lambda_ctx_t  *ctx;

    ctx = ngx_http_mark_lambda_get_ctx(r);

    if (ctx == NULL || ctx->sent == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    name = &ctx->conf->names[ctx->function];

    return ngx_http_mark_lambda_value(v, name->data, name->len);
}


static ngx_int_t
ngx_http_mark_lambda_variable_number(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                      *p;
    unsigned                     n;
    ngx_http_mark_lambda_ctx_t  *ctx;

    ctx = ngx_http_mark_lambda_get_ctx(r);

    if (ctx == NULL || !ctx->reported) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    n = *(unsigned *) ((u_char *) &ctx->report + data);

    return ngx_http_mark_lambda_value(v, p, ngx_sprintf(p, "%uD", n) - p);
}


static ngx_int_t
ngx_http_mark_lambda_variable_cost(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char    *p;
    uint64_t   nano;

    if (ngx_http_mark_lambda_cost(r, &nano) != NGX_OK) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN + 10);
    if (p == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_mark_lambda_value(v, p,
                                      ngx_sprintf(p, "%uL.%09uL",
                                                  nano / 1000000000,
                                                  nano % 1000000000)
                                      - p);
}


static ngx_int_t
ngx_http_mark_lambda_variable_backoff(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char  *p;

    p = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_mark_lambda_value(v, p,
                      ngx_sprintf(p, "%M", ngx_http_mark_lambda_backoff(r))
                      - p);
}


static ngx_int_t
ngx_http_mark_lambda_value(ngx_http_variable_value_t *v, u_char *data,
    size_t len)
{
    v->data = data;
    v->len = len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}
