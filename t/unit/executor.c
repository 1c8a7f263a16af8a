/*
 * mark-server's executor: one job at a time, in order, all of them.
 */


#include "tap.h"
#include "../../src/server/executor.c"


#define JOBS  1000


static job_t  jobs[JOBS];
static int    running, next_job, overlaps, disorders, done;

static executor_t        *executor;
static executor_stats_t   last;


static void
run(job_t *job, void *ctx)
{
    overlaps += running++;
    disorders += (job != &jobs[next_job++]);
    job->status = *(int *) ctx;

    if (next_job == JOBS) {

        while (executor_now() <= job->started) { /* void */ }

        executor_stats(executor, &last);
    }

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
    int       i, ctx;
    uint64_t  spent;

    ctx = 42;
    executor = executor_create(run, &ctx);

    ok(executor != NULL, "an executor");

    executor_stats(executor, &last);
    ok(last.jobs == 0 && last.rows == 0 && last.busy == 0
       && last.pending == 0, "which has done nothing");

    for (i = 0; i < JOBS; i++) {
        jobs[i].done = finished;
        jobs[i].data = &jobs[i];
        jobs[i].rows = 3;
        executor_push(executor, &jobs[i]);
    }

    executor_destroy(executor);

    is_int(next_job, JOBS, "all jobs are run before the end");
    is_int(done, JOBS, "and done");
    is_int(overlaps, 0, "one at a time");
    is_int(disorders, 0, "in order");

    /* as the last one saw it while it ran */

    for (i = 0, spent = 0; i < JOBS; i++) {
        spent += jobs[i].ended - jobs[i].started;
    }

    is_int(last.jobs, JOBS - 1, "those that have ended are counted");
    is_int(last.rows, 3 * (JOBS - 1), "and their rows");
    is_int(last.pending, 1, "and what has not");
    ok(last.busy > spent - (jobs[JOBS - 1].ended - jobs[JOBS - 1].started)
       && last.busy <= spent, "and the time, with that of the running one");

    return done_testing();
}
