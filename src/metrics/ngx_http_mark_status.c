
/*
 * mark_status: what the counters say, as JSON or as Prometheus text (which
 * ngx_http_mark_prometheus.c writes).
 */


#include "ngx_http_mark.h"
#include "ngx_http_mark_status.h"


static ngx_int_t ngx_http_mark_status_handler(ngx_http_request_t *r);
static u_char *ngx_http_mark_status_json(u_char *p,
    ngx_http_mark_main_conf_t *mmcf, ngx_http_mark_counters_t *sets,
    ngx_array_t *pools);
static u_char *ngx_http_mark_status_upstream(u_char *p,
    ngx_http_mark_gate_t *gate);
static u_char *ngx_http_mark_status_location(u_char *p,
    ngx_http_mark_main_conf_t *mmcf, ngx_http_mark_loc_conf_t *mlcf,
    ngx_http_mark_counters_t *s);
static u_char *ngx_http_mark_status_learned(u_char *p,
    ngx_http_mark_loc_conf_t *mlcf, ngx_http_mark_learned_t *l);
static u_char *ngx_http_mark_status_rows(u_char *p,
    ngx_http_mark_row_histogram_t *h);
static u_char *ngx_http_mark_status_seconds(u_char *p, const char *name,
    ngx_http_mark_sec_histogram_t *h);


char *
ngx_http_mark_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_mark_loc_conf_t *mlcf = conf;

    ngx_str_t                 *value;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler) {
        return clcf->handler == ngx_http_mark_status_handler
               ? "is duplicate" : "conflicts with another content handler";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 1 || ngx_strcmp(value[1].data, "json") == 0) {
        mlcf->prometheus = 0;

    } else if (ngx_strcmp(value[1].data, "prometheus") == 0) {
        mlcf->prometheus = 1;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"mark_status\", "
                           "it is \"json\" or \"prometheus\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    clcf->handler = ngx_http_mark_status_handler;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_mark_status_handler(ngx_http_request_t *r)
{
    size_t                      size;
    ngx_int_t                   rc;
    ngx_buf_t                  *b;
    ngx_uint_t                  i;
    ngx_array_t                *pools;
    ngx_chain_t                 out;
    ngx_http_mark_counters_t   *sets;
    ngx_http_mark_gate_t      **gatep;
    ngx_http_mark_loc_conf_t   *mlcf, **mlcfp;
    ngx_http_mark_main_conf_t  *mmcf;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_mark_module);
    mmcf = ngx_http_get_module_main_conf(r, ngx_http_mark_module);
    mlcfp = mmcf->locations.elts;

    size = NGX_HTTP_MARK_STATUS_FIXED;

    for (i = 0; i < mmcf->locations.nelts; i++) {
        size += NGX_HTTP_MARK_STATUS_LOCATION
                + NGX_HTTP_MARK_STATUS_LINES
                  * 6 * (mlcfp[i]->server.len + mlcfp[i]->location.len);
    }

    gatep = mmcf->gates.elts;

    for (i = 0; i < mmcf->gates.nelts; i++) {
        size += NGX_HTTP_MARK_STATUS_UPSTREAM + 3 * 6 * gatep[i]->name.len;
    }

    pools = ngx_http_mark_pool_views(r->pool, mmcf);

    if (pools == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    size += mlcf->prometheus ? ngx_http_mark_prometheus_pools_size(pools)
                             : ngx_http_mark_status_pools_size(pools);

    sets = ngx_palloc(r->pool, (mmcf->locations.nelts + 1)
                               * sizeof(ngx_http_mark_counters_t));
    b = ngx_create_temp_buf(r->pool, size);

    if (sets == NULL || b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    for (i = 0; i < mmcf->locations.nelts; i++) {
        ngx_http_mark_counters_sum(mmcf, i, &sets[i]);
    }

    if (mlcf->prometheus) {
        ngx_str_set(&r->headers_out.content_type,
                    "text/plain; version=0.0.4");
        b->last = ngx_http_mark_prometheus(b->last, mmcf, sets);
        b->last = ngx_http_mark_prometheus_pools(b->last, pools);

    } else {
        ngx_str_set(&r->headers_out.content_type, "application/json");
        b->last = ngx_http_mark_status_json(b->last, mmcf, sets, pools);
    }

    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static u_char *
ngx_http_mark_status_json(u_char *p, ngx_http_mark_main_conf_t *mmcf,
    ngx_http_mark_counters_t *sets, ngx_array_t *pools)
{
    ngx_uint_t                  i;
    ngx_atomic_uint_t           created, freed, queued, in_flight;
    ngx_http_mark_gate_t      **gatep;
    ngx_http_mark_usage_t       usage;
    ngx_http_mark_loc_conf_t  **mlcfp;

    mlcfp = mmcf->locations.elts;

    created = 0;
    freed = 0;
    queued = 0;
    in_flight = 0;

    for (i = 0; i < mmcf->locations.nelts; i++) {
        created += sets[i].carriers_created;
        freed += sets[i].carriers_freed;
        queued += sets[i].queued;
        in_flight += sets[i].in_flight;
    }

    p = ngx_sprintf(p, "{\"version\": \"" NGX_HTTP_MARK_VERSION "\",\n"
                       " \"carriers\": {\"created\": %uA, \"freed\": %uA},\n"
                       " \"queued\": %uA, \"in_flight\": %uA,\n"
                       " \"shared\": ",
                    created, freed, queued, in_flight);

    if (ngx_http_mark_share_usage(&usage) == NGX_OK) {
        p = ngx_sprintf(p, "{\"queues\": %ui, \"cells\": %ui, "
                           "\"bytes_free\": %uz}",
                        usage.queues, usage.cells, usage.bytes_free);

    } else {
        p = ngx_sprintf(p, "null");
    }

    p = ngx_sprintf(p, ",\n \"locations\": [");

    for (i = 0; i < mmcf->locations.nelts; i++) {
        p = ngx_sprintf(p, "%s\n", i ? "," : "");
        p = ngx_http_mark_status_location(p, mmcf, mlcfp[i], &sets[i]);
    }

    gatep = mmcf->gates.elts;

    p = ngx_sprintf(p, "\n ],\n \"upstreams\": [");

    for (i = 0; i < mmcf->gates.nelts; i++) {
        p = ngx_sprintf(p, "%s\n", i ? "," : "");
        p = ngx_http_mark_status_upstream(p, gatep[i]);
    }

    p = ngx_sprintf(p, "\n ],\n");
    p = ngx_http_mark_status_pools(p, pools);

    return ngx_sprintf(p, "}\n");
}


static u_char *
ngx_http_mark_status_upstream(u_char *p, ngx_http_mark_gate_t *gate)
{
    ngx_http_mark_gate_sum_t  sum;

    ngx_http_mark_gate_sum(gate, &sum);

    p = ngx_sprintf(p, "  {\"upstream\": \"");
    p = (u_char *) ngx_escape_json(p, gate->name.data, gate->name.len);

    return ngx_sprintf(p, "\", \"servers\": %ui, "
                          "\"max_concurrent_batches\": %ui, "
                          "\"in_flight\": %ui, \"blocked\": %uA}",
                       gate->peers, gate->max, sum.in_flight, sum.blocked);
}


static u_char *
ngx_http_mark_status_location(u_char *p, ngx_http_mark_main_conf_t *mmcf,
    ngx_http_mark_loc_conf_t *mlcf, ngx_http_mark_counters_t *s)
{
    ngx_uint_t         i;
    ngx_atomic_uint_t  batches;

    p = ngx_sprintf(p, "  {\"server\": \"");
    p = (u_char *) ngx_escape_json(p, mlcf->server.data, mlcf->server.len);
    p = ngx_sprintf(p, "\", \"location\": \"");
    p = (u_char *) ngx_escape_json(p, mlcf->location.data,
                                   mlcf->location.len);

    batches = 0;

    for (i = 1; i < MARK_POLICY_NREASONS; i++) {
        batches += s->batches[i];
    }

    p = ngx_sprintf(p, "\",\n"
                       "   \"requests\": %uA, \"rows\": %uA, "
                       "\"batches\": %uA,\n   \"dispatched\": {",
                    s->requests, s->rows, batches);

    for (i = 1; i < MARK_POLICY_NREASONS; i++) {
        p = ngx_sprintf(p, "%s\"%s\": %uA", i > 1 ? ", " : "",
                        mark_policy_reason(i), s->batches[i]);
    }

    p = ngx_sprintf(p, "},\n   \"passed\": {");

    for (i = 0; i < NGX_HTTP_MARK_PASS_NREASONS; i++) {
        p = ngx_sprintf(p, "%s\"%s\": %uA", i ? ", " : "",
                        ngx_http_mark_pass_reason(i), s->passed[i]);
    }

    p = ngx_sprintf(p, "},\n"
                       "   \"failed_batches\": %uA, \"retries\": %uA, "
                       "\"expired\": %uA, \"rejected\": %uA, "
                       "\"timeouts\": %uA, \"aborted\": %uA,\n"
                       "   \"slo\": {\"met\": %uA, \"missed\": %uA}, "
                       "\"body_files\": %uA, "
                       "\"unshared\": %uA,\n"
                       "   \"carriers\": {\"created\": %uA, \"freed\": %uA}, "
                       "\"queued\": %uA, \"in_flight\": %uA,\n",
                    s->failed, s->retries, s->expired, s->rejected,
                    s->timeouts, s->aborted, s->slo_met, s->slo_missed,
                    s->body_files, s->unshared,
                    s->carriers_created, s->carriers_freed, s->queued,
                    s->in_flight);

    p = ngx_http_mark_status_overflow(p, mmcf, mlcf);
    p = ngx_http_mark_status_learned(p, mlcf, &s->learned);
    p = ngx_http_mark_status_rows(p, &s->batch_rows);
    p = ngx_http_mark_status_seconds(p, "queue_seconds", &s->queue_time);
    p = ngx_http_mark_status_seconds(p, "batch_seconds", &s->batch_time);

    p -= 2;    /* ",\n" */

    return ngx_sprintf(p, "}");
}


/* slo_rows: so many are served within mark_slo. */

static u_char *
ngx_http_mark_status_learned(u_char *p, ngx_http_mark_loc_conf_t *mlcf,
    ngx_http_mark_learned_t *l)
{
    if (l->at == 0) {
        return ngx_sprintf(p, "   \"learned\": null,\n");
    }

    p = ngx_sprintf(p, "   \"learned\": {\"base_seconds\": %uA.%06uA, "
                       "\"row_seconds\": %uA.%09uA, "
                       "\"residual_seconds\": %uA.%06uA, "
                       "\"concurrency\": %uA",
                    l->base / 1000000, l->base % 1000000,
                    l->row / 1000000000, l->row % 1000000000,
                    l->residual / 1000000, l->residual % 1000000, l->limit);

    if (mlcf->slo) {
        p = ngx_sprintf(p, ", \"slo_rows\": %ui",
                        ngx_http_mark_learned_rows(l, mlcf->slo,
                                                   mlcf->max_rows));
    }

    return ngx_sprintf(p, "},\n");
}


static u_char *
ngx_http_mark_status_rows(u_char *p, ngx_http_mark_row_histogram_t *h)
{
    ngx_uint_t         i;
    ngx_atomic_uint_t  count;

    count = 0;

    p = ngx_sprintf(p, "   \"batch_rows\": {\"le\": {");

    for (i = 0; i < NGX_HTTP_MARK_ROW_BUCKETS; i++) {
        count += h->buckets[i];

        if (i < NGX_HTTP_MARK_ROW_BUCKETS - 1) {
            p = ngx_sprintf(p, "\"%ui\": %uA, ", ngx_http_mark_row_bounds[i],
                            count);
        }
    }

    return ngx_sprintf(p, "\"+Inf\": %uA}, \"sum\": %uA, \"count\": %uA},\n",
                       count, h->sum, count);
}


static u_char *
ngx_http_mark_status_seconds(u_char *p, const char *name,
    ngx_http_mark_sec_histogram_t *h)
{
    ngx_uint_t         i;
    ngx_atomic_uint_t  count;

    count = 0;

    p = ngx_sprintf(p, "   \"%s\": {\"le\": {", name);

    for (i = 0; i < NGX_HTTP_MARK_SEC_BUCKETS; i++) {
        count += h->buckets[i];

        if (i < NGX_HTTP_MARK_SEC_BUCKETS - 1) {
            p = ngx_sprintf(p, "\"%s\": %uA, ",
                            ngx_http_mark_sec_bounds[i].seconds, count);
        }
    }

    return ngx_sprintf(p, "\"+Inf\": %uA}, \"sum\": %uA.%06uA, "
                          "\"count\": %uA},\n",
                       count, h->sum / 1000000, h->sum % 1000000, count);
}
