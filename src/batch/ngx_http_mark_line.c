
/*
 * A line: requests that wait for a batch, in the order in which they will
 * have one.  That is by priority, within it by deadline, and of equal ones,
 * the usual case, as they came.
 *
 * What has waited for long is not passed over for ever: a quarter of each
 * batch is for the oldest.  A request that cannot meet its deadline any more
 * is rejected, or goes behind all others, as mark_timeout_action has it.
 */


#include "ngx_http_mark.h"


static uint64_t ngx_http_mark_line_deadline(ngx_http_mark_line_t *line);
static void ngx_http_mark_line_demote(ngx_http_mark_line_t *line,
    ngx_http_mark_item_t *item);


void
ngx_http_mark_line_init(ngx_http_mark_line_t *line)
{
    ngx_queue_init(&line->items);
    ngx_queue_init(&line->ages);

    line->nitems = 0;
    line->rows = 0;
    line->bytes = 0;
}


void
ngx_http_mark_line_add(ngx_http_mark_line_t *line, ngx_http_mark_item_t *item)
{
    ngx_queue_t           *link;
    ngx_http_mark_item_t  *before;

    for (link = ngx_queue_last(&line->items);
         link != ngx_queue_sentinel(&line->items);
         link = ngx_queue_prev(link))
    {
        before = ngx_queue_data(link, ngx_http_mark_item_t, link);

        if (!ngx_http_mark_line_before(item, before)) {
            break;
        }
    }

    ngx_queue_insert_after(link, &item->link);

    /* they come nearly in order: what another worker held comes late */

    for (link = ngx_queue_last(&line->ages);
         link != ngx_queue_sentinel(&line->ages);
         link = ngx_queue_prev(link))
    {
        before = ngx_queue_data(link, ngx_http_mark_item_t, age);

        if (before->arrived <= item->arrived) {
            break;
        }
    }

    ngx_queue_insert_after(link, &item->age);

    line->nitems++;
    line->rows += item->rows;
    line->bytes += item->bytes;
}


void
ngx_http_mark_line_remove(ngx_http_mark_line_t *line,
    ngx_http_mark_item_t *item)
{
    ngx_queue_remove(&item->link);
    ngx_queue_remove(&item->age);

    line->nitems--;
    line->rows -= item->rows;
    line->bytes -= item->bytes;
}


/* Tells whether a is to be served before b, which came earlier. */

ngx_int_t
ngx_http_mark_line_before(ngx_http_mark_item_t *a, ngx_http_mark_item_t *b)
{
    if (a->priority != b->priority) {
        return a->priority < b->priority;
    }

    return a->due < b->due;
}


/* The most urgent; the line must not be empty. */

ngx_http_mark_item_t *
ngx_http_mark_line_first(ngx_http_mark_line_t *line)
{
    return ngx_queue_data(ngx_queue_head(&line->items), ngx_http_mark_item_t,
                          link);
}


ngx_http_mark_item_t *
ngx_http_mark_line_oldest(ngx_http_mark_line_t *line)
{
    return ngx_queue_data(ngx_queue_head(&line->ages), ngx_http_mark_item_t,
                          age);
}


/* The least urgent; likewise. */

ngx_http_mark_item_t *
ngx_http_mark_line_last(ngx_http_mark_line_t *line)
{
    return ngx_queue_data(ngx_queue_last(&line->items), ngx_http_mark_item_t,
                          link);
}


/* What mark_policy must know of a line that is not empty. */

void
ngx_http_mark_line_state(ngx_http_mark_line_t *line,
    ngx_http_mark_service_t *service, uint64_t now, mark_policy_state_t *state)
{
    ngx_memzero(state, sizeof(mark_policy_state_t));

    state->now = now;
    state->rows = line->rows;
    state->bytes = line->bytes;
    state->oldest = ngx_http_mark_line_oldest(line)->arrived;
    state->slots = service->slots;
    state->in_flight = service->current;
    state->last_sent = service->last_sent;
    state->last_rows = service->last_rows;
    state->draining = ngx_exiting || ngx_terminate;
    state->latency = &service->latency;

    state->deadline = ngx_http_mark_line_deadline(line);
}


/* The most urgent deadline, of those that can be met; 0: there is none. */

static uint64_t
ngx_http_mark_line_deadline(ngx_http_mark_line_t *line)
{
    ngx_queue_t           *link;
    ngx_http_mark_item_t  *item;

    for (link = ngx_queue_head(&line->items);
         link != ngx_queue_sentinel(&line->items);
         link = ngx_queue_next(link))
    {
        item = ngx_queue_data(link, ngx_http_mark_item_t, link);

        if (item->priority == NGX_HTTP_MARK_LATE) {
            break;
        }

        if (item->deadline) {
            return item->deadline;
        }
    }

    return 0;
}


/*
 * Finds a request that is too late.  To be rejected, it is taken out of the
 * line and returned; otherwise it goes to the end.  NULL: there is none, as
 * far as the most urgent and the oldest tell.
 */

ngx_http_mark_item_t *
ngx_http_mark_line_late(ngx_http_mark_line_t *line,
    mark_policy_conf_t *policy, ngx_uint_t action, ngx_uint_t overflow,
    mark_policy_state_t *state)
{
    ngx_http_mark_item_t  *item;

    while (line->nitems) {
        item = ngx_http_mark_line_first(line);

        if (item->priority == NGX_HTTP_MARK_LATE
            || !mark_policy_late(policy, state, item->deadline, item->rows))
        {
            item = ngx_http_mark_line_oldest(line);

            if (item->priority == NGX_HTTP_MARK_LATE
                || !mark_policy_late(policy, state, item->deadline, item->rows))
            {
                break;
            }
        }

        /* it may still overflow */

        if (overflow && !item->kept) {
            break;
        }

        if (action == NGX_HTTP_MARK_REJECT) {
            ngx_http_mark_line_remove(line, item);
            return item;
        }

        ngx_http_mark_line_demote(line, item);

        /* the rest need not hurry for its sake */

        state->deadline = ngx_http_mark_line_deadline(line);
    }

    state->late = (line->nitems
                   && ngx_http_mark_line_first(line)->priority
                      == NGX_HTTP_MARK_LATE);

    return NULL;
}


static void
ngx_http_mark_line_demote(ngx_http_mark_line_t *line,
    ngx_http_mark_item_t *item)
{
    ngx_http_mark_line_remove(line, item);

    item->priority = NGX_HTTP_MARK_LATE;

    ngx_http_mark_line_add(line, item);
}


/*
 * Moves the requests of the batch that leaves now to taken, by their links,
 * and returns their number, at least one.
 */

ngx_uint_t
ngx_http_mark_line_take(ngx_http_mark_line_t *line,
    mark_policy_conf_t *policy, mark_policy_state_t *state,
    ngx_queue_t *taken)
{
    size_t                 bytes;
    ngx_uint_t             n, rows, limit;
    ngx_http_mark_item_t  *item;

    limit = mark_policy_rows(policy, state);

    n = 0;
    rows = 0;
    bytes = 0;

    while (line->nitems) {

        item = ngx_http_mark_line_oldest(line);

        if (rows >= ngx_max(limit / 4, 1)
            || item->arrived + NGX_HTTP_MARK_STARVED > state->now)
        {
            item = ngx_http_mark_line_first(line);
        }

        if (n && (rows + item->rows > limit
                  || bytes + item->bytes > policy->max_bytes))
        {
            break;
        }

        ngx_http_mark_line_remove(line, item);
        ngx_queue_insert_tail(taken, &item->link);

        n++;
        rows += item->rows;
        bytes += item->bytes;
    }

    return n;
}
