
/*
 * Queues that all workers share, in a zone of shared memory.
 *
 * A request that need not wait never comes here.  One that must is published
 * in a cell, with its body, in the line of its queue, where any worker may
 * take it into a batch; nothing depends on the worker that was first, or on
 * any other.  A batch is made by a worker that has a client of its own in it,
 * as the carrier is made after the picture of that client's request; members
 * from other workers get their answers in their cells, and their workers a
 * ring of the bell.
 *
 * Each worker has a box, a list of its cells that have news.  Each keeps a
 * timer while cells of its own are not answered, so that neither a missed
 * bell nor a worker that died leaves a client waiting.
 *
 * There is one lock, the zone's, held for a few list operations at a time,
 * never over a copy of a body, a log line, or a call into nginx.  A worker
 * that dies leaves its cells behind: the one that takes its place frees them
 * and returns what it had taken.  One that dies with the lock held may leave
 * broken lists behind: then nobody looks at them again, each worker takes its
 * requests back, and queues are each worker's own until the next reload.
 *
 * A zone is of one generation of workers: after a reload the old ones go on
 * sharing with each other only.
 */


#include "ngx_http_mark.h"
#include "ngx_http_mark_share.h"


#define NGX_HTTP_MARK_SHARE_SIZE  (32 * 1024 * 1024)


static ngx_int_t ngx_http_mark_share_init_zone(ngx_shm_zone_t *zone,
    void *data);


ngx_http_mark_share_t  *ngx_http_mark_share;


/* Of the process. */

static ngx_slab_pool_t        *ngx_http_mark_share_pool;
static uint64_t                ngx_http_mark_share_rings;


/* mark_share */

char *
ngx_http_mark_share_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_mark_main_conf_t *mmcf = conf;

    ssize_t     size;
    ngx_str_t  *value;

    if (mmcf->share != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0 && cf->args->nelts == 2) {
        mmcf->share = 0;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value[1].data, "on") != 0) {
        return "is \"on\", \"on\" and a size, or \"off\"";
    }

    mmcf->share = 1;

    if (cf->args->nelts > 2) {
        size = ngx_parse_size(&value[2]);

        if (size == NGX_ERROR || size < 1024 * 1024) {
            return "has an invalid size, it is at least \"1m\"";
        }

        mmcf->share_size = size;
    }

    return NGX_CONF_OK;
}


/* When all locations are known. */

ngx_int_t
ngx_http_mark_share_zone(ngx_conf_t *cf, ngx_http_mark_main_conf_t *mmcf)
{
    ngx_str_t  name;

    if (mmcf->share == 0) {
        return NGX_OK;
    }

    ngx_str_set(&name, "ngx_http_mark_share");

    mmcf->share_zone = ngx_shared_memory_add(cf, &name,
                                             mmcf->share_size
                                             ? mmcf->share_size
                                             : NGX_HTTP_MARK_SHARE_SIZE,
                                             &ngx_http_mark_module);
    if (mmcf->share_zone == NULL) {
        return NGX_ERROR;
    }

    mmcf->share_zone->init = ngx_http_mark_share_init_zone;
    mmcf->share_zone->data = mmcf;
    mmcf->share_zone->noreuse = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_mark_share_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_uint_t              i;
    ngx_slab_pool_t        *shpool;
    ngx_http_mark_share_t  *share;

    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    /* a full zone is told by a counter, not in the log at each request */

    shpool->log_nomem = 0;

    share = ngx_slab_calloc(shpool, sizeof(ngx_http_mark_share_t));
    if (share == NULL) {
        return NGX_ERROR;
    }

    ngx_rbtree_init(&share->tree, &share->sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_queue_init(&share->queues);
    ngx_queue_init(&share->cells);
    ngx_queue_init(&share->blocks);

    for (i = 0; i < NGX_HTTP_MARK_WORKERS; i++) {
        ngx_queue_init(&share->boxes[i]);
    }

    shpool->data = share;

    return NGX_OK;
}


/* At the start of a worker, before it has told its pid. */

void
ngx_http_mark_share_init_worker(ngx_http_mark_main_conf_t *mmcf)
{
    ngx_http_mark_share = NULL;

    if (mmcf->share_zone == NULL || ngx_http_mark_bells_n() == 0
        || ngx_process != NGX_PROCESS_WORKER)
    {
        return;
    }

    ngx_http_mark_share_pool = (ngx_slab_pool_t *)
                               mmcf->share_zone->shm.addr;
    ngx_http_mark_share = ngx_http_mark_share_pool->data;

    if (ngx_http_mark_bells_pid(ngx_worker)) {
        ngx_http_mark_sweep(ngx_worker);
    }
}


/*
 * Takes the lock.  NGX_DECLINED: queues are not shared, or no longer.
 *
 * The core's own ngx_shmtx_lock() would wait for ever for a dead worker of an
 * older generation, whose zones the master has forgotten.
 */

ngx_int_t
ngx_http_mark_share_lock(void)
{
    ngx_pid_t               holder;
    ngx_uint_t              n;
    ngx_shmtx_t            *mutex;
    ngx_http_mark_share_t  *share;

    share = ngx_http_mark_share;

    if (share == NULL || share->broken) {
        return NGX_DECLINED;
    }

    mutex = &ngx_http_mark_share_pool->mutex;

    for (n = 1; !ngx_shmtx_trylock(mutex); n++) {

        if (n % 256) {
            ngx_cpu_pause();
            continue;
        }

        ngx_sched_yield();

        if (n % 65536 == 0) {
            holder = (ngx_pid_t) *mutex->lock;

            if (holder && kill(holder, 0) == -1 && ngx_errno == ESRCH) {
                (void) ngx_shmtx_force_unlock(mutex, holder);
            }
        }
    }

    if (share->inside == 0 && !share->broken) {
        share->inside = ngx_pid;
        ngx_memory_barrier();

        return NGX_OK;
    }

    if (!share->broken) {
        share->broken = 1;

        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "mark: worker %P died while it changed the shared "
                      "queues; until the next reload queues are each "
                      "worker's own", (ngx_pid_t) share->inside);

        ngx_http_mark_share_rings = ~(uint64_t) 0;
    }

    ngx_shmtx_unlock(mutex);

    ngx_http_mark_share_ring();

    return NGX_DECLINED;
}


void
ngx_http_mark_share_unlock(void)
{
    ngx_memory_barrier();
    ngx_http_mark_share->inside = 0;

    ngx_shmtx_unlock(&ngx_http_mark_share_pool->mutex);

    ngx_http_mark_share_ring();
}


ngx_uint_t
ngx_http_mark_share_broken(void)
{
    return ngx_http_mark_share && ngx_http_mark_share->broken;
}


/* Rings for what was boxed since the last time. */

void
ngx_http_mark_share_ring(void)
{
    uint64_t    rings;
    ngx_uint_t  i, n;

    rings = ngx_http_mark_share_rings;

    if (rings == 0) {
        return;
    }

    ngx_http_mark_share_rings = 0;
    n = ngx_http_mark_bells_n();

    for (i = 0; i < n; i++) {
        if (rings & ((uint64_t) 1 << i)) {
            ngx_http_mark_bell_ring(i);
        }
    }
}


void *
ngx_http_mark_share_alloc(size_t size)
{
    /* one body must not take the place of all others */

    if (size > (size_t) (ngx_http_mark_share_pool->end
                         - ngx_http_mark_share_pool->start) / 8)
    {
        return NULL;
    }

    return ngx_slab_alloc_locked(ngx_http_mark_share_pool, size);
}


void
ngx_http_mark_share_free(void *p)
{
    ngx_slab_free_locked(ngx_http_mark_share_pool, p);
}


/*
 * Puts a cell into the box of a worker, which will be rung: also for one that
 * is in it already, as who put it there may have died before it rang.
 */

void
ngx_http_mark_cell_box(ngx_http_mark_cell_t *cell, ngx_uint_t worker)
{
    if (cell->boxed) {
        ngx_queue_remove(&cell->box);
    }

    cell->boxed = 1;
    ngx_queue_insert_tail(&ngx_http_mark_share->boxes[worker], &cell->box);

    ngx_http_mark_share_rings |= (uint64_t) 1 << worker;
}


/* Frees a cell that is in no line, and what it holds of an answer. */

void
ngx_http_mark_cell_free(ngx_http_mark_cell_t *cell)
{
    if (cell->boxed) {
        ngx_queue_remove(&cell->box);
    }

    if (cell->block && --cell->block->refs == 0) {
        ngx_http_mark_block_free(cell->block);
    }

    ngx_queue_remove(&cell->all);
    ngx_http_mark_share->ncells--;

    ngx_http_mark_share_free(cell);
}


void
ngx_http_mark_block_free(ngx_http_mark_block_t *block)
{
    ngx_queue_remove(&block->all);
    ngx_http_mark_share_free(block);
}


/*
 * The queue of this key, made if there is none.  NULL: queues are not shared,
 * or there is no room.
 */

ngx_http_mark_shared_t *
ngx_http_mark_share_queue(ngx_str_t *key, ngx_rbtree_key_t hash)
{
    ngx_http_mark_share_t   *share;
    ngx_http_mark_shared_t  *sq;

    if (ngx_http_mark_share_lock() != NGX_OK) {
        return NULL;
    }

    share = ngx_http_mark_share;

    sq = (ngx_http_mark_shared_t *)
             ngx_str_rbtree_lookup(&share->tree, key, hash);

    if (sq) {
        goto found;
    }

    sq = ngx_http_mark_share_alloc(sizeof(ngx_http_mark_shared_t) + key->len);

    if (sq == NULL) {
        ngx_http_mark_share_unlock();
        return NULL;
    }

    ngx_memzero(sq, sizeof(ngx_http_mark_shared_t));

    sq->sn.str.len = key->len;
    sq->sn.str.data = (u_char *) sq + sizeof(ngx_http_mark_shared_t);
    ngx_memcpy(sq->sn.str.data, key->data, key->len);

    ngx_http_mark_line_init(&sq->line);
    ngx_http_mark_service_init(&sq->service);

    sq->sn.node.key = hash;
    ngx_rbtree_insert(&share->tree, &sq->sn.node);
    ngx_queue_insert_tail(&share->queues, &sq->all);
    share->nqueues++;

found:

    sq->users |= (uint64_t) 1 << ngx_worker;

    ngx_http_mark_share_unlock();

    return sq;
}


/* A worker forgets a queue; the last one frees it. */

void
ngx_http_mark_share_forget(ngx_http_mark_shared_t *sq)
{
    if (ngx_http_mark_share_lock() != NGX_OK) {
        return;
    }

    sq->users &= ~((uint64_t) 1 << ngx_worker);
    ngx_http_mark_share_drop(sq);

    ngx_http_mark_share_unlock();
}


/* With the lock held, frees a queue that no worker knows any more. */

void
ngx_http_mark_share_drop(ngx_http_mark_shared_t *sq)
{
    if (sq->users || sq->line.nitems) {
        return;
    }

    ngx_rbtree_delete(&ngx_http_mark_share->tree, &sq->sn.node);
    ngx_queue_remove(&sq->all);
    ngx_http_mark_share->nqueues--;

    ngx_http_mark_share_free(sq);
}


/* For mark_status.  NGX_DECLINED: nothing is shared, or no longer. */

ngx_int_t
ngx_http_mark_share_usage(ngx_http_mark_usage_t *usage)
{
    if (ngx_http_mark_share_lock() != NGX_OK) {
        return NGX_DECLINED;
    }

    usage->queues = ngx_http_mark_share->nqueues;
    usage->cells = ngx_http_mark_share->ncells;
    usage->bytes_free = ngx_http_mark_share_pool->pfree * ngx_pagesize;

    ngx_http_mark_share_unlock();

    return NGX_OK;
}
