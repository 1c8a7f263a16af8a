
/* The deadline of a request: mark_slo, the location's or the client's own. */


#include "ngx_http_mark.h"


static ngx_msec_t ngx_http_mark_deadline_slo(ngx_http_request_t *r,
    ngx_http_mark_loc_conf_t *mlcf);
static ngx_msec_t ngx_http_mark_deadline_parse(ngx_str_t *text);


/*
 * The client's own time, in its body (V2 has a "timeout"), can only make it
 * shorter.
 */

void
ngx_http_mark_deadline_own(ngx_http_mark_ctx_t *ctx)
{
    uint64_t  own;

    if (ctx->req.timeout
        && ctx->req.timeout <= (uint64_t) NGX_HTTP_MARK_MAX_SLO * 1000)
    {
        own = ctx->arrived + ctx->req.timeout;

        if (ctx->deadline == 0 || own < ctx->deadline) {
            ctx->deadline = own;
        }
    }
}


/* Sets ctx->deadline from ctx->arrived. */

void
ngx_http_mark_deadline(ngx_http_mark_ctx_t *ctx)
{
    ngx_msec_t  slo;

    slo = ngx_http_mark_deadline_slo(ctx->request, ctx->conf);

    ctx->deadline = slo ? ctx->arrived + (uint64_t) slo * 1000 : 0;
}


/* The deadline of a request that is not batched; usec, 0 is none. */

uint64_t
ngx_http_mark_deadline_plain(ngx_http_request_t *r)
{
    int64_t                    since;
    ngx_msec_t                 slo;
    ngx_time_t                *tp;
    ngx_http_mark_loc_conf_t  *mlcf;

    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_mark_module);
    slo = ngx_http_mark_deadline_slo(r, mlcf);

    if (slo == 0) {
        return 0;
    }

    tp = ngx_timeofday();

    since = (int64_t) (tp->sec - r->start_sec) * 1000
            + (int64_t) tp->msec - (int64_t) r->start_msec;

    return ngx_http_mark_now() + (uint64_t) slo * 1000
           - (uint64_t) ngx_max(since, 0) * 1000;
}


/*
 * The request's mark_slo; 0 is none.  A client that says something that is no
 * time, or nothing, gets the second parameter.
 */

static ngx_msec_t
ngx_http_mark_deadline_slo(ngx_http_request_t *r,
    ngx_http_mark_loc_conf_t *mlcf)
{
    ngx_str_t   text;
    ngx_msec_t  slo, own;

    slo = mlcf->slo;

    if (mlcf->slo_value) {
        if (ngx_http_complex_value(r, mlcf->slo_value, &text) == NGX_OK
            && text.len)
        {
            own = ngx_http_mark_deadline_parse(&text);

            if (own) {
                slo = own;

            } else {
                ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                              "mark: \"%V\" is no deadline", &text);
            }
        }
    }

    return slo;
}


/* Milliseconds, as llm-d and others write them, or a time of nginx; 0: no. */

static ngx_msec_t
ngx_http_mark_deadline_parse(ngx_str_t *text)
{
    ngx_int_t  ms;

    ms = ngx_atoi(text->data, text->len);

    if (ms == NGX_ERROR) {
        ms = ngx_parse_time(text, 0);
    }

    return (ms > 0 && ms <= NGX_HTTP_MARK_MAX_SLO) ? (ngx_msec_t) ms : 0;
}


/* mark_slo */

char *
ngx_http_mark_slo(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_mark_loc_conf_t *mlcf = conf;

    u_char                            *p;
    ngx_int_t                          ms;
    ngx_str_t                         *value;
    ngx_http_compile_complex_value_t   ccv;

    if (mlcf->slo != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    value = cf->args->elts;
    mlcf->slo_value = NULL;

    if (ngx_http_script_variables_count(&value[1]) == 0) {

        if (cf->args->nelts > 2) {
            return "has a default, but no variable before it";
        }

        ms = ngx_parse_time(&value[1], 0);

    } else {
        mlcf->slo_value = ngx_palloc(cf->pool,
                                     sizeof(ngx_http_complex_value_t));
        if (mlcf->slo_value == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

        ccv.cf = cf;
        ccv.value = &value[1];
        ccv.complex_value = mlcf->slo_value;

        if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        /* requests of different deadlines may still share a batch */

        if (value[1].len > sizeof("$http_") - 1
            && ngx_strncmp(value[1].data, "$http_", sizeof("$http_") - 1) == 0)
        {
            mlcf->slo_header.len = value[1].len - (sizeof("$http_") - 1);
            mlcf->slo_header.data = value[1].data + sizeof("$http_") - 1;

            mlcf->slo_header.data = ngx_pstrdup(cf->pool, &mlcf->slo_header);
            if (mlcf->slo_header.data == NULL) {
                return NGX_CONF_ERROR;
            }

            for (p = mlcf->slo_header.data;
                 p < mlcf->slo_header.data + mlcf->slo_header.len;
                 p++)
            {
                *p = (*p == '_') ? '-' : ngx_tolower(*p);
            }
        }

        ms = (cf->args->nelts > 2) ? ngx_parse_time(&value[2], 0) : 0;
    }

    if (ms == NGX_ERROR) {
        return "has an invalid time";
    }

    mlcf->slo = (ngx_msec_t) ms;

    return NGX_CONF_OK;
}
