
/*
 * AWS credentials in JSON: see mark_credentials.h.  The scanner copies
 * nothing, so that no secret is left behind in memory that was freed.
 */


#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

#include "mark_credentials_value.h"
#include "mark_json.h"


/* What is printed of a service's error code. */
#define MARK_CREDENTIALS_CODE  64


typedef enum {
    MARK_MEMBER_ACCESS_KEY = 0,
    MARK_MEMBER_SECRET_KEY,
    MARK_MEMBER_SESSION_TOKEN,
    MARK_MEMBER_TOKEN,
    MARK_MEMBER_EXPIRATION,
    MARK_MEMBER_VERSION,
    MARK_MEMBER_CODE,
    MARK_MEMBER_LAST
} mark_credentials_name_t;


/* A value as it stands there; len is 0 if it does not, or is null. */

typedef struct {
    mark_span_t        text;
    mark_json_type_t   type;
} mark_credentials_member_t;


static int mark_credentials_members(mark_credentials_member_t *members,
    const void *text, size_t len, char *error);
static mark_credentials_status_t mark_credentials_take(
    mark_credentials_t *credentials, const mark_credentials_member_t *members,
    char *error);
static int mark_credentials_refused(const mark_credentials_member_t *code,
    char *error);
static int mark_credentials_string(mark_credentials_t *credentials,
    mark_credentials_value_t which, const mark_credentials_member_t *members,
    mark_credentials_name_t name, char *error);
static size_t mark_credentials_unescape(char *to, size_t max,
    const mark_span_t *text);
static int64_t mark_credentials_time(const char *p, size_t len);
static int mark_credentials_digits(const char **p, const char *last,
    unsigned n, char end);


static const char  *mark_credentials_names[MARK_MEMBER_LAST] = {
    "AccessKeyId", "SecretAccessKey", "SessionToken", "Token", "Expiration",
    "Version", "Code"
};


mark_credentials_status_t
mark_credentials_json(mark_credentials_t *credentials, const void *text,
    size_t len, char *error)
{
    mark_credentials_status_t   rc;
    mark_credentials_member_t   members[MARK_MEMBER_LAST];

    mark_credentials_clear(credentials);

    if (mark_credentials_members(members, text, len, error) != 0) {
        return MARK_CREDENTIALS_INVALID;
    }

    rc = mark_credentials_take(credentials, members, error);

    if (rc != MARK_CREDENTIALS_OK) {
        mark_credentials_clear(credentials);
    }

    return rc;
}


static int
mark_credentials_members(mark_credentials_member_t *members, const void *text,
    size_t len, char *error)
{
    int                         rc, first;
    size_t                      n;
    unsigned                    line;
    mark_span_t                 key;
    mark_json_t                 j;
    const uint8_t              *p, *start;
    mark_credentials_member_t  *member;

    memset(members, 0, MARK_MEMBER_LAST * sizeof(mark_credentials_member_t));

    mark_json_init(&j, text, len);
    mark_json_space(&j);

    if (j.pos == j.last || *j.pos != '{') {
        snprintf(error, MARK_CREDENTIALS_ERROR, "not an object of JSON");
        return -1;
    }

    first = 1;
    rc = mark_json_enter(&j, MARK_JSON_OBJECT);

    while (rc == 0 && (rc = mark_json_member(&j, &key, &first, 0)) == 1) {
        mark_json_space(&j);
        start = j.pos;
        rc = mark_json_skip(&j);

        for (n = 0; rc == 0 && n < MARK_MEMBER_LAST; n++) {

            if (mark_json_key_is(&key, mark_credentials_names[n])
                && *start != 'n')
            {
                member = &members[n];
                member->text.data = start;
                member->text.len = j.pos - start;
                member->type = j.type;
            }
        }
    }

    if (rc == 0 && mark_json_end(&j) == 0) {
        return 0;
    }

    line = 1;

    for (p = text; p < j.pos; p++) {
        line += (*p == '\n');
    }

    snprintf(error, MARK_CREDENTIALS_ERROR, "line %u: %s", line,
             mark_json_strerror(j.error));

    return -1;
}


static mark_credentials_status_t
mark_credentials_take(mark_credentials_t *credentials,
    const mark_credentials_member_t *members, char *error)
{
    const mark_span_t                *version;
    const mark_credentials_member_t  *expiration;

    if (mark_credentials_refused(&members[MARK_MEMBER_CODE], error)) {
        return MARK_CREDENTIALS_REFUSED;
    }

    version = &members[MARK_MEMBER_VERSION].text;

    if (version->len && !(version->len == 1 && *version->data == '1')) {
        snprintf(error, MARK_CREDENTIALS_ERROR, "Version is not 1");
        return MARK_CREDENTIALS_INVALID;
    }

    if (mark_credentials_string(credentials,
                                MARK_CREDENTIALS_VALUE_ACCESS_KEY,
                                members, MARK_MEMBER_ACCESS_KEY, error)
        || mark_credentials_string(credentials,
                                   MARK_CREDENTIALS_VALUE_SECRET_KEY,
                                   members, MARK_MEMBER_SECRET_KEY, error)
        || mark_credentials_string(credentials, MARK_CREDENTIALS_VALUE_TOKEN,
                                   members, MARK_MEMBER_SESSION_TOKEN, error)
        || (credentials->token_len == 0
            && mark_credentials_string(credentials,
                                       MARK_CREDENTIALS_VALUE_TOKEN,
                                       members, MARK_MEMBER_TOKEN, error)))
    {
        return MARK_CREDENTIALS_INVALID;
    }

    expiration = &members[MARK_MEMBER_EXPIRATION];

    if (expiration->text.len == 0) {
        return MARK_CREDENTIALS_OK;
    }

    if (expiration->type == MARK_JSON_STRING) {
        credentials->expiration =
            mark_credentials_time((const char *) expiration->text.data + 1,
                                  expiration->text.len - 2);
    }

    if (credentials->expiration <= 0) {
        snprintf(error, MARK_CREDENTIALS_ERROR,
                 "Expiration is not like 2026-01-31T23:59:59Z");
        return MARK_CREDENTIALS_INVALID;
    }

    return MARK_CREDENTIALS_OK;
}


/* An instance's metadata service answers 200 when it has no credentials. */

static int
mark_credentials_refused(const mark_credentials_member_t *code, char *error)
{
    char                c;
    size_t              n;
    const mark_span_t  *text;

    text = &code->text;

    if (text->len == 0 || mark_json_key_is(text, "Success")) {
        return 0;
    }

    for (n = 1; n < text->len && n <= MARK_CREDENTIALS_CODE; n++) {
        c = mark_credentials_lower(text->data[n]);

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))) {
            break;
        }
    }

    snprintf(error, MARK_CREDENTIALS_ERROR, "Code is \"%.*s\"", (int) n - 1,
             text->data + 1);

    return 1;
}


static int
mark_credentials_string(mark_credentials_t *credentials,
    mark_credentials_value_t which, const mark_credentials_member_t *members,
    mark_credentials_name_t name, char *error)
{
    char                              text[MARK_CREDENTIALS_TOKEN + 1];
    size_t                            len;
    const char                       *why;
    const mark_credentials_member_t  *member;

    member = &members[name];

    if (member->text.len == 0) {

        if (which == MARK_CREDENTIALS_VALUE_TOKEN) {
            return 0;
        }

        why = "is not there";

    } else if (member->type != MARK_JSON_STRING) {
        why = "is not a string";

    } else {
        len = mark_credentials_unescape(text, sizeof(text), &member->text);
        why = mark_credentials_set(credentials, which, text, len);
        OPENSSL_cleanse(text, len);
    }

    if (why) {
        snprintf(error, MARK_CREDENTIALS_ERROR, "%s %s",
                 mark_credentials_names[name], why);
        return -1;
    }

    return 0;
}


/*
 * Decodes a string that is valid, up to max bytes.  Other than ASCII, which
 * is refused anyway, becomes a control.
 */

static size_t
mark_credentials_unescape(char *to, size_t max, const mark_span_t *text)
{
    char            c;
    size_t          n;
    unsigned        i, code;
    const uint8_t  *p, *last;

    p = text->data + 1;
    last = text->data + text->len - 1;

    for (n = 0; p < last && n < max; n++) {
        c = (char) *p++;

        if (c != '\\') {
            to[n] = c;
            continue;
        }

        c = (char) *p++;

        if (c == 'u') {
            code = 0;

            for (i = 0; i < 4; i++) {
                c = (char) *p++;
                code = code << 4 | (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
            }

            to[n] = (code < 0x80) ? (char) code : '\x1f';

        } else if (c == '"' || c == '\\' || c == '/') {
            to[n] = c;

        } else {
            to[n] = '\x1f';
        }
    }

    return n;
}


/*
 * Unix seconds of "2026-01-31T23:59:59Z", also with a fraction, which is cut,
 * and with "+01:00" or "+0100" for the zone; 0 if it is something else.
 */

static int64_t
mark_credentials_time(const char *p, size_t len)
{
    int          year, month, day, hour, min, sec, ahead, ahead_min, sign;
    int64_t      days;
    const char  *last;

    static const int  lengths[] = {
        31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31
    };

    last = p + len;

    year = mark_credentials_digits(&p, last, 4, '-');
    month = mark_credentials_digits(&p, last, 2, '-');
    day = mark_credentials_digits(&p, last, 2, 'T');
    hour = mark_credentials_digits(&p, last, 2, ':');
    min = mark_credentials_digits(&p, last, 2, ':');
    sec = mark_credentials_digits(&p, last, 2, '\0');

    if (year < 1970 || month < 1 || month > 12 || day < 1
        || day > lengths[month - 1]
        || (month == 2 && day == 29
            && (year % 4 || (year % 100 == 0 && year % 400)))
        || hour < 0 || hour > 23 || min < 0 || min > 59 || sec < 0 || sec > 59)
    {
        return 0;
    }

    if (p < last && *p == '.') {
        do {
            p++;
        } while (p < last && *p >= '0' && *p <= '9');
    }

    if (p < last && (*p == '+' || *p == '-')) {
        sign = (*p++ == '+') ? -1 : 1;

        ahead = mark_credentials_digits(&p, last, 2, '\0');
        p += (p < last && *p == ':');
        ahead_min = mark_credentials_digits(&p, last, 2, '\0');

        if (ahead < 0 || ahead > 23 || ahead_min < 0 || ahead_min > 59) {
            return 0;
        }

        hour += sign * ahead;
        min += sign * ahead_min;

    } else if (p == last || *p++ != 'Z') {
        return 0;
    }

    if (p != last) {
        return 0;
    }

    /* days of the years and months before, of which the year is March's */

    if (month < 3) {
        year--;
        month += 12;
    }

    days = year * 365 + year / 4 - year / 100 + year / 400
           + (month * 153 - 457) / 5 + day - 1 - 719468;

    return ((days * 24 + hour) * 60 + min) * 60 + sec;
}


/* Passes a number of n digits and what must follow: -1 if it is not there. */

static int
mark_credentials_digits(const char **p, const char *last, unsigned n,
    char end)
{
    int  value;

    value = 0;

    if ((size_t) (last - *p) < n + (end != '\0')) {
        *p = last;
        return -1;
    }

    while (n--) {
        if (**p < '0' || **p > '9') {
            *p = last;
            return -1;
        }

        value = value * 10 + (*(*p)++ - '0');
    }

    if (end != '\0' && *(*p)++ != end) {
        *p = last;
        return -1;
    }

    return value;
}
