
/* ORCA load reports in TEXT: see mark_orca.h. */


#include <string.h>

#include "mark_orca_reader.h"


typedef struct {
    unsigned             n;
    mark_span_t          names[MARK_ORCA_MAX_METRICS];
} mark_orca_names_t;


static int mark_orca_pair(mark_orca_reader_t *r, mark_orca_names_t *names,
    const uint8_t *p, const uint8_t *last);
static int mark_orca_name(mark_orca_names_t *names, const mark_span_t *name);


int
mark_orca_text(mark_orca_reader_t *r, const uint8_t *p, const uint8_t *last)
{
    const uint8_t      *end;
    mark_orca_names_t   names;

    names.n = 0;

    for ( /* void */ ; p < last; p = end + 1) {
        end = memchr(p, ',', last - p);

        if (end == NULL) {
            end = last;
        }

        if (mark_orca_pair(r, &names, p, end) != 0) {
            return -1;
        }

        if (end == last) {
            break;
        }
    }

    return 0;
}


/*
 * The last of the two separators counts: no number has one, but names may,
 * as those of Prometheus do ("vllm:num_requests_waiting").
 */

static int
mark_orca_pair(mark_orca_reader_t *r, mark_orca_names_t *names,
    const uint8_t *p, const uint8_t *last)
{
    size_t          i, len;
    double          value;
    mark_span_t     pair, name, number;
    const uint8_t  *separator;

    pair = mark_orca_trim(p, last);

    if (pair.len == 0) {
        return 0;
    }

    last = pair.data + pair.len;

    for (separator = last; separator > pair.data; separator--) {
        if (separator[-1] == '=' || separator[-1] == ':') {
            break;
        }
    }

    if (separator == pair.data) {
        return -1;
    }

    name = mark_orca_trim(pair.data, separator - 1);
    number = mark_orca_trim(separator, last);

    if (mark_orca_name(names, &name) != 0
        || mark_orca_number(&number, &value) != 0)
    {
        return -1;
    }

    for (i = 0; i < MARK_ORCA_FIELDS; i++) {
        len = strlen(mark_orca_fields[i].name);

        if (name.len == len
            && memcmp(name.data, mark_orca_fields[i].name, len) == 0)
        {
            return mark_orca_set(r, &mark_orca_fields[i], NULL, value,
                       mark_orca_wanted(r, mark_orca_fields[i].name, len));
        }
    }

    for (i = 0; i < MARK_ORCA_MAPS; i++) {
        len = strlen(mark_orca_maps[i].name);

        if (name.len > len && name.data[len] == '.'
            && memcmp(name.data, mark_orca_maps[i].name, len) == 0)
        {
            if (name.len == len + 1) {
                return -1;
            }

            return mark_orca_set(r, NULL, &mark_orca_maps[i], value,
                       mark_orca_wanted(r, (const char *) name.data,
                                        name.len));
        }
    }

    return 0;
}


/*
 * A name of visible characters that was not there before.  One with another
 * separator in it is two metrics with something else than a comma between.
 */

static int
mark_orca_name(mark_orca_names_t *names, const mark_span_t *name)
{
    size_t  i;

    for (i = 0; i < name->len; i++) {
        if (name->data[i] <= ' ' || name->data[i] > '~'
            || strchr("=;\"", name->data[i]))
        {
            return -1;
        }
    }

    for (i = 0; i < names->n; i++) {
        if (names->names[i].len == name->len
            && memcmp(names->names[i].data, name->data, name->len) == 0)
        {
            return -1;
        }
    }

    if (name->len == 0 || names->n == MARK_ORCA_MAX_METRICS) {
        return -1;
    }

    names->names[names->n++] = *name;

    return 0;
}
