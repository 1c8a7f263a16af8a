
/*
 * The Runtime API over libcurl: one connection, kept, and no timeout, as an
 * environment is frozen for as long as nobody invokes it.
 *
 * It is a multi handle only because that can be woken by another thread.
 */


#include <curl/curl.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "options.h"
#include "runtime.h"


#define RUNTIME_URL       512

#define RUNTIME_ID_CHARS  "abcdefghijklmnopqrstuvwxyz"                        \
                          "ABCDEFGHIJKLMNOPQRSTUVWXYZ"                        \
                          "0123456789-_."

/* More than any Lambda sends: what is larger did not come from there. */
#define RUNTIME_MAX       (256 * 1024 * 1024)


static CURL        *runtime_easy;
static CURLM       *runtime_multi;
static char         runtime_base[RUNTIME_URL / 2];
static char         runtime_error[CURL_ERROR_SIZE];

static atomic_int   runtime_stopping;

/* of the answer that is being read */
static int          runtime_begun;
static char        *runtime_body;
static size_t       runtime_len;
static size_t       runtime_size;


static size_t runtime_write(char *data, size_t one, size_t len, void *ctx);
static size_t runtime_header(char *data, size_t one, size_t len, void *ctx);
static int runtime_perform(const char *url, int waiting, long *status);
static int runtime_post(const char *path, const char *type, const char *text,
    size_t len);


int
runtime_open(const char *api)
{
    if (snprintf(runtime_base, sizeof(runtime_base),
                 "http://%s/2018-06-01/runtime", api)
        >= (int) sizeof(runtime_base))
    {
        fprintf(stderr, "mark-lambda: AWS_LAMBDA_RUNTIME_API is too long\n");
        return -1;
    }

    runtime_easy = NULL;

    if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) {
        runtime_easy = curl_easy_init();
        runtime_multi = curl_multi_init();
    }

    if (runtime_easy == NULL || runtime_multi == NULL) {
        fprintf(stderr, "mark-lambda: libcurl does not start\n");
        return -1;
    }

    curl_easy_setopt(runtime_easy, CURLOPT_ERRORBUFFER, runtime_error);
    curl_easy_setopt(runtime_easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(runtime_easy, CURLOPT_HTTP_VERSION,
                     (long) CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(runtime_easy, CURLOPT_USERAGENT,
                     "mark-lambda/" OPTIONS_VERSION);
    curl_easy_setopt(runtime_easy, CURLOPT_WRITEFUNCTION, runtime_write);

    /* a function's environment often names one, for what it calls itself */
    curl_easy_setopt(runtime_easy, CURLOPT_PROXY, "");

    return 0;
}


static size_t
runtime_write(char *data, size_t one, size_t len, void *ctx)
{
    char    *p;
    size_t   size;

    if (len > RUNTIME_MAX - runtime_len) {
        return 0;
    }

    if (runtime_len + len > runtime_size) {
        size = runtime_size * 2 + len;
        p = realloc(runtime_body, size);

        if (p == NULL) {
            return 0;
        }

        runtime_body = p;
        runtime_size = size;
    }

    memcpy(runtime_body + runtime_len, data, len);
    runtime_len += len;

    return len;
}


/* The value of the header, without blanks around it, or NULL: another one. */

static const char *
runtime_value(const char *name, char *data, size_t len, size_t *n)
{
    char    *p, *last;
    size_t   name_len;

    name_len = strlen(name);

    if (len <= name_len || data[name_len] != ':'
        || strncasecmp(data, name, name_len) != 0)
    {
        return NULL;
    }

    p = data + name_len + 1;
    last = data + len;

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    while (last > p && (last[-1] == '\n' || last[-1] == '\r'
                        || last[-1] == ' ' || last[-1] == '\t'))
    {
        last--;
    }

    *n = last - p;

    return p;
}


static size_t
runtime_header(char *data, size_t one, size_t len, void *ctx)
{
    size_t            n;
    const char       *p;
    runtime_event_t  *e;

    e = ctx;
    runtime_begun = 1;

    p = runtime_value("Lambda-Runtime-Aws-Request-Id", data, len, &n);

    if (p) {
        snprintf(e->id, sizeof(e->id), "%.*s", (int) n, p);
        return len;
    }

    /* a line is terminated, if not by a zero, by what is no digit */

    p = runtime_value("Lambda-Runtime-Deadline-Ms", data, len, &n);

    if (p && n) {
        e->deadline = strtoull(p, NULL, 10);
    }

    return len;
}


/* Returns 0 with the status and the body read, or 1 if it was stopped. */

static int
runtime_perform(const char *url, int waiting, long *status)
{
    int         running, left, stopped;
    CURLMsg    *msg;
    CURLcode    rc;
    CURLMcode   mc;

    runtime_begun = 0;
    runtime_len = 0;
    runtime_error[0] = '\0';
    *status = 0;
    stopped = 0;
    rc = CURLE_OK;

    curl_easy_setopt(runtime_easy, CURLOPT_URL, url);

    mc = curl_multi_add_handle(runtime_multi, runtime_easy);

    while (mc == CURLM_OK) {

        mc = curl_multi_perform(runtime_multi, &running);

        if (mc != CURLM_OK || running == 0) {
            break;
        }

        /* an invocation that has begun to come is not thrown away */

        stopped = waiting && !runtime_begun
                  && atomic_load(&runtime_stopping);

        if (stopped) {
            break;
        }

        mc = curl_multi_poll(runtime_multi, NULL, 0, 60000, NULL);
    }

    while ((msg = curl_multi_info_read(runtime_multi, &left)) != NULL) {
        if (msg->msg == CURLMSG_DONE) {
            rc = msg->data.result;
        }
    }

    curl_multi_remove_handle(runtime_multi, runtime_easy);

    if (stopped) {
        return 1;
    }

    if (mc != CURLM_OK || rc != CURLE_OK) {
        fprintf(stderr, "mark-lambda: the Runtime API does not answer: %s\n",
                mc != CURLM_OK ? curl_multi_strerror(mc)
                : runtime_error[0] ? runtime_error : curl_easy_strerror(rc));
        return -1;
    }

    curl_easy_getinfo(runtime_easy, CURLINFO_RESPONSE_CODE, status);

    return 0;
}


int
runtime_next(runtime_event_t *e)
{
    int   rc;
    char  url[RUNTIME_URL];
    long  status;

    memset(e, 0, sizeof(runtime_event_t));

    /* who does not ask is not given what nobody would answer */

    if (atomic_load(&runtime_stopping)) {
        return 1;
    }

    snprintf(url, sizeof(url), "%s/invocation/next", runtime_base);

    curl_easy_setopt(runtime_easy, CURLOPT_HTTPHEADER, NULL);
    curl_easy_setopt(runtime_easy, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(runtime_easy, CURLOPT_HEADERFUNCTION, runtime_header);
    curl_easy_setopt(runtime_easy, CURLOPT_HEADERDATA, e);

    rc = runtime_perform(url, 1, &status);

    curl_easy_setopt(runtime_easy, CURLOPT_HEADERFUNCTION, NULL);
    curl_easy_setopt(runtime_easy, CURLOPT_HEADERDATA, NULL);

    if (rc != 0) {
        return rc;
    }

    if (status != 200) {
        fprintf(stderr, "mark-lambda: no invocation: status %ld\n", status);
        return -1;
    }

    /* it is a part of the next URL */

    if (e->id[0] == '\0' || e->id[strspn(e->id, RUNTIME_ID_CHARS)] != '\0') {
        fprintf(stderr, "mark-lambda: an invocation without a usable id\n");
        return -1;
    }

    e->payload = runtime_body;
    e->len = runtime_len;

    return 0;
}


int
runtime_respond(const runtime_event_t *e, const char *text, size_t len)
{
    char  path[RUNTIME_URL / 2];

    snprintf(path, sizeof(path), "/invocation/%s/response", e->id);

    return runtime_post(path, NULL, text, len);
}


static int
runtime_error_post(const char *path, const char *type, const char *message)
{
    int      rc;
    char    *text;
    json_t  *json;

    text = NULL;
    json = json_pack("{s:s, s:s, s:[]}", "errorMessage", message, "errorType",
                     type, "stackTrace");

    if (json) {
        text = json_dumps(json, JSON_COMPACT);
        json_decref(json);
    }

    /* without memory for a text there is still the type */

    rc = runtime_post(path, type, text ? text : "{}", text ? strlen(text) : 2);

    free(text);

    return rc;
}


int
runtime_fail(const runtime_event_t *e, const char *type, const char *message)
{
    char  path[RUNTIME_URL / 2];

    snprintf(path, sizeof(path), "/invocation/%s/error", e->id);

    return runtime_error_post(path, type, message);
}


int
runtime_init_fail(const char *type, const char *message)
{
    return runtime_error_post("/init/error", type, message);
}


static int
runtime_post(const char *path, const char *type, const char *text, size_t len)
{
    int                 rc;
    char                url[RUNTIME_URL], header[RUNTIME_URL / 2];
    long                status;
    struct curl_slist  *headers, *last;

    snprintf(url, sizeof(url), "%s%s", runtime_base, path);

    /* a large body would wait a second for a 100 that does not come */

    headers = curl_slist_append(NULL, "Expect:");
    last = curl_slist_append(headers, "Content-Type: application/json");

    if (last && type) {
        snprintf(header, sizeof(header),
                 "Lambda-Runtime-Function-Error-Type: %s", type);
        last = curl_slist_append(headers, header);
    }

    if (headers == NULL || last == NULL) {
        curl_slist_free_all(headers);
        fprintf(stderr, "mark-lambda: no memory to answer\n");
        return -1;
    }

    curl_easy_setopt(runtime_easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(runtime_easy, CURLOPT_POST, 1L);
    curl_easy_setopt(runtime_easy, CURLOPT_POSTFIELDS, text);
    curl_easy_setopt(runtime_easy, CURLOPT_POSTFIELDSIZE_LARGE,
                     (curl_off_t) len);

    rc = runtime_perform(url, 0, &status);

    curl_easy_setopt(runtime_easy, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);

    if (rc != 0) {
        return -1;
    }

    if (status >= 500) {
        fprintf(stderr, "mark-lambda: POST %s: status %ld\n", path, status);
        return -1;
    }

    if (status >= 300) {
        fprintf(stderr, "mark-lambda: POST %s of %zu bytes: status %ld\n",
                path, len, status);
    }

    return 0;
}


void
runtime_stop(void)
{
    atomic_store(&runtime_stopping, 1);
    curl_multi_wakeup(runtime_multi);
}


void
runtime_close(void)
{
    curl_multi_cleanup(runtime_multi);
    curl_easy_cleanup(runtime_easy);
    curl_global_cleanup();
    free(runtime_body);
}
