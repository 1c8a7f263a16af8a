/*
 * What a request asks for and what it is answered, without HTTP's machinery.
 */


#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics.h"
#include "request.h"


#define REQUEST_MODELS    "/v1/models/"

#define REQUEST_HEAD      "{\"predictions\": "


static int request_predict(request_t *r);
static int request_shape(request_t *r);
static void request_echo(request_t *r);
static void request_metadata(request_t *r);
static void request_metrics(request_t *r);


static void
request_text(request_t *r, const char *text)
{
    r->status = 200;
    r->base = r->text = strdup(text);
    r->text_len = r->text ? strlen(text) : 0;
}


void
request_error(request_t *r, int status, const char *fmt, ...)
{
    char                 *p, text[1024];
    va_list               args;
    const unsigned char  *s;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    r->status = status;
    r->base = r->text = p = malloc(strlen(text) * 6 + 32);

    if (p == NULL) {
        return;
    }

    p += sprintf(p, "{\"error\":\"");

    for (s = (unsigned char *) text; *s; s++) {

        if (*s == '"' || *s == '\\') {
            *p++ = '\\';
            *p++ = *s;

        } else if (*s < 0x20 || *s >= 0x7f) {
            p += sprintf(p, "\\u%04x", *s < 0x7f ? *s : 0xfffd);

        } else {
            *p++ = *s;
        }
    }

    p += sprintf(p, "\"}\n");
    r->text_len = p - r->text;
}


int
request_route(request_t *r, const char *method, const char *url)
{
    int          get;
    size_t       n;
    const char  *p;

    get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;

    if (strcmp(url, "/healthz") == 0) {
        r->type = REQUEST_HEALTH;
        goto method;
    }

    if (strcmp(url, "/metrics") == 0) {
        r->type = REQUEST_METRICS;
        goto method;
    }

    n = sizeof(REQUEST_MODELS) - 1;

    if (strncmp(url, REQUEST_MODELS, n) != 0) {
        goto unknown;
    }

    p = url + n;
    n = strcspn(p, "/:");

    r->model = model_find(p, n);

    if (r->model == NULL) {
        request_error(r, 404, "there is no model \"%.*s\"", (int) n, p);
        return -1;
    }

    p += n;

    if (strncmp(p, "/versions/", 10) == 0) {
        p += 10;
        n = strcspn(p, "/:");

        if (n != 1 || *p != '1') {
            request_error(r, 404, "model \"%s\" has no version \"%.*s\"",
                          r->model->name, (int) n, p);
            return -1;
        }

        p++;
    }

    if (*p == '\0') {
        r->type = REQUEST_STATUS;

    } else if (strcmp(p, "/metadata") == 0) {
        r->type = REQUEST_METADATA;

    } else if (strcmp(p, ":predict") == 0) {
        r->type = REQUEST_PREDICT;

    } else {
        goto unknown;
    }

method:

    if (r->type == REQUEST_PREDICT) {
        if (strcmp(method, "POST") == 0) {
            return 0;
        }

        r->allow = "POST";

    } else {
        if (get) {
            return 0;
        }

        r->allow = "GET, HEAD";
    }

    request_error(r, 405, "method %s is not allowed here, but %s", method,
                  r->allow);

    return -1;

unknown:

    request_error(r, 404, "there is nothing at \"%s\"", url);

    return -1;
}


int
request_append(request_t *r, const char *data, size_t len)
{
    char    *p;
    size_t   size;

    if (r->len + len > r->size || r->buf == NULL) {

        size = r->buf ? r->size * 2 : r->size;

        if (size < r->len + len) {
            size = r->len + len;
        }

        p = realloc(r->buf, REQUEST_HEADROOM + size + 1);

        if (p == NULL) {
            return -1;
        }

        r->buf = p;
        r->size = size;
    }

    memcpy(r->buf + REQUEST_HEADROOM + r->len, data, len);
    r->len += len;

    return 0;
}


int
request_begin(request_t *r)
{
    switch (r->type) {

    case REQUEST_HEALTH:
        request_text(r, "ok\n");
        r->type_text = "text/plain";
        return 0;

    case REQUEST_METRICS:
        request_metrics(r);
        return 0;

    case REQUEST_STATUS:
        request_text(r, "{\"model_version_status\":[{\"version\":\"1\","
                        "\"state\":\"AVAILABLE\",\"status\":{\"error_code\":"
                        "\"OK\",\"error_message\":\"\"}}]}\n");
        return 0;

    case REQUEST_METADATA:
        request_metadata(r);
        return 0;

    case REQUEST_PREDICT:
        break;
    }

    return request_predict(r);
}


static int
request_predict(request_t *r)
{
    char       err[INSTANCES_ERROR];
    tensor_t  *t;

    t = r->model->torch ? &r->job.in : NULL;

    /* an echo without delay need not count */
    r->instances.rows = r->model->executor != NULL;

    if (instances_parse(&r->instances, t,
                        r->buf ? r->buf + REQUEST_HEADROOM : "", r->len, err)
        != 0)
    {
        request_error(r, 400, "%s", err);
        return 0;
    }

    if (t == NULL) {
        r->job.rows = r->instances.rows;

        if (r->model->executor) {
            return 1;
        }

        request_echo(r);
        return 0;
    }

    free(r->buf);
    r->buf = NULL;

    if (request_shape(r) != 0) {
        return 0;
    }

    r->job.rows = t->dims[0];

    return 1;
}


static int
request_shape(request_t *r)
{
    int       i;
    char      is[TENSOR_SHAPE_LEN], want[TENSOR_SHAPE_LEN];
    model_t  *m;
    tensor_t *t;

    m = r->model;
    t = &r->job.in;

    if (m->ndims == -1) {
        return 0;
    }

    if (t->ndims == m->ndims + 1) {

        for (i = 0; i < m->ndims; i++) {
            if (t->dims[i + 1] != m->dims[i]) {
                break;
            }
        }

        if (i == m->ndims) {
            return 0;
        }
    }

    request_error(r, 400, "model \"%s\" takes rows of shape %s, not %s",
                  m->name, tensor_shape(m->dims, m->ndims, want),
                  tensor_shape(t->dims + 1, t->ndims - 1, is));

    return -1;
}


/*
 * The answer of an echo is the body itself: another head is written over
 * what stands before the instances, for which there is the headroom.
 */

static void
request_echo(request_t *r)
{
    char  *start, *end;

    start = (char *) r->instances.start;
    end = (char *) r->instances.end;

    start -= sizeof(REQUEST_HEAD) - 1;
    memcpy(start, REQUEST_HEAD, sizeof(REQUEST_HEAD) - 1);

    *end++ = '}';

    r->status = 200;
    r->base = r->buf;
    r->buf = NULL;
    r->text = start;
    r->text_len = end - start;
}


void
request_finish(request_t *r)
{
    char  *p;

    if (r->job.status != 0) {
        request_error(r, 400, "%s", r->job.error);
        return;
    }

    if (r->model->torch == NULL) {
        request_echo(r);
        return;
    }

    p = malloc(tensor_text_len(&r->job.out) + sizeof(REQUEST_HEAD) + 1);

    r->status = 200;
    r->base = r->text = p;

    if (p == NULL) {
        return;
    }

    memcpy(p, REQUEST_HEAD, sizeof(REQUEST_HEAD) - 1);
    p += sizeof(REQUEST_HEAD) - 1;

    p = tensor_print(&r->job.out, p, torch_float_print);
    *p++ = '}';

    r->text_len = p - r->text;
}


static void
request_metadata(request_t *r)
{
    int       i;
    char     *p, text[2048];
    model_t  *m;

    m = r->model;
    p = text;

    p += sprintf(p, "{\"model_spec\":{\"name\":\"%.256s\","
                    "\"signature_name\":\"\",\"version\":\"1\"},"
                    "\"metadata\":{\"signature_def\":{\"signature_def\":"
                    "{\"serving_default\":{\"inputs\":{\"input\":{"
                    "\"dtype\":\"%s\",\"tensor_shape\":{\"dim\":[",
                    m->name, m->torch ? "DT_FLOAT" : "DT_INVALID");

    if (m->ndims >= 0) {
        p += sprintf(p, "{\"size\":\"-1\",\"name\":\"\"}");

        for (i = 0; i < m->ndims; i++) {
            p += sprintf(p, ",{\"size\":\"%lld\",\"name\":\"\"}",
                         (long long) m->dims[i]);
        }
    }

    sprintf(p, "],\"unknown_rank\":%s},\"name\":\"input\"}},"
               "\"method_name\":\"tensorflow/serving/predict\"}}}}}\n",
            m->ndims < 0 ? "true" : "false");

    request_text(r, text);
}


static void
request_metrics(request_t *r)
{
    r->status = 200;
    r->type_text = "text/plain; version=0.0.4";
    r->base = r->text = metrics_text();
    r->text_len = r->text ? strlen(r->text) : 0;
}


void
request_free(request_t *r)
{
    free(r->base);
    free(r->buf);
    free(r->job.in.data);
    torch_output_free(r->job.out.data);
}
