/* Whether an answer is the right one. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"


#define TOLD_MAX   5
#define SHOWN_MAX  160


static int is_equal(check_t *c, const buffer_t *one, const buffer_t *two,
    size_t *where);
static int is_close(const char *one, const char *two, double tolerance,
    size_t *where);
static size_t number_length(const char *p);
static void tell(check_t *c, const digits_t *number, unsigned index,
    const char *what, const buffer_t *wanted, const buffer_t *got,
    size_t where);
static void show(const char *label, const buffer_t *text, size_t from);


void
check_init(check_t *c, const options_t *o)
{
    memset(c, 0, sizeof(check_t));

    c->options = o;
    c->needs_body = o->expect || o->reference || o->answers;

    if (o->expect) {
        template_init(&c->expect, o->expect, strlen(o->expect));
    }
}


answer_e
check_answer(check_t *c, const digits_t *number, unsigned index,
    unsigned status, const buffer_t *answer)
{
    char          what[80];
    size_t        where;
    reference_t  *r;

    if (c->reference && c->reference[index].status == status) {
        r = &c->reference[index];

        if (is_equal(c, &r->body, answer, &where)) {
            return ANSWER_OK;
        }

        tell(c, number, index, "it differs from its reference", &r->body,
             answer, where);

        return ANSWER_WRONG;
    }

    if (!c->options->status_allowed[status]) {
        return ANSWER_STATUS;
    }

    if (status < 200 || status > 299) {
        return ANSWER_ALLOWED;
    }

    if (c->reference) {
        r = &c->reference[index];
        snprintf(what, sizeof(what), "its status is %u, its reference's %u",
                 status, r->status);
        tell(c, number, index, what, &r->body, answer, 0);

        return ANSWER_WRONG;
    }

    if (c->options->expect) {
        c->wanted.len = 0;
        template_append(&c->expect, number, &c->wanted);

        if (!is_equal(c, &c->wanted, answer, &where)) {
            tell(c, number, index, "it is not what --expect says", &c->wanted,
                 answer, where);

            return ANSWER_WRONG;
        }
    }

    return ANSWER_OK;
}


static int
is_equal(check_t *c, const buffer_t *one, const buffer_t *two, size_t *where)
{
    size_t       i, least;
    const char  *a, *b;

    a = one->len ? one->data : "";
    b = two->len ? two->data : "";
    least = one->len < two->len ? one->len : two->len;

    if (one->len == two->len && memcmp(a, b, least) == 0) {
        return 1;
    }

    if (c->options->tolerance >= 0) {
        return is_close(a, b, c->options->tolerance, where);
    }

    for (i = 0; i < least && a[i] == b[i]; i++) {
        /* void */
    }

    *where = i;

    return 0;
}


/* Both texts end with a zero; strings in them must be equal in every byte. */

static int
is_close(const char *one, const char *two, double tolerance, size_t *where)
{
    int          string, escaped;
    char        *end;
    double       a, b, larger;
    size_t       n, m;
    const char  *p;

    string = 0;
    escaped = 0;

    for (p = one; /* void */; /* void */) {
        *where = p - one;

        n = string ? 0 : number_length(p);
        m = string ? 0 : number_length(two);

        if (n && m) {
            a = strtod(p, &end);
            b = strtod(two, &end);
            larger = fabs(a) > fabs(b) ? fabs(a) : fabs(b);

            if (a != b && !(fabs(a - b) <= tolerance)
                && !(fabs(a - b) <= tolerance * larger))
            {
                return 0;
            }

            p += n;
            two += m;
            continue;
        }

        if (*p != *two) {
            return 0;
        }

        if (*p == '\0') {
            return 1;
        }

        if (escaped) {
            escaped = 0;

        } else if (string && *p == '\\') {
            escaped = 1;

        } else if (*p == '"') {
            string = !string;
        }

        p++;
        two++;
    }
}


static size_t
number_length(const char *p)
{
    const char  *start;

    start = p;

    if (*p == '-') {
        p++;
    }

    if (*p < '0' || *p > '9') {
        return 0;
    }

    p += strspn(p, "0123456789.");

    if (*p == 'e' || *p == 'E') {
        p++;
        p += strspn(p, "+-0123456789");
    }

    return p - start;
}


static void
tell(check_t *c, const digits_t *number, unsigned index, const char *what,
    const buffer_t *wanted, const buffer_t *got, size_t where)
{
    size_t  from;

    if (c->told++ >= TOLD_MAX) {
        return;
    }

    from = where > 40 ? where - 40 : 0;

    fprintf(stderr, "mark-load: wrong answer to request %s (body %u): %s"
            " at byte %zu\n", number->text, index, what, where);
    show("expected", wanted, from);
    show("received", got, from);

    if (c->told == TOLD_MAX) {
        fprintf(stderr, "mark-load: more wrong answers are only counted\n");
    }
}


static void
show(const char *label, const buffer_t *text, size_t from)
{
    int     c;
    size_t  i;

    fprintf(stderr, "  %s (%zu bytes): %s", label, text->len,
            from ? "..." : "");

    for (i = from; i < text->len && i < from + SHOWN_MAX; i++) {
        c = (unsigned char) text->data[i];

        if (c < 0x20 || c == 0x7f) {
            fprintf(stderr, "\\x%02x", c);

        } else {
            fputc(c, stderr);
        }
    }

    fprintf(stderr, "%s\n", i < text->len ? "..." : "");
}
