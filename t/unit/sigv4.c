
/* Signature Version 4: AWS's published cases, of t/data/aws-sigv4. */


#include <glob.h>
#include <strings.h>

#include <jansson.h>

#include "sigv4.h"


#define CASES    38
#define HEADERS  16


typedef struct {
    char                  *text[5];       /* files */
    json_t                *context;
    mark_sigv4_header_t    headers[HEADERS];
    mark_span_t            body;
    mark_sigv4_request_t   request;
    mark_sigv4_signer_t    signer;
} case_t;


static char *
read_file(const char *dir, const char *name)
{
    char    *text, path[512];
    FILE    *f;
    size_t   n;

    snprintf(path, sizeof(path), "%s/%s", dir, name);

    f = fopen(path, "rb");

    if (f == NULL) {
        return NULL;
    }

    text = malloc(65536);
    n = fread(text, 1, 65535, f);
    text[n] = '\0';
    fclose(f);

    return text;
}


/* Headers go up to an empty line, or to the end; a folded one is one. */

static void
read_request(case_t *c)
{
    char                   *p, *end, *target, *query;
    mark_sigv4_header_t    *header;
    mark_sigv4_request_t   *r;

    r = &c->request;
    r->headers = c->headers;
    r->payload = &c->body;
    r->npayload = 1;

    p = c->text[0];
    end = strchr(p, '\n');
    target = strchr(p, ' ') + 1;

    r->method.data = (uint8_t *) p;
    r->method.len = target - 1 - p;

    *end = '\0';
    *strrchr(target, ' ') = '\0';
    query = strchr(target, '?');

    if (query) {
        *query++ = '\0';
    }

    r->path = span(target);
    r->query = span(query);

    for (p = end + 1; *p && *p != '\n'; p = end + 1) {

        for (end = strchr(p, '\n');
             end[1] == ' ' || end[1] == '\t';
             end = strchr(end + 1, '\n'))
        {
            /* void */
        }

        header = &c->headers[r->nheaders++];

        header->name.data = (uint8_t *) p;
        header->name.len = strchr(p, ':') - p;
        header->value.data = header->name.data + header->name.len + 1;
        header->value.len = end - (char *) header->value.data;
    }

    c->body = span(*p ? p + 1 : NULL);
}


static const char *
string(json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}


static int
read_case(case_t *c, const char *dir)
{
    char    *text;
    json_t  *credentials;
    size_t   i;

    static const char  *names[] = {
        "request.txt", "header-canonical-request.txt",
        "header-string-to-sign.txt", "header-signature.txt",
        "header-signed-request.txt"
    };

    memset(c, 0, sizeof(case_t));

    for (i = 0; i < 5; i++) {
        c->text[i] = read_file(dir, names[i]);

        if (c->text[i] == NULL) {
            return 0;
        }
    }

    text = read_file(dir, "context.json");
    c->context = text ? json_loads(text, 0, NULL) : NULL;
    free(text);

    if (c->context == NULL
        || strcmp(string(c->context, "timestamp"), "2015-08-30T12:36:00Z"))
    {
        return 0;
    }

    credentials = json_object_get(c->context, "credentials");

    c->signer.access_key = span(string(credentials, "access_key_id"));
    c->signer.secret_key = span(string(credentials, "secret_access_key"));
    c->signer.token = span(string(credentials, "token"));
    c->signer.region = span(string(c->context, "region"));
    c->signer.service = span(string(c->context, "service"));

    read_request(c);

    c->request.time = 1440938160;
    c->request.encode = 1;
    c->request.normalize =
        json_is_true(json_object_get(c->context, "normalize"));
    c->request.content_sha256 =
        json_is_true(json_object_get(c->context, "sign_body"));
    c->request.omit_token =
        json_is_true(json_object_get(c->context, "omit_session_token"));

    return 1;
}


static void
free_case(case_t *c)
{
    size_t  i;

    for (i = 0; i < 5; i++) {
        free(c->text[i]);
    }

    json_decref(c->context);
}


/* The value of a header of what AWS has signed; empty if it is not there. */

static mark_span_t
sent(case_t *c, const char *name)
{
    char         *p;
    size_t        len;
    mark_span_t   value;

    value = span(NULL);
    len = strlen(name);

    for (p = strchr(c->text[4], '\n'); p; p = strchr(p, '\n')) {
        p++;

        if (strncasecmp(p, name, len) == 0 && p[len] == ':') {
            value.data = (uint8_t *) p + len + 1;
            value.len = strcspn(p + len + 1, "\n");
            break;
        }
    }

    return value;
}


static void
published(const char *dir, mark_sigv4_key_t *key)
{
    case_t                   c;
    memory_t                 m;
    const char              *name;
    mark_memory_t            memory;
    mark_sigv4_signature_t   s;

    name = strrchr(dir, '/') + 1;

    if (!ok(read_case(&c, dir), "%s: read", name)) {
        return;
    }

    memory_init(&memory, &m);

    is_int(mark_sigv4_sign(&s, &c.request, &c.signer, key, &memory),
           MARK_SIGV4_OK, "%s: signed", name);

    is_span(s.canonical, span(c.text[1]), name, "canonical request");
    is_span(s.to_sign, span(c.text[2]), name, "string to sign");
    is_span(s.signature, span(c.text[3]), name, "signature");

    is_span(s.authorization, sent(&c, "Authorization"), name, "Authorization");
    is_span(s.date, sent(&c, "X-Amz-Date"), name, "X-Amz-Date");
    is_span(s.token, sent(&c, "X-Amz-Security-Token"), name,
            "X-Amz-Security-Token");
    is_span(s.content_sha256, sent(&c, "X-Amz-Content-SHA256"), name,
            "X-Amz-Content-SHA256");

    memory_free(&m);
    free_case(&c);
}


int
main(void)
{
    glob_t            g;
    size_t            i;
    mark_sigv4_key_t  key;

    memset(&key, 0, sizeof(mark_sigv4_key_t));

    if (glob("t/data/aws-sigv4/*-*", 0, NULL, &g) != 0) {
        ok(0, "cases in t/data/aws-sigv4");
        return done_testing();
    }

    is_int(g.gl_pathc, CASES, "all cases");

    for (i = 0; i < g.gl_pathc; i++) {
        published(g.gl_pathv[i], i % 2 ? &key : NULL);
    }

    globfree(&g);
    mark_sigv4_key_clear(&key);

    return done_testing();
}
