
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
#include "ngx_http_mark_overflow.h"
#include "ngx_http_mark_share.h"


static void ngx_http_mark_batch_hurry(ngx_http_mark_batch_t *batch,
    uint64_t deadline);
static ngx_int_t ngx_http_mark_batch_join(ngx_http_mark_batch_t *batch);
static ngx_uint_t ngx_http_mark_batch_named(ngx_http_mark_batch_t *batch);
static void ngx_http_mark_batch_deliver(ngx_http_mark_batch_t *batch,
    ngx_http_mark_fate_e fate);


/*
 * A batch for n members.  NULL: no memory; the flight is then the caller's to
 * end.
 */

ngx_http_mark_batch_t *
ngx_http_mark_batch_create(ngx_http_mark_queue_t *q, ngx_uint_t n,
    const char *reason, ngx_http_mark_flight_t *flight)
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
    batch->sent = flight->sent;
    batch->flight = *flight;

    batch->slots = ngx_pcalloc(pool, n * sizeof(ngx_http_mark_ctx_t *));
    batch->cells = ngx_pcalloc(pool, n * sizeof(ngx_http_mark_cell_t *));
    batch->slices = ngx_pcalloc(pool, n * sizeof(mark_slice_t));

    if (batch->slots == NULL || batch->cells == NULL || batch->slices == NULL)
    {
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
    batch->rows += ctx->req.nrows;
    ngx_http_mark_batch_hurry(batch, ctx->deadline);

    ctx->state = NGX_HTTP_MARK_RIDING;
    ctx->reason = batch->reason;
    ctx->batch = batch;
    ctx->slot = i;
}


/* The same with a member from another worker. */

void
ngx_http_mark_batch_add_cell(ngx_http_mark_batch_t *batch,
    ngx_http_mark_cell_t *cell)
{
    ngx_uint_t  i;

    i = batch->nslots++;
    batch->members++;

    batch->cells[i] = cell;
    batch->ncells++;
    batch->rows += cell->req.nrows;
    ngx_http_mark_batch_hurry(batch, cell->item.deadline);

    cell->batch = batch;
    cell->slot = i;
}


/* The batch is as urgent as its most urgent member. */

static void
ngx_http_mark_batch_hurry(ngx_http_mark_batch_t *batch, uint64_t deadline)
{
    if (deadline && (batch->deadline == 0 || deadline < batch->deadline)) {
        batch->deadline = deadline;
    }
}


/*
 * Sends the batch, in which at least one member is of this worker; should
 * that fail, its members go alone.
 */

void
ngx_http_mark_batch_start(ngx_http_mark_batch_t *batch)
{
    ngx_uint_t            i;
    ngx_http_mark_ctx_t  *ctx, *leader;

    leader = NULL;

    for (i = 0; i < batch->nslots; i++) {
        ctx = batch->slots[i];

        if (ctx == NULL) {
            continue;
        }

        ctx->batch_size = batch->nslots;
        ctx->batch_rows = batch->rows;

        if (batch->away) {
            ctx->overflow = ngx_http_mark_overflow_reason(
                                                     batch->overflow.reason);
        }

        if (leader == NULL) {
            leader = ctx;
        }
    }

    if (ngx_http_mark_batch_join(batch) == NGX_OK
        && ngx_http_mark_carrier_start(batch, leader) == NGX_OK)
    {
        return;
    }

    if (batch->away) {
        ngx_http_mark_overflow_cancel(batch->queue, &batch->overflow);

    } else {
        ngx_http_mark_service_answered(batch->queue, &batch->flight, 0, 0);
    }

    if (batch->retry) {
        ngx_http_mark_retry_back(batch->queue);
    }

    ngx_http_mark_retry_batch(batch, 0);
    ngx_destroy_pool(batch->pool);
}


static ngx_int_t
ngx_http_mark_batch_join(ngx_http_mark_batch_t *batch)
{
    size_t            i;
    ngx_buf_t        *b;
    mark_span_t      *span;
    mark_parts_t      joined;
    mark_memory_t     memory;
    mark_request_t  **requests;

    requests = ngx_palloc(batch->pool,
                          batch->nslots * sizeof(mark_request_t *));
    if (requests == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < batch->nslots; i++) {
        requests[i] = batch->slots[i] ? &batch->slots[i]->req
                                      : &batch->cells[i]->req;
    }

    memory.alloc = ngx_http_mark_alloc;
    memory.pool = batch->pool;

    if (batch->conf->codec->join(requests, batch->slices, batch->nslots,
                                 &batch->conf->codec_conf, &memory, &joined)
        != MARK_CODEC_OK)
    {
        return NGX_ERROR;
    }

    b = ngx_create_temp_buf(batch->pool, joined.len);
    if (b == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < joined.nspans; i++) {
        span = &joined.spans[i];
        b->last = ngx_cpymem(b->last, span->data, span->len);
    }

    batch->body = b;
    batch->binary = joined.binary;
    batch->json_len = joined.json_len;

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

    ngx_http_mark_batch_left(batch);
}


void
ngx_http_mark_batch_left(ngx_http_mark_batch_t *batch)
{
    batch->members--;
    batch->left = 1;

    if (batch->members) {
        return;
    }

    ngx_http_mark_carrier_cancel(batch);

    if (batch->twin) {
        ngx_http_mark_carrier_cancel(batch->twin);
    }
}


/* The carrier has ended, one way or the other. */

void
ngx_http_mark_batch_done(ngx_http_mark_batch_t *batch)
{
    uint64_t               now, usec;
    ngx_uint_t             i;
    ngx_http_mark_fate_e   fate;

    batch = ngx_http_mark_hedge_done(batch);

    if (batch == NULL) {
        return;
    }

    now = ngx_http_mark_now();
    fate = NGX_HTTP_MARK_SPLIT;
    batch->answered = now;

    /* a large one is as much memory as the answers will be */

    if (batch->twin == NULL) {
        (void) ngx_pfree(batch->pool, batch->body->start);
    }

    for (i = 0; i < batch->nslots; i++) {
        if (batch->slots[i]) {
            batch->slots[i]->answered = now;
        }
    }

    if (batch->retry) {
        ngx_http_mark_retry_back(batch->queue);
    }

    usec = (batch->answer.status == NGX_HTTP_OK && batch->complete)
           ? ngx_max(now - batch->sent, 1) : 0;

    if (batch->away) {

        /* what is answered to nobody is not looked at */

        if (batch->members) {
            fate = ngx_http_mark_batch_fate(batch);
        }

        ngx_http_mark_overflow_done(batch, fate, usec);

    } else {
        ngx_http_mark_service_answered(batch->queue, &batch->flight, usec,
                                       batch->peers);
    }

    /*
     * The backend is idle: what waits for it goes first, and is computed
     * while this reply is taken apart and written.
     */

    ngx_http_mark_queue_run(batch->queue);

    if (batch->members == 0) {
        ngx_http_mark_hedge_free(batch);
        return;
    }

    if (!batch->away) {
        fate = ngx_http_mark_batch_fate(batch);

    } else if (fate != NGX_HTTP_MARK_SPLIT) {

        /* what failed elsewhere has the servers left, if there is time */

        fate = NGX_HTTP_MARK_APART;
    }

    if (fate != NGX_HTTP_MARK_SPLIT && !batch->retry) {
        ngx_http_mark_count(batch->conf, failed);
    }

    ngx_log_debug5(NGX_LOG_DEBUG_HTTP, batch->log, 0,
                   "mark: batch of %ui done, status:%ui error:%ui bytes:%uz "
                   "fate:%d",
                   batch->nslots, batch->answer.status,
                   batch->answer.err_status, batch->reply_len, fate);

    if (fate == NGX_HTTP_MARK_HALVES && batch->ncells && !batch->away) {
        ngx_http_mark_service_refused(batch->queue, batch->nslots);
    }

    if (fate == NGX_HTTP_MARK_HALVES || fate == NGX_HTTP_MARK_APART) {
        ngx_http_mark_retry_batch(batch, fate == NGX_HTTP_MARK_HALVES);

    } else {
        ngx_http_mark_batch_deliver(batch, fate);
    }

    ngx_http_mark_hedge_free(batch);
}


/* Tells whether the answer to all is one for each, in its slice. */

static ngx_uint_t
ngx_http_mark_batch_named(ngx_http_mark_batch_t *batch)
{
    mark_body_t    body;
    mark_memory_t  memory;

    if (batch->conf->codec->error == NULL || batch->reply_binary) {
        return 0;
    }

    body.data = batch->reply;
    body.len = batch->reply_len;
    body.json_len = 0;
    body.binary = 0;

    memory.alloc = ngx_http_mark_alloc;
    memory.pool = batch->pool;

    return batch->conf->codec->error(&body, batch->slices, batch->nslots,
                                     &memory)
           == MARK_CODEC_OK;
}


/*
 * The slots are read again for each member: finishing one request of an
 * HTTP/2 connection can end others.
 */

static void
ngx_http_mark_batch_deliver(ngx_http_mark_batch_t *batch,
    ngx_http_mark_fate_e fate)
{
    ngx_uint_t            i;
    ngx_uint_t            well;
    mark_span_t           span;
    mark_parts_t          whole;
    ngx_connection_t     *c;
    ngx_http_mark_ctx_t  *ctx;

    well = (fate == NGX_HTTP_MARK_SPLIT);

    if (fate == NGX_HTTP_MARK_SAME && ngx_http_mark_batch_named(batch)) {
        fate = NGX_HTTP_MARK_SPLIT;
    }

    span.data = batch->reply;
    span.len = batch->reply_len;

    whole.spans = &span;
    whole.nspans = 1;
    whole.len = span.len;
    whole.json_len = batch->reply_json_len;
    whole.binary = batch->reply_binary;

    /* other workers go on while this one writes */

    ngx_http_mark_answer_members(batch, fate, &whole);

    for (i = 0; i < batch->nslots; i++) {
        ctx = batch->slots[i];

        if (ctx == NULL) {
            continue;
        }

        batch->slots[i] = NULL;

        ctx->state = NGX_HTTP_MARK_DONE;
        ctx->batch = NULL;

        ngx_http_mark_retry_end(ctx, well);

        c = ctx->request->connection;

        switch (fate) {

        case NGX_HTTP_MARK_SPLIT:
            ngx_http_mark_reply(ctx, &batch->answer,
                                &batch->slices[i].answer);
            break;

        case NGX_HTTP_MARK_SAME:
            ngx_http_mark_reply(ctx, &batch->answer, &whole);
            break;

        default:
            ngx_http_mark_reply_refused(ctx, &batch->answer);
        }

        ngx_http_run_posted_requests(c);
    }
}
