/* The bodies that requests carry, one after the other. */

#define _GNU_SOURCE

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "bodies.h"
#include "random.h"


static const char *read_lines(bodies_t *b, const char *path);
static const char *make_rows(bodies_t *b, const options_t *o);
static void make_one(buffer_t *out, random_t *random, const options_t *o,
    unsigned digits);


const char *
bodies_init(bodies_t *b, const options_t *o)
{
    buffer_t  file;

    b->count = 1;

    if (o->requests_file) {
        return read_lines(b, o->requests_file);
    }

    if (o->random_bodies) {
        return make_rows(b, o);
    }

    b->list = allocate(sizeof(body_t));
    memset(&file, 0, sizeof(buffer_t));

    if (o->body_file) {
        if (buffer_read_file(&file, o->body_file) != 0) {
            return strerror(errno);
        }

    } else if (o->body) {
        buffer_append(&file, o->body, strlen(o->body));
    }

    template_init(&b->list->text, file.data ? file.data : "", file.len);
    buffer_free(&file);

    return NULL;
}


static const char *
read_lines(bodies_t *b, const char *path)
{
    char      *p, *end, *lf;
    size_t     len;
    buffer_t   file;
    unsigned   n;

    memset(&file, 0, sizeof(buffer_t));

    if (buffer_read_file(&file, path) != 0) {
        return strerror(errno);
    }

    if (file.len == 0) {
        buffer_free(&file);
        return "it is empty";
    }

    end = file.data + file.len;

    for (p = file.data, n = 0; p < end; n++) {
        lf = memchr(p, '\n', end - p);
        p = lf ? lf + 1 : end;
    }

    b->count = n;
    b->list = allocate(n * sizeof(body_t));

    for (p = file.data, n = 0; p < end; n++) {
        lf = memchr(p, '\n', end - p);
        len = (lf ? lf : end) - p;

        if (len && p[len - 1] == '\r') {
            len--;
        }

        template_init(&b->list[n].text, p, len);
        p = lf ? lf + 1 : end;
    }

    buffer_free(&file);

    return NULL;
}


static int
compare(const void *one, const void *two)
{
    return strcmp(one, two);
}


static void
keep(void *node)
{
    /* the text belongs to its template */
}


/* No two bodies are equal: where chance repeats one, it gets more digits. */

static const char *
make_rows(bodies_t *b, const options_t *o)
{
    void      *tree;
    char      *text;
    buffer_t   out;
    unsigned   i, digits;
    random_t   random;

    random_seed(&random, o->seed, 1);
    memset(&out, 0, sizeof(buffer_t));
    tree = NULL;

    b->count = o->random_bodies;
    b->list = allocate(b->count * sizeof(body_t));

    for (i = 0; i < b->count; i++) {

        for (digits = 2; /* void */; digits += (digits < 9)) {
            out.len = 0;
            make_one(&out, &random, o, digits);

            if (tfind(out.data, &tree, compare) == NULL) {
                break;
            }
        }

        template_init(&b->list[i].text, out.data, out.len);
        text = b->list[i].text.text;

        if (tsearch(text, &tree, compare) == NULL) {
            return "out of memory";
        }
    }

    tdestroy(tree, keep);
    buffer_free(&out);

    return NULL;
}


static void
make_one(buffer_t *out, random_t *random, const options_t *o, unsigned digits)
{
    long      value, unit;
    unsigned  row, column;

    for (unit = 1, row = 0; row < digits; row++) {
        unit *= 10;
    }

    buffer_printf(out, "{\"instances\": [");

    for (row = 0; row < o->random_rows; row++) {
        buffer_printf(out, "%s[", row ? ", " : "");

        for (column = 0; column < o->random_dims; column++) {
            value = (long) random_below(random, 2 * unit - 1) - unit + 1;

            buffer_printf(out, "%s%s0.%0*ld", column ? ", " : "",
                          value < 0 ? "-" : "", (int) digits, labs(value));
        }

        buffer_printf(out, "]");
    }

    buffer_printf(out, "]}");
}
