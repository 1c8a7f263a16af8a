
/*
 * What the policy makes of overload: a queue as nginx has it, before serial
 * servers, with clients that arrive as they like, by a clock of its own.
 *
 * Capacity is what full batches give back to back.  With requests that are
 * too late rejected, twice and three times that load must leave at least 0.9
 * of the best goodput of any load; goodput is what is answered in time.
 */


#include <math.h>

#include "tap.h"
#include "mark_policy.h"


#define START    1000000000
#define WAITING  65536
#define FLYING   4096
#define SERVERS  32
#define ROWS     32
#define STARVED  1000000        /* as in ngx_http_mark.h */
#define PATIENT  10000000

#define max(a, b)  ((a) > (b) ? (a) : (b))
#define min(a, b)  ((a) < (b) ? (a) : (b))


typedef struct {
    const char           *name;
    double                a;            /* usec a batch */
    double                b;            /* usec a row */
    double                noise;        /* deviation, a share of the time */
    uint64_t              slo[2];       /* of the clients in turns; 0: none */
    unsigned              servers;      /* each serial, behind one queue */
    unsigned              slots;        /* of which the policy knows */
    unsigned              blocked;      /* while so many are in flight, or 0 */
} world_t;


typedef struct {
    uint64_t              arrived;
    uint64_t              deadline;
} item_t;


/* Requests of one kind: the first is both the oldest and the most urgent. */

typedef struct {
    item_t                items[WAITING];
    unsigned              head;
    unsigned              n;
} fifo_t;


/* The first two are of clients. */

enum { LATE = 2, FIFOS };


typedef struct {
    uint64_t              sent;
    uint64_t              answered;
    unsigned              epoch;
    unsigned              rows;
    unsigned              beside;       /* in flight then, with it */
    unsigned              first;        /* of the log of items sent */
} batch_t;


typedef struct {
    unsigned              good;
    unsigned              missed;
    unsigned              rejected;
    unsigned              batches;
    unsigned              rows;
    unsigned              most;         /* in flight */
    uint64_t              worst;        /* usec from arrival to answer */
} result_t;


static const double  load[] = { 0.5, 1, 1.5, 2, 3 };

#define LOADS  (sizeof(load) / sizeof(load[0]))


static const world_t  worlds[] = {
    { "serial", 10000, 500, 0.05, { 100000, 100000 }, 1, 1, 0 },
    { "one at a time", 10000, 500, 0.05, { 100000, 100000 }, 1, 1, 1 },
    { "noisy", 10000, 500, 0.20, { 100000, 100000 }, 1, 1, 0 },
    { "short deadlines", 10000, 500, 0.05, { 60000, 60000 }, 1, 1, 0 },
    { "mixed", 10000, 500, 0.05, { 60000, 500000 }, 1, 1, 0 },
    { "mixed, one at a time", 10000, 500, 0.05, { 50000, 500000 }, 1, 1, 1 },
    { "rows cost nothing", 20000, 0, 0.05, { 100000, 100000 }, 1, 1, 0 },
    { "little gain", 2000, 1000, 0.05, { 100000, 100000 }, 1, 1, 0 },
    { "no gain", 10, 1000, 0.05, { 100000, 100000 }, 1, 1, 0 },
    { "four servers", 10000, 500, 0.05, { 100000, 100000 }, 4, 4, 0 },
    { "eight, one address", 10000, 500, 0.05, { 100000, 100000 }, 8, 1, 0 }
};


static uint64_t            seed;
static const world_t      *world;
static unsigned            delay;           /* mark_timeout_action delay */
static uint64_t            slow;            /* four times, until then */
static mark_policy_conf_t  conf;
static mark_latency_t      latency;
static fifo_t              fifo[FIFOS];
static batch_t             flying[FLYING];
static unsigned            nflying;
static uint64_t            server_free[SERVERS];
static item_t              sent[WAITING];
static unsigned            nsent;
static uint64_t            now, last_sent;
static unsigned            current, epoch, last_rows;
static result_t            result;


static double
uniform(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;

    return ((seed >> 33) + 0.5) / 2147483648.0;
}


static double
normal(void)
{
    return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}


static double
backend_time(unsigned rows)
{
    double  t;

    t = (world->a + world->b * rows) * (1 + world->noise * normal());

    return max(t, world->a / 2) * (now < slow ? 4 : 1);
}


static item_t *
head(unsigned kind)
{
    return &fifo[kind].items[fifo[kind].head % WAITING];
}


static void
push(unsigned kind, const item_t *item)
{
    fifo[kind].items[(fifo[kind].head + fifo[kind].n++) % WAITING] = *item;
}


static item_t
pop(unsigned kind)
{
    item_t  item = *head(kind);

    fifo[kind].head++;
    fifo[kind].n--;

    return item;
}


static unsigned
waiting(void)
{
    return fifo[0].n + fifo[1].n + fifo[LATE].n;
}


/* The kind whose first is the most urgent of all; something must wait. */

static unsigned
first(void)
{
    unsigned  i, best;
    uint64_t  due, least;

    best = LATE;
    least = UINT64_MAX;

    for (i = 0; i < LATE; i++) {
        if (fifo[i].n) {
            due = head(i)->deadline ? head(i)->deadline
                                    : head(i)->arrived + PATIENT;
            if (due < least) {
                least = due;
                best = i;
            }
        }
    }

    return best;
}


static unsigned
oldest(void)
{
    unsigned  i, best;

    best = FIFOS;

    for (i = 0; i < FIFOS; i++) {
        if (fifo[i].n
            && (best == FIFOS || head(i)->arrived < head(best)->arrived))
        {
            best = i;
        }
    }

    return best;
}


static void
get_state(mark_policy_state_t *state)
{
    unsigned  kind;

    kind = first();

    memset(state, 0, sizeof(*state));

    state->now = now;
    state->rows = waiting();
    state->bytes = state->rows;
    state->oldest = head(oldest())->arrived;
    state->slots = world->slots;
    state->in_flight = current;
    state->last_sent = last_sent;
    state->last_rows = last_rows;
    state->blocked = world->blocked && nflying >= world->blocked;
    state->latency = &latency;

    if (kind != LATE) {
        state->deadline = head(kind)->deadline;
    }
}


/* As ngx_http_mark_line_late(): looks at the first and the oldest only. */

static int
drop_late(const mark_policy_state_t *state)
{
    item_t    item;
    unsigned  kind;

    kind = first();

    if (kind == LATE
        || !mark_policy_late(&conf, state, head(kind)->deadline, 1))
    {
        kind = oldest();

        if (kind == LATE
            || !mark_policy_late(&conf, state, head(kind)->deadline, 1))
        {
            return 0;
        }
    }

    item = pop(kind);

    if (delay) {
        push(LATE, &item);

    } else {
        result.rejected++;
    }

    return 1;
}


static void
send_batch(const mark_policy_state_t *state, mark_policy_reason_t reason)
{
    item_t    item;
    batch_t  *b;
    unsigned  i, kind, limit, server;

    limit = mark_policy_rows(&conf, state);

    if (reason == MARK_POLICY_OVERDUE) {
        epoch++;
        current = 0;
    }

    b = &flying[nflying++];
    b->sent = now;
    b->epoch = epoch;
    b->rows = 0;
    b->first = nsent;

    while (waiting() && b->rows < limit) {
        kind = oldest();

        if (b->rows >= max(limit / 4, 1)
            || head(kind)->arrived + STARVED > now)
        {
            kind = first();
        }

        item = pop(kind);
        sent[nsent++ % WAITING] = item;
        b->rows++;
    }

    for (server = 0, i = 1; i < world->servers; i++) {
        if (server_free[i] < server_free[server]) {
            server = i;
        }
    }

    server_free[server] = max(server_free[server], now)
                          + backend_time(b->rows);

    b->answered = server_free[server];
    b->beside = (nflying + world->slots - 1) / world->slots;

    current++;
    last_sent = now;
    last_rows = b->rows;
    result.batches++;
    result.rows += b->rows;
    result.most = max(result.most, nflying);
}


static batch_t *
next_answer(void)
{
    unsigned  i, best;

    for (best = 0, i = 1; i < nflying; i++) {
        if (flying[i].answered < flying[best].answered) {
            best = i;
        }
    }

    return nflying ? &flying[best] : NULL;
}


static void
answered(uint64_t measure)
{
    item_t   *item;
    batch_t  *b;
    unsigned  i;

    b = next_answer();

    if (b->epoch == epoch) {
        current--;
    }

    mark_latency_observe(&latency, b->rows, b->answered - b->sent,
                         b->beside);

    for (i = 0; now >= measure && i < b->rows; i++) {
        item = &sent[(b->first + i) % WAITING];

        result.worst = max(result.worst, now - item->arrived);

        if (item->deadline && now > item->deadline) {
            result.missed++;

        } else {
            result.good++;
        }
    }

    *b = flying[--nflying];
}


/* As ngx_http_mark_queue_run(); returns when its timer goes off. */

static uint64_t
run_queue(void)
{
    uint64_t              again;
    mark_policy_state_t   state;
    mark_policy_reason_t  reason;

    while (waiting()) {

        do {
            get_state(&state);
        } while (drop_late(&state) && waiting());

        if (waiting() == 0) {
            break;
        }

        reason = mark_policy_decide(&conf, &state, &again);

        if (reason == MARK_POLICY_WAIT) {

            if (state.deadline && !delay) {
                again = min(again, state.deadline
                                   - mark_latency_mean(&latency, 1));
            }

            /* nginx's timers have whole milliseconds */

            return again > now ? now + (again - now + 999) / 1000 * 1000
                               : now + 1000;
        }

        send_batch(&state, reason);
    }

    return UINT64_MAX;
}


/* Goodput in requests a second, by Poisson arrivals at so many a second. */

static double
simulate(const world_t *w, double rate, double seconds)
{
    item_t    item;
    double    next;
    uint64_t  timer, end, start, arrival, completion;
    unsigned  kind;

    world = w;
    seed = 42;
    now = START;
    current = epoch = last_rows = nflying = nsent = 0;
    last_sent = 0;

    memset(server_free, 0, sizeof(server_free));
    memset(fifo, 0, sizeof(fifo));
    memset(&conf, 0, sizeof(conf));
    conf.max_rows = ROWS;
    conf.max_bytes = 1 << 30;
    conf.delay = MARK_POLICY_AUTO;

    memset(&result, 0, sizeof(result));
    mark_latency_init(&latency);

    /* there is time to learn */

    start = slow ? slow + 4000000 : now + 1000000;
    end = start + seconds * 1e6;
    next = now;
    kind = 0;
    timer = UINT64_MAX;

    while (now < end) {
        arrival = next;
        completion = nflying ? next_answer()->answered : UINT64_MAX;
        now = min(min(arrival, completion), timer);

        if (now == completion) {
            answered(start);

        } else if (now == arrival) {
            item.arrived = now;
            item.deadline = w->slo[kind] ? now + w->slo[kind] : 0;

            if (waiting() < WAITING / 2) {
                push(kind, &item);
            }

            kind = !kind;
            next += -log(uniform()) * 1e6 / rate;
        }

        timer = run_queue();
    }

    return result.good / seconds;
}


static double
capacity(const world_t *w)
{
    return w->servers * ROWS * 1e6 / (w->a + w->b * ROWS);
}


static void
holds(const world_t *w)
{
    double    good[LOADS], best;
    unsigned  i;

    best = 0;

    for (i = 0; i < LOADS; i++) {
        good[i] = simulate(w, load[i] * capacity(w), 4) / capacity(w);
        best = max(best, good[i]);

        diag("%s: load %.1f goodput %.3f missed %.3f, %.1f rows, "
             "at most %u in flight", w->name, load[i], good[i],
             result.missed / 4 / capacity(w),
             result.rows / (double) result.batches, result.most);
    }

    ok(good[0] > 0.97 * load[0], "%s: half the capacity: in time", w->name);
    ok(best > 0.9, "%s: nearly all of the capacity", w->name);
    ok(good[3] >= 0.9 * best, "%s: at twice the capacity", w->name);
    ok(good[4] >= 0.9 * best, "%s: at three times the capacity", w->name);
}


static void
recovers(void)
{
    double   share;
    world_t  w = worlds[0];

    /* all that is known at first is that no deadline can be met */

    slow = START + 3000000;
    w.a = 30000;
    w.slo[0] = w.slo[1] = 100000;

    share = simulate(&w, 0.5 * capacity(&w), 4) / capacity(&w);
    ok(share > 0.45, "a backend that was slow: goodput %.3f", share);

    share = simulate(&w, 2 * capacity(&w), 4) / capacity(&w);
    ok(share > 0.85, "the same in overload: goodput %.3f", share);

    slow = 0;
}


/* Without a deadline nothing is given up, and nothing waits for ever. */

static void
no_deadline(void)
{
    double   share;
    world_t  w = worlds[0];

    w.slo[0] = w.slo[1] = 0;

    share = simulate(&w, 0.8 * capacity(&w), 4) / capacity(&w);
    ok(share > 0.77, "no deadline: goodput %.3f", share);
    ok(result.worst < 200000, "no deadline: within %lu us",
       (unsigned long) result.worst);

    share = simulate(&w, 2 * capacity(&w), 4) / capacity(&w);
    ok(share > 0.95, "no deadline, overload: %.3f served", share);
    is_int(result.rejected, 0, "no deadline: none is rejected");
}


/* Late ones are served behind the others, and cost these a quarter. */

static void
delayed(void)
{
    double   share;
    world_t  w = worlds[0];

    delay = 1;
    share = simulate(&w, 2 * capacity(&w), 4) / capacity(&w);
    delay = 0;

    ok(share > 0.65, "delayed, not rejected: goodput %.3f", share);
    ok(result.missed > 0 && result.rejected == 0, "delayed: all are served");
}


int
main(void)
{
    unsigned  i;

    for (i = 0; i < sizeof(worlds) / sizeof(worlds[0]); i++) {
        holds(&worlds[i]);
    }

    recovers();
    no_deadline();
    delayed();

    return done_testing();
}
