
/*
 * AWS credentials, out of the two kinds of text that they come in: the shared
 * credentials file, and the JSON of a credential process, of a container's or
 * an instance's metadata service.  Whoever calls has read the text, and wipes
 * it.
 *
 * Errors name the line or the key, and never what stands there.
 */


#ifndef _MARK_CREDENTIALS_H_INCLUDED_
#define _MARK_CREDENTIALS_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


/* The longest, in bytes.  AWS sets no limit to session tokens. */
#define MARK_CREDENTIALS_ACCESS_KEY  128
#define MARK_CREDENTIALS_SECRET_KEY  256
#define MARK_CREDENTIALS_TOKEN       8192

/* Room for any error. */
#define MARK_CREDENTIALS_ERROR       160


typedef enum {
    MARK_CREDENTIALS_OK = 0,
    MARK_CREDENTIALS_INVALID,    /* the text is not what it should be */
    MARK_CREDENTIALS_NONE,       /* no such profile, or one without keys */
    MARK_CREDENTIALS_REFUSED     /* the service answers with an error */
} mark_credentials_status_t;


/*
 * Strings end with a zero that does not count in their length.  What stands
 * in them is visible ASCII, and can be put into a header as it is.
 */

typedef struct {
    int64_t  expiration;         /* unix seconds; 0: none */

    size_t   access_key_len;
    size_t   secret_key_len;
    size_t   token_len;          /* 0: no session token */

    char     access_key[MARK_CREDENTIALS_ACCESS_KEY + 1];
    char     secret_key[MARK_CREDENTIALS_SECRET_KEY + 1];
    char     token[MARK_CREDENTIALS_TOKEN + 1];
} mark_credentials_t;


/*
 * Reads a profile of a shared credentials file, by the rules of botocore,
 * which are those of Python's configparser: "key = value" or "key: value";
 * keys in any case, profiles as they are; comments on lines of their own,
 * with '#' or ';'; a line that is indented more than the key before it goes
 * on with its value, which no key of ours allows; [DEFAULT] has what a profile
 * lacks.  The old name aws_security_token is taken as well.  A line that is
 * nothing of this makes the whole file invalid.
 *
 * Other than there a byte order mark is passed, an inner space (often a
 * comment that is none) is an error, and of duplicates only those of this
 * profile and of the keys that are read.
 *
 * Empty profile: "default".  On failure credentials are cleared and error, of
 * MARK_CREDENTIALS_ERROR bytes, says why.
 */
mark_credentials_status_t mark_credentials_file(
    mark_credentials_t *credentials, const void *text, size_t len,
    const char *profile, size_t profile_len, char *error);

/*
 * Reads a JSON object: AccessKeyId, SecretAccessKey, SessionToken (or Token),
 * Expiration (ISO 8601, with its zone).  Version, if there, must be 1, and
 * Code "Success".  Others may be there.
 */
mark_credentials_status_t mark_credentials_json(
    mark_credentials_t *credentials, const void *text, size_t len,
    char *error);

/* Forgets them. */
void mark_credentials_clear(mark_credentials_t *credentials);


#endif /* _MARK_CREDENTIALS_H_INCLUDED_ */
