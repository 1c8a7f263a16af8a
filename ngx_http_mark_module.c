
/*
 * ngx_http_mark_module: batches the inference requests of many clients into
 * one request to a model server.  Here are its directives and its place in
 * nginx; src/ngx_http_mark.h shows how the rest hangs together.
 */


#include "ngx_http_mark.h"
#include "ngx_http_mark_lambda.h"
#include "ngx_http_mark_overflow.h"
#include "ngx_http_mark_plan.h"


static ngx_int_t ngx_http_mark_variables(ngx_conf_t *cf);
static ngx_int_t ngx_http_mark_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_mark_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_mark_init_process(ngx_cycle_t *cycle);
static void ngx_http_mark_exit_process(ngx_cycle_t *cycle);


static ngx_conf_num_bounds_t  ngx_http_mark_bounds = {
    ngx_conf_check_num_bounds, 1, 65536
};


static ngx_conf_enum_t  ngx_http_mark_timeout_actions[] = {
    { ngx_string("delay"), NGX_HTTP_MARK_DELAY },
    { ngx_string("reject"), NGX_HTTP_MARK_REJECT },
    { ngx_string("overflow"), NGX_HTTP_MARK_OVERFLOW },
    { ngx_null_string, 0 }
};


static ngx_command_t  ngx_http_mark_commands[] = {

    { ngx_string("mark_batch"),
      NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_mark_protocol,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("mark_slo"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_http_mark_slo,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("mark_max_batch_size"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mark_loc_conf_t, max_rows),
      &ngx_http_mark_bounds },

    { ngx_string("mark_max_batch_bytes"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mark_loc_conf_t, max_bytes),
      NULL },

    { ngx_string("mark_max_queue_delay"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_mark_delay,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("mark_max_queue_size"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mark_loc_conf_t, max_queue),
      NULL },

    { ngx_string("mark_timeout_action"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_mark_loc_conf_t, timeout_action),
      &ngx_http_mark_timeout_actions },

    { ngx_string("mark_preferred_batch_size"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_mark_preferred,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("mark_hedge"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_mark_hedge_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("mark_batch_key"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_mark_batch_key,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("mark_batch_ignore_header"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_mark_ignore_header,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("mark_max_concurrent_batches"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
      ngx_http_mark_max_concurrent,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      &ngx_http_mark_bounds },

    { ngx_string("mark_overflow"),
      NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_mark_overflow,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("mark_balance"),
      NGX_HTTP_UPS_CONF|NGX_CONF_1MORE,
      ngx_http_mark_balance,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("mark_server"),
      NGX_HTTP_UPS_CONF|NGX_CONF_1MORE,
      ngx_http_mark_server,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("mark_plan"),
      NGX_HTTP_UPS_CONF|NGX_CONF_2MORE,
      ngx_http_mark_plan,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("mark_health"),
      NGX_HTTP_UPS_CONF|NGX_CONF_1MORE,
      ngx_http_mark_health,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("mark_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2,
      ngx_http_mark_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("mark_share"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      ngx_http_mark_share_directive,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("mark_lambda"),
      NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_mark_lambda,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("mark_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_mark_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_mark_module_ctx = {
    ngx_http_mark_variables,              /* preconfiguration */
    ngx_http_mark_init,                   /* postconfiguration */

    ngx_http_mark_create_main_conf,       /* create main configuration */
    NULL,                                 /* init main configuration */

    ngx_http_mark_create_srv_conf,        /* create server configuration */
    NULL,                                 /* merge server configuration */

    ngx_http_mark_create_loc_conf,        /* create location configuration */
    ngx_http_mark_merge_loc_conf          /* merge location configuration */
};


ngx_module_t  ngx_http_mark_module = {
    NGX_MODULE_V1,
    &ngx_http_mark_module_ctx,            /* module context */
    ngx_http_mark_commands,               /* module directives */
    NGX_HTTP_MODULE,                      /* module type */
    NULL,                                 /* init master */
    ngx_http_mark_init_module,            /* init module */
    ngx_http_mark_init_process,           /* init process */
    NULL,                                 /* init thread */
    NULL,                                 /* exit thread */
    ngx_http_mark_exit_process,           /* exit process */
    NULL,                                 /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_mark_variables(ngx_conf_t *cf)
{
    return ngx_http_mark_add_variables(cf) == NGX_OK
           ? ngx_http_mark_lambda_add_variables(cf) : NGX_ERROR;
}


static ngx_int_t
ngx_http_mark_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;
    ngx_http_mark_main_conf_t  *mmcf;

    mmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_mark_module);

    if (ngx_http_mark_pools_check(cf) != NGX_OK
        || ngx_http_mark_keeper_init(cf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* without a batched location, or a pool, it stays out of the way */

    if (mmcf->locations.nelts == 0 && mmcf->pools.nelts == 0) {
        return NGX_OK;
    }

    ngx_http_mark_gates_bind(mmcf);
    ngx_http_mark_hedge_check(cf, mmcf);

    if (ngx_http_mark_counters_zone(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (mmcf->locations.nelts == 0) {
        return NGX_OK;
    }

    if (ngx_http_mark_overflow_bind(cf, mmcf) != NGX_OK
        || ngx_http_mark_share_zone(cf, mmcf) != NGX_OK
        || ngx_http_mark_capture_init(cf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_mark_precontent_handler;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_mark_log_handler;

    return NGX_OK;
}


static ngx_int_t
ngx_http_mark_init_module(ngx_cycle_t *cycle)
{
    ngx_core_conf_t            *ccf;
    ngx_http_mark_main_conf_t  *mmcf;

    mmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_mark_module);

    if (mmcf == NULL || mmcf->zone == NULL) {
        return NGX_OK;
    }

    mmcf->cycle = ngx_http_mark_now();

    if (mmcf->locations.nelts
        && (ngx_http_mark_carrier_init(cycle, mmcf) != NGX_OK
            || ngx_http_mark_bells_init(cycle) != NGX_OK))
    {
        return NGX_ERROR;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    /*
     * With "master_process off" no process is made after a reload.  When
     * nginx starts it is, and there are no timers before that.
     */

    if (!ccf->master && !ngx_is_init_cycle(cycle->old_cycle)) {
        return ngx_http_mark_init_process(cycle);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_mark_init_process(ngx_cycle_t *cycle)
{
    ngx_http_mark_main_conf_t  *mmcf;

    mmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_mark_module);

    if (mmcf == NULL || mmcf->zone == NULL) {
        return NGX_OK;
    }

    if (ngx_http_mark_counters_init_process(cycle) != NGX_OK
        || ngx_http_mark_keeper_init_process(mmcf, cycle) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_mark_pools_init_worker(mmcf, cycle);
    ngx_http_mark_plans_init_worker(mmcf, cycle);

    if (mmcf->locations.nelts == 0) {
        return NGX_OK;
    }

    ngx_http_mark_share_init_worker(mmcf);

    return ngx_http_mark_bells_init_worker(cycle);
}


static void
ngx_http_mark_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_mark_main_conf_t  *mmcf;

    mmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_mark_module);

    if (mmcf == NULL || mmcf->zone == NULL) {
        return;
    }

    ngx_http_mark_keeper_exit_process(mmcf);
    ngx_http_mark_counters_exit_process(cycle);
}
