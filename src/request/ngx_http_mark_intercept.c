
/*
 * How a client's request comes in.
 *
 * A handler of the precontent phase puts itself before the location's own
 * content handler, reads the body, and parks the request in its queue.  What
 * cannot be batched is passed on: the location's handler then runs on the
 * request as if the module were not there.
 *
 * Reference counts: reading the body took one, which is the park's; passing
 * on and answering end it by one ngx_http_finalize_request().
 */


#include "ngx_http_mark.h"


static ngx_http_mark_ctx_t *ngx_http_mark_create_ctx(ngx_http_request_t *r);
static void ngx_http_mark_marker(void *data);
static ngx_int_t ngx_http_mark_content_handler(ngx_http_request_t *r);
static ngx_table_elt_t *ngx_http_mark_header(ngx_http_request_t *r,
    ngx_str_t *name);
static void ngx_http_mark_body_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_mark_admit(ngx_http_mark_ctx_t *ctx);
static ngx_int_t ngx_http_mark_parse(ngx_http_mark_ctx_t *ctx);
static ngx_int_t ngx_http_mark_park(ngx_http_mark_ctx_t *ctx);
static void ngx_http_mark_pass(ngx_http_mark_ctx_t *ctx, ngx_uint_t reason);
static void ngx_http_mark_run_handler(ngx_http_mark_ctx_t *ctx);
static void ngx_http_mark_cleanup(void *data);


static ngx_str_t  ngx_http_mark_content_encoding =
    ngx_string("content-encoding");
static ngx_str_t  ngx_http_mark_json_len =
    ngx_string("inference-header-content-length");


ngx_int_t
ngx_http_mark_precontent_handler(ngx_http_request_t *r)
{
    ngx_http_mark_ctx_t       *ctx;
    ngx_http_mark_loc_conf_t  *mlcf;

    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_mark_module);

    if (mlcf->codec == NULL
        || r->content_handler == NULL
        || r->content_handler == ngx_http_mark_content_handler)
    {
        return NGX_DECLINED;
    }

    if (r != r->main) {
        ngx_http_mark_count(mlcf, passed[NGX_HTTP_MARK_PASS_SUBREQUEST]);
        return NGX_DECLINED;
    }

    if (r->method != NGX_HTTP_POST || r->headers_in.upgrade) {
        ngx_http_mark_count(mlcf, passed[NGX_HTTP_MARK_PASS_METHOD]);
        return NGX_DECLINED;
    }

    /* try_files and rewrites may come here again */

    ctx = ngx_http_get_module_ctx(r, ngx_http_mark_module);

    if (ctx == NULL) {
        ctx = ngx_http_mark_create_ctx(r);
        if (ctx == NULL) {
            return NGX_ERROR;
        }
    }

    ctx->conf = mlcf;
    ctx->handler = r->content_handler;
    r->content_handler = ngx_http_mark_content_handler;

    return NGX_DECLINED;
}


/*
 * An internal redirect, by error_page say, forgets contexts, and the log
 * phase comes after the request's cleanups; so the context is found again by
 * a cleanup of the pool, which does nothing.
 */

static ngx_http_mark_ctx_t *
ngx_http_mark_create_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t   *marker;
    ngx_http_cleanup_t   *cln;
    ngx_http_mark_ctx_t  *ctx;

    marker = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_mark_ctx_t));
    if (marker == NULL) {
        return NULL;
    }

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NULL;
    }

    ctx = marker->data;
    ngx_memzero(ctx, sizeof(ngx_http_mark_ctx_t));

    ctx->request = r;

    marker->handler = ngx_http_mark_marker;

    cln->handler = ngx_http_mark_cleanup;
    cln->data = ctx;

    ngx_http_set_ctx(r, ctx, ngx_http_mark_module);

    return ctx;
}


ngx_http_mark_ctx_t *
ngx_http_mark_get_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t   *cln;
    ngx_http_mark_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_mark_module);

    if (ctx == NULL && (r->internal || r->filter_finalize)) {

        for (cln = r->pool->cleanup; cln; cln = cln->next) {
            if (cln->handler == ngx_http_mark_marker) {
                return cln->data;
            }
        }
    }

    return ctx;
}


static void
ngx_http_mark_marker(void *data)
{
}


static ngx_int_t
ngx_http_mark_content_handler(ngx_http_request_t *r)
{
    ngx_int_t             rc;
    ngx_uint_t            pass;
    ngx_http_mark_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_mark_module);

    /*
     * What can be told from the headers is passed on with its body unread,
     * as the handler, with proxy_request_buffering off, may want it.
     */

    if (ctx->conf->body_replaced) {
        pass = NGX_HTTP_MARK_PASS_REPLACED;

    } else if (r->headers_in.content_length_n > (off_t) ctx->conf->max_bytes) {
        pass = NGX_HTTP_MARK_PASS_BYTES;

    } else if (ngx_http_mark_header(r, &ngx_http_mark_content_encoding)) {
        pass = NGX_HTTP_MARK_PASS_ENCODED;

    } else {
        rc = ngx_http_read_client_request_body(r, ngx_http_mark_body_handler);

        return rc >= NGX_HTTP_SPECIAL_RESPONSE ? rc : NGX_DONE;
    }

    ngx_http_mark_count(ctx->conf, passed[pass]);

    ctx->state = NGX_HTTP_MARK_ALONE;
    ctx->reason = ngx_http_mark_pass_reason(pass);
    ctx->arrived = ngx_http_mark_now();
    ctx->sent = ctx->arrived;
    ngx_http_mark_deadline(ctx);

    return ctx->handler(r);
}


static ngx_table_elt_t *
ngx_http_mark_header(ngx_http_request_t *r, ngx_str_t *name)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len == name->len
                && ngx_memcmp(h[i].lowcase_key, name->data, name->len) == 0)
            {
                return &h[i];
            }
        }
    }

    return NULL;
}


void *
ngx_http_mark_alloc(void *pool, size_t size)
{
    return ngx_palloc(pool, size);
}


static void
ngx_http_mark_body_handler(ngx_http_request_t *r)
{
    ngx_int_t             reason;
    ngx_http_mark_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_mark_module);

    ctx->arrived = ngx_http_mark_now();
    ngx_http_mark_deadline(ctx);

    reason = ngx_http_mark_admit(ctx);

    if (reason == NGX_DECLINED) {
        return;
    }

    ngx_http_mark_pass(ctx, reason);
}


/*
 * Puts the request into its queue.  NGX_DECLINED when there is nothing more
 * to do; otherwise the reason for which to pass it on.
 */

static ngx_int_t
ngx_http_mark_admit(ngx_http_mark_ctx_t *ctx)
{
    ngx_int_t                   rc;
    ngx_http_request_t         *r;
    ngx_http_mark_main_conf_t  *mmcf;

    r = ctx->request;

    rc = ngx_http_mark_body(r, &ctx->req.body, ctx->conf->max_bytes);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_HTTP_MARK_PASS_BYTES
                                  : NGX_HTTP_MARK_PASS_MEMORY;
    }

    if (r->request_body->temp_file) {
        ngx_http_mark_count(ctx->conf, body_files);
    }

    rc = ngx_http_mark_parse(ctx);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (ctx->req.nrows > ctx->conf->max_rows) {
        return NGX_HTTP_MARK_PASS_ROWS;
    }

    mmcf = ngx_http_get_module_main_conf(r, ngx_http_mark_module);

    rc = ngx_http_mark_queue_add(mmcf, ctx);

    if (rc == NGX_DECLINED) {
        return ctx->conf->body_replaced ? NGX_HTTP_MARK_PASS_REPLACED
                                        : NGX_HTTP_MARK_PASS_UNSPLIT;
    }

    if (rc == NGX_ERROR) {
        return NGX_HTTP_MARK_PASS_MEMORY;
    }

    ngx_http_mark_count(ctx->conf, requests);
    ngx_http_mark_add(ctx->conf, rows, ctx->req.nrows);

    if (ngx_http_mark_park(ctx) != NGX_OK) {
        ngx_http_mark_queue_remove(ctx);
        ngx_http_mark_reply_status(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
    }

    return NGX_DECLINED;
}


/* NGX_DECLINED, or the reason for which to pass the request on. */

static ngx_int_t
ngx_http_mark_parse(ngx_http_mark_ctx_t *ctx)
{
    mark_memory_t     memory;
    ngx_table_elt_t  *h;

    h = ngx_http_mark_header(ctx->request, &ngx_http_mark_json_len);

    if (h && ngx_http_mark_body_json_len(&h->value, &ctx->req.body) != NGX_OK)
    {
        return NGX_HTTP_MARK_PASS_INVALID;
    }

    memory.alloc = ngx_http_mark_alloc;
    memory.pool = ctx->request->pool;

    switch (ctx->conf->codec->parse(&ctx->req, &ctx->conf->codec_conf,
                                    &memory))
    {
    case MARK_CODEC_OK:
        ngx_http_mark_deadline_own(ctx);
        return NGX_DECLINED;

    case MARK_CODEC_UNSUPPORTED:
        return NGX_HTTP_MARK_PASS_UNSUPPORTED;

    case MARK_CODEC_NO_ROWS:
        return NGX_HTTP_MARK_PASS_NO_ROWS;

    case MARK_CODEC_STATEFUL:
        return NGX_HTTP_MARK_PASS_STATEFUL;

    case MARK_CODEC_STREAM:
        return NGX_HTTP_MARK_PASS_STREAM;

    case MARK_CODEC_MEMORY:
        return NGX_HTTP_MARK_PASS_MEMORY;

    default:
        return NGX_HTTP_MARK_PASS_INVALID;
    }
}


static ngx_int_t
ngx_http_mark_park(ngx_http_mark_ctx_t *ctx)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ctx->request;
    c = r->connection;

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    /* a client that leaves is noticed, as ngx_http_upstream does it */

    if (c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_events);
        return NGX_OK;
    }

    return ngx_handle_read_event(c->read, 0);
}


/* Passes on a request that cannot be batched. */

static void
ngx_http_mark_pass(ngx_http_mark_ctx_t *ctx, ngx_uint_t reason)
{
    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, ctx->request->connection->log, 0,
                   "mark: passed on: %s", ngx_http_mark_pass_reason(reason));

    ngx_http_mark_count(ctx->conf, passed[reason]);

    ctx->state = NGX_HTTP_MARK_ALONE;
    ctx->reason = ngx_http_mark_pass_reason(reason);
    ctx->sent = ctx->arrived;

    ngx_http_mark_run_handler(ctx);
}


/*
 * Runs a request of a queue by itself, as a batch of one or after its batch
 * failed.  Called from events of the queue, never by the client's own.
 */

void
ngx_http_mark_alone(ngx_http_mark_ctx_t *ctx, const char *reason)
{
    ngx_connection_t  *c;

    c = ctx->request->connection;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, c->log, 0, "mark: alone: %s", reason);

    ctx->state = NGX_HTTP_MARK_ALONE;
    ctx->reason = reason;
    ctx->batch_size = 1;
    ctx->batch_rows = ctx->req.nrows;

    ngx_http_mark_run_handler(ctx);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_mark_run_handler(ngx_http_mark_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    r->read_event_handler = ngx_http_block_reading;

    ngx_http_finalize_request(r, ctx->handler(r));
}


/* Compares the request with its deadline, once: at its end, or in a log. */

void
ngx_http_mark_judge(ngx_http_mark_ctx_t *ctx)
{
    ngx_uint_t           status;
    ngx_http_request_t  *r;

    if (ctx->judged || ctx->deadline == 0) {
        return;
    }

    r = ctx->request;
    ctx->judged = 1;

    status = r->err_status ? r->err_status : r->headers_out.status;

    if (status == NGX_HTTP_CLIENT_CLOSED_REQUEST) {
        return;
    }

    ctx->met = status < NGX_HTTP_INTERNAL_SERVER_ERROR
               && ngx_http_mark_now() <= ctx->deadline;

    if (ctx->met) {
        ngx_http_mark_count(ctx->conf, slo_met);

    } else {
        ngx_http_mark_count(ctx->conf, slo_missed);
    }
}


ngx_int_t
ngx_http_mark_log_handler(ngx_http_request_t *r)
{
    ngx_http_mark_ctx_t  *ctx;

    ctx = (r == r->main) ? ngx_http_mark_get_ctx(r) : NULL;

    if (ctx) {
        ngx_http_mark_judge(ctx);
    }

    return NGX_OK;
}


/* The request ends, by its answer or because its client left. */

static void
ngx_http_mark_cleanup(void *data)
{
    ngx_http_mark_ctx_t *ctx = data;

    switch (ctx->state) {

    case NGX_HTTP_MARK_QUEUED:
    case NGX_HTTP_MARK_SHARED:
    case NGX_HTTP_MARK_RETRYING:
    case NGX_HTTP_MARK_SHED:
        ngx_http_mark_count(ctx->conf, aborted);
        ngx_http_mark_queue_remove(ctx);
        break;

    case NGX_HTTP_MARK_RIDING:
        ngx_http_mark_count(ctx->conf, aborted);
        ngx_http_mark_batch_leave(ctx);
        break;

    case NGX_HTTP_MARK_ALONE:
        if (ctx->queue
            && ctx->request->headers_out.status
               == NGX_HTTP_CLIENT_CLOSED_REQUEST)
        {
            ngx_http_mark_count(ctx->conf, aborted);
        }

        ngx_http_mark_service_finish(ctx, 0);
        break;

    default:
        break;
    }

    ngx_http_mark_retry_end(ctx, 0);

    ctx->state = NGX_HTTP_MARK_DONE;
}
