
/* The functions that mark_lambda names, and the paths of their invocations. */


#include "ngx_http_mark_lambda.h"


static char *ngx_http_mark_lambda_function(ngx_conf_t *cf,
    ngx_http_mark_lambda_conf_t *lcf, ngx_str_t *value);
static char *ngx_http_mark_lambda_uri(ngx_conf_t *cf, ngx_str_t *uri,
    ngx_str_t *name, ngx_str_t *qualifier);


char *
ngx_http_mark_lambda_functions(ngx_conf_t *cf,
    ngx_http_mark_lambda_conf_t *lcf, ngx_str_t *function, ngx_uint_t n,
    ngx_str_t *qualifier, ngx_str_t *memory)
{
    char        *rv;
    ngx_int_t    mb;
    ngx_uint_t   i;

    for (i = 0; i < n; i++) {

        rv = ngx_http_mark_lambda_function(cf, lcf, &function[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }

        if (n > 1 && lcf->functions[i].memory == 0) {
            return ngx_http_mark_lambda_bad(cf, "with several functions each "
                        "needs its memory: \"function=NAME:MB\"");
        }

        if (i && lcf->functions[i].memory <= lcf->functions[i - 1].memory) {
            return ngx_http_mark_lambda_bad(cf, "functions are in order, the "
                        "one with the least memory first");
        }

        rv = ngx_http_mark_lambda_uri(cf, &lcf->uris[i], &lcf->names[i],
                                      qualifier);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    if (lcf->nfunctions == 0) {
        lcf->nfunctions = 1;
        lcf->names[0] = lcf->endpoint;
    }

    if (memory->len) {
        mb = ngx_atoi(memory->data, memory->len);

        if (mb == NGX_ERROR || mb == 0 || lcf->functions[0].memory) {
            return ngx_http_mark_lambda_bad(cf, "\"memory\" is a number of "
                        "MB, and \"function=NAME:MB\" is another way to say "
                        "it");
        }

        lcf->functions[0].memory = mb;
    }

    return NGX_CONF_OK;
}


/* NAME, NAME:MB, NAME:ALIAS, or an ARN, which may end in digits of its own. */

static char *
ngx_http_mark_lambda_function(ngx_conf_t *cf, ngx_http_mark_lambda_conf_t *lcf,
    ngx_str_t *value)
{
    u_char     *p, *last;
    ngx_int_t   memory;
    ngx_str_t  *name;

    name = &lcf->names[lcf->nfunctions];
    *name = *value;

    last = value->data + value->len;
    p = ngx_strlchr(value->data, last, ':');

    if (p && ngx_strlchr(p + 1, last, ':') == NULL) {
        memory = ngx_atoi(p + 1, last - p - 1);

        if (memory != NGX_ERROR) {
            name->len = p - name->data;

            if (memory < 128 || memory > 10240) {
                return ngx_http_mark_lambda_bad(cf, "a function has between "
                        "128 and 10240 MB; a version goes into "
                        "\"qualifier=\"");
            }

            lcf->functions[lcf->nfunctions].memory = memory;
        }
    }

    if (name->len == 0) {
        return ngx_http_mark_lambda_bad(cf, "\"function=\" needs a name");
    }

    lcf->nfunctions++;

    return NGX_CONF_OK;
}


static char *
ngx_http_mark_lambda_uri(ngx_conf_t *cf, ngx_str_t *uri, ngx_str_t *name,
    ngx_str_t *qualifier)
{
    u_char     *p;
    size_t      len;
    uintptr_t   n, q;

    n = ngx_escape_uri(NULL, name->data, name->len,
                       NGX_ESCAPE_URI_COMPONENT);
    q = ngx_escape_uri(NULL, qualifier->data, qualifier->len,
                       NGX_ESCAPE_URI_COMPONENT);

    len = sizeof("/2015-03-31/functions//invocations?Qualifier=") - 1
          + name->len + 2 * n + qualifier->len + 2 * q;

    uri->data = ngx_pnalloc(cf->pool, len);
    if (uri->data == NULL) {
        return NGX_CONF_ERROR;
    }

    p = ngx_cpymem(uri->data, "/2015-03-31/functions/",
                   sizeof("/2015-03-31/functions/") - 1);
    p = (u_char *) ngx_escape_uri(p, name->data, name->len,
                                  NGX_ESCAPE_URI_COMPONENT);
    p = ngx_cpymem(p, "/invocations", sizeof("/invocations") - 1);

    if (qualifier->len) {
        p = ngx_cpymem(p, "?Qualifier=", sizeof("?Qualifier=") - 1);
        p = (u_char *) ngx_escape_uri(p, qualifier->data, qualifier->len,
                                      NGX_ESCAPE_URI_COMPONENT);
    }

    uri->len = p - uri->data;

    return NGX_CONF_OK;
}
