
/*
 * The gates of a configuration: mark_max_concurrent_batches, which locations
 * go through which gate, and their places in the zone of the counters.
 */


#include "ngx_http_mark_pool.h"


static ngx_http_mark_gate_node_t *ngx_http_mark_gate_node(
    ngx_http_mark_shm_t *shm, ngx_str_t *name);


/* mark_max_concurrent_batches */

char *
ngx_http_mark_max_concurrent(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_mark_gate_t *gate = conf;

    char                          *rv;
    ngx_http_mark_gate_t         **gatep;
    ngx_http_mark_main_conf_t     *mmcf;
    ngx_http_upstream_srv_conf_t  *uscf;

    rv = ngx_conf_set_num_slot(cf, cmd, conf);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    uscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module);

    gate->upstream = uscf;
    gate->name = uscf->host;

    mmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_mark_module);

    gatep = ngx_array_push(&mmcf->gates);
    if (gatep == NULL) {
        return NGX_CONF_ERROR;
    }

    *gatep = gate;

    return NGX_CONF_OK;
}


/* When all upstreams are known; those that proxy_pass implies have no gate. */

void
ngx_http_mark_gates_bind(ngx_http_mark_main_conf_t *mmcf)
{
    ngx_uint_t                  i;
    ngx_http_mark_gate_t       *gate, **gatep;
    ngx_http_mark_loc_conf_t  **mlcfp;

    gatep = mmcf->gates.elts;

    for (i = 0; i < mmcf->gates.nelts; i++) {
        gate = gatep[i];
        gate->pool = ngx_http_mark_pool_of(gate->upstream);

        /* a pool knows itself how many its servers have */

        if (gate->pool) {
            gate->pool->max = gate->max;

        } else {
            ngx_http_mark_gate_wrap(gate);
        }
    }

    mlcfp = mmcf->confs.elts;

    for (i = 0; i < mmcf->confs.nelts; i++) {

        if (mlcfp[i]->upstream == NULL
            || mlcfp[i]->upstream->srv_conf == NULL)
        {
            continue;
        }

        mlcfp[i]->pool = ngx_http_mark_pool_of(mlcfp[i]->upstream);

        gate = ngx_http_conf_upstream_srv_conf(mlcfp[i]->upstream,
                                               ngx_http_mark_module);

        if (gate->upstream) {
            mlcfp[i]->gate = gate;
        }
    }
}


/*
 * A request of the location has met this upstream.  Where proxy_pass has
 * variables that is known too late for a limit.
 */

void
ngx_http_mark_gate_met(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *uscf)
{
    ngx_http_mark_gate_t      *gate;
    ngx_http_mark_loc_conf_t  *mlcf;

    if (uscf->srv_conf == NULL) {
        return;
    }

    gate = ngx_http_conf_upstream_srv_conf(uscf, ngx_http_mark_module);
    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_mark_module);

    if (gate->upstream == NULL || gate->bypassed
        || mlcf->codec == NULL || mlcf->gate == gate)
    {
        return;
    }

    gate->bypassed = 1;

    ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                  "mark: \"mark_max_concurrent_batches\" of upstream \"%V\" "
                  "does not hold for location \"%V\", whose \"proxy_pass\" "
                  "has variables", &gate->name, &mlcf->location);
}


/* How many servers an upstream has; 0: not known. */

ngx_uint_t
ngx_http_mark_peers(ngx_http_upstream_srv_conf_t *uscf)
{
    ngx_uint_t                   i, n;
    ngx_http_upstream_server_t  *server;

    if (uscf->servers == NULL) {
        return 0;
    }

    server = uscf->servers->elts;
    n = 0;

    for (i = 0; i < uscf->servers->nelts; i++) {
        if (!server[i].backup && !server[i].down) {
            n += server[i].naddrs;
        }
    }

    return n;
}


size_t
ngx_http_mark_gates_size(ngx_http_mark_main_conf_t *mmcf)
{
    return mmcf->gates.nelts
           * (ngx_align(sizeof(ngx_http_mark_gate_node_t), ngx_pagesize)
              + ngx_pagesize);
}


ngx_int_t
ngx_http_mark_gates_init_zone(ngx_http_mark_main_conf_t *mmcf,
    ngx_slab_pool_t *shpool)
{
    ngx_uint_t                   i;
    ngx_http_mark_shm_t         *shm;
    ngx_http_mark_gate_t       **gatep;
    ngx_http_mark_gate_node_t   *node;

    shm = shpool->data;
    gatep = mmcf->gates.elts;

    for (i = 0; i < mmcf->gates.nelts; i++) {

        if (ngx_http_mark_gate_node(shm, &gatep[i]->name)) {
            continue;
        }

        node = ngx_slab_calloc(shpool, sizeof(ngx_http_mark_gate_node_t)
                                       + gatep[i]->name.len);
        if (node == NULL) {
            return NGX_ERROR;
        }

        node->name.len = gatep[i]->name.len;
        node->name.data = (u_char *) node + sizeof(ngx_http_mark_gate_node_t);
        ngx_memcpy(node->name.data, gatep[i]->name.data, node->name.len);

        node->next = shm->gates;
        ngx_memory_barrier();
        shm->gates = node;
    }

    return NGX_OK;
}


static ngx_http_mark_gate_node_t *
ngx_http_mark_gate_node(ngx_http_mark_shm_t *shm, ngx_str_t *name)
{
    ngx_http_mark_gate_node_t  *node;

    for (node = shm->gates; node; node = node->next) {
        if (node->name.len == name->len
            && ngx_memcmp(node->name.data, name->data, name->len) == 0)
        {
            break;
        }
    }

    return node;
}


/* Before the seat is taken, which buries who had it before; locked. */

void
ngx_http_mark_gates_init_process(ngx_http_mark_main_conf_t *mmcf,
    ngx_slab_pool_t *shpool, ngx_uint_t seat, ngx_log_t *log)
{
    ngx_uint_t                   i;
    ngx_http_mark_shm_t         *shm;
    ngx_http_mark_gate_t        *gate, **gatep;
    ngx_http_mark_gate_node_t   *node;

    shm = shpool->data;

    for (node = shm->gates; node; node = node->next) {
        ngx_http_mark_gate_bury(node, shm);
    }

    gatep = mmcf->gates.elts;

    for (i = 0; i < mmcf->gates.nelts; i++) {
        gate = gatep[i];

        gate->peers = ngx_max(ngx_http_mark_peers(gate->upstream), 1);

        gate->shm = shm;
        gate->mutex = &shpool->mutex;
        gate->node = ngx_http_mark_gate_node(shm, &gate->name);
        gate->seat = seat;

        gate->event.handler = ngx_http_mark_gate_handler;
        gate->event.data = gate;
        gate->event.log = log;
    }
}


/* Places of processes that are no more are free; locked. */

void
ngx_http_mark_gate_bury(ngx_http_mark_gate_node_t *node,
    ngx_http_mark_shm_t *shm)
{
    ngx_uint_t                  i, k;
    ngx_http_mark_gate_seat_t  *seat;

    for (i = 0; i < NGX_HTTP_MARK_SEATS; i++) {
        seat = &node->seats[i];

        if ((seat->held || seat->waits)
            && !ngx_http_mark_alive(shm->seats[i]))
        {
            seat->held = 0;
            seat->waits = 0;

            for (k = 0; k < NGX_HTTP_MARK_GATE_PEERS; k++) {
                node->peers[k].held[i] = 0;
            }
        }
    }
}


/* The configuration goes; so have its queues. */

void
ngx_http_mark_gates_destroy(ngx_http_mark_main_conf_t *mmcf)
{
    ngx_uint_t             i;
    ngx_http_mark_gate_t  *gate, **gatep;

    gatep = mmcf->gates.elts;

    for (i = 0; i < mmcf->gates.nelts; i++) {
        gate = gatep[i];

        if (gate->event.timer_set) {
            ngx_del_timer(&gate->event);
        }

        if (gate->event.posted) {
            ngx_delete_posted_event(&gate->event);
        }
    }
}


/* For mark_status. */

void
ngx_http_mark_gate_sum(ngx_http_mark_gate_t *gate,
    ngx_http_mark_gate_sum_t *sum)
{
    ngx_uint_t                  i;
    ngx_http_mark_gate_seat_t  *seat;

    sum->in_flight = 0;
    sum->blocked = 0;

    for (i = 0; i < NGX_HTTP_MARK_SEATS; i++) {
        seat = &gate->node->seats[i];
        sum->blocked += seat->blocked;

        if (seat->held && ngx_http_mark_alive(gate->shm->seats[i])) {
            sum->in_flight += seat->held;
        }
    }
}
