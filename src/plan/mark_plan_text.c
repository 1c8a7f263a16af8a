
/* JSON that is being written: see mark_plan_text.h. */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mark_plan_text.h"


void
mark_plan_put(mark_plan_text_t *text, const char *data, size_t len)
{
    if (text->len < text->size && len <= text->size - text->len) {
        memcpy(text->buf + text->len, data, len);
    }

    text->len += len;
}


void
mark_plan_puts(mark_plan_text_t *text, const char *data)
{
    mark_plan_put(text, data, strlen(data));
}


void
mark_plan_put_string(mark_plan_text_t *text, const mark_span_t *string)
{
    char            escape[8];
    const uint8_t  *p, *last, *start;

    p = string->data;
    last = p + string->len;
    start = p;

    mark_plan_put(text, "\"", 1);

    for ( /* void */ ; p < last; p++) {
        if (*p >= 0x20 && *p != '"' && *p != '\\') {
            continue;
        }

        mark_plan_put(text, (const char *) start, p - start);
        start = p + 1;

        if (*p == '\n') {
            mark_plan_put(text, "\\n", 2);

        } else if (*p < 0x20) {
            (void) snprintf(escape, sizeof(escape), "\\u%04x", *p);
            mark_plan_put(text, escape, 6);

        } else {
            escape[0] = '\\';
            escape[1] = *p;
            mark_plan_put(text, escape, 2);
        }
    }

    mark_plan_put(text, (const char *) start, p - start);
    mark_plan_put(text, "\"", 1);
}


/*
 * Both printf() and strtod() have the decimal point of the locale, if the
 * program set one: whatever it is, of a byte or more, becomes ".".
 */

void
mark_plan_number(char *buf, double value)
{
    int    digits;
    char  *p, *q;

    for (digits = 15; digits <= 17; digits++) {
        (void) snprintf(buf, MARK_PLAN_NUMBER, "%.*g", digits, value);

        if (strtod(buf, NULL) == value) {
            break;
        }
    }

    p = buf + strspn(buf, "+-0123456789");

    if (*p == '\0' || *p == 'e') {
        return;
    }

    q = p + strcspn(p, "0123456789e");

    *p++ = '.';
    memmove(p, q, strlen(q) + 1);
}
