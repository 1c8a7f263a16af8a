
/* What the parts of the signer share; nobody else includes it. */


#ifndef _MARK_SIGV4_PARTS_H_INCLUDED_
#define _MARK_SIGV4_PARTS_H_INCLUDED_


#include <string.h>

#include "mark_sigv4.h"


#define MARK_SIGV4_TERMINATOR  "aws4_request"
#define MARK_SIGV4_DAY         8                 /* 20150830 */
#define MARK_SIGV4_HASH        32                /* of SHA-256 */

#define mark_sigv4_put_text(p, text)                                          \
    mark_sigv4_put(p, text, sizeof(text) - 1)

#define mark_sigv4_put_span(p, span)                                          \
    mark_sigv4_put(p, (span)->data, (span)->len)


/* A header or a parameter of the query, with what it is sorted by. */

typedef struct {
    mark_span_t  name;
    mark_span_t  value;
    size_t       order;       /* among those of the same name and value */
} mark_sigv4_pair_t;


static inline uint8_t *
mark_sigv4_put(uint8_t *p, const void *data, size_t len)
{
    return len ? (uint8_t *) memcpy(p, data, len) + len : p;
}


/* Refuses what cannot be signed. */
mark_sigv4_status_t mark_sigv4_check(const mark_sigv4_request_t *request,
    const mark_sigv4_signer_t *signer);

/* Makes key that of the date, of which only the day counts. */
mark_sigv4_status_t mark_sigv4_derive(mark_sigv4_key_t *key,
    const mark_sigv4_signer_t *signer, const mark_span_t *date);

/* HMAC-SHA256: 1, or 0 if it fails.  out may be the key. */
int mark_sigv4_hmac(uint8_t out[MARK_SIGV4_HASH], const void *key,
    size_t key_len, const void *data, size_t len);

/* Writes MARK_SIGV4_HEX digits. */
void mark_sigv4_hex(uint8_t *p, const uint8_t hash[MARK_SIGV4_HASH]);

/*
 * The parts of a canonical request ("Create a canonical request").  Each
 * function writes at p and returns the byte behind what it wrote; the _size()
 * ones say how much it may be at most.
 */

/* The path; it begins with '/' or is empty. */
size_t mark_sigv4_path_size(const mark_sigv4_request_t *request);
uint8_t *mark_sigv4_path(uint8_t *p, const mark_sigv4_request_t *request);

/*
 * The query.  pairs has room for mark_sigv4_query_pairs() of them, scratch
 * for mark_sigv4_query_size() bytes.
 */
size_t mark_sigv4_query_pairs(const mark_span_t *query);
size_t mark_sigv4_query_size(const mark_span_t *query);
uint8_t *mark_sigv4_query(uint8_t *p, const mark_span_t *query,
    mark_sigv4_pair_t *pairs, uint8_t *scratch);

/* Tells whether this header of a request is signed; its name is a token. */
int mark_sigv4_signs(const mark_span_t *name);

/*
 * Sorts n headers, whose names are in lower case and whose order is that of
 * the request, for the other two.
 */
void mark_sigv4_sort_headers(mark_sigv4_pair_t *headers, size_t n);

/* "name:value,value\n" of each name. */
uint8_t *mark_sigv4_headers(uint8_t *p, const mark_sigv4_pair_t *headers,
    size_t n);

/* "name;name" */
uint8_t *mark_sigv4_signed_headers(uint8_t *p,
    const mark_sigv4_pair_t *headers, size_t n);


#endif /* _MARK_SIGV4_PARTS_H_INCLUDED_ */
