
/*
 * A plan comes into force: read and checked without the lock, applied in one
 * hold of it, or not at all.
 */


#include "ngx_http_mark_plan.h"


/* How far the clocks of a planner and of nginx may be apart, in seconds. */
#define NGX_HTTP_MARK_PLAN_SKEW  300


static ngx_int_t ngx_http_mark_plan_refuse(ngx_http_mark_pool_t *pool,
    mark_plan_error_t *error);
static ngx_int_t ngx_http_mark_plan_servers(ngx_pool_t *mem,
    mark_plan_t *doc, ngx_array_t *servers, mark_plan_error_t *error);
static void ngx_http_mark_plan_server(mark_plan_peer_t *peer,
    ngx_addr_t *addr, ngx_http_mark_server_t *server);
static void ngx_http_mark_plan_text(ngx_str_t *to, mark_span_t *from);


ngx_int_t
ngx_http_mark_plan_apply(ngx_http_mark_pool_t *pool,
    ngx_http_mark_plan_t *plan, ngx_str_t *text, ngx_uint_t first)
{
    double                       now;
    ngx_int_t                    rc;
    ngx_pool_t                  *mem;
    ngx_time_t                  *tp;
    ngx_uint_t                   lost, n;
    ngx_array_t                  servers;
    mark_plan_t                 *doc;
    mark_memory_t                memory;
    mark_plan_error_t            error;
    mark_plan_limits_t           limits;
    mark_plan_stamp_t            current;
    mark_plan_status_t           status;
    ngx_http_mark_plan_state_t  *state;

    state = &pool->node->plan;
    tp = ngx_timeofday();

    mem = ngx_create_pool(16 * 1024, pool->log);
    if (mem == NULL) {
        return NGX_DECLINED;
    }

    memory.alloc = ngx_http_mark_alloc;
    memory.pool = mem;

    ngx_memzero(&limits, sizeof(mark_plan_limits_t));
    limits.pool.data = pool->name.data;
    limits.pool.len = pool->name.len;
    limits.peers = pool->nslots;
    limits.key = plan->keyed ? &plan->key : NULL;

    now = (double) tp->sec + (double) tp->msec / 1000;

    status = mark_plan_parse((char *) text->data, text->len, &limits, now,
                             &memory, &doc, &error);

    /* it would stand in the way of all that come after it */

    if (status == MARK_PLAN_OK
        && doc->stamp.issued > now + NGX_HTTP_MARK_PLAN_SKEW)
    {
        status = mark_plan_fail(&error, MARK_PLAN_SCHEMA,
                                "issued: is in the future, by %.0f seconds",
                                doc->stamp.issued - now);
    }

    if (status == MARK_PLAN_OK) {

        /* only worker 0 of the newest configuration writes it */

        ngx_shmtx_lock(pool->mutex);
        current = state->stamp;
        ngx_shmtx_unlock(pool->mutex);

        status = mark_plan_newer(&current, &doc->stamp, &error);

        /* a configuration that is new may have other limits for its servers */

        if (status == MARK_PLAN_UNCHANGED && first) {
            status = MARK_PLAN_OK;
        }
    }

    if (status == MARK_PLAN_UNCHANGED) {
        ngx_destroy_pool(mem);
        return NGX_OK;
    }

    if (status != MARK_PLAN_OK
        || ngx_http_mark_plan_servers(mem, doc, &servers, &error) != NGX_OK)
    {
        rc = ngx_http_mark_plan_refuse(pool, &error);
        ngx_destroy_pool(mem);
        return rc;
    }

    ngx_shmtx_lock(pool->mutex);

    /* workers of before a reload are told of it a little later */

    if (pool->node->cycle != pool->cycle) {
        ngx_shmtx_unlock(pool->mutex);
        ngx_destroy_pool(mem);
        return NGX_DECLINED;
    }

    lost = ngx_http_mark_slots_seed(pool, &servers, ngx_http_mark_now());

    if (lost == 0) {
        pool->node->lost = 0;
        state->accepted += (current.version != doc->stamp.version);
        state->stamp = doc->stamp;
        state->expires = doc->expires;
        state->applied = ngx_http_mark_now();
        state->overflow = doc->overflow;
        state->batching = doc->batching;
    }

    ngx_shmtx_unlock(pool->mutex);

    n = servers.nelts;
    rc = NGX_OK;

    if (lost) {
        rc = NGX_AGAIN;

        if (!plan->crowded) {
            plan->crowded = 1;
            ngx_log_error(NGX_LOG_WARN, pool->log, 0,
                          "mark: plan %uL of upstream \"%V\" waits for room: "
                          "%ui of its %ui servers have none while others are "
                          "draining; \"mark_balance\" may have more slots",
                          doc->stamp.version, &pool->name, lost, n);
        }

    } else {
        plan->crowded = 0;
        ngx_log_error(NGX_LOG_NOTICE, pool->log, 0,
                      "mark: plan %uL of upstream \"%V\" is in force, with "
                      "%ui servers", doc->stamp.version, &pool->name, n);
    }

    ngx_destroy_pool(mem);

    return rc;
}


static ngx_int_t
ngx_http_mark_plan_refuse(ngx_http_mark_pool_t *pool, mark_plan_error_t *error)
{
    (void) ngx_atomic_fetch_add(&pool->node->plan.refused, 1);

    ngx_log_error(NGX_LOG_ERR, pool->log, 0,
                  "mark: a plan of upstream \"%V\" is refused, %s: %s; the "
                  "servers stay as they are",
                  &pool->name, mark_plan_status_name(error->status),
                  error->text);

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_mark_plan_servers(ngx_pool_t *mem, mark_plan_t *doc,
    ngx_array_t *servers, mark_plan_error_t *error)
{
    size_t                   i;
    ngx_url_t                u;
    ngx_http_mark_server_t  *server;

    if (ngx_array_init(servers, mem, ngx_max(doc->npeers, 1),
                       sizeof(ngx_http_mark_server_t))
        != NGX_OK)
    {
        goto memory;
    }

    for (i = 0; i < doc->npeers; i++) {
        ngx_memzero(&u, sizeof(ngx_url_t));

        ngx_http_mark_plan_text(&u.url, &doc->peers[i].address);
        u.no_resolve = 1;

        if (ngx_parse_url(mem, &u) != NGX_OK || u.naddrs == 0) {
            (void) mark_plan_fail(error, MARK_PLAN_SCHEMA,
                                  "peers[%d].address: \"%.100s\" is not an "
                                  "address that can be used (%s)", (int) i,
                                  (char *) doc->peers[i].address.data,
                                  u.err ? u.err : "a name");
            return NGX_ERROR;
        }

        server = ngx_array_push(servers);
        if (server == NULL) {
            goto memory;
        }

        ngx_http_mark_plan_server(&doc->peers[i], &u.addrs[0], server);
    }

    return NGX_OK;

memory:

    (void) mark_plan_fail(error, MARK_PLAN_MEMORY, "no memory");

    return NGX_ERROR;
}


static void
ngx_http_mark_plan_server(mark_plan_peer_t *peer, ngx_addr_t *addr,
    ngx_http_mark_server_t *server)
{
    ngx_memzero(server, sizeof(ngx_http_mark_server_t));

    ngx_http_mark_plan_text(&server->name, &peer->address);
    ngx_http_mark_plan_text(&server->id, &peer->id);
    ngx_http_mark_plan_text(&server->class, &peer->class);

    server->sockaddr = addr->sockaddr;
    server->socklen = addr->socklen;
    server->price = peer->price;
    server->weight = peer->weight;
    server->concurrency = peer->concurrency;
    server->max_batch = peer->max_batch;
    server->backup = peer->backup;
    server->fresh = 1;

    switch (peer->state) {

    case MARK_PLAN_WARMING:
        server->state = NGX_HTTP_MARK_SLOT_WARMING;
        break;

    case MARK_PLAN_DRAINING:
        server->state = NGX_HTTP_MARK_SLOT_DRAINING;
        break;

    default:
        server->state = NGX_HTTP_MARK_SLOT_READY;
    }

    if (peer->latency.given) {
        server->known = 1;
        server->prior[0] = peer->latency.base * 1e6;
        server->prior[1] = peer->latency.row * 1e6;
        server->prior[2] = peer->latency.residual * 1e6;
    }
}


static void
ngx_http_mark_plan_text(ngx_str_t *to, mark_span_t *from)
{
    to->data = (u_char *) from->data;
    to->len = from->len;
}


void
ngx_http_mark_plan_limits(ngx_http_mark_pool_t *pool, ngx_http_mark_queue_t *q)
{
    mark_policy_conf_t          *policy;
    mark_plan_batching_t        *batching;
    ngx_http_mark_plan_state_t  *state;

    state = &pool->node->plan;

    if (q->plan == state->stamp.version) {
        return;
    }

    q->plan = state->stamp.version;

    policy = &q->policy;
    *policy = q->conf->policy;
    q->max_queue = q->conf->max_queue;

    batching = &state->batching;

    if (!batching->given) {
        return;
    }

    /* what clients send is checked by the location's, which is the limit */

    if (batching->max_batch_size != MARK_PLAN_UNSET
        && (unsigned) batching->max_batch_size < policy->max_rows)
    {
        policy->max_rows = batching->max_batch_size;

        while (policy->nsizes
               && policy->sizes[policy->nsizes - 1] > policy->max_rows)
        {
            policy->nsizes--;
        }
    }

    if (batching->max_queue_delay == MARK_PLAN_AUTO) {
        policy->delay = MARK_POLICY_AUTO;

    } else if (batching->max_queue_delay != MARK_PLAN_UNSET) {
        policy->delay = (uint64_t) (batching->max_queue_delay * 1e6);
    }

    if (batching->max_queue_size != MARK_PLAN_UNSET) {
        q->max_queue = batching->max_queue_size;
    }
}
