
/*
 * Cells: requests that wait where all workers see them; see
 * ngx_http_mark_share.c for the whole.
 *
 * The request itself stays with its worker, which holds its client; in the
 * cell is all that a batch needs of it.  While a cell is in its line, anybody
 * may take it, with the lock held; from then on it is the taker's until that
 * puts it into the box of its worker, which frees it.  A client that leaves
 * takes its cell out of the line, or marks it as gone for the taker to free.
 */


#include "ngx_http_mark.h"
#include "ngx_http_mark_share.h"


static ngx_http_mark_cell_t *ngx_http_mark_cell_create(
    ngx_http_mark_queue_t *q, ngx_http_mark_ctx_t *ctx);
static void ngx_http_mark_cell_fill(ngx_http_mark_cell_t *cell,
    ngx_http_mark_queue_t *q, ngx_http_mark_ctx_t *ctx);
static ngx_int_t ngx_http_mark_cell_news(ngx_http_mark_main_conf_t *mmcf);
static void ngx_http_mark_cell_left(ngx_http_mark_cell_t *cell);
static void ngx_http_mark_cell_arrived(ngx_http_mark_cell_t *cell);


/*
 * Moves what waits in this worker's own line to the shared one.  What there is
 * no room for stays.
 */

void
ngx_http_mark_cell_publish(ngx_http_mark_queue_t *q)
{
    ngx_queue_t           *link, *next;
    ngx_http_mark_ctx_t   *ctx;
    ngx_http_mark_item_t  *item;
    ngx_http_mark_cell_t  *cell;

    if (ngx_http_mark_share_lock() != NGX_OK) {
        return;
    }

    for (link = ngx_queue_head(&q->line.items);
         link != ngx_queue_sentinel(&q->line.items);
         link = ngx_queue_next(link))
    {
        item = ngx_queue_data(link, ngx_http_mark_item_t, link);
        ctx = item->ctx;

        if (!ctx->private) {
            ctx->cell = ngx_http_mark_cell_create(q, ctx);

            if (ctx->cell == NULL) {
                ctx->private = 1;
                ngx_http_mark_count(q->conf, unshared);
            }
        }
    }

    ngx_http_mark_share_unlock();

    for (link = ngx_queue_head(&q->line.items);
         link != ngx_queue_sentinel(&q->line.items);
         link = ngx_queue_next(link))
    {
        item = ngx_queue_data(link, ngx_http_mark_item_t, link);
        ctx = item->ctx;

        if (ctx->cell) {
            ngx_http_mark_cell_fill(ctx->cell, q, ctx);
        }
    }

    /* should it have broken meanwhile, the cells are lost, not the requests */

    if (ngx_http_mark_share_lock() != NGX_OK) {
        return;
    }

    for (link = ngx_queue_head(&q->line.items);
         link != ngx_queue_sentinel(&q->line.items);
         link = next)
    {
        next = ngx_queue_next(link);
        item = ngx_queue_data(link, ngx_http_mark_item_t, link);
        ctx = item->ctx;
        cell = ctx->cell;

        if (cell == NULL) {
            continue;
        }

        ngx_http_mark_line_remove(&q->line, item);

        ctx->state = NGX_HTTP_MARK_SHARED;
        ngx_queue_insert_tail(&q->cells, &item->link);
        q->ncells++;

        cell->state = NGX_HTTP_MARK_CELL_WAITING;
        ngx_http_mark_line_add(&q->shared->line, &cell->item);
    }

    ngx_http_mark_share_unlock();
}


/*
 * With the lock held, a cell that is to be filled; known already, so that it
 * is found should this worker die before it is in the line.
 */

static ngx_http_mark_cell_t *
ngx_http_mark_cell_create(ngx_http_mark_queue_t *q, ngx_http_mark_ctx_t *ctx)
{
    size_t                 size;
    ngx_http_mark_cell_t  *cell;

    size = sizeof(ngx_http_mark_cell_t)
           + ngx_align(ctx->req.parsed_len, NGX_ALIGNMENT)
           + ctx->req.body.len;

    cell = ngx_http_mark_share_alloc(size);
    if (cell == NULL) {
        return NULL;
    }

    ngx_memzero(cell, sizeof(ngx_http_mark_cell_t));

    cell->state = NGX_HTTP_MARK_CELL_NEW;
    cell->worker = ngx_worker;
    cell->queue = q->shared;

    ngx_queue_insert_tail(&ngx_http_mark_share->cells, &cell->all);
    ngx_http_mark_share->ncells++;

    return cell;
}


static void
ngx_http_mark_cell_fill(ngx_http_mark_cell_t *cell, ngx_http_mark_queue_t *q,
    ngx_http_mark_ctx_t *ctx)
{
    u_char  *p;

    cell->item = ctx->item;
    cell->item.cell = cell;

    cell->counters = q->conf->counters;
    cell->seat = q->main->seat;
    cell->holder = *q->main->seat;

    cell->req = ctx->req;

    p = (u_char *) cell + sizeof(ngx_http_mark_cell_t);

    cell->req.parsed = p;
    ngx_memcpy(p, ctx->req.parsed, ctx->req.parsed_len);
    p += ngx_align(ctx->req.parsed_len, NGX_ALIGNMENT);

    cell->req.body.data = p;
    ngx_memcpy(p, ctx->req.body.data, ctx->req.body.len);

    /* whoever takes it has found it by its key */

    cell->req.key.data = NULL;
    cell->req.key.len = 0;
}


/*
 * With the lock held, claims items that were taken out of the shared line.
 * This worker's own come back as they were before.  Returns the number of
 * these; with 0 nothing was done.
 */

ngx_uint_t
ngx_http_mark_cell_take(ngx_queue_t *taken)
{
    ngx_uint_t             own;
    ngx_queue_t           *link, *next;
    ngx_http_mark_ctx_t   *ctx;
    ngx_http_mark_item_t  *item;
    ngx_http_mark_cell_t  *cell;

    own = 0;

    for (link = ngx_queue_head(taken);
         link != ngx_queue_sentinel(taken);
         link = ngx_queue_next(link))
    {
        item = ngx_queue_data(link, ngx_http_mark_item_t, link);
        own += (item->cell->worker == ngx_worker);
    }

    if (own == 0) {
        return 0;
    }

    for (link = ngx_queue_head(taken);
         link != ngx_queue_sentinel(taken);
         link = next)
    {
        next = ngx_queue_next(link);
        item = ngx_queue_data(link, ngx_http_mark_item_t, link);
        cell = item->cell;

        if (cell->worker != ngx_worker) {
            cell->state = NGX_HTTP_MARK_CELL_TAKEN;
            cell->taker = ngx_worker;
            cell->taker_pid = ngx_pid;

            /* a dead worker's gauges are gone, or another's by now */

            if (*cell->seat == cell->holder) {
                (void) ngx_atomic_fetch_add(&cell->counters->queued, -1);
            }

            continue;
        }

        ctx = item->ctx;
        ngx_http_mark_cell_detach(ctx);

        ngx_queue_insert_after(link, &ctx->item.link);
        ngx_queue_remove(link);

        ngx_http_mark_cell_free(cell);
    }

    return own;
}


/* The request and its cell part; the caller sees to the cell. */

void
ngx_http_mark_cell_detach(ngx_http_mark_ctx_t *ctx)
{
    ngx_http_mark_queue_t  *q;

    q = ctx->queue;

    ngx_queue_remove(&ctx->item.link);
    q->ncells--;

    ctx->cell = NULL;
    ctx->state = NGX_HTTP_MARK_DONE;

    if (q->ncells == 0 && q->blocked.next) {
        ngx_http_mark_gate_settle(q);
    }
}


/*
 * With the lock held: an item that was taken out of the shared line will not
 * be served, for being too late or one too many.
 */

void
ngx_http_mark_cell_refuse(ngx_http_mark_queue_t *q, ngx_http_mark_item_t *item,
    ngx_uint_t late)
{
    ngx_http_mark_ctx_t   *ctx;
    ngx_http_mark_cell_t  *cell;

    cell = item->cell;

    if (cell->worker != ngx_worker) {
        cell->state = late ? NGX_HTTP_MARK_CELL_LATE
                           : NGX_HTTP_MARK_CELL_SHED;
        ngx_http_mark_cell_box(cell, cell->worker);
        return;
    }

    ctx = item->ctx;

    ngx_http_mark_cell_detach(ctx);
    ngx_http_mark_cell_free(cell);

    ctx->late = late;
    ngx_http_mark_queue_shed(q, ctx);
}


/* With the lock held: the first of this worker's that wait; NULL: none. */

ngx_http_mark_item_t *
ngx_http_mark_cell_waiting(ngx_http_mark_queue_t *q)
{
    ngx_queue_t          *link;
    ngx_http_mark_ctx_t  *ctx;

    for (link = ngx_queue_head(&q->cells);
         link != ngx_queue_sentinel(&q->cells);
         link = ngx_queue_next(link))
    {
        ctx = ngx_queue_data(link, ngx_http_mark_ctx_t, item.link);

        if (ctx->cell->state == NGX_HTTP_MARK_CELL_WAITING) {
            return &ctx->cell->item;
        }
    }

    return NULL;
}


/*
 * With the lock held: if the first in the shared line is another worker's, that
 * is asked to look, and the gate is told, before anybody else comes.
 */

void
ngx_http_mark_cell_next(ngx_http_mark_queue_t *q)
{
    ngx_http_mark_cell_t  *cell;

    cell = ngx_http_mark_line_first(&q->shared->line)->cell;

    if (cell->worker != ngx_worker) {
        ngx_http_mark_cell_box(cell, cell->worker);
        ngx_http_mark_gate_tell(q->conf->gate, cell->worker, &cell->item);
    }
}


/* A cell that was taken goes back to its worker, to be tried alone. */

void
ngx_http_mark_cell_return(ngx_http_mark_cell_t *cell)
{
    if (ngx_http_mark_share_lock() != NGX_OK) {
        return;
    }

    if (cell->gone) {
        ngx_http_mark_cell_free(cell);

    } else {
        cell->state = NGX_HTTP_MARK_CELL_RETURNED;
        ngx_http_mark_cell_box(cell, cell->worker);
    }

    ngx_http_mark_share_unlock();
}


/* A client leaves whose request is in a cell. */

void
ngx_http_mark_cell_remove(ngx_http_mark_ctx_t *ctx)
{
    ngx_http_mark_cell_t   *cell;
    ngx_http_mark_queue_t  *q;

    q = ctx->queue;
    cell = ctx->cell;

    ngx_http_mark_cell_detach(ctx);
    ctx->queue = NULL;

    if (q->ncells == 0 && q->line.nitems == 0 && q->event.timer_set) {
        ngx_del_timer(&q->event);
    }

    if (ngx_http_mark_share_lock() != NGX_OK) {
        return;
    }

    switch (cell->state) {

    case NGX_HTTP_MARK_CELL_WAITING:
        ngx_http_mark_line_remove(&cell->queue->line, &cell->item);

        /* fall through */

    case NGX_HTTP_MARK_CELL_LATE:
    case NGX_HTTP_MARK_CELL_SHED:
        ngx_http_mark_add(q->conf, queued, -1);
        ngx_http_mark_cell_free(cell);
        break;

    case NGX_HTTP_MARK_CELL_TAKEN:
        cell->gone = 1;
        ngx_http_mark_cell_box(cell, cell->taker);
        break;

    default:
        ngx_http_mark_cell_free(cell);
    }

    ngx_http_mark_share_unlock();
}


/* The bell was rung: looks into the box. */

void
ngx_http_mark_cell_heard(ngx_http_mark_main_conf_t *mmcf)
{
    if (ngx_http_mark_share_broken()) {
        ngx_http_mark_sweep_broken(mmcf);
        return;
    }

    while (ngx_http_mark_cell_news(mmcf) == NGX_OK) { /* void */ }
}


/* One cell of the box; NGX_DONE: there is none. */

static ngx_int_t
ngx_http_mark_cell_news(ngx_http_mark_main_conf_t *mmcf)
{
    ngx_queue_t           *box;
    ngx_http_mark_cell_t  *cell;

    if (ngx_http_mark_share_lock() != NGX_OK) {
        return NGX_DONE;
    }

    box = &ngx_http_mark_share->boxes[ngx_worker];

    if (ngx_queue_empty(box)) {
        ngx_http_mark_share_unlock();
        return NGX_DONE;
    }

    cell = ngx_queue_data(ngx_queue_head(box), ngx_http_mark_cell_t, box);

    ngx_queue_remove(&cell->box);
    cell->boxed = 0;

    if (cell->worker != ngx_worker) {
        ngx_http_mark_cell_left(cell);

    } else {
        ngx_http_mark_cell_arrived(cell);
    }

    return NGX_OK;
}


/* A member of a batch of ours has left, in another worker.  Unlocks. */

static void
ngx_http_mark_cell_left(ngx_http_mark_cell_t *cell)
{
    ngx_http_mark_batch_t  *batch;

    batch = cell->batch;
    batch->cells[cell->slot] = NULL;
    batch->ncells--;

    ngx_http_mark_cell_free(cell);
    ngx_http_mark_share_unlock();

    ngx_http_mark_batch_left(batch);
}


/* News for a client of ours.  Unlocks. */

static void
ngx_http_mark_cell_arrived(ngx_http_mark_cell_t *cell)
{
    ngx_http_mark_ctx_t    *ctx;
    ngx_http_mark_cell_e    state;
    ngx_http_mark_queue_t  *q;

    ctx = cell->item.ctx;
    q = ctx->queue;
    state = cell->state;

    if (state == NGX_HTTP_MARK_CELL_WAITING
        || state == NGX_HTTP_MARK_CELL_TAKEN)
    {
        ngx_http_mark_share_unlock();

        /* a batch may leave that we have a part in, or it just has left */

        ngx_post_event(&q->event, &ngx_posted_events);
        return;
    }

    ngx_http_mark_cell_detach(ctx);

    if (state != NGX_HTTP_MARK_CELL_ANSWERED) {
        ngx_http_mark_cell_free(cell);
        ngx_http_mark_share_unlock();

        if (state == NGX_HTTP_MARK_CELL_RETURNED) {
            ngx_http_mark_retry(q, ctx);
            return;
        }

        ctx->late = (state == NGX_HTTP_MARK_CELL_LATE);
        ngx_http_mark_queue_shed(q, ctx);
        ngx_post_event(&q->event, &ngx_posted_events);
        return;
    }

    ngx_http_mark_share_unlock();

    ctx->queue = NULL;

    if (q->ncells == 0 && q->line.nitems == 0 && q->event.timer_set) {
        ngx_del_timer(&q->event);
    }

    ngx_http_mark_answer_deliver(ctx, cell);

    /* the request may be gone now, the cell is not */

    if (ngx_http_mark_share_lock() == NGX_OK) {
        ngx_http_mark_cell_free(cell);
        ngx_http_mark_share_unlock();
    }
}
