/* Text in which every %u becomes the number of the request. */

#define _GNU_SOURCE

#include <stdlib.h>
#include <string.h>

#include "template.h"


void
digits_init(digits_t *d, unsigned long long number)
{
    char  *p;

    p = d->text + sizeof(d->text) - 1;
    *p = '\0';

    do {
        *--p = '0' + number % 10;
        number /= 10;
    } while (number);

    d->len = d->text + sizeof(d->text) - 1 - p;
    memmove(d->text, p, d->len + 1);
}


void
template_init(template_t *t, const char *text, size_t len)
{
    size_t       left;
    unsigned     pass;
    const char  *p;

    t->text = allocate(len + 1);
    memcpy(t->text, text, len);
    t->len = len;
    t->mark = NULL;

    for (pass = 0; pass < 2; pass++) {
        t->marks = 0;

        for (p = t->text, left = len; left > 1; p += 2) {
            p = memmem(p, left, "%u", 2);
            if (p == NULL) {
                break;
            }

            if (t->mark) {
                t->mark[t->marks] = p - t->text;
            }

            t->marks++;
            left = t->text + len - p - 2;
        }

        if (t->marks == 0) {
            return;
        }

        if (t->mark == NULL) {
            t->mark = allocate(t->marks * sizeof(size_t));
        }
    }
}


void
template_free(template_t *t)
{
    free(t->text);
    free(t->mark);
}


size_t
template_length(const template_t *t, const digits_t *d)
{
    return t->len - 2 * (size_t) t->marks + d->len * t->marks;
}


void
template_append(const template_t *t, const digits_t *d, buffer_t *out)
{
    size_t    from;
    unsigned  i;

    buffer_reserve(out, template_length(t, d));

    for (i = 0, from = 0; i < t->marks; i++) {
        buffer_append(out, t->text + from, t->mark[i] - from);
        buffer_append(out, d->text, d->len);
        from = t->mark[i] + 2;
    }

    buffer_append(out, t->text + from, t->len - from);
}
