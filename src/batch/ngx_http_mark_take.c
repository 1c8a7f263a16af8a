
/*
 * What leaves a queue's line: the load of a batch, and what there is no room
 * or no time for.  If the line is the shared one, it is locked.
 */


#include "ngx_http_mark.h"
#include "ngx_http_mark_pool.h"
#include "ngx_http_mark_share.h"


static ngx_uint_t ngx_http_mark_queue_lead(ngx_http_mark_queue_t *q,
    ngx_http_mark_line_t *line, mark_policy_state_t *state,
    ngx_http_mark_load_t *load);


/*
 * Takes the load of one batch, which has its place at the gate.  NGX_DECLINED:
 * none of it is of this worker, which could not make its carrier; the first
 * one's worker is told.
 */

ngx_int_t
ngx_http_mark_queue_take(ngx_http_mark_queue_t *q, ngx_http_mark_line_t *line,
    mark_policy_state_t *state, mark_policy_reason_t reason,
    ngx_http_mark_load_t *load)
{
    ngx_queue_t              *link;
    ngx_http_mark_item_t     *item;
    ngx_http_mark_service_t  *s;

    ngx_queue_init(&load->items);

    load->n = ngx_http_mark_line_take(line, &q->policy, state, &load->items);

    if (line != &q->line && ngx_http_mark_cell_take(&load->items) == 0
        && ngx_http_mark_queue_lead(q, line, state, load) == 0)
    {
        while (!ngx_queue_empty(&load->items)) {
            link = ngx_queue_head(&load->items);
            ngx_queue_remove(link);

            item = ngx_queue_data(link, ngx_http_mark_item_t, link);
            ngx_http_mark_line_add(line, item);
        }

        ngx_http_mark_cell_next(q);
        ngx_http_mark_claim_release(&q->claim, NGX_HTTP_MARK_CLAIM_UNUSED,
                                   NULL);
        ngx_http_mark_gate_leave(q->conf->gate);

        return NGX_DECLINED;
    }

    if (line != &q->line) {
        q->shared->passed = 0;
    }

    if (reason == MARK_POLICY_OVERDUE) {
        s = ngx_http_mark_service(q);
        s->epoch++;
        s->current = 0;
    }

    load->flight.sent = state->now;
    load->flight.rows = 0;

    for (link = ngx_queue_head(&load->items);
         link != ngx_queue_sentinel(&load->items);
         link = ngx_queue_next(link))
    {
        item = ngx_queue_data(link, ngx_http_mark_item_t, link);
        load->flight.rows += item->rows;
    }

    load->flight.claim = q->claim;
    q->claim.slot = -1;

    ngx_http_mark_claim_load(&load->flight.claim, load->flight.rows);

    ngx_http_mark_service_leave(q, &load->flight);

    return NGX_OK;
}


/*
 * A load with nothing of this worker's is for the worker of its first.  Tells
 * whether that had its time, and may be stopped or dead, while we wait.
 */

ngx_uint_t
ngx_http_mark_queue_leads(ngx_http_mark_queue_t *q, uint64_t now)
{
    if (ngx_http_mark_cell_waiting(q) == NULL) {
        return 0;
    }

    if (q->shared->passed == 0) {
        q->shared->passed = now;
    }

    return now >= q->shared->passed + NGX_HTTP_MARK_SECOND;
}


/* Then the first of our own takes the place of the last; returns 0 or 1. */

static ngx_uint_t
ngx_http_mark_queue_lead(ngx_http_mark_queue_t *q, ngx_http_mark_line_t *line,
    mark_policy_state_t *state, ngx_http_mark_load_t *load)
{
    size_t                 bytes;
    ngx_uint_t             rows, limit;
    ngx_queue_t           *link;
    ngx_http_mark_item_t  *item, *own;

    if (!ngx_http_mark_queue_leads(q, state->now)) {
        return 0;
    }

    own = ngx_http_mark_cell_waiting(q);
    limit = mark_policy_rows(&q->policy, state);
    rows = own->rows;
    bytes = own->bytes;

    ngx_http_mark_line_remove(line, own);

    for (link = ngx_queue_head(&load->items);
         link != ngx_queue_sentinel(&load->items);
         link = ngx_queue_next(link))
    {
        item = ngx_queue_data(link, ngx_http_mark_item_t, link);
        rows += item->rows;
        bytes += item->bytes;
    }

    while (!ngx_queue_empty(&load->items)
           && (rows > limit || bytes > q->conf->max_bytes))
    {
        link = ngx_queue_last(&load->items);
        ngx_queue_remove(link);

        item = ngx_queue_data(link, ngx_http_mark_item_t, link);
        ngx_http_mark_line_add(line, item);

        load->n--;
        rows -= item->rows;
        bytes -= item->bytes;
    }

    ngx_queue_insert_tail(&load->items, &own->link);
    load->n++;

    return ngx_http_mark_cell_take(&load->items);
}


/* Over mark_max_queue_size the least urgent are shed. */

void
ngx_http_mark_queue_trim(ngx_http_mark_queue_t *q)
{
    ngx_uint_t             n;
    ngx_http_mark_line_t  *line;
    ngx_http_mark_item_t  *item, *other;

    if (q->max_queue == 0) {
        return;
    }

    for ( ;; ) {
        n = q->line.nitems + (q->shared ? q->shared->line.nitems : 0);

        if (n <= q->max_queue) {
            return;
        }

        line = &q->line;

        if (line->nitems == 0) {
            line = &q->shared->line;

        } else if (q->shared && q->shared->line.nitems) {
            item = ngx_http_mark_line_last(line);
            other = ngx_http_mark_line_last(&q->shared->line);

            if (ngx_http_mark_line_before(item, other)) {
                line = &q->shared->line;
            }
        }

        item = ngx_http_mark_line_last(line);

        ngx_http_mark_line_remove(line, item);
        ngx_http_mark_queue_refuse(q, item, 0);
    }
}


/* An item that was taken out of a line will be answered with an error. */

void
ngx_http_mark_queue_refuse(ngx_http_mark_queue_t *q,
    ngx_http_mark_item_t *item, ngx_uint_t late)
{
    if (item->cell) {
        ngx_http_mark_cell_refuse(q, item, late);
        return;
    }

    item->ctx->late = late;
    ngx_http_mark_queue_shed(q, item->ctx);
}
