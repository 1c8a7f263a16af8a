/* Asks for the right answers before the run: one request at a time. */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mark_http_response.h"
#include "message.h"
#include "reference.h"


#define ANSWERED   0
#define NO_ANSWER  1           /* no byte of it */
#define FAILED     2


static int ask(int fd, const buffer_t *out, reference_t *answer,
    int no_body, int *keep_alive, const char **why);
static int connect_to(const target_t *t, double timeout);


void
reference_ask(check_t *c, const options_t *o, const bodies_t *bodies)
{
    int                fd, rc, fresh, keep_alive;
    buffer_t           out;
    digits_t           number;
    unsigned           i;
    const char        *why;
    static target_t    target;
    static message_t   message;

    why = target_init(&target, o->reference);
    if (why) {
        options_die("--reference %s: %s", o->reference, why);
    }

    memset(&out, 0, sizeof(buffer_t));
    message_init(&message, o, &target);

    c->reference = allocate(bodies->count * sizeof(reference_t));
    fd = -1;

    for (i = 0; i < bodies->count; i++) {

        if (bodies->list[i].text.marks) {
            options_die("--reference needs bodies without %%u");
        }

        digits_init(&number, i + 1);
        out.len = 0;
        message_append(&message, &bodies->list[i], &number, &out);

        do {
            fresh = (fd == -1);

            if (fresh) {
                fd = connect_to(&target, o->timeout);
            }

            if (fd == -1) {
                options_die("--reference %s: %s", o->reference,
                            strerror(errno));
            }

            rc = ask(fd, &out, &c->reference[i],
                     strcmp(o->method, "HEAD") == 0, &keep_alive, &why);

            if (rc != ANSWERED || !keep_alive) {
                close(fd);
                fd = -1;
            }

        } while (rc == NO_ANSWER && !fresh);

        if (rc != ANSWERED) {
            options_die("--reference %s, body %u: %s", o->reference, i, why);
        }
    }

    for (i = 0; i < bodies->count; i++) {
        if (c->reference[i].status < 200 || c->reference[i].status > 299) {
            fprintf(stderr, "mark-load: beware, the reference of body %u has"
                    " status %u\n", i, c->reference[i].status);
            break;
        }
    }

    if (fd != -1) {
        close(fd);
    }

    buffer_free(&out);
}


static int
connect_to(const target_t *t, double timeout)
{
    int             fd;
    struct timeval  tv;

    fd = socket(t->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -1) {
        return -1;
    }

    tv.tv_sec = (time_t) timeout;
    tv.tv_usec = (suseconds_t) ((timeout - tv.tv_sec) * 1e6);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));

    if (connect(fd, (const struct sockaddr *) &t->address, t->address_len)
        != 0)
    {
        close(fd);
        return -1;
    }

    return fd;
}


static int
ask(int fd, const buffer_t *out, reference_t *answer, int no_body,
    int *keep_alive, const char **why)
{
    char                   input[65536];
    size_t                 sent, got;
    ssize_t                n;
    const char            *pos;
    mark_http_rc_e         rc;
    mark_http_response_t   response;

    mark_http_response_init(&response, no_body);
    answer->body.len = 0;

    for (sent = 0; sent < out->len; sent += n) {
        n = send(fd, out->data + sent, out->len - sent, MSG_NOSIGNAL);

        if (n <= 0) {
            *why = strerror(errno);
            return NO_ANSWER;
        }
    }

    got = 0;

    do {
        n = recv(fd, input, sizeof(input), 0);

        if (n < 0) {
            *why = errno == EAGAIN ? "no answer in time" : strerror(errno);
            return got || errno == EAGAIN ? FAILED : NO_ANSWER;
        }

        if (n == 0) {
            rc = mark_http_response_eof(&response);
            *why = got ? response.error : "closed without an answer";

            if (rc != MARK_HTTP_DONE) {
                return got ? FAILED : NO_ANSWER;
            }

            break;
        }

        got += n;
        pos = input;

        do {
            rc = mark_http_response_parse(&response, &pos, input + n);

            if (rc == MARK_HTTP_BODY) {
                buffer_append(&answer->body, response.piece,
                              response.piece_len);
            }

        } while (rc == MARK_HTTP_BODY);

        if (rc == MARK_HTTP_ERROR) {
            *why = response.error;
            return FAILED;
        }

    } while (rc != MARK_HTTP_DONE);

    answer->status = response.status;
    *keep_alive = response.keep_alive && n > 0 && pos == input + n;

    return ANSWERED;
}
