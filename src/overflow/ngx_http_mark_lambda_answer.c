
/* What the client of an invocation gets, by what Lambda has answered. */


#include "ngx_http_mark_lambda.h"
#include "mark_event.h"


static ngx_int_t ngx_http_mark_lambda_result(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx);
static ngx_int_t ngx_http_mark_lambda_url(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx);
static ngx_int_t ngx_http_mark_lambda_envelope(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx);
static ngx_int_t ngx_http_mark_lambda_crashed(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx);
static ngx_uint_t ngx_http_mark_lambda_blame(ngx_str_t *type);
static ngx_int_t ngx_http_mark_lambda_failed(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx);
static ngx_int_t ngx_http_mark_lambda_throttled(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx);
static void ngx_http_mark_lambda_report(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx);
static ngx_uint_t ngx_http_mark_lambda_is(ngx_str_t *type, const char *name);


/*
 * The answer is whole: sets up what the upstream has to send.  A status of
 * process_header().
 */

ngx_int_t
ngx_http_mark_lambda_answer(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx)
{
    u_char     *p;
    ngx_str_t  *type;

    /* the type may have a URL behind it */

    type = &ctx->error_type;
    p = ngx_strlchr(type->data, type->data + type->len, ':');

    if (p) {
        type->len = p - type->data;
    }

    ngx_http_mark_lambda_report(r, ctx);

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "mark: Lambda answered %ui, bytes:%uz request \"%V\"",
                   ctx->status.code, ctx->body_len, &ctx->request_id);

    if (ctx->status.code == NGX_HTTP_TOO_MANY_REQUESTS
        && (!ctx->conf->url || type->len))
    {
        return ngx_http_mark_lambda_throttled(r, ctx);
    }

    /* those that were sent before others were throttled say nothing new */

    if (ctx->sent > ctx->conf->throttled_at) {
        ctx->conf->throttled = 0;
    }

    if (ctx->conf->url && type->len == 0) {
        return ngx_http_mark_lambda_url(r, ctx);
    }

    if (ctx->status.code >= NGX_HTTP_SPECIAL_RESPONSE) {
        return ngx_http_mark_lambda_failed(r, ctx);
    }

    return ctx->function_error.len ? ngx_http_mark_lambda_crashed(r, ctx)
                                   : ngx_http_mark_lambda_result(r, ctx);
}


static ngx_int_t
ngx_http_mark_lambda_result(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx)
{
    ctx->ok = 1;

    if (ctx->conf->event) {
        return ngx_http_mark_lambda_envelope(r, ctx);
    }

    if (ngx_http_mark_lambda_type(r) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_mark_lambda_put(r, NGX_HTTP_OK, ctx->body, ctx->body_len);
}


/* A function URL's answer is the function's own. */

static ngx_int_t
ngx_http_mark_lambda_url(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx)
{
    ngx_uint_t        i;
    ngx_table_elt_t  *h;

    ctx->ok = (ctx->status.code < NGX_HTTP_INTERNAL_SERVER_ERROR);

    h = ctx->headers.elts;

    for (i = 0; i < ctx->headers.nelts; i++) {
        if (ngx_http_mark_lambda_put_header(r, h[i].key.data, h[i].key.len,
                                            h[i].value.data, h[i].value.len)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_mark_lambda_put(r, ctx->status.code, ctx->body,
                                    ctx->body_len);
}


static ngx_int_t
ngx_http_mark_lambda_envelope(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx)
{
    size_t                i;
    ngx_int_t             rc;
    mark_memory_t         memory;
    mark_codec_status_t   status;
    mark_event_answer_t  *answer;

    answer = ngx_palloc(r->pool, sizeof(mark_event_answer_t));
    if (answer == NULL) {
        return NGX_ERROR;
    }

    memory.alloc = ngx_http_mark_alloc;
    memory.pool = r->pool;

    status = mark_event_read(answer, ctx->body, ctx->body_len, &memory);

    if (status == MARK_CODEC_MEMORY) {
        return NGX_ERROR;
    }

    rc = NGX_DECLINED;

    if (status == MARK_CODEC_OK) {
        rc = NGX_OK;

        for (i = 0; i < answer->nheaders && rc == NGX_OK; i++) {
            rc = ngx_http_mark_lambda_put_header(r,
                           answer->headers[i].name.data,
                           answer->headers[i].name.len,
                           answer->headers[i].value.data,
                           answer->headers[i].value.len);
        }
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc != NGX_OK) {
        ngx_http_clean_header(r);

        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "mark: the answer of function \"%V\" is no HTTP "
                      "response as an event has it, request \"%V\"",
                      &ctx->conf->names[ctx->function], &ctx->request_id);

        return ngx_http_mark_lambda_error(r, NGX_HTTP_BAD_GATEWAY,
                                          "the function's answer is no HTTP "
                                          "response", NULL);
    }

    if (r->headers_out.content_type.len == 0
        && ngx_http_mark_lambda_type(r) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_mark_lambda_put(r, answer->status,
                                    (u_char *) answer->body.data,
                                    answer->body.len);
}


/* X-Amz-Function-Error */

static ngx_int_t
ngx_http_mark_lambda_crashed(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx)
{
    ngx_str_t    type;
    ngx_uint_t   status;
    mark_span_t  message, name;

    ngx_str_null(&type);

    if (mark_event_string(ctx->body, ctx->body_len, "errorType", &name) == 0) {
        type.data = (u_char *) name.data;
        type.len = name.len;
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "mark: function \"%V\" failed (%V), type \"%V\", "
                  "request \"%V\"",
                  &ctx->conf->names[ctx->function], &ctx->function_error,
                  &type, &ctx->request_id);

    status = ngx_http_mark_lambda_blame(&type);

    if (mark_event_string(ctx->body, ctx->body_len, "errorMessage", &message)
        != 0)
    {
        return ngx_http_mark_lambda_error(r, status, "the function failed",
                                          NULL);
    }

    return ngx_http_mark_lambda_error(r, status, "the function failed: ",
                                      &message);
}


/*
 * Whose fault it was, which decides whether the members of a batch are tried
 * apart: an error that the function raised may be one request's (mark-lambda
 * says so of one that it cannot read), one that Lambda raised is nobody's, as
 * a process that died or took too long.
 */

static ngx_uint_t
ngx_http_mark_lambda_blame(ngx_str_t *type)
{
    ngx_uint_t         i;
    static ngx_str_t   bad = ngx_string("BadRequest");
    static ngx_str_t   lambda[] = {
        ngx_string("Runtime."),
        ngx_string("Sandbox."),
        ngx_string("Extension."),
        ngx_null_string
    };

    if (type->len == 0) {
        return NGX_HTTP_BAD_GATEWAY;
    }

    for (i = 0; lambda[i].len; i++) {
        if (type->len > lambda[i].len
            && ngx_strncmp(type->data, lambda[i].data, lambda[i].len) == 0)
        {
            return NGX_HTTP_BAD_GATEWAY;
        }
    }

    if (type->len >= bad.len
        && ngx_strncmp(type->data + type->len - bad.len, bad.data, bad.len)
           == 0)
    {
        return NGX_HTTP_BAD_REQUEST;
    }

    return NGX_HTTP_INTERNAL_SERVER_ERROR;
}


/*
 * The service refuses.  Two of its reasons are the client's request, and all
 * others, such as a wrong signature, nothing that the client can change.
 */

static ngx_int_t
ngx_http_mark_lambda_failed(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx)
{
    u_char      *p;
    ngx_str_t    text;
    mark_span_t  message;

    ngx_str_null(&text);

    if (mark_event_string(ctx->body, ctx->body_len, "Message", &message) == 0
        || mark_event_string(ctx->body, ctx->body_len, "message", &message)
           == 0)
    {
        text.data = (u_char *) message.data;
        text.len = message.len;

        /*
         * Of a wrong signature it goes on with what should have been signed,
         * of which the session token is a part.
         */

        p = ngx_strlchr(text.data, text.data + text.len, '\\');

        if (p) {
            text.len = p - text.data;
        }
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "mark: Lambda refused to invoke \"%V\" with %ui, "
                  "type \"%V\": %V, request \"%V\"",
                  &ctx->conf->names[ctx->function], ctx->status.code,
                  &ctx->error_type, &text, &ctx->request_id);

    if (ctx->status.code == NGX_HTTP_REQUEST_ENTITY_TOO_LARGE) {
        return ngx_http_mark_lambda_error(r, ctx->status.code,
                           "the request is larger than an invocation may be",
                           NULL);
    }

    if (ctx->status.code == NGX_HTTP_BAD_REQUEST
        && ngx_http_mark_lambda_is(&ctx->error_type,
                                   "InvalidRequestContentException"))
    {
        return ngx_http_mark_lambda_error(r, ctx->status.code,
                           "the request is not JSON", NULL);
    }

    return ngx_http_mark_lambda_error(r, NGX_HTTP_BAD_GATEWAY,
                                      "the function could not be invoked",
                                      NULL);
}


/* Too many: the location is left alone for a while, if there is another. */

static ngx_int_t
ngx_http_mark_lambda_throttled(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx)
{
    u_char                       *p;
    ngx_int_t                     seconds;
    ngx_str_t                     text;
    ngx_msec_t                    wait;
    ngx_uint_t                    i;
    mark_span_t                   reason;
    ngx_http_mark_lambda_conf_t  *lcf;

    lcf = ctx->conf;

    wait = NGX_HTTP_MARK_LAMBDA_BACKOFF;

    for (i = 0; i < lcf->throttled && wait < NGX_HTTP_MARK_LAMBDA_PATIENCE;
         i++)
    {
        wait *= 2;
    }

    wait = ngx_min(wait, NGX_HTTP_MARK_LAMBDA_PATIENCE);

    seconds = ngx_atoi(ctx->retry_after.data, ctx->retry_after.len);

    if (seconds > 0) {
        seconds = ngx_min(seconds, 3600);
        wait = ngx_max(wait, (ngx_msec_t) seconds * 1000);
    }

    /* those that were in flight together say it all, but mean it once */

    if (ngx_http_mark_lambda_backoff(r) == 0) {
        lcf->throttled++;
        lcf->throttled_at = ctx->answered;
        lcf->not_before = ngx_current_msec + wait;
    }

    ngx_str_set(&text, "unknown");

    if (mark_event_string(ctx->body, ctx->body_len, "Reason", &reason) == 0) {
        text.data = (u_char *) reason.data;
        text.len = reason.len;

    } else {
        reason.data = text.data;
        reason.len = text.len;
    }

    ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                  "mark: Lambda throttles \"%V\", reason %V, wait:%Mms, "
                  "request \"%V\"",
                  &lcf->names[ctx->function], &text, wait, &ctx->request_id);

    p = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_mark_lambda_put_header(r, (uint8_t *) "Retry-After", 11, p,
                       ngx_sprintf(p, "%M", (wait + 999) / 1000) - p)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_mark_lambda_error(r, NGX_HTTP_TOO_MANY_REQUESTS,
                                      "too many invocations: ", &reason);
}


/* The end of the function's log, which has what was billed. */

static void
ngx_http_mark_lambda_report(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx)
{
    ngx_str_t  log;

    if (ctx->log_result.len == 0) {
        return;
    }

    log.data = ngx_pnalloc(r->pool, ngx_base64_decoded_length(
                                                       ctx->log_result.len));
    if (log.data == NULL
        || ngx_decode_base64(&log, &ctx->log_result) != NGX_OK)
    {
        return;
    }

    ctx->reported = (mark_function_report(&ctx->report, log.data, log.len)
                     == 0);
}


static ngx_uint_t
ngx_http_mark_lambda_is(ngx_str_t *type, const char *name)
{
    return type->len == ngx_strlen(name)
           && ngx_memcmp(type->data, name, type->len) == 0;
}
