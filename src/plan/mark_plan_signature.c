
/* Keys and signatures: see mark_plan_signature.h. */


#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "mark_plan_signature.h"


#define MARK_PLAN_HMAC_LEN     32
#define MARK_PLAN_ED25519_LEN  64

static int mark_plan_sign_hmac(const mark_plan_key_t *key,
    const mark_span_t *bytes, char *signature);
static int mark_plan_sign_ed25519(const mark_plan_key_t *key,
    const mark_span_t *bytes, char *signature);
static int mark_plan_verify_hmac(const mark_plan_key_t *key,
    const mark_span_t *bytes, const mark_span_t *signature);
static int mark_plan_verify_ed25519(const mark_plan_key_t *key,
    const mark_span_t *bytes, const mark_span_t *signature);


const char *
mark_plan_algorithm_name(mark_plan_algorithm_t algorithm)
{
    return algorithm == MARK_PLAN_ED25519 ? "ed25519" : "hmac-sha256";
}


/*
 * libcrypto's queue of errors is left as it was: nginx would take what is in
 * it for that of a client's TLS connection.
 */

mark_plan_status_t
mark_plan_sign(const mark_plan_key_t *key, const mark_span_t *bytes,
    char *signature, mark_plan_error_t *error)
{
    int  done;

    if (!key->signs) {
        return mark_plan_fail(error, MARK_PLAN_SIGNATURE,
                              "a public key does not sign");
    }

    ERR_set_mark();

    if (key->algorithm == MARK_PLAN_ED25519) {
        done = mark_plan_sign_ed25519(key, bytes, signature);

    } else {
        done = mark_plan_sign_hmac(key, bytes, signature);
    }

    ERR_pop_to_mark();

    if (!done) {
        return mark_plan_fail(error, MARK_PLAN_MEMORY, "libcrypto failed to "
                              "sign by %s",
                              mark_plan_algorithm_name(key->algorithm));
    }

    return MARK_PLAN_OK;
}


static int
mark_plan_sign_hmac(const mark_plan_key_t *key, const mark_span_t *bytes,
    char *signature)
{
    uint8_t  mac[MARK_PLAN_HMAC_LEN];

    if (HMAC(EVP_sha256(), key->secret.data, key->secret.len, bytes->data,
             bytes->len, mac, NULL)
        == NULL)
    {
        return 0;
    }

    (void) EVP_EncodeBlock((uint8_t *) signature, mac, MARK_PLAN_HMAC_LEN);

    return 1;
}


static int
mark_plan_sign_ed25519(const mark_plan_key_t *key, const mark_span_t *bytes,
    char *signature)
{
    int          done;
    size_t       len;
    uint8_t      raw[MARK_PLAN_ED25519_LEN];
    EVP_PKEY    *pkey;
    EVP_MD_CTX  *ctx;

    len = sizeof(raw);

    pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, key->private,
                                        sizeof(key->private));
    ctx = EVP_MD_CTX_new();

    done = pkey != NULL && ctx != NULL
           && EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) == 1
           && EVP_DigestSign(ctx, raw, &len, bytes->data, bytes->len) == 1;

    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);

    if (done) {
        (void) EVP_EncodeBlock((uint8_t *) signature, raw, len);
    }

    return done;
}


mark_plan_status_t
mark_plan_verify(const mark_plan_key_t *key, const mark_span_t *bytes,
    const mark_span_t *signature, mark_plan_error_t *error)
{
    int  good;

    ERR_set_mark();

    if (key->algorithm == MARK_PLAN_ED25519) {
        good = mark_plan_verify_ed25519(key, bytes, signature);

    } else {
        good = mark_plan_verify_hmac(key, bytes, signature);
    }

    ERR_pop_to_mark();

    if (!good) {
        return mark_plan_fail(error, MARK_PLAN_SIGNATURE,
                              "signature: is not that of the plan by this "
                              "key");
    }

    return MARK_PLAN_OK;
}


/* In base64, which each MAC has one spelling in. */

static int
mark_plan_verify_hmac(const mark_plan_key_t *key, const mark_span_t *bytes,
    const mark_span_t *signature)
{
    char  expected[MARK_PLAN_SIGNATURE_SIZE];

    return mark_plan_sign_hmac(key, bytes, expected)
           && signature->len == strlen(expected)
           && CRYPTO_memcmp(signature->data, expected, signature->len) == 0;
}


/*
 * EVP_DecodeBlock() takes blanks and loose bits at the end as well: what is
 * not spelled as it would be encoded is refused.
 */

static int
mark_plan_verify_ed25519(const mark_plan_key_t *key, const mark_span_t *bytes,
    const mark_span_t *signature)
{
    int          good;
    uint8_t      raw[MARK_PLAN_SIGNATURE_SIZE], again[MARK_PLAN_SIGNATURE_SIZE];
    EVP_PKEY    *pkey;
    EVP_MD_CTX  *ctx;

    if (signature->len != MARK_PLAN_SIGNATURE_SIZE - 1
        || EVP_DecodeBlock(raw, signature->data, signature->len)
           < MARK_PLAN_ED25519_LEN)
    {
        return 0;
    }

    (void) EVP_EncodeBlock(again, raw, MARK_PLAN_ED25519_LEN);

    if (memcmp(again, signature->data, signature->len) != 0) {
        return 0;
    }

    pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->public,
                                       sizeof(key->public));
    ctx = EVP_MD_CTX_new();

    good = pkey != NULL && ctx != NULL
           && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1
           && EVP_DigestVerify(ctx, raw, MARK_PLAN_ED25519_LEN, bytes->data,
                               bytes->len) == 1;

    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);

    return good;
}
