/* A run: arrivals meet connections, and what comes of it is counted. */

#ifndef RUN_H
#define RUN_H


#include "check.h"
#include "connection.h"
#include "message.h"
#include "random.h"
#include "request.h"
#include "schedule.h"
#include "tally.h"


/* Times at which requests were meant to leave that wait for a connection. */
typedef struct {
    uint64_t  *times;
    uint64_t   size;           /* a power of two */
    uint64_t   head;
    uint64_t   tail;
} backlog_t;


struct run_s {
    const options_t     *options;
    struct event_base   *base;
    target_t             target;
    message_t            message;
    bodies_t             bodies;
    check_t              check;
    schedule_t           schedule;
    random_t             random;       /* aborts and dribbles */

    /* nanoseconds of the clock */

    uint64_t             start;
    uint64_t             counted_from; /* after the warmup */
    uint64_t             end;          /* of the offered load; 0: open */
    uint64_t             last_arrival;
    uint64_t             last_done;    /* an answer */
    uint64_t             last_left;    /* an answer or an error */
    uint64_t             stopped_at;

    uint64_t             limit;        /* requests; 0: no limit */
    uint64_t             numbers;      /* given to requests */
    uint64_t             next_arrival; /* open loop */
    unsigned             exhausted:1;  /* no more arrivals */
    unsigned             interrupted:1;
    unsigned             pumping:1;
    unsigned             finished:1;
    unsigned             socket_warned:1;

    backlog_t            backlog;
    request_list_t       flight;
    request_list_t       repeat;
    request_list_t       free_requests;
    uint64_t             in_flight;

    connection_t        *connections;
    connection_list_t    available;

    struct event         arrival_timer;
    struct event         tick_timer;
    struct event         progress_timer;
    struct event        *on_int;
    struct event        *on_term;

    tally_t              counted;
    tally_t              warmup;
    uint64_t             bytes_in;
    uint64_t             bytes_out;
    uint64_t             connections_made;

    mark_histogram_t     second;       /* for --progress */
    uint64_t             shown_sent;
    uint64_t             shown_done;

    char               **answers;      /* by request, for --answers */
};


void run_init(run_t *run, const options_t *o);
void run_loop(run_t *run);

/* starts what has arrived on the connections that are available */
void run_pump(run_t *run);

/*
 * A request has ended.  The connection has forgotten it and was released
 * before; the request must not be used afterwards, and other requests may
 * have been sent on the connection when these return.
 */

void run_answered(request_t *r);
void run_failed(request_t *r, int kind);
void run_aborted(request_t *r);

/*
 * 0: it may not be repeated.  A request that met a closing connection may
 * be once, one that an h2 server refused, which says that it did nothing,
 * a few times and whatever the options say.
 */

int run_may_repeat(request_t *r, int refused);
void run_repeat(request_t *r);

void run_warn_socket(run_t *run, int error);
uint64_t run_clock(void);

/* progress.c: a line about the last second */
void progress_show(run_t *run);


#endif /* RUN_H */
