
/* One name is resolved once: see ngx_http_mark_resolve.h. */


#include "ngx_http_mark_resolve.h"


static void ngx_http_mark_resolve_handler(ngx_resolver_ctx_t *ctx);
static ngx_int_t ngx_http_mark_resolve_copy(ngx_http_mark_resolve_t *rs,
    ngx_resolver_ctx_t *ctx);


void
ngx_http_mark_resolve(ngx_http_mark_resolve_t *rs)
{
    ngx_resolver_ctx_t  *ctx;

    rs->state = NGX_ERROR;
    rs->valid = 0;
    rs->addrs = NULL;
    rs->naddrs = 0;

    if (rs->pool->resolver == NULL || rs->host.len > NGX_HTTP_MARK_NAME_LEN) {
        rs->handler(rs);
        return;
    }

    ctx = ngx_resolve_start(rs->pool->resolver, NULL);

    if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
        rs->handler(rs);
        return;
    }

    /* the resolver writes to it */

    ngx_memcpy(rs->name, rs->host.data, rs->host.len);

    ctx->name.len = rs->host.len;
    ctx->name.data = rs->name;
    ctx->handler = ngx_http_mark_resolve_handler;
    ctx->data = rs;
    ctx->timeout = rs->pool->resolver_timeout;
    ctx->cancelable = 1;

    if (ngx_resolve_name(ctx) != NGX_OK) {
        rs->handler(rs);
    }
}


static void
ngx_http_mark_resolve_handler(ngx_resolver_ctx_t *ctx)
{
    ngx_addr_t               *addrs;
    ngx_http_mark_resolve_t  *rs;

    rs = ctx->data;

    rs->state = ctx->state;
    rs->valid = ctx->valid;

    if (rs->state == NGX_OK && ngx_http_mark_resolve_copy(rs, ctx) != NGX_OK) {
        rs->state = NGX_ERROR;
    }

    ngx_resolve_name_done(ctx);

    addrs = rs->addrs;

    rs->handler(rs);

    if (addrs) {
        ngx_free(addrs);
    }
}


/* The resolver's own may be shown to others as well, who want other ports. */

static ngx_int_t
ngx_http_mark_resolve_copy(ngx_http_mark_resolve_t *rs,
    ngx_resolver_ctx_t *ctx)
{
    ngx_uint_t       i;
    ngx_sockaddr_t  *sockaddrs;

    rs->addrs = ngx_calloc(ctx->naddrs * (sizeof(ngx_addr_t)
                                          + sizeof(ngx_sockaddr_t)),
                           rs->pool->log);
    if (rs->addrs == NULL) {
        return NGX_ERROR;
    }

    sockaddrs = (ngx_sockaddr_t *) &rs->addrs[ctx->naddrs];

    for (i = 0; i < ctx->naddrs; i++) {
        ngx_memcpy(&sockaddrs[i], ctx->addrs[i].sockaddr,
                   ctx->addrs[i].socklen);

        rs->addrs[i].sockaddr = &sockaddrs[i].sockaddr;
        rs->addrs[i].socklen = ctx->addrs[i].socklen;

        ngx_inet_set_port(rs->addrs[i].sockaddr, rs->port);
    }

    rs->naddrs = ctx->naddrs;

    return NGX_OK;
}
