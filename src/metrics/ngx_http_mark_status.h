
/* What mark_status and its Prometheus form share. */


#ifndef _NGX_HTTP_MARK_STATUS_H_INCLUDED_
#define _NGX_HTTP_MARK_STATUS_H_INCLUDED_


#include "ngx_http_mark_gate.h"


/*
 * Room for the text: the fixed part, a location's, and how often its names,
 * which escaping can make six times as long, stand in it.
 */
#define NGX_HTTP_MARK_STATUS_FIXED     8192
#define NGX_HTTP_MARK_STATUS_LINES     100
#define NGX_HTTP_MARK_STATUS_LOCATION  (NGX_HTTP_MARK_STATUS_LINES * 128)


#define NGX_HTTP_MARK_STATUS_UPSTREAM  512


u_char *ngx_http_mark_prometheus(u_char *p, ngx_http_mark_main_conf_t *mmcf,
    ngx_http_mark_counters_t *sets);


#endif /* _NGX_HTTP_MARK_STATUS_H_INCLUDED_ */
