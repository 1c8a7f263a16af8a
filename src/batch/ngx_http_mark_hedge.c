
/*
 * A hedge: a second copy of a batch that should have been answered by now,
 * for another peer of its pool.  The first usable answer is the members', the
 * other carrier is given up.
 *
 * The copy, the batch's twin, is a batch without members: it has a pool of
 * its own for its carrier and its answer, but the body is the first one's.
 * So the first one is freed last, with its twin, when both carriers have
 * ended.  All that is to be done for members and queue is done by the first,
 * once, when the answer is known (it is then settled), with the twin's answer
 * in place of its own if that was the usable one.  For the carrier that ends
 * later, it keeps the queue by q->flying.
 *
 * Only the worker that has the batch can hedge it, and only while it has a
 * member of its own, after which the carrier is made.
 */


#include "ngx_http_mark.h"
#include "ngx_http_mark_pool.h"


/* What a batch may be late by, beside a half of its bound; usec. */
#define NGX_HTTP_MARK_HEDGE_MARGIN  2000


static void ngx_http_mark_hedge_handler(ngx_event_t *ev);
static ngx_http_mark_batch_t *ngx_http_mark_hedge_create(
    ngx_http_mark_batch_t *batch, ngx_http_mark_claim_t *claim);
static ngx_uint_t ngx_http_mark_hedge_usable(ngx_http_mark_batch_t *batch);
static void ngx_http_mark_hedge_take(ngx_http_mark_batch_t *batch,
    ngx_http_mark_batch_t *twin);


/* mark_hedge */

char *
ngx_http_mark_hedge_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_mark_loc_conf_t *mlcf = conf;

    ngx_str_t  *value;

    if (mlcf->hedge != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        mlcf->hedge = 0;
        return NGX_CONF_OK;
    }

    mlcf->hedge_here = 1;

    if (ngx_strcmp(value[1].data, "auto") == 0) {
        mlcf->hedge = NGX_HTTP_MARK_AUTO;
        return NGX_CONF_OK;
    }

    mlcf->hedge = ngx_parse_time(&value[1], 0);

    if (mlcf->hedge == (ngx_msec_t) NGX_ERROR || mlcf->hedge == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"mark_hedge\", it is "
                           "\"off\", \"auto\" or a time like \"50ms\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* When it is known which locations have a pool. */

void
ngx_http_mark_hedge_check(ngx_conf_t *cf, ngx_http_mark_main_conf_t *mmcf)
{
    ngx_uint_t                  i;
    ngx_http_mark_loc_conf_t  **mlcfp;

    mlcfp = mmcf->confs.elts;

    for (i = 0; i < mmcf->confs.nelts; i++) {

        if (!mlcfp[i]->hedge_here || mlcfp[i]->pool) {
            continue;
        }

        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"mark_hedge\" has no effect in location \"%V\": write "
                      "\"mark_balance slo\" into its upstream block, and no "
                      "variables into its \"proxy_pass\", in %s:%ui",
                      &mlcfp[i]->location, mlcfp[i]->file, mlcfp[i]->line);
    }
}


ngx_uint_t
ngx_http_mark_hedge_on(ngx_http_mark_batch_t *batch)
{
    return ngx_http_mark_hedges(batch->conf) && !batch->away;
}


/* What 19 of 20 take no longer than bound for is late after so long. */

uint64_t
ngx_http_mark_hedge_after(uint64_t bound)
{
    return bound + bound / 2 + NGX_HTTP_MARK_HEDGE_MARGIN;
}


/* The batch is about to be sent to a peer, with this bound; 0: not known. */

void
ngx_http_mark_hedge_arm(ngx_http_mark_batch_t *batch, uint64_t bound)
{
    ngx_msec_t    after;
    ngx_event_t  *ev;

    if (batch->tried == NULL || batch->twin) {
        return;
    }

    ev = &batch->hedge;
    after = batch->conf->hedge;

    if (after == NGX_HTTP_MARK_AUTO) {

        if (ev->timer_set) {
            ngx_del_timer(ev);
        }

        if (bound == 0) {
            return;
        }

        after = (ngx_http_mark_hedge_after(bound) + 999) / 1000;

    } else if (ev->timer_set) {
        return;
    }

    ev->handler = ngx_http_mark_hedge_handler;
    ev->data = batch;
    ev->log = batch->log;

    /* what is in flight keeps the worker, not this */

    ev->cancelable = 1;

    ngx_add_timer(ev, after);
}


static void
ngx_http_mark_hedge_handler(ngx_event_t *ev)
{
    uint64_t                again;
    ngx_int_t               rc;
    ngx_uint_t              i;
    ngx_http_mark_ctx_t    *leader;
    ngx_http_mark_batch_t  *batch, *twin;
    ngx_http_mark_claim_t   claim;

    batch = ev->data;
    leader = NULL;

    for (i = 0; i < batch->nslots && leader == NULL; i++) {
        leader = batch->slots[i];
    }

    /* it may have ended, and not yet be done with */

    if (leader == NULL || batch->carrier == NULL) {
        return;
    }

    ngx_memzero(&claim, sizeof(ngx_http_mark_claim_t));

    claim.pool = batch->conf->pool;
    claim.slot = -1;
    claim.kind = batch->queue->kind;
    claim.rows = batch->rows;
    claim.deadline = batch->deadline;

    rc = ngx_http_mark_pool_hedge(&claim, batch->tried, &again);

    if (rc == NGX_AGAIN) {
        ngx_add_timer(ev, (again + 999) / 1000);
        return;
    }

    if (rc != NGX_OK) {
        return;
    }

    twin = ngx_http_mark_hedge_create(batch, &claim);

    if (twin == NULL) {
        ngx_http_mark_claim_release(&claim, NGX_HTTP_MARK_CLAIM_UNUSED, NULL);
        return;
    }

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, batch->log, 0,
                   "mark: hedge of batch of %ui, rows:%ui",
                   batch->nslots, batch->rows);

    batch->twin = twin;

    if (ngx_http_mark_carrier_start(twin, leader) == NGX_OK) {
        return;
    }

    batch->twin = NULL;

    ngx_http_mark_claim_release(&twin->flight.claim,
                               NGX_HTTP_MARK_CLAIM_UNUSED, NULL);
    ngx_destroy_pool(twin->pool);
}


static ngx_http_mark_batch_t *
ngx_http_mark_hedge_create(ngx_http_mark_batch_t *batch,
    ngx_http_mark_claim_t *claim)
{
    ngx_pool_t             *pool;
    ngx_http_mark_batch_t  *twin;

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE / 2, batch->log);
    if (pool == NULL) {
        return NULL;
    }

    twin = ngx_pcalloc(pool, sizeof(ngx_http_mark_batch_t));
    if (twin == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    twin->pool = pool;
    twin->log = batch->log;
    twin->queue = batch->queue;
    twin->conf = batch->conf;
    twin->of = batch;

    /* for the log and the balancer; nobody rides in it */

    twin->nslots = batch->nslots;
    twin->rows = batch->rows;
    twin->deadline = batch->deadline;
    twin->flight.claim = *claim;

    twin->body = batch->body;
    twin->binary = batch->binary;
    twin->json_len = batch->json_len;

    return twin;
}


/*
 * The carrier of the batch, or of its twin, has ended.  Returns the one to be
 * done with now, with its answer; NULL: nothing is to be done.
 */

ngx_http_mark_batch_t *
ngx_http_mark_hedge_done(ngx_http_mark_batch_t *batch)
{
    ngx_http_mark_batch_t  *first, *twin, *other;

    first = batch->of ? batch->of : batch;
    twin = first->twin;
    batch->ended = 1;

    if (first->hedge.timer_set) {
        ngx_del_timer(&first->hedge);
    }

    if (twin == NULL) {
        return first;
    }

    if (batch == twin) {

        /* it may have ended before it came to the balancer */

        ngx_http_mark_claim_release(&twin->flight.claim,
                                   NGX_HTTP_MARK_CLAIM_UNUSED, NULL);
    }

    if (first->settled) {
        first->queue->flying--;
        first->queue->used = ngx_time();

        ngx_http_mark_hedge_free(first);
        return NULL;
    }

    other = (batch == first) ? twin : first;

    if (!ngx_http_mark_hedge_usable(batch)) {

        if (!other->ended) {
            return NULL;
        }

        /* neither is: the first has the word */

        batch = first;
    }

    if (!other->ended) {
        other->lost = 1;
        ngx_http_mark_carrier_abort(other);

        first->queue->flying++;
    }

    first->settled = 1;

    if (batch == twin) {
        ngx_http_mark_hedge_take(first, twin);
        first->answer.decision.hedge = NGX_HTTP_MARK_HEDGE_WON;

    } else {
        first->answer.decision.hedge = NGX_HTTP_MARK_HEDGE_LOST;
    }

    return first;
}


/*
 * Tells whether an answer came that another server would give as well.  What
 * is said of load (408, 429), and all errors of servers, may be otherwise.
 */

static ngx_uint_t
ngx_http_mark_hedge_usable(ngx_http_mark_batch_t *batch)
{
    ngx_uint_t  status;

    status = batch->answer.status;

    if (batch->answer.err_status) {

        /* by proxy_intercept_errors it is the server's own */

        status = batch->answer.err_status;

        if (status != batch->answer.upstream_status) {
            return 0;
        }

    } else if (!batch->complete && !batch->oversize) {
        return 0;
    }

    return status >= NGX_HTTP_OK
           && status < NGX_HTTP_INTERNAL_SERVER_ERROR
           && status != NGX_HTTP_REQUEST_TIME_OUT
           && status != NGX_HTTP_TOO_MANY_REQUESTS;
}


/* The twin's answer is the batch's; its memory stays until both are freed. */

static void
ngx_http_mark_hedge_take(ngx_http_mark_batch_t *batch,
    ngx_http_mark_batch_t *twin)
{
    batch->answer = twin->answer;
    batch->peers = twin->peers;

    batch->reply = twin->reply;
    batch->reply_len = twin->reply_len;
    batch->reply_size = twin->reply_size;
    batch->reply_json_len = twin->reply_json_len;
    batch->reply_binary = twin->reply_binary;

    batch->complete = twin->complete;
    batch->personal = twin->personal;
    batch->redirect = twin->redirect;
    batch->encoded = twin->encoded;
    batch->oversize = twin->oversize;
    batch->replaced = twin->replaced;
    batch->cached = twin->cached;
}


/* Frees the batch and its twin, or leaves that to the end of the other. */

void
ngx_http_mark_hedge_free(ngx_http_mark_batch_t *batch)
{
    if (batch->twin) {

        if (!batch->ended || !batch->twin->ended) {
            return;
        }

        ngx_destroy_pool(batch->twin->pool);
    }

    ngx_destroy_pool(batch->pool);
}
