
/*
 * libFuzzer target: credentials, as a file and as JSON.  What is read must be
 * fit for a header and give the same when it is written out and read again.
 */


#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "mark_credentials.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static void check(mark_credentials_status_t rc, const mark_credentials_t *c,
    const char *error);
static void visible(const char *text, size_t len, size_t min, size_t max);
static void again(const mark_credentials_t *c);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char                        error[MARK_CREDENTIALS_ERROR];
    mark_credentials_status_t   rc;

    static mark_credentials_t   c;

    memset(error, 0, sizeof(error));
    rc = mark_credentials_file(&c, data, size, "p", 1, error);
    check(rc, &c, error);

    if (rc == MARK_CREDENTIALS_OK) {
        again(&c);
    }

    memset(error, 0, sizeof(error));
    rc = mark_credentials_json(&c, data, size, error);
    check(rc, &c, error);

    return 0;
}


static void
check(mark_credentials_status_t rc, const mark_credentials_t *c,
    const char *error)
{
    size_t       i;
    const char  *p;

    if (rc == MARK_CREDENTIALS_OK) {
        visible(c->access_key, c->access_key_len, 1,
                MARK_CREDENTIALS_ACCESS_KEY);
        visible(c->secret_key, c->secret_key_len, 1,
                MARK_CREDENTIALS_SECRET_KEY);
        visible(c->token, c->token_len, 0, MARK_CREDENTIALS_TOKEN);

        if (c->expiration < 0 || *error) {
            __builtin_trap();
        }

        return;
    }

    for (p = (const char *) c, i = 0; i < sizeof(mark_credentials_t); i++) {
        if (p[i]) {
            __builtin_trap();
        }
    }

    if (*error == '\0' || strlen(error) >= MARK_CREDENTIALS_ERROR) {
        __builtin_trap();
    }
}


static void
visible(const char *text, size_t len, size_t min, size_t max)
{
    size_t  i;

    if (len < min || len > max || text[len] != '\0') {
        __builtin_trap();
    }

    for (i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            __builtin_trap();
        }
    }
}


static void
again(const mark_credentials_t *c)
{
    int                         len;
    char                        error[MARK_CREDENTIALS_ERROR];

    static char                 text[MARK_CREDENTIALS_TOKEN + 1024];
    static mark_credentials_t   other;

    len = snprintf(text, sizeof(text), "[p]\naws_access_key_id=%s\n"
                   "aws_secret_access_key=%s\naws_session_token=%s",
                   c->access_key, c->secret_key, c->token);

    if (mark_credentials_file(&other, text, len, "p", 1, error)
        != MARK_CREDENTIALS_OK
        || memcmp(c, &other, sizeof(other)) != 0)
    {
        __builtin_trap();
    }
}
