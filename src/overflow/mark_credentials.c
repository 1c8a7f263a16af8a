
/* AWS credentials in the shared credentials file: see mark_credentials.h. */


#include <stdio.h>
#include <string.h>

#include "mark_credentials_value.h"


#define MARK_CREDENTIALS_KEYS  4

/* What is printed of a profile's name. */
#define MARK_CREDENTIALS_NAME  64


typedef enum {
    MARK_SECTION_NONE = 0,    /* before the first */
    MARK_SECTION_OTHER,
    MARK_SECTION_DEFAULT,     /* [DEFAULT], what the others fall back to */
    MARK_SECTION_PROFILE
} mark_credentials_section_t;


typedef struct {
    const char  *data;
    size_t       len;
} mark_credentials_text_t;


typedef struct {
    mark_credentials_text_t     text;
    unsigned                    line;         /* 0: not there */
} mark_credentials_entry_t;


typedef struct {
    mark_credentials_text_t     profile;
    mark_credentials_section_t  section;
    unsigned                    line;
    unsigned                    found:1;      /* the profile */

    /* of the last key: MARK_CREDENTIALS_KEYS for others than ours */

    unsigned                    has_key:1;
    size_t                      key;
    size_t                      indent;

    mark_credentials_entry_t    ours[MARK_CREDENTIALS_KEYS];
    mark_credentials_entry_t    defaults[MARK_CREDENTIALS_KEYS];

    char                       *error;
} mark_credentials_file_t;


static int mark_credentials_lines(mark_credentials_file_t *f,
    const char *p, const char *last);
static int mark_credentials_line(mark_credentials_file_t *f,
    mark_credentials_text_t line);
static int mark_credentials_header(mark_credentials_file_t *f,
    const mark_credentials_text_t *name);
static int mark_credentials_entry(mark_credentials_file_t *f,
    const mark_credentials_text_t *line);
static mark_credentials_status_t mark_credentials_choose(
    mark_credentials_file_t *f, mark_credentials_t *credentials);
static size_t mark_credentials_trim(mark_credentials_text_t *text);
static int mark_credentials_is(const mark_credentials_text_t *text,
    const char *name);


/* The older name of the token goes first, as with botocore. */

static const char  *mark_credentials_keys[MARK_CREDENTIALS_KEYS] = {
    "aws_access_key_id", "aws_secret_access_key", "aws_security_token",
    "aws_session_token"
};


mark_credentials_status_t
mark_credentials_file(mark_credentials_t *credentials, const void *text,
    size_t len, const char *profile, size_t profile_len, char *error)
{
    const char                 *p, *last;
    mark_credentials_file_t     f;
    mark_credentials_status_t   rc;

    mark_credentials_clear(credentials);
    memset(&f, 0, sizeof(mark_credentials_file_t));

    f.profile.data = profile_len ? profile : "default";
    f.profile.len = profile_len ? profile_len : sizeof("default") - 1;
    f.error = error;

    p = text;
    last = p + len;

    if (len >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) {
        p += 3;
    }

    rc = MARK_CREDENTIALS_INVALID;

    if (mark_credentials_lines(&f, p, last) == 0) {
        rc = mark_credentials_choose(&f, credentials);
    }

    if (rc != MARK_CREDENTIALS_OK) {
        mark_credentials_clear(credentials);
    }

    return rc;
}


/* Lines end as in any system's files. */

static int
mark_credentials_lines(mark_credentials_file_t *f, const char *p,
    const char *last)
{
    mark_credentials_text_t  line;

    while (p < last) {
        line.data = p;

        while (p < last && *p != '\n' && *p != '\r') {
            p++;
        }

        line.len = p - line.data;
        f->line++;

        if (mark_credentials_line(f, line) != 0) {
            return -1;
        }

        if (p < last && *p++ == '\r' && p < last && *p == '\n') {
            p++;
        }
    }

    return 0;
}


static int
mark_credentials_line(mark_credentials_file_t *f, mark_credentials_text_t line)
{
    size_t                   indent;
    mark_credentials_text_t  name;

    indent = mark_credentials_trim(&line);

    if (line.len == 0 || *line.data == '#' || *line.data == ';') {
        return 0;
    }

    if (f->has_key && indent > f->indent) {
        if (f->key == MARK_CREDENTIALS_KEYS) {
            return 0;
        }

        snprintf(f->error, MARK_CREDENTIALS_ERROR,
                 "line %u: %s goes on, for the line is indented",
                 f->line, mark_credentials_keys[f->key]);
        return -1;
    }

    f->indent = indent;

    /* up to the last bracket: names may have some */

    name = line;

    while (name.len && name.data[name.len - 1] != ']') {
        name.len--;
    }

    if (*line.data == '[' && name.len > 2) {
        name.data++;
        name.len -= 2;

        return mark_credentials_header(f, &name);
    }

    return mark_credentials_entry(f, &line);
}


static int
mark_credentials_header(mark_credentials_file_t *f,
    const mark_credentials_text_t *name)
{
    f->has_key = 0;
    f->section = MARK_SECTION_OTHER;

    if (name->len == 7 && memcmp(name->data, "DEFAULT", 7) == 0) {
        f->section = MARK_SECTION_DEFAULT;

    } else if (name->len == f->profile.len
               && memcmp(name->data, f->profile.data, name->len) == 0)
    {
        f->section = MARK_SECTION_PROFILE;

        if (f->found) {
            snprintf(f->error, MARK_CREDENTIALS_ERROR,
                     "line %u: the profile is there twice", f->line);
            return -1;
        }

        f->found = 1;
    }

    return 0;
}


static int
mark_credentials_entry(mark_credentials_file_t *f,
    const mark_credentials_text_t *line)
{
    size_t                     n;
    mark_credentials_text_t    key, value;
    mark_credentials_entry_t  *entry;

    if (f->section == MARK_SECTION_NONE) {
        snprintf(f->error, MARK_CREDENTIALS_ERROR,
                 "line %u: no [profile] before it", f->line);
        return -1;
    }

    for (n = 0; n < line->len; n++) {
        if (line->data[n] == '=' || line->data[n] == ':') {
            break;
        }
    }

    key.data = line->data;
    key.len = n;
    (void) mark_credentials_trim(&key);

    if (n == line->len || key.len == 0) {
        snprintf(f->error, MARK_CREDENTIALS_ERROR,
                 "line %u: neither [profile] nor key = value", f->line);
        return -1;
    }

    value.data = line->data + n + 1;
    value.len = line->len - n - 1;
    (void) mark_credentials_trim(&value);

    for (n = 0; n < MARK_CREDENTIALS_KEYS; n++) {
        if (mark_credentials_is(&key, mark_credentials_keys[n])) {
            break;
        }
    }

    f->has_key = 1;
    f->key = MARK_CREDENTIALS_KEYS;

    if (n == MARK_CREDENTIALS_KEYS || f->section == MARK_SECTION_OTHER) {
        return 0;
    }

    f->key = n;
    entry = (f->section == MARK_SECTION_PROFILE) ? &f->ours[n]
                                                 : &f->defaults[n];

    if (entry->line) {
        snprintf(f->error, MARK_CREDENTIALS_ERROR,
                 "line %u: %s again, as on line %u",
                 f->line, mark_credentials_keys[n], entry->line);
        return -1;
    }

    entry->text = value;
    entry->line = f->line;

    return 0;
}


static mark_credentials_status_t
mark_credentials_choose(mark_credentials_file_t *f,
    mark_credentials_t *credentials)
{
    int                        len;
    size_t                     n;
    const char                *why;
    mark_credentials_value_t   which;
    mark_credentials_entry_t  *entry;

    len = f->profile.len < MARK_CREDENTIALS_NAME ? (int) f->profile.len
                                                 : MARK_CREDENTIALS_NAME;

    if (!f->found) {
        snprintf(f->error, MARK_CREDENTIALS_ERROR, "no profile \"%.*s\"",
                 len, f->profile.data);
        return MARK_CREDENTIALS_NONE;
    }

    for (n = 0; n < MARK_CREDENTIALS_KEYS; n++) {
        entry = f->ours[n].line ? &f->ours[n] : &f->defaults[n];

        if (entry->line == 0) {
            if (n >= MARK_CREDENTIALS_VALUE_TOKEN) {
                continue;
            }

            snprintf(f->error, MARK_CREDENTIALS_ERROR,
                     "profile \"%.*s\" has no %s", len, f->profile.data,
                     mark_credentials_keys[n]);

            return n ? MARK_CREDENTIALS_INVALID : MARK_CREDENTIALS_NONE;
        }

        which = n < MARK_CREDENTIALS_VALUE_TOKEN ? n
                                              : MARK_CREDENTIALS_VALUE_TOKEN;

        if (which == MARK_CREDENTIALS_VALUE_TOKEN && credentials->token_len) {
            continue;
        }

        why = mark_credentials_set(credentials, which, entry->text.data,
                                   entry->text.len);

        if (why) {
            snprintf(f->error, MARK_CREDENTIALS_ERROR, "line %u: %s %s",
                     entry->line, mark_credentials_keys[n], why);
            return MARK_CREDENTIALS_INVALID;
        }
    }

    return MARK_CREDENTIALS_OK;
}


/* Takes white space from both ends; returns how much at the beginning. */

static size_t
mark_credentials_trim(mark_credentials_text_t *text)
{
    size_t  n;

    while (text->len && mark_credentials_space(text->data[text->len - 1])) {
        text->len--;
    }

    for (n = 0; n < text->len && mark_credentials_space(text->data[n]); n++) {
        /* void */
    }

    text->data += n;
    text->len -= n;

    return n;
}


static int
mark_credentials_is(const mark_credentials_text_t *text, const char *name)
{
    size_t  i;

    if (text->len != strlen(name)) {
        return 0;
    }

    for (i = 0; i < text->len; i++) {
        if (mark_credentials_lower(text->data[i]) != name[i]) {
            return 0;
        }
    }

    return 1;
}
