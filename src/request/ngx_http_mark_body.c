
/* The body of a client's request as one piece of memory. */


#include "ngx_http_mark.h"


static ngx_int_t ngx_http_mark_body_copy(ngx_http_request_t *r,
    mark_body_t *body, size_t size);


/*
 * Sets *body to the whole body, which must have been read.  It is not copied
 * when nginx holds it in one buffer in memory, as it does up to
 * client_body_buffer_size; it belongs to the request.  NGX_DECLINED: it is
 * larger than limit; NGX_ERROR: no memory, or its temporary file could not be
 * read.
 */

ngx_int_t
ngx_http_mark_body(ngx_http_request_t *r, mark_body_t *body, size_t limit)
{
    size_t        size;
    ngx_buf_t    *b;
    ngx_uint_t    n, in_file;
    ngx_chain_t  *cl;

    ngx_memzero(body, sizeof(mark_body_t));

    if (r->request_body == NULL || r->request_body->bufs == NULL) {
        return NGX_OK;
    }

    size = 0;
    in_file = 0;
    n = 0;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        b = cl->buf;

        if (ngx_buf_special(b)) {
            continue;
        }

        size += ngx_buf_size(b);
        in_file |= !ngx_buf_in_memory(b);
        n++;

        body->data = b->pos;
    }

    if (size > limit) {
        return NGX_DECLINED;
    }

    if (n <= 1 && !in_file) {
        body->len = size;
        return NGX_OK;
    }

    return ngx_http_mark_body_copy(r, body, size);
}


static ngx_int_t
ngx_http_mark_body_copy(ngx_http_request_t *r, mark_body_t *body, size_t size)
{
    u_char       *p;
    size_t        len;
    ssize_t       n;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    p = ngx_palloc(r->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    body->data = p;
    body->len = size;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        b = cl->buf;

        if (ngx_buf_special(b)) {
            continue;
        }

        len = ngx_buf_size(b);

        if (ngx_buf_in_memory(b)) {
            p = ngx_cpymem(p, b->pos, len);
            continue;
        }

        n = ngx_read_file(b->file, p, len, b->file_pos);

        if (n == NGX_ERROR || (size_t) n != len) {
            return NGX_ERROR;
        }

        p += len;
    }

    return NGX_OK;
}


/*
 * Reads Inference-Header-Content-Length.  NGX_ERROR: it is no number, or more
 * than there is.
 */

ngx_int_t
ngx_http_mark_body_json_len(ngx_str_t *value, mark_body_t *body)
{
    ngx_int_t  len;

    len = ngx_atoi(value->data, value->len);

    if (len == NGX_ERROR || (size_t) len > body->len) {
        return NGX_ERROR;
    }

    body->json_len = len;
    body->binary = 1;

    return NGX_OK;
}
