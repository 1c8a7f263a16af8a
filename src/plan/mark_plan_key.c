
/* Keys of plans, from what is in their files: see mark_plan_signature.h. */


#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "mark_plan_signature.h"


static mark_plan_status_t mark_plan_key_pem(mark_plan_key_t *key,
    const mark_span_t *file, int private, mark_plan_error_t *error);
static EVP_PKEY *mark_plan_pem(const mark_span_t *file, int private);
static int mark_plan_no_password(char *buf, int size, int rwflag, void *data);


mark_plan_status_t
mark_plan_key_hmac(mark_plan_key_t *key, const mark_span_t *file,
    mark_plan_error_t *error)
{
    mark_span_t  secret;

    static const char  pem[] = "-----BEGIN ";

    memset(key, 0, sizeof(mark_plan_key_t));

    secret = *file;

    if (secret.len && secret.data[secret.len - 1] == '\n') {
        secret.len--;

        if (secret.len && secret.data[secret.len - 1] == '\r') {
            secret.len--;
        }
    }

    /* a public key is no secret, whoever has it could sign */

    if (secret.len >= sizeof(pem) - 1
        && memcmp(secret.data, pem, sizeof(pem) - 1) == 0)
    {
        return mark_plan_fail(error, MARK_PLAN_SIGNATURE,
                              "a PEM file is no secret for hmac-sha256");
    }

    if (secret.len < MARK_PLAN_SECRET_MIN) {
        return mark_plan_fail(error, MARK_PLAN_SIGNATURE,
                              "a secret for hmac-sha256 has %d bytes or more, "
                              "not %zu", MARK_PLAN_SECRET_MIN, secret.len);
    }

    key->algorithm = MARK_PLAN_HMAC_SHA256;
    key->secret = secret;
    key->signs = 1;

    return MARK_PLAN_OK;
}


mark_plan_status_t
mark_plan_key_public(mark_plan_key_t *key, const mark_span_t *file,
    mark_plan_error_t *error)
{
    return mark_plan_key_pem(key, file, 0, error);
}


mark_plan_status_t
mark_plan_key_private(mark_plan_key_t *key, const mark_span_t *file,
    mark_plan_error_t *error)
{
    return mark_plan_key_pem(key, file, 1, error);
}


static mark_plan_status_t
mark_plan_key_pem(mark_plan_key_t *key, const mark_span_t *file, int private,
    mark_plan_error_t *error)
{
    int        done;
    size_t     len;
    EVP_PKEY  *pkey;

    memset(key, 0, sizeof(mark_plan_key_t));

    key->algorithm = MARK_PLAN_ED25519;
    key->signs = private;

    ERR_set_mark();

    pkey = mark_plan_pem(file, private);

    done = pkey != NULL && EVP_PKEY_get_id(pkey) == EVP_PKEY_ED25519;

    if (done) {
        len = sizeof(key->public);
        done = EVP_PKEY_get_raw_public_key(pkey, key->public, &len) == 1;
    }

    if (done && private) {
        len = sizeof(key->private);
        done = EVP_PKEY_get_raw_private_key(pkey, key->private, &len) == 1;
    }

    EVP_PKEY_free(pkey);

    ERR_pop_to_mark();

    if (!done) {
        return mark_plan_fail(error, MARK_PLAN_SIGNATURE,
                              "not the PEM file of %s Ed25519 key",
                              private ? "an unencrypted private"
                                      : "a public");
    }

    return MARK_PLAN_OK;
}


static EVP_PKEY *
mark_plan_pem(const mark_span_t *file, int private)
{
    BIO       *bio;
    EVP_PKEY  *pkey;

    if (file->len > 65536) {
        return NULL;
    }

    bio = BIO_new_mem_buf(file->data, (int) file->len);

    if (bio == NULL) {
        return NULL;
    }

    if (private) {
        pkey = PEM_read_bio_PrivateKey(bio, NULL, mark_plan_no_password, NULL);

    } else {
        pkey = PEM_read_bio_PUBKEY(bio, NULL, mark_plan_no_password, NULL);
    }

    BIO_free(bio);

    return pkey;
}


/* Without it libcrypto asks on the terminal. */

static int
mark_plan_no_password(char *buf, int size, int rwflag, void *data)
{
    return -1;
}
