/*
 * One thread that runs jobs one at a time, in the order they came: the
 * device of a model.
 */


#ifndef _MARK_SERVER_EXECUTOR_H_INCLUDED_
#define _MARK_SERVER_EXECUTOR_H_INCLUDED_


#include <stdint.h>

#include "tensor.h"


typedef struct job_s       job_t;
typedef struct executor_s  executor_t;


#define JOB_ERROR    512


/*
 * The caller owns the job and leaves it alone from executor_push() until
 * done(), which runs in the executor's thread and is its last touch.
 */
struct job_s {
    tensor_t    in;
    tensor_t    out;                  /* data: torch_output_free() */
    size_t      rows;

    int         status;               /* of the run, 0 or -1 */
    char        error[JOB_ERROR];

    uint64_t    pushed;               /* nanoseconds, monotonic */
    uint64_t    started;
    uint64_t    ended;

    void      (*done)(job_t *job);
    void       *data;                 /* done()'s own */

    job_t      *next;
};


typedef struct {
    uint64_t    jobs;                 /* that were run */
    uint64_t    rows;                 /* of these */
    uint64_t    busy;                 /* nanoseconds that jobs ran, so far */
    uint64_t    pending;              /* waiting and running */
} executor_stats_t;


/* Starts the thread; run makes out and status of a job.  NULL on failure. */
executor_t *executor_create(void (*run)(job_t *job, void *ctx), void *ctx);

void executor_push(executor_t *e, job_t *job);

/* May be called by any thread. */
void executor_stats(executor_t *e, executor_stats_t *stats);

/* Runs what is queued, ends the thread and frees the executor. */
void executor_destroy(executor_t *e);

/* The monotonic clock. */
uint64_t executor_now(void);


#endif /* _MARK_SERVER_EXECUTOR_H_INCLUDED_ */
