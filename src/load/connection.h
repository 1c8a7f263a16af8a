/* A TCP connection and the protocol that it speaks. */

#ifndef CONNECTION_H
#define CONNECTION_H


#include "mark_http_response.h"
#include "request.h"


typedef struct {
    unsigned  streams;         /* requests at a time; 0: as options say */

    /* takes the request, sends it now or when the connection is open */
    void    (*send)(connection_t *c, request_t *r);

    /* the connection has opened, or can be written to again */
    void    (*write)(connection_t *c);

    void    (*read)(connection_t *c, const char *data, size_t len);

    /* the other side is gone: kind is one of tally.h */
    void    (*closed)(connection_t *c, int kind);

    /* a dribbling request may send more */
    void    (*proceed)(connection_t *c, request_t *r);

    /* forgets the request; nothing may come back for it */
    void    (*cancel)(connection_t *c, request_t *r);
} protocol_t;


/*
 * A connection is a place that outlives its socket: closed (fd is -1), being
 * connected, open.  It is on the run's list of available connections while
 * it can take one more request, closed or not.
 */

struct connection_s {
    run_t             *run;
    const protocol_t  *protocol;

    int                fd;
    unsigned           open:1;         /* connected */
    unsigned           broken:1;       /* writing failed, reading says why */
    unsigned           available:1;
    unsigned           draining:1;     /* h2: no new streams */
    unsigned           reading:1;      /* h2: in a callback */
    unsigned           resting:1;

    unsigned           active;         /* requests */
    uint64_t           served;         /* by this socket */

    struct event       read_event;
    struct event       write_event;
    struct event       rest_timer;

    TAILQ_ENTRY(connection_s)  link;

    request_t             *request;    /* h1 */
    mark_http_response_t   response;

    void                  *session;    /* h2 */
    request_list_t         requests;
    buffer_t               out;
    size_t                 out_sent;
};


typedef TAILQ_HEAD(connection_list_s, connection_s)  connection_list_t;


extern const protocol_t  http1;
extern const protocol_t  http2;


void connection_init(connection_t *c, run_t *run, const protocol_t *protocol);

/* 0: on its way; -1: it failed at once */
int connection_open(connection_t *c);

/* with reset the other side sees a reset instead of an end */
void connection_close(connection_t *c, int reset);

/* how much went out; -1: later, the protocol's write() or read() follows */
ssize_t connection_write(connection_t *c, const char *data, size_t len);

/* takes and gives back one of the places for requests */
void connection_take(connection_t *c);
void connection_release(connection_t *c);

/* puts it on the list of available connections, if it may be there */
void connection_offer(connection_t *c);


#endif /* CONNECTION_H */
