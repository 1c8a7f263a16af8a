
/*
 * mark_max_concurrent_batches: the gate before the servers of an upstream.
 *
 * There are as many places as all servers together may have batches.  What
 * leaves for them enters and holds a place until it is answered, whichever
 * queue, location or worker it comes from; a queue that finds no place stays,
 * and is run again when one is free.  Of all that wait the most urgent goes
 * first: each process tells in shared memory what it waits with, a free place
 * is for the first of them, and its process is woken by a bell.
 *
 * Processes of before and after a reload share the places, but cannot ring
 * each other: they look again every few milliseconds.  So does, less often,
 * everyone who waits, in case somebody has died with a place.  The places are
 * under the mutex of the counters' zone, which nginx repairs after a crash.
 *
 * Which server has a place for it is seen when the balancer has chosen, in
 * ngx_http_mark_gate_peer.c.
 */


#include "ngx_http_mark_pool.h"


static ngx_uint_t ngx_http_mark_gate_held(ngx_http_mark_gate_t *gate);


/* Tells whether no batch could enter now. */

ngx_uint_t
ngx_http_mark_gate_full(ngx_http_mark_gate_t *gate)
{
    return gate && ngx_http_mark_gate_free(gate) == 0;
}


/*
 * A batch of the queue wants to leave.  NGX_OK: it has a place, until
 * ngx_http_mark_gate_leave().  NGX_BUSY: it must stay; the queue is run again
 * by the gate.
 */

ngx_int_t
ngx_http_mark_gate_enter(ngx_http_mark_queue_t *q)
{
    uint64_t                    now;
    ngx_uint_t                  n, before;
    ngx_queue_t                *link;
    ngx_http_mark_gate_t       *gate;
    ngx_http_mark_item_t        item, other;
    ngx_http_mark_queue_t      *waiting;
    ngx_http_mark_gate_seat_t  *own;

    gate = q->conf->gate;

    if (gate == NULL) {
        return NGX_OK;
    }

    now = ngx_http_mark_now();
    before = 0;

    (void) ngx_http_mark_gate_urgency(q, now, &item);

    for (link = ngx_queue_head(&gate->queues);
         link != ngx_queue_sentinel(&gate->queues);
         link = ngx_queue_next(link))
    {
        waiting = ngx_queue_data(link, ngx_http_mark_queue_t, blocked);

        if (waiting != q && ngx_http_mark_gate_urgency(waiting, now, &other)
            && ngx_http_mark_line_before(&other, &item))
        {
            before++;
        }
    }

    own = &gate->node->seats[gate->seat];

    ngx_shmtx_lock(gate->mutex);

    n = ngx_http_mark_gate_free(gate);

    if (before < n) {
        before += ngx_http_mark_gate_before(gate, gate->seat, &item, now);
    }

    n = (before < n);

    if (n) {
        own->held++;
    }

    ngx_shmtx_unlock(gate->mutex);

    if (n) {
        gate->entered++;
        q->waited = 0;
        return NGX_OK;
    }

    if (!q->waited) {
        q->waited = 1;
        (void) ngx_atomic_fetch_add(&own->blocked, 1);
    }

    ngx_http_mark_gate_wait(q);

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, &q->log, 0,
                   "mark: %p is blocked at upstream \"%V\"", q, &gate->name);

    return NGX_BUSY;
}


/* The queue is run again by the gate when a place is free for it. */

void
ngx_http_mark_gate_wait(ngx_http_mark_queue_t *q)
{
    ngx_http_mark_gate_t  *gate;

    gate = q->conf->gate;

    if (gate && q->blocked.next == NULL) {
        ngx_queue_insert_tail(&gate->queues, &q->blocked);
    }
}


/* A batch was answered, or did not leave after all. */

void
ngx_http_mark_gate_leave(ngx_http_mark_gate_t *gate)
{
    ngx_http_mark_gate_seat_t  *own;

    if (gate == NULL) {
        return;
    }

    own = &gate->node->seats[gate->seat];

    ngx_shmtx_lock(gate->mutex);

    /* a seat is shared, and may be buried, if there are too few */

    if (own->held) {
        own->held--;
    }

    ngx_shmtx_unlock(gate->mutex);

    ngx_http_mark_gate_wake(gate);
}


/* The queue is being run: it will enter, or be refused again. */

void
ngx_http_mark_gate_unblock(ngx_http_mark_queue_t *q)
{
    if (q->blocked.next) {
        ngx_queue_remove(&q->blocked);
        q->blocked.next = NULL;
    }
}


/* It was run, or a request has left it: who waits with what is told anew. */

void
ngx_http_mark_gate_settle(ngx_http_mark_queue_t *q)
{
    ngx_http_mark_gate_t  *gate;

    gate = q->conf->gate;

    if (gate == NULL) {
        return;
    }

    if (q->line.nitems == 0 && q->nretries == 0
        && (q->front.due == 0 || q->ncells == 0))
    {
        ngx_http_mark_gate_unblock(q);
        q->waited = 0;
    }

    if (gate->running
        || (ngx_queue_empty(&gate->queues) && !gate->published
            && !gate->node->seats[gate->seat].waits))
    {
        return;
    }

    ngx_http_mark_gate_publish(gate);
    ngx_http_mark_gate_wake(gate);
    ngx_http_mark_gate_arm(gate);
}


/* Without the lock it may be off by what enters or leaves meanwhile. */

static ngx_uint_t
ngx_http_mark_gate_held(ngx_http_mark_gate_t *gate)
{
    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < NGX_HTTP_MARK_SEATS; i++) {
        n += gate->node->seats[i].held;
    }

    return n;
}


ngx_uint_t
ngx_http_mark_gate_free(ngx_http_mark_gate_t *gate)
{
    ngx_uint_t  held, places;

    held = ngx_http_mark_gate_held(gate);
    places = gate->pool ? ngx_http_mark_pool_places(gate->pool)
                        : gate->max * gate->peers;

    /* before a reload there may have been more */

    return held < places ? places - held : 0;
}
