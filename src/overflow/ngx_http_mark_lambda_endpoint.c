
/*
 * Where a function is: the endpoint of the Invoke API or a function URL, as
 * an upstream, with TLS.
 */


#include "ngx_http_mark_lambda.h"


static char *ngx_http_mark_lambda_default(ngx_conf_t *cf,
    ngx_http_mark_lambda_conf_t *lcf);
#if (NGX_HTTP_SSL)
static ngx_str_t *ngx_http_mark_lambda_bundle(void);
#endif


#if (NGX_HTTP_SSL)

/* Where systems have the certificates that they trust, in one file. */

static ngx_str_t  ngx_http_mark_lambda_bundles[] = {
    ngx_string("/etc/ssl/certs/ca-certificates.crt"),
    ngx_string("/etc/pki/tls/certs/ca-bundle.crt"),
    ngx_string("/etc/ssl/ca-bundle.pem"),
    ngx_string("/etc/ssl/cert.pem"),
    ngx_string("/usr/local/share/certs/ca-root-nss.crt"),
    ngx_null_string
};

#endif


char *
ngx_http_mark_lambda_endpoint(ngx_conf_t *cf, ngx_http_mark_lambda_conf_t *lcf)
{
    size_t      add;
    ngx_str_t  *url;
    ngx_url_t   u;
    ngx_uint_t  ssl;

    if (lcf->endpoint.len == 0
        && ngx_http_mark_lambda_default(cf, lcf) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    url = &lcf->endpoint;

    ngx_memzero(&u, sizeof(ngx_url_t));

    if (ngx_strncasecmp(url->data, (u_char *) "https://", 8) == 0) {
        add = 8;
        ssl = 1;
        u.default_port = 443;

    } else if (ngx_strncasecmp(url->data, (u_char *) "http://", 7) == 0) {
        add = 7;
        ssl = 0;
        u.default_port = 80;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" in \"mark_lambda\" must begin with "
                           "\"https://\" or \"http://\"", url);
        return NGX_CONF_ERROR;
    }

#if !(NGX_HTTP_SSL)
    if (ssl) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" in \"mark_lambda\" needs "
                           "ngx_http_ssl_module", url);
        return NGX_CONF_ERROR;
    }
#endif

    u.url.data = url->data + add;
    u.url.len = url->len - add;
    u.uri_part = 1;
    u.no_resolve = 1;

    /* names are resolved when it is known that no "upstream" has them */

    lcf->upstream.upstream = ngx_http_upstream_add(cf, &u, 0);

    if (lcf->upstream.upstream == NULL) {
        return NGX_CONF_ERROR;
    }

    if (u.uri.len > 1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" in \"mark_lambda\" must not have a path: "
                           "\"%V\"", url, &u.uri);
        return NGX_CONF_ERROR;
    }

    if (!lcf->host_set) {
        lcf->host.data = u.url.data;
        lcf->host.len = u.url.len - u.uri.len;
    }

#if (NGX_HTTP_SSL)

    if (ssl) {
        lcf->upstream.ssl = ngx_pcalloc(cf->pool, sizeof(ngx_ssl_t));
        if (lcf->upstream.ssl == NULL) {
            return NGX_CONF_ERROR;
        }

        lcf->upstream.ssl->log = cf->log;

    } else if (lcf->trusted.len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"trusted_certificate\" in \"mark_lambda\" is for "
                           "\"https\", and \"%V\" is not", url);
        return NGX_CONF_ERROR;
    }

#endif

    return NGX_CONF_OK;
}


static char *
ngx_http_mark_lambda_default(ngx_conf_t *cf, ngx_http_mark_lambda_conf_t *lcf)
{
    size_t  len;

    len = sizeof("https://lambda..amazonaws.com.cn") - 1 + lcf->region.len;

    /* ngx_url_t and all others count, but a zero ends it nevertheless */

    lcf->endpoint.data = ngx_pcalloc(cf->pool, len + 1);
    if (lcf->endpoint.data == NULL) {
        return NGX_CONF_ERROR;
    }

    lcf->endpoint.len = ngx_sprintf(lcf->endpoint.data,
                                    "https://lambda.%V.amazonaws.com%s",
                                    &lcf->region,
                                    ngx_strncmp(lcf->region.data, "cn-", 3)
                                    == 0 ? ".cn" : "")
                        - lcf->endpoint.data;

    return NGX_CONF_OK;
}


/*
 * When all upstreams are known: the name by which the server is called, which
 * is not that of an "upstream", and TLS with it.
 */

char *
ngx_http_mark_lambda_tls(ngx_conf_t *cf, ngx_http_mark_lambda_conf_t *lcf)
{
    ngx_str_t  name;

    if (lcf->upstream.upstream->srv_conf && !lcf->host_set) {

        if (lcf->url) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"mark_lambda\": \"%V\" is an \"upstream\", so "
                          "the name of the function URL is not known: say "
                          "\"host=NAME\" in %s:%ui",
                          &lcf->endpoint, lcf->file, lcf->line);
            return NGX_CONF_ERROR;
        }

        name = lcf->endpoint;

        if (ngx_http_mark_lambda_default(cf, lcf) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }

        lcf->host.data = lcf->endpoint.data + 8;
        lcf->host.len = lcf->endpoint.len - 8;
        lcf->endpoint = name;
    }

#if (NGX_HTTP_SSL)

    if (lcf->upstream.ssl) {
        ngx_str_t            ciphers, *trusted;
        ngx_ssl_t           *ssl;
        ngx_pool_cleanup_t  *cln;

        ssl = lcf->upstream.ssl;

        if (ngx_ssl_create(ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL)
            != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }

        cln = ngx_pool_cleanup_add(cf->pool, 0);
        if (cln == NULL) {
            ngx_ssl_cleanup_ctx(ssl);
            return NGX_CONF_ERROR;
        }

        cln->handler = ngx_ssl_cleanup_ctx;
        cln->data = ssl;

        ngx_str_set(&ciphers, "DEFAULT");

        if (ngx_ssl_ciphers(cf, ssl, &ciphers, 0) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        if (lcf->upstream.ssl_verify) {
            trusted = lcf->trusted.len ? &lcf->trusted
                                       : ngx_http_mark_lambda_bundle();

            if (trusted == NULL) {
                ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                              "\"mark_lambda\": the system has no file of "
                              "certificates to trust: install "
                              "ca-certificates, or say "
                              "\"trusted_certificate=FILE\" in %s:%ui",
                              lcf->file, lcf->line);
                return NGX_CONF_ERROR;
            }

            if (ngx_ssl_trusted_certificate(cf, ssl, trusted, 4) != NGX_OK) {
                return NGX_CONF_ERROR;
            }
        }

        if (ngx_ssl_client_session_cache(cf, ssl, 1) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        lcf->upstream.ssl_session_reuse = 1;
        lcf->upstream.ssl_server_name = 1;
        lcf->upstream.ssl_name = ngx_pcalloc(cf->pool,
                                            sizeof(ngx_http_complex_value_t));
        if (lcf->upstream.ssl_name == NULL) {
            return NGX_CONF_ERROR;
        }

        lcf->upstream.ssl_name->value = lcf->host;
    }

#endif

    lcf->kept = lcf->upstream;
    lcf->kept.next_upstream = NGX_HTTP_UPSTREAM_FT_ERROR
                              |NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT;

    return NGX_CONF_OK;
}


#if (NGX_HTTP_SSL)

static ngx_str_t *
ngx_http_mark_lambda_bundle(void)
{
    ngx_str_t        *file;
    ngx_file_info_t   fi;

    for (file = ngx_http_mark_lambda_bundles; file->len; file++) {
        if (ngx_file_info(file->data, &fi) != NGX_FILE_ERROR
            && ngx_is_file(&fi))
        {
            return file;
        }
    }

    return NULL;
}

#endif
