
/*
 * mark_plan file: a plan that is read from a file whenever that has changed.
 *
 * Worker 0 looks at the file's inode, size and time, and reads it if one of
 * them is another.  Whoever writes it should write another file and rename
 * it: half a plan is refused, and said so in the log.
 */


#include "ngx_http_mark_plan.h"


/* A file that has not changed for so long will tell by its time; seconds. */
#define NGX_HTTP_MARK_PLAN_SETTLED  1


static ngx_int_t ngx_http_mark_plan_key(ngx_conf_t *cf,
    ngx_http_mark_plan_t *plan, ngx_str_t *path);
static ngx_int_t ngx_http_mark_plan_read(ngx_pool_t *pool, u_char *path,
    ngx_str_t *text, ngx_file_info_t *fi, ngx_log_t *log);
static void ngx_http_mark_plan_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_mark_plan_look(ngx_http_mark_plan_t *plan,
    ngx_log_t *log);
static void ngx_http_mark_plan_unread(ngx_http_mark_plan_t *plan,
    ngx_err_t err, ngx_log_t *log);


/* mark_plan file PATH [interval=TIME] [key=FILE] [key_id=ID] */

char *
ngx_http_mark_plan(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_mark_srv_conf_t *mscf = conf;

    ngx_str_t             *value, s, key;
    ngx_uint_t             i;
    ngx_http_mark_plan_t  *plan;

    if (mscf->pool->plan) {
        return "is duplicate";
    }

    if (mscf->pool->upstream == NULL) {
        return "needs \"mark_balance\" before it";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "file") != 0 || cf->args->nelts < 3) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid source \"%V\" in \"mark_plan\", it is "
                           "\"file PATH\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    plan = ngx_pcalloc(cf->pool, sizeof(ngx_http_mark_plan_t));
    if (plan == NULL) {
        return NGX_CONF_ERROR;
    }

    plan->path = value[2];
    plan->interval = 1000;
    plan->pool = mscf->pool;

    if (ngx_conf_full_name(cf->cycle, &plan->path, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    ngx_str_null(&key);
    ngx_str_null(&s);

    for (i = 3; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "interval=", 9) == 0) {
            s.data = value[i].data + 9;
            s.len = value[i].len - 9;

            plan->interval = ngx_parse_time(&s, 0);

            if (plan->interval == (ngx_msec_t) NGX_ERROR
                || plan->interval == 0)
            {
                goto invalid;
            }

            continue;
        }

        if (ngx_strncmp(value[i].data, "key=", 4) == 0) {
            key.data = value[i].data + 4;
            key.len = value[i].len - 4;

            /* this must not mean that any plan will do */

            if (key.len == 0) {
                goto invalid;
            }

            continue;
        }

        if (ngx_strncmp(value[i].data, "key_id=", 7) == 0) {
            plan->key.id.data = value[i].data + 7;
            plan->key.id.len = value[i].len - 7;
            continue;
        }

        goto invalid;
    }

    if (key.len && ngx_http_mark_plan_key(cf, plan, &key) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (plan->key.id.len && !plan->keyed) {
        return "has a key_id, but no key";
    }

    mscf->pool->plan = plan;

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\" in \"mark_plan\", there are "
                       "interval=TIME, key=FILE and key_id=ID", &value[i]);
    return NGX_CONF_ERROR;
}


/* The key is read once, by who may read it: the master. */

static ngx_int_t
ngx_http_mark_plan_key(ngx_conf_t *cf, ngx_http_mark_plan_t *plan,
    ngx_str_t *path)
{
    ngx_str_t           text;
    mark_span_t         id, file;
    ngx_file_info_t     fi;
    mark_plan_error_t   error;
    mark_plan_status_t  status;

    if (ngx_conf_full_name(cf->cycle, path, 1) != NGX_OK
        || ngx_http_mark_plan_read(cf->pool, path->data, &text, &fi, cf->log)
           != NGX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the key \"%V\" of \"mark_plan\" cannot be read",
                           path);
        return NGX_ERROR;
    }

    id = plan->key.id;
    file.data = text.data;
    file.len = text.len;

    /* a secret does not look like a public key */

    if (text.len > 10 && ngx_strncmp(text.data, "-----BEGIN", 10) == 0) {
        status = mark_plan_key_public(&plan->key, &file, &error);

    } else {
        status = mark_plan_key_hmac(&plan->key, &file, &error);
    }

    if (status != MARK_PLAN_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the key \"%V\" of \"mark_plan\": %s",
                           path, error.text);
        return NGX_ERROR;
    }

    plan->key.id = id;
    plan->keyed = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_mark_plan_read(ngx_pool_t *pool, u_char *path, ngx_str_t *text,
    ngx_file_info_t *fi, ngx_log_t *log)
{
    ssize_t    n;
    ngx_fd_t   fd;
    ngx_err_t  err;
    ngx_int_t  rc;

    rc = NGX_ERROR;

    /* to open a pipe must not take until somebody writes there */

    fd = ngx_open_file(path, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK, NGX_FILE_OPEN,
                       0);

    if (fd == NGX_INVALID_FILE) {
        return NGX_ERROR;
    }

    if (ngx_fd_info(fd, fi) == NGX_FILE_ERROR) {
        goto done;
    }

    if (!ngx_is_file(fi)) {
        ngx_set_errno(NGX_EINVAL);
        goto done;
    }

    /* one byte more than is allowed is enough to be refused */

    text->len = ngx_min((size_t) ngx_file_size(fi), MARK_PLAN_MAX + 1);
    text->data = ngx_palloc(pool, text->len + 1);

    if (text->data == NULL) {
        goto done;
    }

    n = text->len ? ngx_read_fd(fd, text->data, text->len) : 0;

    if (n >= 0) {
        text->len = n;
        rc = NGX_OK;
    }

done:

    err = ngx_errno;

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                      ngx_close_file_n " \"%s\" failed", path);
    }

    ngx_set_errno(err);

    return rc;
}


void
ngx_http_mark_plans_init_worker(ngx_http_mark_main_conf_t *mmcf,
    ngx_cycle_t *cycle)
{
    ngx_uint_t              i;
    ngx_http_mark_plan_t   *plan;
    ngx_http_mark_pool_t  **poolp;

    if (ngx_worker != 0 || ngx_event_timer_rbtree.root == NULL) {
        return;
    }

    poolp = mmcf->pools.elts;

    for (i = 0; i < mmcf->pools.nelts; i++) {
        plan = poolp[i]->plan;

        if (plan == NULL) {
            continue;
        }

        plan->event.handler = ngx_http_mark_plan_handler;
        plan->event.data = plan;
        plan->event.log = cycle->log;
        plan->event.cancelable = 1;

        ngx_add_timer(&plan->event, 1);
    }
}


static void
ngx_http_mark_plan_handler(ngx_event_t *ev)
{
    ngx_msec_t             next;
    ngx_http_mark_plan_t  *plan;

    plan = ev->data;

    if (ngx_exiting || ngx_terminate || ngx_quit
        || plan->pool->loaded != ngx_cycle)
    {
        return;
    }

    next = plan->interval;

    if (ngx_http_mark_plan_look(plan, ev->log) == NGX_AGAIN) {
        next = ngx_min(next, 100);
    }

    ngx_add_timer(ev, next);
}


static ngx_int_t
ngx_http_mark_plan_look(ngx_http_mark_plan_t *plan, ngx_log_t *log)
{
    uint32_t          crc;
    ngx_int_t         rc;
    ngx_str_t         text;
    ngx_pool_t       *pool;
    ngx_file_info_t   fi;

    if (ngx_file_info(plan->path.data, &fi) == NGX_FILE_ERROR) {
        ngx_http_mark_plan_unread(plan, ngx_errno, log);
        return NGX_OK;
    }

    /*
     * The file system's clock ticks slowly: what has changed just now may
     * change once more without another time.
     */

    if (plan->started
        && !plan->unread
        && ngx_file_uniq(&fi) == plan->inode
        && ngx_file_size(&fi) == plan->size
        && fi.st_mtim.tv_sec == plan->mtime.tv_sec
        && fi.st_mtim.tv_nsec == plan->mtime.tv_nsec
        && fi.st_mtim.tv_sec + NGX_HTTP_MARK_PLAN_SETTLED < ngx_time())
    {
        return NGX_OK;
    }

    pool = ngx_create_pool(4096, log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_mark_plan_read(pool, plan->path.data, &text, &fi, log)
        != NGX_OK)
    {
        ngx_http_mark_plan_unread(plan, ngx_errno, log);
        ngx_destroy_pool(pool);
        return NGX_OK;
    }

    plan->unread = 0;
    plan->inode = ngx_file_uniq(&fi);
    plan->size = ngx_file_size(&fi);
    plan->mtime = fi.st_mtim;

    /* what was applied, or refused, is not to be so again */

    crc = ngx_crc32_long(text.data, text.len);
    rc = NGX_OK;

    if (!plan->started || crc != plan->crc || text.len != plan->len) {
        rc = ngx_http_mark_plan_apply(plan->pool, plan, &text,
                                      !plan->started);
        plan->started = (rc != NGX_AGAIN);
        plan->crc = crc;
        plan->len = text.len;
    }

    ngx_destroy_pool(pool);

    return rc;
}


/* Once for each reason. */

static void
ngx_http_mark_plan_unread(ngx_http_mark_plan_t *plan, ngx_err_t err,
    ngx_log_t *log)
{
    if (plan->unread == err) {
        return;
    }

    plan->unread = err;

    ngx_log_error(NGX_LOG_ERR, log, err,
                  "mark: the plan \"%V\" of upstream \"%V\" %s, the servers "
                  "stay as they are", &plan->path, &plan->pool->name,
                  err == NGX_ENOENT ? "is not there" : "cannot be read");
}
