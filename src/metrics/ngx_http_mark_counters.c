
/*
 * Counters in shared memory.
 *
 * The zone holds a node for each batched location, found by its server's and
 * its own name, so that counts go on over reloads, and a node holds a set of
 * counters for each seat.  A worker takes a free seat when it starts, so that
 * workers do not write to each other's cache lines; old and new workers of a
 * reload have seats of their own.  Counters stay when their worker goes, and
 * the gauges of a seat count only while its process lives.  Nodes are never
 * freed: a location that left the configuration leaves one behind.
 */


#include "ngx_http_mark_overflow.h"
#include "ngx_http_mark_pool.h"


/* and the sizes of the nodes */
#define NGX_HTTP_MARK_LAYOUT  0x6d61726b
#define NGX_HTTP_MARK_SIZE    (sizeof(ngx_http_mark_counters_t)              \
                               + sizeof(ngx_http_mark_gate_node_t)           \
                               + sizeof(ngx_http_mark_overflow_state_t)     \
                               + sizeof(ngx_http_mark_slot_t))


struct ngx_http_mark_node_s {
    ngx_http_mark_node_t      *next;
    ngx_str_t                  server;
    ngx_str_t                  location;
    ngx_http_mark_overflow_state_t  overflow;
    ngx_http_mark_counters_t   counters[NGX_HTTP_MARK_SEATS];
};


static ngx_int_t ngx_http_mark_counters_init_zone(ngx_shm_zone_t *zone,
    void *data);
static ngx_http_mark_node_t *ngx_http_mark_node(ngx_shm_zone_t *zone,
    ngx_http_mark_loc_conf_t *mlcf, ngx_uint_t create);


const ngx_uint_t  ngx_http_mark_row_bounds[NGX_HTTP_MARK_ROW_BUCKETS - 1] = {
    1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024
};


const ngx_http_mark_bound_t
ngx_http_mark_sec_bounds[NGX_HTTP_MARK_SEC_BUCKETS - 1] = {
    { 100, "0.0001" },
    { 250, "0.00025" },
    { 500, "0.0005" },
    { 1000, "0.001" },
    { 2500, "0.0025" },
    { 5000, "0.005" },
    { 10000, "0.01" },
    { 25000, "0.025" },
    { 50000, "0.05" },
    { 100000, "0.1" },
    { 250000, "0.25" },
    { 500000, "0.5" },
    { 1000000, "1" },
    { 2500000, "2.5" },
    { 5000000, "5" },
    { 10000000, "10" }
};


static const char  *ngx_http_mark_pass_reasons[NGX_HTTP_MARK_PASS_NREASONS] = {
    "method", "subrequest", "encoded", "bytes", "rows", "no_rows", "invalid",
    "unsupported", "stateful", "stream", "unsplit", "replaced", "memory"
};


const char *
ngx_http_mark_pass_reason(ngx_uint_t reason)
{
    return ngx_http_mark_pass_reasons[reason];
}


void
ngx_http_mark_observe_rows(ngx_http_mark_row_histogram_t *h, ngx_uint_t rows)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_MARK_ROW_BUCKETS - 1; i++) {
        if (rows <= ngx_http_mark_row_bounds[i]) {
            break;
        }
    }

    (void) ngx_atomic_fetch_add(&h->buckets[i], 1);
    (void) ngx_atomic_fetch_add(&h->sum, rows);
}


void
ngx_http_mark_observe_usec(ngx_http_mark_sec_histogram_t *h, uint64_t usec)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_MARK_SEC_BUCKETS - 1; i++) {
        if (usec <= ngx_http_mark_sec_bounds[i].usec) {
            break;
        }
    }

    (void) ngx_atomic_fetch_add(&h->buckets[i], 1);
    (void) ngx_atomic_fetch_add(&h->sum, usec);
}


void
ngx_http_mark_counters_learned(ngx_http_mark_counters_t *counters,
    const mark_latency_t *latency)
{
    ngx_http_mark_learned_t  *learned;

    if (!mark_latency_known(latency)) {
        return;
    }

    learned = &counters->learned;

    learned->base = (ngx_atomic_uint_t) latency->a;
    learned->row = (ngx_atomic_uint_t) (latency->b * 1000);
    learned->residual = (ngx_atomic_uint_t) latency->residual;
    learned->limit = mark_latency_limit(latency);
    learned->at = ngx_max(ngx_current_msec, 1);
}


ngx_uint_t
ngx_http_mark_learned_rows(const ngx_http_mark_learned_t *learned,
    ngx_msec_t msec, ngx_uint_t max)
{
    uint64_t  usec, rows;

    usec = (uint64_t) msec * 1000;

    if (usec < learned->base + learned->residual) {
        return 0;
    }

    if (learned->row == 0) {
        return max;
    }

    rows = (usec - learned->base - learned->residual) * 1000 / learned->row;

    return (ngx_uint_t) ngx_min(rows, max);
}


ngx_int_t
ngx_http_mark_counters_zone(ngx_conf_t *cf)
{
    size_t                      size, need;
    ngx_str_t                   name;
    ngx_http_mark_main_conf_t  *mmcf;

    mmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_mark_module);

    /*
     * A power of two: a location more does not often make another zone,
     * which would begin at zero.  Slab pages hold a node and its names.
     */

    need = (mmcf->locations.nelts + 2)
           * (ngx_align(sizeof(ngx_http_mark_node_t), ngx_pagesize)
              + 2 * ngx_pagesize)
           + ngx_http_mark_gates_size(mmcf)
           + ngx_http_mark_pools_size(mmcf);

    for (size = 64 * ngx_pagesize; size < need; size *= 2) { /* void */ }

    ngx_str_set(&name, "ngx_http_mark");

    if (mmcf->zone_size) {

        if (mmcf->zone_size < need) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"mark_zone %V\" is too small, this configuration "
                          "needs %uzk",
                          &mmcf->zone_name, (need + 1023) / 1024);
            return NGX_ERROR;
        }

        name = mmcf->zone_name;
        size = mmcf->zone_size;
    }

    mmcf->zone = ngx_shared_memory_add(cf, &name, size,
                                       &ngx_http_mark_module);
    if (mmcf->zone == NULL) {
        return NGX_ERROR;
    }

    mmcf->zone->init = ngx_http_mark_counters_init_zone;
    mmcf->zone->data = mmcf;

    return NGX_OK;
}


static ngx_int_t
ngx_http_mark_counters_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_uint_t                  i;
    ngx_slab_pool_t            *shpool;
    ngx_http_mark_shm_t        *shm;
    ngx_http_mark_loc_conf_t  **mlcfp;
    ngx_http_mark_main_conf_t  *mmcf;

    mmcf = zone->data;
    shpool = (ngx_slab_pool_t *) zone->shm.addr;
    shm = shpool->data;

    /* a module loaded by a reload may have other counters than its elder */

    if (shm == NULL
        || shm->layout != NGX_HTTP_MARK_LAYOUT
        || shm->size != NGX_HTTP_MARK_SIZE)
    {
        shm = ngx_slab_calloc(shpool, sizeof(ngx_http_mark_shm_t));
        if (shm == NULL) {
            return NGX_ERROR;
        }

        shm->layout = NGX_HTTP_MARK_LAYOUT;
        shm->size = NGX_HTTP_MARK_SIZE;

        shpool->data = shm;
    }

    mlcfp = mmcf->locations.elts;

    for (i = 0; i < mmcf->locations.nelts; i++) {
        if (ngx_http_mark_node(zone, mlcfp[i], 1) == NULL) {
            return NGX_ERROR;
        }
    }

    if (ngx_http_mark_gates_init_zone(mmcf, shpool) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_mark_pools_init_zone(mmcf, shpool);
}


static ngx_http_mark_node_t *
ngx_http_mark_node(ngx_shm_zone_t *zone, ngx_http_mark_loc_conf_t *mlcf,
    ngx_uint_t create)
{
    u_char                *p;
    size_t                 len;
    ngx_slab_pool_t       *shpool;
    ngx_http_mark_shm_t   *shm;
    ngx_http_mark_node_t  *node;

    shpool = (ngx_slab_pool_t *) zone->shm.addr;
    shm = shpool->data;

    for (node = shm->nodes; node; node = node->next) {
        if (node->server.len == mlcf->server.len
            && node->location.len == mlcf->location.len
            && ngx_memcmp(node->server.data, mlcf->server.data,
                          mlcf->server.len) == 0
            && ngx_memcmp(node->location.data, mlcf->location.data,
                          mlcf->location.len) == 0)
        {
            return node;
        }
    }

    if (!create) {
        return NULL;
    }

    len = mlcf->server.len + mlcf->location.len;

    node = ngx_slab_calloc(shpool, sizeof(ngx_http_mark_node_t) + len);
    if (node == NULL) {
        return NULL;
    }

    p = (u_char *) node + sizeof(ngx_http_mark_node_t);

    node->server.len = mlcf->server.len;
    node->server.data = p;
    p = ngx_cpymem(p, mlcf->server.data, mlcf->server.len);

    node->location.len = mlcf->location.len;
    node->location.data = p;
    ngx_memcpy(p, mlcf->location.data, mlcf->location.len);

    node->next = shm->nodes;
    ngx_memory_barrier();
    shm->nodes = node;

    return node;
}


ngx_int_t
ngx_http_mark_counters_init_process(ngx_cycle_t *cycle)
{
    ngx_int_t                   rc;
    ngx_uint_t                  i, seat;
    ngx_slab_pool_t            *shpool;
    ngx_http_mark_shm_t        *shm;
    ngx_http_mark_node_t       *node;
    ngx_http_mark_loc_conf_t  **mlcfp;
    ngx_http_mark_main_conf_t  *mmcf;

    mmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_mark_module);

    if (mmcf == NULL || mmcf->zone == NULL) {
        return NGX_OK;
    }

    shpool = (ngx_slab_pool_t *) mmcf->zone->shm.addr;
    shm = shpool->data;

    ngx_shmtx_lock(&shpool->mutex);

    /* the seat that is taken may be one that a dead process still has */

    ngx_http_mark_pools_bury(shm);

    for (node = shm->nodes; node; node = node->next) {
        ngx_http_mark_overflow_bury(&node->overflow, shm,
                                    ngx_http_mark_now());
    }

    for (seat = 0; seat < NGX_HTTP_MARK_SEATS; seat++) {
        if (!ngx_http_mark_alive(shm->seats[seat])
            || shm->seats[seat] == (ngx_atomic_uint_t) ngx_pid)
        {
            break;
        }
    }

    if (seat == NGX_HTTP_MARK_SEATS) {
        seat = (ngx_uint_t) ngx_pid % NGX_HTTP_MARK_SEATS;
        ngx_http_mark_gates_init_process(mmcf, shpool, seat, cycle->log);

    } else {
        ngx_http_mark_gates_init_process(mmcf, shpool, seat, cycle->log);

        shm->seats[seat] = ngx_pid;

        for (node = shm->nodes; node; node = node->next) {
            node->counters[seat].queued = 0;
            node->counters[seat].in_flight = 0;
        }
    }

    rc = ngx_http_mark_pools_init_process(mmcf, shpool, seat, cycle);

    ngx_shmtx_unlock(&shpool->mutex);

    if (rc != NGX_OK) {
        return rc;
    }

    mmcf->seat = &shm->seats[seat];
    mmcf->seat_index = seat;
    mmcf->mutex = &shpool->mutex;

    mlcfp = mmcf->confs.elts;

    for (i = 0; i < mmcf->confs.nelts; i++) {
        node = ngx_http_mark_node(mmcf->zone, mlcfp[i], 0);
        mlcfp[i]->counters = &node->counters[seat];
        mlcfp[i]->overflow_state = &node->overflow;
    }

    return NGX_OK;
}


void
ngx_http_mark_counters_exit_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                  seat;
    ngx_slab_pool_t            *shpool;
    ngx_http_mark_shm_t        *shm;
    ngx_http_mark_main_conf_t  *mmcf;

    mmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_mark_module);

    if (mmcf == NULL || mmcf->zone == NULL) {
        return;
    }

    shpool = (ngx_slab_pool_t *) mmcf->zone->shm.addr;
    shm = shpool->data;

    for (seat = 0; seat < NGX_HTTP_MARK_SEATS; seat++) {
        (void) ngx_atomic_cmp_set(&shm->seats[seat],
                                  (ngx_atomic_uint_t) ngx_pid, 0);
    }
}


ngx_uint_t
ngx_http_mark_alive(ngx_atomic_uint_t pid)
{
    return pid && (kill((ngx_pid_t) pid, 0) == 0 || ngx_errno == NGX_EPERM);
}


void
ngx_http_mark_counters_sum(void *main_conf, ngx_uint_t i,
    ngx_http_mark_counters_t *sum)
{
    ngx_uint_t                  k, seat;
    ngx_atomic_t               *to;
    const ngx_atomic_t         *from;
    ngx_slab_pool_t            *shpool;
    ngx_http_mark_shm_t        *shm;
    ngx_http_mark_node_t       *node;
    ngx_http_mark_counters_t    set;
    ngx_http_mark_loc_conf_t  **mlcfp;
    ngx_http_mark_main_conf_t  *mmcf;

    mmcf = main_conf;
    mlcfp = mmcf->locations.elts;
    shpool = (ngx_slab_pool_t *) mmcf->zone->shm.addr;
    shm = shpool->data;

    ngx_memzero(sum, sizeof(ngx_http_mark_counters_t));

    node = ngx_http_mark_node(mmcf->zone, mlcfp[i], 0);

    for (seat = 0; seat < NGX_HTTP_MARK_SEATS; seat++) {

        ngx_memcpy(&set, (void *) &node->counters[seat], sizeof(set));

        if (!ngx_http_mark_alive(shm->seats[seat])) {
            set.queued = 0;
            set.in_flight = 0;
        }

        if (set.learned.at > sum->learned.at) {
            ngx_memzero(&sum->learned, sizeof(ngx_http_mark_learned_t));

        } else {
            ngx_memzero(&set.learned, sizeof(ngx_http_mark_learned_t));
        }

        /* the set is nothing but ngx_atomic_t's */

        to = (ngx_atomic_t *) sum;
        from = (const ngx_atomic_t *) &set;

        for (k = 0; k < sizeof(set) / sizeof(ngx_atomic_t); k++) {
            to[k] += from[k];
        }
    }
}
