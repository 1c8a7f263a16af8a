
/*
 * Overflows in mark_status and in its Prometheus form.  What changes together
 * is copied under the lock, and what is written is the copy.
 */


#include "ngx_http_mark.h"
#include "ngx_http_mark_overflow.h"
#include "ngx_http_mark_status.h"


typedef enum {
    NGX_HTTP_MARK_OVERFLOW_ARMED = 0,
    NGX_HTTP_MARK_OVERFLOW_REQUESTS,
    NGX_HTTP_MARK_OVERFLOW_KEPT,
    NGX_HTTP_MARK_OVERFLOW_BATCHES,
    NGX_HTTP_MARK_OVERFLOW_FAILED,
    NGX_HTTP_MARK_OVERFLOW_COST,
    NGX_HTTP_MARK_OVERFLOW_IN_FLIGHT
} ngx_http_mark_overflow_metric_e;


typedef struct {
    ngx_http_mark_overflow_state_t  state;
    uint64_t                        spent;   /* in the last hour */
    ngx_uint_t                      armed;
} ngx_http_mark_overflow_view_t;


typedef struct {
    const char  *name;
    const char  *type;
    const char  *help;
} ngx_http_mark_overflow_metric_t;


static void ngx_http_mark_overflow_view(ngx_http_mark_main_conf_t *mmcf,
    ngx_http_mark_loc_conf_t *mlcf, ngx_http_mark_overflow_view_t *view);
static u_char *ngx_http_mark_prometheus_overflow_one(u_char *p,
    const ngx_http_mark_overflow_metric_t *m, ngx_uint_t metric,
    ngx_http_mark_loc_conf_t *mlcf, ngx_http_mark_overflow_view_t *view);


static void
ngx_http_mark_overflow_view(ngx_http_mark_main_conf_t *mmcf,
    ngx_http_mark_loc_conf_t *mlcf, ngx_http_mark_overflow_view_t *view)
{
    uint64_t                         now;
    ngx_slab_pool_t                 *shpool;
    mark_budget_limits_t             limits;
    ngx_http_mark_overflow_state_t  *o;

    now = ngx_http_mark_now();
    o = mlcf->overflow_state;
    shpool = (ngx_slab_pool_t *) mmcf->zone->shm.addr;

    ngx_shmtx_lock(mmcf->mutex);

    /* no gauge counts what a dead worker had */

    ngx_http_mark_overflow_bury(o, shpool->data, now);

    view->state = *o;
    view->armed = ngx_http_mark_overflow_limits(mlcf, &limits);

    ngx_shmtx_unlock(mmcf->mutex);

    view->spent = mark_budget_spent(&view->state.budget, now);
}


/* null: there is no mark_overflow. */

u_char *
ngx_http_mark_status_overflow(u_char *p, ngx_http_mark_main_conf_t *mmcf,
    ngx_http_mark_loc_conf_t *mlcf)
{
    ngx_uint_t                       i;
    mark_latency_t                  *l;
    ngx_http_mark_overflow_view_t    view;
    ngx_http_mark_overflow_state_t  *o;

    if (mlcf->overflow == NULL) {
        return ngx_sprintf(p, "   \"overflow\": null,\n");
    }

    ngx_http_mark_overflow_view(mmcf, mlcf, &view);

    o = &view.state;
    l = &o->latency;

    p = ngx_sprintf(p, "   \"overflow\": {\"armed\": %s, \"requests\": {",
                    view.armed ? "true" : "false");

    for (i = 0; i < NGX_HTTP_MARK_OVERFLOW_NREASONS; i++) {
        p = ngx_sprintf(p, "%s\"%s\": %uA", i ? ", " : "",
                        ngx_http_mark_overflow_reason(i), o->requests[i]);
    }

    p = ngx_sprintf(p, "}, \"batches\": %uA, \"failed\": %uA,\n"
                       "    \"kept\": {",
                    o->batches, o->failed);

    for (i = 0; i < NGX_HTTP_MARK_KEPT_NREASONS; i++) {
        p = ngx_sprintf(p, "%s\"%s\": %uA", i ? ", " : "",
                        ngx_http_mark_kept_reason(i), o->kept[i]);
    }

    p = ngx_sprintf(p, "},\n"
                       "    \"in_flight\": %uL, \"spent\": %uL.%09uL, "
                       "\"spent_last_hour\": %uL.%09uL,\n"
                       "    \"learned\": ",
                    o->budget.in_flight,
                    o->spent / 1000000000, o->spent % 1000000000,
                    view.spent / 1000000000, view.spent % 1000000000);

    if (!mark_latency_known(l)) {
        return ngx_sprintf(p, "null},\n");
    }

    return ngx_sprintf(p, "{\"base_seconds\": %.6f, "
                          "\"row_seconds\": %.9f, "
                          "\"residual_seconds\": %.6f}},\n",
                       l->a / 1e6, l->b / 1e6, l->residual / 1e6);
}


/* Only of locations with mark_overflow. */

u_char *
ngx_http_mark_prometheus_overflow(u_char *p, ngx_http_mark_main_conf_t *mmcf)
{
    ngx_uint_t                               i, k, n;
    ngx_http_mark_loc_conf_t               **mlcfp;
    ngx_http_mark_overflow_view_t            view;
    const ngx_http_mark_overflow_metric_t   *m;

    /* in the order of ngx_http_mark_overflow_metric_e */

    static const ngx_http_mark_overflow_metric_t  metrics[] = {

        { "nginx_mark_overflow_armed", "gauge",
          "1: requests may overflow; 0: the directive or the plan forbids." },

        { "nginx_mark_overflow_requests_total", "counter",
          "Requests that were carried to the location of mark_overflow, by "
          "reason." },

        { "nginx_mark_overflow_kept_total", "counter",
          "Requests that should have overflowed and could not, by the first "
          "reason." },

        { "nginx_mark_overflow_batches_total", "counter",
          "Batches of these." },

        { "nginx_mark_overflow_failed_total", "counter",
          "Those of them that had no answer that could be given out." },

        { "nginx_mark_overflow_cost_dollars_total", "counter",
          "What they cost, as reported or as request_cost has it." },

        { "nginx_mark_overflow_in_flight", "gauge",
          "Batches that have not been answered there." }
    };

    mlcfp = mmcf->locations.elts;
    n = mmcf->locations.nelts;

    for (i = 0; i < n && mlcfp[i]->overflow == NULL; i++) { /* void */ }

    if (i == n) {
        return p;
    }

    for (k = 0; k < sizeof(metrics) / sizeof(metrics[0]); k++) {
        m = &metrics[k];
        p = ngx_http_mark_prometheus_head(p, m->name, m->type, m->help);

        for (i = 0; i < n; i++) {
            if (mlcfp[i]->overflow) {
                ngx_http_mark_overflow_view(mmcf, mlcfp[i], &view);
                p = ngx_http_mark_prometheus_overflow_one(p, m, k, mlcfp[i],
                                                          &view);
            }
        }
    }

    return p;
}


/* A metric of one location. */

static u_char *
ngx_http_mark_prometheus_overflow_one(u_char *p,
    const ngx_http_mark_overflow_metric_t *m, ngx_uint_t metric,
    ngx_http_mark_loc_conf_t *mlcf, ngx_http_mark_overflow_view_t *view)
{
    uint64_t                         value;
    ngx_uint_t                       i;
    ngx_http_mark_overflow_state_t  *o;

    o = &view->state;

    switch (metric) {

    case NGX_HTTP_MARK_OVERFLOW_ARMED:
        value = view->armed;
        break;

    case NGX_HTTP_MARK_OVERFLOW_REQUESTS:
        for (i = 0; i < NGX_HTTP_MARK_OVERFLOW_NREASONS; i++) {
            p = ngx_http_mark_prometheus_line(p, m->name, mlcf, "reason",
                                            ngx_http_mark_overflow_reason(i));
            p = ngx_sprintf(p, "%uA\n", o->requests[i]);
        }

        return p;

    case NGX_HTTP_MARK_OVERFLOW_KEPT:
        for (i = 0; i < NGX_HTTP_MARK_KEPT_NREASONS; i++) {
            p = ngx_http_mark_prometheus_line(p, m->name, mlcf, "reason",
                                              ngx_http_mark_kept_reason(i));
            p = ngx_sprintf(p, "%uA\n", o->kept[i]);
        }

        return p;

    case NGX_HTTP_MARK_OVERFLOW_BATCHES:
        value = o->batches;
        break;

    case NGX_HTTP_MARK_OVERFLOW_FAILED:
        value = o->failed;
        break;

    case NGX_HTTP_MARK_OVERFLOW_COST:
        p = ngx_http_mark_prometheus_line(p, m->name, mlcf, NULL, NULL);
        return ngx_sprintf(p, "%uL.%09uL\n", o->spent / 1000000000,
                           o->spent % 1000000000);

    default: /* NGX_HTTP_MARK_OVERFLOW_IN_FLIGHT */
        value = o->budget.in_flight;
    }

    p = ngx_http_mark_prometheus_line(p, m->name, mlcf, NULL, NULL);
    return ngx_sprintf(p, "%uL\n", value);
}
