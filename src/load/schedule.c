/* When the requests of an open loop are meant to leave. */

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "schedule.h"


static const char *read_trace(schedule_t *s, const options_t *o);


const char *
schedule_init(schedule_t *s, const options_t *o, uint64_t limit)
{
    memset(s, 0, sizeof(schedule_t));

    s->rate = o->rate;
    s->uniform = o->uniform;
    s->end = o->duration;
    s->limit = limit;

    random_seed(&s->random, o->seed, 2);

    return o->trace ? read_trace(s, o) : NULL;
}


static const char *
read_trace(schedule_t *s, const options_t *o)
{
    char         *p, *end;
    double        last;
    size_t        size;
    buffer_t      file;
    static char   error[80];

    memset(&file, 0, sizeof(buffer_t));

    if (buffer_read_file(&file, o->trace) != 0) {
        return strerror(errno);
    }

    size = 0;
    last = 0;
    p = file.data;

    for ( ;; ) {
        p += strspn(p, " \t\r\n");

        if (*p == '\0') {
            break;
        }

        if (s->trace_len == size) {
            size = size ? 2 * size : 1024;
            s->trace = realloc(s->trace, size * sizeof(double));

            if (s->trace == NULL) {
                return "out of memory";
            }
        }

        s->trace[s->trace_len] = strtod(p, &end) * o->trace_scale;

        if (end == p || (*end != '\0' && !strchr(" \t\r\n", *end))
            || !(s->trace[s->trace_len] >= last)
            || !isfinite(s->trace[s->trace_len]))
        {
            snprintf(error, sizeof(error), "arrival %llu is no number of"
                     " seconds, or earlier than the one before it",
                     (unsigned long long) s->trace_len + 1);
            buffer_free(&file);
            return error;
        }

        last = s->trace[s->trace_len++];
        p = end;
    }

    buffer_free(&file);

    return s->trace_len ? NULL : "it has no arrivals";
}


int
schedule_next(schedule_t *s, double *seconds)
{
    if (s->limit && s->made == s->limit) {
        return 0;
    }

    if (s->rate == 0) {
        if (s->made == s->trace_len) {
            return 0;
        }

        s->at = s->trace[s->made];

    } else if (s->uniform) {
        s->at = (double) s->made / s->rate;

    } else {
        s->at += -log(1 - random_unit(&s->random)) / s->rate;
    }

    if (s->end > 0 && s->at >= s->end) {
        return 0;
    }

    s->made++;
    *seconds = s->at;

    return 1;
}
