
/* What the signer refuses to sign: see mark_sigv4.h. */


#include <string.h>

#include "mark_sigv4_parts.h"


#define MARK_SIGV4_TIME_MAX  253402300799        /* of the year 9999 */


static mark_sigv4_status_t mark_sigv4_check_headers(
    const mark_sigv4_request_t *request);
static int mark_sigv4_is_token(const mark_span_t *span);
static int mark_sigv4_is_visible(const mark_span_t *span, const char *except);
static int mark_sigv4_is_hash(const mark_span_t *span);
static int mark_sigv4_is_host(const mark_span_t *name);


/*
 * What is refused would make the signature that of another request, or break
 * the headers that it is sent in.
 */

mark_sigv4_status_t
mark_sigv4_check(const mark_sigv4_request_t *request,
    const mark_sigv4_signer_t *signer)
{
    size_t  i;

    if (!mark_sigv4_is_token(&request->method)) {
        return MARK_SIGV4_METHOD;
    }

    if (request->path.len && request->path.data[0] != '/') {
        return MARK_SIGV4_PATH;
    }

    for (i = 0; i < request->path.len; i++) {
        if (request->path.data[i] < 0x20 || request->path.data[i] == 0x7f) {
            return MARK_SIGV4_PATH;
        }
    }

    if (request->payload_hash.len
        && !mark_sigv4_is_hash(&request->payload_hash))
    {
        return MARK_SIGV4_PAYLOAD_HASH;
    }

    if (signer->access_key.len == 0
        || !mark_sigv4_is_visible(&signer->access_key, "/,"))
    {
        return MARK_SIGV4_ACCESS_KEY;
    }

    if (signer->secret_key.len == 0
        || signer->secret_key.len > MARK_SIGV4_SECRET_MAX)
    {
        return MARK_SIGV4_SECRET_KEY;
    }

    if (!mark_sigv4_is_visible(&signer->token, "")) {
        return MARK_SIGV4_TOKEN;
    }

    if (signer->region.len == 0 || signer->service.len == 0
        || signer->region.len > MARK_SIGV4_NAME_MAX
        || signer->service.len > MARK_SIGV4_NAME_MAX
        || !mark_sigv4_is_visible(&signer->region, "/,")
        || !mark_sigv4_is_visible(&signer->service, "/,"))
    {
        return MARK_SIGV4_SCOPE;
    }

    if (request->time < 0 || request->time > MARK_SIGV4_TIME_MAX) {
        return MARK_SIGV4_TIME;
    }

    return mark_sigv4_check_headers(request);
}


static mark_sigv4_status_t
mark_sigv4_check_headers(const mark_sigv4_request_t *request)
{
    size_t  i, hosts;

    hosts = 0;

    for (i = 0; i < request->nheaders; i++) {

        if (!mark_sigv4_is_token(&request->headers[i].name)) {
            return MARK_SIGV4_HEADER;
        }

        hosts += mark_sigv4_is_host(&request->headers[i].name);
    }

    return hosts == 1 ? MARK_SIGV4_OK : MARK_SIGV4_HEADER;
}


/* A token of HTTP, which a name of a header or a method is. */

static int
mark_sigv4_is_token(const mark_span_t *span)
{
    return span->len && mark_sigv4_is_visible(span, "\"(),/:;<=>?@[\\]{}");
}


static int
mark_sigv4_is_visible(const mark_span_t *span, const char *except)
{
    size_t   i;
    uint8_t  c;

    for (i = 0; i < span->len; i++) {
        c = span->data[i];

        if (c <= 0x20 || c >= 0x7f || strchr(except, c)) {
            return 0;
        }
    }

    return 1;
}


static int
mark_sigv4_is_hash(const mark_span_t *span)
{
    size_t   i;
    uint8_t  c;

    if (span->len == sizeof(MARK_SIGV4_UNSIGNED) - 1
        && memcmp(span->data, MARK_SIGV4_UNSIGNED, span->len) == 0)
    {
        return 1;
    }

    for (i = 0; i < span->len; i++) {
        c = span->data[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return 0;
        }
    }

    return span->len == MARK_SIGV4_HEX;
}


static int
mark_sigv4_is_host(const mark_span_t *name)
{
    return name->len == 4
           && (name->data[0] | 0x20) == 'h' && (name->data[1] | 0x20) == 'o'
           && (name->data[2] | 0x20) == 's' && (name->data[3] | 0x20) == 't';
}
