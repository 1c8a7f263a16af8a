/*
 * mark-server's executor: one job at a time, in order, all of them.
 */


#include "tap.h"
#include "../../src/server/executor.c"


#define JOBS  1000


static job_t  jobs[JOBS];
static int    running, next_job, overlaps, disorders, done;


static void
run(job_t *job, void *ctx)
{
    overlaps += running++;
    disorders += (job != &jobs[next_job++]);
    job->status = *(int *) ctx;
    running--;
}


static void
finished(job_t *job)
{
    done += (job->status == 42 && job->data == job
             && job->started >= job->pushed && job->ended >= job->started);
}


int
main(void)
{
    int          i, ctx;
    executor_t  *e;

    ctx = 42;
    e = executor_create(run, &ctx);

    ok(e != NULL, "an executor");

    for (i = 0; i < JOBS; i++) {
        jobs[i].done = finished;
        jobs[i].data = &jobs[i];
        executor_push(e, &jobs[i]);
    }

    executor_destroy(e);

    is_int(next_job, JOBS, "all jobs are run before the end");
    is_int(done, JOBS, "and done");
    is_int(overlaps, 0, "one at a time");
    is_int(disorders, 0, "in order");

    return done_testing();
}
