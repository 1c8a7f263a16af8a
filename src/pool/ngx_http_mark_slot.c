
/*
 * The slots of a pool: who is in it, and in which state.
 *
 *     empty -> warming -> ready -> draining -> empty
 *
 * A server that leaves is drained: nothing more goes there, and its slot is
 * empty when the last of what it has is back.  Comes it again before that, it
 * is ready at once, with what was learned of it.  A slot has nothing that has
 * to be allocated or freed, so that a pool can change for ever.
 *
 * All functions want the lock held, and none of them logs under it.
 */


#include "ngx_http_mark_pool.h"


static ngx_http_mark_slot_t *ngx_http_mark_slot_find(
    ngx_http_mark_pool_t *pool, ngx_http_mark_server_t *server);
static ngx_http_mark_slot_t *ngx_http_mark_slot_take(
    ngx_http_mark_pool_t *pool, ngx_http_mark_server_t *server);
static ngx_uint_t ngx_http_mark_slots_lost(ngx_http_mark_pool_t *pool,
    ngx_array_t *servers);
static void ngx_http_mark_slot_text(u_char *to, size_t size, ngx_str_t *from);
static ngx_uint_t ngx_http_mark_slot_named(ngx_http_mark_slot_t *slot,
    ngx_str_t *name);
static ngx_uint_t ngx_http_mark_slots_kept(ngx_http_mark_pool_t *pool,
    ngx_str_t *name);


/*
 * The server has a slot from now on, and is what it is told to be.  NULL:
 * there is no room.
 */

ngx_http_mark_slot_t *
ngx_http_mark_slot_set(ngx_http_mark_pool_t *pool,
    ngx_http_mark_server_t *server, uint64_t now)
{
    ngx_uint_t             k, state;
    ngx_http_mark_slot_t  *slot;

    slot = ngx_http_mark_slot_find(pool, server);

    if (slot == NULL) {
        slot = ngx_http_mark_slot_take(pool, server);

        if (slot == NULL) {
            return NULL;
        }
    }

    ngx_http_mark_slot_text(slot->name, sizeof(slot->name), &server->name);
    ngx_http_mark_slot_text(slot->id, sizeof(slot->id), &server->id);
    ngx_http_mark_slot_text(slot->class, sizeof(slot->class),
                            &server->class);

    slot->price = server->price;
    slot->weight = ngx_max(server->weight, 1);
    slot->max_batch = server->max_batch;
    slot->backup = server->backup;
    slot->down = server->down;
    slot->steady = server->steady;

    slot->concurrency = server->concurrency;

    if (pool->max && (slot->concurrency == 0
                      || slot->concurrency > pool->max))
    {
        slot->concurrency = pool->max;
    }

    if (server->known) {
        for (k = 0; k < NGX_HTTP_MARK_KINDS; k++) {
            if (!mark_latency_known(&slot->latency[k])) {
                mark_latency_prior(&slot->latency[k], server->prior[0],
                                   server->prior[1], server->prior[2]);
            }
        }

        slot->prior[0] = server->prior[0];
        slot->prior[1] = server->prior[1];
        slot->prior[2] = server->prior[2];
        slot->known = 1;
    }

    state = server->state;

    if (slot->state == state) {
        return slot;
    }

    /* what comes into use gets its full share bit by bit */

    if (state == NGX_HTTP_MARK_SLOT_READY
        && (server->fresh || slot->state == NGX_HTTP_MARK_SLOT_WARMING))
    {
        slot->fresh = now;
    }

    slot->state = state;
    slot->since = now;
    pool->node->changed++;

    return slot;
}


static ngx_http_mark_slot_t *
ngx_http_mark_slot_find(ngx_http_mark_pool_t *pool,
    ngx_http_mark_server_t *server)
{
    ngx_uint_t             i;
    ngx_http_mark_slot_t  *slot;

    for (i = 0; i < pool->node->top; i++) {
        slot = &pool->node->slots[i];

        if (slot->state != NGX_HTTP_MARK_SLOT_EMPTY
            && server->sockaddr
            && slot->socklen == server->socklen
            && ngx_cmp_sockaddr(&slot->sockaddr.sockaddr, slot->socklen,
                                server->sockaddr, server->socklen, 1)
               == NGX_OK)
        {
            return slot;
        }
    }

    return NULL;
}


static ngx_http_mark_slot_t *
ngx_http_mark_slot_take(ngx_http_mark_pool_t *pool,
    ngx_http_mark_server_t *server)
{
    ngx_uint_t                  i;
    ngx_http_mark_slot_t       *slot;
    ngx_http_mark_pool_node_t  *node;

    node = pool->node;

    if (server->socklen > (socklen_t) sizeof(ngx_sockaddr_t)) {
        return NULL;
    }

    for (i = 0; i < node->nslots; i++) {
        slot = &node->slots[i];

        if (slot->state == NGX_HTTP_MARK_SLOT_EMPTY) {
            break;
        }
    }

    if (i == node->nslots) {
        return NULL;
    }

    ngx_memzero(slot, sizeof(ngx_http_mark_slot_t));

    slot->generation = ++node->generation;
    slot->socklen = server->socklen;
    ngx_memcpy(&slot->sockaddr, server->sockaddr, server->socklen);

    slot->addr[ngx_sock_ntop(server->sockaddr, server->socklen, slot->addr,
                             NGX_SOCKADDR_STRLEN, 1)] = '\0';

    if (node->top <= i) {
        node->top = i + 1;
    }

    return slot;
}


static void
ngx_http_mark_slot_text(u_char *to, size_t size, ngx_str_t *from)
{
    ngx_cpystrn(to, from->data ? from->data : (u_char *) "",
                ngx_min(from->len + 1, size));
}


void
ngx_http_mark_slot_drain(ngx_http_mark_pool_t *pool,
    ngx_http_mark_slot_t *slot, uint64_t now)
{
    if (slot->state != NGX_HTTP_MARK_SLOT_EMPTY
        && slot->state != NGX_HTTP_MARK_SLOT_DRAINING)
    {
        slot->state = NGX_HTTP_MARK_SLOT_DRAINING;
        slot->since = now;
        pool->node->changed++;
    }

    ngx_http_mark_slot_tidy(pool, slot);
}


/*
 * A server that has nothing more leaves; one that a plan wants to be seen as
 * draining stays as that until the plan has it no more.
 */

void
ngx_http_mark_slot_tidy(ngx_http_mark_pool_t *pool, ngx_http_mark_slot_t *slot)
{
    ngx_http_mark_pool_node_t  *node;

    if (slot->state != NGX_HTTP_MARK_SLOT_DRAINING
        || slot->in_flight || slot->listed)
    {
        return;
    }

    node = pool->node;

    slot->state = NGX_HTTP_MARK_SLOT_EMPTY;
    slot->generation = ++node->generation;
    node->changed++;

    while (node->top
           && node->slots[node->top - 1].state == NGX_HTTP_MARK_SLOT_EMPTY)
    {
        node->top--;
    }
}


/* Of that name, and in use. */

static ngx_uint_t
ngx_http_mark_slot_named(ngx_http_mark_slot_t *slot, ngx_str_t *name)
{
    return (slot->state == NGX_HTTP_MARK_SLOT_READY
            || slot->state == NGX_HTTP_MARK_SLOT_WARMING)
           && ngx_strlen(slot->name) == name->len
           && ngx_memcmp(slot->name, name->data, name->len) == 0;
}


/*
 * The pool consists of these servers from now on; all others are drained.
 * Returns how many of them find no room: then nothing is changed.
 *
 * A name that is resolved at run time keeps the addresses that it has: those
 * of the configuration are older, and it may have none.
 */

ngx_uint_t
ngx_http_mark_slots_seed(ngx_http_mark_pool_t *pool, ngx_array_t *servers,
    uint64_t now)
{
    ngx_uint_t                  i, kept, lost;
    ngx_http_mark_slot_t       *slot;
    ngx_http_mark_server_t     *server;
    ngx_http_mark_pool_node_t  *node;

    node = pool->node;
    server = servers->elts;

    lost = ngx_http_mark_slots_lost(pool, servers);

    if (lost) {
        return lost;
    }

    for (i = 0; i < node->top; i++) {
        node->slots[i].listed = 0;
    }

    for (i = 0; i < servers->nelts; i++) {

        if (server[i].resolve
            && ngx_http_mark_slots_kept(pool, &server[i].name))
        {
            continue;
        }

        slot = ngx_http_mark_slot_find(pool, &server[i]);

        if (slot) {
            slot->listed = 1;
        }
    }

    /* those that go make room for those that come */

    for (i = 0; i < node->top; i++) {
        if (!node->slots[i].listed) {
            ngx_http_mark_slot_drain(pool, &node->slots[i], now);
        }
    }

    kept = 0;

    for (i = 0; i < servers->nelts; i++) {

        /* the addresses of a name stand together */

        if (i == 0 || server[i].name.data != server[i - 1].name.data) {
            kept = server[i].resolve
                   && ngx_http_mark_slots_kept(pool, &server[i].name);
        }

        if (kept || server[i].sockaddr == NULL) {
            continue;
        }

        slot = ngx_http_mark_slot_set(pool, &server[i], now);

        if (slot) {
            slot->listed = 1;
        }
    }

    return 0;
}


/* How many of the servers would find no room. */

static ngx_uint_t
ngx_http_mark_slots_lost(ngx_http_mark_pool_t *pool, ngx_array_t *servers)
{
    ngx_uint_t                  i, busy;
    ngx_http_mark_slot_t       *slot;
    ngx_http_mark_server_t     *server;
    ngx_http_mark_pool_node_t  *node;

    node = pool->node;
    server = servers->elts;
    busy = servers->nelts;

    for (i = 0; i < node->top; i++) {
        slot = &node->slots[i];
        busy += (slot->state != NGX_HTTP_MARK_SLOT_EMPTY && slot->in_flight);
    }

    for (i = 0; i < servers->nelts; i++) {
        slot = server[i].sockaddr ? ngx_http_mark_slot_find(pool, &server[i])
                                  : NULL;
        busy -= (slot && slot->in_flight);
    }

    return busy > node->nslots ? busy - node->nslots : 0;
}


static ngx_uint_t
ngx_http_mark_slots_kept(ngx_http_mark_pool_t *pool, ngx_str_t *name)
{
    ngx_uint_t             i, n;
    ngx_http_mark_slot_t  *slot;

    n = 0;

    for (i = 0; i < pool->node->top; i++) {
        slot = &pool->node->slots[i];

        if (ngx_http_mark_slot_named(slot, name)) {
            slot->listed = 1;
            n++;
        }
    }

    return n;
}


/*
 * The servers of this name are these n from now on; those of other names stay
 * as they are, and an address that is one of them is left to them.  Returns
 * how many found no room.
 */

ngx_uint_t
ngx_http_mark_slots_renew(ngx_http_mark_pool_t *pool, ngx_str_t *name,
    ngx_http_mark_server_t *servers, ngx_uint_t n, uint64_t now)
{
    ngx_uint_t                  i, lost;
    ngx_http_mark_slot_t       *slot;
    ngx_http_mark_pool_node_t  *node;

    node = pool->node;

    for (i = 0; i < node->top; i++) {
        if (ngx_http_mark_slot_named(&node->slots[i], name)) {
            node->slots[i].listed = 0;
        }
    }

    for (i = 0; i < n; i++) {
        slot = ngx_http_mark_slot_find(pool, &servers[i]);

        if (slot) {
            slot->listed = 1;
        }
    }

    for (i = 0; i < node->top; i++) {
        slot = &node->slots[i];

        if (!slot->listed && ngx_http_mark_slot_named(slot, name)) {
            ngx_http_mark_slot_drain(pool, slot, now);
        }
    }

    lost = 0;

    for (i = 0; i < n; i++) {
        slot = ngx_http_mark_slot_find(pool, &servers[i]);

        if (slot && slot->state != NGX_HTTP_MARK_SLOT_DRAINING
            && !ngx_http_mark_slot_named(slot, name))
        {
            continue;
        }

        slot = ngx_http_mark_slot_set(pool, &servers[i], now);

        if (slot) {
            slot->listed = 1;

        } else {
            lost++;
        }
    }

    return lost;
}


/* What processes held that are no more is free. */

void
ngx_http_mark_slots_bury(ngx_http_mark_pool_node_t *node,
    ngx_http_mark_shm_t *shm)
{
    ngx_uint_t             i, k;
    ngx_http_mark_slot_t  *slot;

    for (k = 0; k < NGX_HTTP_MARK_SEATS; k++) {

        if (ngx_http_mark_alive(shm->seats[k])) {
            continue;
        }

        for (i = 0; i < node->top; i++) {
            slot = &node->slots[i];

            slot->in_flight -= ngx_min(slot->held[k], slot->in_flight);
            slot->held[k] = 0;
        }
    }
}
