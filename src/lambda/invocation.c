
/*
 * Runs mark-server's request for a payload.
 *
 * An HTTP client behind a front end has its errors with their status, as
 * from mark-server, and the invocation succeeds.  Whoever invokes the
 * function itself has no status, and expects that an invocation which did
 * not predict anything is a function error.
 */


#include <errno.h>
#include <jansson.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event.h"
#include "executor.h"
#include "invocation.h"
#include "mark_json.h"
#include "request.h"


static int invocation_is_event(const char *payload, size_t len);
static void invocation_body(invocation_t *in, model_t *m, const char *payload,
    size_t len);
static void invocation_event(invocation_t *in, const char *payload,
    size_t len);
static void invocation_request(invocation_t *in, request_t *r,
    const char *body, size_t len);
static void invocation_error(invocation_t *in, const char *type,
    const char *message);


void
invocation_run(invocation_t *in, model_t *m, const char *payload, size_t len)
{
    memset(in, 0, sizeof(invocation_t));

    if (invocation_is_event(payload, len)) {
        invocation_event(in, payload, len);

    } else {
        invocation_body(in, m, payload, len);
    }
}


/*
 * What decides stands near the beginning of events; a body is passed over
 * only up to its instances.  Members of version 1.0 are known to be able to
 * tell what is wrong with it.
 */

static int
invocation_is_event(const char *payload, size_t len)
{
    int           first;
    mark_json_t   j;
    mark_span_t   key;

    mark_json_init(&j, payload, len);

    if (mark_json_enter(&j, MARK_JSON_OBJECT) != 0) {
        return 0;
    }

    first = 1;

    while (mark_json_member(&j, &key, &first, 0) == 1) {

        if (mark_json_key_is(&key, "rawPath")
            || mark_json_key_is(&key, "httpMethod"))
        {
            return 1;
        }

        if (mark_json_key_is(&key, "instances") || mark_json_skip(&j) != 0) {
            return 0;
        }
    }

    return 0;
}


static void
invocation_body(invocation_t *in, model_t *m, const char *payload, size_t len)
{
    json_t      *json;
    request_t    r;
    const char  *message;

    if (m == NULL) {
        invocation_error(in, "Mark.NoModel", "the function has several "
                         "models, and its handler names none of them");
        return;
    }

    memset(&r, 0, sizeof(request_t));

    r.type = REQUEST_PREDICT;
    r.model = m;

    invocation_request(in, &r, payload, len);

    if (r.base == NULL) {
        invocation_error(in, "Mark.NoMemory", "no memory for the answer");

    } else if (r.status != 200) {

        message = "no prediction";
        json = json_loadb(r.text, r.text_len, 0, NULL);
        (void) json_unpack(json, "{s:s}", "error", &message);

        invocation_error(in, r.status < 500 ? "Mark.BadRequest"
                                            : "Mark.NoMemory", message);
        json_decref(json);

    } else {
        in->text = r.text;
        in->len = r.text_len;
        in->base = r.base;
        r.base = NULL;
    }

    request_free(&r);
}


static void
invocation_event(invocation_t *in, const char *payload, size_t len)
{
    event_t      e;
    request_t    r;
    const char  *err;

    if (event_read(&e, payload, len, &err) != 0) {
        invocation_error(in, "Mark.BadEvent", err);
        return;
    }

    memset(&r, 0, sizeof(request_t));

    if (request_route(&r, e.method, e.path) == 0) {

        if (e.body == NULL) {
            request_error(&r, 400, "the body is not base64");

        } else {
            invocation_request(in, &r, e.body, e.len);
        }
    }

    in->status = r.status;

    if (r.base) {
        in->base = in->text = event_answer(r.status, r.type_text ? r.type_text
                                                     : "application/json",
                                           r.allow, r.text, r.text_len,
                                           &in->len);
    }

    if (in->base == NULL) {
        invocation_error(in, "Mark.NoMemory", "no memory for the answer");
    }

    request_free(&r);
    event_free(&e);
}


static void
invocation_done(job_t *job)
{
    sem_post(job->data);
}


/* Leaves the answer in r: there is one request at a time. */

static void
invocation_request(invocation_t *in, request_t *r, const char *body,
    size_t len)
{
    sem_t  done;

    r->size = len;

    if (request_append(r, body, len) != 0) {
        request_error(r, 503, "no memory for the body");
        return;
    }

    if (request_begin(r) == 1) {

        sem_init(&done, 0, 0);

        r->job.done = invocation_done;
        r->job.data = &done;

        executor_push(r->model->executor, &r->job);

        while (sem_wait(&done) != 0 && errno == EINTR) { /* void */ }

        sem_destroy(&done);

        in->rows = r->job.rows;
        in->run = (r->job.ended - r->job.started) / 1e6;

        request_finish(r);
    }

    in->status = r->status;
}


static void
invocation_error(invocation_t *in, const char *type, const char *message)
{
    in->error_type = type;
    snprintf(in->message, sizeof(in->message), "%s", message);
}


void
invocation_free(invocation_t *in)
{
    free(in->base);
}
