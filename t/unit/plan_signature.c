
/*
 * Signatures of plans: published vectors, keys from files, envelopes, and what
 * is tampered with.  Keys and signatures of the openssl command are tried in
 * both directions.
 */


#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "tap.h"
#include "plan.h"


#define DOCUMENT  PLAN_HEAD PLAN_PEERS "}\n"
#define SECRET    "0123456789abcdef"


/* RFC 8032, 7.1: secret key, public key, message, signature. */

static const char  *ed25519[][4] = {
    { "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
      "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
      "",
      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
      "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b" },
    { "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
      "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
      "72",
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
      "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00" },
    { "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
      "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
      "af82",
      "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
      "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a" },
};


/* RFC 4231, 4: key, data, HMAC-SHA-256. */

static const char  *hmac[][3] = {
    { "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
      "4869205468657265",
      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
    { "4a656665",
      "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
    { "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
      "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
      "dddddddddddddddddddddddddddddddd",
      "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe" },
    { "0102030405060708090a0b0c0d0e0f10111213141516171819",
      "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
      "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
      "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b" },
};


/* Bytes of hexadecimal digits, which stay until codec_free(). */

static mark_span_t
hex(const char *text)
{
    size_t       i;
    unsigned     byte;
    uint8_t     *p;
    mark_span_t  span;

    span.len = strlen(text) / 2;
    p = codec_alloc(NULL, span.len + 1);
    span.data = p;

    for (i = 0; i < span.len; i++) {
        (void) sscanf(text + 2 * i, "%2x", &byte);
        p[i] = byte;
    }

    return span;
}


static const char *
base64(const char *text)
{
    char         *p;
    mark_span_t   span;

    span = hex(text);
    p = codec_alloc(NULL, MARK_PLAN_SIGNATURE_SIZE);

    (void) EVP_EncodeBlock((uint8_t *) p, span.data, span.len);

    return p;
}


/* Verifies, and not with one bit of anything else. */

static void
verified(const mark_plan_key_t *key, const mark_span_t *bytes,
    const char *signature, const char *name)
{
    char             changed[MARK_PLAN_SIGNATURE_SIZE];
    size_t           i, bad;
    uint8_t         *copy;
    mark_span_t      s, other;

    s = plan_span(signature);

    is_int(mark_plan_verify(key, bytes, &s, &plan_error), MARK_PLAN_OK,
           "%s verifies", name);

    bad = 0;

    for (i = 0; i < s.len; i++) {
        strcpy(changed, signature);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';

        other = plan_span(changed);
        bad += mark_plan_verify(key, bytes, &other, &plan_error)
               != MARK_PLAN_SIGNATURE;
    }

    is_int(bad, 0, "%s does not with another character", name);

    copy = codec_alloc(NULL, bytes->len + 1);
    memcpy(copy, bytes->data, bytes->len);
    other.data = copy;
    other.len = bytes->len + 1;
    copy[bytes->len] = '\0';

    is_int(mark_plan_verify(key, &other, &s, &plan_error),
           MARK_PLAN_SIGNATURE, "%s does not with one more byte", name);

    other.len = bytes->len;

    if (bytes->len) {
        copy[bytes->len / 2] ^= 1;
        is_int(mark_plan_verify(key, &other, &s, &plan_error),
               MARK_PLAN_SIGNATURE, "%s does not with another bit", name);
    }

    for (i = 0; i < s.len; i++) {
        other.data = s.data;
        other.len = i;
        bad += mark_plan_verify(key, bytes, &other, &plan_error)
               != MARK_PLAN_SIGNATURE;
    }

    is_int(bad, 0, "%s does not with a part of the signature", name);
}


static void
vectors(void)
{
    char             name[32], signature[MARK_PLAN_SIGNATURE_SIZE];
    size_t           i;
    mark_span_t      bytes, span;
    mark_plan_key_t  key;

    for (i = 0; i < sizeof(hmac) / sizeof(hmac[0]); i++) {
        memset(&key, 0, sizeof(mark_plan_key_t));
        key.signs = 1;
        key.secret = hex(hmac[i][0]);
        bytes = hex(hmac[i][1]);

        (void) sprintf(name, "RFC 4231 case %zu", i + 1);

        is_int(mark_plan_sign(&key, &bytes, signature, &plan_error),
               MARK_PLAN_OK, "%s signs", name);
        is_str(signature, base64(hmac[i][2]), "%s", name);
        verified(&key, &bytes, signature, name);
    }

    for (i = 0; i < sizeof(ed25519) / sizeof(ed25519[0]); i++) {
        memset(&key, 0, sizeof(mark_plan_key_t));
        key.algorithm = MARK_PLAN_ED25519;
        key.signs = 1;
        span = hex(ed25519[i][0]);
        memcpy(key.private, span.data, 32);
        span = hex(ed25519[i][1]);
        memcpy(key.public, span.data, 32);
        bytes = hex(ed25519[i][2]);

        (void) sprintf(name, "RFC 8032 test %zu", i + 1);

        is_int(mark_plan_sign(&key, &bytes, signature, &plan_error),
               MARK_PLAN_OK, "%s signs", name);
        is_str(signature, base64(ed25519[i][3]), "%s", name);
        verified(&key, &bytes, signature, name);
    }

    codec_free();
}


static void
key_is(mark_plan_status_t (*init)(mark_plan_key_t *key,
    const mark_span_t *file, mark_plan_error_t *error), const char *file,
    const char *want)
{
    mark_span_t      span;
    mark_plan_key_t  key;

    span = plan_span(file);
    plan_error.text[0] = '\0';

    (void) init(&key, &span, &plan_error);

    is_str(plan_error.text, want, "key %.40s", file);
}


static void
keys(void)
{
    mark_span_t      span;
    mark_plan_key_t  key;

    static const char  *same[] = { SECRET, SECRET "\n", SECRET "\r\n" };
    size_t              i;

    for (i = 0; i < 3; i++) {
        span = plan_span(same[i]);
        (void) mark_plan_key_hmac(&key, &span, &plan_error);
        is_mem(key.secret.data, key.secret.len, SECRET, 16, "secret %zu", i);
    }

    span = plan_span(SECRET " \n\n");
    (void) mark_plan_key_hmac(&key, &span, &plan_error);
    is_mem(key.secret.data, key.secret.len, SECRET " \n", 18,
           "one newline at the end is no part of a secret");

    key_is(mark_plan_key_hmac, "0123456789abcde\n",
           "a secret for hmac-sha256 has 16 bytes or more, not 15");
    key_is(mark_plan_key_hmac, "",
           "a secret for hmac-sha256 has 16 bytes or more, not 0");
    key_is(mark_plan_key_hmac, "\r\n",
           "a secret for hmac-sha256 has 16 bytes or more, not 0");
    key_is(mark_plan_key_hmac, "-----BEGIN PUBLIC KEY-----\n",
           "a PEM file is no secret for hmac-sha256");
    key_is(mark_plan_key_public, SECRET,
           "not the PEM file of a public Ed25519 key");
    key_is(mark_plan_key_public, "",
           "not the PEM file of a public Ed25519 key");
    key_is(mark_plan_key_private, SECRET,
           "not the PEM file of an unencrypted private Ed25519 key");

    is_int(ERR_peek_error(), 0, "no error stays in libcrypto's queue");
}


/* A document in an envelope, in memory that ends in a zero. */

static char *
wrap(const mark_plan_key_t *key, const char *text)
{
    char         *buf;
    size_t        len, again;
    mark_span_t   span;

    span = plan_span(text);

    if (mark_plan_wrap(key, &span, NULL, 0, &len, &plan_error)
        != MARK_PLAN_OK)
    {
        return NULL;
    }

    buf = codec_alloc(NULL, len + 1);
    (void) mark_plan_wrap(key, &span, buf, len, &again, &plan_error);
    buf[len] = '\0';

    return again == len ? buf : NULL;
}


static void
opens(const char *text, const mark_plan_key_t *key, const char *want)
{
    mark_plan_t         *p;
    mark_plan_limits_t   limits;

    memset(&limits, 0, sizeof(mark_plan_limits_t));
    limits.key = key;

    p = plan_read(text, PLAN_NOW, &limits);

    is_str(p ? "taken" : plan_error.text, want, "%.60s", text);
}


/* Replaces the first of a text, which is there. */

static const char *
changed(const char *text, const char *from, const char *to)
{
    char        *copy;
    const char  *p;

    p = strstr(text, from);
    copy = codec_alloc(NULL, strlen(text) + strlen(to) + 1);

    (void) sprintf(copy, "%.*s%s%s", (int) (p - text), text, to,
                   p + strlen(from));

    return copy;
}


static void
envelopes(void)
{
    char                *e, *f;
    mark_span_t          file, raw;
    mark_plan_t         *p, *q;
    mark_plan_key_t      secret, other, public;

    static const char  wrong[] =
        "signature: is not that of the plan by this key";

    file = plan_span(SECRET);
    (void) mark_plan_key_hmac(&secret, &file, &plan_error);

    ok(wrap(&secret, DOCUMENT) == NULL, "no envelope without an id");
    is_str(plan_error.text, "a key that signs has to have an id", "it says");

    secret.id = plan_span("a \"key\"");
    other = secret;
    file = plan_span("fedcba9876543210");
    (void) mark_plan_key_hmac(&other, &file, &plan_error);

    e = wrap(&secret, DOCUMENT);

    opens(e, &secret, "taken");
    opens(e, NULL, "taken");
    opens(e, &other, wrong);
    opens(DOCUMENT, NULL, "taken");
    opens(DOCUMENT, &secret, "the plan is not signed, and has to be");
    is_int(plan_error.status, MARK_PLAN_SIGNATURE, "the signature's fault");

    other = secret;
    other.id = plan_span("b");
    opens(e, &other, "key: must be \"b\", not \"a \"key\"\"");
    other.id.len = 0;
    opens(e, &other, "taken");

    p = plan_read(e, PLAN_NOW, NULL);
    q = plan_read(DOCUMENT, PLAN_NOW, NULL);
    ok(p && q && memcmp(&p->stamp, &q->stamp, sizeof(mark_plan_stamp_t)) == 0,
       "in an envelope or not, it is the same plan");

    /* the document as it was signed, and nothing else */

    opens(changed(e, "\\\"version\\\": 42", "\\\"version\\\": 43"), &secret,
          wrong);
    opens(changed(e, "\\\"version\\\": 42", "\\\"version\\\":  42"), &secret,
          wrong);
    opens(changed(e, "\\\"version\\\": 42", "\\\"version\\\": \\u00342"),
          &secret, "taken");
    opens(changed(e, "\\\"version\\\": 42", "\\\"version\\\": 43"), NULL,
          "taken");

    /* Ed25519, and each key with the other's envelope */

    memset(&public, 0, sizeof(mark_plan_key_t));
    public.algorithm = MARK_PLAN_ED25519;
    public.id = plan_span("p");
    raw = hex(ed25519[0][1]);
    memcpy(public.public, raw.data, 32);

    ok(wrap(&public, DOCUMENT) == NULL, "a public key makes no envelope");
    is_str(plan_error.text, "a public key does not sign", "it says so");

    other = public;
    other.signs = 1;
    raw = hex(ed25519[0][0]);
    memcpy(other.private, raw.data, 32);

    f = wrap(&other, DOCUMENT);

    opens(f, &public, "taken");
    opens(f, &other, "taken");
    opens(changed(f, "42", "43"), &public, wrong);
    opens(e, &public, "algorithm: must be \"ed25519\", which the key is for, "
          "not \"hmac-sha256\"");
    opens(f, &secret, "algorithm: must be \"hmac-sha256\", which the key is "
          "for, not \"ed25519\"");
    is_int(plan_error.status, MARK_PLAN_SIGNATURE, "the signature's fault");
    opens(changed(f, "ed25519", "none"), &public,
          "algorithm: must be \"hmac-sha256\" or \"ed25519\", not \"none\"");

    /* the form of the envelope */

    opens("{\"plan\": {}}", NULL,
          "plan: must be a document as text, not an object");
    opens("{\"plan\": \"\"}", NULL, "algorithm: is required");
    opens("{\"plan\": \"\", \"algorithm\": \"none\"}", NULL,
          "key: is required");
    opens("{\"plan\": \"\", \"algorithm\": \"none\", \"key\": \"k\"}", NULL,
          "signature: is required");
    opens(changed(f, "\"key\"", "\"kid\""), NULL,
          "kid: unknown, the keys here are plan, algorithm, key and "
          "signature");
    opens(changed(f, "\"key\": \"p\"", "\"key\": 7"), NULL,
          "key: must be text of 1 to 255 bytes without control characters, "
          "not 7");
    opens(wrap(&other, "{\"format\": 1,\n\"pool\"}"), &public,
          "plan: line 2, column 7: ':' expected near '}'");
    opens(wrap(&other, "[]"), &public,
          "plan: a plan is an object, not a list");
    opens(wrap(&other, f), &public, "format: is required");
    opens(wrap(&other, "{\"format\": 7}"), &public, "format: must be 1, not 7");

    is_int(ERR_peek_error(), 0, "no error stays in libcrypto's queue");

    codec_free();
}


static mark_span_t
slurp(const char *dir, const char *name)
{
    FILE         *f;
    char          path[256];
    uint8_t      *p;
    mark_span_t   span;

    (void) snprintf(path, sizeof(path), "%s/%s", dir, name);

    p = codec_alloc(NULL, 4096);
    span.data = p;
    span.len = 0;

    f = fopen(path, "rb");

    if (f != NULL) {
        span.len = fread(p, 1, 4096, f);
        fclose(f);
    }

    return span;
}


static int
shell(const char *dir, const char *command)
{
    char  line[512];

    (void) snprintf(line, sizeof(line), "cd %s && (%s) >/dev/null 2>&1", dir,
                    command);

    return system(line);
}


static void
command(void)
{
    int              failed;
    FILE            *f;
    char             path[256], signature[MARK_PLAN_SIGNATURE_SIZE];
    char             dir[] = "/tmp/plan-signature-XXXXXX";
    uint8_t          raw[256];
    mark_span_t      document, file;
    mark_plan_key_t  private, public;

    if (mkdtemp(dir) == NULL) {
        ok(0, "a directory for keys");
        return;
    }

    (void) snprintf(path, sizeof(path), "%s/plan", dir);
    f = fopen(path, "wb");
    fwrite(DOCUMENT, 1, sizeof(DOCUMENT) - 1, f);
    fclose(f);

    failed = shell(dir, "openssl genpkey -algorithm ed25519 -out private"
                   " && openssl pkey -in private -pubout -out public"
                   " && openssl pkey -in private -aes256 -passout pass:x"
                   " -out locked"
                   " && openssl genpkey -algorithm x25519 -out other"
                   " && openssl pkey -in other -pubout -out otherpub"
                   " && openssl pkeyutl -sign -rawin -inkey private -in plan"
                   " -out signature"
                   " && openssl dgst -sha256 -mac hmac -macopt key:" SECRET
                   " -binary -out mac plan");

    is_int(failed, 0, "keys and signatures of the openssl command");

    document = plan_span(DOCUMENT);

    file = slurp(dir, "private");
    is_int(mark_plan_key_private(&private, &file, &plan_error), MARK_PLAN_OK,
           "a private key");
    file = slurp(dir, "public");
    is_int(mark_plan_key_public(&public, &file, &plan_error), MARK_PLAN_OK,
           "a public key");
    is_mem(private.public, 32, public.public, 32, "which belong together");
    is_int(mark_plan_key_private(&private, &file, &plan_error),
           MARK_PLAN_SIGNATURE, "a public key is no private one");

    file = slurp(dir, "locked");
    is_int(mark_plan_key_private(&private, &file, &plan_error),
           MARK_PLAN_SIGNATURE, "no password is asked for");
    file = slurp(dir, "other");
    is_int(mark_plan_key_private(&private, &file, &plan_error),
           MARK_PLAN_SIGNATURE, "X25519 is another kind of key");
    file = slurp(dir, "otherpub");
    is_int(mark_plan_key_public(&private, &file, &plan_error),
           MARK_PLAN_SIGNATURE, "as a public one, too");

    file = slurp(dir, "private");
    is_int(mark_plan_key_public(&private, &file, &plan_error),
           MARK_PLAN_SIGNATURE, "a private key is not a public one");
    (void) mark_plan_key_private(&private, &file, &plan_error);

    file = slurp(dir, "signature");
    (void) EVP_EncodeBlock((uint8_t *) signature, file.data, 64);
    verified(&public, &document, signature, "Ed25519 of the command");

    (void) mark_plan_sign(&private, &document, signature, &plan_error);
    (void) EVP_DecodeBlock(raw, (uint8_t *) signature, strlen(signature));

    (void) snprintf(path, sizeof(path), "%s/ours", dir);
    f = fopen(path, "wb");
    fwrite(raw, 1, 64, f);
    fclose(f);

    is_int(shell(dir, "openssl pkeyutl -verify -rawin -pubin -inkey public"
                 " -in plan -sigfile ours"), 0,
           "the command verifies our Ed25519");

    file = plan_span(SECRET);
    (void) mark_plan_key_hmac(&private, &file, &plan_error);
    file = slurp(dir, "mac");
    (void) EVP_EncodeBlock((uint8_t *) signature, file.data, 32);
    verified(&private, &document, signature, "HMAC of the command");

    is_int(ERR_peek_error(), 0, "no error stays in libcrypto's queue");
    is_int(shell(dir, "rm private public locked other otherpub plan signature"
                 " mac ours && rmdir ../${PWD##*/}"), 0, "all is removed");

    codec_free();
}


int
main(void)
{
    vectors();
    keys();
    envelopes();
    command();

    return done_testing();
}
