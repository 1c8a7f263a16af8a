
/*
 * Whose invocations are: AWS credentials from the environment in which nginx
 * was started, or from a file that may change while it runs.
 *
 * A worker looks at the file once a second at most, when it is about to sign.
 * It keeps the last good ones while the file cannot be read, until they
 * expire.  Secrets are never logged.
 */


#include "ngx_http_mark_lambda.h"
#include "mark_credentials.h"


/* A file of credentials is not larger than that. */
#define NGX_HTTP_MARK_CREDENTIALS_FILE  (256 * 1024)


struct ngx_http_mark_credentials_s {
    ngx_str_t              file;        /* empty: of the environment */
    ngx_str_t              profile;

    /* of the process */

    mark_credentials_t     current;
    time_t                 checked;
    time_t                 mtime;
    off_t                  size;
    ngx_file_uniq_t        uniq;

    unsigned               good:1;      /* current */
    unsigned               seen:1;      /* the file, as it is now */
    unsigned               failed:1;    /* logged */
    unsigned               expired:1;   /* logged */
};


static ngx_int_t ngx_http_mark_credentials_environment(
    ngx_http_mark_credentials_t *c);
static ngx_int_t ngx_http_mark_credentials_put(char *to, size_t size,
    size_t *len, const char *name);
static ngx_int_t ngx_http_mark_credentials_shared(ngx_conf_t *cf,
    ngx_http_mark_credentials_t *c);
static void ngx_http_mark_credentials_check(ngx_http_mark_credentials_t *c,
    ngx_log_t *log);
static ngx_int_t ngx_http_mark_credentials_read(
    ngx_http_mark_credentials_t *c, ngx_file_info_t *fi, ngx_log_t *log);
static ngx_int_t ngx_http_mark_credentials_parse(
    ngx_http_mark_credentials_t *c, u_char *text, size_t len, ngx_log_t *log);
static void ngx_http_mark_credentials_wipe(void *data);


/*
 * What mark_lambda names comes first, then the environment, then the shared
 * file of AWS's own tools.  nginx clears the environment of its workers, so
 * it is read here.
 */

ngx_http_mark_credentials_t *
ngx_http_mark_credentials_create(ngx_conf_t *cf, ngx_str_t *file,
    ngx_str_t *profile)
{
    ngx_pool_cleanup_t           *cln;
    ngx_http_mark_credentials_t  *c;

    c = ngx_pcalloc(cf->pool, sizeof(ngx_http_mark_credentials_t));
    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (c == NULL || cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_mark_credentials_wipe;
    cln->data = c;

    c->file = *file;
    c->profile = *profile;

    if (c->file.len) {
        if (ngx_conf_full_name(cf->cycle, &c->file, 1) != NGX_OK) {
            return NULL;
        }

    } else if (c->profile.len
               || ngx_http_mark_credentials_environment(c) != NGX_OK)
    {
        if (ngx_http_mark_credentials_shared(cf, c) != NGX_OK) {
            return NULL;
        }
    }

    if (c->file.len) {
        ngx_http_mark_credentials_check(c, cf->log);
    }

    return c;
}


static ngx_int_t
ngx_http_mark_credentials_environment(ngx_http_mark_credentials_t *c)
{
    mark_credentials_t  *to;

    to = &c->current;

    if (ngx_http_mark_credentials_put(to->access_key, sizeof(to->access_key),
                                      &to->access_key_len,
                                      "AWS_ACCESS_KEY_ID")
        != NGX_OK
        || ngx_http_mark_credentials_put(to->secret_key,
                                         sizeof(to->secret_key),
                                         &to->secret_key_len,
                                         "AWS_SECRET_ACCESS_KEY")
           != NGX_OK)
    {
        mark_credentials_clear(to);
        return NGX_DECLINED;
    }

    (void) ngx_http_mark_credentials_put(to->token, sizeof(to->token),
                                         &to->token_len, "AWS_SESSION_TOKEN");
    c->good = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_mark_credentials_put(char *to, size_t size, size_t *len,
    const char *name)
{
    char    *value;
    size_t   n;

    value = getenv(name);
    n = value ? ngx_strlen(value) : 0;

    if (n == 0 || n >= size) {
        return NGX_DECLINED;
    }

    ngx_memcpy(to, value, n + 1);
    *len = n;

    return NGX_OK;
}


static ngx_int_t
ngx_http_mark_credentials_shared(ngx_conf_t *cf,
    ngx_http_mark_credentials_t *c)
{
    char             *path, *profile;
    size_t            len;
    ngx_file_info_t   fi;

    path = getenv("AWS_SHARED_CREDENTIALS_FILE");
    profile = getenv("AWS_PROFILE");

    if (path == NULL || *path == '\0') {
        path = getenv("HOME");

        if (path == NULL) {
            goto none;
        }
    }

    len = ngx_strlen(path);

    c->file.data = ngx_pnalloc(cf->pool,
                               len + sizeof("/.aws/credentials"));
    if (c->file.data == NULL) {
        return NGX_ERROR;
    }

    c->file.len = ngx_sprintf(c->file.data, "%s%s%Z", path,
                              path == getenv("HOME") ? "/.aws/credentials"
                                                     : "")
                  - c->file.data - 1;

    if (c->profile.len == 0 && profile && *profile) {
        c->profile.len = ngx_strlen(profile);
        c->profile.data = ngx_pnalloc(cf->pool, c->profile.len);
        if (c->profile.data == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(c->profile.data, profile, c->profile.len);
    }

    if (ngx_file_info(c->file.data, &fi) != NGX_FILE_ERROR) {
        return NGX_OK;
    }

none:

    /*
     * No reason to refuse: whoever tests a configuration, or tells nginx to
     * reload, has another environment than nginx itself.
     */

    ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                       "\"mark_lambda\" has no AWS credentials: say "
                       "\"credentials=FILE\", or start nginx with "
                       "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in its "
                       "environment");
    c->failed = 1;

    return NGX_OK;
}


/*
 * Gives what there is to sign with.  NGX_DECLINED: nothing that is valid; it
 * has been logged, once.
 */

ngx_int_t
ngx_http_mark_credentials_get(ngx_http_mark_credentials_t *c,
    mark_sigv4_signer_t *signer, ngx_log_t *log)
{
    if (c->file.len && c->checked != ngx_time()) {
        ngx_http_mark_credentials_check(c, log);
        c->checked = ngx_time();
    }

    if (!c->good) {
        return NGX_DECLINED;
    }

    if (c->current.expiration && c->current.expiration <= ngx_time()) {

        if (!c->expired) {
            c->expired = 1;
            ngx_log_error(NGX_LOG_ERR, log, 0,
                          "mark: the AWS credentials of \"%V\" have expired, "
                          "nothing is invoked until there are others",
                          &c->file);
        }

        return NGX_DECLINED;
    }

    c->expired = 0;

    signer->access_key.data = (uint8_t *) c->current.access_key;
    signer->access_key.len = c->current.access_key_len;
    signer->secret_key.data = (uint8_t *) c->current.secret_key;
    signer->secret_key.len = c->current.secret_key_len;
    signer->token.data = (uint8_t *) c->current.token;
    signer->token.len = c->current.token_len;

    return NGX_OK;
}


/* Reads the file if it is another one than before. */

static void
ngx_http_mark_credentials_check(ngx_http_mark_credentials_t *c,
    ngx_log_t *log)
{
    ngx_file_info_t  fi;

    if (ngx_file_info(c->file.data, &fi) == NGX_FILE_ERROR) {

        if (!c->failed) {
            ngx_log_error(NGX_LOG_ERR, log,
                          ngx_errno, "mark: no AWS credentials in \"%V\"%s",
                          &c->file,
                          c->good ? ", the last ones are used" : "");
        }

        c->failed = 1;
        c->seen = 0;

        return;
    }

    if (c->seen
        && c->mtime == ngx_file_mtime(&fi)
        && c->size == ngx_file_size(&fi)
        && c->uniq == ngx_file_uniq(&fi))
    {
        return;
    }

    c->mtime = ngx_file_mtime(&fi);
    c->size = ngx_file_size(&fi);
    c->uniq = ngx_file_uniq(&fi);

    /* in the second of its last change it may change again */

    c->seen = (c->mtime < ngx_time());

    if (ngx_http_mark_credentials_read(c, &fi, log) != NGX_OK) {
        c->failed = 1;
        return;
    }

    c->failed = 0;
    c->good = 1;
}


static ngx_int_t
ngx_http_mark_credentials_read(ngx_http_mark_credentials_t *c,
    ngx_file_info_t *fi, ngx_log_t *log)
{
    size_t     size;
    u_char    *text;
    ssize_t    n;
    ngx_fd_t   fd;
    ngx_int_t  rc;

    size = ngx_file_size(fi);

    if (!ngx_is_file(fi) || size > NGX_HTTP_MARK_CREDENTIALS_FILE) {
        if (!c->failed) {
            ngx_log_error(NGX_LOG_ERR, log, 0,
                          "mark: \"%V\" is no file of AWS credentials",
                          &c->file);
        }

        return NGX_ERROR;
    }

    fd = ngx_open_file(c->file.data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        if (!c->failed) {
            ngx_log_error(NGX_LOG_ERR, log, ngx_errno,
                          "mark: " ngx_open_file_n " \"%V\" failed, AWS "
                          "credentials must be readable by the worker "
                          "processes", &c->file);
        }

        return NGX_ERROR;
    }

    rc = NGX_ERROR;

    text = ngx_alloc(size + 1, log);

    if (text) {
        n = ngx_read_fd(fd, text, size + 1);

        /* longer by now: it will be read again */

        if (n >= 0 && (size_t) n <= size) {
            rc = ngx_http_mark_credentials_parse(c, text, n, log);
        }

        ngx_explicit_memzero(text, size + 1);
        ngx_free(text);
    }

    (void) ngx_close_file(fd);

    return rc;
}


static ngx_int_t
ngx_http_mark_credentials_parse(ngx_http_mark_credentials_t *c, u_char *text,
    size_t len, ngx_log_t *log)
{
    char                       error[MARK_CREDENTIALS_ERROR];
    u_char                    *p;
    mark_credentials_t         new;
    mark_credentials_status_t  rc;

    for (p = text; p < text + len && *p <= ' '; p++) { /* void */ }

    if (p < text + len && *p == '{') {
        rc = mark_credentials_json(&new, text, len, error);

    } else {
        rc = mark_credentials_file(&new, text, len,
                                   (char *) c->profile.data, c->profile.len,
                                   error);
    }

    if (rc == MARK_CREDENTIALS_OK) {
        c->current = new;
        mark_credentials_clear(&new);

        ngx_log_debug1(NGX_LOG_DEBUG_HTTP, log, 0,
                       "mark: AWS credentials read from \"%V\"", &c->file);
        return NGX_OK;
    }

    if (!c->failed) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "mark: no AWS credentials in \"%V\": %s%s", &c->file,
                      error, c->good ? ", the last ones are used" : "");
    }

    return NGX_ERROR;
}


static void
ngx_http_mark_credentials_wipe(void *data)
{
    ngx_http_mark_credentials_t *c = data;

    mark_credentials_clear(&c->current);
}
