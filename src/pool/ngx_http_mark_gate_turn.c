
/*
 * Whose turn it is at the gate: what each process waits with, and who is told
 * of a free place; see ngx_http_mark_gate.c for the whole.
 */


#include "ngx_http_mark_gate.h"


/* Who waits looks again after so many milliseconds, though nobody rang. */
#define NGX_HTTP_MARK_GATE_TICK   100
#define NGX_HTTP_MARK_GATE_POLL   5

/* And who did not for so many microseconds is not waited for. */
#define NGX_HTTP_MARK_GATE_STALE  250000


static ngx_http_mark_queue_t *ngx_http_mark_gate_next(
    ngx_http_mark_gate_t *gate, ngx_http_mark_item_t *first);
static void ngx_http_mark_gate_item(ngx_http_mark_gate_seat_t *seat,
    ngx_http_mark_item_t *item);
static ngx_int_t ngx_http_mark_gate_bell(ngx_http_mark_gate_t *gate,
    ngx_uint_t seat);
static void ngx_http_mark_gate_run(ngx_http_mark_gate_t *gate);


/*
 * The priority and due of the most urgent request of the queue, or of what
 * has waited for so long that it goes before all: in its line, too, it has a
 * part of the next batch.  0: there is no request.
 */

ngx_uint_t
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

ngx_uint_t
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


void
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

void
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

void
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
