
/* mark_batch: which protocol a location speaks, and where its rows are. */


#include "ngx_http_mark.h"


static char *ngx_http_mark_protocol_paths(ngx_conf_t *cf,
    ngx_http_mark_loc_conf_t *mlcf);


static const mark_codec_t  *ngx_http_mark_codecs[] = {
    &mark_v1_codec,
    &mark_v2_codec,
    &mark_embeddings_codec,
    &mark_list_codec,
    NULL
};


char *
ngx_http_mark_protocol(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_mark_loc_conf_t *mlcf = conf;

    ngx_str_t            *value;
    const mark_codec_t  **codec;

    if (mlcf->codec != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    mlcf->file = cf->conf_file->file.name.data;
    mlcf->line = cf->conf_file->line;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        mlcf->codec = NULL;

    } else {

        for (codec = ngx_http_mark_codecs; *codec; codec++) {
            if (ngx_strcmp(value[1].data, (*codec)->name) == 0) {
                break;
            }
        }

        if (*codec == NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "unknown protocol \"%V\" in \"mark_batch\", it "
                               "is \"v1\", \"v2\", \"embeddings\", "
                               "\"json in=PATH out=PATH\" or \"off\"",
                               &value[1]);
            return NGX_CONF_ERROR;
        }

        mlcf->codec = *codec;
    }

    if (mlcf->codec == &mark_list_codec) {
        return ngx_http_mark_protocol_paths(cf, mlcf);
    }

    if (cf->args->nelts > 2) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"mark_batch %V\" has no parameters",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* in=PATH and out=PATH, in either order. */

static char *
ngx_http_mark_protocol_paths(ngx_conf_t *cf, ngx_http_mark_loc_conf_t *mlcf)
{
    u_char       *p;
    ngx_str_t    *value;
    ngx_uint_t    i, in, out;
    const char   *error;
    mark_path_t  *path;

    value = cf->args->elts;
    in = 0;
    out = 0;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "in=", 3) == 0 && !in) {
            path = &mlcf->codec_conf.in;
            p = value[i].data + 3;
            in = 1;

        } else if (ngx_strncmp(value[i].data, "out=", 4) == 0 && !out) {
            path = &mlcf->codec_conf.out;
            p = value[i].data + 4;
            out = 1;

        } else {
            break;
        }

        error = mark_path_parse(path, (char *) p,
                                value[i].data + value[i].len - p);

        if (error) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" in \"mark_batch json\" is no path: %s",
                               &value[i], error);
            return NGX_CONF_ERROR;
        }
    }

    if (i < cf->args->nelts || !in || !out) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"mark_batch json\" needs \"in=PATH out=PATH\", "
                           "the places of the lists in requests and answers, "
                           "like \"inputs\", \"data.texts\" or \"$\"");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}
