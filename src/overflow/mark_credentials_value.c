
/* The strings of credentials: see mark_credentials.h. */


#include <string.h>

#include <openssl/crypto.h>

#include "mark_credentials_value.h"


void
mark_credentials_clear(mark_credentials_t *credentials)
{
    OPENSSL_cleanse(credentials, sizeof(mark_credentials_t));
}


const char *
mark_credentials_set(mark_credentials_t *credentials,
    mark_credentials_value_t which, const char *data, size_t len)
{
    char    *to;
    size_t   i, max, *to_len;

    switch (which) {

    case MARK_CREDENTIALS_VALUE_ACCESS_KEY:
        to = credentials->access_key;
        to_len = &credentials->access_key_len;
        max = MARK_CREDENTIALS_ACCESS_KEY;
        break;

    case MARK_CREDENTIALS_VALUE_SECRET_KEY:
        to = credentials->secret_key;
        to_len = &credentials->secret_key_len;
        max = MARK_CREDENTIALS_SECRET_KEY;
        break;

    default: /* MARK_CREDENTIALS_VALUE_TOKEN */
        to = credentials->token;
        to_len = &credentials->token_len;
        max = MARK_CREDENTIALS_TOKEN;
    }

    if (len == 0 && which != MARK_CREDENTIALS_VALUE_TOKEN) {
        return "is empty";
    }

    if (len > max) {
        return "is too long";
    }

    for (i = 0; i < len; i++) {

        if (data[i] == ' ' || data[i] == '\t') {
            return "has a space in it";
        }

        if (data[i] < '!' || data[i] > '~') {
            return "has a byte in it that is not visible ASCII";
        }

        /* these part the fields of Authorization */

        if (which == MARK_CREDENTIALS_VALUE_ACCESS_KEY
            && (data[i] == '/' || data[i] == ','))
        {
            return "has a slash or a comma in it";
        }
    }

    memcpy(to, data, len);
    to[len] = '\0';
    *to_len = len;

    return NULL;
}
