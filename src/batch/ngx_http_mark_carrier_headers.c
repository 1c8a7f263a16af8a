
/* The headers of the carrier's request. */


#include "ngx_http_mark.h"
#include "ngx_http_mark_carrier.h"


static ngx_int_t ngx_http_mark_carrier_number(ngx_http_request_t *r,
    const char *name, size_t n);
static ngx_uint_t ngx_http_mark_carrier_drops(ngx_table_elt_t *h);
static ngx_int_t ngx_http_mark_carrier_header(ngx_http_request_t *r,
    ngx_table_elt_t *from);


/*
 * Headers of the leader that say something of its own body, connection or
 * cache.  Accept-Encoding is among them: an encoded reply cannot be split.
 */

static ngx_str_t  ngx_http_mark_carrier_dropped[] = {
    ngx_string("accept-encoding"),
    ngx_string("connection"),
    ngx_string("content-length"),
    ngx_string("expect"),
    ngx_string("http2-settings"),
    ngx_string("if-match"),
    ngx_string("if-modified-since"),
    ngx_string("if-none-match"),
    ngx_string("if-range"),
    ngx_string("if-unmodified-since"),
    ngx_string("inference-header-content-length"),
    ngx_string("keep-alive"),
    ngx_string("range"),
    ngx_string("te"),
    ngx_string("trailer"),
    ngx_string("transfer-encoding"),
    ngx_string("upgrade"),
    ngx_null_string
};


/*
 * Gives the carrier's request the headers of the leader, and those of the
 * batch's body.
 */

ngx_int_t
ngx_http_mark_carrier_headers(ngx_http_request_t *r, ngx_http_request_t *lr,
    ngx_http_mark_batch_t *batch)
{
    size_t            length;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &lr->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (!ngx_http_mark_carrier_drops(&h[i])
                && ngx_http_mark_carrier_header(r, &h[i]) != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    length = ngx_buf_size(batch->body);

    r->headers_in.content_length_n = length;

    if (batch->binary
        && ngx_http_mark_carrier_number(r, NGX_HTTP_MARK_JSON_LEN,
                                        batch->json_len)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_mark_carrier_number(r, "Content-Length", length);
}


static ngx_int_t
ngx_http_mark_carrier_number(ngx_http_request_t *r, const char *name,
    size_t n)
{
    u_char           value[NGX_SIZE_T_LEN], lowcase[64];
    ngx_table_elt_t  h;

    ngx_memzero(&h, sizeof(ngx_table_elt_t));

    h.key.data = (u_char *) name;
    h.key.len = ngx_strlen(name);
    h.lowcase_key = lowcase;
    h.hash = ngx_hash_strlow(lowcase, h.key.data, h.key.len);
    h.value.data = value;
    h.value.len = ngx_sprintf(value, "%uz", n) - value;

    return ngx_http_mark_carrier_header(r, &h);
}


static ngx_uint_t
ngx_http_mark_carrier_drops(ngx_table_elt_t *h)
{
    ngx_str_t  *name;

    for (name = ngx_http_mark_carrier_dropped; name->len; name++) {
        if (h->key.len == name->len
            && ngx_memcmp(h->lowcase_key, name->data, name->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/*
 * The core's own handler of a header fills headers_in, whose layout differs
 * between versions.  It finishes requests with headers that it refuses; the
 * leader's were accepted, and the carrier has no more than they.
 */

static ngx_int_t
ngx_http_mark_carrier_header(ngx_http_request_t *r, ngx_table_elt_t *from)
{
    u_char                     *p;
    ngx_table_elt_t            *h;
    ngx_http_header_t          *hh;
    ngx_http_core_main_conf_t  *cmcf;

    h = ngx_list_push(&r->headers_in.headers);
    p = ngx_pnalloc(r->pool, 2 * from->key.len + from->value.len + 2);

    if (h == NULL || p == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = from->hash;

    h->key.len = from->key.len;
    h->key.data = p;
    p = ngx_cpymem(p, from->key.data, from->key.len);
    *p++ = '\0';

    h->value.len = from->value.len;
    h->value.data = p;
    p = ngx_cpymem(p, from->value.data, from->value.len);
    *p++ = '\0';

    h->lowcase_key = p;
    ngx_memcpy(p, from->lowcase_key, from->key.len);

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);

    hh = ngx_hash_find(&cmcf->headers_in_hash, h->hash, h->lowcase_key,
                       h->key.len);

    if (hh == NULL) {
        return NGX_OK;
    }

    return hh->handler(r, h, hh->offset);
}
