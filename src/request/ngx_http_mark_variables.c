
/* The variables of a request in a batched location, for its log line. */


#include "ngx_http_mark.h"
#include "mark_select.h"


static ngx_int_t ngx_http_mark_variable_size(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_mark_variable_time(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_mark_variable_reason(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_mark_variable_overflow(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_mark_variable_slo(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_http_mark_decision_t *ngx_http_mark_variable_decision(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_mark_variable_class(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_mark_variable_choice(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_mark_variable_expected(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_mark_variable_hedged(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


#define NGX_HTTP_MARK_QUEUE_TIME  0
#define NGX_HTTP_MARK_BATCH_TIME  1


static ngx_http_variable_t  ngx_http_mark_vars[] = {

    /* requests in the batch */
    { ngx_string("mark_batch_size"), NULL, ngx_http_mark_variable_size,
      offsetof(ngx_http_mark_ctx_t, batch_size), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* rows in the batch */
    { ngx_string("mark_batch_rows"), NULL, ngx_http_mark_variable_size,
      offsetof(ngx_http_mark_ctx_t, batch_rows), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* seconds from the whole body's arrival until it was (last) sent */
    { ngx_string("mark_queue_time"), NULL, ngx_http_mark_variable_time,
      NGX_HTTP_MARK_QUEUE_TIME, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* seconds from then to the whole answer of the backend */
    { ngx_string("mark_batch_time"), NULL, ngx_http_mark_variable_time,
      NGX_HTTP_MARK_BATCH_TIME, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* why the batch left, or why the request was passed on */
    { ngx_string("mark_reason"), NULL, ngx_http_mark_variable_reason,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* why it went to the location of mark_overflow; not there if not */
    { ngx_string("mark_overflow"), NULL, ngx_http_mark_variable_overflow,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* 1 or 0; not there without mark_slo */
    { ngx_string("mark_slo_met"), NULL, ngx_http_mark_variable_slo,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /*
     * Of the server of a pool that was asked last; also of requests that are
     * not batched.
     */

    { ngx_string("mark_server_class"), NULL, ngx_http_mark_variable_class,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* why it was that one */
    { ngx_string("mark_choice"), NULL, ngx_http_mark_variable_choice,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* seconds that it was expected to take */
    { ngx_string("mark_predicted"), NULL, ngx_http_mark_variable_expected,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* whose answer it is, if its batch was sent to two servers */
    { ngx_string("mark_hedged"), NULL, ngx_http_mark_variable_hedged,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_mark_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_mark_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_mark_variable_text(ngx_http_variable_value_t *v, u_char *text,
    size_t len)
{
    v->len = len;
    v->data = text;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_mark_variable_size(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char               *p;
    ngx_uint_t            n;
    ngx_http_mark_ctx_t  *ctx;

    ctx = ngx_http_mark_get_ctx(r);

    n = ctx ? *(ngx_uint_t *) ((u_char *) ctx + data) : 0;

    if (n == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_mark_variable_text(v, p, ngx_sprintf(p, "%ui", n) - p);
}


static ngx_int_t
ngx_http_mark_variable_time(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char               *p;
    uint64_t              from, to;
    ngx_http_mark_ctx_t  *ctx;

    ctx = ngx_http_mark_get_ctx(r);

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    if (data == NGX_HTTP_MARK_QUEUE_TIME) {
        from = ctx->arrived;
        to = ctx->sent;

    } else {
        from = ctx->sent;
        to = ctx->answered;
    }

    if (from == 0 || to < from) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN + 7);
    if (p == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_mark_variable_text(v, p,
                                       ngx_sprintf(p, "%uL.%06uL",
                                                   (to - from) / 1000000,
                                                   (to - from) % 1000000)
                                       - p);
}


static ngx_int_t
ngx_http_mark_variable_reason(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_mark_ctx_t  *ctx;

    ctx = ngx_http_mark_get_ctx(r);

    if (ctx == NULL || ctx->reason == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    return ngx_http_mark_variable_text(v, (u_char *) ctx->reason,
                                       ngx_strlen(ctx->reason));
}


static ngx_int_t
ngx_http_mark_variable_overflow(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_mark_ctx_t  *ctx;

    ctx = ngx_http_mark_get_ctx(r);

    if (ctx == NULL || ctx->overflow == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    return ngx_http_mark_variable_text(v, (u_char *) ctx->overflow,
                                       ngx_strlen(ctx->overflow));
}


static ngx_int_t
ngx_http_mark_variable_slo(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_mark_ctx_t  *ctx;

    ctx = ngx_http_mark_get_ctx(r);

    if (ctx) {
        ngx_http_mark_judge(ctx);
    }

    if (ctx == NULL || !ctx->judged) {
        v->not_found = 1;
        return NGX_OK;
    }

    return ngx_http_mark_variable_text(v, (u_char *) (ctx->met ? "1" : "0"),
                                       1);
}


/* What was sent alone was so after its batch. */

static ngx_http_mark_decision_t *
ngx_http_mark_variable_decision(ngx_http_request_t *r)
{
    ngx_http_mark_ctx_t       *ctx;
    ngx_http_mark_decision_t  *decision;

    decision = ngx_http_mark_peer_decision(r);

    if (decision == NULL) {
        ctx = ngx_http_mark_get_ctx(r);
        decision = ctx ? &ctx->decision : NULL;
    }

    return decision && decision->reason != MARK_SELECT_NONE ? decision : NULL;
}


static ngx_int_t
ngx_http_mark_variable_class(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    size_t                     len;
    u_char                    *p;
    ngx_http_mark_decision_t  *decision;

    decision = ngx_http_mark_variable_decision(r);

    if (decision == NULL || decision->class[0] == '\0') {
        v->not_found = 1;
        return NGX_OK;
    }

    len = ngx_strlen(decision->class);

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, decision->class, len);

    return ngx_http_mark_variable_text(v, p, len);
}


static ngx_int_t
ngx_http_mark_variable_choice(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    const char                *text;
    ngx_http_mark_decision_t  *decision;

    decision = ngx_http_mark_variable_decision(r);

    if (decision == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    text = mark_select_reason(decision->reason);

    return ngx_http_mark_variable_text(v, (u_char *) text, ngx_strlen(text));
}


static ngx_int_t
ngx_http_mark_variable_expected(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                    *p;
    ngx_http_mark_decision_t  *decision;

    decision = ngx_http_mark_variable_decision(r);

    if (decision == NULL || decision->expected == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN + 7);
    if (p == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_mark_variable_text(v, p,
                                       ngx_sprintf(p, "%uL.%06uL",
                                               decision->expected / 1000000,
                                               decision->expected % 1000000)
                                       - p);
}


static ngx_int_t
ngx_http_mark_variable_hedged(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    const char           *text;
    ngx_http_mark_ctx_t  *ctx;

    ctx = ngx_http_mark_get_ctx(r);

    if (ctx == NULL || ctx->decision.hedge == NGX_HTTP_MARK_HEDGE_NONE) {
        v->not_found = 1;
        return NGX_OK;
    }

    text = (ctx->decision.hedge == NGX_HTTP_MARK_HEDGE_WON) ? "won" : "lost";

    return ngx_http_mark_variable_text(v, (u_char *) text, ngx_strlen(text));
}
