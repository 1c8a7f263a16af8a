
/*
 * AWS Signature Version 4: see mark_sigv4.h.
 *
 * Everything is written into one block of text whose size is known before, in
 * this order: date, hash of the payload, canonical request, string to sign,
 * Authorization.
 */


#include <string.h>

#include "mark_sigv4_parts.h"


#define MARK_SIGV4_ALGORITHM  "AWS4-HMAC-SHA256"
#define MARK_SIGV4_DATE       16                 /* 20150830T123600Z */
#define MARK_SIGV4_OWN        3                  /* headers, at most */


typedef struct {
    const mark_sigv4_request_t  *request;
    const mark_sigv4_signer_t   *signer;
    mark_sigv4_signature_t      *signature;
    mark_sigv4_pair_t           *pairs;      /* of the query, then headers */
    size_t                       npairs;
    uint8_t                     *scratch;
    uint8_t                     *p;          /* end of the text so far */
    mark_span_t                  hash;       /* of the payload */
    mark_span_t                  signed_headers;
} mark_sigv4_work_t;


static mark_sigv4_status_t mark_sigv4_prepare(mark_sigv4_work_t *w,
    mark_memory_t *memory);
static void mark_sigv4_date(mark_sigv4_work_t *w);
static uint8_t *mark_sigv4_number(uint8_t *p, unsigned n, unsigned digits);
static mark_sigv4_status_t mark_sigv4_payload(mark_sigv4_work_t *w);
static void mark_sigv4_canonical(mark_sigv4_work_t *w);
static void mark_sigv4_collect(mark_sigv4_work_t *w);
static void mark_sigv4_own(mark_sigv4_work_t *w, const char *name,
    const mark_span_t *value);
static mark_sigv4_status_t mark_sigv4_to_sign(mark_sigv4_work_t *w);
static uint8_t *mark_sigv4_scope(uint8_t *p, const mark_sigv4_work_t *w);
static mark_sigv4_status_t mark_sigv4_authorization(mark_sigv4_work_t *w,
    const mark_sigv4_key_t *key);


mark_sigv4_status_t
mark_sigv4_sign(mark_sigv4_signature_t *signature,
    const mark_sigv4_request_t *request, const mark_sigv4_signer_t *signer,
    mark_sigv4_key_t *key, mark_memory_t *memory)
{
    mark_sigv4_key_t      once;
    mark_sigv4_work_t     w;
    mark_sigv4_status_t   rc;

    memset(signature, 0, sizeof(mark_sigv4_signature_t));
    memset(&w, 0, sizeof(mark_sigv4_work_t));

    w.request = request;
    w.signer = signer;
    w.signature = signature;

    rc = mark_sigv4_check(request, signer);

    if (rc == MARK_SIGV4_OK) {
        rc = mark_sigv4_prepare(&w, memory);
    }

    if (rc != MARK_SIGV4_OK) {
        return rc;
    }

    mark_sigv4_date(&w);

    rc = mark_sigv4_payload(&w);

    if (rc != MARK_SIGV4_OK) {
        return rc;
    }

    mark_sigv4_canonical(&w);

    rc = mark_sigv4_to_sign(&w);

    if (rc != MARK_SIGV4_OK) {
        return rc;
    }

    memset(&once, 0, sizeof(mark_sigv4_key_t));

    if (key == NULL) {
        key = &once;
    }

    rc = mark_sigv4_derive(key, signer, &signature->date);

    if (rc == MARK_SIGV4_OK) {
        rc = mark_sigv4_authorization(&w, key);
    }

    mark_sigv4_key_clear(&once);

    return rc;
}


const char *
mark_sigv4_strerror(mark_sigv4_status_t status)
{
    static const char  *errors[] = {
        "signed", "bad method", "bad path", "bad or missing header",
        "bad hash of the payload", "bad access key", "bad secret key",
        "bad session token", "bad region or service", "bad time",
        "no memory", "libcrypto failed"
    };

    return errors[status];
}


static mark_sigv4_status_t
mark_sigv4_prepare(mark_sigv4_work_t *w, mark_memory_t *memory)
{
    size_t  i, names, values, query, npairs, scope, size;

    const mark_sigv4_signer_t   *signer = w->signer;
    const mark_sigv4_request_t  *request = w->request;

    /* with what stands between them */

    names = sizeof("x-amz-content-sha256;x-amz-date;x-amz-security-token;");
    values = MARK_SIGV4_HEX + 1 + MARK_SIGV4_DATE + 1 + signer->token.len + 1;

    for (i = 0; i < request->nheaders; i++) {
        names += request->headers[i].name.len + 1;
        values += request->headers[i].value.len + 1;
    }

    scope = MARK_SIGV4_DAY + 1 + signer->region.len + 1 + signer->service.len
            + sizeof("/" MARK_SIGV4_TERMINATOR) - 1;

    query = mark_sigv4_query_size(&request->query);

    size = MARK_SIGV4_DATE + MARK_SIGV4_HEX
           + request->method.len + 1 + mark_sigv4_path_size(request) + 1
           + query + 1 + names + values + 1 + names + 1 + MARK_SIGV4_HEX
           + sizeof(MARK_SIGV4_ALGORITHM) + MARK_SIGV4_DATE + 1 + scope + 1
           + MARK_SIGV4_HEX
           + sizeof(MARK_SIGV4_ALGORITHM " Credential=/, SignedHeaders=,"
                    " Signature=")
           + signer->access_key.len + scope + names + MARK_SIGV4_HEX;

    npairs = mark_sigv4_query_pairs(&request->query);

    if (npairs < request->nheaders + MARK_SIGV4_OWN) {
        npairs = request->nheaders + MARK_SIGV4_OWN;
    }

    w->p = mark_memory_alloc(memory, size);
    w->pairs = mark_memory_alloc(memory, npairs * sizeof(mark_sigv4_pair_t));
    w->scratch = mark_memory_alloc(memory, names > query ? names : query);

    return (w->p && w->pairs && w->scratch) ? MARK_SIGV4_OK
                                            : MARK_SIGV4_MEMORY;
}


/*
 * The Gregorian calendar, with years that begin in March, so that the odd day
 * of a leap year is its last.
 */

static void
mark_sigv4_date(mark_sigv4_work_t *w)
{
    uint8_t   *p;
    unsigned   sec, days, era, year, month;

    sec = w->request->time % 86400;
    days = w->request->time / 86400 + 719468;       /* since 1 March 0000 */

    era = days / 146097;
    days %= 146097;

    year = (days - days / 1460 + days / 36524 - days / 146096) / 365;
    days -= year * 365 + year / 4 - year / 100;
    month = (days * 5 + 2) / 153;
    days -= (month * 153 + 2) / 5;

    p = mark_sigv4_number(w->p, era * 400 + year + (month >= 10), 4);
    p = mark_sigv4_number(p, month < 10 ? month + 3 : month - 9, 2);
    p = mark_sigv4_number(p, days + 1, 2);
    *p++ = 'T';
    p = mark_sigv4_number(p, sec / 3600, 2);
    p = mark_sigv4_number(p, sec / 60 % 60, 2);
    p = mark_sigv4_number(p, sec % 60, 2);
    *p++ = 'Z';

    w->signature->date.data = w->p;
    w->signature->date.len = p - w->p;
    w->p = p;
}


static uint8_t *
mark_sigv4_number(uint8_t *p, unsigned n, unsigned digits)
{
    unsigned  i;

    for (i = digits; i--; n /= 10) {
        p[i] = '0' + n % 10;
    }

    return p + digits;
}


static mark_sigv4_status_t
mark_sigv4_payload(mark_sigv4_work_t *w)
{
    const mark_sigv4_request_t  *request = w->request;

    w->hash.data = w->p;

    if (request->payload_hash.len) {
        w->p = mark_sigv4_put_span(w->p, &request->payload_hash);

    } else {
        if (mark_sigv4_hash(w->p, request->payload, request->npayload)
            != MARK_SIGV4_OK)
        {
            return MARK_SIGV4_CRYPTO;
        }

        w->p += MARK_SIGV4_HEX;
    }

    w->hash.len = w->p - w->hash.data;

    return MARK_SIGV4_OK;
}


/* "Create a canonical request" */

static void
mark_sigv4_canonical(mark_sigv4_work_t *w)
{
    uint8_t                     *p;
    const mark_sigv4_request_t  *request;

    request = w->request;

    p = mark_sigv4_put_span(w->p, &request->method);
    *p++ = '\n';

    p = mark_sigv4_path(p, request);
    *p++ = '\n';

    p = mark_sigv4_query(p, &request->query, w->pairs, w->scratch);
    *p++ = '\n';

    mark_sigv4_collect(w);

    p = mark_sigv4_headers(p, w->pairs, w->npairs);
    *p++ = '\n';

    w->signed_headers.data = p;
    p = mark_sigv4_signed_headers(p, w->pairs, w->npairs);
    w->signed_headers.len = p - w->signed_headers.data;
    *p++ = '\n';

    p = mark_sigv4_put_span(p, &w->hash);

    w->signature->canonical.data = w->p;
    w->signature->canonical.len = p - w->p;
    w->p = p;
}


static void
mark_sigv4_collect(mark_sigv4_work_t *w)
{
    size_t                      i, k;
    uint8_t                     c, *lower;
    mark_sigv4_pair_t          *pair;
    const mark_sigv4_header_t  *header;

    lower = w->scratch;

    for (i = 0; i < w->request->nheaders; i++) {
        header = &w->request->headers[i];

        if (!mark_sigv4_signs(&header->name)) {
            continue;
        }

        pair = &w->pairs[w->npairs];
        pair->name.data = lower;
        pair->name.len = header->name.len;
        pair->value = header->value;
        pair->order = w->npairs++;

        for (k = 0; k < header->name.len; k++) {
            c = header->name.data[k];
            *lower++ = (c >= 'A' && c <= 'Z') ? c | 0x20 : c;
        }
    }

    mark_sigv4_own(w, "x-amz-date", &w->signature->date);

    if (w->request->content_sha256) {
        w->signature->content_sha256 = w->hash;
        mark_sigv4_own(w, "x-amz-content-sha256", &w->hash);
    }

    if (w->signer->token.len) {
        w->signature->token = w->signer->token;

        if (!w->request->omit_token) {
            mark_sigv4_own(w, "x-amz-security-token", &w->signer->token);
        }
    }

    mark_sigv4_sort_headers(w->pairs, w->npairs);
}


static void
mark_sigv4_own(mark_sigv4_work_t *w, const char *name,
    const mark_span_t *value)
{
    mark_sigv4_pair_t  *pair;

    pair = &w->pairs[w->npairs];
    pair->name.data = (const uint8_t *) name;
    pair->name.len = strlen(name);
    pair->value = *value;
    pair->order = w->npairs++;
}


/* "Create a string to sign" */

static mark_sigv4_status_t
mark_sigv4_to_sign(mark_sigv4_work_t *w)
{
    uint8_t                 *p;
    mark_sigv4_signature_t  *signature;

    signature = w->signature;

    p = mark_sigv4_put_text(w->p, MARK_SIGV4_ALGORITHM "\n");
    p = mark_sigv4_put_span(p, &signature->date);
    *p++ = '\n';
    p = mark_sigv4_scope(p, w);
    *p++ = '\n';

    if (mark_sigv4_hash(p, &signature->canonical, 1) != MARK_SIGV4_OK) {
        return MARK_SIGV4_CRYPTO;
    }

    p += MARK_SIGV4_HEX;

    signature->to_sign.data = w->p;
    signature->to_sign.len = p - w->p;
    w->p = p;

    return MARK_SIGV4_OK;
}


static uint8_t *
mark_sigv4_scope(uint8_t *p, const mark_sigv4_work_t *w)
{
    p = mark_sigv4_put(p, w->signature->date.data, MARK_SIGV4_DAY);
    *p++ = '/';
    p = mark_sigv4_put_span(p, &w->signer->region);
    *p++ = '/';
    p = mark_sigv4_put_span(p, &w->signer->service);

    return mark_sigv4_put_text(p, "/" MARK_SIGV4_TERMINATOR);
}


/* "Calculate the signature" and "Add the signature to the request" */

static mark_sigv4_status_t
mark_sigv4_authorization(mark_sigv4_work_t *w, const mark_sigv4_key_t *key)
{
    uint8_t                 *p, hash[MARK_SIGV4_HASH];
    mark_sigv4_signature_t  *signature;

    signature = w->signature;

    if (!mark_sigv4_hmac(hash, key->key, MARK_SIGV4_HASH,
                         signature->to_sign.data, signature->to_sign.len))
    {
        return MARK_SIGV4_CRYPTO;
    }

    p = mark_sigv4_put_text(w->p, MARK_SIGV4_ALGORITHM " Credential=");
    p = mark_sigv4_put_span(p, &w->signer->access_key);
    *p++ = '/';
    p = mark_sigv4_scope(p, w);
    p = mark_sigv4_put_text(p, ", SignedHeaders=");
    p = mark_sigv4_put_span(p, &w->signed_headers);
    p = mark_sigv4_put_text(p, ", Signature=");

    signature->signature.data = p;
    signature->signature.len = MARK_SIGV4_HEX;

    mark_sigv4_hex(p, hash);
    p += MARK_SIGV4_HEX;

    signature->authorization.data = w->p;
    signature->authorization.len = p - w->p;
    w->p = p;

    return MARK_SIGV4_OK;
}
