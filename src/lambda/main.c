
/*
 * mark-lambda: mark-server's models as a function of AWS Lambda, for what
 * does not fit on one's own machines.
 *
 * An environment runs one invocation at a time, and pays for its time: a
 * batch is one invocation.
 */


#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>

#include "catalog.h"
#include "executor.h"
#include "invocation.h"
#include "options.h"
#include "runtime.h"


static sigset_t  main_signals;


static void *
main_wait(void *arg)
{
    int  sig;

    sigwait(&main_signals, &sig);
    runtime_stop();

    return NULL;
}


/* An invocation that is being run is answered, a wait for one is ended. */

static int
main_catch(void)
{
    pthread_t  thread;

    sigemptyset(&main_signals);
    sigaddset(&main_signals, SIGTERM);
    sigaddset(&main_signals, SIGINT);

    /* before there is another thread */
    pthread_sigmask(SIG_BLOCK, &main_signals, NULL);
    signal(SIGPIPE, SIG_IGN);

    if (pthread_create(&thread, NULL, main_wait, NULL) != 0) {
        fprintf(stderr, "mark-lambda: no thread\n");
        return -1;
    }

    pthread_detach(thread);

    return 0;
}


static int
main_init(const options_t *conf, model_t **m)
{
    char         err[CATALOG_ERROR];
    uint64_t     start;
    const char  *type;

    start = executor_now();

    type = catalog_load(conf, m, err);

    if (type) {
        fprintf(stderr, "mark-lambda: %s: %s\n", type, err);
        (void) runtime_init_fail(type, err);
        return -1;
    }

    fprintf(stderr, "mark-lambda: ready in %.3f s\n",
            (executor_now() - start) / 1e9);

    return 0;
}


static void
main_log(const options_t *conf, const runtime_event_t *e,
    const invocation_t *in)
{
    uint64_t        now;
    struct timeval  tv;

    if (conf->verbose) {
        fprintf(stderr, "mark-lambda: %s: %d, %zu bytes, %zu rows, "
                "ran %.2f ms, %zu bytes back\n", e->id, in->status, e->len,
                in->rows, in->run, in->len);
    }

    if (in->error_type) {
        fprintf(stderr, "mark-lambda: %s: %s: %s\n", e->id, in->error_type,
                in->message);
    }

    gettimeofday(&tv, NULL);
    now = (uint64_t) tv.tv_sec * 1000 + tv.tv_usec / 1000;

    if (e->deadline && now > e->deadline) {
        fprintf(stderr, "mark-lambda: %s: %llu ms after its deadline\n",
                e->id, (unsigned long long) (now - e->deadline));
    }
}


int
main(int argc, char **argv)
{
    int               rc;
    model_t          *m;
    options_t         conf;
    invocation_t      in;
    runtime_event_t   e;

    options_read(&conf, argc, argv);

    if (runtime_open(conf.api) != 0 || main_catch() != 0
        || main_init(&conf, &m) != 0)
    {
        return 1;
    }

    while ((rc = runtime_next(&e)) == 0) {

        invocation_run(&in, m, e.payload, e.len);
        main_log(&conf, &e, &in);

        rc = in.error_type ? runtime_fail(&e, in.error_type, in.message)
                           : runtime_respond(&e, in.text, in.len);

        invocation_free(&in);

        if (rc != 0) {
            break;
        }
    }

    if (rc != 1) {
        return 1;
    }

    model_free_all();
    runtime_close();

    return 0;
}
