
/*
 * Load reports of peers, in the headers of their answers (mark_orca.h), and
 * what they do to a peer's share (mark_pressure.h).
 */


#include "ngx_http_mark_pool.h"


static ngx_str_t  ngx_http_mark_report_header =
    ngx_string("endpoint-load-metrics");
static ngx_str_t  ngx_http_mark_report_json =
    ngx_string("endpoint-load-metrics-json");


/* NGX_DECLINED: the answer has none that can be read. */

ngx_int_t
ngx_http_mark_report_read(ngx_http_mark_pool_t *pool, ngx_http_request_t *r,
    mark_orca_t *report)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    if (r->upstream == NULL || r->upstream->headers_in.status_n == 0) {
        return NGX_DECLINED;
    }

    part = &r->upstream->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return NGX_DECLINED;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].hash == 0
            || (h[i].key.len != ngx_http_mark_report_header.len
                && h[i].key.len != ngx_http_mark_report_json.len)
            || ngx_strncasecmp(h[i].key.data, ngx_http_mark_report_json.data,
                               h[i].key.len)
               != 0)
        {
            continue;
        }

        if (mark_orca_parse(report, h[i].value.data, h[i].value.len,
                            pool->metric)
            == MARK_ORCA_OK)
        {
            return NGX_OK;
        }

        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "mark: \"%V: %V\" is no load report that can be read",
                      &h[i].key, &h[i].value);

        return NGX_DECLINED;
    }
}


/* With the lock held. */

void
ngx_http_mark_report_apply(ngx_http_mark_pool_t *pool,
    ngx_http_mark_slot_t *slot, mark_orca_t *report, uint64_t now)
{
    mark_pressure_report(&slot->pressure, &pool->pressure, report, now);
}
