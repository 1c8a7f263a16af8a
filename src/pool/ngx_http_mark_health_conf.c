
/* mark_health: what it says, and what it wants. */


#include "ngx_http_mark_health.h"


static ngx_int_t ngx_http_mark_health_option(ngx_http_mark_health_t *health,
    ngx_str_t *option);
static ngx_int_t ngx_http_mark_health_flag(ngx_str_t *value);
static ngx_int_t ngx_http_mark_health_match(ngx_http_mark_health_t *health,
    ngx_str_t *value);
static ngx_int_t ngx_http_mark_health_text(ngx_str_t *value);
static ngx_int_t ngx_http_mark_health_ssl(ngx_conf_t *cf,
    ngx_http_mark_health_t *health);


/* mark_health uri=PATH [interval=] [timeout=] [fails=] [passes=] ... */

char *
ngx_http_mark_health(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_mark_srv_conf_t *mscf = conf;

    ngx_str_t               *value;
    ngx_uint_t               i;
    ngx_http_mark_health_t  *health;

    if (mscf->pool->health) {
        return "is duplicate";
    }

    health = ngx_pcalloc(cf->pool, sizeof(ngx_http_mark_health_t));
    if (health == NULL) {
        return NGX_CONF_ERROR;
    }

    health->pool = mscf->pool;
    health->file = cf->conf_file->file.name.data;
    health->line = cf->conf_file->line;
    health->interval = 2000;
    health->timeout = 1000;
    health->fails = 2;
    health->passes = 1;
    health->first = 200;
    health->last = 399;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        if (ngx_http_mark_health_option(health, &value[i]) != NGX_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" in \"mark_health\", "
                               "there are uri=/PATH, interval=TIME, "
                               "timeout=TIME, fails=N, passes=N, port=N, "
                               "host=NAME, match=STATUS or match=FROM-TO, "
                               "ssl=on, ssl_verify=on and "
                               "trusted_certificate=FILE", &value[i]);
            return NGX_CONF_ERROR;
        }
    }

    if (health->uri.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"mark_health\" needs the path that servers are "
                           "asked for, such as uri=/v2/health/ready");
        return NGX_CONF_ERROR;
    }

    if ((health->verify || health->trusted.len) && !health->tls) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"ssl_verify\" and \"trusted_certificate\" of "
                           "\"mark_health\" mean nothing without ssl=on");
        return NGX_CONF_ERROR;
    }

    if (health->verify && health->trusted.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"mark_health\" with ssl_verify=on needs "
                           "trusted_certificate=FILE");
        return NGX_CONF_ERROR;
    }

    if (health->tls && ngx_http_mark_health_ssl(cf, health) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    mscf->pool->health = health;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_mark_health_option(ngx_http_mark_health_t *health, ngx_str_t *option)
{
    u_char     *p;
    ngx_int_t   n;
    ngx_str_t   name, value;

    p = (u_char *) ngx_strchr(option->data, '=');

    if (p == NULL) {
        return NGX_ERROR;
    }

    name.data = option->data;
    name.len = p - option->data;
    value.data = p + 1;
    value.len = option->data + option->len - value.data;

#define ngx_http_mark_health_is(text)                                         \
    (name.len == sizeof(text) - 1                                             \
     && ngx_strncmp(name.data, text, sizeof(text) - 1) == 0)

    if (ngx_http_mark_health_is("uri")) {
        health->uri = value;
        return value.len && value.data[0] == '/'
               ? ngx_http_mark_health_text(&value) : NGX_ERROR;
    }

    if (ngx_http_mark_health_is("host")) {
        health->host = value;
        return value.len ? ngx_http_mark_health_text(&value) : NGX_ERROR;
    }

    if (ngx_http_mark_health_is("match")) {
        return ngx_http_mark_health_match(health, &value);
    }

    if (ngx_http_mark_health_is("trusted_certificate")) {
        health->trusted = value;
        return value.len ? NGX_OK : NGX_ERROR;
    }

    if (ngx_http_mark_health_is("ssl")) {
        n = ngx_http_mark_health_flag(&value);
        health->tls = (n == 1);
        return n == NGX_ERROR ? NGX_ERROR : NGX_OK;
    }

    if (ngx_http_mark_health_is("ssl_verify")) {
        n = ngx_http_mark_health_flag(&value);
        health->verify = (n == 1);
        return n == NGX_ERROR ? NGX_ERROR : NGX_OK;
    }

    if (ngx_http_mark_health_is("interval")) {
        n = ngx_parse_time(&value, 0);
        health->interval = n;
        return n == NGX_ERROR || n == 0 ? NGX_ERROR : NGX_OK;
    }

    if (ngx_http_mark_health_is("timeout")) {
        n = ngx_parse_time(&value, 0);
        health->timeout = n;
        return n == NGX_ERROR || n == 0 ? NGX_ERROR : NGX_OK;
    }

    n = ngx_atoi(value.data, value.len);

    if (n < 1) {
        return NGX_ERROR;
    }

    if (ngx_http_mark_health_is("fails")) {
        health->fails = n;
        return NGX_OK;
    }

    if (ngx_http_mark_health_is("passes")) {
        health->passes = n;
        return NGX_OK;
    }

    if (ngx_http_mark_health_is("port") && n <= 65535) {
        health->port = n;
        return NGX_OK;
    }

#undef ngx_http_mark_health_is

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_mark_health_flag(ngx_str_t *value)
{
    if (value->len == 2 && ngx_strncmp(value->data, "on", 2) == 0) {
        return 1;
    }

    if (value->len == 3 && ngx_strncmp(value->data, "off", 3) == 0) {
        return 0;
    }

    return NGX_ERROR;
}


/* 200 or 200-399 */

static ngx_int_t
ngx_http_mark_health_match(ngx_http_mark_health_t *health, ngx_str_t *value)
{
    ngx_int_t  first, last;

    if (value->len != 3 && !(value->len == 7 && value->data[3] == '-')) {
        return NGX_ERROR;
    }

    first = ngx_atoi(value->data, 3);
    last = value->len == 3 ? first : ngx_atoi(&value->data[4], 3);

    if (first < 200 || last > 599 || first > last) {
        return NGX_ERROR;
    }

    health->first = first;
    health->last = last;

    return NGX_OK;
}


/* It goes into the head of a request as it is. */

static ngx_int_t
ngx_http_mark_health_text(ngx_str_t *value)
{
    size_t  i;

    for (i = 0; i < value->len; i++) {
        if (value->data[i] <= ' ' || value->data[i] == 0x7f) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


#if (NGX_HTTP_SSL)

static ngx_int_t
ngx_http_mark_health_ssl(ngx_conf_t *cf, ngx_http_mark_health_t *health)
{
    ngx_pool_cleanup_t  *cln;

    health->ssl = ngx_pcalloc(cf->pool, sizeof(ngx_ssl_t));
    if (health->ssl == NULL) {
        return NGX_ERROR;
    }

    health->ssl->log = cf->log;

    if (ngx_ssl_create(health->ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        ngx_ssl_cleanup_ctx(health->ssl);
        return NGX_ERROR;
    }

    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = health->ssl;

    if (health->trusted.len == 0) {
        return NGX_OK;
    }

    /* as deep as "proxy_ssl_verify_depth" is by default */

    if (ngx_ssl_trusted_certificate(cf, health->ssl, &health->trusted, 1)
        != NGX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "cannot use trusted_certificate=%V of "
                           "\"mark_health\"", &health->trusted);
        return NGX_ERROR;
    }

    return NGX_OK;
}

#else

static ngx_int_t
ngx_http_mark_health_ssl(ngx_conf_t *cf, ngx_http_mark_health_t *health)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"mark_health\" with ssl=on needs an nginx that was "
                       "built --with-http_ssl_module");
    return NGX_ERROR;
}

#endif
