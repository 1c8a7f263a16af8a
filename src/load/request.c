/* One request on its way: what it sends, what came back, and when. */

#include <stdlib.h>
#include <string.h>

#include "run.h"


static void on_timer(evutil_socket_t fd, short what, void *arg);


request_t *
request_new(run_t *run, uint64_t number, uint64_t intended)
{
    double      chance;
    request_t  *r;

    r = TAILQ_FIRST(&run->free_requests);

    if (r) {
        TAILQ_REMOVE(&run->free_requests, r, wait);

    } else {
        r = allocate(sizeof(request_t));
        r->run = run;
        evtimer_assign(&r->timer, run->base, on_timer, r);
    }

    r->number = number;
    r->intended = intended;
    r->body = &run->bodies.list[(number - 1) % run->bodies.count];
    r->out.len = 0;
    r->answer.len = 0;
    r->status = 0;
    r->begun = 0;
    r->retried = 0;
    r->refused = 0;
    r->abort = ABORT_NOT;
    r->step = 0;

    digits_init(&r->digits, number);

    if (run->options->abort_share > 0) {
        chance = random_unit(&run->random);

        if (chance < run->options->abort_share / 2) {
            r->abort = ABORT_SENDING;

        } else if (chance < run->options->abort_share) {
            r->abort = ABORT_WAITING;
        }
    }

    if (run->options->slow_share > 0
        && random_unit(&run->random) < run->options->slow_share)
    {
        r->step = 2 + random_below(&run->random, 5);
    }

    return r;
}


void
request_free(request_t *r)
{
    if (r->armed) {
        evtimer_del(&r->timer);
        r->armed = 0;
    }

    /* one huge answer must not stay in memory for every request */

    if (r->answer.size > 1024 * 1024) {
        buffer_free(&r->answer);
    }

    TAILQ_INSERT_HEAD(&r->run->free_requests, r, wait);
}


void
request_begin(request_t *r, const char *wire, size_t len, size_t head_len)
{
    size_t  from;

    r->wire = wire;
    r->wire_len = len;
    r->head_len = head_len;
    r->sent = 0;
    r->goal = len;
    r->received = 0;

    if (r->abort == ABORT_SENDING) {
        from = head_len < len ? head_len : 0;
        r->goal = from + random_below(&r->run->random, len - from);
    }

    r->allowed = r->goal;

    /* step was the number of writes, now it is their size */

    if (r->step && !r->begun) {
        r->step = r->goal / r->step + 1;
    }

    r->begun = 1;

    if (r->step) {
        r->allowed = r->step < r->goal ? r->step : r->goal;
    }
}


void
request_pause(request_t *r)
{
    uint64_t        us;
    struct timeval  delay;

    if (r->armed) {
        return;
    }

    if (r->allowed < r->goal) {
        us = 500 + random_below(&r->run->random, 5000);

    } else if (r->abort) {
        us = random_below(&r->run->random, 20000);

    } else {
        return;
    }

    delay.tv_sec = 0;
    delay.tv_usec = us;

    r->armed = 1;
    evtimer_add(&r->timer, &delay);
}


static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
    request_t     *r;
    connection_t  *c;

    r = arg;
    c = r->connection;

    r->armed = 0;

    if (r->allowed < r->goal) {
        r->allowed += r->step;

        if (r->allowed > r->goal) {
            r->allowed = r->goal;
        }

        c->protocol->proceed(c, r);
        return;
    }

    c->protocol->cancel(c, r);
    run_aborted(r);
}
