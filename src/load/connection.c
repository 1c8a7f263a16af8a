/* A TCP connection and the protocol that it speaks. */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "run.h"


/* A closed loop waits so long before it knocks again where nobody listens. */
#define REST_USEC  10000


static void on_read(evutil_socket_t fd, short what, void *arg);
static void on_write(evutil_socket_t fd, short what, void *arg);
static void on_rested(evutil_socket_t fd, short what, void *arg);
static int kind_of(int error);


/* All connections read into the same place: whatever is read is used at once */

static char  input[65536];


void
connection_init(connection_t *c, run_t *run, const protocol_t *protocol)
{
    c->run = run;
    c->protocol = protocol;
    c->fd = -1;

    TAILQ_INIT(&c->requests);
    evtimer_assign(&c->rest_timer, run->base, on_rested, c);

    c->available = 1;
    TAILQ_INSERT_TAIL(&run->available, c, link);
}


int
connection_open(connection_t *c)
{
    int        one;
    target_t  *t;

    t = &c->run->target;

    c->fd = socket(t->address.ss_family,
                   SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    c->open = 0;
    c->broken = 0;
    c->draining = 0;
    c->served = 0;
    c->resting = 0;

    if (c->fd == -1) {
        run_warn_socket(c->run, errno);
        c->resting = 1;
        return -1;
    }

    one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));

    if (connect(c->fd, (struct sockaddr *) &t->address, t->address_len) != 0
        && errno != EINPROGRESS)
    {
        close(c->fd);
        c->fd = -1;
        c->resting = 1;
        return -1;
    }

    event_assign(&c->read_event, c->run->base, c->fd, EV_READ | EV_PERSIST,
                 on_read, c);
    event_assign(&c->write_event, c->run->base, c->fd, EV_WRITE, on_write, c);
    event_add(&c->write_event, NULL);

    return 0;
}


void
connection_close(connection_t *c, int reset)
{
    struct linger  linger;

    if (c->fd == -1) {
        return;
    }

    event_del(&c->read_event);
    event_del(&c->write_event);

    if (reset) {
        linger.l_onoff = 1;
        linger.l_linger = 0;
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    }

    close(c->fd);
    c->fd = -1;
    c->open = 0;
    c->draining = 0;

    /* an open connection is preferred to one that has to be made */

    if (c->available) {
        TAILQ_REMOVE(&c->run->available, c, link);
        TAILQ_INSERT_TAIL(&c->run->available, c, link);
    }
}


ssize_t
connection_write(connection_t *c, const char *data, size_t len)
{
    ssize_t  n;

    if (c->broken) {
        return -1;
    }

    n = send(c->fd, data, len, MSG_NOSIGNAL);

    if (n >= 0) {
        c->run->bytes_out += n;
        return n;
    }

    if (errno == EAGAIN || errno == EINTR) {
        event_add(&c->write_event, NULL);
        return -1;
    }

    /* an answer may wait to be read; reading ends with the error anyway */

    c->broken = 1;

    return -1;
}


void
connection_take(connection_t *c)
{
    run_t     *run;
    unsigned   room;

    run = c->run;
    room = c->protocol->streams ? c->protocol->streams : run->options->streams;

    c->active++;

    TAILQ_REMOVE(&run->available, c, link);

    if (c->active < room && !c->draining) {
        TAILQ_INSERT_TAIL(&run->available, c, link);

    } else {
        c->available = 0;
    }
}


void
connection_release(connection_t *c)
{
    struct timeval  delay;

    c->active--;

    if (c->resting && c->run->options->concurrency) {

        if (c->available) {
            c->available = 0;
            TAILQ_REMOVE(&c->run->available, c, link);
        }

        delay.tv_sec = 0;
        delay.tv_usec = REST_USEC;
        evtimer_add(&c->rest_timer, &delay);
        return;
    }

    connection_offer(c);
}


void
connection_offer(connection_t *c)
{
    if (c->available || c->draining) {
        return;
    }

    c->available = 1;

    if (c->fd != -1 && c->protocol->streams == 1 && !c->run->options->spread)
    {
        TAILQ_INSERT_HEAD(&c->run->available, c, link);

    } else {
        TAILQ_INSERT_TAIL(&c->run->available, c, link);
    }
}


static void
on_rested(evutil_socket_t fd, short what, void *arg)
{
    connection_t  *c;

    c = arg;
    c->resting = 0;

    connection_offer(c);
    run_pump(c->run);
}


static void
on_write(evutil_socket_t fd, short what, void *arg)
{
    int            error;
    socklen_t      len;
    connection_t  *c;

    c = arg;

    if (!c->open) {
        error = 0;
        len = sizeof(int);

        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
            error = errno;
        }

        if (error) {
            c->resting = 1;
            c->protocol->closed(c, ERROR_CONNECT);
            return;
        }

        c->open = 1;
        c->run->connections_made++;
        event_add(&c->read_event, NULL);
    }

    c->protocol->write(c);
}


static void
on_read(evutil_socket_t fd, short what, void *arg)
{
    ssize_t        n;
    connection_t  *c;

    c = arg;

    n = recv(c->fd, input, sizeof(input), 0);

    if (n > 0) {
        c->run->bytes_in += n;
        c->protocol->read(c, input, n);
        return;
    }

    if (n == 0) {
        c->protocol->closed(c, ERROR_CLOSED);
        return;
    }

    if (errno != EAGAIN && errno != EINTR) {
        c->protocol->closed(c, kind_of(errno));
    }
}


static int
kind_of(int error)
{
    return error == ECONNRESET || error == EPIPE ? ERROR_RESET : ERROR_CLOSED;
}
