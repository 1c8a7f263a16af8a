
/*
 * The pools of a configuration and their nodes in the zone.
 *
 * Nodes are found by the upstream's name and never freed, as those of the
 * counters are not: what was learned of a server stays over reloads, and old
 * workers use the node for as long as they have requests.  The servers of a
 * configuration are brought into it by the first of its workers that starts,
 * not by the master: a configuration that fails to load changes nothing.
 */


#include "ngx_http_mark_pool.h"


/* msec */
#define NGX_HTTP_MARK_POOL_TICK  1000


static ngx_http_mark_pool_node_t *ngx_http_mark_pool_node(
    ngx_http_mark_shm_t *shm, ngx_http_mark_pool_t *pool);
static void ngx_http_mark_pool_tick(ngx_event_t *ev);
static size_t ngx_http_mark_pool_size(ngx_http_mark_pool_t *pool);


void *
ngx_http_mark_create_srv_conf(ngx_conf_t *cf)
{
    ngx_http_mark_pool_t      *pool;
    ngx_http_mark_srv_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_mark_srv_conf_t));
    pool = ngx_pcalloc(cf->pool, sizeof(ngx_http_mark_pool_t));

    if (conf == NULL || pool == NULL) {
        return NULL;
    }

    conf->gate.max = NGX_CONF_UNSET_UINT;
    ngx_queue_init(&conf->gate.queues);

    pool->nslots = NGX_HTTP_MARK_SLOTS;
    pool->slow_start = MARK_SLOWSTART_TIME;
    pool->max_ejected = MARK_OUTLIER_PERCENT;
    pool->outlier.errors = MARK_OUTLIER_ERRORS;
    pool->outlier.failures = MARK_OUTLIER_FAILURES;
    pool->outlier.base = MARK_OUTLIER_BASE;
    pool->outlier.max = MARK_OUTLIER_MAX;
    pool->outlier.calm = MARK_OUTLIER_CALM;
    pool->pressure.tau = MARK_PRESSURE_TAU;
    pool->pressure.ttl = MARK_PRESSURE_TTL;
    pool->retries.share = MARK_RETRY_BUDGET_SHARE;
    pool->retries.floor = MARK_RETRY_BUDGET_FLOOR;
    ngx_queue_init(&pool->waiting);

    conf->pool = pool;

    return conf;
}


ngx_http_mark_pool_t *
ngx_http_mark_pool_of(ngx_http_upstream_srv_conf_t *uscf)
{
    ngx_http_mark_srv_conf_t  *mscf;

    if (uscf == NULL || uscf->srv_conf == NULL) {
        return NULL;
    }

    mscf = ngx_http_conf_upstream_srv_conf(uscf, ngx_http_mark_module);

    return mscf->pool && mscf->pool->upstream ? mscf->pool : NULL;
}


/*
 * When all blocks are read: whatever stands there must come to something.  A
 * balancing method that follows takes the place of mark_balance.
 */

ngx_int_t
ngx_http_mark_pools_check(ngx_conf_t *cf)
{
    ngx_uint_t                       i;
    ngx_http_mark_pool_t            *pool;
    ngx_http_mark_srv_conf_t        *mscf;
    ngx_http_upstream_srv_conf_t   **uscfp;
    ngx_http_upstream_main_conf_t   *umcf;

    umcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_upstream_module);
    uscfp = umcf->upstreams.elts;

    for (i = 0; i < umcf->upstreams.nelts; i++) {

        if (uscfp[i]->srv_conf == NULL) {
            continue;
        }

        mscf = ngx_http_conf_upstream_srv_conf(uscfp[i],
                                               ngx_http_mark_module);
        pool = mscf->pool;

        if (pool->upstream && pool->servers.elts == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"mark_balance\" in upstream \"%V\" is of no use "
                          "with another balancing method in %s:%ui",
                          &uscfp[i]->host, uscfp[i]->file_name,
                          uscfp[i]->line);
            return NGX_ERROR;
        }

        if (pool->upstream == NULL && pool->extras.elts) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"mark_server\" in upstream \"%V\" needs "
                          "\"mark_balance\" in %s:%ui",
                          &uscfp[i]->host, uscfp[i]->file_name,
                          uscfp[i]->line);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static size_t
ngx_http_mark_pool_size(ngx_http_mark_pool_t *pool)
{
    return sizeof(ngx_http_mark_pool_node_t)
           + pool->nslots * sizeof(ngx_http_mark_slot_t)
           + pool->name.len;
}


size_t
ngx_http_mark_pools_size(ngx_http_mark_main_conf_t *mmcf)
{
    size_t                  size;
    ngx_uint_t              i;
    ngx_http_mark_pool_t  **poolp;

    size = 0;
    poolp = mmcf->pools.elts;

    for (i = 0; i < mmcf->pools.nelts; i++) {
        size += ngx_align(ngx_http_mark_pool_size(poolp[i]), ngx_pagesize)
                + ngx_pagesize;
    }

    return size;
}


ngx_int_t
ngx_http_mark_pools_init_zone(ngx_http_mark_main_conf_t *mmcf,
    ngx_slab_pool_t *shpool)
{
    ngx_uint_t                  i;
    ngx_http_mark_shm_t        *shm;
    ngx_http_mark_pool_t      **poolp;
    ngx_http_mark_pool_node_t  *node;

    shm = shpool->data;
    poolp = mmcf->pools.elts;

    for (i = 0; i < mmcf->pools.nelts; i++) {

        if (ngx_http_mark_pool_node(shm, poolp[i])) {
            continue;
        }

        node = ngx_slab_calloc(shpool, ngx_http_mark_pool_size(poolp[i]));
        if (node == NULL) {
            return NGX_ERROR;
        }

        node->nslots = poolp[i]->nslots;
        node->name.len = poolp[i]->name.len;
        node->name.data = (u_char *) &node->slots[node->nslots];
        ngx_memcpy(node->name.data, poolp[i]->name.data, node->name.len);

        node->next = shm->pools;
        ngx_memory_barrier();
        shm->pools = node;
    }

    return NGX_OK;
}


static ngx_http_mark_pool_node_t *
ngx_http_mark_pool_node(ngx_http_mark_shm_t *shm, ngx_http_mark_pool_t *pool)
{
    ngx_http_mark_pool_node_t  *node;

    for (node = shm->pools; node; node = node->next) {
        if (node->nslots == pool->nslots
            && node->name.len == pool->name.len
            && ngx_memcmp(node->name.data, pool->name.data, node->name.len)
               == 0)
        {
            break;
        }
    }

    return node;
}


/* Before a seat is taken, for its last owner may be dead; locked. */

void
ngx_http_mark_pools_bury(ngx_http_mark_shm_t *shm)
{
    ngx_http_mark_pool_node_t  *node;

    for (node = shm->pools; node; node = node->next) {
        ngx_http_mark_slots_bury(node, shm);
    }
}


/* The process has this seat; locked. */

ngx_int_t
ngx_http_mark_pools_init_process(ngx_http_mark_main_conf_t *mmcf,
    ngx_slab_pool_t *shpool, ngx_uint_t seat, ngx_cycle_t *cycle)
{
    ngx_uint_t                  i;
    ngx_http_mark_shm_t        *shm;
    ngx_http_mark_pool_t       *pool, **poolp;

    shm = shpool->data;
    poolp = mmcf->pools.elts;

    for (i = 0; i < mmcf->pools.nelts; i++) {
        pool = poolp[i];

        pool->node = ngx_http_mark_pool_node(shm, pool);
        pool->cycle = mmcf->cycle;
        pool->loaded = cycle;
        pool->mutex = &shpool->mutex;
        pool->shm = shm;
        pool->seat = seat;
        pool->log = cycle->log;

        ngx_queue_init(&pool->waiting);

        pool->peers = ngx_pcalloc(cycle->pool, pool->nslots
                                               * sizeof(mark_select_peer_t));
        pool->work = ngx_pcalloc(cycle->pool, pool->nslots
                                              * sizeof(uint64_t));
        if (pool->peers == NULL || pool->work == NULL) {
            return NGX_ERROR;
        }

        if (ngx_http_mark_peer_init_process(pool, cycle) != NGX_OK) {
            return NGX_ERROR;
        }

        if (pool->node->cycle == mmcf->cycle) {
            continue;
        }

        /* a plan that was applied stays in force, if there may be one */

        pool->node->cycle = mmcf->cycle;

        if (pool->node->plan.stamp.version == 0 || pool->plan == NULL) {
            ngx_memzero(&pool->node->plan.stamp, sizeof(mark_plan_stamp_t));
            ngx_memzero(&pool->node->plan.overflow,
                        sizeof(mark_plan_overflow_t));
            ngx_memzero(&pool->node->plan.batching,
                        sizeof(mark_plan_batching_t));

            pool->node->lost = ngx_http_mark_slots_seed(pool, &pool->servers,
                                                        ngx_http_mark_now());
        }
    }

    return NGX_OK;
}


/*
 * Worker 0 looks after what others may have left behind.  With "master_process
 * off" this is called once too early, and again.
 */

void
ngx_http_mark_pools_init_worker(ngx_http_mark_main_conf_t *mmcf,
    ngx_cycle_t *cycle)
{
    ngx_uint_t              i;
    ngx_http_mark_pool_t  **poolp;

    if (ngx_worker != 0 || ngx_event_timer_rbtree.root == NULL) {
        return;
    }

    poolp = mmcf->pools.elts;

    for (i = 0; i < mmcf->pools.nelts; i++) {
        poolp[i]->tick.handler = ngx_http_mark_pool_tick;
        poolp[i]->tick.data = poolp[i];
        poolp[i]->tick.log = cycle->log;
        poolp[i]->tick.cancelable = 1;

        ngx_add_timer(&poolp[i]->tick, NGX_HTTP_MARK_POOL_TICK);
    }
}


/*
 * A worker of before a reload may be killed, and nobody takes its place.  And
 * servers that found no room beside those that leave may find it now.
 */

static void
ngx_http_mark_pool_tick(ngx_event_t *ev)
{
    ngx_uint_t             i, lost;
    ngx_http_mark_pool_t  *pool;

    pool = ev->data;

    if (ngx_exiting || pool->loaded != ngx_cycle) {
        return;
    }

    ngx_shmtx_lock(pool->mutex);

    ngx_http_mark_slots_bury(pool->node, pool->shm);

    for (i = 0; i < pool->node->top; i++) {
        ngx_http_mark_slot_tidy(pool, &pool->node->slots[i]);
    }

    lost = 0;

    if (pool->node->lost && pool->node->plan.stamp.version == 0) {
        lost = ngx_http_mark_slots_seed(pool, &pool->servers,
                                        ngx_http_mark_now());
        pool->node->lost = lost;
    }

    ngx_shmtx_unlock(pool->mutex);

    if (lost > pool->lost) {
        ngx_log_error(NGX_LOG_WARN, pool->log, 0,
                      "mark: %ui servers of upstream \"%V\" have no room "
                      "beside those that still have requests: slots= is too "
                      "small", lost, &pool->name);
    }

    pool->lost = lost;

    ngx_add_timer(ev, NGX_HTTP_MARK_POOL_TICK);
}
