
/*
 * What is left to do after workers that died; see ngx_http_mark_share.c.
 *
 * A dead worker's place is taken by another, which removes its traces when it
 * starts: its clients are gone, and what it had taken of others' goes back.
 * No worker comes for one that died while it shut down, so each looks from
 * time to time after what was taken of its own.
 */


#include "ngx_http_mark.h"
#include "ngx_http_mark_share.h"


static void ngx_http_mark_sweep_cell(ngx_http_mark_cell_t *cell,
    ngx_uint_t worker);
static void ngx_http_mark_sweep_queue(ngx_http_mark_shared_t *sq,
    ngx_uint_t worker);


/* Removes the traces of a dead worker, in whose place this one is. */

void
ngx_http_mark_sweep(ngx_uint_t worker)
{
    ngx_queue_t            *link, *next;
    ngx_http_mark_block_t  *block;
    ngx_http_mark_share_t  *share;

    if (ngx_http_mark_share_lock() != NGX_OK) {
        return;
    }

    share = ngx_http_mark_share;

    for (link = ngx_queue_head(&share->cells);
         link != ngx_queue_sentinel(&share->cells);
         link = next)
    {
        next = ngx_queue_next(link);

        ngx_http_mark_sweep_cell(ngx_queue_data(link, ngx_http_mark_cell_t,
                                                all),
                                 worker);
    }

    for (link = ngx_queue_head(&share->blocks);
         link != ngx_queue_sentinel(&share->blocks);
         link = next)
    {
        next = ngx_queue_next(link);
        block = ngx_queue_data(link, ngx_http_mark_block_t, all);

        if (block->refs == 0 && block->worker == worker) {
            ngx_http_mark_block_free(block);
        }
    }

    for (link = ngx_queue_head(&share->queues);
         link != ngx_queue_sentinel(&share->queues);
         link = next)
    {
        next = ngx_queue_next(link);

        ngx_http_mark_sweep_queue(ngx_queue_data(link, ngx_http_mark_shared_t,
                                                 all),
                                  worker);
    }

    ngx_http_mark_share_unlock();
}


static void
ngx_http_mark_sweep_cell(ngx_http_mark_cell_t *cell, ngx_uint_t worker)
{
    if (cell->state == NGX_HTTP_MARK_CELL_TAKEN && cell->taker == worker) {

        if (cell->gone) {
            ngx_http_mark_cell_free(cell);
            return;
        }

        /* for its own worker to try again */

        cell->state = NGX_HTTP_MARK_CELL_RETURNED;
        ngx_http_mark_cell_box(cell, cell->worker);
        return;
    }

    if (cell->worker != worker) {
        return;
    }

    if (cell->state == NGX_HTTP_MARK_CELL_TAKEN) {

        if (!cell->gone) {
            cell->gone = 1;
            ngx_http_mark_cell_box(cell, cell->taker);
        }

        return;
    }

    if (cell->state == NGX_HTTP_MARK_CELL_WAITING) {
        ngx_http_mark_line_remove(&cell->queue->line, &cell->item);
    }

    ngx_http_mark_cell_free(cell);
}


static void
ngx_http_mark_sweep_queue(ngx_http_mark_shared_t *sq, ngx_uint_t worker)
{
    ngx_http_mark_item_t  *item;

    sq->users &= ~((uint64_t) 1 << worker);

    sq->service.in_flight -= sq->in_flight[worker];
    sq->service.current = ngx_min(sq->service.current, sq->service.in_flight);
    sq->in_flight[worker] = 0;

    if (sq->line.nitems) {

        /* somebody who waits there has to look whether it can leave now */

        item = ngx_queue_data(ngx_queue_head(&sq->line.items),
                              ngx_http_mark_item_t, link);
        ngx_http_mark_cell_box(item->cell, item->cell->worker);
        return;
    }

    ngx_http_mark_share_drop(sq);
}


/* Now and then, looks after this worker's cells of a queue. */

void
ngx_http_mark_sweep_check(ngx_http_mark_queue_t *q, uint64_t now)
{
    ngx_queue_t           *link, *next;
    ngx_http_mark_ctx_t   *ctx;
    ngx_http_mark_cell_t  *cell;

    if (now < q->checked + NGX_HTTP_MARK_GUARD) {
        return;
    }

    q->checked = now;

    /* one that died may have put something into our box, and not have rung */

    ngx_http_mark_bell_again();

    if (ngx_http_mark_share_lock() != NGX_OK) {
        return;
    }

    for (link = ngx_queue_head(&q->cells);
         link != ngx_queue_sentinel(&q->cells);
         link = next)
    {
        next = ngx_queue_next(link);
        ctx = ngx_queue_data(link, ngx_http_mark_ctx_t, item.link);
        cell = ctx->cell;

        if (cell->state == NGX_HTTP_MARK_CELL_TAKEN
            && kill(cell->taker_pid, 0) == -1 && ngx_errno == ESRCH)
        {
            ngx_http_mark_cell_detach(ctx);
            ngx_http_mark_cell_free(cell);
            ngx_http_mark_retry(q, ctx);
        }
    }

    ngx_http_mark_share_unlock();
}


/* The shared queues are broken: all of this worker's are to abandon them. */

void
ngx_http_mark_sweep_broken(ngx_http_mark_main_conf_t *mmcf)
{
    ngx_queue_t            *link;
    ngx_http_mark_queue_t  *q;

    for (link = ngx_queue_head(&mmcf->lru);
         link != ngx_queue_sentinel(&mmcf->lru);
         link = ngx_queue_next(link))
    {
        q = ngx_queue_data(link, ngx_http_mark_queue_t, lru);

        if (q->shared) {
            ngx_post_event(&q->event, &ngx_posted_events);
        }
    }
}


/*
 * A queue goes on as this worker's own, with its requests.  Their cells stay
 * as they are: those who have taken them may still read them.
 */

void
ngx_http_mark_sweep_abandon(ngx_http_mark_queue_t *q)
{
    ngx_http_mark_ctx_t   *ctx;
    ngx_http_mark_cell_e   state;

    q->shared = NULL;

    while (!ngx_queue_empty(&q->cells)) {
        ctx = ngx_queue_data(ngx_queue_head(&q->cells), ngx_http_mark_ctx_t,
                             item.link);
        state = ctx->cell->state;

        /* what has left its line is no longer counted */

        if (state == NGX_HTTP_MARK_CELL_TAKEN
            || state == NGX_HTTP_MARK_CELL_ANSWERED
            || state == NGX_HTTP_MARK_CELL_RETURNED)
        {
            ngx_http_mark_count(q->conf, queued);
        }

        ngx_http_mark_cell_detach(ctx);

        ctx->state = NGX_HTTP_MARK_QUEUED;
        ngx_http_mark_line_add(&q->line, &ctx->item);
    }
}
