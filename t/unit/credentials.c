
/*
 * AWS credentials: the shared credentials file as botocore reads it, JSON of
 * processes and metadata services.  No error may quote what is secret.
 */


#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "mark_credentials.h"


#define KEYS  "aws_access_key_id = AK\naws_secret_access_key = SECRET/+=\n"


/* As "access secret token expiration", or the error. */

static const char *
shown(mark_credentials_status_t rc, const mark_credentials_t *c,
    const char *error)
{
    size_t              i;
    const char         *p;
    mark_credentials_t  cleared;

    static char         text[MARK_CREDENTIALS_TOKEN + 1024];

    if (rc == MARK_CREDENTIALS_OK) {
        ok(c->access_key_len == strlen(c->access_key)
           && c->secret_key_len == strlen(c->secret_key)
           && c->token_len == strlen(c->token), "lengths");

        snprintf(text, sizeof(text), "%s %s %s %lld", c->access_key,
                 c->secret_key, c->token_len ? c->token : "-",
                 (long long) c->expiration);

        return text;
    }

    memset(&cleared, 0, sizeof(cleared));

    for (p = (const char *) c, i = 0; i < sizeof(cleared) && p[i] == 0; i++) {
        /* void */
    }

    is_int(i, sizeof(cleared), "nothing is left");
    ok(strstr(error, "SECRET") == NULL, "nothing is told");

    snprintf(text, sizeof(text), "%d: %s", rc, error);

    return text;
}


static void
file_len(const char *profile, const char *text, size_t len, const char *want)
{
    char                        error[MARK_CREDENTIALS_ERROR], *copy;
    mark_credentials_t          c;
    mark_credentials_status_t   rc;

    /* its end is known to sanitizers */

    copy = malloc(len);
    memcpy(copy, text, len);

    memset(&c, 0xee, sizeof(c));
    error[0] = '\0';
    rc = mark_credentials_file(&c, copy, len, profile, strlen(profile), error);
    free(copy);

    is_str(shown(rc, &c, error), want, "file \"%.*s\"", (int) len, text);
}


static void
file(const char *profile, const char *text, const char *want)
{
    file_len(profile, text, strlen(text), want);
}


static void
files(void)
{
    const char  *ok = "AK SECRET/+= - 0";

    file("", "[default]\n" KEYS, ok);
    file("default", "[default]\r\naws_access_key_id=AK\r\n"
         "aws_secret_access_key=SECRET/+=", ok);
    file("", "\xef\xbb\xbf[default]\n" KEYS, ok);
    file("", "# all\n; mine\n\n  \n[default]\n # and\n" KEYS " ;too", ok);
    file("", "[default] # this one\n" KEYS, ok);
    file("", "[default]\rAWS_Access_Key_ID \t:\t AK \v\r"
         "aws_secret_access_KEY:SECRET/+=\r", ok);
    file("", "[default]\naws_secret_access_key = a=b:c\n"
         "aws_access_key_id = AK", "AK a=b:c - 0");

    file("", "[default]\n" KEYS "aws_session_token = T", "AK SECRET/+= T 0");
    file("", "[default]\n" KEYS "aws_security_token = T", "AK SECRET/+= T 0");
    file("", "[default]\naws_session_token = N\naws_security_token = O\n"
         KEYS, "AK SECRET/+= O 0");
    file("", "[default]\n" KEYS "aws_session_token =\n", ok);

    /* others may be there, and go on for lines */

    file("", "[default]\nregion = eu-west-1\ns3 =\n  a = b\n  junk\n" KEYS,
         ok);
    file("", "[other]\n" KEYS "aws_access_key_id = x\n  y\n[default]\n" KEYS,
         ok);

    /* profiles */

    file("p q", "[default]\naws_access_key_id = x\n[p q]\n" KEYS, ok);
    file("p]", "[p]]\n" KEYS, ok);
    file("Default", "[default]\n" KEYS, "2: no profile \"Default\"");
    file("", "[ default ]\n" KEYS, "2: no profile \"default\"");
    file("", "[profile default]\n" KEYS, "2: no profile \"default\"");
    file("", "", "2: no profile \"default\"");
    file("DEFAULT", "[DEFAULT]\n" KEYS, "2: no profile \"DEFAULT\"");
    file("", "[default]\n[other]\n" KEYS,
         "2: profile \"default\" has no aws_access_key_id");
    file("", "[default]\naws_access_key_id=AK\n",
         "1: profile \"default\" has no aws_secret_access_key");

    /* what all have */

    file("", "[DEFAULT]\n" KEYS "[default]\n", ok);
    file("p", "[p]\naws_access_key_id = P\n[DEFAULT]\n" KEYS,
         "P SECRET/+= - 0");

    /* what is wrong */

    file("", "[default]\n" KEYS KEYS,
         "1: line 4: aws_access_key_id again, as on line 2");
    file("", "[default]\n" KEYS "[a]\n[default]\n",
         "1: line 5: the profile is there twice");
    file("", KEYS, "1: line 1: no [profile] before it");
    file("", "[default]\nSECRET\n" KEYS,
         "1: line 2: neither [profile] nor key = value");
    file("", "[default]\n" KEYS "[a]\nSECRET\n",
         "1: line 5: neither [profile] nor key = value");
    file("", "[default]\n= SECRET\n" KEYS,
         "1: line 2: neither [profile] nor key = value");
    file("", "[]\n" KEYS, "1: line 1: no [profile] before it");
    file("", "[default]\n" KEYS "\n SECRET\n",
         "1: line 5: aws_secret_access_key goes on, for the line is indented");
    file("", "[default]\n" KEYS " aws_session_token = SECRET\n",
         "1: line 4: aws_secret_access_key goes on, for the line is indented");
    file("", "[default]\n  aws_access_key_id = AK\n"
         "aws_secret_access_key = SECRET/+=\n", ok);
    file("", "[default]\naws_access_key_id =\naws_secret_access_key = SECRET",
         "1: line 2: aws_access_key_id is empty");
    file("", "[default]\naws_access_key_id = AK\naws_secret_access_key =",
         "1: line 3: aws_secret_access_key is empty");
    file("", "[default]\naws_access_key_id = AK\n"
         "aws_secret_access_key = SECRET # mine",
         "1: line 3: aws_secret_access_key has a space in it");
    file("", "[default]\naws_access_key_id = SECRET/K\n"
         "aws_secret_access_key = SECRET",
         "1: line 2: aws_access_key_id has a slash or a comma in it");
    file("", "[default]\naws_access_key_id = AK\n"
         "aws_secret_access_key = SECRET\xc3\xa4",
         "1: line 3: aws_secret_access_key has a byte in it that is not "
         "visible ASCII");
    file_len("", "[default]\naws_access_key_id\0\0 = A\n", 33,
             "2: profile \"default\" has no aws_access_key_id");
    file_len("", "[default]\naws_access_key_id = A\0K\n", 33,
             "1: line 2: aws_access_key_id has a byte in it that is not "
             "visible ASCII");
}


static void
json(const char *text, const char *want)
{
    char                        error[MARK_CREDENTIALS_ERROR];
    mark_credentials_t          c;
    mark_credentials_status_t   rc;

    memset(&c, 0xee, sizeof(c));
    error[0] = '\0';
    rc = mark_credentials_json(&c, text, strlen(text), error);

    is_str(shown(rc, &c, error), want, "json %s", text);
}


static void
jsons(void)
{
    const char  *bad = "1: Expiration is not like 2026-01-31T23:59:59Z";

#define PAIR  "\"AccessKeyId\": \"AK\", \"SecretAccessKey\": \"SECRET\\/+=\""

    json("{\"Version\": 1, " PAIR "}", "AK SECRET/+= - 0");
    json("{" PAIR ", \"SessionToken\": \"T\", "
         "\"Expiration\": \"2026-11-22T10:00:00Z\"}",
         "AK SECRET/+= T 1795341600");
    json("{\"Code\": \"Success\", \"LastUpdated\": \"2026-11-22T10:00:00Z\", "
         "\"Type\": \"AWS-HMAC\", " PAIR ", \"Token\": \"T\", "
         "\"Expiration\": \"2024-02-29T23:59:59Z\"}",
         "AK SECRET/+= T 1709251199");
    json("{" PAIR ", \"SessionToken\": null, \"Expiration\": null}",
         "AK SECRET/+= - 0");
    json("{" PAIR ", \"SessionToken\": \"S\", \"Token\": 1}",
         "AK SECRET/+= S 0");

    json("{\"Code\": \"AssumeRoleUnauthorizedAccess\"}",
         "3: Code is \"AssumeRoleUnauthorizedAccess\"");
    json("{\"Code\": \"Bad\\nSECRET\"}", "3: Code is \"Bad\"");

    json("{\"Version\": 2, " PAIR "}", "1: Version is not 1");
    json("{\"Version\": \"1\", " PAIR "}", "1: Version is not 1");
    json("", "1: not an object of JSON");
    json("{" PAIR ",\n SECRET", "1: line 2: not JSON");
    json("{" PAIR ",\n " PAIR "}", "1: line 2: an object has a key twice");
    json("[1]", "1: not an object of JSON");
    json("{" PAIR "}\n\n}", "1: line 3: not JSON");
    json("{\"a\": [NaN, {\"Token\": \"x\"}], " PAIR "}",
         "AK SECRET/+= - 0");
    json("{\"\\u0041ccessKeyId\": \"\\u004a\\\"\\\\K\", "
         "\"SecretAccessKey\": \"\\u002f\\u007E\"}", "J\"\\K /~ - 0");
    json("{" PAIR ", \"Token\": \"\\u00e4\"}",
         "1: Token has a byte in it that is not visible ASCII");
    json("{" PAIR ", \"Token\": \"\\n\"}",
         "1: Token has a byte in it that is not visible ASCII");
    json("{\"SecretAccessKey\": \"SECRET\"}", "1: AccessKeyId is not there");
    json("{\"AccessKeyId\": \"AK\"}", "1: SecretAccessKey is not there");
    json("{\"AccessKeyId\": \"AK\", \"SecretAccessKey\": null}",
         "1: SecretAccessKey is not there");
    json("{\"AccessKeyId\": \"AK\", \"SecretAccessKey\": 5}",
         "1: SecretAccessKey is not a string");
    json("{\"AccessKeyId\": \"\", \"SecretAccessKey\": \"SECRET\"}",
         "1: AccessKeyId is empty");
    json("{" PAIR ", \"SessionToken\": \"a\\r\\nSECRET: b\"}",
         "1: SessionToken has a byte in it that is not visible ASCII");
    json("{" PAIR ", \"Token\": \"SECRET \"}",
         "1: Token has a space in it");

#define EXPIRES(time)  "{" PAIR ", \"Expiration\": \"" time "\"}"

    json(EXPIRES("2026-11-22T10:00:00.999999Z"), "AK SECRET/+= - 1795341600");
    json(EXPIRES("2026-11-22T12:30:00+02:30"), "AK SECRET/+= - 1795341600");
    json(EXPIRES("2026-11-22T00:30:00-0930"), "AK SECRET/+= - 1795341600");
    json(EXPIRES("2027-01-01T00:00:00Z"), "AK SECRET/+= - 1798761600");
    json(EXPIRES("2027-03-01T00:00:00Z"), "AK SECRET/+= - 1803859200");
    json(EXPIRES("2026-11-22T10:00:00"), bad);
    json(EXPIRES("2026-11-22"), bad);
    json(EXPIRES("2026-11-22T10:00:00Zz"), bad);
    json(EXPIRES("2026-11-22T10:00:60Z"), bad);
    json(EXPIRES("2026-11-22T10:00:00+24:00"), bad);
    json(EXPIRES("2026-11-22T10:00:00+1"), bad);
    json(EXPIRES("2026-02-29T10:00:00Z"), bad);
    json(EXPIRES("2026-13-01T10:00:00Z"), bad);
    json(EXPIRES("1970-01-01T00:00:00Z"), bad);
    json(EXPIRES("2026-11-22T1x:00:00Z"), bad);
    json(EXPIRES(""), bad);
    json("{" PAIR ", \"Expiration\": 1795341600}", bad);
}


/* The longest fit, and one byte more does not. */

static void
lengths(void)
{
    size_t              i, max;
    char                text[MARK_CREDENTIALS_TOKEN + 200], want[200], *p;
    char                error[MARK_CREDENTIALS_ERROR];
    mark_credentials_t  c;

    static const struct {
        const char  *key;
        size_t       max;
    } keys[] = {
        { "aws_access_key_id", MARK_CREDENTIALS_ACCESS_KEY },
        { "aws_secret_access_key", MARK_CREDENTIALS_SECRET_KEY },
        { "aws_session_token", MARK_CREDENTIALS_TOKEN }
    };

    for (i = 0; i < 3; i++) {
        max = keys[i].max;

        p = text + sprintf(text, "[default]\n%s%s%s = ",
                           i != 0 ? "aws_access_key_id = AK\n" : "",
                           i != 1 ? "aws_secret_access_key = S\n" : "",
                           keys[i].key);
        memset(p, 'x', max + 1);

        is_int(mark_credentials_file(&c, text, p + max - text, NULL, 0, error),
               MARK_CREDENTIALS_OK, "%s of %d bytes", keys[i].key, (int) max);

        is_int(mark_credentials_file(&c, text, p + max + 1 - text, NULL, 0,
                                     error),
               MARK_CREDENTIALS_INVALID, "%s of one more", keys[i].key);

        sprintf(want, "line %d: %s is too long", i == 2 ? 4 : 3, keys[i].key);
        is_str(error, want, "%s is too long", keys[i].key);
    }
}


int
main(void)
{
    files();
    jsons();
    lengths();

    return done_testing();
}
