
/* The configuration: its defaults, its merging, and directives of its own. */


#include "ngx_http_mark.h"
#include "ngx_http_mark_lambda.h"
#include "ngx_http_mark_pool.h"


static char *ngx_http_mark_add_location(ngx_conf_t *cf,
    ngx_http_mark_loc_conf_t *conf);


void *
ngx_http_mark_create_main_conf(ngx_conf_t *cf)
{
    ngx_pool_cleanup_t         *cln;
    ngx_http_mark_main_conf_t  *mmcf;

    mmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_mark_main_conf_t));
    if (mmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&mmcf->confs, cf->pool, 4,
                       sizeof(ngx_http_mark_loc_conf_t *))
        != NGX_OK
        || ngx_array_init(&mmcf->locations, cf->pool, 4,
                          sizeof(ngx_http_mark_loc_conf_t *))
           != NGX_OK
        || ngx_array_init(&mmcf->gates, cf->pool, 4,
                          sizeof(ngx_http_mark_gate_t *))
           != NGX_OK
        || ngx_array_init(&mmcf->pools, cf->pool, 4,
                          sizeof(ngx_http_mark_pool_t *))
           != NGX_OK)
    {
        return NULL;
    }

    mmcf->share = NGX_CONF_UNSET;

    ngx_http_mark_queues_init(mmcf);

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_mark_queues_destroy;
    cln->data = mmcf;

    return mmcf;
}


void *
ngx_http_mark_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_mark_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_mark_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    conf->codec = NGX_CONF_UNSET_PTR;
    conf->slo = NGX_CONF_UNSET_MSEC;
    conf->max_rows = NGX_CONF_UNSET_UINT;
    conf->max_bytes = NGX_CONF_UNSET_SIZE;
    conf->delay = NGX_CONF_UNSET_MSEC;
    conf->max_queue = NGX_CONF_UNSET_UINT;
    conf->timeout_action = NGX_CONF_UNSET_UINT;
    conf->hedge = NGX_CONF_UNSET_MSEC;
    conf->sizes = NGX_CONF_UNSET_PTR;
    conf->keys = NGX_CONF_UNSET_PTR;
    conf->ignored = NGX_CONF_UNSET_PTR;
    conf->overflow = NGX_CONF_UNSET_PTR;

    return conf;
}


char *
ngx_http_mark_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_mark_loc_conf_t *prev = parent;
    ngx_http_mark_loc_conf_t *conf = child;

    char                      *rv;
    ngx_uint_t                 i, *size;
    ngx_http_core_loc_conf_t  *clcf;
    ngx_http_core_srv_conf_t  *cscf;

    if (conf->codec == NGX_CONF_UNSET_PTR) {
        conf->codec = (prev->codec == NGX_CONF_UNSET_PTR) ? NULL : prev->codec;
        conf->codec_conf = prev->codec_conf;
    }

    if (conf->slo == NGX_CONF_UNSET_MSEC) {
        conf->slo = prev->slo;
        conf->slo_value = prev->slo_value;
        conf->slo_header = prev->slo_header;
    }

    ngx_conf_merge_uint_value(conf->max_rows, prev->max_rows, 32);
    ngx_conf_merge_size_value(conf->max_bytes, prev->max_bytes,
                              4 * 1024 * 1024);
    ngx_conf_merge_msec_value(conf->delay, prev->delay, NGX_HTTP_MARK_AUTO);
    ngx_conf_merge_uint_value(conf->max_queue, prev->max_queue, 0);
    ngx_conf_merge_uint_value(conf->timeout_action, prev->timeout_action,
                              NGX_HTTP_MARK_DELAY);
    ngx_conf_merge_msec_value(conf->hedge, prev->hedge, 0);
    ngx_conf_merge_ptr_value(conf->sizes, prev->sizes, NULL);
    ngx_conf_merge_ptr_value(conf->keys, prev->keys, NULL);

    ngx_conf_merge_ptr_value(conf->ignored, prev->ignored, NULL);
    ngx_conf_merge_ptr_value(conf->overflow, prev->overflow, NULL);

    if (ngx_http_mark_lambda_merge(cf, prev, conf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    if (conf->slo == NGX_CONF_UNSET_MSEC) {
        conf->slo = 0;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);

    /* "if" and "limit_except" have no name of their own */

    conf->server = cscf->server_name;
    conf->location = clcf->noname ? prev->location : clcf->name;

    if (conf->codec == NULL) {
        return NGX_CONF_OK;
    }

    if (conf->timeout_action == NGX_HTTP_MARK_OVERFLOW) {

        if (conf->overflow == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"mark_timeout_action overflow\" needs "
                          "\"mark_overflow\" in location \"%V\"; or let it "
                          "be \"reject\" or \"delay\" in %s:%ui",
                          &conf->location, conf->file, conf->line);
            return NGX_CONF_ERROR;
        }

        /* that is what becomes of those that cannot overflow */

        conf->timeout_action = NGX_HTTP_MARK_REJECT;
    }

    if (ngx_http_mark_ignored(cf, &conf->ignored_hash, conf->ignored,
                              &conf->slo_header)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    conf->policy.max_rows = conf->max_rows;
    conf->policy.nsizes = 0;

    size = conf->sizes ? conf->sizes->elts : NULL;

    for (i = 0; conf->sizes && i < conf->sizes->nelts; i++) {
        if (size[i] <= conf->max_rows) {
            conf->policy.sizes[conf->policy.nsizes++] = size[i];
        }
    }

    conf->policy.max_bytes = conf->max_bytes;
    conf->policy.delay = (conf->delay == NGX_HTTP_MARK_AUTO)
                         ? MARK_POLICY_AUTO : (uint64_t) conf->delay * 1000;

    rv = ngx_http_mark_check_location(cf, prev, conf, clcf);

    return rv == NGX_CONF_OK ? ngx_http_mark_add_location(cf, conf) : rv;
}


/* All configurations have counters; those of one name have them together. */

static char *
ngx_http_mark_add_location(ngx_conf_t *cf, ngx_http_mark_loc_conf_t *conf)
{
    ngx_uint_t                   i;
    ngx_http_mark_loc_conf_t   **mlcfp;
    ngx_http_mark_main_conf_t   *mmcf;

    mmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_mark_module);

    mlcfp = ngx_array_push(&mmcf->confs);
    if (mlcfp == NULL) {
        return NGX_CONF_ERROR;
    }

    *mlcfp = conf;

    mlcfp = mmcf->locations.elts;

    for (i = 0; i < mmcf->locations.nelts; i++) {
        if (mlcfp[i]->server.len == conf->server.len
            && mlcfp[i]->location.len == conf->location.len
            && ngx_strncmp(mlcfp[i]->server.data, conf->server.data,
                           conf->server.len) == 0
            && ngx_strncmp(mlcfp[i]->location.data, conf->location.data,
                           conf->location.len) == 0)
        {
            return NGX_CONF_OK;
        }
    }

    mlcfp = ngx_array_push(&mmcf->locations);
    if (mlcfp == NULL) {
        return NGX_CONF_ERROR;
    }

    *mlcfp = conf;

    return NGX_CONF_OK;
}


char *
ngx_http_mark_delay(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_mark_loc_conf_t *mlcf = conf;

    ngx_str_t  *value;

    if (mlcf->delay != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "auto") == 0) {
        mlcf->delay = NGX_HTTP_MARK_AUTO;
        return NGX_CONF_OK;
    }

    mlcf->delay = ngx_parse_time(&value[1], 0);

    if (mlcf->delay == (ngx_msec_t) NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"mark_max_queue_delay\", "
                           "it is \"auto\" or a time like \"5ms\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* mark_zone NAME SIZE */

char *
ngx_http_mark_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_mark_main_conf_t *mmcf = conf;

    ssize_t     size;
    ngx_str_t  *value;

    if (mmcf->zone_size) {
        return "is duplicate";
    }

    value = cf->args->elts;
    size = ngx_parse_size(&value[2]);

    if (size == NGX_ERROR || size < (ssize_t) (8 * ngx_pagesize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid size \"%V\" in \"mark_zone\", it is "
                           "%uzk or more", &value[2], 8 * ngx_pagesize / 1024);
        return NGX_CONF_ERROR;
    }

    mmcf->zone_name = value[1];
    mmcf->zone_size = size;

    return NGX_CONF_OK;
}


/* mark_preferred_batch_size */

char *
ngx_http_mark_preferred(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_mark_loc_conf_t *mlcf = conf;

    ngx_int_t    n, last;
    ngx_str_t   *value;
    ngx_uint_t   i, *size;

    if (mlcf->sizes != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    if (cf->args->nelts - 1 > MARK_POLICY_SIZES) {
        return "has too many sizes";
    }

    mlcf->sizes = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                   sizeof(ngx_uint_t));
    if (mlcf->sizes == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;
    last = 0;

    for (i = 1; i < cf->args->nelts; i++) {
        n = ngx_atoi(value[i].data, value[i].len);

        if (n == NGX_ERROR || n <= last) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid size \"%V\" in "
                               "\"mark_preferred_batch_size\", they are "
                               "numbers of rows, the smallest first",
                               &value[i]);
            return NGX_CONF_ERROR;
        }

        size = ngx_array_push(mlcf->sizes);
        *size = n;
        last = n;
    }

    return NGX_CONF_OK;
}
