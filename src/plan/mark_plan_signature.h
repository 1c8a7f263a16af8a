
/*
 * Signatures of plans.  An envelope has a document as a string, and the
 * signature of that string's bytes:
 *
 *     {"plan": "{...}", "algorithm": "ed25519", "key": "planner",
 *      "signature": "base64"}
 *
 * A key is for one algorithm, and an envelope that names the other is refused:
 * else a public key, which anybody may have, could be used as a secret.
 */


#ifndef _MARK_PLAN_SIGNATURE_H_INCLUDED_
#define _MARK_PLAN_SIGNATURE_H_INCLUDED_


#include "mark_codec.h"
#include "mark_plan_error.h"


/* Bytes of a secret, at least. */
#define MARK_PLAN_SECRET_MIN      16

/* Of a signature in base64, with the zero. */
#define MARK_PLAN_SIGNATURE_SIZE  89


typedef enum {
    MARK_PLAN_HMAC_SHA256 = 0,
    MARK_PLAN_ED25519
} mark_plan_algorithm_t;


/* There is nothing to be freed, but a key that signs is better wiped. */

typedef struct {
    mark_plan_algorithm_t  algorithm;

    /* to sign: what envelopes say; to verify: what they must, if not empty */

    mark_span_t            id;

    mark_span_t            secret;        /* of HMAC, in the caller's memory */

    uint8_t                public[32];    /* of Ed25519 */
    uint8_t                private[32];
    unsigned               signs:1;
} mark_plan_key_t;


const char *mark_plan_algorithm_name(mark_plan_algorithm_t algorithm);

/*
 * Keys from what is in a file.  HMAC: bytes as they are, but for one newline
 * at the end.  Ed25519: PEM of a SubjectPublicKeyInfo, or of a private key,
 * which is not encrypted and signs.  id is left empty.
 */
mark_plan_status_t mark_plan_key_hmac(mark_plan_key_t *key,
    const mark_span_t *file, mark_plan_error_t *error);
mark_plan_status_t mark_plan_key_public(mark_plan_key_t *key,
    const mark_span_t *file, mark_plan_error_t *error);
mark_plan_status_t mark_plan_key_private(mark_plan_key_t *key,
    const mark_span_t *file, mark_plan_error_t *error);

/* signature has MARK_PLAN_SIGNATURE_SIZE bytes and ends in a zero. */
mark_plan_status_t mark_plan_sign(const mark_plan_key_t *key,
    const mark_span_t *bytes, char *signature, mark_plan_error_t *error);

/* Compares in a time that does not depend on the signature. */
mark_plan_status_t mark_plan_verify(const mark_plan_key_t *key,
    const mark_span_t *bytes, const mark_span_t *signature,
    mark_plan_error_t *error);

/*
 * Signs a document, UTF-8 without zeros, and puts both in an envelope.  len
 * is its length; buf has it if size is that or more.
 */
mark_plan_status_t mark_plan_wrap(const mark_plan_key_t *key,
    const mark_span_t *document, char *buf, size_t size, size_t *len,
    mark_plan_error_t *error);


#endif /* _MARK_PLAN_SIGNATURE_H_INCLUDED_ */
