/*
 * What the models have done, as Prometheus reads it.
 */


#include <stdio.h>
#include <stdlib.h>

#include "metrics.h"
#include "model.h"


typedef enum {
    METRICS_REQUESTS = 0,
    METRICS_ROWS,
    METRICS_BUSY,
    METRICS_PENDING,
    METRICS_KINDS
} metrics_kind_e;


static const struct {
    const char  *name;
    const char  *type;
} metrics_kinds[METRICS_KINDS] = {
    { "mark_server_requests_total", "counter" },
    { "mark_server_rows_total", "counter" },
    { "mark_server_busy_seconds_total", "counter" },
    { "mark_server_pending_requests", "gauge" }
};


static double metrics_value(const executor_stats_t *s, metrics_kind_e kind);


char *
metrics_text(void)
{
    char              *text;
    FILE              *f;
    size_t             len;
    model_t           *m;
    unsigned           i;
    executor_stats_t   stats;

    text = NULL;
    f = open_memstream(&text, &len);

    if (f == NULL) {
        return NULL;
    }

    for (i = 0; i < METRICS_KINDS; i++) {
        fprintf(f, "# TYPE %s %s\n", metrics_kinds[i].name,
                metrics_kinds[i].type);

        for (m = model_list(); m; m = m->next) {
            if (m->executor) {
                executor_stats(m->executor, &stats);
                fprintf(f, "%s{model=\"%s\"} %.15g\n",
                        metrics_kinds[i].name, m->name,
                        metrics_value(&stats, i));
            }
        }
    }

    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }

    return text;
}


static double
metrics_value(const executor_stats_t *s, metrics_kind_e kind)
{
    switch (kind) {

    case METRICS_REQUESTS:
        return s->jobs;

    case METRICS_ROWS:
        return s->rows;

    case METRICS_BUSY:
        return s->busy / 1e9;

    default: /* METRICS_PENDING */
        return s->pending;
    }
}
