
/*
 * AWS Signature Version 4, in the Authorization header: a request and a time
 * in, the headers that prove whose it is out.  As AWS describes it in "Create
 * a signed AWS API request" of the IAM User Guide; sections of that page are
 * named below.  There is no presigning by query.
 *
 * Nothing here may be logged but the canonical request and the string to
 * sign, and the former not if there is a session token.
 */


#ifndef _MARK_SIGV4_H_INCLUDED_
#define _MARK_SIGV4_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "mark_codec.h"


/* The longest in bytes; AWS's own are shorter by far. */
#define MARK_SIGV4_SECRET_MAX  256
#define MARK_SIGV4_NAME_MAX    128     /* region or service */

/* The payload's hash of a request whose payload is not signed. */
#define MARK_SIGV4_UNSIGNED    "UNSIGNED-PAYLOAD"

/* SHA-256 in hexadecimal digits, without a zero at the end. */
#define MARK_SIGV4_HEX         64


typedef enum {
    MARK_SIGV4_OK = 0,
    MARK_SIGV4_METHOD,        /* not a token */
    MARK_SIGV4_PATH,          /* does not begin with '/', or has a control */
    MARK_SIGV4_HEADER,        /* a name that is none, or no Host, or two */
    MARK_SIGV4_PAYLOAD_HASH,  /* neither 64 digits nor a word of AWS's */
    MARK_SIGV4_ACCESS_KEY,    /* empty, or with what a header cannot have */
    MARK_SIGV4_SECRET_KEY,    /* empty or too long */
    MARK_SIGV4_TOKEN,         /* has what a header cannot have */
    MARK_SIGV4_SCOPE,         /* region or service: empty, long, or odd */
    MARK_SIGV4_TIME,          /* not of the years 1970 to 9999 */
    MARK_SIGV4_MEMORY,        /* none left */
    MARK_SIGV4_CRYPTO         /* libcrypto failed: of memory, or of FIPS */
} mark_sigv4_status_t;


typedef struct {
    mark_span_t                 name;
    mark_span_t                 value;
} mark_sigv4_header_t;


/* Who signs, and for what.  Nothing is kept of it but in mark_sigv4_key_t. */

typedef struct {
    mark_span_t                 access_key;
    mark_span_t                 secret_key;
    mark_span_t                 token;      /* session token; empty: none */
    mark_span_t                 region;     /* us-east-1 */
    mark_span_t                 service;    /* lambda */
} mark_sigv4_signer_t;


typedef struct {
    mark_span_t                 method;

    /*
     * As they go on the wire, with their escapes.  An empty path is "/".  A
     * '+' in the query is a plus: who means a space there writes %20.
     */

    mark_span_t                 path;
    mark_span_t                 query;      /* without '?' */

    /*
     * What is signed; Host must be there.  Not signed, because proxies change
     * them or the signature replaces them: Authorization, Connection, Expect,
     * TE, Transfer-Encoding, Upgrade, User-Agent, X-Amzn-Trace-Id,
     * X-Amz-Content-SHA256, X-Amz-Date and X-Amz-Security-Token.
     */

    const mark_sigv4_header_t  *headers;
    size_t                      nheaders;

    /* The body in pieces, or its hash: 64 digits, or MARK_SIGV4_UNSIGNED. */

    const mark_span_t          *payload;
    size_t                      npayload;
    mark_span_t                 payload_hash;

    int64_t                     time;       /* unix seconds */

    /*
     * All services but S3 want the first two.  normalize: "." and ".." and
     * empty segments are taken out of the path.  encode: the path, which has
     * escapes already, is escaped again; without it the path is signed as it
     * is, and should have every byte escaped but '/' and the unreserved ones.
     */

    unsigned                    normalize:1;
    unsigned                    encode:1;
    unsigned                    content_sha256:1;  /* header of the hash */
    unsigned                    omit_token:1;      /* sent, but not signed */
} mark_sigv4_request_t;


/* What was made of it, in memory. */

typedef struct {
    /* values of the headers to send; an empty one is not sent */

    mark_span_t                 authorization;
    mark_span_t                 date;              /* X-Amz-Date */
    mark_span_t                 token;             /* X-Amz-Security-Token */
    mark_span_t                 content_sha256;    /* X-Amz-Content-SHA256 */

    /* for tests, and for whoever seeks what a service does not agree with */

    mark_span_t                 canonical;         /* canonical request */
    mark_span_t                 to_sign;           /* string to sign */
    mark_span_t                 signature;         /* 64 digits */
} mark_sigv4_signature_t;


/*
 * A signing key ("Derive a signing key"), which lasts a day.  All zeros is
 * one that is not yet derived.  It belongs to the caller and to one thread;
 * it is as secret as the key that it is derived from.
 */

typedef struct {
    unsigned                    derived:1;
    uint8_t                     of[32];     /* SHA-256 of day, scope, secret */
    uint8_t                     key[32];
} mark_sigv4_key_t;


/*
 * Signs a request.  The key is derived when it is not that of this day,
 * scope and secret: the caller need not tell that anything has changed.  NULL
 * derives one for this request alone, which makes a signature cost three times
 * as much.
 *
 * Spans of the signature point into memory, and that of the token into the
 * signer's.
 */
mark_sigv4_status_t mark_sigv4_sign(mark_sigv4_signature_t *signature,
    const mark_sigv4_request_t *request, const mark_sigv4_signer_t *signer,
    mark_sigv4_key_t *key, mark_memory_t *memory);

/* SHA-256 of pieces put together, as 64 digits: MARK_SIGV4_OK, or _CRYPTO. */
mark_sigv4_status_t mark_sigv4_hash(uint8_t hex[MARK_SIGV4_HEX],
    const mark_span_t *pieces, size_t n);

/* Forgets a signing key. */
void mark_sigv4_key_clear(mark_sigv4_key_t *key);

/* A few words that say what the status is, for logs. */
const char *mark_sigv4_strerror(mark_sigv4_status_t status);


#endif /* _MARK_SIGV4_H_INCLUDED_ */
