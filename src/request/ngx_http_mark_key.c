
/*
 * The key of a request: the bytes in which two requests must be equal to
 * share a batch.
 *
 * One request goes to the backend for all members of a batch, with the
 * headers of one of them.  So everything that can change what the backend
 * answers, or whether it answers at all, is part of the key: the location and
 * its handler, scheme, URI and arguments, the codec's own key, the user's
 * mark_batch_key and every header of the request but those below.
 */


#include "ngx_http_mark.h"


/*
 * Headers of a connection, a body, a hop or a trace: no answer depends on
 * them, and many differ with each request.
 */

static ngx_str_t  ngx_http_mark_ignored_headers[] = {
    ngx_string("accept-encoding"),
    ngx_string("b3"),
    ngx_string("cache-control"),
    ngx_string("cf-connecting-ip"),
    ngx_string("cf-ray"),
    ngx_string("connection"),
    ngx_string("content-length"),
    ngx_string("date"),
    ngx_string("dnt"),
    ngx_string("expect"),
    ngx_string("forwarded"),
    ngx_string("inference-header-content-length"),
    ngx_string("keep-alive"),
    ngx_string("pragma"),
    ngx_string("priority"),
    ngx_string("proxy-connection"),
    ngx_string("referer"),
    ngx_string("request-id"),
    ngx_string("sentry-trace"),
    ngx_string("te"),
    ngx_string("traceparent"),
    ngx_string("tracestate"),
    ngx_string("trailer"),
    ngx_string("transfer-encoding"),
    ngx_string("true-client-ip"),
    ngx_string("uber-trace-id"),
    ngx_string("user-agent"),
    ngx_string("via"),
    ngx_string("x-amz-cf-id"),
    ngx_string("x-amzn-trace-id"),
    ngx_string("x-b3-flags"),
    ngx_string("x-b3-parentspanid"),
    ngx_string("x-b3-sampled"),
    ngx_string("x-b3-spanid"),
    ngx_string("x-b3-traceid"),
    ngx_string("x-client-trace-id"),
    ngx_string("x-cloud-trace-context"),
    ngx_string("x-correlation-id"),
    ngx_string("x-datadog-parent-id"),
    ngx_string("x-datadog-sampling-priority"),
    ngx_string("x-datadog-trace-id"),
    ngx_string("x-forwarded-for"),
    ngx_string("x-real-ip"),
    ngx_string("x-request-id"),
    ngx_string("x-request-start"),
    ngx_null_string
};


static u_char *ngx_http_mark_key_put(u_char *p, const void *data, size_t len);


ngx_int_t
ngx_http_mark_key(ngx_http_mark_ctx_t *ctx, ngx_str_t *key)
{
    size_t                      len;
    u_char                     *p;
    ngx_str_t                   value[NGX_HTTP_MARK_MAX_KEYS];
    ngx_uint_t                  i, n;
    ngx_list_part_t            *part;
    ngx_table_elt_t            *h, *host;
    ngx_http_request_t         *r;
    ngx_http_complex_value_t   *cv;
    ngx_http_mark_loc_conf_t   *mlcf;

    r = ctx->request;
    mlcf = ctx->conf;

    n = mlcf->keys ? mlcf->keys->nelts : 0;
    cv = n ? mlcf->keys->elts : NULL;

    len = 2 * sizeof(void *) + 1
          + 5 * sizeof(size_t) + r->uri.len + r->args.len + r->unparsed_uri.len
          + r->headers_in.server.len
          + sizeof(size_t) + ctx->req.key.len;

    for (i = 0; i < n; i++) {
        if (ngx_http_complex_value(r, &cv[i], &value[i]) != NGX_OK) {
            return NGX_ERROR;
        }

        len += sizeof(size_t) + value[i].len;
    }

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            len += 2 * sizeof(size_t) + h[i].key.len + h[i].value.len;
        }
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    key->data = p;

    p = ngx_cpymem(p, &r->loc_conf, sizeof(void *));
    p = ngx_cpymem(p, &ctx->handler, sizeof(void *));

#if (NGX_HTTP_SSL)
    *p++ = r->connection->ssl != NULL;
#else
    *p++ = 0;
#endif

    p = ngx_http_mark_key_put(p, r->uri.data, r->uri.len);
    p = ngx_http_mark_key_put(p, r->args.data, r->args.len);
    p = ngx_http_mark_key_put(p, r->unparsed_uri.data, r->unparsed_uri.len);

    /* $host: a request line with a host overrides the header */

    p = ngx_http_mark_key_put(p, r->headers_in.server.data,
                              r->headers_in.server.len);

    /* the Host header stands first in HTTP/1.1, but anywhere in HTTP/2 */

    host = r->headers_in.host;

    p = ngx_http_mark_key_put(p, host ? host->value.data : NULL,
                              host ? host->value.len : 0);

    for (i = 0; i < n; i++) {
        p = ngx_http_mark_key_put(p, value[i].data, value[i].len);
    }

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (&h[i] == host
                || ngx_hash_find(&mlcf->ignored_hash, h[i].hash,
                                 h[i].lowcase_key, h[i].key.len)
                   != NULL)
            {
                continue;
            }

            p = ngx_http_mark_key_put(p, h[i].lowcase_key, h[i].key.len);
            p = ngx_http_mark_key_put(p, h[i].value.data, h[i].value.len);
        }
    }

    p = ngx_http_mark_key_put(p, ctx->req.key.data, ctx->req.key.len);

    key->len = p - key->data;

    return NGX_OK;
}


/* Each part stands behind its length, so that no two parts read as others. */

/*
 * What may take a time of its own at a server: another location's requests,
 * or another URI's, which names the model.  Never 0.
 */

uint32_t
ngx_http_mark_kind(ngx_http_request_t *r)
{
    uint32_t                   hash;
    ngx_http_mark_loc_conf_t  *mlcf;

    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_mark_module);

    ngx_crc32_init(hash);
    ngx_crc32_update(&hash, mlcf->server.data, mlcf->server.len);
    ngx_crc32_update(&hash, mlcf->location.data, mlcf->location.len);
    ngx_crc32_update(&hash, r->uri.data, r->uri.len);
    ngx_crc32_final(hash);

    return hash ? hash : 1;
}


static u_char *
ngx_http_mark_key_put(u_char *p, const void *data, size_t len)
{
    p = ngx_cpymem(p, &len, sizeof(size_t));

    if (len) {
        p = ngx_cpymem(p, data, len);
    }

    return p;
}


/*
 * Makes the hash of the headers above, of those that the user has named, and
 * of one more, which may be empty.  All are in lower case.
 */

char *
ngx_http_mark_ignored(ngx_conf_t *cf, ngx_hash_t *hash, ngx_array_t *names,
    ngx_str_t *more)
{
    size_t             longest;
    ngx_uint_t         i;
    ngx_str_t         *name;
    ngx_array_t        keys;
    ngx_hash_key_t    *hk, *extra;
    ngx_hash_init_t    init;

    static ngx_uint_t  found = 1;

    if (ngx_array_init(&keys, cf->temp_pool, 64, sizeof(ngx_hash_key_t))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    for (name = ngx_http_mark_ignored_headers; name->len; name++) {
        hk = ngx_array_push(&keys);
        if (hk == NULL) {
            return NGX_CONF_ERROR;
        }

        hk->key = *name;
        hk->key_hash = ngx_hash_key_lc(name->data, name->len);
        hk->value = &found;
    }

    longest = more->len;

    if (more->len) {
        hk = ngx_array_push(&keys);
        if (hk == NULL) {
            return NGX_CONF_ERROR;
        }

        hk->key = *more;
        hk->key_hash = ngx_hash_key_lc(more->data, more->len);
        hk->value = &found;
    }

    if (names) {
        extra = names->elts;

        for (i = 0; i < names->nelts; i++) {
            hk = ngx_array_push(&keys);
            if (hk == NULL) {
                return NGX_CONF_ERROR;
            }

            *hk = extra[i];
            hk->value = &found;

            longest = ngx_max(longest, hk->key.len);
        }
    }

    init.hash = hash;
    init.key = ngx_hash_key_lc;
    init.max_size = 1024;
    init.bucket_size = ngx_align(ngx_max(longest + 32, 64),
                                 ngx_cacheline_size);
    init.name = "mark_batch_ignore_header";
    init.pool = cf->pool;
    init.temp_pool = NULL;

    if (ngx_hash_init(&init, keys.elts, keys.nelts) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* mark_batch_key */

char *
ngx_http_mark_batch_key(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_mark_loc_conf_t *mlcf = conf;

    ngx_str_t                         *value;
    ngx_uint_t                         i;
    ngx_http_complex_value_t          *cv;
    ngx_http_compile_complex_value_t   ccv;

    if (mlcf->keys != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    if (cf->args->nelts - 1 > NGX_HTTP_MARK_MAX_KEYS) {
        return "has too many values, join some of them: \"$a$b\"";
    }

    mlcf->keys = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                  sizeof(ngx_http_complex_value_t));
    if (mlcf->keys == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        cv = ngx_array_push(mlcf->keys);

        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

        ccv.cf = cf;
        ccv.value = &value[i];
        ccv.complex_value = cv;

        if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        if (cv->lengths == NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" in \"mark_batch_key\" has no variable",
                               &value[i]);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/* mark_batch_ignore_header; may be repeated */

char *
ngx_http_mark_ignore_header(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_mark_loc_conf_t *mlcf = conf;

    u_char          *low;
    ngx_str_t       *value;
    ngx_uint_t       i;
    ngx_hash_key_t  *hk;

    if (mlcf->ignored == NGX_CONF_UNSET_PTR) {
        mlcf->ignored = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                         sizeof(ngx_hash_key_t));
        if (mlcf->ignored == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        hk = ngx_array_push(mlcf->ignored);
        low = ngx_pnalloc(cf->pool, value[i].len);

        if (hk == NULL || low == NULL) {
            return NGX_CONF_ERROR;
        }

        hk->key.len = value[i].len;
        hk->key.data = low;
        hk->key_hash = ngx_hash_strlow(low, value[i].data, value[i].len);
    }

    return NGX_CONF_OK;
}
