
/* The pools in Prometheus' text format. */


#include "ngx_http_mark.h"
#include "ngx_http_mark_status.h"


typedef enum {
    NGX_HTTP_MARK_POOL_UP = 0,
    NGX_HTTP_MARK_POOL_EJECTED,
    NGX_HTTP_MARK_POOL_SHARE,
    NGX_HTTP_MARK_POOL_IN_FLIGHT,
    NGX_HTTP_MARK_POOL_REQUESTS,
    NGX_HTTP_MARK_POOL_ROWS,
    NGX_HTTP_MARK_POOL_FAILURES,
    NGX_HTTP_MARK_POOL_EJECTIONS,
    NGX_HTTP_MARK_POOL_EXPLORED,
    NGX_HTTP_MARK_POOL_BUSY,
    NGX_HTTP_MARK_POOL_COST
} ngx_http_mark_pool_metric_e;


typedef struct {
    const char  *name;
    const char  *type;
    const char  *help;
} ngx_http_mark_pool_metric_t;


static u_char *ngx_http_mark_prometheus_states(u_char *p, ngx_array_t *views);
static u_char *ngx_http_mark_prometheus_slot(u_char *p, ngx_uint_t metric,
    ngx_http_mark_pool_view_t *view, ngx_http_mark_slot_t *slot);
static ngx_uint_t ngx_http_mark_prometheus_up(ngx_http_mark_pool_view_t *view,
    ngx_http_mark_slot_t *slot);
static u_char *ngx_http_mark_prometheus_plans(u_char *p, ngx_array_t *views);
static u_char *ngx_http_mark_prometheus_pool(u_char *p, const char *name,
    ngx_http_mark_pool_view_t *view, const char *result);
static u_char *ngx_http_mark_prometheus_server(u_char *p, const char *name,
    ngx_http_mark_pool_view_t *view, ngx_http_mark_slot_t *slot);


/* In the order of ngx_http_mark_pool_metric_e. */

static const ngx_http_mark_pool_metric_t  ngx_http_mark_pool_metrics[] = {

    { "nginx_mark_pool_server_up", "gauge",
      "1: requests may go there; 0: it is warming, draining, down or "
      "ejected." },

    { "nginx_mark_pool_server_ejected", "gauge",
      "1: its requests failed or hung, and none of those tried since went "
      "well." },

    { "nginx_mark_pool_server_share_ratio", "gauge",
      "What it gets of what its latency is good for: less than 1 in slow "
      "start, and while its load reports say that it is full." },

    { "nginx_mark_pool_server_in_flight", "gauge",
      "Batches and single requests that it has not answered." },

    { "nginx_mark_pool_server_requests_total", "counter",
      "Batches and single requests that were sent there." },

    { "nginx_mark_pool_server_rows_total", "counter",
      "Rows (instances) of these; a single request outside of mark_batch is "
      "one." },

    { "nginx_mark_pool_server_failures_total", "counter",
      "Answers of 5xx, and requests that had none." },

    { "nginx_mark_pool_server_ejections_total", "counter",
      "How often it was ejected, or ejected again." },

    { "nginx_mark_pool_server_explored_total", "counter",
      "Requests sent there to see whether it is as slow as it was." },

    { "nginx_mark_pool_server_busy_seconds_total", "counter",
      "Time of all its requests; its rate is how many it has at one time." },

    { "nginx_mark_pool_server_cost_total", "counter",
      "Price (an hour) of the time that requests had it for, in the price's "
      "own unit; not what it costs while it idles." },

    { NULL, NULL, NULL }
};


size_t
ngx_http_mark_prometheus_pools_size(ngx_array_t *views)
{
    size_t                      size;
    ngx_uint_t                  i, k;
    ngx_http_mark_slot_t       *slot;
    ngx_http_mark_pool_view_t  *view;

    size = 0;
    view = views->elts;

    for (i = 0; i < views->nelts; i++) {
        size += NGX_HTTP_MARK_STATUS_LINES
                * (128 + 2 * view[i].pool->name.len);

        for (k = 0; k < view[i].nslots; k++) {
            slot = &view[i].slots[k];

            size += NGX_HTTP_MARK_STATUS_SLOT_LINES
                    * (128 + 2 * (view[i].pool->name.len
                                  + ngx_strlen(slot->addr)
                                  + ngx_strlen(slot->class)));
        }
    }

    return size;
}


u_char *
ngx_http_mark_prometheus_pools(u_char *p, ngx_array_t *views)
{
    ngx_uint_t                          i, k, n;
    ngx_http_mark_pool_view_t          *view;
    const ngx_http_mark_pool_metric_t  *m;

    if (views->nelts == 0) {
        return p;
    }

    view = views->elts;

    p = ngx_http_mark_prometheus_states(p, views);

    for (n = 0; ngx_http_mark_pool_metrics[n].name; n++) {
        m = &ngx_http_mark_pool_metrics[n];
        p = ngx_http_mark_prometheus_head(p, m->name, m->type, m->help);

        for (i = 0; i < views->nelts; i++) {
            for (k = 0; k < view[i].nslots; k++) {
                p = ngx_http_mark_prometheus_server(p, m->name, &view[i],
                                                    &view[i].slots[k]);
                p = ngx_sprintf(p, "} ");
                p = ngx_http_mark_prometheus_slot(p, n, &view[i],
                                                  &view[i].slots[k]);
            }
        }
    }

    p = ngx_http_mark_prometheus_head(p, "nginx_mark_pool_retries_total",
                                      "counter",
                                      "Requests that one server failed and "
                                      "another one was tried for, and those "
                                      "that retries= left without.");

    for (i = 0; i < views->nelts; i++) {
        p = ngx_http_mark_prometheus_pool(p, "nginx_mark_pool_retries_total",
                                          &view[i], "made");
        p = ngx_sprintf(p, "%uA\n", view[i].node.retried);
        p = ngx_http_mark_prometheus_pool(p, "nginx_mark_pool_retries_total",
                                          &view[i], "refused");
        p = ngx_sprintf(p, "%uA\n", view[i].node.retry_refused);
    }

    p = ngx_http_mark_prometheus_head(p, "nginx_mark_pool_no_peer_total",
                                      "counter",
                                      "How often no server could be chosen.");

    for (i = 0; i < views->nelts; i++) {
        p = ngx_http_mark_prometheus_pool(p, "nginx_mark_pool_no_peer_total",
                                          &view[i], NULL);
        p = ngx_sprintf(p, "%uA\n", view[i].node.no_peer);
    }

    p = ngx_http_mark_prometheus_head(p, "nginx_mark_pool_hedges_total",
                                      "counter",
                                      "Requests sent a second time before "
                                      "the first was answered.");

    for (i = 0; i < views->nelts; i++) {
        p = ngx_http_mark_prometheus_pool(p, "nginx_mark_pool_hedges_total",
                                          &view[i], NULL);
        p = ngx_sprintf(p, "%uA\n", view[i].node.hedged);
    }

    return ngx_http_mark_prometheus_plans(p, views);
}


/* One sample of each state, 1 of that which holds. */

static u_char *
ngx_http_mark_prometheus_states(u_char *p, ngx_array_t *views)
{
    ngx_uint_t                  i, k, state;
    ngx_http_mark_slot_t       *slot;
    ngx_http_mark_pool_view_t  *view;

    view = views->elts;

    p = ngx_http_mark_prometheus_head(p, "nginx_mark_pool_server_state",
                                      "gauge",
                                      "1 for the state that the server is in, "
                                      "0 for the others.");

    for (i = 0; i < views->nelts; i++) {
        for (k = 0; k < view[i].nslots; k++) {
            slot = &view[i].slots[k];

            for (state = NGX_HTTP_MARK_SLOT_WARMING;
                 state <= NGX_HTTP_MARK_SLOT_DRAINING;
                 state++)
            {
                p = ngx_http_mark_prometheus_server(p,
                                            "nginx_mark_pool_server_state",
                                            &view[i], slot);
                p = ngx_sprintf(p, ",state=\"%s\"} %d\n",
                                ngx_http_mark_slot_state(state),
                                slot->state == state);
            }
        }
    }

    return p;
}


/* The value of one of ngx_http_mark_pool_metrics. */

static u_char *
ngx_http_mark_prometheus_slot(u_char *p, ngx_uint_t metric,
    ngx_http_mark_pool_view_t *view, ngx_http_mark_slot_t *slot)
{
    ngx_uint_t  value;

    switch (metric) {

    case NGX_HTTP_MARK_POOL_SHARE:
        return ngx_sprintf(p, "%.3f\n", ngx_http_mark_slot_share(view, slot));

    case NGX_HTTP_MARK_POOL_BUSY:
        return ngx_sprintf(p, "%uL.%06uL\n", slot->busy / 1000000,
                           slot->busy % 1000000);

    case NGX_HTTP_MARK_POOL_COST:
        return ngx_sprintf(p, "%.9f\n", ngx_min(slot->cost,
                                                NGX_HTTP_MARK_STATUS_MAX));

    case NGX_HTTP_MARK_POOL_UP:
        value = ngx_http_mark_prometheus_up(view, slot);
        break;

    case NGX_HTTP_MARK_POOL_EJECTED:
        value = (mark_outlier_status(&slot->outlier, view->now)
                 != MARK_OUTLIER_HEALTHY);
        break;

    case NGX_HTTP_MARK_POOL_IN_FLIGHT:
        value = slot->in_flight;
        break;

    case NGX_HTTP_MARK_POOL_REQUESTS:
        value = slot->requests;
        break;

    case NGX_HTTP_MARK_POOL_ROWS:
        value = slot->rows;
        break;

    case NGX_HTTP_MARK_POOL_FAILURES:
        value = slot->failures;
        break;

    case NGX_HTTP_MARK_POOL_EJECTIONS:
        value = slot->ejections;
        break;

    default: /* NGX_HTTP_MARK_POOL_EXPLORED */
        value = slot->explored;
    }

    return ngx_sprintf(p, "%ui\n", value);
}


static ngx_uint_t
ngx_http_mark_prometheus_up(ngx_http_mark_pool_view_t *view,
    ngx_http_mark_slot_t *slot)
{
    if (slot->down
        || slot->health == NGX_HTTP_MARK_HEALTH_DOWN
        || slot->state == NGX_HTTP_MARK_SLOT_DRAINING
        || (slot->state == NGX_HTTP_MARK_SLOT_WARMING
            && slot->health != NGX_HTTP_MARK_HEALTH_UP))
    {
        return 0;
    }

    return mark_outlier_status(&slot->outlier, view->now)
           == MARK_OUTLIER_HEALTHY;
}


/* Only of pools that have a plan, but for the count of plans. */

static u_char *
ngx_http_mark_prometheus_plans(u_char *p, ngx_array_t *views)
{
    double                              value;
    ngx_uint_t                          i, n;
    ngx_http_mark_pool_view_t          *view;
    ngx_http_mark_plan_state_t         *plan;
    const ngx_http_mark_pool_metric_t  *m;

    static const ngx_http_mark_pool_metric_t  metrics[] = {

        { "nginx_mark_pool_plan_version", "gauge",
          "Of the plan in force." },

        { "nginx_mark_pool_plan_applied_timestamp_seconds", "gauge",
          "Since when it is; unix time." },

        { "nginx_mark_pool_plan_expires_timestamp_seconds", "gauge",
          "When it expires; unix time." }
    };

    view = views->elts;

    for (n = 0; n < 3; n++) {
        m = &metrics[n];
        p = ngx_http_mark_prometheus_head(p, m->name, m->type, m->help);

        for (i = 0; i < views->nelts; i++) {
            plan = &view[i].node.plan;

            if (plan->stamp.version == 0) {
                continue;
            }

            p = ngx_http_mark_prometheus_pool(p, m->name, &view[i], NULL);

            if (n == 0) {
                p = ngx_sprintf(p, "%uL\n", plan->stamp.version);
                continue;
            }

            value = (n == 1) ? ngx_http_mark_plan_applied(&view[i])
                             : plan->expires;

            p = ngx_sprintf(p, "%.3f\n", ngx_min(value,
                                                 NGX_HTTP_MARK_STATUS_MAX));
        }
    }

    p = ngx_http_mark_prometheus_head(p, "nginx_mark_pool_plans_total",
                                      "counter",
                                      "Plans that were applied, and those "
                                      "that were not.");

    for (i = 0; i < views->nelts; i++) {
        plan = &view[i].node.plan;

        p = ngx_http_mark_prometheus_pool(p, "nginx_mark_pool_plans_total",
                                          &view[i], "accepted");
        p = ngx_sprintf(p, "%uA\n", plan->accepted);
        p = ngx_http_mark_prometheus_pool(p, "nginx_mark_pool_plans_total",
                                          &view[i], "refused");
        p = ngx_sprintf(p, "%uA\n", plan->refused);
    }

    return p;
}


static u_char *
ngx_http_mark_prometheus_pool(u_char *p, const char *name,
    ngx_http_mark_pool_view_t *view, const char *result)
{
    p = ngx_sprintf(p, "%s{upstream=\"", name);
    p = ngx_http_mark_prometheus_escape(p, &view->pool->name);

    if (result) {
        p = ngx_sprintf(p, "\",result=\"%s", result);
    }

    return ngx_sprintf(p, "\"} ");
}


/* More labels may follow. */

static u_char *
ngx_http_mark_prometheus_server(u_char *p, const char *name,
    ngx_http_mark_pool_view_t *view, ngx_http_mark_slot_t *slot)
{
    ngx_str_t  text;

    p = ngx_sprintf(p, "%s{upstream=\"", name);
    p = ngx_http_mark_prometheus_escape(p, &view->pool->name);

    text.data = slot->addr;
    text.len = ngx_strlen(slot->addr);

    p = ngx_sprintf(p, "\",server=\"");
    p = ngx_http_mark_prometheus_escape(p, &text);

    text.data = slot->class;
    text.len = ngx_strlen(slot->class);

    p = ngx_sprintf(p, "\",class=\"");
    p = ngx_http_mark_prometheus_escape(p, &text);

    return ngx_sprintf(p, "\"");
}
