
/*
 * A batch: joins the bodies of its members, has a carrier bring them to the
 * backend, and gives each member its part of the answer.
 *
 * The batch owns its pool, and with it the joined body, the captured reply
 * and the carrier.  It never refers to a member's memory after the join: a
 * member that leaves clears its slot (ngx_http_mark_cleanup()), and its rows
 * of the answer are dropped.  The batch ends in ngx_http_mark_batch_done(),
 * which the carrier's end posts exactly once.
 */


#include "ngx_http_mark.h"


typedef enum {
    NGX_HTTP_MARK_SPLIT = 0,     /* each member has its slice */
    NGX_HTTP_MARK_SAME,          /* the whole reply is everybody's */
    NGX_HTTP_MARK_ERROR,         /* nginx's own answer is everybody's */
    NGX_HTTP_MARK_APART          /* each member is to be tried alone */
} ngx_http_mark_fate_e;


static ngx_int_t ngx_http_mark_batch_join(ngx_http_mark_batch_t *batch);
static ngx_http_mark_fate_e ngx_http_mark_batch_fate(
    ngx_http_mark_batch_t *batch, mark_v1_reply_t *reply);
static ngx_http_mark_fate_e ngx_http_mark_batch_split(
    ngx_http_mark_batch_t *batch, mark_v1_reply_t *reply);
static void ngx_http_mark_batch_unsplit(ngx_http_mark_batch_t *batch,
    const char *why);
static void ngx_http_mark_batch_deliver(ngx_http_mark_batch_t *batch,
    ngx_http_mark_fate_e fate, mark_v1_reply_t *reply);
static void ngx_http_mark_batch_apart(ngx_http_mark_batch_t *batch);


/* A batch for n members; NULL: no memory. */

ngx_http_mark_batch_t *
ngx_http_mark_batch_create(ngx_http_mark_queue_t *q, ngx_uint_t n,
    const char *reason, uint64_t now)
{
    ngx_log_t              *log;
    ngx_pool_t             *pool;
    ngx_http_mark_batch_t  *batch;

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE / 2, &q->log);
    if (pool == NULL) {
        return NULL;
    }

    batch = ngx_pcalloc(pool, sizeof(ngx_http_mark_batch_t));
    if (batch == NULL) {
        goto failed;
    }

    log = ngx_palloc(pool, sizeof(ngx_log_t));
    if (log == NULL) {
        goto failed;
    }

    *log = q->log;

    batch->pool = pool;
    batch->log = log;
    batch->queue = q;
    batch->conf = q->conf;
    batch->reason = reason;
    batch->sent = now;

    batch->slots = ngx_palloc(pool, n * sizeof(ngx_http_mark_ctx_t *));
    batch->slices = ngx_pcalloc(pool, n * sizeof(mark_v1_slice_t));

    if (batch->slots == NULL || batch->slices == NULL) {
        goto failed;
    }

    return batch;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


void
ngx_http_mark_batch_add(ngx_http_mark_batch_t *batch, ngx_http_mark_ctx_t *ctx)
{
    ngx_uint_t  i;

    i = batch->nslots++;
    batch->members++;

    batch->slots[i] = ctx;
    batch->slices[i].nrows = ctx->v1.nrows;
    batch->rows += ctx->v1.nrows;

    ctx->state = NGX_HTTP_MARK_RIDING;
    ctx->reason = batch->reason;
    ctx->batch = batch;
    ctx->slot = i;
}


/* Sends the batch; should that fail, its members go alone. */

void
ngx_http_mark_batch_start(ngx_http_mark_batch_t *batch)
{
    ngx_uint_t            i;
    ngx_http_mark_ctx_t  *ctx;

    for (i = 0; i < batch->nslots; i++) {
        ctx = batch->slots[i];
        ctx->batch_size = batch->nslots;
        ctx->batch_rows = batch->rows;
    }

    if (ngx_http_mark_batch_join(batch) != NGX_OK) {
        goto failed;
    }

    batch->epoch = ngx_http_mark_queue_sent(batch->queue, batch->sent,
                                            batch->rows);

    if (ngx_http_mark_carrier_start(batch, batch->slots[0]) == NGX_OK) {
        return;
    }

    ngx_http_mark_queue_answered(batch->queue, batch->epoch, batch->rows, 0,
                                 0);

failed:

    ngx_http_mark_batch_apart(batch);
    ngx_destroy_pool(batch->pool);
}


static ngx_int_t
ngx_http_mark_batch_join(ngx_http_mark_batch_t *batch)
{
    size_t                size;
    ngx_buf_t            *b;
    ngx_uint_t            i;
    mark_v1_request_t    *first;

    size = 0;

    for (i = 0; i < batch->nslots; i++) {
        size += batch->slots[i]->body.len;
    }

    b = ngx_create_temp_buf(batch->pool, size);
    if (b == NULL) {
        return NGX_ERROR;
    }

    first = &batch->slots[0]->v1;

    b->last = mark_v1_join_begin(b->last, first);

    for (i = 0; i < batch->nslots; i++) {
        b->last = mark_v1_join_rows(b->last, &batch->slots[i]->v1, i);
    }

    b->last = mark_v1_join_end(b->last, first);

    batch->body = b;

    return NGX_OK;
}


/*
 * A member's client has left.  With the last one the carrier ends as well, as
 * a client's own request does; proxy_ignore_client_abort keeps it, but not a
 * worker that is shutting down.
 */

void
ngx_http_mark_batch_leave(ngx_http_mark_ctx_t *ctx)
{
    ngx_http_mark_batch_t  *batch;

    batch = ctx->batch;
    batch->slots[ctx->slot] = NULL;
    batch->members--;

    if (batch->members == 0) {
        ngx_http_mark_carrier_cancel(batch);
    }
}


/* The carrier has ended, one way or the other. */

void
ngx_http_mark_batch_done(ngx_http_mark_batch_t *batch)
{
    uint64_t               now, usec;
    ngx_uint_t             i;
    mark_v1_reply_t        reply;
    ngx_http_mark_fate_e   fate;

    now = ngx_http_mark_now();

    for (i = 0; i < batch->nslots; i++) {
        if (batch->slots[i]) {
            batch->slots[i]->answered = now;
        }
    }

    usec = (batch->status == NGX_HTTP_OK && batch->complete)
           ? ngx_max(now - batch->sent, 1) : 0;

    ngx_http_mark_queue_answered(batch->queue, batch->epoch, batch->rows, usec,
                                 batch->peers);

    /*
     * The backend is idle: what waits for it goes first, and is computed
     * while this reply is taken apart and written.
     */

    ngx_http_mark_queue_run(batch->queue);

    if (batch->members == 0) {
        ngx_destroy_pool(batch->pool);
        return;
    }

    fate = ngx_http_mark_batch_fate(batch, &reply);

    if (fate != NGX_HTTP_MARK_SPLIT) {
        ngx_http_mark_count(batch->conf, failed);
    }

    ngx_log_debug5(NGX_LOG_DEBUG_HTTP, batch->log, 0,
                   "mark: batch of %ui done, status:%ui error:%ui bytes:%uz "
                   "fate:%d",
                   batch->nslots, batch->status, batch->err_status,
                   batch->reply_len, fate);

    if (fate == NGX_HTTP_MARK_APART) {
        ngx_http_mark_batch_apart(batch);

    } else {
        ngx_http_mark_batch_deliver(batch, fate, &reply);
    }

    ngx_destroy_pool(batch->pool);
}


static ngx_http_mark_fate_e
ngx_http_mark_batch_fate(ngx_http_mark_batch_t *batch, mark_v1_reply_t *reply)
{
    if (batch->replaced) {

        /* the location's proxy_set_body, or the like, sent something else */

        if (!batch->conf->body_replaced) {
            batch->conf->body_replaced = 1;

            ngx_log_error(NGX_LOG_WARN, batch->log, 0,
                          "mark: location \"%V\" does not send the request's "
                          "own body (proxy_set_body or "
                          "proxy_pass_request_body?), its requests are no "
                          "longer batched",
                          &batch->conf->location);
        }

        return NGX_HTTP_MARK_APART;
    }

    /* a carrier cannot follow it, which makes it a 500 */

    if (batch->redirect && batch->err_status) {
        ngx_http_mark_batch_unsplit(batch, "has an X-Accel-Redirect header");
        return NGX_HTTP_MARK_APART;
    }

    /*
     * err_status is an answer of nginx, which each member gets in its own
     * name, with its own error_page: nothing was reached, or the backend
     * broke off.  Trying each alone would be a storm against what is down.
     * But with proxy_intercept_errors the backend itself has said so.
     */

    if (batch->err_status) {
        return (batch->err_status == batch->upstream_status
                && mark_policy_blames_member(batch->err_status))
               ? NGX_HTTP_MARK_APART : NGX_HTTP_MARK_ERROR;
    }

    if (batch->status < NGX_HTTP_OK
        || (!batch->complete && !batch->overflow))
    {
        batch->err_status = NGX_HTTP_BAD_GATEWAY;
        return NGX_HTTP_MARK_ERROR;
    }

    if (batch->cached) {
        ngx_http_mark_batch_unsplit(batch, "came from a cache");
        return NGX_HTTP_MARK_APART;
    }

    if (batch->overflow) {
        ngx_http_mark_batch_unsplit(batch, "is too large");
        return NGX_HTTP_MARK_APART;
    }

    if (batch->personal) {
        ngx_http_mark_batch_unsplit(batch, "has a Set-Cookie header");
        return NGX_HTTP_MARK_APART;
    }

    if (batch->encoded) {
        ngx_http_mark_batch_unsplit(batch, "is encoded");
        return NGX_HTTP_MARK_APART;
    }

    if (batch->status == NGX_HTTP_OK) {
        return ngx_http_mark_batch_split(batch, reply);
    }

    if (batch->status < NGX_HTTP_SPECIAL_RESPONSE) {
        ngx_http_mark_batch_unsplit(batch, "has a status that is not 200");
        return NGX_HTTP_MARK_APART;
    }

    return mark_policy_blames_member(batch->status) ? NGX_HTTP_MARK_APART
                                                    : NGX_HTTP_MARK_SAME;
}


static ngx_http_mark_fate_e
ngx_http_mark_batch_split(ngx_http_mark_batch_t *batch, mark_v1_reply_t *reply)
{
    switch (mark_v1_split(reply, batch->reply, batch->reply_len,
                          batch->slices, batch->nslots))
    {
    case MARK_V1_OK:
        batch->queue->unsplit = 0;
        return NGX_HTTP_MARK_SPLIT;

    case MARK_V1_MISMATCH:
        ngx_http_mark_batch_unsplit(batch, "has not as many \"predictions\" "
                                           "as there were \"instances\"");
        break;

    case MARK_V1_UNSUPPORTED:
        ngx_http_mark_batch_unsplit(batch, "has more or other members than "
                                           "\"predictions\"");
        break;

    default:
        ngx_http_mark_batch_unsplit(batch, "is not JSON");
    }

    return NGX_HTTP_MARK_APART;
}


/*
 * A reply that cannot be split costs each member a second try.  Once may be a
 * member's fault; a backend that always answers so is not asked in batches
 * for a while.
 */

static void
ngx_http_mark_batch_unsplit(ngx_http_mark_batch_t *batch, const char *why)
{
    ngx_http_mark_queue_t  *q;

    q = batch->queue;

    if (++q->unsplit < NGX_HTTP_MARK_UNSPLIT) {
        ngx_log_error(NGX_LOG_INFO, batch->log, 0,
                      "mark: the reply to a batch of %ui %s, its members are "
                      "tried alone", batch->nslots, why);
        return;
    }

    q->unsplit = 0;
    q->paused = ngx_time() + NGX_HTTP_MARK_PAUSE;

    ngx_log_error(NGX_LOG_WARN, batch->log, 0,
                  "mark: the reply to a batch of %ui %s, as those before: "
                  "such requests to location \"%V\" are not batched for %d "
                  "seconds",
                  batch->nslots, why, &batch->conf->location,
                  NGX_HTTP_MARK_PAUSE);
}


/*
 * The slots are read again for each member: finishing one request of an
 * HTTP/2 connection can end others.
 */

static void
ngx_http_mark_batch_deliver(ngx_http_mark_batch_t *batch,
    ngx_http_mark_fate_e fate, mark_v1_reply_t *reply)
{
    ngx_uint_t            i;
    mark_span_t           whole;
    ngx_connection_t     *c;
    mark_v1_reply_t       none;
    ngx_http_mark_ctx_t  *ctx;

    for (i = 0; i < batch->nslots; i++) {
        ctx = batch->slots[i];

        if (ctx == NULL) {
            continue;
        }

        batch->slots[i] = NULL;

        ctx->state = NGX_HTTP_MARK_DONE;
        ctx->batch = NULL;

        c = ctx->request->connection;

        switch (fate) {

        case NGX_HTTP_MARK_SPLIT:
            ngx_http_mark_reply(ctx, batch, reply, &batch->slices[i].rows);
            break;

        case NGX_HTTP_MARK_SAME:
            ngx_memzero(&none, sizeof(mark_v1_reply_t));
            whole.data = batch->reply;
            whole.len = batch->reply_len;

            ngx_http_mark_reply(ctx, batch, &none, &whole);
            break;

        default:
            ngx_http_mark_reply_states(ctx, batch);
            ngx_http_mark_reply_challenge(ctx, batch);
            ngx_http_mark_reply_status(ctx, batch->err_status);
        }

        ngx_http_run_posted_requests(c);
    }
}


static void
ngx_http_mark_batch_apart(ngx_http_mark_batch_t *batch)
{
    ngx_uint_t            i;
    ngx_http_mark_ctx_t  *ctx;

    for (i = 0; i < batch->nslots; i++) {
        ctx = batch->slots[i];

        if (ctx) {
            ctx->batch = NULL;
            ngx_http_mark_reply_states(ctx, batch);
            ngx_http_mark_queue_retry(batch->queue, ctx);
        }
    }
}
