
/* mark_batch: which protocol a location speaks. */


#include "ngx_http_mark.h"


static const mark_codec_t  *ngx_http_mark_codecs[] = {
    &mark_v1_codec,
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
                               "unknown protocol \"%V\" in \"mark_batch\", "
                               "it is \"v1\" or \"off\"", &value[1]);
            return NGX_CONF_ERROR;
        }

        mlcf->codec = *codec;
    }

    return NGX_CONF_OK;
}
