
/*
 * The handler of mark_lambda: a request of any kind, a batch's carrier as
 * well as a client's own, becomes one invocation, which is an upstream
 * request of this module's.
 *
 * The answer is read as a whole before anything is sent on, as what it is
 * stands in it: process_header() does not come to an end before the body has,
 * and then what is left of the upstream's work is to send it.
 */


#include "ngx_http_mark_lambda.h"


static void ngx_http_mark_lambda_body_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_mark_lambda_payload(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx, mark_span_t *payload);
static void ngx_http_mark_lambda_choose(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx, size_t bytes);
static uint64_t ngx_http_mark_lambda_left(ngx_http_request_t *r);
static uint64_t ngx_http_mark_lambda_sooner(uint64_t a, uint64_t b);
static void ngx_http_mark_lambda_cleanup(void *data);
static ngx_int_t ngx_http_mark_lambda_create_request(ngx_http_request_t *r);
static ngx_int_t ngx_http_mark_lambda_reinit_request(ngx_http_request_t *r);
static ngx_int_t ngx_http_mark_lambda_send(void *data, ngx_chain_t *in);
static ngx_int_t ngx_http_mark_lambda_filter_init(void *data);
static ngx_int_t ngx_http_mark_lambda_filter(void *data, ssize_t bytes);
static void ngx_http_mark_lambda_abort_request(ngx_http_request_t *r);
static void ngx_http_mark_lambda_finalize_request(ngx_http_request_t *r,
    ngx_int_t rc);


ngx_int_t
ngx_http_mark_lambda_handler(ngx_http_request_t *r)
{
    ngx_int_t                    rc;
    ngx_http_upstream_t         *u;
    ngx_pool_cleanup_t          *cln;
    ngx_http_mark_loc_conf_t    *mlcf;
    ngx_http_mark_lambda_ctx_t  *ctx;

    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_mark_module);

    /* all else needs no body that is JSON */

    if (!mlcf->lambda->url && !mlcf->lambda->event
        && r->method != NGX_HTTP_POST)
    {
        return NGX_HTTP_NOT_ALLOWED;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_mark_lambda_ctx_t));

    if (cln == NULL || ngx_http_upstream_create(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_mark_lambda_ctx_t));

    cln->handler = ngx_http_mark_lambda_cleanup;

    ctx->conf = mlcf->lambda;
    ctx->request = r;

    u = r->upstream;

    u->output.tag = (ngx_buf_tag_t) &ngx_http_mark_module;
    u->output.output_filter = ngx_http_mark_lambda_send;
    u->output.filter_ctx = r;

    u->conf = &ctx->conf->upstream;
    ngx_str_set(&u->schema, "http://");

#if (NGX_HTTP_SSL)
    if (u->conf->ssl) {
        u->ssl = 1;
        ngx_str_set(&u->schema, "https://");
    }
#endif

    u->create_request = ngx_http_mark_lambda_create_request;
    u->reinit_request = ngx_http_mark_lambda_reinit_request;
    u->abort_request = ngx_http_mark_lambda_abort_request;
    u->finalize_request = ngx_http_mark_lambda_finalize_request;

    u->input_filter_init = ngx_http_mark_lambda_filter_init;
    u->input_filter = ngx_http_mark_lambda_filter;
    u->input_filter_ctx = ctx;

    u->accel = 1;

    ngx_http_mark_lambda_reset(r, ctx);

    rc = ngx_http_read_client_request_body(r,
                                           ngx_http_mark_lambda_body_handler);

    return rc >= NGX_HTTP_SPECIAL_RESPONSE ? rc : NGX_DONE;
}


/* A context could be lost by an internal redirect, and is the batch's. */

ngx_http_mark_lambda_ctx_t *
ngx_http_mark_lambda_get_ctx(ngx_http_request_t *r)
{
    if (r->upstream == NULL
        || r->upstream->create_request != ngx_http_mark_lambda_create_request)
    {
        return NULL;
    }

    return r->upstream->input_filter_ctx;
}


static void
ngx_http_mark_lambda_body_handler(ngx_http_request_t *r)
{
    ngx_int_t                    rc;
    mark_span_t                  payload;
    ngx_http_mark_lambda_ctx_t  *ctx;

    ctx = ngx_http_mark_lambda_get_ctx(r);

    rc = ngx_http_mark_lambda_payload(r, ctx, &payload);

    if (rc == NGX_DECLINED) {
        ngx_http_mark_lambda_refuse(r, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                    "the request is larger than an "
                                    "invocation may be");
        return;
    }

    if (rc == NGX_OK) {
        ngx_http_mark_lambda_choose(r, ctx, payload.len);
        rc = ngx_http_mark_lambda_request(r, ctx, &payload);
    }

    if (rc == NGX_DECLINED) {
        ngx_http_mark_lambda_refuse(r, NGX_HTTP_BAD_GATEWAY,
                                    "there are no valid credentials");
        return;
    }

    if (rc != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ctx->sent = ngx_http_mark_now();

    ngx_http_upstream_init(r);
}


/* NGX_DECLINED: it is too large. */

static ngx_int_t
ngx_http_mark_lambda_payload(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx, mark_span_t *payload)
{
    ngx_int_t    rc;
    mark_body_t  body;

    rc = ngx_http_mark_body(r, &body, NGX_HTTP_MARK_LAMBDA_PAYLOAD);

    if (rc != NGX_OK) {
        return rc;
    }

    payload->data = body.data;
    payload->len = body.len;

    if (ctx->conf->event
        && ngx_http_mark_lambda_event(r, &body, payload) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return payload->len > NGX_HTTP_MARK_LAMBDA_PAYLOAD ? NGX_DECLINED
                                                       : NGX_OK;
}


/*
 * Latencies are learned over rows where they are known, and over KB of the
 * payload elsewhere.
 */

static void
ngx_http_mark_lambda_choose(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx, size_t bytes)
{
    ngx_http_mark_ctx_t          *mctx;
    ngx_http_mark_batch_t        *batch;
    ngx_http_mark_lambda_conf_t  *lcf;

    lcf = ctx->conf;

    ctx->units = 1 + bytes / 1024;

    batch = ngx_http_mark_carrier_batch(r);

    if (batch) {
        ctx->units = batch->rows;

    } else {
        mctx = ngx_http_mark_get_ctx(r);

        if (mctx && mctx->req.nrows) {
            ctx->units = mctx->req.nrows;
        }
    }

    if (lcf->nfunctions == 1) {
        return;
    }

    ctx->function = mark_function_choose(lcf->functions, lcf->nfunctions,
                                         ctx->units,
                                         ngx_http_mark_lambda_left(r));
    ctx->chosen = 1;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "mark: function \"%V\" for units:%ui",
                   &lcf->names[ctx->function], ctx->units);
}


/* usec to the deadline of the request, or the first of the batch; 0: none. */

static uint64_t
ngx_http_mark_lambda_left(ngx_http_request_t *r)
{
    uint64_t                   now, due;
    ngx_uint_t                 i;
    ngx_http_mark_ctx_t       *mctx;
    ngx_http_mark_batch_t     *batch;
    ngx_http_mark_loc_conf_t  *mlcf;

    due = 0;
    now = ngx_http_mark_now();
    batch = ngx_http_mark_carrier_batch(r);
    mctx = batch ? NULL : ngx_http_mark_get_ctx(r);

    if (batch) {
        for (i = 0; i < batch->nslots; i++) {
            if (batch->slots[i]) {
                due = ngx_http_mark_lambda_sooner(due,
                                                  batch->slots[i]->deadline);
            }
        }

    } else if (mctx) {
        due = mctx->deadline;

    } else {
        mlcf = ngx_http_get_module_loc_conf(r, ngx_http_mark_module);

        if (mlcf->slo != NGX_CONF_UNSET_MSEC) {
            return (uint64_t) mlcf->slo * 1000;
        }
    }

    if (due == 0) {
        return 0;
    }

    return due > now ? due - now : 1;
}


static uint64_t
ngx_http_mark_lambda_sooner(uint64_t a, uint64_t b)
{
    if (a == 0 || b == 0) {
        return a ? a : b;
    }

    return ngx_min(a, b);
}


/* Whatever became of it, a choice is told its end. */

static void
ngx_http_mark_lambda_cleanup(void *data)
{
    ngx_http_mark_lambda_ctx_t *ctx = data;

    mark_function_t  *f;

    if (!ctx->chosen) {
        return;
    }

    ctx->chosen = 0;

    f = &ctx->conf->functions[ctx->function];

    if (ctx->ok) {
        mark_function_done(f, ctx->units,
                           ngx_max(ctx->answered - ctx->sent, 1));

    } else if (ctx->failed) {
        mark_function_done(f, ctx->units, 0);

    } else {
        mark_function_left(f);
    }
}


static ngx_int_t
ngx_http_mark_lambda_create_request(ngx_http_request_t *r)
{
    ngx_http_mark_lambda_ctx_t  *ctx;

    ctx = ngx_http_mark_lambda_get_ctx(r);

    r->upstream->request_bufs = ctx->bufs;

    return NGX_OK;
}


static ngx_int_t
ngx_http_mark_lambda_reinit_request(ngx_http_request_t *r)
{
    ngx_http_mark_lambda_ctx_t  *ctx;

    ctx = ngx_http_mark_lambda_get_ctx(r);

    r->upstream->conf = &ctx->conf->upstream;
    ngx_http_mark_lambda_reset(r, ctx);

    return NGX_OK;
}


/*
 * A kept connection may have been closed just now, of which the server knows
 * and we do not.  An invocation that is lost in this way has not begun, and
 * is sent again over another one; none that may have begun ever is.
 */

static ngx_int_t
ngx_http_mark_lambda_send(void *data, ngx_chain_t *in)
{
    ngx_http_request_t *r = data;

    ngx_http_upstream_t         *u;
    ngx_http_mark_lambda_ctx_t  *ctx;

    u = r->upstream;
    ctx = ngx_http_mark_lambda_get_ctx(r);

    if (u->peer.cached) {
        u->conf = &ctx->conf->kept;
    }

    return ngx_chain_writer(&u->writer, in);
}


/* The answer is whole: u->buffer is the client's body. */

static ngx_int_t
ngx_http_mark_lambda_filter_init(void *data)
{
    ngx_http_mark_lambda_ctx_t *ctx = data;

    ctx->request->upstream->length = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_mark_lambda_filter(void *data, ssize_t bytes)
{
    ngx_http_mark_lambda_ctx_t *ctx = data;

    ngx_buf_t            *b;
    ngx_chain_t          *cl;
    ngx_http_upstream_t  *u;

    u = ctx->request->upstream;

    cl = ngx_alloc_chain_link(ctx->request->pool);
    b = ngx_calloc_buf(ctx->request->pool);

    if (cl == NULL || b == NULL) {
        return NGX_ERROR;
    }

    /*
     * With a tag that is not the upstream's the buffer is not waited for, and
     * the connection is free for others while a slow client reads.
     */

    b->start = u->buffer.last;
    b->pos = b->start;
    b->last = b->start + bytes;
    b->end = b->last;
    b->memory = 1;

    cl->buf = b;
    cl->next = NULL;

    u->buffer.last += bytes;
    u->out_bufs = cl;

    return NGX_OK;
}


static void
ngx_http_mark_lambda_abort_request(ngx_http_request_t *r)
{
}


static void
ngx_http_mark_lambda_finalize_request(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_http_mark_lambda_ctx_t  *ctx;

    ctx = ngx_http_mark_lambda_get_ctx(r);

    /* clients that leave come here with other codes */

    ctx->failed = (ctx->answered || rc >= NGX_HTTP_INTERNAL_SERVER_ERROR);

    ngx_http_mark_lambda_cleanup(ctx);
}


ngx_msec_t
ngx_http_mark_lambda_backoff(ngx_http_request_t *r)
{
    ngx_http_mark_loc_conf_t  *mlcf;

    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_mark_module);

    return mlcf->lambda ? ngx_http_mark_lambda_wait(mlcf->lambda) : 0;
}


ngx_msec_t
ngx_http_mark_lambda_wait(ngx_http_mark_lambda_conf_t *lcf)
{
    ngx_msec_int_t  left;

    if (lcf->throttled == 0) {
        return 0;
    }

    left = (ngx_msec_int_t) (lcf->not_before - ngx_current_msec);

    return left > 0 ? left : 0;
}
