
/* An invocation as it is sent: its line, its headers, its signature. */


#include "ngx_http_mark_lambda.h"
#include "mark_event.h"


/* Those that are signed: Host, Content-Type, and two of the Invoke API. */
#define NGX_HTTP_MARK_LAMBDA_SIGNED  4


static ngx_int_t ngx_http_mark_lambda_target(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx, mark_sigv4_request_t *req);
static ngx_int_t ngx_http_mark_lambda_sign(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx, mark_sigv4_request_t *req,
    mark_sigv4_signature_t *signature);
static size_t ngx_http_mark_lambda_passed(ngx_http_request_t *r,
    ngx_http_mark_lambda_conf_t *lcf, u_char *p);
static ngx_uint_t ngx_http_mark_lambda_passes(ngx_http_mark_lambda_conf_t *lcf,
    ngx_table_elt_t *h);
static u_char *ngx_http_mark_lambda_line(u_char *p, const char *name,
    mark_span_t *value);
static ngx_int_t ngx_http_mark_lambda_bufs(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx, ngx_buf_t *head, mark_span_t *payload);
static ngx_uint_t ngx_http_mark_lambda_event_headers(ngx_http_request_t *r,
    mark_event_header_t *headers);


/* Headers that are of one connection, or made anew. */

static ngx_str_t  ngx_http_mark_lambda_hops[] = {
    ngx_string("connection"),
    ngx_string("content-length"),
    ngx_string("date"),
    ngx_string("expect"),
    ngx_string("host"),
    ngx_string("http2-settings"),
    ngx_string("keep-alive"),
    ngx_string("proxy-authenticate"),
    ngx_string("proxy-authorization"),
    ngx_string("proxy-connection"),
    ngx_string("server"),
    ngx_string("te"),
    ngx_string("trailer"),
    ngx_string("transfer-encoding"),
    ngx_string("upgrade"),
    ngx_null_string
};


static ngx_str_t  ngx_http_mark_lambda_id = ngx_string("request_id");


static mark_span_t  ngx_http_mark_lambda_json = {
    (const uint8_t *) "application/json", sizeof("application/json") - 1
};


#define ngx_http_mark_lambda_span(span, str)                                  \
    (span)->data = (str)->data;                                               \
    (span)->len = (str)->len

#define ngx_http_mark_lambda_text(span, text)                                 \
    (span)->data = (const uint8_t *) text;                                    \
    (span)->len = sizeof(text) - 1


/*
 * Makes ctx->bufs of the payload.  NGX_DECLINED: there are no credentials;
 * NGX_ERROR: no memory, or the request cannot be signed.
 */

ngx_int_t
ngx_http_mark_lambda_request(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx, mark_span_t *payload)
{
    u_char                       *p;
    size_t                        size;
    ngx_int_t                     rc;
    ngx_buf_t                    *b;
    mark_sigv4_request_t          req;
    mark_sigv4_header_t           headers[NGX_HTTP_MARK_LAMBDA_SIGNED];
    mark_sigv4_signature_t        signature;
    ngx_http_mark_lambda_conf_t  *lcf;

    lcf = ctx->conf;

    ngx_memzero(&req, sizeof(mark_sigv4_request_t));
    ngx_memzero(&signature, sizeof(mark_sigv4_signature_t));
    ngx_memzero(headers, sizeof(headers));

    req.payload = payload;
    req.npayload = 1;
    req.time = ngx_time();
    req.normalize = 1;
    req.encode = 1;

    ngx_http_mark_lambda_text(&headers[0].name, "Host");
    ngx_http_mark_lambda_span(&headers[0].value, &lcf->host);
    ngx_http_mark_lambda_text(&headers[1].name, "Content-Type");

    if (!lcf->url) {
        headers[1].value = ngx_http_mark_lambda_json;

    } else if (r->headers_in.content_type) {
        ngx_http_mark_lambda_span(&headers[1].value,
                                  &r->headers_in.content_type->value);
    }

    req.headers = headers;
    req.nheaders = headers[1].value.len ? 2 : 1;

    if (!lcf->url) {
        ngx_http_mark_lambda_text(&headers[2].name, "X-Amz-Invocation-Type");
        ngx_http_mark_lambda_text(&headers[2].value, "RequestResponse");
        ngx_http_mark_lambda_text(&headers[3].name, "X-Amz-Log-Type");
        ngx_http_mark_lambda_text(&headers[3].value, "Tail");

        req.nheaders = lcf->log_tail ? 4 : 3;
    }

    if (ngx_http_mark_lambda_target(r, ctx, &req) != NGX_OK) {
        return NGX_ERROR;
    }

    if (lcf->credentials) {
        rc = ngx_http_mark_lambda_sign(r, ctx, &req, &signature);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    size = req.method.len + req.path.len + req.query.len + lcf->host.len
           + headers[1].value.len + signature.date.len + signature.token.len
           + signature.authorization.len + NGX_SIZE_T_LEN
           + sizeof(" ? HTTP/1.1" CRLF "Host: " CRLF "Content-Type: " CRLF
                    "Content-Length: " CRLF
                    "X-Amz-Invocation-Type: RequestResponse" CRLF
                    "X-Amz-Log-Type: Tail" CRLF "X-Amz-Date: " CRLF
                    "X-Amz-Security-Token: " CRLF "Authorization: " CRLF
                    "User-Agent: nginx-mark/" NGX_HTTP_MARK_VERSION CRLF
                    CRLF)
           + (lcf->url ? ngx_http_mark_lambda_passed(r, lcf, NULL) : 0);

    b = ngx_create_temp_buf(r->pool, size);
    if (b == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(b->last, req.method.data, req.method.len);
    *p++ = ' ';
    p = ngx_cpymem(p, req.path.data, req.path.len);

    if (req.query.len) {
        *p++ = '?';
        p = ngx_cpymem(p, req.query.data, req.query.len);
    }

    p = ngx_cpymem(p, " HTTP/1.1" CRLF, sizeof(" HTTP/1.1" CRLF) - 1);
    p = ngx_http_mark_lambda_line(p, "Host", &headers[0].value);
    p = ngx_http_mark_lambda_line(p, "Content-Type", &headers[1].value);
    p = ngx_sprintf(p, "Content-Length: %uz" CRLF, payload->len);

    if (lcf->url) {
        p += ngx_http_mark_lambda_passed(r, lcf, p);

    } else {
        p = ngx_http_mark_lambda_line(p, "X-Amz-Invocation-Type",
                                      &headers[2].value);
        p = ngx_cpymem(p, "User-Agent: nginx-mark/" NGX_HTTP_MARK_VERSION CRLF,
                       sizeof("User-Agent: nginx-mark/" NGX_HTTP_MARK_VERSION
                              CRLF) - 1);
    }

    if (lcf->log_tail) {
        p = ngx_http_mark_lambda_line(p, "X-Amz-Log-Type", &headers[3].value);
    }

    p = ngx_http_mark_lambda_line(p, "X-Amz-Date", &signature.date);
    p = ngx_http_mark_lambda_line(p, "X-Amz-Security-Token",
                                  &signature.token);
    p = ngx_http_mark_lambda_line(p, "Authorization",
                                  &signature.authorization);

    *p++ = CR;
    *p++ = LF;
    b->last = p;

    return ngx_http_mark_lambda_bufs(r, ctx, b, payload);
}


/* Method, path and query: of the Invoke API, or the client's own. */

static ngx_int_t
ngx_http_mark_lambda_target(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx, mark_sigv4_request_t *req)
{
    u_char     *p;
    uintptr_t   n;
    ngx_str_t   uri;

    if (!ctx->conf->url) {
        ngx_http_mark_lambda_text(&req->method, "POST");
        uri = ctx->conf->uris[ctx->function];

    } else {
        ngx_http_mark_lambda_span(&req->method, &r->method_name);

        if (r->valid_unparsed_uri) {
            uri = r->unparsed_uri;

        } else {
            n = ngx_escape_uri(NULL, r->uri.data, r->uri.len, NGX_ESCAPE_URI);

            uri.data = ngx_pnalloc(r->pool,
                                   r->uri.len + 2 * n + 1 + r->args.len);
            if (uri.data == NULL) {
                return NGX_ERROR;
            }

            p = (u_char *) ngx_escape_uri(uri.data, r->uri.data, r->uri.len,
                                          NGX_ESCAPE_URI);

            if (r->args.len) {
                *p++ = '?';
                p = ngx_cpymem(p, r->args.data, r->args.len);
            }

            uri.len = p - uri.data;
        }
    }

    p = ngx_strlchr(uri.data, uri.data + uri.len, '?');

    ngx_http_mark_lambda_span(&req->path, &uri);

    if (p) {
        req->path.len = p - uri.data;
        req->query.data = p + 1;
        req->query.len = uri.data + uri.len - p - 1;
    }

    if (req->path.len == 0) {
        ngx_http_mark_lambda_text(&req->path, "/");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_mark_lambda_sign(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx, mark_sigv4_request_t *req,
    mark_sigv4_signature_t *signature)
{
    mark_memory_t        memory;
    mark_sigv4_status_t  status;
    mark_sigv4_signer_t  signer;

    if (ngx_http_mark_credentials_get(ctx->conf->credentials, &signer,
                                      r->connection->log)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    ngx_http_mark_lambda_span(&signer.region, &ctx->conf->region);
    ngx_http_mark_lambda_text(&signer.service, "lambda");

    memory.alloc = ngx_http_mark_alloc;
    memory.pool = r->pool;

    status = mark_sigv4_sign(signature, req, &signer, &ctx->conf->key,
                             &memory);

    if (status != MARK_SIGV4_OK) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "mark: an invocation cannot be signed: %s",
                      mark_sigv4_strerror(status));
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * The client's headers, for a function URL, to p; or, with p NULL, how long
 * they are.
 */

static size_t
ngx_http_mark_lambda_passed(ngx_http_request_t *r,
    ngx_http_mark_lambda_conf_t *lcf, u_char *p)
{
    size_t            n;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    n = 0;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (!ngx_http_mark_lambda_passes(lcf, &h[i])) {
                continue;
            }

            n += h[i].key.len + h[i].value.len + 4;

            if (p) {
                p = ngx_sprintf(p, "%V: %V" CRLF, &h[i].key, &h[i].value);
            }
        }
    }

    return n;
}


static ngx_uint_t
ngx_http_mark_lambda_passes(ngx_http_mark_lambda_conf_t *lcf,
    ngx_table_elt_t *h)
{
    if (ngx_http_mark_lambda_hop(h->lowcase_key, h->key.len)
        || (h->key.len == 12
            && ngx_memcmp(h->lowcase_key, "content-type", 12) == 0))
    {
        return 0;
    }

    /* what is AWS's would be taken for ours */

    if (h->key.len >= 6 && ngx_memcmp(h->lowcase_key, "x-amz-", 6) == 0) {
        return 0;
    }

    return lcf->credentials == NULL || h->key.len != 13
           || ngx_memcmp(h->lowcase_key, "authorization", 13) != 0;
}


ngx_uint_t
ngx_http_mark_lambda_hop(u_char *lowcase, size_t len)
{
    ngx_str_t  *name;

    for (name = ngx_http_mark_lambda_hops; name->len; name++) {
        if (len == name->len
            && ngx_memcmp(lowcase, name->data, name->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


static u_char *
ngx_http_mark_lambda_line(u_char *p, const char *name, mark_span_t *value)
{
    if (value->len == 0) {
        return p;
    }

    p = ngx_sprintf(p, "%s: ", name);
    p = ngx_cpymem(p, value->data, value->len);
    *p++ = CR;
    *p++ = LF;

    return p;
}


static ngx_int_t
ngx_http_mark_lambda_bufs(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx, ngx_buf_t *head, mark_span_t *payload)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    cl = ngx_alloc_chain_link(r->pool);
    if (cl == NULL) {
        return NGX_ERROR;
    }

    cl->buf = head;
    cl->next = NULL;
    ctx->bufs = cl;

    if (payload->len == 0) {
        head->flush = 1;
        return NGX_OK;
    }

    b = ngx_calloc_buf(r->pool);
    cl->next = ngx_alloc_chain_link(r->pool);

    if (b == NULL || cl->next == NULL) {
        return NGX_ERROR;
    }

    /* from start on it is sent once more where a connection was closed */

    b->start = (u_char *) payload->data;
    b->pos = b->start;
    b->last = b->start + payload->len;
    b->end = b->last;
    b->memory = 1;
    b->flush = 1;

    cl->next->buf = b;
    cl->next->next = NULL;

    return NGX_OK;
}


/* The request as an event.  NGX_ERROR: no memory. */

ngx_int_t
ngx_http_mark_lambda_event(ngx_http_request_t *r, mark_body_t *body,
    mark_span_t *payload)
{
    u_char                     *p;
    ngx_str_t                  *uri;
    ngx_uint_t                  n;
    ngx_time_t                 *tp;
    ngx_list_part_t            *part;
    mark_event_request_t        req;
    ngx_http_variable_value_t  *id;

    ngx_memzero(&req, sizeof(mark_event_request_t));

    n = 0;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        n += part->nelts;
    }

    req.headers = ngx_palloc(r->pool, (n + 1) * sizeof(mark_event_header_t));
    if (req.headers == NULL) {
        return NGX_ERROR;
    }

    req.nheaders = ngx_http_mark_lambda_event_headers(r, req.headers);

    uri = r->valid_unparsed_uri ? &r->unparsed_uri : &r->uri;
    p = ngx_strlchr(uri->data, uri->data + uri->len, '?');

    ngx_http_mark_lambda_span(&req.method, &r->method_name);
    ngx_http_mark_lambda_span(&req.path, uri);
    ngx_http_mark_lambda_span(&req.query, &r->args);
    ngx_http_mark_lambda_span(&req.protocol, &r->http_protocol);
    ngx_http_mark_lambda_span(&req.source_ip, &r->connection->addr_text);
    ngx_http_mark_lambda_span(&req.domain, &r->headers_in.server);

    if (p && r->valid_unparsed_uri) {
        req.path.len = p - uri->data;
    }

    if (r->headers_in.user_agent) {
        ngx_http_mark_lambda_span(&req.user_agent,
                                  &r->headers_in.user_agent->value);
    }

    if (r->headers_in.content_type) {
        ngx_http_mark_lambda_span(&req.type,
                                  &r->headers_in.content_type->value);
    }

    tp = ngx_timeofday();
    req.time = (uint64_t) tp->sec * 1000 + tp->msec;

    /* a carrier has its leader's */

    id = ngx_http_get_variable(r, &ngx_http_mark_lambda_id,
                               ngx_hash_key(ngx_http_mark_lambda_id.data,
                                            ngx_http_mark_lambda_id.len));

    if (id && !id->not_found) {
        req.id.data = id->data;
        req.id.len = id->len;
    }

    req.body.data = body->data;
    req.body.len = body->len;

    payload->len = mark_event_write(NULL, &req);

    /* it would be refused, and may be several times the limit by now */

    if (payload->len > NGX_HTTP_MARK_LAMBDA_PAYLOAD) {
        return NGX_OK;
    }

    p = ngx_palloc(r->pool, payload->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    payload->data = p;
    (void) mark_event_write(p, &req);

    return NGX_OK;
}


/* Of the same name are put behind one another, as the event wants them. */

static ngx_uint_t
ngx_http_mark_lambda_event_headers(ngx_http_request_t *r,
    mark_event_header_t *headers)
{
    ngx_uint_t            i, n, k;
    ngx_list_part_t      *part;
    ngx_table_elt_t      *h;
    mark_event_header_t   swap;

    n = 0;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (ngx_http_mark_lambda_hop(h[i].lowcase_key, h[i].key.len)
                && !(h[i].key.len == 4
                     && ngx_memcmp(h[i].lowcase_key, "host", 4) == 0))
            {
                continue;
            }

            headers[n].name.data = h[i].lowcase_key;
            headers[n].name.len = h[i].key.len;
            ngx_http_mark_lambda_span(&headers[n].value, &h[i].value);

            for (k = n; k > 0; k--) {
                if (headers[k - 1].name.len == headers[n].name.len
                    && ngx_memcmp(headers[k - 1].name.data,
                                  headers[n].name.data, headers[n].name.len)
                       == 0)
                {
                    break;
                }
            }

            swap = headers[n];

            if (k > 0 && k < n) {
                ngx_memmove(&headers[k + 1], &headers[k],
                            (n - k) * sizeof(mark_event_header_t));
                headers[k] = swap;
            }

            n++;
        }
    }

    return n;
}
