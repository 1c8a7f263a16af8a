
/* What comes back from Lambda, up to its last byte. */


#include "ngx_http_mark_lambda.h"


static ngx_int_t ngx_http_mark_lambda_status_line(ngx_http_request_t *r);
static ngx_int_t ngx_http_mark_lambda_header(ngx_http_request_t *r);
static ngx_int_t ngx_http_mark_lambda_header_line(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx);
static ngx_int_t ngx_http_mark_lambda_length(ngx_http_mark_lambda_ctx_t *ctx,
    ngx_table_elt_t *h);
static ngx_int_t ngx_http_mark_lambda_header_done(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx);
static ngx_int_t ngx_http_mark_lambda_body(ngx_http_request_t *r);
static ngx_int_t ngx_http_mark_lambda_chunks(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx);
static ngx_int_t ngx_http_mark_lambda_store(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx, size_t len);
static ngx_int_t ngx_http_mark_lambda_invalid(ngx_http_request_t *r,
    const char *text);


/* Headers that matter, and where they go. */

typedef struct {
    ngx_str_t    name;
    ngx_uint_t   offset;
} ngx_http_mark_lambda_header_t;


static ngx_http_mark_lambda_header_t  ngx_http_mark_lambda_headers[] = {

    { ngx_string("x-amzn-requestid"),
      offsetof(ngx_http_mark_lambda_ctx_t, request_id) },

    { ngx_string("x-amzn-errortype"),
      offsetof(ngx_http_mark_lambda_ctx_t, error_type) },

    { ngx_string("x-amz-function-error"),
      offsetof(ngx_http_mark_lambda_ctx_t, function_error) },

    { ngx_string("x-amz-log-result"),
      offsetof(ngx_http_mark_lambda_ctx_t, log_result) },

    { ngx_string("retry-after"),
      offsetof(ngx_http_mark_lambda_ctx_t, retry_after) },

    { ngx_null_string, 0 }
};


/* Before the first byte, also of another attempt. */

void
ngx_http_mark_lambda_reset(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx)
{
    ngx_http_mark_lambda_header_t  *header;

    r->state = 0;
    r->upstream->process_header = ngx_http_mark_lambda_status_line;

    ngx_memzero(&ctx->status, sizeof(ngx_http_status_t));
    ngx_memzero(&ctx->chunked, sizeof(ngx_http_chunked_t));
    ngx_memzero(&ctx->headers, sizeof(ngx_array_t));

    for (header = ngx_http_mark_lambda_headers; header->name.len; header++) {
        ngx_str_null((ngx_str_t *) ((u_char *) ctx + header->offset));
    }

    ctx->length = -1;
    ctx->body_len = 0;
    ctx->chunks = 0;
    ctx->close = 0;
}


static ngx_int_t
ngx_http_mark_lambda_status_line(ngx_http_request_t *r)
{
    ngx_int_t                    rc;
    ngx_http_upstream_t         *u;
    ngx_http_mark_lambda_ctx_t  *ctx;

    u = r->upstream;
    ctx = u->input_filter_ctx;

    /* it has begun, and is not repeated */

    u->conf = &ctx->conf->upstream;

    rc = ngx_http_parse_status_line(r, &u->buffer, &ctx->status);

    if (rc == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    if (rc == NGX_ERROR) {
        return ngx_http_mark_lambda_invalid(r, "no status line");
    }

    if (ctx->status.http_version < NGX_HTTP_VERSION_11) {
        ctx->close = 1;
    }

    u->process_header = ngx_http_mark_lambda_header;

    return ngx_http_mark_lambda_header(r);
}


static ngx_int_t
ngx_http_mark_lambda_header(ngx_http_request_t *r)
{
    ngx_int_t                    rc;
    ngx_http_mark_lambda_ctx_t  *ctx;

    ctx = r->upstream->input_filter_ctx;

    for ( ;; ) {

        rc = ngx_http_parse_header_line(r, &r->upstream->buffer, 1);

        if (rc == NGX_OK) {
            rc = ngx_http_mark_lambda_header_line(r, ctx);

            if (rc != NGX_OK) {
                return rc;
            }

            continue;
        }

        if (rc == NGX_AGAIN) {
            return NGX_AGAIN;
        }

        if (rc != NGX_HTTP_PARSE_HEADER_DONE) {
            return ngx_http_mark_lambda_invalid(r, "an invalid header");
        }

        return ngx_http_mark_lambda_header_done(r, ctx);
    }
}


static ngx_int_t
ngx_http_mark_lambda_header_line(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx)
{
    u_char                         *p;
    ngx_str_t                      *to;
    ngx_table_elt_t                 h, *push;
    ngx_http_mark_lambda_header_t  *header;

    ngx_memzero(&h, sizeof(ngx_table_elt_t));

    h.key.len = r->header_name_end - r->header_name_start;
    h.value.len = r->header_end - r->header_start;

    p = ngx_pnalloc(r->pool, 2 * h.key.len + h.value.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    h.key.data = p;
    p = ngx_cpymem(p, r->header_name_start, h.key.len);
    h.lowcase_key = p;
    ngx_strlow(p, h.key.data, h.key.len);
    p += h.key.len;
    h.value.data = p;
    ngx_memcpy(p, r->header_start, h.value.len);

    for (header = ngx_http_mark_lambda_headers; header->name.len; header++) {

        if (h.key.len == header->name.len
            && ngx_memcmp(h.lowcase_key, header->name.data, h.key.len) == 0)
        {
            to = (ngx_str_t *) ((u_char *) ctx + header->offset);
            *to = h.value;
        }
    }

    if (ngx_http_mark_lambda_hop(h.lowcase_key, h.key.len)) {
        return ngx_http_mark_lambda_length(ctx, &h) == NGX_OK
               ? NGX_OK
               : ngx_http_mark_lambda_invalid(r, "an invalid length");
    }

    /* the others are a function's own, behind a URL */

    if (!ctx->conf->url
        || (h.key.len >= 5 && ngx_memcmp(h.lowcase_key, "x-amz", 5) == 0)
        || (h.key.len >= 8 && ngx_memcmp(h.lowcase_key, "x-accel-", 8) == 0))
    {
        return NGX_OK;
    }

    if (ctx->headers.elts == NULL
        && ngx_array_init(&ctx->headers, r->pool, 8, sizeof(ngx_table_elt_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    push = ngx_array_push(&ctx->headers);
    if (push == NULL) {
        return NGX_ERROR;
    }

    *push = h;

    return NGX_OK;
}


static ngx_int_t
ngx_http_mark_lambda_length(ngx_http_mark_lambda_ctx_t *ctx,
    ngx_table_elt_t *h)
{
    u_char  *name, *last;

    name = h->lowcase_key;
    last = h->value.data + h->value.len;

    if (h->key.len == 14 && ngx_memcmp(name, "content-length", 14) == 0) {

        /* of two one would be a lie */

        if (ctx->length != -1) {
            return NGX_ERROR;
        }

        ctx->length = ngx_atoof(h->value.data, h->value.len);

        return ctx->length == NGX_ERROR ? NGX_ERROR : NGX_OK;
    }

    if (h->key.len == 17 && ngx_memcmp(name, "transfer-encoding", 17) == 0) {

        ctx->chunks = 1;

        return (h->value.len == 7
                && ngx_strncasecmp(h->value.data, (u_char *) "chunked", 7)
                   == 0)
               ? NGX_OK : NGX_ERROR;
    }

    if (h->key.len == 10 && ngx_memcmp(name, "connection", 10) == 0
        && ngx_strlcasestrn(h->value.data, last, (u_char *) "close", 5 - 1))
    {
        ctx->close = 1;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_mark_lambda_header_done(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx)
{
    ngx_http_upstream_t  *u;

    u = r->upstream;

    /* an interim response, which nobody asked for */

    if (ctx->status.code < NGX_HTTP_OK) {

        if (ctx->status.code == NGX_HTTP_SWITCHING_PROTOCOLS) {
            return ngx_http_mark_lambda_invalid(r, "another protocol");
        }

        ngx_http_mark_lambda_reset(r, ctx);

        return u->buffer.pos < u->buffer.last
               ? ngx_http_mark_lambda_status_line(r) : NGX_AGAIN;
    }

    if (u->state && u->state->status == 0) {
        u->state->status = ctx->status.code;
    }

    if (ctx->status.code == NGX_HTTP_NO_CONTENT
        || ctx->status.code == NGX_HTTP_NOT_MODIFIED
        || (ctx->conf->url && r->method == NGX_HTTP_HEAD))
    {
        ctx->chunks = 0;
        ctx->length = 0;

    } else if (ctx->chunks) {

        if (ctx->length != -1) {
            return ngx_http_mark_lambda_invalid(r, "both chunks and a length");
        }

    } else if (ctx->length == -1) {

        /* an end that is one of the connection may be a failure */

        return ngx_http_mark_lambda_invalid(r, "neither chunks nor a length");
    }

    if (ctx->length > NGX_HTTP_MARK_LAMBDA_ANSWER) {
        return ngx_http_mark_lambda_invalid(r, "more than an answer can be");
    }

    u->process_header = ngx_http_mark_lambda_body;

    return ngx_http_mark_lambda_body(r);
}


static ngx_int_t
ngx_http_mark_lambda_body(ngx_http_request_t *r)
{
    size_t                       len;
    ngx_int_t                    rc;
    ngx_buf_t                   *b;
    ngx_http_upstream_t         *u;
    ngx_http_mark_lambda_ctx_t  *ctx;

    u = r->upstream;
    b = &u->buffer;
    ctx = u->input_filter_ctx;

    if (ctx->chunks) {
        rc = ngx_http_mark_lambda_chunks(r, ctx);

    } else {
        len = ngx_min((size_t) (b->last - b->pos),
                      (size_t) ctx->length - ctx->body_len);

        rc = ngx_http_mark_lambda_store(r, ctx, len);

        if (rc == NGX_OK && (off_t) ctx->body_len < ctx->length) {
            rc = NGX_AGAIN;
        }
    }

    if (rc == NGX_AGAIN) {
        b->pos = b->start;
        b->last = b->start;

        return NGX_AGAIN;
    }

    if (rc != NGX_OK) {
        return rc;
    }

    /* what comes behind an answer is nothing that was asked for */

    u->keepalive = (!ctx->close && b->pos == b->last);

    ctx->answered = ngx_http_mark_now();

    return ngx_http_mark_lambda_answer(r, ctx);
}


static ngx_int_t
ngx_http_mark_lambda_chunks(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx)
{
    size_t      len;
    ngx_int_t   rc;
    ngx_buf_t  *b;

    b = &r->upstream->buffer;

    for ( ;; ) {

#if (nginx_version >= 1027002)
        rc = ngx_http_parse_chunked(r, b, &ctx->chunked, 0);
#else
        rc = ngx_http_parse_chunked(r, b, &ctx->chunked);
#endif

        if (rc == NGX_DONE) {
            return NGX_OK;
        }

        if (rc == NGX_AGAIN) {
            return NGX_AGAIN;
        }

        if (rc != NGX_OK) {
            return ngx_http_mark_lambda_invalid(r, "an invalid chunk");
        }

        len = ngx_min((off_t) (b->last - b->pos), ctx->chunked.size);

        rc = ngx_http_mark_lambda_store(r, ctx, len);

        if (rc != NGX_OK) {
            return rc;
        }

        ctx->chunked.size -= len;
    }
}


/* Takes so many bytes from u->buffer. */

static ngx_int_t
ngx_http_mark_lambda_store(ngx_http_request_t *r,
    ngx_http_mark_lambda_ctx_t *ctx, size_t len)
{
    size_t      size;
    u_char     *p;
    ngx_buf_t  *b;

    b = &r->upstream->buffer;

    if (ctx->body_len + len > NGX_HTTP_MARK_LAMBDA_ANSWER) {
        return ngx_http_mark_lambda_invalid(r, "more than an answer can be");
    }

    if (len > ctx->body_size - ctx->body_len) {

        size = ngx_max(2 * ctx->body_size, ctx->body_len + len);
        size = ngx_max(size, (size_t) 4096);

        if (!ctx->chunks) {
            size = ngx_max((size_t) ctx->length, ctx->body_len + len);
        }

        p = ngx_palloc(r->pool, size);
        if (p == NULL) {
            return NGX_ERROR;
        }

        if (ctx->body_len) {
            ngx_memcpy(p, ctx->body, ctx->body_len);
        }

        if (ctx->body) {
            (void) ngx_pfree(r->pool, ctx->body);
        }

        ctx->body = p;
        ctx->body_size = size;
    }

    if (len) {
        ngx_memcpy(ctx->body + ctx->body_len, b->pos, len);
    }

    ctx->body_len += len;
    b->pos += len;

    return NGX_OK;
}


static ngx_int_t
ngx_http_mark_lambda_invalid(ngx_http_request_t *r, const char *text)
{
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "mark: Lambda sent %s", text);

    return NGX_HTTP_UPSTREAM_INVALID_HEADER;
}
