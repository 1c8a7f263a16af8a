
/* The counters in Prometheus' text format, version 0.0.4. */


#include "ngx_http_mark.h"
#include "ngx_http_mark_status.h"


typedef struct {
    const char  *name;
    const char  *type;
    const char  *help;
    size_t       offset;
} ngx_http_mark_metric_t;


static u_char *ngx_http_mark_prometheus_shared(u_char *p);
static u_char *ngx_http_mark_prometheus_upstreams(u_char *p,
    ngx_http_mark_main_conf_t *mmcf);
static u_char *ngx_http_mark_prometheus_learned(u_char *p,
    ngx_http_mark_loc_conf_t **mlcfp, ngx_uint_t n,
    ngx_http_mark_counters_t *sets);
static u_char *ngx_http_mark_prometheus_rows(u_char *p,
    ngx_http_mark_loc_conf_t *mlcf, ngx_http_mark_row_histogram_t *h);
static u_char *ngx_http_mark_prometheus_seconds(u_char *p, const char *name,
    ngx_http_mark_loc_conf_t *mlcf, ngx_http_mark_sec_histogram_t *h);


static ngx_http_mark_metric_t  ngx_http_mark_metrics[] = {

    { "nginx_mark_requests_total", "counter",
      "Requests that were taken into a queue.",
      offsetof(ngx_http_mark_counters_t, requests) },

    { "nginx_mark_rows_total", "counter",
      "Rows (instances) of these requests.",
      offsetof(ngx_http_mark_counters_t, rows) },

    { "nginx_mark_failed_batches_total", "counter",
      "Batches whose answer could not be given to all members.",
      offsetof(ngx_http_mark_counters_t, failed) },

    { "nginx_mark_retries_total", "counter",
      "Members of failed batches that were tried again.",
      offsetof(ngx_http_mark_counters_t, retries) },

    { "nginx_mark_expired_total", "counter",
      "Members of failed batches whose deadline left no time for a retry.",
      offsetof(ngx_http_mark_counters_t, expired) },

    { "nginx_mark_rejected_total", "counter",
      "Requests over mark_max_queue_size, answered with 503.",
      offsetof(ngx_http_mark_counters_t, rejected) },

    { "nginx_mark_timeouts_total", "counter",
      "Requests that could not meet their deadline any more, answered with "
      "503.",
      offsetof(ngx_http_mark_counters_t, timeouts) },

    { "nginx_mark_aborted_total", "counter",
      "Requests whose client left before the answer.",
      offsetof(ngx_http_mark_counters_t, aborted) },

    { "nginx_mark_slo_met_total", "counter",
      "Requests answered within mark_slo and without a server error.",
      offsetof(ngx_http_mark_counters_t, slo_met) },

    { "nginx_mark_slo_missed_total", "counter",
      "Requests answered later than mark_slo or with a server error.",
      offsetof(ngx_http_mark_counters_t, slo_missed) },

    { "nginx_mark_body_files_total", "counter",
      "Bodies larger than client_body_buffer_size, read back from a file.",
      offsetof(ngx_http_mark_counters_t, body_files) },

    { "nginx_mark_unshared_total", "counter",
      "Requests and answers for which mark_share had no room.",
      offsetof(ngx_http_mark_counters_t, unshared) },

    { "nginx_mark_carriers_created_total", "counter",
      "Upstream requests that were made for batches of two or more.",
      offsetof(ngx_http_mark_counters_t, carriers_created) },

    { "nginx_mark_carriers_freed_total", "counter",
      "The same, ended; those of a crashed worker never are.",
      offsetof(ngx_http_mark_counters_t, carriers_freed) },

    { "nginx_mark_queued_requests", "gauge",
      "Requests that wait for a batch or for another try.",
      offsetof(ngx_http_mark_counters_t, queued) },

    { "nginx_mark_in_flight_batches", "gauge",
      "Batches, of one request or more, that the backend has not answered.",
      offsetof(ngx_http_mark_counters_t, in_flight) },

    { NULL, NULL, NULL, 0 }
};


u_char *
ngx_http_mark_prometheus(u_char *p, ngx_http_mark_main_conf_t *mmcf,
    ngx_http_mark_counters_t *sets)
{
    ngx_uint_t                  i, k, n;
    ngx_atomic_t               *value;
    ngx_http_mark_metric_t     *m;
    ngx_http_mark_loc_conf_t  **mlcfp;

    mlcfp = mmcf->locations.elts;
    n = mmcf->locations.nelts;

    for (m = ngx_http_mark_metrics; m->name; m++) {
        p = ngx_http_mark_prometheus_head(p, m->name, m->type, m->help);

        for (i = 0; i < n; i++) {
            value = (ngx_atomic_t *) ((u_char *) &sets[i] + m->offset);

            p = ngx_http_mark_prometheus_line(p, m->name, mlcfp[i], NULL,
                                              NULL);
            p = ngx_sprintf(p, "%uA\n", *value);
        }
    }

    p = ngx_http_mark_prometheus_head(p, "nginx_mark_batches_total",
                                      "counter",
                                      "Batches by the reason that they left.");

    for (i = 0; i < n; i++) {
        for (k = 1; k < MARK_POLICY_NREASONS; k++) {
            p = ngx_http_mark_prometheus_line(p, "nginx_mark_batches_total",
                                              mlcfp[i], "reason",
                                              mark_policy_reason(k));
            p = ngx_sprintf(p, "%uA\n", sets[i].batches[k]);
        }
    }

    p = ngx_http_mark_prometheus_head(p, "nginx_mark_passed_total", "counter",
                                      "Requests passed on unbatched, by "
                                      "reason.");

    for (i = 0; i < n; i++) {
        for (k = 0; k < NGX_HTTP_MARK_PASS_NREASONS; k++) {
            p = ngx_http_mark_prometheus_line(p, "nginx_mark_passed_total",
                                              mlcfp[i], "reason",
                                              ngx_http_mark_pass_reason(k));
            p = ngx_sprintf(p, "%uA\n", sets[i].passed[k]);
        }
    }

    p = ngx_http_mark_prometheus_learned(p, mlcfp, n, sets);

    p = ngx_http_mark_prometheus_head(p, "nginx_mark_batch_rows",
                                      "histogram", "Rows a batch.");

    for (i = 0; i < n; i++) {
        p = ngx_http_mark_prometheus_rows(p, mlcfp[i], &sets[i].batch_rows);
    }

    p = ngx_http_mark_prometheus_head(p, "nginx_mark_queue_seconds",
                                      "histogram",
                                      "Time that requests waited for their "
                                      "batch.");

    for (i = 0; i < n; i++) {
        p = ngx_http_mark_prometheus_seconds(p, "nginx_mark_queue_seconds",
                                             mlcfp[i], &sets[i].queue_time);
    }

    p = ngx_http_mark_prometheus_head(p, "nginx_mark_batch_seconds",
                                      "histogram",
                                      "Time that the backend took for a "
                                      "batch.");

    for (i = 0; i < n; i++) {
        p = ngx_http_mark_prometheus_seconds(p, "nginx_mark_batch_seconds",
                                             mlcfp[i], &sets[i].batch_time);
    }

    p = ngx_http_mark_prometheus_overflow(p, mmcf);
    p = ngx_http_mark_prometheus_upstreams(p, mmcf);

    return ngx_http_mark_prometheus_shared(p);
}


/* Those with mark_max_concurrent_batches. */

static u_char *
ngx_http_mark_prometheus_upstreams(u_char *p, ngx_http_mark_main_conf_t *mmcf)
{
    ngx_uint_t                 i, k;
    ngx_atomic_uint_t          value;
    ngx_http_mark_gate_t     **gatep;
    ngx_http_mark_gate_sum_t   sum;

    static const char  *metrics[][3] = {
        { "nginx_mark_upstream_in_flight_batches", "gauge",
          "Batches of all locations that the upstream has not answered." },
        { "nginx_mark_upstream_places", "gauge",
          "How many it may have: mark_max_concurrent_batches a server." },
        { "nginx_mark_upstream_blocked_total", "counter",
          "Batches that had to wait for a place." }
    };

    gatep = mmcf->gates.elts;

    for (k = 0; mmcf->gates.nelts && k < 3; k++) {
        p = ngx_http_mark_prometheus_head(p, metrics[k][0], metrics[k][1],
                                          metrics[k][2]);

        for (i = 0; i < mmcf->gates.nelts; i++) {
            ngx_http_mark_gate_sum(gatep[i], &sum);

            value = (k == 0) ? sum.in_flight
                    : (k == 1) ? gatep[i]->max * gatep[i]->peers : sum.blocked;

            p = ngx_sprintf(p, "%s{upstream=\"", metrics[k][0]);
            p = ngx_http_mark_prometheus_escape(p, &gatep[i]->name);
            p = ngx_sprintf(p, "\"} %uA\n", value);
        }
    }

    return p;
}


/* Of all locations together. */

static u_char *
ngx_http_mark_prometheus_shared(u_char *p)
{
    ngx_http_mark_usage_t  usage;

    if (ngx_http_mark_share_usage(&usage) != NGX_OK) {
        return p;
    }

    p = ngx_http_mark_prometheus_head(p, "nginx_mark_shared_queues", "gauge",
                                      "Queues that workers share.");
    p = ngx_sprintf(p, "nginx_mark_shared_queues %ui\n", usage.queues);

    p = ngx_http_mark_prometheus_head(p, "nginx_mark_shared_cells", "gauge",
                                      "Requests in the memory that workers "
                                      "share, waiting or in a batch.");
    p = ngx_sprintf(p, "nginx_mark_shared_cells %ui\n", usage.cells);

    p = ngx_http_mark_prometheus_head(p, "nginx_mark_shared_free_bytes",
                                      "gauge",
                                      "Free in that memory, in whole pages.");
    return ngx_sprintf(p, "nginx_mark_shared_free_bytes %uz\n",
                       usage.bytes_free);
}


u_char *
ngx_http_mark_prometheus_head(u_char *p, const char *name, const char *type,
    const char *help)
{
    return ngx_sprintf(p, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
                       type);
}


/* A sample but its value. */

u_char *
ngx_http_mark_prometheus_line(u_char *p, const char *name,
    ngx_http_mark_loc_conf_t *mlcf, const char *label, const char *value)
{
    p = ngx_sprintf(p, "%s{server=\"", name);
    p = ngx_http_mark_prometheus_escape(p, &mlcf->server);
    p = ngx_sprintf(p, "\",location=\"");
    p = ngx_http_mark_prometheus_escape(p, &mlcf->location);

    if (label) {
        p = ngx_sprintf(p, "\",%s=\"%s", label, value);
    }

    return ngx_sprintf(p, "\"} ");
}


u_char *
ngx_http_mark_prometheus_escape(u_char *p, ngx_str_t *text)
{
    u_char      c;
    ngx_uint_t  i;

    for (i = 0; i < text->len; i++) {
        c = text->data[i];

        if (c == '\n') {
            *p++ = '\\';
            *p++ = 'n';
            continue;
        }

        if (c == '"' || c == '\\') {
            *p++ = '\\';
        }

        *p++ = c;
    }

    return p;
}


/* Only of locations where something was learned; slo_rows with mark_slo. */

static u_char *
ngx_http_mark_prometheus_learned(u_char *p, ngx_http_mark_loc_conf_t **mlcfp,
    ngx_uint_t n, ngx_http_mark_counters_t *sets)
{
    ngx_uint_t                     i, k;
    ngx_atomic_uint_t              value;
    ngx_http_mark_learned_t       *l;
    const ngx_http_mark_metric_t  *m;

    static const ngx_http_mark_metric_t  metrics[] = {

        { "nginx_mark_learned_base_seconds", "gauge",
          "Time of a batch whatever its rows, as learned.",
          offsetof(ngx_http_mark_learned_t, base) },

        { "nginx_mark_learned_row_seconds", "gauge",
          "Time of each of its rows.",
          offsetof(ngx_http_mark_learned_t, row) },

        { "nginx_mark_learned_residual_seconds", "gauge",
          "What nearly no batch takes beyond that.",
          offsetof(ngx_http_mark_learned_t, residual) },

        { "nginx_mark_learned_concurrency", "gauge",
          "Batches that a server takes at one time.",
          offsetof(ngx_http_mark_learned_t, limit) },

        { "nginx_mark_learned_slo_rows", "gauge",
          "Rows of a batch that is served within mark_slo.",
          0 }
    };

    for (k = 0; k < sizeof(metrics) / sizeof(metrics[0]); k++) {
        m = &metrics[k];
        p = ngx_http_mark_prometheus_head(p, m->name, m->type, m->help);

        for (i = 0; i < n; i++) {
            l = &sets[i].learned;

            if (l->at == 0 || (m->offset == 0 && mlcfp[i]->slo == 0)) {
                continue;
            }

            p = ngx_http_mark_prometheus_line(p, m->name, mlcfp[i], NULL,
                                              NULL);

            value = *(ngx_atomic_t *) ((u_char *) l + m->offset);

            switch (m->offset) {

            case 0:
                p = ngx_sprintf(p, "%ui\n",
                                ngx_http_mark_learned_rows(l, mlcfp[i]->slo,
                                                       mlcfp[i]->max_rows));
                break;

            case offsetof(ngx_http_mark_learned_t, limit):
                p = ngx_sprintf(p, "%uA\n", value);
                break;

            case offsetof(ngx_http_mark_learned_t, row):
                p = ngx_sprintf(p, "%uA.%09uA\n", value / 1000000000,
                                value % 1000000000);
                break;

            default:
                p = ngx_sprintf(p, "%uA.%06uA\n", value / 1000000,
                                value % 1000000);
            }
        }
    }

    return p;
}


static u_char *
ngx_http_mark_prometheus_rows(u_char *p, ngx_http_mark_loc_conf_t *mlcf,
    ngx_http_mark_row_histogram_t *h)
{
    u_char             le[NGX_INT_T_LEN + 1];
    ngx_uint_t         i;
    ngx_atomic_uint_t  count;

    count = 0;

    for (i = 0; i < NGX_HTTP_MARK_ROW_BUCKETS; i++) {
        count += h->buckets[i];

        if (i < NGX_HTTP_MARK_ROW_BUCKETS - 1) {
            *ngx_sprintf(le, "%ui", ngx_http_mark_row_bounds[i]) = '\0';

        } else {
            (void) ngx_cpystrn(le, (u_char *) "+Inf", sizeof(le));
        }

        p = ngx_http_mark_prometheus_line(p, "nginx_mark_batch_rows_bucket",
                                          mlcf, "le", (char *) le);
        p = ngx_sprintf(p, "%uA\n", count);
    }

    p = ngx_http_mark_prometheus_line(p, "nginx_mark_batch_rows_sum", mlcf,
                                      NULL, NULL);
    p = ngx_sprintf(p, "%uA\n", h->sum);

    p = ngx_http_mark_prometheus_line(p, "nginx_mark_batch_rows_count", mlcf,
                                      NULL, NULL);
    return ngx_sprintf(p, "%uA\n", count);
}


static u_char *
ngx_http_mark_prometheus_seconds(u_char *p, const char *name,
    ngx_http_mark_loc_conf_t *mlcf, ngx_http_mark_sec_histogram_t *h)
{
    u_char             full[64];
    ngx_uint_t         i;
    const char        *le;
    ngx_atomic_uint_t  count;

    count = 0;

    *ngx_sprintf(full, "%s_bucket", name) = '\0';

    for (i = 0; i < NGX_HTTP_MARK_SEC_BUCKETS; i++) {
        count += h->buckets[i];

        le = (i < NGX_HTTP_MARK_SEC_BUCKETS - 1)
             ? ngx_http_mark_sec_bounds[i].seconds : "+Inf";

        p = ngx_http_mark_prometheus_line(p, (char *) full, mlcf, "le", le);
        p = ngx_sprintf(p, "%uA\n", count);
    }

    *ngx_sprintf(full, "%s_sum", name) = '\0';

    p = ngx_http_mark_prometheus_line(p, (char *) full, mlcf, NULL, NULL);
    p = ngx_sprintf(p, "%uA.%06uA\n", h->sum / 1000000, h->sum % 1000000);

    *ngx_sprintf(full, "%s_count", name) = '\0';

    p = ngx_http_mark_prometheus_line(p, (char *) full, mlcf, NULL, NULL);
    return ngx_sprintf(p, "%uA\n", count);
}
