
/*
 * What else stands in a batched location: refuses what cannot be right there,
 * with the line of mark_batch.
 */


#include "ngx_http_mark.h"
#include "ngx_http_mark_lambda.h"


/* Modules with an upstream that can be asked for a batch. */

#define NGX_HTTP_MARK_UPSTREAMS  4

static const char  *ngx_http_mark_upstreams[NGX_HTTP_MARK_UPSTREAMS] = {
    "proxy", "fastcgi", "uwsgi", "scgi"
};


static ngx_http_upstream_conf_t *ngx_http_mark_upstream(ngx_conf_t *cf,
    const char *name, ngx_uint_t any);
static char *ngx_http_mark_check_upstream(ngx_conf_t *cf,
    ngx_http_mark_loc_conf_t *conf, const char *name, ngx_uint_t any);


/* Called when the location has been merged, also by all other modules. */

char *
ngx_http_mark_check_location(ngx_conf_t *cf, ngx_http_mark_loc_conf_t *prev,
    ngx_http_mark_loc_conf_t *conf, ngx_http_core_loc_conf_t *clcf)
{
    ngx_uint_t                 i, known;
    ngx_http_upstream_conf_t  *ucf;

    /* nested locations and "if" blocks inherit it */

    if (conf->file && clcf->handler == NULL && clcf->locations == NULL
        && !clcf->noname)
    {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"mark_batch\" has nothing to batch for: location "
                      "\"%V\" has no \"proxy_pass\" or other handler of its "
                      "own in %s:%ui",
                      &clcf->name, conf->file, conf->line);
    }

    if (conf->file == NULL) {
        conf->file = prev->file;
        conf->line = prev->line;
    }

    if (ngx_http_mark_upstream(cf, "grpc", 0)) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"grpc_pass\" takes frames of gRPC, which cannot be "
                      "batched: pass location \"%V\" to an HTTP port of the "
                      "server, or turn off \"mark_batch\" in %s:%ui",
                      &conf->location, conf->file, conf->line);
        return NGX_CONF_ERROR;
    }

    /*
     * Where the upstream is a variable, or the handler is not known here, any
     * of them may be the one that runs.
     */

    known = (clcf->handler == NULL);

    for (i = 0; i < NGX_HTTP_MARK_UPSTREAMS; i++) {
        ucf = ngx_http_mark_upstream(cf, ngx_http_mark_upstreams[i], 0);

        if (ucf) {
            conf->upstream = ucf->upstream;
            known = 1;
        }
    }

    if (conf->lambda) {
        conf->upstream = conf->lambda->upstream.upstream;
        known = 1;
    }

    for (i = 0; i < NGX_HTTP_MARK_UPSTREAMS; i++) {
        if (ngx_http_mark_check_upstream(cf, conf, ngx_http_mark_upstreams[i],
                                         !known)
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/*
 * The location's configuration in the upstream module of this name, if it
 * passes to an upstream by it, or in any case.
 */

static ngx_http_upstream_conf_t *
ngx_http_mark_upstream(ngx_conf_t *cf, const char *name, ngx_uint_t any)
{
    void                     **loc_conf;
    u_char                     full[32];
    ngx_uint_t                 i;
    ngx_module_t              *module;
    ngx_http_upstream_conf_t  *ucf;

    ngx_sprintf(full, "ngx_http_%s_module%Z", name);

    loc_conf = ((ngx_http_conf_ctx_t *) cf->ctx)->loc_conf;

    for (i = 0; cf->cycle->modules[i]; i++) {
        module = cf->cycle->modules[i];

        if (module->type != NGX_HTTP_MODULE
            || ngx_strcmp(module->name, full) != 0)
        {
            continue;
        }

        /* it begins with that of the upstream */

        ucf = loc_conf[module->ctx_index];

        return (ucf && (ucf->upstream || any)) ? ucf : NULL;
    }

    return NULL;
}


static char *
ngx_http_mark_check_upstream(ngx_conf_t *cf, ngx_http_mark_loc_conf_t *conf,
    const char *name, ngx_uint_t any)
{
    ngx_http_upstream_conf_t  *ucf;

    ucf = ngx_http_mark_upstream(cf, name, any);

    if (ucf == NULL) {
        return NGX_CONF_OK;
    }

    if (ucf->store > 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"%s_store\" would store the answer to a whole batch: "
                      "turn it off in location \"%V\", or \"mark_batch\" in "
                      "%s:%ui",
                      name, &conf->location, conf->file, conf->line);
        return NGX_CONF_ERROR;
    }

#if (NGX_HTTP_CACHE)
    if (ucf->cache > 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"%s_cache\" would give the answer to one batch to "
                      "another one: turn it off in location \"%V\", or "
                      "\"mark_batch\" in %s:%ui",
                      name, &conf->location, conf->file, conf->line);
        return NGX_CONF_ERROR;
    }
#endif

    return NGX_CONF_OK;
}
