
/*
 * Answers on their way to members of a batch in other workers.
 *
 * All of a batch's are in one block of shared memory: status, headers and
 * what the upstream did, once, and the bodies of the members.  It is freed
 * with the last of their cells.
 */


#include "ngx_http_mark.h"
#include "ngx_http_mark_share.h"


static size_t ngx_http_mark_answer_size(ngx_http_mark_answer_t *answer);
static u_char *ngx_http_mark_answer_copy(u_char *p,
    ngx_http_mark_answer_t *to, ngx_http_mark_answer_t *from);
static u_char *ngx_http_mark_answer_str(u_char *p, ngx_str_t *to,
    ngx_str_t *from);
static u_char *ngx_http_mark_answer_body(u_char *p, mark_parts_t *parts);
static ngx_http_mark_block_t *ngx_http_mark_answer_block(
    ngx_http_mark_batch_t *batch, ngx_http_mark_fate_e fate,
    mark_parts_t *whole, u_char **bodies);
static void ngx_http_mark_answer_return(ngx_http_mark_batch_t *batch);


/*
 * Gives the batch's members in other workers what they get of its answer;
 * whole is the body that all get where it is the same.
 */

void
ngx_http_mark_answer_members(ngx_http_mark_batch_t *batch,
    ngx_http_mark_fate_e fate, mark_parts_t *whole)
{
    u_char                 *p, *body;
    uint64_t                now;
    ngx_uint_t              i;
    mark_parts_t           *parts;
    ngx_http_mark_cell_t   *cell;
    ngx_http_mark_block_t  *block;

    if (batch->ncells == 0) {
        return;
    }

    block = (fate == NGX_HTTP_MARK_APART)
            ? NULL : ngx_http_mark_answer_block(batch, fate, whole, &p);

    if (block == NULL) {
        ngx_http_mark_answer_return(batch);
        return;
    }

    now = ngx_http_mark_now();

    if (ngx_http_mark_share_lock() != NGX_OK) {
        return;
    }

    for (i = 0; i < batch->nslots; i++) {
        cell = batch->cells[i];

        if (cell == NULL) {
            continue;
        }

        parts = (fate == NGX_HTTP_MARK_SPLIT) ? &batch->slices[i].answer
                                              : whole;
        body = p;

        if (fate == NGX_HTTP_MARK_SPLIT) {
            p += parts->len;
        }

        batch->cells[i] = NULL;

        if (cell->gone) {
            ngx_http_mark_cell_free(cell);
            continue;
        }

        cell->block = block;
        block->refs++;

        cell->refused = (fate == NGX_HTTP_MARK_ERROR);
        cell->body.data = body;
        cell->body.len = parts->len;
        cell->json_len = parts->json_len;
        cell->binary = parts->binary;

        cell->batch_size = batch->nslots;
        cell->batch_rows = batch->rows;
        cell->reason = batch->reason;
        cell->sent = batch->sent;
        cell->answered = batch->answered ? batch->answered : now;

        cell->state = NGX_HTTP_MARK_CELL_ANSWERED;
        ngx_http_mark_cell_box(cell, cell->worker);
    }

    if (block->refs == 0) {
        ngx_http_mark_block_free(block);
    }

    batch->ncells = 0;

    ngx_http_mark_share_unlock();
}


/* The members go back to their workers, which try them alone. */

static void
ngx_http_mark_answer_return(ngx_http_mark_batch_t *batch)
{
    ngx_uint_t  i;

    for (i = 0; i < batch->nslots; i++) {
        if (batch->cells[i]) {
            ngx_http_mark_cell_return(batch->cells[i]);
            batch->cells[i] = NULL;
        }
    }

    batch->ncells = 0;
}


static ngx_http_mark_block_t *
ngx_http_mark_answer_block(ngx_http_mark_batch_t *batch,
    ngx_http_mark_fate_e fate, mark_parts_t *whole, u_char **bodies)
{
    size_t                  size;
    u_char                 *p;
    ngx_uint_t              i;
    ngx_http_mark_block_t  *block;

    size = sizeof(ngx_http_mark_block_t)
           + ngx_http_mark_answer_size(&batch->answer);

    if (fate == NGX_HTTP_MARK_SAME) {
        size += whole->len;
    }

    for (i = 0; fate == NGX_HTTP_MARK_SPLIT && i < batch->nslots; i++) {
        if (batch->cells[i]) {
            size += batch->slices[i].answer.len;
        }
    }

    if (ngx_http_mark_share_lock() != NGX_OK) {
        return NULL;
    }

    block = ngx_http_mark_share_alloc(size);

    if (block) {
        block->worker = ngx_worker;
        block->refs = 0;
        ngx_queue_insert_tail(&ngx_http_mark_share->blocks, &block->all);
    }

    ngx_http_mark_share_unlock();

    if (block == NULL) {
        ngx_http_mark_count(batch->conf, unshared);
        return NULL;
    }

    p = (u_char *) block + sizeof(ngx_http_mark_block_t);
    p = ngx_http_mark_answer_copy(p, &block->answer, &batch->answer);

    *bodies = p;

    if (fate == NGX_HTTP_MARK_SAME) {
        (void) ngx_http_mark_answer_body(p, whole);
    }

    for (i = 0; fate == NGX_HTTP_MARK_SPLIT && i < batch->nslots; i++) {
        if (batch->cells[i]) {
            p = ngx_http_mark_answer_body(p, &batch->slices[i].answer);
        }
    }

    return block;
}


static u_char *
ngx_http_mark_answer_body(u_char *p, mark_parts_t *parts)
{
    size_t  i;

    for (i = 0; i < parts->nspans; i++) {
        if (parts->spans[i].len) {
            p = ngx_cpymem(p, parts->spans[i].data, parts->spans[i].len);
        }
    }

    return p;
}


static size_t
ngx_http_mark_answer_size(ngx_http_mark_answer_t *answer)
{
    size_t                      size;
    ngx_uint_t                  i;
    ngx_table_elt_t            *h;
    ngx_http_upstream_state_t  *state;

    size = answer->status_line.len + answer->content_type.len
           + answer->charset.len;

    h = answer->headers.elts;

    for (i = 0; i < answer->headers.nelts; i++) {
        size += sizeof(ngx_table_elt_t) + h[i].key.len + h[i].value.len;
    }

    state = answer->states.elts;

    for (i = 0; i < answer->states.nelts; i++) {
        size += sizeof(ngx_http_upstream_state_t) + sizeof(ngx_str_t)
                + (state[i].peer ? state[i].peer->len : 0);
    }

    return size;
}


/* What must be aligned goes first. */

static u_char *
ngx_http_mark_answer_copy(u_char *p, ngx_http_mark_answer_t *to,
    ngx_http_mark_answer_t *from)
{
    ngx_str_t                  *peer;
    ngx_uint_t                  i;
    ngx_table_elt_t            *h;
    ngx_http_upstream_state_t  *state;

    *to = *from;

    if (from->headers.nelts) {
        to->headers.elts = p;
        p = ngx_cpymem(p, from->headers.elts,
                       from->headers.nelts * sizeof(ngx_table_elt_t));
    }

    if (from->states.nelts) {
        to->states.elts = p;
        p = ngx_cpymem(p, from->states.elts,
                       from->states.nelts * sizeof(ngx_http_upstream_state_t));
    }

    state = to->states.elts;

    for (i = 0; i < to->states.nelts; i++) {
        if (state[i].peer) {
            peer = (ngx_str_t *) p;
            *peer = *state[i].peer;
            state[i].peer = peer;
        }

        p += sizeof(ngx_str_t);
    }

    for (i = 0; i < to->states.nelts; i++) {
        if (state[i].peer) {
            p = ngx_http_mark_answer_str(p, state[i].peer, state[i].peer);
        }
    }

    h = to->headers.elts;

    for (i = 0; i < to->headers.nelts; i++) {
        p = ngx_http_mark_answer_str(p, &h[i].key, &h[i].key);
        p = ngx_http_mark_answer_str(p, &h[i].value, &h[i].value);
    }

    p = ngx_http_mark_answer_str(p, &to->status_line, &from->status_line);
    p = ngx_http_mark_answer_str(p, &to->content_type, &from->content_type);

    return ngx_http_mark_answer_str(p, &to->charset, &from->charset);
}


static u_char *
ngx_http_mark_answer_str(u_char *p, ngx_str_t *to, ngx_str_t *from)
{
    u_char  *last;

    last = from->len ? ngx_cpymem(p, from->data, from->len) : p;

    to->len = from->len;
    to->data = p;

    return last;
}


/*
 * Answers a client with what is in its cell.  The request may be gone when
 * this returns.
 */

void
ngx_http_mark_answer_deliver(ngx_http_mark_ctx_t *ctx,
    ngx_http_mark_cell_t *cell)
{
    mark_parts_t       parts;
    ngx_connection_t  *c;

    c = ctx->request->connection;

    ctx->batch_size = cell->batch_size;
    ctx->batch_rows = cell->batch_rows;
    ctx->reason = cell->reason;
    ctx->sent = cell->sent;
    ctx->answered = cell->answered;

    if (cell->refused) {
        ngx_http_mark_reply_refused(ctx, &cell->block->answer);

    } else {
        parts.spans = &cell->body;
        parts.nspans = 1;
        parts.len = cell->body.len;
        parts.json_len = cell->json_len;
        parts.binary = cell->binary;

        ngx_http_mark_reply(ctx, &cell->block->answer, &parts);
    }

    ngx_http_run_posted_requests(c);
}
