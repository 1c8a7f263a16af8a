
/* mark_balance and mark_server: what an upstream's block says of its pool. */


#include "ngx_http_mark_pool.h"
#include "ngx_http_mark_resolve.h"


static char *ngx_http_mark_balance_option(ngx_conf_t *cf,
    ngx_http_mark_pool_t *pool, ngx_str_t *option);
static char *ngx_http_mark_server_option(ngx_conf_t *cf,
    ngx_http_mark_server_t *server, ngx_str_t *option);
static ngx_int_t ngx_http_mark_number(u_char *p, u_char *last,
    double *number);
static ngx_http_mark_server_t *ngx_http_mark_pool_extra(
    ngx_http_mark_pool_t *pool, ngx_str_t *name);
static ngx_int_t ngx_http_mark_pool_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_http_mark_pool_servers(ngx_conf_t *cf,
    ngx_http_mark_pool_t *pool, ngx_http_upstream_srv_conf_t *us);


/* mark_balance slo [slots=N] [slow_start=TIME] [max_ejected=N%] ... */

char *
ngx_http_mark_balance(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_mark_srv_conf_t *mscf = conf;

    ngx_str_t                     *value;
    ngx_uint_t                     i;
    ngx_http_mark_pool_t          *pool, **poolp;
    ngx_http_mark_main_conf_t     *mmcf;
    ngx_http_upstream_srv_conf_t  *uscf;

    pool = mscf->pool;

    if (pool->upstream) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "slo") != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"mark_balance\", it is "
                           "\"slo\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {
        if (ngx_http_mark_balance_option(cf, pool, &value[i]) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }
    }

    uscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module);

    if (uscf->peer.init_upstream) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"mark_balance\" must stand before \"keepalive\", "
                           "and without another balancing method");
        return NGX_CONF_ERROR;
    }

    uscf->peer.init_upstream = ngx_http_mark_pool_init_upstream;

    uscf->flags = NGX_HTTP_UPSTREAM_CREATE
                  |NGX_HTTP_UPSTREAM_WEIGHT
                  |NGX_HTTP_UPSTREAM_MAX_CONNS
                  |NGX_HTTP_UPSTREAM_MAX_FAILS
                  |NGX_HTTP_UPSTREAM_FAIL_TIMEOUT
                  |NGX_HTTP_UPSTREAM_DOWN
                  |NGX_HTTP_UPSTREAM_BACKUP;

    pool->upstream = uscf;
    pool->name = uscf->host;

    mmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_mark_module);

    poolp = ngx_array_push(&mmcf->pools);
    if (poolp == NULL) {
        return NGX_CONF_ERROR;
    }

    *poolp = pool;

    return NGX_CONF_OK;
}


static char *
ngx_http_mark_balance_option(ngx_conf_t *cf, ngx_http_mark_pool_t *pool,
    ngx_str_t *option)
{
    u_char     *p;
    ngx_int_t   n;
    ngx_str_t   value;

    p = (u_char *) ngx_strchr(option->data, '=');

    if (p == NULL) {
        goto invalid;
    }

    value.data = p + 1;
    value.len = option->data + option->len - value.data;

    if (ngx_strncmp(option->data, "slots=", 6) == 0) {
        n = ngx_atoi(value.data, value.len);

        if (n < 1 || n > NGX_HTTP_MARK_MAX_SLOTS) {
            goto invalid;
        }

        pool->nslots = n;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(option->data, "slow_start=", 11) == 0) {
        n = ngx_parse_time(&value, 0);

        if (n == NGX_ERROR) {
            goto invalid;
        }

        pool->slow_start = (uint64_t) n * 1000;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(option->data, "max_ejected=", 12) == 0) {

        if (value.len && value.data[value.len - 1] == '%') {
            value.len--;
        }

        n = ngx_atoi(value.data, value.len);

        if (n == NGX_ERROR || n > 100) {
            goto invalid;
        }

        pool->max_ejected = n;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(option->data, "retries=", 8) == 0) {

        if (value.len && value.data[value.len - 1] == '%') {
            value.len--;
        }

        n = ngx_atoi(value.data, value.len);

        if (n == NGX_ERROR || n > 100) {
            goto invalid;
        }

        pool->retries.share = n / 100.0;
        pool->retries.floor = n ? MARK_RETRY_BUDGET_FLOOR : 0;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(option->data, "pressure=", 9) == 0) {

        /* NAME:LOW:HIGH, of a load report */

        p = (u_char *) ngx_strchr(value.data, ':');

        if (p == NULL || p == value.data) {
            goto invalid;
        }

        value.len = p - value.data;

        pool->metric = ngx_pnalloc(cf->pool, value.len + 1);
        if (pool->metric == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_cpystrn((u_char *) pool->metric, value.data, value.len + 1);

        value.data = p + 1;
        p = (u_char *) ngx_strchr(value.data, ':');

        if (p == NULL || !mark_orca_metric(pool->metric)) {
            goto invalid;
        }

        if (ngx_http_mark_number(value.data, p, &pool->pressure.low) != NGX_OK
            || ngx_http_mark_number(p + 1, option->data + option->len,
                                    &pool->pressure.high)
               != NGX_OK
            || pool->pressure.high <= pool->pressure.low)
        {
            goto invalid;
        }

        return NGX_CONF_OK;
    }

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\" in \"mark_balance\", there "
                       "are slots=1..%d, slow_start=TIME, max_ejected=N%%, "
                       "retries=N%% and pressure=METRIC:LOW:HIGH", option,
                       NGX_HTTP_MARK_MAX_SLOTS);
    return NGX_CONF_ERROR;
}


/*
 * mark_server ADDRESS [class=] [price=] [max_batch=] [concurrency=] [weight=]
 * [backup] [down] [resolve]: what "server" cannot say, of a server that stands
 * there as well or only here.
 */

char *
ngx_http_mark_server(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_mark_srv_conf_t *mscf = conf;

    ngx_url_t                      u;
    ngx_str_t                     *value;
    ngx_uint_t                     i;
    ngx_http_mark_pool_t          *pool;
    ngx_http_mark_server_t        *extra;
    ngx_http_upstream_server_t    *server;
    ngx_http_upstream_srv_conf_t  *uscf;

    pool = mscf->pool;
    value = cf->args->elts;

    if (pool->extras.elts == NULL
        && ngx_array_init(&pool->extras, cf->pool, 4,
                          sizeof(ngx_http_mark_server_t))
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (ngx_http_mark_pool_extra(pool, &value[1])) {
        return "is duplicate";
    }

    extra = ngx_array_push(&pool->extras);
    if (extra == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(extra, sizeof(ngx_http_mark_server_t));

    extra->name = value[1];
    extra->weight = NGX_CONF_UNSET_UINT;

    for (i = 2; i < cf->args->nelts; i++) {
        if (ngx_http_mark_server_option(cf, extra, &value[i])
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    uscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module);
    server = uscf->servers->elts;

    for (i = 0; i < uscf->servers->nelts; i++) {
        if (server[i].name.len == value[1].len
            && ngx_strncmp(server[i].name.data, value[1].data, value[1].len)
               == 0)
        {
            return NGX_CONF_OK;
        }
    }

    /* to the core it is a server like others, too */

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = value[1];
    u.default_port = 80;
    u.no_resolve = extra->resolve;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "%s in \"mark_server %V\"",
                           u.err ? u.err : "invalid address", &value[1]);
        return NGX_CONF_ERROR;
    }

    server = ngx_array_push(uscf->servers);
    if (server == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(server, sizeof(ngx_http_upstream_server_t));

    server->name = u.url;
    server->addrs = u.naddrs ? u.addrs : &ngx_http_mark_nowhere;
    server->naddrs = ngx_max(u.naddrs, 1);
    server->weight = 1;
    server->max_fails = 1;
    server->fail_timeout = 10;
    server->backup = extra->backup;
    server->down = extra->down;

    return NGX_CONF_OK;
}


static char *
ngx_http_mark_server_option(ngx_conf_t *cf, ngx_http_mark_server_t *server,
    ngx_str_t *option)
{
    u_char     *p;
    ngx_int_t   n;
    ngx_str_t   value;

    if (ngx_strcmp(option->data, "backup") == 0) {
        server->backup = 1;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(option->data, "down") == 0) {
        server->down = 1;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(option->data, "resolve") == 0) {
        server->resolve = 1;
        return NGX_CONF_OK;
    }

    p = (u_char *) ngx_strchr(option->data, '=');

    if (p == NULL) {
        goto invalid;
    }

    value.data = p + 1;
    value.len = option->data + option->len - value.data;

    if (ngx_strncmp(option->data, "class=", 6) == 0) {

        if (value.len == 0 || value.len > 31) {
            goto invalid;
        }

        server->class = value;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(option->data, "price=", 6) == 0) {

        if (ngx_http_mark_number(value.data, value.data + value.len,
                                 &server->price)
            != NGX_OK)
        {
            goto invalid;
        }

        return NGX_CONF_OK;
    }

    n = ngx_atoi(value.data, value.len);

    if (ngx_strncmp(option->data, "weight=", 7) == 0 && n > 0 && n <= 1000) {
        server->weight = n;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(option->data, "max_batch=", 10) == 0 && n > 0) {
        server->max_batch = n;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(option->data, "concurrency=", 12) == 0
        && n > 0 && n <= 1024)
    {
        server->concurrency = n;
        return NGX_CONF_OK;
    }

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\" in \"mark_server\", there "
                       "are class=TEXT (up to 31 characters), price=NUMBER "
                       "(an hour), max_batch=ROWS, concurrency=1..1024, "
                       "weight=1..1000, backup, down and resolve", option);
    return NGX_CONF_ERROR;
}


/* Digits, and a point among them. */

static ngx_int_t
ngx_http_mark_number(u_char *p, u_char *last, double *number)
{
    u_char      *start;
    ngx_uint_t   points, digits;

    start = p;
    points = 0;
    digits = 0;

    for ( /* void */ ; p < last; p++) {
        if (*p == '.') {
            points++;

        } else if (*p >= '0' && *p <= '9') {
            digits++;

        } else {
            return NGX_ERROR;
        }
    }

    if (digits == 0 || points > 1) {
        return NGX_ERROR;
    }

    *number = strtod((char *) start, NULL);

    return NGX_OK;
}


static ngx_http_mark_server_t *
ngx_http_mark_pool_extra(ngx_http_mark_pool_t *pool, ngx_str_t *name)
{
    ngx_uint_t              i;
    ngx_http_mark_server_t  *extra;

    extra = pool->extras.elts;

    for (i = 0; i < pool->extras.nelts; i++) {
        if (extra[i].name.len == name->len
            && ngx_strncmp(extra[i].name.data, name->data, name->len)
               == 0)
        {
            return &extra[i];
        }
    }

    return NULL;
}


/*
 * When the block is whole.  The core's own list is made as well: "zone" takes
 * it for granted, and nothing but that looks at it.
 */

static ngx_int_t
ngx_http_mark_pool_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_mark_pool_t  *pool;

    pool = ngx_http_mark_pool_of(us);

    if (ngx_array_init(&pool->servers, cf->pool, 8,
                       sizeof(ngx_http_mark_server_t))
        != NGX_OK
        || ngx_http_mark_pool_servers(cf, pool, us) != NGX_OK
        || ngx_http_mark_names_init(cf, pool, us) != NGX_OK
        || ngx_http_upstream_init_round_robin(cf, us) != NGX_OK)
    {
        return NGX_ERROR;
    }

    us->peer.init = ngx_http_mark_peer_init;

    return NGX_OK;
}


static ngx_int_t
ngx_http_mark_pool_servers(ngx_conf_t *cf, ngx_http_mark_pool_t *pool,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_uint_t                   i, k;
    ngx_http_mark_server_t      *own, *extra, about;
    ngx_http_upstream_server_t  *server;

    server = us->servers ? us->servers->elts : NULL;

    for (i = 0; server && i < us->servers->nelts; i++) {
        extra = ngx_http_mark_pool_extra(pool, &server[i].name);

        ngx_memzero(&about, sizeof(ngx_http_mark_server_t));

        if (extra) {
            about = *extra;
        }

        if (extra == NULL || about.weight == NGX_CONF_UNSET_UINT) {
            about.weight = server[i].weight;
        }

        if (about.concurrency == 0) {
            about.concurrency = server[i].max_conns;
        }

        about.name = server[i].name;
        about.name.len = ngx_min(about.name.len, NGX_HTTP_MARK_NAME_LEN);
        about.state = NGX_HTTP_MARK_SLOT_READY;
        about.backup |= server[i].backup;
        about.down |= server[i].down;
        about.steady = (server[i].max_fails == 0);

        if (ngx_http_mark_names_server(cf, pool, &about, &server[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        /* a name without an address yet stands there as well */

        for (k = 0; k < server[i].naddrs; k++) {

            own = ngx_array_push(&pool->servers);
            if (own == NULL) {
                return NGX_ERROR;
            }

            *own = about;

            if (server[i].addrs != &ngx_http_mark_nowhere) {
                own->sockaddr = server[i].addrs[k].sockaddr;
                own->socklen = server[i].addrs[k].socklen;
            }
        }
    }

    if (pool->servers.nelts > pool->nslots) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "upstream \"%V\" has %ui servers, and its "
                      "\"mark_balance\" room for %ui: add slots=%ui in %s:%ui",
                      &pool->name, pool->servers.nelts, pool->nslots,
                      2 * pool->servers.nelts, us->file_name, us->line);
        return NGX_ERROR;
    }

    return NGX_OK;
}
