
/*
 * Servers by name whose addresses change: "mark_server NAME resolve", and
 * "server NAME resolve" where nginx has it.
 *
 * A name is resolved when the configuration is read, as all names are, but
 * for that it need not succeed; then by the keeper, again and again.  Each
 * address is a server with the name's parameters.  A name that cannot be
 * resolved keeps the addresses that it has.  While a plan is in force it says
 * which servers there are, and names are left alone.
 */


#include "ngx_http_mark_resolve.h"


/* Between tries, while a name cannot be resolved; msec. */
#define NGX_HTTP_MARK_NAMES_PAUSE      1000
#define NGX_HTTP_MARK_NAMES_MAX_PAUSE  10000


typedef struct {
    ngx_http_mark_server_t     server;       /* what its addresses are */
    ngx_http_mark_resolve_t    resolve;
    ngx_event_t                timer;
    ngx_msec_t                 pause;        /* 0: it could be resolved */
    unsigned                   full:1;       /* and the log says so */
} ngx_http_mark_name_t;


static void ngx_http_mark_names_now(ngx_conf_t *cf,
    ngx_http_upstream_server_t *server);
static void ngx_http_mark_names_timer(ngx_event_t *ev);
static void ngx_http_mark_names_resolved(ngx_http_mark_resolve_t *rs);
static void ngx_http_mark_names_failed(ngx_http_mark_name_t *name);
static ngx_int_t ngx_http_mark_names_apply(ngx_http_mark_name_t *name);


static struct sockaddr_in  ngx_http_mark_nowhere_sockaddr = {
    .sin_family = AF_INET
};

/* What the core is told of a name without an address, and nobody uses. */

ngx_addr_t  ngx_http_mark_nowhere = {
    (struct sockaddr *) &ngx_http_mark_nowhere_sockaddr,
    sizeof(struct sockaddr_in),
    ngx_string("nowhere")
};


/*
 * The server of the block is told of as own, whose resolve is set from here
 * on if it has a name that is to be resolved.  The server gets the addresses
 * of now, or ngx_http_mark_nowhere.
 */

ngx_int_t
ngx_http_mark_names_server(ngx_conf_t *cf, ngx_http_mark_pool_t *pool,
    ngx_http_mark_server_t *own, ngx_http_upstream_server_t *server)
{
    ngx_url_t              u;
    ngx_http_mark_name_t  *name;

#if (NGX_HTTP_UPSTREAM_ZONE && nginx_version >= 1027003)

    if (server->host.len) {

        if (server->service.len) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"service=%V\" of server \"%V\" is not for "
                          "upstreams with \"mark_balance\": name the port",
                          &server->service, &server->name);
            return NGX_ERROR;
        }

        own->resolve = 1;

        /* the core has a port instead of addresses, and resolves on its own */

        server->host.len = 0;
        server->addrs = &ngx_http_mark_nowhere;
        server->naddrs = 1;
    }

#endif

    if (!own->resolve) {
        return NGX_OK;
    }

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = server->name;
    u.default_port = 80;
    u.no_resolve = 1;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        return NGX_ERROR;
    }

    if (u.naddrs) {
        /* an address */
        own->resolve = 0;
        server->addrs = u.addrs;
        server->naddrs = u.naddrs;
        return NGX_OK;
    }

    if (u.host.len > NGX_HTTP_MARK_NAME_LEN) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "name \"%V\" is too long",
                      &u.host);
        return NGX_ERROR;
    }

    if (pool->names.elts == NULL
        && ngx_array_init(&pool->names, cf->pool, 4,
                          sizeof(ngx_http_mark_name_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    name = ngx_array_push(&pool->names);
    if (name == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(name, sizeof(ngx_http_mark_name_t));

    name->server = *own;
    name->server.fresh = 1;

    name->resolve.pool = pool;
    name->resolve.host = u.host;
    name->resolve.port = u.port;
    name->resolve.handler = ngx_http_mark_names_resolved;

    if (server->addrs == &ngx_http_mark_nowhere) {
        ngx_http_mark_names_now(cf, server);
    }

    return NGX_OK;
}


static void
ngx_http_mark_names_now(ngx_conf_t *cf, ngx_http_upstream_server_t *server)
{
    ngx_url_t  u;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = server->name;
    u.default_port = 80;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "mark: %s \"%V\", it has no server until it is resolved "
                      "at run time", u.err ? u.err : "no memory for",
                      &server->name);
        return;
    }

    server->addrs = u.addrs;
    server->naddrs = u.naddrs;
}


/* The block is whole. */

ngx_int_t
ngx_http_mark_names_init(ngx_conf_t *cf, ngx_http_mark_pool_t *pool,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    pool->resolver = clcf->resolver;
    pool->resolver_timeout = clcf->resolver_timeout;

#if (NGX_HTTP_UPSTREAM_ZONE && nginx_version >= 1027003)

    if (us->resolver) {
        pool->resolver = us->resolver;
    }

    if (us->resolver_timeout != NGX_CONF_UNSET_MSEC) {
        pool->resolver_timeout = us->resolver_timeout;
    }

#endif

    if (pool->resolver && pool->resolver->connections.nelts == 0) {
        pool->resolver = NULL;
    }

    if (pool->resolver_timeout == NGX_CONF_UNSET_MSEC) {
        pool->resolver_timeout = 30000;
    }

    if (pool->names.nelts && pool->resolver == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "no resolver for the names that upstream \"%V\" wants "
                      "to \"resolve\" in %s:%ui: add \"resolver ADDRESS;\" to "
                      "the http block",
                      &us->host, us->file_name, us->line);
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_http_mark_names_start(ngx_http_mark_pool_t *pool, ngx_cycle_t *cycle)
{
    ngx_uint_t             i;
    ngx_http_mark_name_t  *name;

    name = pool->names.elts;

    for (i = 0; i < pool->names.nelts; i++) {
        name[i].resolve.data = &name[i];

        name[i].timer.handler = ngx_http_mark_names_timer;
        name[i].timer.data = &name[i];
        name[i].timer.log = cycle->log;
        name[i].timer.cancelable = 1;

        ngx_add_timer(&name[i].timer, 1);
    }
}


static void
ngx_http_mark_names_timer(ngx_event_t *ev)
{
    ngx_http_mark_name_t  *name;
    ngx_http_mark_pool_t  *pool;

    name = ev->data;
    pool = name->resolve.pool;

    if (!ngx_http_mark_keeper(pool)) {
        return;
    }

    if (pool->node->plan.stamp.version) {
        ngx_add_timer(ev, NGX_HTTP_MARK_NAMES_PAUSE);
        return;
    }

    ngx_http_mark_resolve(&name->resolve);
}


static void
ngx_http_mark_names_resolved(ngx_http_mark_resolve_t *rs)
{
    time_t                 now;
    ngx_http_mark_name_t  *name;

    name = rs->data;

    if (!ngx_http_mark_keeper(rs->pool)) {
        return;
    }

    if (rs->state != NGX_OK || ngx_http_mark_names_apply(name) != NGX_OK) {
        ngx_http_mark_names_failed(name);
        return;
    }

    if (name->pause) {
        name->pause = 0;
        ngx_log_error(NGX_LOG_NOTICE, rs->pool->log, 0,
                      "mark: \"%V\" of upstream \"%V\" is resolved again",
                      &rs->host, &rs->pool->name);
    }

    /* the resolver has it for all of that second */

    now = ngx_time();

    ngx_add_timer(&name->timer,
                  rs->valid > now ? (ngx_msec_t) (rs->valid - now + 1) * 1000
                                  : 1000);
}


static void
ngx_http_mark_names_failed(ngx_http_mark_name_t *name)
{
    ngx_http_mark_resolve_t  *rs;

    rs = &name->resolve;

    if (name->pause == 0) {
        ngx_log_error(NGX_LOG_WARN, rs->pool->log, 0,
                      "mark: \"%V\" of upstream \"%V\" cannot be resolved "
                      "(%i: %s), what is known of it stays",
                      &rs->host, &rs->pool->name, rs->state,
                      ngx_resolver_strerror(rs->state));
    }

    name->pause = name->pause ? ngx_min(2 * name->pause,
                                        NGX_HTTP_MARK_NAMES_MAX_PAUSE)
                              : NGX_HTTP_MARK_NAMES_PAUSE;

    ngx_add_timer(&name->timer, name->pause);
}


/* NGX_ERROR: there is no memory. */

static ngx_int_t
ngx_http_mark_names_apply(ngx_http_mark_name_t *name)
{
    uint64_t                  changed;
    ngx_uint_t                i, lost;
    ngx_http_mark_pool_t     *pool;
    ngx_http_mark_server_t   *servers;
    ngx_http_mark_resolve_t  *rs;

    rs = &name->resolve;
    pool = rs->pool;

    servers = ngx_alloc(rs->naddrs * sizeof(ngx_http_mark_server_t),
                        pool->log);
    if (servers == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < rs->naddrs; i++) {
        servers[i] = name->server;
        servers[i].sockaddr = rs->addrs[i].sockaddr;
        servers[i].socklen = rs->addrs[i].socklen;
    }

    lost = 0;

    ngx_shmtx_lock(pool->mutex);

    changed = pool->node->changed;

    /* a plan may have come while it was resolved */

    if (pool->node->plan.stamp.version == 0) {
        lost = ngx_http_mark_slots_renew(pool, &name->server.name, servers,
                                         rs->naddrs, ngx_http_mark_now());
    }

    changed = pool->node->changed - changed;

    ngx_shmtx_unlock(pool->mutex);

    ngx_free(servers);

    if (changed) {
        ngx_log_error(NGX_LOG_NOTICE, pool->log, 0,
                      "mark: \"%V\" of upstream \"%V\" has other addresses, "
                      "%ui of them", &rs->host, &pool->name, rs->naddrs);
    }

    if (lost && !name->full) {
        ngx_log_error(NGX_LOG_ERR, pool->log, 0,
                      "mark: upstream \"%V\" has no room for %ui of the "
                      "addresses of \"%V\": \"mark_balance\" needs slots=%ui",
                      &pool->name, lost, &rs->host, 2 * (pool->nslots + lost));
    }

    name->full = (lost != 0);

    return NGX_OK;
}
