
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


#include "ngx_http_mark_gate.h"


/* Who waits looks again after so many milliseconds, though nobody rang. */
#define NGX_HTTP_MARK_GATE_TICK   100
#define NGX_HTTP_MARK_GATE_POLL   5

/* And who did not for so many microseconds is not waited for. */
#define NGX_HTTP_MARK_GATE_STALE  250000


static ngx_uint_t ngx_http_mark_gate_held(ngx_http_mark_gate_t *gate);
static ngx_uint_t ngx_http_mark_gate_free(ngx_http_mark_gate_t *gate);
static ngx_uint_t ngx_http_mark_gate_urgency(ngx_http_mark_queue_t *q,
    uint64_t now, ngx_http_mark_item_t *item);
static ngx_http_mark_queue_t *ngx_http_mark_gate_next(
    ngx_http_mark_gate_t *gate, ngx_http_mark_item_t *first);
static ngx_uint_t ngx_http_mark_gate_before(ngx_http_mark_gate_t *gate,
    ngx_uint_t seat, ngx_http_mark_item_t *item, uint64_t now);
static void ngx_http_mark_gate_item(ngx_http_mark_gate_seat_t *seat,
    ngx_http_mark_item_t *item);
static void ngx_http_mark_gate_publish(ngx_http_mark_gate_t *gate);
static void ngx_http_mark_gate_wake(ngx_http_mark_gate_t *gate);
static ngx_int_t ngx_http_mark_gate_bell(ngx_http_mark_gate_t *gate,
    ngx_uint_t seat);
static void ngx_http_mark_gate_arm(ngx_http_mark_gate_t *gate);
static void ngx_http_mark_gate_run(ngx_http_mark_gate_t *gate);


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


/*
 * Another worker has this item to send, in a queue that both share, and does
 * not know yet that it can: until it looks, the gate keeps its turn.
 */

void
ngx_http_mark_gate_tell(ngx_http_mark_gate_t *gate, ngx_uint_t worker,
    ngx_http_mark_item_t *item)
{
    ngx_uint_t                  i;
    ngx_atomic_uint_t           pid;
    ngx_http_mark_item_t        own;
    ngx_http_mark_gate_seat_t  *seat;

    if (gate == NULL) {
        return;
    }

    pid = ngx_http_mark_bells_pid(worker);

    for (i = 0; i < NGX_HTTP_MARK_SEATS; i++) {
        if (gate->shm->seats[i] == pid) {
            break;
        }
    }

    if (i == NGX_HTTP_MARK_SEATS) {
        return;
    }

    seat = &gate->node->seats[i];

    ngx_shmtx_lock(gate->mutex);

    ngx_http_mark_gate_item(seat, &own);

    if (!seat->waits || ngx_http_mark_line_before(item, &own)) {
        seat->waits = 1;
        seat->priority = item->priority;
        seat->due = item->due;
    }

    seat->seen = ngx_http_mark_now();

    ngx_shmtx_unlock(gate->mutex);
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


static ngx_uint_t
ngx_http_mark_gate_free(ngx_http_mark_gate_t *gate)
{
    ngx_uint_t  held, places;

    held = ngx_http_mark_gate_held(gate);
    places = gate->max * gate->peers;

    /* before a reload there may have been more */

    return held < places ? places - held : 0;
}


/*
 * The priority and due of the most urgent request of the queue, or of what
 * has waited for so long that it goes before all: in its line, too, it has a
 * part of the next batch.  0: there is no request.
 */

static ngx_uint_t
ngx_http_mark_gate_urgency(ngx_http_mark_queue_t *q, uint64_t now,
    ngx_http_mark_item_t *item)
{
    ngx_http_mark_ctx_t   *ctx;
    ngx_http_mark_item_t  *first, *oldest;

    first = NULL;

    if (q->line.nitems) {
        first = ngx_http_mark_line_first(&q->line);
        oldest = ngx_http_mark_line_oldest(&q->line);

        if (oldest->arrived + NGX_HTTP_MARK_PATIENT < now) {
            item->priority = 0;
            item->due = oldest->arrived;
            return 1;
        }
    }

    if (q->front.due && q->ncells) {

        if (q->front.arrived + NGX_HTTP_MARK_PATIENT < now) {
            item->priority = 0;
            item->due = q->front.arrived;
            return 1;
        }

        if (first == NULL || ngx_http_mark_line_before(&q->front, first)) {
            first = &q->front;
        }
    }

    if (q->nretries) {
        ctx = ngx_queue_data(ngx_queue_head(&q->retries), ngx_http_mark_ctx_t,
                             item.link);

        if (first == NULL || ngx_http_mark_line_before(&ctx->item, first)) {
            first = &ctx->item;
        }
    }

    if (first == NULL) {
        return 0;
    }

    item->priority = first->priority;
    item->due = first->due;

    return 1;
}


/* The most urgent of the queues that wait; NULL: there is none. */

static ngx_http_mark_queue_t *
ngx_http_mark_gate_next(ngx_http_mark_gate_t *gate, ngx_http_mark_item_t *first)
{
    uint64_t                now;
    ngx_queue_t            *link;
    ngx_http_mark_item_t    item;
    ngx_http_mark_queue_t  *q, *next;

    now = ngx_http_mark_now();
    next = NULL;

    for (link = ngx_queue_head(&gate->queues);
         link != ngx_queue_sentinel(&gate->queues);
         link = ngx_queue_next(link))
    {
        q = ngx_queue_data(link, ngx_http_mark_queue_t, blocked);

        if (ngx_http_mark_gate_urgency(q, now, &item)
            && (next == NULL || ngx_http_mark_line_before(&item, first)))
        {
            next = q;
            first->priority = item.priority;
            first->due = item.due;
        }
    }

    return next;
}


/* How many seats but this one wait with something more urgent; locked. */

static ngx_uint_t
ngx_http_mark_gate_before(ngx_http_mark_gate_t *gate, ngx_uint_t seat,
    ngx_http_mark_item_t *item, uint64_t now)
{
    ngx_uint_t                  i, n;
    ngx_http_mark_item_t        other;
    ngx_http_mark_gate_seat_t  *seats;

    seats = gate->node->seats;
    n = 0;

    for (i = 0; i < NGX_HTTP_MARK_SEATS; i++) {

        if (i == seat || !seats[i].waits
            || seats[i].seen + NGX_HTTP_MARK_GATE_STALE < now)
        {
            continue;
        }

        ngx_http_mark_gate_item(&seats[i], &other);

        if (ngx_http_mark_line_before(&other, item)) {
            n++;
        }
    }

    return n;
}


static void
ngx_http_mark_gate_item(ngx_http_mark_gate_seat_t *seat,
    ngx_http_mark_item_t *item)
{
    item->priority = seat->priority;
    item->due = seat->due;
}


static void
ngx_http_mark_gate_publish(ngx_http_mark_gate_t *gate)
{
    ngx_http_mark_item_t        item;
    ngx_http_mark_gate_seat_t  *own;

    gate->published = (ngx_http_mark_gate_next(gate, &item) != NULL);

    own = &gate->node->seats[gate->seat];

    ngx_shmtx_lock(gate->mutex);

    own->waits = gate->published;

    if (own->waits) {
        own->priority = item.priority;
        own->due = item.due;
        own->seen = ngx_http_mark_now();
    }

    ngx_shmtx_unlock(gate->mutex);
}


/* Tells those for whom there is a place. */

static void
ngx_http_mark_gate_wake(ngx_http_mark_gate_t *gate)
{
    uint64_t                    now;
    ngx_int_t                   bell;
    ngx_uint_t                  i, n;
    ngx_http_mark_item_t        item;
    ngx_http_mark_gate_seat_t  *seats;
    u_char                      woken[NGX_HTTP_MARK_SEATS];

    seats = gate->node->seats;
    now = ngx_http_mark_now();

    ngx_shmtx_lock(gate->mutex);

    n = ngx_http_mark_gate_free(gate);

    for (i = 0; i < NGX_HTTP_MARK_SEATS; i++) {

        if (n && seats[i].waits) {
            ngx_http_mark_gate_item(&seats[i], &item);
            woken[i] = (ngx_http_mark_gate_before(gate, i, &item, now) < n);

        } else {
            woken[i] = 0;
        }
    }

    ngx_shmtx_unlock(gate->mutex);

    for (i = 0; i < NGX_HTTP_MARK_SEATS; i++) {

        if (!woken[i]) {
            continue;
        }

        if (i == gate->seat) {
            if (!gate->event.posted) {
                ngx_post_event(&gate->event, &ngx_posted_events);
            }

            continue;
        }

        bell = ngx_http_mark_gate_bell(gate, i);

        if (bell != NGX_DECLINED) {
            ngx_http_mark_bell_ring(bell);
        }
    }
}


/* The bell of the process in the seat; NGX_DECLINED: it has none for us. */

static ngx_int_t
ngx_http_mark_gate_bell(ngx_http_mark_gate_t *gate, ngx_uint_t seat)
{
    ngx_uint_t  i, n;

    n = ngx_http_mark_bells_n();

    for (i = 0; i < n; i++) {
        if ((ngx_atomic_uint_t) ngx_http_mark_bells_pid(i)
            == gate->shm->seats[seat])
        {
            return i;
        }
    }

    return NGX_DECLINED;
}


/*
 * While something waits the timer is set.  It is not cancelable: a worker
 * that is shutting down stays for it.
 */

static void
ngx_http_mark_gate_arm(ngx_http_mark_gate_t *gate)
{
    ngx_uint_t                  i;
    ngx_msec_t                  timer;
    ngx_http_mark_gate_seat_t  *seats;

    if (ngx_queue_empty(&gate->queues)) {

        if (gate->event.timer_set) {
            ngx_del_timer(&gate->event);
        }

        return;
    }

    if (gate->event.timer_set) {
        return;
    }

    seats = gate->node->seats;
    timer = NGX_HTTP_MARK_GATE_TICK;

    for (i = 0; i < NGX_HTTP_MARK_SEATS; i++) {

        if (i != gate->seat && (seats[i].held || seats[i].waits)
            && ngx_http_mark_gate_bell(gate, i) == NGX_DECLINED)
        {
            timer = NGX_HTTP_MARK_GATE_POLL;
            break;
        }
    }

    ngx_add_timer(&gate->event, timer);
}


void
ngx_http_mark_gate_handler(ngx_event_t *ev)
{
    ngx_http_mark_gate_t  *gate;

    gate = ev->data;

    if (ev->timedout) {
        ev->timedout = 0;

        ngx_shmtx_lock(gate->mutex);
        ngx_http_mark_gate_bury(gate->node, gate->shm);
        ngx_shmtx_unlock(gate->mutex);
    }

    ngx_http_mark_gate_run(gate);
}


/* Another worker has rung. */

void
ngx_http_mark_gates_run(void)
{
    ngx_uint_t                  i;
    ngx_http_mark_gate_t      **gatep;
    ngx_http_mark_main_conf_t  *mmcf;

    mmcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_mark_module);
    gatep = mmcf->gates.elts;

    for (i = 0; i < mmcf->gates.nelts; i++) {
        if (!ngx_queue_empty(&gatep[i]->queues)) {
            ngx_http_mark_gate_run(gatep[i]);
        }
    }
}


/*
 * Runs the queues that wait, the most urgent first, until one is refused: so
 * would be all behind it.
 */

static void
ngx_http_mark_gate_run(ngx_http_mark_gate_t *gate)
{
    ngx_uint_t              entered;
    ngx_http_mark_item_t    item;
    ngx_http_mark_queue_t  *q;

    gate->running = 1;

    for ( ;; ) {
        q = ngx_http_mark_gate_next(gate, &item);

        if (q == NULL || ngx_http_mark_gate_full(gate)) {
            break;
        }

        entered = gate->entered;

        ngx_http_mark_queue_run(q);

        if (gate->entered == entered && q->blocked.next) {
            break;
        }
    }

    gate->running = 0;

    ngx_http_mark_gate_publish(gate);
    ngx_http_mark_gate_wake(gate);
    ngx_http_mark_gate_arm(gate);
}
