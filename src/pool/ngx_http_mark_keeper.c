
/*
 * The keeper: the one worker that looks after the pools for all workers, with
 * timers of its own.  It is the first worker of the newest cycle.  What it
 * finds out is in shared memory and outlives it; what it has under way keeps
 * no worker alive.
 */


#include "ngx_http_mark_health.h"
#include "ngx_http_mark_resolve.h"


ngx_int_t
ngx_http_mark_keeper_init_process(ngx_http_mark_main_conf_t *mmcf,
    ngx_cycle_t *cycle)
{
    ngx_uint_t              i;
    ngx_http_mark_pool_t  **poolp;

    /* helpers have the number of a worker, too */

    if (ngx_worker != 0
        || (ngx_process != NGX_PROCESS_WORKER
            && ngx_process != NGX_PROCESS_SINGLE))
    {
        return NGX_OK;
    }

    /* a single process is initialized once more, when it has an event loop */

    if (ngx_is_init_cycle(ngx_cycle)) {
        return NGX_OK;
    }

    poolp = mmcf->pools.elts;

    for (i = 0; i < mmcf->pools.nelts; i++) {
        poolp[i]->cycle = mmcf->cycle;

        if (ngx_http_mark_health_start(poolp[i], cycle) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_http_mark_names_start(poolp[i], cycle);
    }

    return NGX_OK;
}


void
ngx_http_mark_keeper_exit_process(ngx_http_mark_main_conf_t *mmcf)
{
    ngx_uint_t              i;
    ngx_http_mark_pool_t  **poolp;

    poolp = mmcf->pools.elts;

    for (i = 0; i < mmcf->pools.nelts; i++) {
        ngx_http_mark_health_stop(poolp[i]);
    }
}


/* After a reload the old keeper may still run for a while. */

ngx_uint_t
ngx_http_mark_keeper(ngx_http_mark_pool_t *pool)
{
    return !ngx_exiting && !ngx_terminate && !ngx_quit
           && pool->node->cycle == pool->cycle;
}


/*
 * All blocks have been read.  What only a pool can do must not stand in the
 * block of an upstream that is none, and be without effect.
 */

ngx_int_t
ngx_http_mark_keeper_init(ngx_conf_t *cf)
{
    ngx_uint_t                       i, k;
    ngx_http_mark_pool_t            *pool;
    ngx_http_mark_health_t          *health;
    ngx_http_mark_server_t          *extra;
    ngx_http_mark_srv_conf_t        *mscf;
    ngx_http_upstream_srv_conf_t   **uscfp;
    ngx_http_upstream_main_conf_t   *umcf;

    umcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_upstream_module);
    uscfp = umcf->upstreams.elts;

    for (i = 0; i < umcf->upstreams.nelts; i++) {

        if (uscfp[i]->srv_conf == NULL) {
            continue;
        }

        mscf = ngx_http_conf_upstream_srv_conf(uscfp[i], ngx_http_mark_module);
        pool = mscf->pool;

        if (pool->upstream) {
            continue;
        }

        health = pool->health;

        if (health) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"mark_health\" needs \"mark_balance slo;\" in "
                          "upstream \"%V\" in %s:%ui",
                          &uscfp[i]->host, health->file, health->line);
            return NGX_ERROR;
        }

        extra = pool->extras.elts;

        for (k = 0; k < pool->extras.nelts; k++) {
            if (extra[k].resolve) {
                ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                              "\"mark_server %V resolve\" needs "
                              "\"mark_balance slo;\" in upstream \"%V\" in "
                              "%s:%ui",
                              &extra[k].name, &uscfp[i]->host,
                              uscfp[i]->file_name, uscfp[i]->line);
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}
