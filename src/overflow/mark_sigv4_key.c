
/* Hashes and signing keys: see mark_sigv4.h. */


#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "mark_sigv4_parts.h"


mark_sigv4_status_t
mark_sigv4_hash(uint8_t hex[MARK_SIGV4_HEX], const mark_span_t *pieces,
    size_t n)
{
    int          rc;
    size_t       i;
    uint8_t      hash[MARK_SIGV4_HASH];
    EVP_MD_CTX  *ctx;

    ctx = EVP_MD_CTX_new();

    if (ctx == NULL) {
        return MARK_SIGV4_CRYPTO;
    }

    rc = EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);

    for (i = 0; i < n && rc == 1; i++) {
        rc = EVP_DigestUpdate(ctx, pieces[i].data, pieces[i].len);
    }

    if (rc == 1) {
        rc = EVP_DigestFinal_ex(ctx, hash, NULL);
    }

    EVP_MD_CTX_free(ctx);

    if (rc != 1) {
        return MARK_SIGV4_CRYPTO;
    }

    mark_sigv4_hex(hex, hash);

    return MARK_SIGV4_OK;
}


void
mark_sigv4_key_clear(mark_sigv4_key_t *key)
{
    OPENSSL_cleanse(key, sizeof(mark_sigv4_key_t));
}


/*
 * "Derive a signing key".  The seed tells keys apart: its parts have no zero
 * in them but for the secret, which is the last.
 */

mark_sigv4_status_t
mark_sigv4_derive(mark_sigv4_key_t *key, const mark_sigv4_signer_t *signer,
    const mark_span_t *date)
{
    int       rc;
    uint8_t  *p, *secret, of[MARK_SIGV4_HASH];
    uint8_t   seed[MARK_SIGV4_DAY + MARK_SIGV4_NAME_MAX * 2 + 2
                   + MARK_SIGV4_SECRET_MAX + 4];

    p = mark_sigv4_put(seed, date->data, MARK_SIGV4_DAY);
    p = mark_sigv4_put_span(p, &signer->region);
    *p++ = '\0';
    p = mark_sigv4_put_span(p, &signer->service);
    *p++ = '\0';
    secret = p;
    p = mark_sigv4_put_text(p, "AWS4");
    p = mark_sigv4_put_span(p, &signer->secret_key);

    rc = EVP_Digest(seed, p - seed, of, NULL, EVP_sha256(), NULL);

    if (rc == 1
        && !(key->derived && CRYPTO_memcmp(of, key->of, sizeof(of)) == 0))
    {
        rc = mark_sigv4_hmac(key->key, secret, p - secret, date->data,
                             MARK_SIGV4_DAY)
             && mark_sigv4_hmac(key->key, key->key, MARK_SIGV4_HASH,
                                signer->region.data, signer->region.len)
             && mark_sigv4_hmac(key->key, key->key, MARK_SIGV4_HASH,
                                signer->service.data, signer->service.len)
             && mark_sigv4_hmac(key->key, key->key, MARK_SIGV4_HASH,
                                MARK_SIGV4_TERMINATOR,
                                sizeof(MARK_SIGV4_TERMINATOR) - 1);

        memcpy(key->of, of, sizeof(of));
        key->derived = (rc == 1);
    }

    OPENSSL_cleanse(seed, sizeof(seed));
    OPENSSL_cleanse(of, sizeof(of));

    return rc == 1 ? MARK_SIGV4_OK : MARK_SIGV4_CRYPTO;
}


/* The key may be where the result goes. */

int
mark_sigv4_hmac(uint8_t out[MARK_SIGV4_HASH], const void *key,
    size_t key_len, const void *data, size_t len)
{
    uint8_t  hash[MARK_SIGV4_HASH];

    if (HMAC(EVP_sha256(), key, key_len, data, len, hash, NULL) == NULL) {
        return 0;
    }

    memcpy(out, hash, sizeof(hash));
    OPENSSL_cleanse(hash, sizeof(hash));

    return 1;
}


void
mark_sigv4_hex(uint8_t *p, const uint8_t hash[MARK_SIGV4_HASH])
{
    unsigned  i;

    static const uint8_t  digits[] = "0123456789abcdef";

    for (i = 0; i < MARK_SIGV4_HASH; i++) {
        *p++ = digits[hash[i] >> 4];
        *p++ = digits[hash[i] & 15];
    }
}
