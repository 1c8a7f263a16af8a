
/*
 * The envelope, with jansson.  Of a request only that is read which
 * mark-server looks at as well.
 */


#include <curl/curl.h>
#include <jansson.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "event.h"


static int event_fill(event_t *e, json_t *json, const char **err);
static int event_path(event_t *e, const char *raw, const char *stage);
static int event_body(event_t *e, json_t *body, int encoded);


int
event_read(event_t *e, const char *payload, size_t len, const char **err)
{
    int      rc;
    json_t  *json;

    memset(e, 0, sizeof(event_t));

    json = json_loadb(payload, len, JSON_ALLOW_NUL, NULL);

    if (json == NULL) {
        *err = "the event is not JSON";
        return -1;
    }

    rc = event_fill(e, json, err);

    json_decref(json);

    if (rc != 0) {
        event_free(e);
    }

    return rc;
}


static int
event_fill(event_t *e, json_t *json, const char **err)
{
    int          encoded;
    json_t      *body;
    const char  *version, *path, *method, *stage;

    encoded = 0;
    body = NULL;
    stage = "$default";

    if (json_unpack(json, "{s:s}", "version", &version) != 0
        || strcmp(version, "2.0") != 0)
    {
        *err = "the event is not of version 2.0: let API Gateway send that "
               "payload format";
        return -1;
    }

    if (json_unpack(json, "{s:s, s:{s?s, s:{s:s}}, s?o, s?b}",
                    "rawPath", &path, "requestContext", "stage", &stage,
                    "http", "method", &method, "body", &body,
                    "isBase64Encoded", &encoded)
        != 0
        || (body && !json_is_string(body) && !json_is_null(body)))
    {
        *err = "the event has no \"rawPath\", no method, or a body that is "
               "not a string";
        return -1;
    }

    e->method = strdup(method);

    if (e->method == NULL || event_path(e, path, stage) != 0
        || event_body(e, body, encoded) != 0)
    {
        *err = "no memory for the event";
        return -1;
    }

    return 0;
}


/* An HTTP API with stages puts theirs before the path that was asked for. */

static int
event_path(event_t *e, const char *raw, const char *stage)
{
    char    *p;
    size_t   n;

    n = strlen(stage);

    if (n && raw[0] == '/' && strncmp(raw + 1, stage, n) == 0
        && raw[n + 1] == '/')
    {
        raw += n + 1;
    }

    p = curl_easy_unescape(NULL, raw, 0, NULL);

    if (p == NULL) {
        return -1;
    }

    e->path = strdup(p);
    curl_free(p);

    return e->path ? 0 : -1;
}


static int
event_body(event_t *e, json_t *body, int encoded)
{
    int          n;
    size_t       len;
    const char  *text;

    text = "";
    len = 0;

    if (json_is_string(body)) {
        text = json_string_value(body);
        len = json_string_length(body);
    }

    e->body = malloc(len + 1);

    if (e->body == NULL) {
        return -1;
    }

    if (!encoded || len == 0) {
        memcpy(e->body, text, len);
        e->len = len;
        return 0;
    }

    n = len <= INT_MAX
        ? EVP_DecodeBlock((unsigned char *) e->body,
                          (const unsigned char *) text, len)
        : -1;

    /* it passes over white space at both ends, and counts padding as bytes */

    if (n <= 0 || (size_t) n != len / 4 * 3) {
        free(e->body);
        e->body = NULL;
        return 0;
    }

    e->len = n - (text[len - 1] == '=') - (text[len - 2] == '=');

    return 0;
}


void
event_free(event_t *e)
{
    free(e->method);
    free(e->path);
    free(e->body);
    memset(e, 0, sizeof(event_t));
}


char *
event_answer(int status, const char *type, const char *allow,
    const char *text, size_t len, size_t *size)
{
    char    *p;
    json_t  *json, *headers;

    p = NULL;

    headers = json_pack("{s:s}", "Content-Type", type);

    if (headers == NULL
        || (allow && json_object_set_new(headers, "Allow", json_string(allow))
                     != 0))
    {
        json_decref(headers);
        return NULL;
    }

    json = json_pack("{s:i, s:o, s:s%, s:b}", "statusCode", status,
                     "headers", headers, "body", text, len,
                     "isBase64Encoded", 0);

    if (json) {
        p = json_dumps(json, JSON_COMPACT);
        json_decref(json);
    }

    if (p) {
        *size = strlen(p);
    }

    return p;
}
