
/*
 * The directive mark_lambda: its parameters, and what cannot be right about
 * them.
 */


#include "ngx_http_mark_lambda.h"


/* Its parameters, as they are written. */

typedef struct {
    ngx_str_t    function[MARK_FUNCTION_MAX];
    ngx_uint_t   nfunctions;
    ngx_str_t    region;
    ngx_str_t    qualifier;
    ngx_str_t    payload;
    ngx_str_t    endpoint;
    ngx_str_t    url;
    ngx_str_t    auth;
    ngx_str_t    host;
    ngx_str_t    credentials;
    ngx_str_t    profile;
    ngx_str_t    log_tail;
    ngx_str_t    connect_timeout;
    ngx_str_t    timeout;
    ngx_str_t    tries;
    ngx_str_t    intercept_errors;
    ngx_str_t    trusted_certificate;
    ngx_str_t    ssl_verify;
    ngx_str_t    memory;
    ngx_str_t    price_gb_second;
    ngx_str_t    price_request;
} ngx_http_mark_lambda_args_t;


typedef struct {
    ngx_str_t    name;
    ngx_uint_t   offset;
} ngx_http_mark_lambda_param_t;


static char *ngx_http_mark_lambda_args(ngx_conf_t *cf,
    ngx_http_mark_lambda_args_t *args);
static char *ngx_http_mark_lambda_combined(ngx_conf_t *cf,
    ngx_http_mark_lambda_args_t *args);
static char *ngx_http_mark_lambda_settings(ngx_conf_t *cf,
    ngx_http_mark_lambda_conf_t *lcf, ngx_http_mark_lambda_args_t *args);
static void ngx_http_mark_lambda_region(ngx_http_mark_lambda_args_t *args);
static char *ngx_http_mark_lambda_flag(ngx_conf_t *cf, ngx_str_t *value,
    const char *name, ngx_flag_t *flag);
static char *ngx_http_mark_lambda_time(ngx_conf_t *cf, ngx_str_t *value,
    const char *name, ngx_msec_t *msec);
static char *ngx_http_mark_lambda_price(ngx_conf_t *cf, ngx_str_t *value,
    const char *name, double *price);


#define ngx_http_mark_lambda_param(name)                                      \
    { ngx_string(#name "="), offsetof(ngx_http_mark_lambda_args_t, name) }


static ngx_http_mark_lambda_param_t  ngx_http_mark_lambda_params[] = {
    ngx_http_mark_lambda_param(region),
    ngx_http_mark_lambda_param(qualifier),
    ngx_http_mark_lambda_param(payload),
    ngx_http_mark_lambda_param(endpoint),
    ngx_http_mark_lambda_param(url),
    ngx_http_mark_lambda_param(auth),
    ngx_http_mark_lambda_param(host),
    ngx_http_mark_lambda_param(credentials),
    ngx_http_mark_lambda_param(profile),
    ngx_http_mark_lambda_param(log_tail),
    ngx_http_mark_lambda_param(connect_timeout),
    ngx_http_mark_lambda_param(timeout),
    ngx_http_mark_lambda_param(tries),
    ngx_http_mark_lambda_param(intercept_errors),
    ngx_http_mark_lambda_param(trusted_certificate),
    ngx_http_mark_lambda_param(ssl_verify),
    ngx_http_mark_lambda_param(memory),
    ngx_http_mark_lambda_param(price_gb_second),
    ngx_http_mark_lambda_param(price_request),
    { ngx_null_string, 0 }
};


/* mark_lambda function=NAME region=REGION ... */

char *
ngx_http_mark_lambda(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_mark_loc_conf_t *mlcf = conf;

    char                         *rv;
    ngx_http_core_loc_conf_t     *clcf;
    ngx_http_mark_lambda_args_t   args;
    ngx_http_mark_lambda_conf_t  *lcf;

    if (mlcf->lambda) {
        return "is duplicate";
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler) {
        return ngx_http_mark_lambda_bad(cf, "the location has a handler "
                      "already: remove its \"proxy_pass\" or the like");
    }

    lcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_mark_lambda_conf_t));
    if (lcf == NULL) {
        return NGX_CONF_ERROR;
    }

    lcf->file = cf->conf_file->file.name.data;
    lcf->line = cf->conf_file->line;

    ngx_memzero(&args, sizeof(ngx_http_mark_lambda_args_t));

    rv = ngx_http_mark_lambda_args(cf, &args);

    if (rv == NGX_CONF_OK) {
        ngx_http_mark_lambda_region(&args);
        rv = ngx_http_mark_lambda_combined(cf, &args);
    }

    if (rv == NGX_CONF_OK) {
        rv = ngx_http_mark_lambda_settings(cf, lcf, &args);
    }

    if (rv == NGX_CONF_OK) {
        rv = ngx_http_mark_lambda_functions(cf, lcf, args.function,
                                            args.nfunctions,
                                            &args.qualifier, &args.memory);
    }

    if (rv == NGX_CONF_OK) {
        rv = ngx_http_mark_lambda_endpoint(cf, lcf);
    }

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (args.auth.len == 0) {
        lcf->credentials = ngx_http_mark_credentials_create(cf,
                                             &args.credentials, &args.profile);
        if (lcf->credentials == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    mlcf->lambda = lcf;
    clcf->handler = ngx_http_mark_lambda_handler;

    return NGX_CONF_OK;
}


static char *
ngx_http_mark_lambda_args(ngx_conf_t *cf, ngx_http_mark_lambda_args_t *args)
{
    ngx_str_t                     *value, *arg;
    ngx_uint_t                     i;
    ngx_http_mark_lambda_param_t  *param;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "function=", 9) == 0) {

            if (args->nfunctions == MARK_FUNCTION_MAX) {
                return ngx_http_mark_lambda_bad(cf, "has too many functions");
            }

            arg = &args->function[args->nfunctions++];
            arg->data = value[i].data + 9;
            arg->len = value[i].len - 9;

            continue;
        }

        for (param = ngx_http_mark_lambda_params; param->name.len; param++) {
            if (ngx_strncmp(value[i].data, param->name.data, param->name.len)
                == 0)
            {
                break;
            }
        }

        if (param->name.len == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "unknown parameter \"%V\" in \"mark_lambda\"",
                               &value[i]);
            return NGX_CONF_ERROR;
        }

        arg = (ngx_str_t *) ((u_char *) args + param->offset);

        if (arg->data || value[i].len == param->name.len) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "parameter \"%V\" of \"mark_lambda\" is %s",
                               &param->name,
                               arg->data ? "duplicate" : "empty");
            return NGX_CONF_ERROR;
        }

        arg->data = value[i].data + param->name.len;
        arg->len = value[i].len - param->name.len;
    }

    return NGX_CONF_OK;
}


/* An ARN has its region, and the host of a function URL as well. */

static void
ngx_http_mark_lambda_region(ngx_http_mark_lambda_args_t *args)
{
    u_char      *p, *last;
    ngx_uint_t   i;

    if (args->region.len) {
        return;
    }

    if (args->nfunctions && args->function[0].len > 4
        && ngx_strncmp(args->function[0].data, "arn:", 4) == 0)
    {
        p = args->function[0].data;
        last = p + args->function[0].len;

        for (i = 0; i < 3 && p; i++) {
            p = ngx_strlchr(p, last, ':');
            p = p ? p + 1 : NULL;
        }

        args->region.data = p;
        p = p ? ngx_strlchr(p, last, ':') : NULL;

    } else if (args->url.len) {
        p = (u_char *) ngx_strstr(args->url.data, ".lambda-url.");
        args->region.data = p ? p + 12 : NULL;
        p = p ? (u_char *) ngx_strchr(p + 12, '.') : NULL;

    } else {
        return;
    }

    args->region.len = p ? (size_t) (p - args->region.data) : 0;
}


static char *
ngx_http_mark_lambda_combined(ngx_conf_t *cf,
    ngx_http_mark_lambda_args_t *args)
{
    if (args->auth.len && ngx_strcmp(args->auth.data, "none") != 0) {
        return ngx_http_mark_lambda_bad(cf, "\"auth\" can be \"none\" only");
    }

    if (args->url.len) {

        if (args->nfunctions || args->endpoint.len || args->qualifier.len
            || args->payload.len || args->log_tail.len)
        {
            return ngx_http_mark_lambda_bad(cf, "a function URL takes "
                      "requests as they are: with \"url\" there is no "
                      "\"function\", \"endpoint\", \"qualifier\", "
                      "\"payload\" or \"log_tail\"");
        }

    } else if (args->nfunctions == 0) {
        return ngx_http_mark_lambda_bad(cf, "needs \"function=NAME\", or "
                                        "\"url=\" for a function URL");

    } else if (args->auth.len) {
        return ngx_http_mark_lambda_bad(cf, "\"auth=none\" is for a function "
                                "URL: the Invoke API takes signed requests");
    }

    if (args->region.len == 0 && args->auth.len == 0) {
        return ngx_http_mark_lambda_bad(cf, "needs \"region=REGION\", such "
                                        "as \"region=eu-central-1\"");
    }

    if (args->auth.len && (args->credentials.len || args->profile.len)) {
        return ngx_http_mark_lambda_bad(cf, "with \"auth=none\" nothing is "
                        "signed: remove \"credentials\" and \"profile\"");
    }

    if (args->memory.len && args->nfunctions > 1) {
        return ngx_http_mark_lambda_bad(cf, "with several functions each has "
                        "its own memory: \"function=NAME:MB\"");
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_mark_lambda_settings(ngx_conf_t *cf, ngx_http_mark_lambda_conf_t *lcf,
    ngx_http_mark_lambda_args_t *args)
{
    ngx_int_t                  tries;
    ngx_flag_t                 log_tail, verify;
    ngx_http_upstream_conf_t  *ucf;

    ucf = &lcf->upstream;

    lcf->region = args->region;
    lcf->host = args->host;
    lcf->host_set = (args->host.len != 0);
    lcf->url = (args->url.len != 0);
    lcf->endpoint = lcf->url ? args->url : args->endpoint;

    if (args->payload.len == 0
        || ngx_strcmp(args->payload.data, "raw") == 0)
    {
        lcf->event = 0;

    } else if (ngx_strcmp(args->payload.data, "event") == 0) {
        lcf->event = 1;

    } else {
        return ngx_http_mark_lambda_bad(cf, "\"payload\" is \"raw\" or "
                                            "\"event\"");
    }

    /* Lambda itself has a limit of 15 minutes, but few clients have */

    ucf->connect_timeout = 3000;
    ucf->send_timeout = 10000;
    ucf->read_timeout = 60000;
    ucf->buffer_size = 16384;
    ucf->request_buffering = 1;
    ucf->pass_request_headers = 1;
    ucf->pass_request_body = 1;
    ucf->hide_headers = NGX_CONF_UNSET_PTR;
    ucf->pass_headers = NGX_CONF_UNSET_PTR;
    ngx_str_set(&ucf->module, "mark_lambda");

    lcf->price.gb_second = 0.0000166667;
    lcf->price.request = 0.0000002;

    log_tail = 0;
    verify = 1;

    if (ngx_http_mark_lambda_time(cf, &args->connect_timeout,
                                  "connect_timeout", &ucf->connect_timeout)
        != NGX_CONF_OK
        || ngx_http_mark_lambda_time(cf, &args->timeout, "timeout",
                                     &ucf->read_timeout)
           != NGX_CONF_OK
        || ngx_http_mark_lambda_flag(cf, &args->log_tail, "log_tail",
                                     &log_tail)
           != NGX_CONF_OK
        || ngx_http_mark_lambda_flag(cf, &args->intercept_errors,
                                     "intercept_errors",
                                     &ucf->intercept_errors)
           != NGX_CONF_OK
        || ngx_http_mark_lambda_flag(cf, &args->ssl_verify, "ssl_verify",
                                     &verify)
           != NGX_CONF_OK
        || ngx_http_mark_lambda_price(cf, &args->price_gb_second,
                                      "price_gb_second",
                                      &lcf->price.gb_second)
           != NGX_CONF_OK
        || ngx_http_mark_lambda_price(cf, &args->price_request,
                                      "price_request", &lcf->price.request)
           != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    lcf->log_tail = log_tail;

#if (NGX_HTTP_SSL)
    ucf->ssl_verify = verify;
#endif

    if (args->trusted_certificate.len && !verify) {
        return ngx_http_mark_lambda_bad(cf, "\"trusted_certificate\" with "
                                        "\"ssl_verify=off\" trusts anybody");
    }

    lcf->trusted = args->trusted_certificate;

    if (args->tries.len) {
        tries = ngx_atoi(args->tries.data, args->tries.len);

        if (tries == NGX_ERROR || tries == 0) {
            return ngx_http_mark_lambda_bad(cf, "\"tries\" is a number of "
                                                "servers, at least 1");
        }

        ucf->next_upstream_tries = tries;
    }

    /*
     * An invocation costs: it is sent to another server if this one could not
     * be reached.  Once it was sent it is only sent again where the server
     * had closed a kept connection before.
     */

    ucf->next_upstream = NGX_HTTP_UPSTREAM_FT_ERROR
                         |NGX_HTTP_UPSTREAM_FT_TIMEOUT;

    return NGX_CONF_OK;
}


static char *
ngx_http_mark_lambda_flag(ngx_conf_t *cf, ngx_str_t *value, const char *name,
    ngx_flag_t *flag)
{
    if (value->len == 0) {
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value->data, "on") == 0) {
        *flag = 1;

    } else if (ngx_strcmp(value->data, "off") == 0) {
        *flag = 0;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"mark_lambda\": \"%s\" "
                           "is \"on\" or \"off\"", value, name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_mark_lambda_time(ngx_conf_t *cf, ngx_str_t *value, const char *name,
    ngx_msec_t *msec)
{
    ngx_int_t  n;

    if (value->len == 0) {
        return NGX_CONF_OK;
    }

    n = ngx_parse_time(value, 0);

    if (n == NGX_ERROR || n == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"mark_lambda\": \"%s\" "
                           "is a time like \"30s\"", value, name);
        return NGX_CONF_ERROR;
    }

    *msec = n;

    return NGX_CONF_OK;
}


/* US dollars; ngx_atofp() would have no room for so small a number. */

static char *
ngx_http_mark_lambda_price(ngx_conf_t *cf, ngx_str_t *value, const char *name,
    double *price)
{
    char    *end;
    double   n;

    if (value->len == 0) {
        return NGX_CONF_OK;
    }

    n = strtod((char *) value->data, &end);

    if (*end != '\0' || !(n >= 0 && n < 1000)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"mark_lambda\": \"%s\" "
                           "is a price in US dollars", value, name);
        return NGX_CONF_ERROR;
    }

    *price = n;

    return NGX_CONF_OK;
}


/* What is wrong with the directive; its value is NGX_CONF_ERROR. */

char *
ngx_http_mark_lambda_bad(ngx_conf_t *cf, const char *text)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"mark_lambda\": %s", text);

    return NGX_CONF_ERROR;
}


/* When all other modules have merged the location's handler, too. */

char *
ngx_http_mark_lambda_merge(ngx_conf_t *cf, ngx_http_mark_loc_conf_t *prev,
    ngx_http_mark_loc_conf_t *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->lambda) {

        if (clcf->handler != ngx_http_mark_lambda_handler) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "location \"%V\" has another handler beside "
                          "\"mark_lambda\": remove its \"proxy_pass\" or the "
                          "like, or \"mark_lambda\" in %s:%ui",
                          &clcf->name, conf->lambda->file,
                          conf->lambda->line);
            return NGX_CONF_ERROR;
        }

        return ngx_http_mark_lambda_tls(cf, conf->lambda);
    }

    /* as it is with proxy_pass: "if" and "limit_except" are no locations */

    if (clcf->noname) {
        conf->lambda = prev->lambda;

        if (clcf->lmt_excpt && clcf->handler == NULL && conf->lambda) {
            clcf->handler = ngx_http_mark_lambda_handler;
        }
    }

    return NGX_CONF_OK;
}
