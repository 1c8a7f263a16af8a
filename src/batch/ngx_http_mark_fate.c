
/* What becomes of the members of a batch, by what came back. */


#include "ngx_http_mark.h"


static ngx_http_mark_fate_e ngx_http_mark_batch_split(
    ngx_http_mark_batch_t *batch);
static void ngx_http_mark_batch_unsplit(ngx_http_mark_batch_t *batch,
    const char *why);


ngx_http_mark_fate_e
ngx_http_mark_batch_fate(ngx_http_mark_batch_t *batch)
{
    if (batch->replaced) {

        /* the location's proxy_set_body, or the like, sent something else */

        if (!batch->conf->body_replaced && !batch->away) {
            batch->conf->body_replaced = 1;
            ngx_http_mark_service(batch->queue)->replaced = 1;

            ngx_log_error(NGX_LOG_WARN, batch->log, 0,
                          "mark: location \"%V\" does not send the request's "
                          "own body (proxy_set_body or "
                          "proxy_pass_request_body?), its requests are no "
                          "longer batched",
                          &batch->conf->location);
        }

        return NGX_HTTP_MARK_APART;
    }

    /* a carrier cannot follow it, which makes it a 500 */

    if (batch->redirect && batch->answer.err_status) {
        ngx_http_mark_batch_unsplit(batch, "has an X-Accel-Redirect header");
        return NGX_HTTP_MARK_APART;
    }

    /*
     * err_status is an answer of nginx, which each member gets in its own
     * name, with its own error_page: nothing was reached, or the backend
     * broke off.  Trying each alone would be a storm against what is down.
     * But with proxy_intercept_errors the backend itself has said so.
     */

    if (batch->answer.err_status) {
        return (batch->answer.err_status == batch->answer.upstream_status
                && batch->nslots > 1
                && mark_policy_blames_member(batch->answer.err_status))
               ? NGX_HTTP_MARK_HALVES : NGX_HTTP_MARK_ERROR;
    }

    if (batch->answer.status < NGX_HTTP_OK
        || (!batch->complete && !batch->oversize))
    {
        batch->answer.err_status = NGX_HTTP_BAD_GATEWAY;
        return NGX_HTTP_MARK_ERROR;
    }

    if (batch->cached) {
        ngx_http_mark_batch_unsplit(batch, "came from a cache");
        return NGX_HTTP_MARK_APART;
    }

    if (batch->oversize) {
        ngx_http_mark_batch_unsplit(batch, "is too large");
        return NGX_HTTP_MARK_APART;
    }

    if (batch->personal) {
        ngx_http_mark_batch_unsplit(batch, "has a Set-Cookie header");
        return NGX_HTTP_MARK_APART;
    }

    if (batch->encoded) {
        ngx_http_mark_batch_unsplit(batch, "is encoded");
        return NGX_HTTP_MARK_APART;
    }

    if (batch->answer.status == NGX_HTTP_OK) {
        return ngx_http_mark_batch_split(batch);
    }

    if (batch->answer.status < NGX_HTTP_SPECIAL_RESPONSE) {
        ngx_http_mark_batch_unsplit(batch, "has a status that is not 200");
        return NGX_HTTP_MARK_APART;
    }

    /* to a batch of one it says whose it is */

    return batch->nslots > 1
           && mark_policy_blames_member(batch->answer.status)
           ? NGX_HTTP_MARK_HALVES : NGX_HTTP_MARK_SAME;
}


static ngx_http_mark_fate_e
ngx_http_mark_batch_split(ngx_http_mark_batch_t *batch)
{
    mark_body_t           body;
    mark_memory_t         memory;
    mark_codec_status_t   status;

    body.data = batch->reply;
    body.len = batch->reply_len;
    body.json_len = batch->reply_json_len;
    body.binary = batch->reply_binary;

    memory.alloc = ngx_http_mark_alloc;
    memory.pool = batch->pool;

    if (body.binary && body.json_len > body.len) {
        status = MARK_CODEC_INVALID;

    } else {
        status = batch->conf->codec->split(&body, batch->slices,
                                           batch->nslots,
                                           &batch->conf->codec_conf, &memory);
    }

    switch (status) {

    case MARK_CODEC_OK:
        if (!batch->retry && !batch->away) {
            ngx_http_mark_service(batch->queue)->unsplit = 0;
            ngx_http_mark_service(batch->queue)->refused = 0;
        }

        return NGX_HTTP_MARK_SPLIT;

    case MARK_CODEC_MEMORY:
        return NGX_HTTP_MARK_APART;

    case MARK_CODEC_UNSUPPORTED:
        ngx_http_mark_batch_unsplit(batch, "has members that cannot be told "
                                           "apart by row");
        return NGX_HTTP_MARK_APART;

    case MARK_CODEC_MISMATCH:
        ngx_http_mark_batch_unsplit(batch, "has not the rows that were sent");
        break;

    default:
        ngx_http_mark_batch_unsplit(batch, "is malformed");
    }

    /*
     * One member can be enough for these two, with a row that is skipped or a
     * text that is not escaped.  If it is all of them, the halves are but two
     * requests more.
     */

    return NGX_HTTP_MARK_HALVES;
}


/* Of the parts of a failed batch nothing more is to be learned. */

static void
ngx_http_mark_batch_unsplit(ngx_http_mark_batch_t *batch, const char *why)
{
    if (!batch->retry && !batch->away) {
        ngx_http_mark_service_unsplit(batch->queue, batch->nslots, why);
    }
}
