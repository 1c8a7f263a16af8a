
/* Messages that name a place in a document and what may be there. */


#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "mark_plan_schema.h"
#include "mark_plan_text.h"


/* Of a key or a value, at most so many bytes: two quotes, dots and a zero. */
#define MARK_PLAN_SHOWN  (MARK_PLAN_QUOTED - 6)

static size_t mark_plan_step(char *buf, size_t size,
    const mark_plan_step_t *step, int first);
static int mark_plan_plain(const char *name);
static void mark_plan_expected(const mark_plan_field_t *field, char *buf,
    size_t size);
static void mark_plan_describe(const json_t *value, char *buf, size_t size);


mark_plan_status_t
mark_plan_refuse(mark_plan_reader_t *r, mark_plan_status_t status,
    const char *name, const char *fmt, ...)
{
    char              path[256], what[400];
    size_t            i, len;
    va_list           args;
    mark_plan_step_t  last;

    len = 0;
    path[0] = '\0';

    for (i = 0; i < r->depth; i++) {
        len += mark_plan_step(path + len, sizeof(path) - len, &r->steps[i],
                              i == 0);
    }

    if (name != NULL) {
        last.name = name;
        (void) mark_plan_step(path + len, sizeof(path) - len, &last, len == 0);
    }

    va_start(args, fmt);
    (void) vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);

    return mark_plan_fail(r->error, status, "%s: %s", path, what);
}


static size_t
mark_plan_step(char *buf, size_t size, const mark_plan_step_t *step,
    int first)
{
    int          n;
    char         quoted[MARK_PLAN_QUOTED];
    const char  *name;

    if (step->name == NULL) {
        n = snprintf(buf, size, "[%zu]", step->index);

    } else {
        name = step->name;

        if (!mark_plan_plain(name)) {
            mark_plan_quote(quoted, name, strlen(name));
            name = quoted;
        }

        n = snprintf(buf, size, "%s%s", first ? "" : ".", name);
    }

    return n;
}


/* Tells whether a key needs no quotes; this is what all of the schema are. */

static int
mark_plan_plain(const char *name)
{
    size_t  n;

    n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                     "0123456789_-");

    return n && n <= MARK_PLAN_SHOWN && name[n] == '\0';
}


/*
 * Shortened at the end of a character.  Nothing is escaped: mark_plan_fail()
 * makes blanks of control characters.
 */

void
mark_plan_quote(char *buf, const char *text, size_t len)
{
    char    *p;
    size_t   n;

    n = len;

    if (n > MARK_PLAN_SHOWN) {
        n = MARK_PLAN_SHOWN;

        while (n && (text[n] & 0xc0) == 0x80) {
            n--;
        }
    }

    p = buf;
    *p++ = '"';

    memcpy(p, text, n);
    p += n;

    strcpy(p, n < len ? "\"..." : "\"");
}


mark_plan_status_t
mark_plan_refuse_value(mark_plan_reader_t *r, const mark_plan_field_t *field,
    const json_t *value, const char *why)
{
    char  must[128], is[MARK_PLAN_QUOTED];

    mark_plan_expected(field, must, sizeof(must));
    mark_plan_describe(value, is, sizeof(is));

    if (why != NULL) {
        return mark_plan_refuse(r, MARK_PLAN_SCHEMA, NULL,
                                "must be %s, not %s (%s)", must, is, why);
    }

    return mark_plan_refuse(r, MARK_PLAN_SCHEMA, NULL, "must be %s, not %s",
                            must, is);
}


static void
mark_plan_expected(const mark_plan_field_t *field, char *buf, size_t size)
{
    switch (field->type) {

    case MARK_PLAN_FIELD_DOCUMENT:
        (void) snprintf(buf, size, "a document as text");
        break;

    case MARK_PLAN_FIELD_TEXT:
        (void) snprintf(buf, size, "text of %.0f to %.0f bytes without "
                        "control characters", field->min, field->max);
        break;

    case MARK_PLAN_FIELD_ADDRESS:
        (void) snprintf(buf, size,
                        "\"HOST:PORT\", \"[IPV6]:PORT\" or \"unix:/PATH\"");
        break;

    case MARK_PLAN_FIELD_VERSION:
    case MARK_PLAN_FIELD_INTEGER:
        if (field->min == field->max) {
            (void) snprintf(buf, size, "%.0f", field->min);
            break;
        }

        (void) snprintf(buf, size, "an integer from %.0f to %.0f",
                        field->min, field->max);
        break;

    case MARK_PLAN_FIELD_NUMBER:
    case MARK_PLAN_FIELD_DELAY:
        if (isinf(field->max)) {
            (void) snprintf(buf, size, "a number from %.0f up", field->min);
            break;
        }

        (void) snprintf(buf, size, "a number from %.0f to %.0f%s",
                        field->min, field->max,
                        field->type == MARK_PLAN_FIELD_DELAY ? " or \"auto\""
                                                             : "");
        break;

    case MARK_PLAN_FIELD_FLAG:
        (void) snprintf(buf, size, "true or false");
        break;

    case MARK_PLAN_FIELD_STATE:
        (void) snprintf(buf, size, "\"%s\", \"%s\" or \"%s\"",
                        mark_plan_states[0], mark_plan_states[1],
                        mark_plan_states[2]);
        break;

    case MARK_PLAN_FIELD_OBJECT:
        (void) snprintf(buf, size, "an object");
        break;

    case MARK_PLAN_FIELD_PEERS:
        (void) snprintf(buf, size, "a list of objects");
        break;
    }
}


static void
mark_plan_describe(const json_t *value, char *buf, size_t size)
{
    char  number[MARK_PLAN_NUMBER];

    switch (json_typeof(value)) {

    case JSON_OBJECT:
        (void) snprintf(buf, size, "an object");
        break;

    case JSON_ARRAY:
        (void) snprintf(buf, size, "a list");
        break;

    case JSON_STRING:
        mark_plan_quote(buf, json_string_value(value),
                        json_string_length(value));
        break;

    case JSON_INTEGER:
        (void) snprintf(buf, size, "%" JSON_INTEGER_FORMAT,
                        json_integer_value(value));
        break;

    case JSON_REAL:

        /* 2.0 is refused where 2 is not: it has to look so */

        mark_plan_number(number, json_real_value(value));
        (void) snprintf(buf, size, "%s%s", number,
                        strpbrk(number, ".e") ? "" : ".0");
        break;

    case JSON_TRUE:
        (void) snprintf(buf, size, "true");
        break;

    case JSON_FALSE:
        (void) snprintf(buf, size, "false");
        break;

    case JSON_NULL:
        (void) snprintf(buf, size, "null");
        break;
    }
}
