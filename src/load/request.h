/* One request on its way: what it sends, what came back, and when. */

#ifndef REQUEST_H
#define REQUEST_H


#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdint.h>
#include <sys/queue.h>

#include "bodies.h"


typedef struct run_s         run_t;
typedef struct connection_s  connection_t;
typedef struct request_s     request_t;


typedef enum {
    ABORT_NOT = 0,
    ABORT_SENDING,             /* the client vanishes inside the body */
    ABORT_WAITING              /* the client vanishes after the body */
} abort_e;


struct request_s {
    run_t           *run;
    connection_t    *connection;       /* NULL: to be repeated, waiting */

    uint64_t         number;           /* from 1 */
    digits_t         digits;
    body_t          *body;
    uint64_t         intended;         /* nanoseconds of the clock */

    buffer_t         out;              /* what was made for this request */
    const char      *wire;             /* the message, or its body on h2 */
    size_t           wire_len;
    size_t           head_len;

    /*
     * sent <= allowed <= goal <= wire_len: a dribbled request raises allowed
     * bit by bit, one that is given up in its body has its goal there.
     */

    size_t           sent;
    size_t           allowed;
    size_t           goal;
    size_t           step;

    unsigned         status;
    buffer_t         answer;
    int32_t          stream;           /* h2 */

    unsigned         abort:2;
    unsigned         begun:1;          /* for the first time */
    unsigned         armed:1;          /* the timer runs */
    unsigned         retried:1;        /* after a connection was closed */
    unsigned         refused:4;        /* times, h2 */
    unsigned         received:1;       /* a byte of the answer */

    struct event     timer;

    TAILQ_ENTRY(request_s)  flight;    /* all that are under way, by age */
    TAILQ_ENTRY(request_s)  wait;      /* free, or to be repeated */
};


typedef TAILQ_HEAD(request_list_s, request_s)  request_list_t;


request_t *request_new(run_t *run, uint64_t number, uint64_t intended);
void request_free(request_t *r);

/* The message is known: decides how far and how fast it is sent. */
void request_begin(request_t *r, const char *wire, size_t len,
    size_t head_len);

/* All that was allowed has left: arms the timer if more is to come of it. */
void request_pause(request_t *r);


#endif /* REQUEST_H */
