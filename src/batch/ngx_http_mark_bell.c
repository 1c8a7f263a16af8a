
/*
 * Bells: one worker tells another to look at shared memory.
 *
 * The master makes an eventfd for each worker before it forks, so that all
 * workers of a cycle have all of them; a worker that comes after a crash has
 * the place, and the bell, of the one before.  A bell carries no message and
 * is not rung again before it was heard: under load that saves most of the
 * system calls.  Whoever rings has written to shared memory what it is for,
 * and whoever hears looks at all that it could be for.
 */


#include "ngx_http_mark.h"
#include "ngx_http_mark_share.h"

#if (NGX_LINUX)
#include <sys/eventfd.h>
#endif


/* Two cache lines each, as all workers write here. */

typedef struct {
    ngx_atomic_t           rung;
    ngx_atomic_t           pid;         /* of the worker; 0: none yet */
    u_char                 padding[128 - 2 * sizeof(ngx_atomic_t)];
} ngx_http_mark_bell_t;


typedef struct {
    ngx_shm_t              shm;
    ngx_http_mark_bell_t  *bells;       /* in it */
    ngx_uint_t             n;
    ngx_socket_t           fds[NGX_HTTP_MARK_WORKERS];
} ngx_http_mark_bells_t;


#if (NGX_LINUX)
static ngx_int_t ngx_http_mark_bells_open(ngx_http_mark_bells_t *b,
    ngx_cycle_t *cycle);
static void ngx_http_mark_bells_close(void *data);
static void ngx_http_mark_bell_heard(ngx_event_t *ev);
#endif


static ngx_http_mark_bells_t  *ngx_http_mark_bells;


#if (NGX_LINUX)

/* At the start of a cycle, in the master. */

ngx_int_t
ngx_http_mark_bells_init(ngx_cycle_t *cycle)
{
    ngx_core_conf_t        *ccf;
    ngx_pool_cleanup_t     *cln;
    ngx_http_mark_bells_t  *b;

    ngx_http_mark_bells = NULL;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    if (!ccf->master || ccf->worker_processes < 2
        || ccf->worker_processes > NGX_HTTP_MARK_WORKERS)
    {
        return NGX_OK;
    }

    cln = ngx_pool_cleanup_add(cycle->pool, sizeof(ngx_http_mark_bells_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    b = cln->data;
    b->n = 0;

    b->shm.size = ccf->worker_processes * sizeof(ngx_http_mark_bell_t);
    b->shm.log = cycle->log;
    ngx_str_set(&b->shm.name, "ngx_http_mark_bells");

    if (ngx_shm_alloc(&b->shm) != NGX_OK) {
        return NGX_ERROR;
    }

    /* what is mapped anew is all zeros */

    b->bells = (ngx_http_mark_bell_t *) b->shm.addr;

    cln->handler = ngx_http_mark_bells_close;

    while (b->n < (ngx_uint_t) ccf->worker_processes) {

        b->fds[b->n] = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

        if (b->fds[b->n] == -1) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                          "mark: eventfd() failed");
            return NGX_ERROR;
        }

        b->n++;
    }

    ngx_http_mark_bells = b;

    return NGX_OK;
}


static void
ngx_http_mark_bells_close(void *data)
{
    ngx_http_mark_bells_t *b = data;

    ngx_uint_t  i;

    /* the queues of a worker that ends go after this, and may want to ring */

    if (ngx_http_mark_bells == b) {
        ngx_http_mark_bells = NULL;
    }

    for (i = 0; i < b->n; i++) {
        (void) close(b->fds[i]);
    }

    ngx_shm_free(&b->shm);
}


/* At the start of a worker. */

ngx_int_t
ngx_http_mark_bells_init_worker(ngx_cycle_t *cycle)
{
    ngx_http_mark_bells_t  *b;

    b = ngx_http_mark_bells;

    if (b == NULL) {
        return NGX_OK;
    }

    if (ngx_process != NGX_PROCESS_WORKER) {
        /* a cache manager */
        ngx_http_mark_bells = NULL;
        return NGX_OK;
    }

    b->bells[ngx_worker].rung = 0;
    b->bells[ngx_worker].pid = ngx_pid;

    return ngx_http_mark_bells_open(b, cycle);
}


/*
 * As ngx_add_channel_event(), which has no edge-triggered events: with them
 * nothing must be read.  A channel is nothing that nginx misses at the end.
 */

static ngx_int_t
ngx_http_mark_bells_open(ngx_http_mark_bells_t *b, ngx_cycle_t *cycle)
{
    ngx_connection_t  *c;

    c = ngx_get_connection(b->fds[ngx_worker], cycle->log);
    if (c == NULL) {
        return NGX_ERROR;
    }

    c->pool = cycle->pool;

    c->read->log = cycle->log;
    c->read->channel = 1;
    c->read->handler = ngx_http_mark_bell_heard;

    c->write->log = cycle->log;
    c->write->channel = 1;

    if (ngx_add_event(c->read, NGX_READ_EVENT,
                      (ngx_event_flags & NGX_USE_CLEAR_EVENT)
                      ? NGX_CLEAR_EVENT : 0)
        != NGX_OK)
    {
        ngx_free_connection(c);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_mark_bell_heard(ngx_event_t *ev)
{
    uint64_t                n;
    ngx_http_mark_bells_t  *b;

    b = ngx_http_mark_bells;

    if (!(ngx_event_flags & NGX_USE_CLEAR_EVENT)
        && read(b->fds[ngx_worker], &n, sizeof(uint64_t)) == -1)
    {
        return;
    }

    /* what is written from now on rings again */

    b->bells[ngx_worker].rung = 0;
    ngx_memory_barrier();

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, ev->log, 0, "mark: bell");

    ngx_http_mark_gates_run();
    ngx_http_mark_cell_heard(ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                                     ngx_http_mark_module));
}


void
ngx_http_mark_bell_ring(ngx_uint_t worker)
{
    uint64_t                n;
    ngx_http_mark_bells_t  *b;

    b = ngx_http_mark_bells;

    if (!ngx_atomic_cmp_set(&b->bells[worker].rung, 0, 1)) {
        return;
    }

    n = 1;

    if (write(b->fds[worker], &n, sizeof(uint64_t)) != sizeof(uint64_t)) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                      "mark: a bell cannot be rung");
    }
}


/*
 * Rings our own.  Whoever died between its mark and its write has left a bell
 * that nobody else would ring any more.
 */

void
ngx_http_mark_bell_again(void)
{
    ngx_http_mark_bells->bells[ngx_worker].rung = 0;
    ngx_http_mark_bell_ring(ngx_worker);
}

#else

ngx_int_t
ngx_http_mark_bells_init(ngx_cycle_t *cycle)
{
    return NGX_OK;
}


ngx_int_t
ngx_http_mark_bells_init_worker(ngx_cycle_t *cycle)
{
    return NGX_OK;
}


void
ngx_http_mark_bell_ring(ngx_uint_t worker)
{
}


void
ngx_http_mark_bell_again(void)
{
}

#endif


/* How many workers have a bell: 0, if there are not several. */

ngx_uint_t
ngx_http_mark_bells_n(void)
{
    return ngx_http_mark_bells ? ngx_http_mark_bells->n : 0;
}


/* The process that is, or was, this worker; 0: there was none yet. */

ngx_pid_t
ngx_http_mark_bells_pid(ngx_uint_t worker)
{
    return ngx_http_mark_bells->bells[worker].pid;
}
