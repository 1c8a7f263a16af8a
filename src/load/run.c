/* A run: arrivals meet connections, and what comes of it is counted. */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "reference.h"
#include "run.h"


#define REFUSED_MAX  10


static void on_arrival(evutil_socket_t fd, short what, void *arg);
static void on_tick(evutil_socket_t fd, short what, void *arg);
static void on_progress(evutil_socket_t fd, short what, void *arg);
static void on_signal(evutil_socket_t fd, short what, void *arg);
static request_t *next_request(run_t *run);
static request_t *begin(run_t *run, uint64_t intended);
static void expire(run_t *run, uint64_t now);
static void leave(request_t *r);
static void backlog_push(backlog_t *b, uint64_t intended);
static tally_t *tally_of(run_t *run, uint64_t intended);


uint64_t
run_clock(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000u + ts.tv_nsec;
}


void
run_init(run_t *run, const options_t *o)
{
    unsigned              i;
    const char           *error;
    struct event_config  *config;

    memset(run, 0, sizeof(run_t));
    run->options = o;

    TAILQ_INIT(&run->flight);
    TAILQ_INIT(&run->repeat);
    TAILQ_INIT(&run->free_requests);
    TAILQ_INIT(&run->available);

    error = target_init(&run->target, o->url);
    if (error) {
        options_die("%s: %s", o->url, error);
    }

    error = bodies_init(&run->bodies, o);
    if (error) {
        options_die("%s: %s", o->requests_file ? o->requests_file
                    : o->body_file ? o->body_file : "--random-bodies", error);
    }

    run->limit = o->once ? run->bodies.count : o->requests;

    error = schedule_init(&run->schedule, o, run->limit);
    if (error) {
        options_die("%s: %s", o->trace, error);
    }

    check_init(&run->check, o);

    if (o->reference) {
        reference_ask(&run->check, o, &run->bodies);
    }

    if (o->answers) {
        run->answers = allocate(run->bodies.count * sizeof(char *));
    }

    message_init(&run->message, o, &run->target);

    if (!o->http2) {
        message_fix(&run->message, &run->bodies);
    }

    random_seed(&run->random, o->seed, 3);

    /* without it timers are late by up to a millisecond */

    config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);

    run->base = event_base_new_with_config(config);
    event_config_free(config);

    if (run->base == NULL) {
        options_die("libevent does not start: %s", strerror(errno));
    }

    run->connections = allocate(o->connections * sizeof(connection_t));

    for (i = 0; i < o->connections; i++) {
        connection_init(&run->connections[i], run,
                        o->http2 ? &http2 : &http1);
    }
}


void
run_loop(run_t *run)
{
    struct timeval    tick, second;
    const options_t  *o;

    o = run->options;

    evtimer_assign(&run->arrival_timer, run->base, on_arrival, run);
    event_assign(&run->tick_timer, run->base, -1, EV_PERSIST, on_tick, run);
    event_assign(&run->progress_timer, run->base, -1, EV_PERSIST, on_progress,
                 run);

    run->on_int = evsignal_new(run->base, SIGINT, on_signal, run);
    run->on_term = evsignal_new(run->base, SIGTERM, on_signal, run);
    event_add(run->on_int, NULL);
    event_add(run->on_term, NULL);

    tick.tv_sec = 0;
    tick.tv_usec = o->timeout < 1 ? 1000 + (long) (o->timeout * 50000) : 50000;
    event_add(&run->tick_timer, &tick);

    if (o->progress) {
        second.tv_sec = 1;
        second.tv_usec = 0;
        event_add(&run->progress_timer, &second);
    }

    run->start = run_clock();
    run->last_done = run->start;
    run->last_left = run->start;
    run->last_arrival = run->start;
    run->counted_from = run->start + (uint64_t) (o->warmup * 1e9);

    if (o->duration > 0) {
        run->end = run->start + (uint64_t) (o->duration * 1e9);
    }

    if (o->concurrency) {
        run_pump(run);

    } else {
        on_arrival(-1, 0, run);
    }

    if (!run->finished) {
        event_base_dispatch(run->base);
    }

    run->stopped_at = run_clock();

    event_free(run->on_int);
    event_free(run->on_term);
    evtimer_del(&run->arrival_timer);
    event_del(&run->tick_timer);
    event_del(&run->progress_timer);
}


/* Everything whose time has come joins the backlog, even if it is late. */

static void
on_arrival(evutil_socket_t fd, short what, void *arg)
{
    run_t           *run;
    double           seconds;
    uint64_t         now, wait;
    struct timeval   tv;

    run = arg;
    now = run_clock();

    if (run->next_arrival == 0) {
        run->next_arrival = now;

        if (!schedule_next(&run->schedule, &seconds)) {
            run->exhausted = 1;

        } else {
            run->next_arrival = run->start + (uint64_t) (seconds * 1e9);
        }
    }

    while (!run->exhausted && run->next_arrival <= now) {
        backlog_push(&run->backlog, run->next_arrival);
        tally_of(run, run->next_arrival)->offered++;
        run->last_arrival = run->next_arrival;

        if (!schedule_next(&run->schedule, &seconds)) {
            run->exhausted = 1;
            break;
        }

        run->next_arrival = run->start + (uint64_t) (seconds * 1e9);
    }

    run_pump(run);

    if (!run->exhausted) {
        now = run_clock();
        wait = run->next_arrival > now ? run->next_arrival - now : 0;
        tv.tv_sec = wait / 1000000000u;
        tv.tv_usec = (wait % 1000000000u) / 1000;
        evtimer_add(&run->arrival_timer, &tv);
    }
}


void
run_pump(run_t *run)
{
    request_t     *r;
    connection_t  *c;

    if (run->pumping || run->finished) {
        return;
    }

    run->pumping = 1;

    for ( ;; ) {
        c = TAILQ_FIRST(&run->available);

        if (c == NULL) {
            break;
        }

        r = next_request(run);

        if (r == NULL) {
            break;
        }

        r->connection = c;
        connection_take(c);
        c->protocol->send(c, r);
    }

    run->pumping = 0;

    if (run->exhausted && run->in_flight == 0
        && run->backlog.head == run->backlog.tail)
    {
        run->finished = 1;
        event_base_loopbreak(run->base);
    }
}


static request_t *
next_request(run_t *run)
{
    uint64_t    now;
    request_t  *r;
    backlog_t  *b;

    r = TAILQ_FIRST(&run->repeat);

    if (r) {
        TAILQ_REMOVE(&run->repeat, r, wait);
        return r;
    }

    if (run->options->concurrency == 0) {
        b = &run->backlog;

        if (b->head == b->tail) {
            return NULL;
        }

        return begin(run, b->times[b->head++ & (b->size - 1)]);
    }

    if (run->exhausted || run->in_flight >= run->options->concurrency) {
        return NULL;
    }

    now = run_clock();

    if ((run->limit && run->numbers == run->limit)
        || (run->end && now >= run->end))
    {
        run->exhausted = 1;
        return NULL;
    }

    tally_of(run, now)->offered++;
    run->last_arrival = now;

    return begin(run, now);
}


static request_t *
begin(run_t *run, uint64_t intended)
{
    tally_t    *t;
    request_t  *r;

    r = request_new(run, ++run->numbers, intended);

    TAILQ_INSERT_TAIL(&run->flight, r, flight);
    run->in_flight++;

    t = tally_of(run, intended);
    t->sent++;
    mark_histogram_record(&t->lag, (run_clock() - intended) / 1000);

    return r;
}


void
run_answered(request_t *r)
{
    run_t     *run;
    tally_t   *t;
    double     ms;
    uint64_t   now, us;
    unsigned   index;
    answer_e   verdict;

    run = r->run;
    t = tally_of(run, r->intended);
    now = run_clock();
    us = (now - r->intended) / 1000;
    index = r->body - run->bodies.list;

    run->last_done = now;
    run->last_left = now;

    t->completed++;
    t->status[r->status]++;

    verdict = check_answer(&run->check, &r->digits, index, r->status,
                           &r->answer);

    if (run->answers) {
        run->answers[index] = strndup(r->answer.len ? r->answer.data : "",
                                      r->answer.len);
    }

    if (r->status < 300 || verdict == ANSWER_OK) {
        mark_histogram_record(&t->latency, us);
    }

    if (run->options->progress) {
        mark_histogram_record(&run->second, us);
    }

    switch (verdict) {

    case ANSWER_OK:
        t->ok++;
        ms = (double) us / 1000;

        if (run->options->slo_ms <= 0 || ms <= run->options->slo_ms) {
            t->within++;
        }

        break;

    case ANSWER_WRONG:
        t->wrong++;
        break;

    case ANSWER_ALLOWED:
        t->allowed++;
        break;

    case ANSWER_STATUS:
        t->errors[ERROR_STATUS]++;
        break;
    }

    leave(r);
}


void
run_failed(request_t *r, int kind)
{
    /* it was to be given up anyway: the server gave up first */

    if (r->abort == ABORT_SENDING && kind != ERROR_CONNECT
        && kind != ERROR_TIMEOUT)
    {
        run_aborted(r);
        return;
    }

    r->run->last_left = run_clock();
    tally_of(r->run, r->intended)->errors[kind]++;
    leave(r);
}


void
run_aborted(request_t *r)
{
    tally_of(r->run, r->intended)->aborted++;
    leave(r);
}


int
run_may_repeat(request_t *r, int refused)
{
    if (refused) {
        if (r->refused == REFUSED_MAX) {
            return 0;
        }

        r->refused++;

    } else {
        if (r->retried || r->received || !r->run->options->retry_closed) {
            return 0;
        }

        r->retried = 1;
    }

    tally_of(r->run, r->intended)->reconnects++;

    return 1;
}


void
run_repeat(request_t *r)
{
    if (r->armed) {
        evtimer_del(&r->timer);
        r->armed = 0;
    }

    r->connection = NULL;
    r->out.len = 0;
    r->answer.len = 0;

    TAILQ_INSERT_TAIL(&r->run->repeat, r, wait);
    run_pump(r->run);
}


static void
leave(request_t *r)
{
    run_t  *run;

    run = r->run;

    TAILQ_REMOVE(&run->flight, r, flight);
    run->in_flight--;
    request_free(r);

    run_pump(run);
}


/* A request waits only as long as its client would, sent or not. */

static void
expire(run_t *run, uint64_t now)
{
    uint64_t       timeout, intended;
    request_t     *r;
    backlog_t     *b;
    connection_t  *c;

    timeout = (uint64_t) (run->options->timeout * 1e9);
    b = &run->backlog;

    while (b->head != b->tail) {
        intended = b->times[b->head & (b->size - 1)];

        if (intended + timeout > now) {
            break;
        }

        b->head++;
        run->numbers++;
        tally_of(run, intended)->errors[ERROR_UNSENT]++;
    }

    for ( ;; ) {
        r = TAILQ_FIRST(&run->flight);

        if (r == NULL || r->intended + timeout > now) {
            break;
        }

        c = r->connection;

        if (c) {
            c->protocol->cancel(c, r);

        } else {
            TAILQ_REMOVE(&run->repeat, r, wait);
        }

        run_failed(r, ERROR_TIMEOUT);
    }
}


static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
    run_t  *run;

    run = arg;

    expire(run, run_clock());
    run_pump(run);
}


static void
on_progress(evutil_socket_t fd, short what, void *arg)
{
    progress_show(arg);
}


static void
on_signal(evutil_socket_t fd, short what, void *arg)
{
    run_t      *run;
    request_t  *r;
    backlog_t  *b;

    run = arg;
    b = &run->backlog;

    TAILQ_FOREACH(r, &run->flight, flight) {
        tally_of(run, r->intended)->interrupted++;
    }

    for ( /* void */ ; b->head != b->tail; b->head++) {
        tally_of(run, b->times[b->head & (b->size - 1)])->interrupted++;
    }

    run->interrupted = 1;
    run->finished = 1;

    event_base_loopbreak(run->base);
}


static void
backlog_push(backlog_t *b, uint64_t intended)
{
    uint64_t  *times, i, size;

    if (b->tail - b->head == b->size) {
        size = b->size ? b->size * 2 : 1024;
        times = allocate(size * sizeof(uint64_t));

        for (i = b->head; i != b->tail; i++) {
            times[i & (size - 1)] = b->times[i & (b->size - 1)];
        }

        free(b->times);
        b->times = times;
        b->size = size;
    }

    b->times[b->tail++ & (b->size - 1)] = intended;
}


static tally_t *
tally_of(run_t *run, uint64_t intended)
{
    return intended < run->counted_from ? &run->warmup : &run->counted;
}


void
run_warn_socket(run_t *run, int error)
{
    if (!run->socket_warned) {
        fprintf(stderr, "mark-load: no more sockets: %s\n", strerror(error));
        run->socket_warned = 1;
    }
}
