
/*
 * What a carrier's handler sends is captured here, behind the copy filter
 * (which reads what proxy_pass put into a temporary file) and before all
 * filters that are for a client's eyes, which work on each member's answer.
 *
 * The same body filter sees the end of answers to requests that run alone.
 */


#include "ngx_http_mark.h"
#include "ngx_http_mark_overflow.h"


static ngx_int_t ngx_http_mark_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_mark_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_int_t ngx_http_mark_capture_header(ngx_http_mark_batch_t *batch,
    ngx_http_request_t *r);
static ngx_int_t ngx_http_mark_capture_copy(ngx_http_mark_batch_t *batch,
    ngx_str_t *to, ngx_str_t *from);
static ngx_int_t ngx_http_mark_capture_body(ngx_http_mark_batch_t *batch,
    u_char *data, size_t len);
static void ngx_http_mark_capture_json_len(ngx_http_mark_batch_t *batch,
    ngx_str_t *value);
static ngx_uint_t ngx_http_mark_dropped(ngx_str_t *key);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


/*
 * Headers of the whole reply that would be wrong with a part of it.  MLServer
 * says in two of its own (CloudEvents) which request it answers by its id,
 * which is that of one member, or made up.
 */

static ngx_str_t  ngx_http_mark_dropped_headers[] = {
    ngx_string("Accept-Ranges"),
    ngx_string("Ce-Id"),
    ngx_string("Ce-Requestid"),
    ngx_string("Content-Digest"),
    ngx_string("Content-Length"),
    ngx_string("Content-MD5"),
    ngx_string("Content-Range"),
    ngx_string("Digest"),
    ngx_string("ETag"),
    ngx_string("Last-Modified"),
    ngx_string("Repr-Digest"),
    ngx_string("Trailer"),
    ngx_string("Transfer-Encoding"),
    ngx_null_string
};


ngx_int_t
ngx_http_mark_capture_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_mark_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_mark_body_filter;

    return NGX_OK;
}


static ngx_int_t
ngx_http_mark_header_filter(ngx_http_request_t *r)
{
    ngx_http_mark_batch_t  *batch;

    batch = ngx_http_mark_carrier_batch(r);

    if (batch == NULL) {
        return ngx_http_next_header_filter(r);
    }

    if (r->header_sent) {
        return NGX_OK;
    }

    r->header_sent = 1;

    /* as ngx_http_header_filter() would */

    if (r->headers_out.status < NGX_HTTP_OK
        || r->headers_out.status == NGX_HTTP_NO_CONTENT
        || r->headers_out.status == NGX_HTTP_NOT_MODIFIED)
    {
        r->header_only = 1;
        batch->complete = 1;
    }

    return ngx_http_mark_capture_header(batch, r);
}


static ngx_int_t
ngx_http_mark_capture_header(ngx_http_mark_batch_t *batch,
    ngx_http_request_t *r)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h, *to;

    batch->answer.status = r->headers_out.status;
    batch->answer.content_type_len = r->headers_out.content_type_len;

    if (ngx_http_mark_capture_copy(batch, &batch->answer.status_line,
                                   &r->headers_out.status_line)
        != NGX_OK
        || ngx_http_mark_capture_copy(batch, &batch->answer.content_type,
                                      &r->headers_out.content_type)
           != NGX_OK
        || ngx_http_mark_capture_copy(batch, &batch->answer.charset,
                                      &r->headers_out.charset)
           != NGX_OK
        || ngx_array_init(&batch->answer.headers, batch->pool, 4,
                          sizeof(ngx_table_elt_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (part = &r->headers_out.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].hash == 0 || ngx_http_mark_dropped(&h[i].key)) {
                continue;
            }

            if (h[i].key.len == 10
                && ngx_strncasecmp(h[i].key.data, (u_char *) "Set-Cookie", 10)
                   == 0)
            {
                batch->personal = 1;
            }

            if (h[i].key.len == 16
                && ngx_strncasecmp(h[i].key.data,
                                   (u_char *) "Content-Encoding", 16)
                   == 0)
            {
                batch->encoded = 1;
            }

            if (h[i].key.len == sizeof(NGX_HTTP_MARK_JSON_LEN) - 1
                && ngx_strncasecmp(h[i].key.data,
                                   (u_char *) NGX_HTTP_MARK_JSON_LEN,
                                   h[i].key.len)
                   == 0)
            {
                ngx_http_mark_capture_json_len(batch, &h[i].value);
            }

            to = ngx_array_push(&batch->answer.headers);

            if (to == NULL
                || ngx_http_mark_capture_copy(batch, &to->key, &h[i].key)
                   != NGX_OK
                || ngx_http_mark_capture_copy(batch, &to->value, &h[i].value)
                   != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    /* the length is a hint: what comes is what counts */

    if (r->headers_out.content_length_n > 0
        && r->headers_out.content_length_n
           <= (off_t) (NGX_HTTP_MARK_REPLY * batch->conf->max_bytes))
    {
        batch->reply_size = (size_t) r->headers_out.content_length_n;
        batch->reply = ngx_palloc(batch->pool, batch->reply_size);

        if (batch->reply == NULL) {
            batch->reply_size = 0;
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_http_mark_capture_json_len(ngx_http_mark_batch_t *batch, ngx_str_t *value)
{
    ngx_int_t  len;

    len = ngx_atoi(value->data, value->len);

    /* what is no number is more than there can be, and will not be split */

    batch->reply_json_len = (len == NGX_ERROR) ? NGX_MAX_SIZE_T_VALUE
                                               : (size_t) len;
    batch->reply_binary = 1;
}


static ngx_uint_t
ngx_http_mark_dropped(ngx_str_t *key)
{
    ngx_str_t  *name;

    for (name = ngx_http_mark_dropped_headers; name->len; name++) {
        if (key->len == name->len
            && ngx_strncasecmp(key->data, name->data, name->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_mark_capture_copy(ngx_http_mark_batch_t *batch, ngx_str_t *to,
    ngx_str_t *from)
{
    to->len = from->len;

    if (from->len == 0) {
        to->data = NULL;
        return NGX_OK;
    }

    to->data = ngx_pstrdup(batch->pool, from);

    return to->data ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_mark_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_buf_t              *b;
    ngx_int_t               rc;
    ngx_uint_t              last;
    ngx_chain_t            *cl;
    ngx_http_mark_ctx_t    *ctx;
    ngx_http_mark_batch_t  *batch;

    batch = ngx_http_mark_carrier_batch(r);

    if (batch) {

        for (cl = in; cl; cl = cl->next) {
            b = cl->buf;

            if (b->last > b->pos
                && ngx_http_mark_capture_body(batch, b->pos, b->last - b->pos)
                   != NGX_OK)
            {
                return NGX_ERROR;
            }

            b->pos = b->last;

            if (b->in_file) {
                b->file_pos = b->file_last;
            }

            if (b->last_buf) {
                batch->complete = 1;
            }
        }

        return NGX_OK;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_mark_module);

    if (ctx == NULL || ctx->state != NGX_HTTP_MARK_ALONE || r != r->main) {
        return ngx_http_next_body_filter(r, in);
    }

    last = 0;

    for (cl = in; cl; cl = cl->next) {
        last |= cl->buf->last_buf;
    }

    rc = ngx_http_next_body_filter(r, in);

    /*
     * The backend is free, however slowly this client reads; but what went to
     * a temporary file is held back by the copy filter, and its end with it.
     */

    if (last) {
        ngx_http_mark_service_finish(ctx, r->headers_out.status == NGX_HTTP_OK);
    }

    return rc;
}


static ngx_int_t
ngx_http_mark_capture_body(ngx_http_mark_batch_t *batch, u_char *data,
    size_t len)
{
    size_t   size;
    u_char  *p;

    if (batch->oversize) {
        return NGX_OK;
    }

    if (len > batch->reply_size - batch->reply_len) {

        size = ngx_max(2 * batch->reply_size, batch->reply_len + len);
        size = ngx_max(size, (size_t) 4096);

        if (batch->reply_len + len
            > NGX_HTTP_MARK_REPLY * batch->conf->max_bytes)
        {
            batch->oversize = 1;
            return NGX_OK;
        }

        p = ngx_palloc(batch->pool, size);
        if (p == NULL) {
            return NGX_ERROR;
        }

        if (batch->reply_len) {
            ngx_memcpy(p, batch->reply, batch->reply_len);
            (void) ngx_pfree(batch->pool, batch->reply);
        }

        batch->reply = p;
        batch->reply_size = size;
    }

    ngx_memcpy(batch->reply + batch->reply_len, data, len);
    batch->reply_len += len;

    return NGX_OK;
}


/* Takes from a carrier's request, which is about to be freed, what matters. */

void
ngx_http_mark_capture_finish(ngx_http_mark_batch_t *batch,
    ngx_http_request_t *r)
{
    ngx_str_t                  *peer;
    ngx_uint_t                  i;
    ngx_http_upstream_state_t  *from, *state;

    if (batch->settled) {
        return;
    }

    if (batch->away) {
        ngx_http_mark_overflow_finish(batch, r);
    }

    batch->answer.err_status = r->err_status;
    batch->peers = ngx_http_mark_carrier_peers(r);

    if (r->upstream) {
        batch->answer.upstream_status = r->upstream->headers_in.status_n;
        batch->redirect = (r->upstream->headers_in.x_accel_redirect != NULL);
    }

#if (NGX_HTTP_CACHE)
    batch->cached = r->cached || r->cache;
#endif

    if (r->upstream_states == NULL || r->upstream_states->nelts == 0
        || ngx_array_init(&batch->answer.states, batch->pool,
                          r->upstream_states->nelts,
                          sizeof(ngx_http_upstream_state_t))
           != NGX_OK)
    {
        return;
    }

    from = r->upstream_states->elts;

    for (i = 0; i < r->upstream_states->nelts; i++) {
        state = ngx_array_push(&batch->answer.states);
        *state = from[i];

        if (from[i].peer == NULL) {
            continue;
        }

        peer = ngx_palloc(batch->pool, sizeof(ngx_str_t));

        if (peer == NULL
            || ngx_http_mark_capture_copy(batch, peer, from[i].peer)
               != NGX_OK)
        {
            peer = NULL;
        }

        state->peer = peer;
    }
}
