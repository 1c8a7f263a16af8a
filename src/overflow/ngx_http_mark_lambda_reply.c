
/*
 * How an invocation's client is answered: an answer that the upstream is to
 * send, its headers, and errors in the protocol's own shape.
 */


#include "ngx_http_mark_lambda.h"


static ngx_buf_t *ngx_http_mark_lambda_error_body(ngx_http_request_t *r,
    const char *text, mark_span_t *more);


/* An error instead of an invocation; finishes the request. */

void
ngx_http_mark_lambda_refuse(ngx_http_request_t *r, ngx_uint_t status,
    const char *text)
{
    ngx_buf_t                   *b;
    ngx_int_t                    rc;
    ngx_uint_t                   i;
    ngx_chain_t                  out;
    ngx_http_err_page_t         *page;
    ngx_http_core_loc_conf_t    *clcf;
    ngx_http_mark_lambda_ctx_t  *ctx;

    ctx = ngx_http_mark_lambda_get_ctx(r);
    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (ctx->conf->upstream.intercept_errors && clcf->error_pages) {
        page = clcf->error_pages->elts;

        for (i = 0; i < clcf->error_pages->nelts; i++) {
            if (page[i].status == (ngx_int_t) status) {
                ngx_http_finalize_request(r, status);
                return;
            }
        }
    }

    b = ngx_http_mark_lambda_error_body(r, text, NULL);

    if (b == NULL || ngx_http_mark_lambda_type(r) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    r->headers_out.status = status;
    r->headers_out.content_length_n = b->last - b->pos;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        ngx_http_finalize_request(r, rc);
        return;
    }

    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    ngx_http_finalize_request(r, ngx_http_output_filter(r, &out));
}


/* The same where Lambda has answered, as a status of process_header(). */

ngx_int_t
ngx_http_mark_lambda_error(ngx_http_request_t *r, ngx_uint_t status,
    const char *text, mark_span_t *more)
{
    ngx_buf_t  *b;

    b = ngx_http_mark_lambda_error_body(r, text, more);

    if (b == NULL || ngx_http_mark_lambda_type(r) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_mark_lambda_put(r, status, b->pos, b->last - b->pos);
}


/* Both texts are those of JSON strings already. */

static ngx_buf_t *
ngx_http_mark_lambda_error_body(ngx_http_request_t *r, const char *text,
    mark_span_t *more)
{
    size_t                     len;
    ngx_buf_t                 *b;
    const char                *head, *tail;
    ngx_http_mark_loc_conf_t  *mlcf;

    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_mark_module);

    head = mlcf->codec ? mlcf->codec->error_head : "{\"error\": \"";
    tail = mlcf->codec ? mlcf->codec->error_tail : "\"}";

    len = ngx_strlen(head) + ngx_strlen(text) + ngx_strlen(tail)
          + (more ? more->len : 0);

    b = ngx_create_temp_buf(r->pool, len);
    if (b == NULL) {
        return NULL;
    }

    b->last = ngx_sprintf(b->last, "%s%s", head, text);

    if (more) {
        b->last = ngx_cpymem(b->last, more->data, more->len);
    }

    b->last = ngx_sprintf(b->last, "%s", tail);

    return b;
}


/* Makes this the answer that the upstream sends. */

ngx_int_t
ngx_http_mark_lambda_put(ngx_http_request_t *r, ngx_uint_t status,
    u_char *body, size_t len)
{
    ngx_http_upstream_t  *u;

    u = r->upstream;

    u->headers_in.status_n = status;
    u->headers_in.content_length_n = len;

    u->buffer.start = body;
    u->buffer.pos = body;
    u->buffer.last = body + len;
    u->buffer.end = u->buffer.last;

    return NGX_OK;
}


/* NGX_DECLINED: it is not fit for a header, and may try to be two. */

ngx_int_t
ngx_http_mark_lambda_put_header(ngx_http_request_t *r, const uint8_t *name,
    size_t name_len, const uint8_t *value, size_t len)
{
    size_t            i;
    u_char           *p, ch;
    ngx_table_elt_t  *h;

    for (i = 0; i < name_len; i++) {
        ch = name[i];

        if (ch <= ' ' || ch >= 0x7f || ngx_strchr("\"(),/:;<=>?@[\\]{}", ch)) {
            return NGX_DECLINED;
        }
    }

    for (i = 0; i < len; i++) {
        if ((value[i] < ' ' && value[i] != '\t') || value[i] == 0x7f) {
            return NGX_DECLINED;
        }
    }

    if (name_len == 0) {
        return NGX_DECLINED;
    }

    p = ngx_pnalloc(r->pool, 2 * name_len + len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_strlow(p, (u_char *) name, name_len);

    if (ngx_http_mark_lambda_hop(p, name_len)
        || (name_len >= 8 && ngx_memcmp(p, "x-accel-", 8) == 0))
    {
        return NGX_OK;
    }

    ngx_memcpy(p + 2 * name_len, value, len);

    if (name_len == 12 && ngx_memcmp(p, "content-type", 12) == 0) {
        r->headers_out.content_type.data = p + 2 * name_len;
        r->headers_out.content_type.len = len;
        r->headers_out.content_type_lowcase = NULL;

        for (i = 0; i < len && value[i] != ';' && value[i] != ' '; i++) {
            /* void */
        }

        r->headers_out.content_type_len = i;

        return NGX_OK;
    }

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    h->lowcase_key = p;
    h->key.len = name_len;
    h->key.data = ngx_cpymem(p + name_len, name, name_len) - name_len;
    h->value.len = len;
    h->value.data = p + 2 * name_len;

    if (name_len == 16 && ngx_memcmp(p, "content-encoding", 16) == 0) {
        r->headers_out.content_encoding = h;
    }

    return NGX_OK;
}
