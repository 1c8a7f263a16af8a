/*
 * libmicrohttpd's side of a request.
 *
 * One thread does all I/O, reads requests' JSON and prints answers; models
 * run in the threads of their executors.  A connection whose job is pushed is
 * suspended until the executor resumes it, and that is all an executor ever
 * does with it: request_t belongs to the I/O thread before and after.  As
 * libmicrohttpd does not look at suspended connections, a client that goes
 * away is noticed, and its request freed, only after its job was run.
 */


#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "http.h"
#include "request.h"


/* How long http_stop() waits for clients that send or receive slowly. */
#define HTTP_LINGER      5

/* An idle client is kept for so long. */
#define HTTP_KEEPALIVE   120

/* So much over the limit is read and dropped to deliver the 413. */
#define HTTP_DROP        (256 * 1024 * 1024)


typedef struct {
    request_t               request;
    struct MHD_Connection  *connection;
    size_t                  dropped;
    unsigned                routed:1;     /* the body is wanted */
    unsigned                pushed:1;     /* the job was */
    unsigned                finished:1;   /* and has been run */
    unsigned                queued:1;     /* the answer was */
    char                    what[128];    /* for the log */
} http_request_t;


static http_conf_t         http_conf;
static struct MHD_Daemon  *http_daemon;

static pthread_mutex_t     http_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t      http_cond = PTHREAD_COND_INITIALIZER;

/* under the mutex: */
static unsigned            http_requests;         /* with a head read */
static unsigned            http_jobs;             /* pushed, not finished */
static int                 http_stopping;         /* answers close */
static int                 http_stopped;          /* no more jobs */


static enum MHD_Result http_handler(void *cls, struct MHD_Connection *c,
    const char *url, const char *method, const char *version,
    const char *data, size_t *len, void **ctx);
static void http_completed(void *cls, struct MHD_Connection *c, void **ctx,
    enum MHD_RequestTerminationCode code);
static http_request_t *http_create(struct MHD_Connection *c,
    const char *method, const char *url);
static void http_body(http_request_t *h, const char *data, size_t *len);
static int http_push(http_request_t *h);
static void http_done(job_t *job);
static enum MHD_Result http_answer(http_request_t *h);


int
http_start(const http_conf_t *conf)
{
    unsigned  flags;

    http_conf = *conf;

    /*
     * Not epoll, which libmicrohttpd uses edge-triggered: with hundreds of
     * busy connections its version of Debian 12 loses events, and requests
     * stay unanswered.  poll() is also the faster one up to some hundreds.
     */

    flags = MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;

    if (conf->verbose) {
        flags |= MHD_USE_ERROR_LOG;
    }

    http_daemon = MHD_start_daemon(flags, 0, NULL, NULL, http_handler, NULL,
                      MHD_OPTION_LISTEN_SOCKET, conf->fd,
                      MHD_OPTION_CONNECTION_LIMIT, conf->connections,
                      MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) 65536,
                      MHD_OPTION_CONNECTION_TIMEOUT, HTTP_KEEPALIVE,
                      MHD_OPTION_NOTIFY_COMPLETED, http_completed, NULL,
                      MHD_OPTION_END);

    return http_daemon ? 0 : -1;
}


void
http_stop(void)
{
    int              fd, rc;
    struct timespec  until;

    fd = MHD_quiesce_daemon(http_daemon);

    if (fd != MHD_INVALID_SOCKET) {
        close(fd);
    }

    pthread_mutex_lock(&http_mutex);

    http_stopping = 1;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += HTTP_LINGER;
    rc = 0;

    while (http_jobs || (http_requests && rc == 0)) {

        if (rc == 0) {
            rc = pthread_cond_timedwait(&http_cond, &http_mutex, &until);

        } else {
            pthread_cond_wait(&http_cond, &http_mutex);
        }
    }

    http_stopped = 1;

    pthread_mutex_unlock(&http_mutex);

    MHD_stop_daemon(http_daemon);
}


static void
http_count(unsigned *counter, int n)
{
    pthread_mutex_lock(&http_mutex);

    *counter += n;

    if (http_stopping) {
        pthread_cond_signal(&http_cond);
    }

    pthread_mutex_unlock(&http_mutex);
}


static enum MHD_Result
http_handler(void *cls, struct MHD_Connection *c, const char *url,
    const char *method, const char *version, const char *data, size_t *len,
    void **ctx)
{
    http_request_t  *h;

    h = *ctx;

    if (h == NULL) {
        h = *ctx = http_create(c, method, url);
        return h ? MHD_YES : MHD_NO;
    }

    if (*len) {
        http_body(h, data, len);
        return h->dropped > HTTP_DROP ? MHD_NO : MHD_YES;
    }

    if (h->pushed) {
        h->finished = 1;
        http_count(&http_jobs, -1);

        request_finish(&h->request);
        return http_answer(h);
    }

    if (h->request.status == 0 && request_begin(&h->request) == 1) {

        if (http_push(h) == 0) {
            return MHD_YES;
        }

        request_error(&h->request, 503, "the server is stopping");
    }

    return http_answer(h);
}


static int
http_push(http_request_t *h)
{
    int  stopped;

    pthread_mutex_lock(&http_mutex);

    stopped = http_stopped;
    http_jobs += !stopped;

    pthread_mutex_unlock(&http_mutex);

    if (stopped) {
        return -1;
    }

    h->pushed = 1;
    h->request.job.done = http_done;
    h->request.job.data = h;

    MHD_suspend_connection(h->connection);
    executor_push(h->request.model->executor, &h->request.job);

    return 0;
}


static http_request_t *
http_create(struct MHD_Connection *c, const char *method, const char *url)
{
    const char          *length;
    http_request_t      *h;
    unsigned long long   n;

    h = calloc(1, sizeof(http_request_t));

    if (h == NULL) {
        return NULL;
    }

    h->connection = c;

    if (http_conf.verbose) {
        snprintf(h->what, sizeof(h->what), "%s %s", method, url);
    }

    http_count(&http_requests, 1);

    if (request_route(&h->request, method, url) != 0
        || h->request.type != REQUEST_PREDICT)
    {
        return h;
    }

    h->routed = 1;

    length = MHD_lookup_connection_value(c, MHD_HEADER_KIND,
                                         MHD_HTTP_HEADER_CONTENT_LENGTH);
    n = length ? strtoull(length, NULL, 10) : 0;

    if (n > http_conf.max_body) {
        h->routed = 0;
        request_error(&h->request, 413, "the body is larger than %zu bytes",
                      http_conf.max_body);

    } else {

        /* trusted up to a megabyte, and then only as it comes */

        h->request.size = n < 1048576 ? n : 1048576;
    }

    return h;
}


static void
http_body(http_request_t *h, const char *data, size_t *len)
{
    request_t  *r;

    r = &h->request;

    if (h->routed) {

        if (r->len + *len > http_conf.max_body) {
            h->routed = 0;
            request_error(r, 413, "the body is larger than %zu bytes",
                          http_conf.max_body);

        } else if (request_append(r, data, *len) != 0) {
            h->routed = 0;
            request_error(r, 503, "no memory for the body");
        }

        if (!h->routed) {
            free(r->buf);
            r->buf = NULL;
        }
    }

    if (!h->routed) {
        h->dropped += *len;
    }

    *len = 0;
}


/* In the executor's thread: h is not touched after this. */

static void
http_done(job_t *job)
{
    http_request_t  *h;

    h = job->data;

    MHD_resume_connection(h->connection);
}


static enum MHD_Result
http_answer(http_request_t *h)
{
    request_t            *r;
    enum MHD_Result       rc;
    struct MHD_Response  *response;

    r = &h->request;

    if (r->base == NULL) {
        return MHD_NO;
    }

    response = MHD_create_response_from_buffer_with_free_callback_cls(
                   r->text_len, r->text, free, r->base);

    if (response == NULL) {
        free(r->base);
        return MHD_NO;
    }

    r->base = NULL;
    h->queued = 1;

    rc = MHD_add_response_header(response, "Content-Type",
                                 r->type_text ? r->type_text
                                              : "application/json");

    if (r->allow) {
        rc &= MHD_add_response_header(response, "Allow", r->allow);
    }

    pthread_mutex_lock(&http_mutex);

    if (http_stopping) {
        rc &= MHD_add_response_header(response, "Connection", "close");
    }

    pthread_mutex_unlock(&http_mutex);

    if (rc == MHD_YES) {
        rc = MHD_queue_response(h->connection, r->status, response);
    }

    MHD_destroy_response(response);

    return rc;
}


static void
http_log(http_request_t *h, enum MHD_RequestTerminationCode code)
{
    job_t  *job;

    job = &h->request.job;

    if (!h->queued || code != MHD_REQUEST_TERMINATED_COMPLETED_OK) {
        fprintf(stderr, "mark-server: %s: client gone\n", h->what);

    } else if (h->pushed) {
        fprintf(stderr, "mark-server: %s: %d, %zu rows, waited %.2f ms, "
                "ran %.2f ms\n", h->what, h->request.status, job->rows,
                (job->started - job->pushed) / 1e6,
                (job->ended - job->started) / 1e6);

    } else {
        fprintf(stderr, "mark-server: %s: %d\n", h->what, h->request.status);
    }
}


static void
http_completed(void *cls, struct MHD_Connection *c, void **ctx,
    enum MHD_RequestTerminationCode code)
{
    http_request_t  *h;

    h = *ctx;

    if (h == NULL) {
        return;
    }

    *ctx = NULL;

    if (http_conf.verbose) {
        http_log(h, code);
    }

    /* the handler is not called again for a client that went away */

    if (h->pushed && !h->finished) {
        http_count(&http_jobs, -1);
    }

    request_free(&h->request);
    free(h);

    http_count(&http_requests, -1);
}
