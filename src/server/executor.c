/*
 * The executor: a queue under a mutex, and its thread.
 */


#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "executor.h"


struct executor_s {
    void              (*run)(job_t *job, void *ctx);
    void               *ctx;

    pthread_t           thread;
    pthread_mutex_t     mutex;        /* of all below */
    pthread_cond_t      cond;
    job_t              *first;
    job_t             **last;
    int                 stop;
    uint64_t            since;        /* the running job's start; 0: idle */
    executor_stats_t    stats;        /* of jobs that have ended */
};


static void *executor_thread(void *arg);


executor_t *
executor_create(void (*run)(job_t *job, void *ctx), void *ctx)
{
    executor_t  *e;

    e = calloc(1, sizeof(executor_t));
    if (e == NULL) {
        return NULL;
    }

    e->run = run;
    e->ctx = ctx;
    e->last = &e->first;

    pthread_mutex_init(&e->mutex, NULL);
    pthread_cond_init(&e->cond, NULL);

    if (pthread_create(&e->thread, NULL, executor_thread, e) != 0) {
        free(e);
        return NULL;
    }

    return e;
}


void
executor_push(executor_t *e, job_t *job)
{
    job->next = NULL;
    job->pushed = executor_now();

    pthread_mutex_lock(&e->mutex);

    *e->last = job;
    e->last = &job->next;
    e->stats.pending++;

    pthread_cond_signal(&e->cond);
    pthread_mutex_unlock(&e->mutex);
}


static void *
executor_thread(void *arg)
{
    job_t       *job;
    executor_t  *e;

    e = arg;

    for ( ;; ) {
        pthread_mutex_lock(&e->mutex);

        while (e->first == NULL && !e->stop) {
            pthread_cond_wait(&e->cond, &e->mutex);
        }

        job = e->first;

        if (job) {
            e->first = job->next;

            if (e->first == NULL) {
                e->last = &e->first;
            }

            job->started = executor_now();
            e->since = job->started;
        }

        pthread_mutex_unlock(&e->mutex);

        if (job == NULL) {
            return NULL;
        }

        e->run(job, e->ctx);
        job->ended = executor_now();

        /* whoever has the answer finds it counted */

        pthread_mutex_lock(&e->mutex);

        e->since = 0;
        e->stats.pending--;
        e->stats.jobs++;
        e->stats.rows += job->rows;
        e->stats.busy += job->ended - job->started;

        pthread_mutex_unlock(&e->mutex);

        job->done(job);
    }
}


void
executor_stats(executor_t *e, executor_stats_t *stats)
{
    pthread_mutex_lock(&e->mutex);

    *stats = e->stats;

    if (e->since) {
        stats->busy += executor_now() - e->since;
    }

    pthread_mutex_unlock(&e->mutex);
}


void
executor_destroy(executor_t *e)
{
    pthread_mutex_lock(&e->mutex);
    e->stop = 1;
    pthread_cond_signal(&e->cond);
    pthread_mutex_unlock(&e->mutex);

    pthread_join(e->thread, NULL);

    pthread_cond_destroy(&e->cond);
    pthread_mutex_destroy(&e->mutex);
    free(e);
}


uint64_t
executor_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}
