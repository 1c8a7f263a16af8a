
/* mark_overflow: the directive, and the location that it names. */


#include "ngx_http_mark_overflow.h"

#include <math.h>


static char *ngx_http_mark_overflow_option(ngx_conf_t *cf,
    ngx_http_mark_overflow_t *overflow, ngx_str_t *option);
static ngx_int_t ngx_http_mark_overflow_number(ngx_str_t *value,
    double *number);


/*
 * mark_overflow @name [requests_per_second=N] [concurrency=N]
 * [cost_per_hour=DOLLARS] [request_cost=DOLLARS] [armed=on|off]
 */

char *
ngx_http_mark_overflow(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_mark_loc_conf_t *mlcf = conf;

    ngx_str_t                 *value;
    ngx_uint_t                 i;
    ngx_http_mark_overflow_t  *overflow;

    if (mlcf->overflow != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len < 2 || value[1].data[0] != '@') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid location \"%V\" in \"mark_overflow\", it "
                           "is a named one: @name", &value[1]);
        return NGX_CONF_ERROR;
    }

    overflow = ngx_pcalloc(cf->pool, sizeof(ngx_http_mark_overflow_t));
    if (overflow == NULL) {
        return NGX_CONF_ERROR;
    }

    overflow->name = value[1];
    overflow->rate = INFINITY;
    overflow->concurrency = INFINITY;
    overflow->cost = INFINITY;
    overflow->armed = 1;
    overflow->server = ngx_http_conf_get_module_srv_conf(cf,
                                                    ngx_http_core_module);
    overflow->file = cf->conf_file->file.name.data;
    overflow->line = cf->conf_file->line;

    for (i = 2; i < cf->args->nelts; i++) {
        if (ngx_http_mark_overflow_option(cf, overflow, &value[i])
            != NGX_CONF_OK)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" in "
                               "\"mark_overflow\", there are "
                               "requests_per_second=N, concurrency=N, "
                               "cost_per_hour=DOLLARS, request_cost=DOLLARS "
                               "and armed=on|off", &value[i]);
            return NGX_CONF_ERROR;
        }
    }

    mlcf->overflow = overflow;

    return NGX_CONF_OK;
}


static char *
ngx_http_mark_overflow_option(ngx_conf_t *cf,
    ngx_http_mark_overflow_t *overflow, ngx_str_t *option)
{
    double      cost;
    u_char     *p;
    ngx_str_t   name, value;

    p = (u_char *) ngx_strchr(option->data, '=');

    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    name.data = option->data;
    name.len = p - option->data;
    value.data = p + 1;
    value.len = option->data + option->len - value.data;

    if (name.len == 5 && ngx_strncmp(name.data, "armed", 5) == 0) {

        if (ngx_strcmp(value.data, "on") == 0) {
            overflow->armed = 1;
            return NGX_CONF_OK;
        }

        if (ngx_strcmp(value.data, "off") == 0) {
            overflow->armed = 0;
            return NGX_CONF_OK;
        }

        return NGX_CONF_ERROR;
    }

    if (name.len == 12 && ngx_strncmp(name.data, "request_cost", 12) == 0) {

        if (ngx_http_mark_overflow_number(&value, &cost) != NGX_OK
            || cost > 1e6)
        {
            return NGX_CONF_ERROR;
        }

        overflow->request_cost = (uint64_t) (cost * 1e9 + 0.5);
        return NGX_CONF_OK;
    }

    if (name.len == 19
        && ngx_strncmp(name.data, "requests_per_second", 19) == 0)
    {
        return ngx_http_mark_overflow_number(&value, &overflow->rate) == NGX_OK
               ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    if (name.len == 11 && ngx_strncmp(name.data, "concurrency", 11) == 0) {
        return ngx_http_mark_overflow_number(&value, &overflow->concurrency)
               == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    if (name.len == 13 && ngx_strncmp(name.data, "cost_per_hour", 13) == 0) {
        return ngx_http_mark_overflow_number(&value, &overflow->cost) == NGX_OK
               ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    return NGX_CONF_ERROR;
}


/* A decimal number, without sign and exponent. */

static ngx_int_t
ngx_http_mark_overflow_number(ngx_str_t *value, double *number)
{
    char        *end;

    if (value->len == 0
        || (value->data[0] != '.'
            && (value->data[0] < '0' || value->data[0] > '9'))
        || ngx_strlchr(value->data, value->data + value->len, 'x'))
    {
        return NGX_ERROR;
    }

    *number = strtod((char *) value->data, &end);

    return (end == (char *) value->data + value->len && isfinite(*number))
           ? NGX_OK : NGX_ERROR;
}


/* When all servers have their locations. */

ngx_int_t
ngx_http_mark_overflow_bind(ngx_conf_t *cf, ngx_http_mark_main_conf_t *mmcf)
{
    ngx_uint_t                   i;
    ngx_http_core_loc_conf_t   **clcfp;
    ngx_http_mark_loc_conf_t   **mlcfp;
    ngx_http_mark_overflow_t    *overflow;

    mlcfp = mmcf->confs.elts;

    for (i = 0; i < mmcf->confs.nelts; i++) {
        overflow = mlcfp[i]->overflow;

        if (overflow == NULL || overflow->location) {
            continue;
        }

        for (clcfp = overflow->server->named_locations;
             clcfp && *clcfp;
             clcfp++)
        {
            if ((*clcfp)->name.len == overflow->name.len
                && ngx_strncmp((*clcfp)->name.data, overflow->name.data,
                               overflow->name.len)
                   == 0)
            {
                overflow->location = *clcfp;
                break;
            }
        }

        if (overflow->location == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"mark_overflow %V\": this server has no such "
                          "location in %s:%ui",
                          &overflow->name, overflow->file, overflow->line);
            return NGX_ERROR;
        }

        if (overflow->location->handler == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"mark_overflow %V\": this location has no "
                          "\"mark_lambda\", \"proxy_pass\" or the like in "
                          "%s:%ui",
                          &overflow->name, overflow->file, overflow->line);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}
