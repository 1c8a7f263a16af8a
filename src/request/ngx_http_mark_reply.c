
/*
 * How an answer goes out to one client.
 *
 * All that is sent is copied into the client's own pool first: a client that
 * reads slowly keeps nothing of the batch alive.  Each function finishes the
 * request, which may be gone when it returns; its caller, being no event of
 * that client, then runs ngx_http_run_posted_requests().
 */


#include "ngx_http_mark.h"


static ngx_int_t ngx_http_mark_reply_headers(ngx_http_request_t *r,
    ngx_http_mark_answer_t *answer, mark_parts_t *body);
static ngx_int_t ngx_http_mark_reply_json_len(ngx_http_request_t *r,
    ngx_table_elt_t *h, mark_parts_t *body);
static void ngx_http_mark_reply_challenge(ngx_http_request_t *r,
    ngx_http_mark_answer_t *answer);
static void ngx_http_mark_reply_send(ngx_http_request_t *r, ngx_buf_t *b);
static ngx_int_t ngx_http_mark_reply_copy(ngx_pool_t *pool, ngx_str_t *to,
    ngx_str_t *from);


/* Sends this body with the answer's status and headers. */

void
ngx_http_mark_reply(ngx_http_mark_ctx_t *ctx, ngx_http_mark_answer_t *answer,
    mark_parts_t *body)
{
    size_t               i;
    ngx_buf_t           *b;
    ngx_http_request_t  *r;

    r = ctx->request;

    ngx_http_mark_reply_states(ctx, answer);

    if (ngx_http_mark_reply_headers(r, answer, body) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    b = ngx_create_temp_buf(r->pool, body->len);
    if (b == NULL) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    for (i = 0; i < body->nspans; i++) {
        if (body->spans[i].len) {
            b->last = ngx_cpymem(b->last, body->spans[i].data,
                                 body->spans[i].len);
        }
    }

    ngx_http_mark_reply_send(r, b);
}


/*
 * Nginx's own answer instead of the backend's.  An intercepted 401 keeps what
 * it asks for, as ngx_http_upstream has it.
 */

void
ngx_http_mark_reply_refused(ngx_http_mark_ctx_t *ctx,
    ngx_http_mark_answer_t *answer)
{
    ngx_http_mark_reply_states(ctx, answer);

    if (answer->err_status == NGX_HTTP_UNAUTHORIZED
        && answer->upstream_status == NGX_HTTP_UNAUTHORIZED)
    {
        ngx_http_mark_reply_challenge(ctx->request, answer);
    }

    ngx_http_mark_reply_status(ctx, answer->err_status);
}


static void
ngx_http_mark_reply_challenge(ngx_http_request_t *r,
    ngx_http_mark_answer_t *answer)
{
    ngx_uint_t        i;
    ngx_table_elt_t  *h, *from;

    from = answer->headers.elts;

    for (i = 0; i < answer->headers.nelts; i++) {

        if (from[i].key.len != sizeof("WWW-Authenticate") - 1
            || ngx_strncasecmp(from[i].key.data,
                               (u_char *) "WWW-Authenticate",
                               sizeof("WWW-Authenticate") - 1)
               != 0)
        {
            continue;
        }

        h = ngx_list_push(&r->headers_out.headers);
        if (h == NULL) {
            return;
        }

        ngx_memzero(h, sizeof(ngx_table_elt_t));

        if (ngx_http_mark_reply_copy(r->pool, &h->key, &from[i].key) == NGX_OK
            && ngx_http_mark_reply_copy(r->pool, &h->value, &from[i].value)
               == NGX_OK)
        {
            h->hash = 1;
        }
    }
}


/* Nginx's own answer of this status, or the location's error_page for it. */

void
ngx_http_mark_reply_status(ngx_http_mark_ctx_t *ctx, ngx_int_t status)
{
    ngx_http_finalize_request(ctx->request, status);
}


/* Over mark_max_queue_size. */

void
ngx_http_mark_reply_rejected(ngx_http_mark_ctx_t *ctx)
{
    ngx_http_mark_count(ctx->conf, rejected);

    ctx->reason = "rejected";

    ngx_http_mark_reply_error(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                              "too many requests are waiting");
}


/* Too late for its deadline; seconds is when to try again. */

void
ngx_http_mark_reply_late(ngx_http_mark_ctx_t *ctx, ngx_uint_t seconds)
{
    ngx_http_mark_count(ctx->conf, timeouts);

    ctx->reason = "timeout";
    ctx->retry_after = seconds;

    ngx_http_mark_reply_error(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                              "the deadline of this request cannot be met");
}


/* An error in the protocol's own shape; text is literal JSON string text. */

void
ngx_http_mark_reply_error(ngx_http_mark_ctx_t *ctx, ngx_int_t status,
    const char *text)
{
    size_t               len;
    ngx_buf_t           *b;
    ngx_table_elt_t     *h;
    const mark_codec_t  *codec;
    ngx_http_request_t  *r;

    r = ctx->request;
    codec = ctx->conf->codec;

    len = ngx_strlen(codec->error_head) + ngx_strlen(text)
          + ngx_strlen(codec->error_tail);

    b = ngx_create_temp_buf(r->pool, len);
    if (b == NULL) {
        goto failed;
    }

    b->last = ngx_sprintf(b->last, "%s%s%s", codec->error_head, text,
                          codec->error_tail);

    r->headers_out.status = status;
    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        goto failed;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));
    h->hash = 1;
    ngx_str_set(&h->key, "X-Mark-Reason");
    h->value.data = (u_char *) ctx->reason;
    h->value.len = ngx_strlen(ctx->reason);

    if (status == NGX_HTTP_SERVICE_UNAVAILABLE) {
        h = ngx_list_push(&r->headers_out.headers);
        if (h == NULL) {
            goto failed;
        }

        ngx_memzero(h, sizeof(ngx_table_elt_t));
        h->hash = 1;
        ngx_str_set(&h->key, "Retry-After");

        h->value.data = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
        if (h->value.data == NULL) {
            h->hash = 0;
            goto failed;
        }

        h->value.len = ngx_sprintf(h->value.data, "%ui",
                                   ngx_max(ctx->retry_after, 1))
                       - h->value.data;
    }

    ngx_http_mark_reply_send(r, b);
    return;

failed:

    ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
}


static void
ngx_http_mark_reply_send(ngx_http_request_t *r, ngx_buf_t *b)
{
    ngx_int_t    rc;
    ngx_chain_t  out;

    r->headers_out.content_length_n = b->last - b->pos;

    if (b->last == b->pos) {
        r->header_only = 1;
    }

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


static ngx_int_t
ngx_http_mark_reply_headers(ngx_http_request_t *r,
    ngx_http_mark_answer_t *answer, mark_parts_t *body)
{
    ngx_uint_t        i;
    ngx_table_elt_t  *h, *from;

    r->headers_out.status = answer->status;

    /* as with proxy_pass, conditions are not ours to test */

    r->disable_not_modified = 1;

    if (ngx_http_mark_reply_copy(r->pool, &r->headers_out.status_line,
                                 &answer->status_line)
        != NGX_OK
        || ngx_http_mark_reply_copy(r->pool, &r->headers_out.content_type,
                                    &answer->content_type)
           != NGX_OK
        || ngx_http_mark_reply_copy(r->pool, &r->headers_out.charset,
                                    &answer->charset)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    r->headers_out.content_type_len = answer->content_type_len;
    r->headers_out.content_type_lowcase = NULL;

    from = answer->headers.elts;

    for (i = 0; i < answer->headers.nelts; i++) {

        h = ngx_list_push(&r->headers_out.headers);
        if (h == NULL) {
            return NGX_ERROR;
        }

        ngx_memzero(h, sizeof(ngx_table_elt_t));

        if (ngx_http_mark_reply_copy(r->pool, &h->key, &from[i].key) != NGX_OK
            || ngx_http_mark_reply_copy(r->pool, &h->value, &from[i].value)
               != NGX_OK
            || ngx_http_mark_reply_json_len(r, h, body) != NGX_OK)
        {
            return NGX_ERROR;
        }

        h->hash = 1;
        h->lowcase_key = ngx_pnalloc(r->pool, h->key.len);
        if (h->lowcase_key == NULL) {
            return NGX_ERROR;
        }

        ngx_strlow(h->lowcase_key, h->key.data, h->key.len);

        /* with proxy_pass_header; nginx would add its own beside them */

        if (h->key.len == 6 && ngx_memcmp(h->lowcase_key, "server", 6) == 0) {
            r->headers_out.server = h;
        }

        if (h->key.len == 4 && ngx_memcmp(h->lowcase_key, "date", 4) == 0) {
            r->headers_out.date = h;
        }
    }

    return NGX_OK;
}


/* The part of a binary body that is JSON has a length of its own. */

static ngx_int_t
ngx_http_mark_reply_json_len(ngx_http_request_t *r, ngx_table_elt_t *h,
    mark_parts_t *body)
{
    if (!body->binary
        || h->key.len != sizeof(NGX_HTTP_MARK_JSON_LEN) - 1
        || ngx_strncasecmp(h->key.data, (u_char *) NGX_HTTP_MARK_JSON_LEN,
                           h->key.len)
           != 0)
    {
        return NGX_OK;
    }

    h->value.data = ngx_pnalloc(r->pool, NGX_SIZE_T_LEN);
    if (h->value.data == NULL) {
        return NGX_ERROR;
    }

    h->value.len = ngx_sprintf(h->value.data, "%uz", body->json_len)
                   - h->value.data;

    return NGX_OK;
}


/*
 * What the batch's upstream did becomes the client's, so that $upstream_addr
 * and its kin are in the client's log line; retries add theirs, behind an
 * empty state, as ngx_http_upstream has it.
 */

void
ngx_http_mark_reply_states(ngx_http_mark_ctx_t *ctx,
    ngx_http_mark_answer_t *answer)
{
    ngx_str_t                  *peer;
    ngx_uint_t                  i;
    ngx_http_request_t         *r;
    ngx_http_upstream_state_t  *state, *from;

    r = ctx->request;
    ctx->decision = answer->decision;

    if (answer->states.nelts == 0) {
        return;
    }

    if (r->upstream_states == NULL) {
        r->upstream_states = ngx_array_create(r->pool, answer->states.nelts,
                                           sizeof(ngx_http_upstream_state_t));
        if (r->upstream_states == NULL) {
            return;
        }

    } else {
        state = ngx_array_push(r->upstream_states);
        if (state == NULL) {
            return;
        }

        ngx_memzero(state, sizeof(ngx_http_upstream_state_t));
    }

    from = answer->states.elts;

    for (i = 0; i < answer->states.nelts; i++) {

        state = ngx_array_push(r->upstream_states);
        if (state == NULL) {
            return;
        }

        *state = from[i];

        if (from[i].peer == NULL) {
            continue;
        }

        peer = ngx_palloc(r->pool, sizeof(ngx_str_t));

        if (peer == NULL
            || ngx_http_mark_reply_copy(r->pool, peer, from[i].peer) != NGX_OK)
        {
            state->peer = NULL;
            continue;
        }

        state->peer = peer;
    }
}


static ngx_int_t
ngx_http_mark_reply_copy(ngx_pool_t *pool, ngx_str_t *to, ngx_str_t *from)
{
    to->len = from->len;
    to->data = NULL;

    if (from->len == 0) {
        return NGX_OK;
    }

    to->data = ngx_pnalloc(pool, from->len);
    if (to->data == NULL) {
        to->len = 0;
        return NGX_ERROR;
    }

    ngx_memcpy(to->data, from->data, from->len);

    return NGX_OK;
}
