/*
 * The table of models, and how each kind runs a job.
 *
 * The table is filled before the first request and not changed until the
 * last one is answered.  A model's torch and free_at belong to its executor.
 */


#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "digits.h"
#include "model.h"


static model_t  *models;


static void model_run_torch(job_t *job, void *ctx);
static void model_run_echo(job_t *job, void *ctx);


/* LibTorch compiles a model in its first runs: let no request wait for it. */

static void
model_warm(model_t *m)
{
    int      i;
    size_t   len;
    job_t    job;

    len = 2;

    for (i = 0; i < m->ndims; i++) {
        len *= m->dims[i];
    }

    memset(&job, 0, sizeof(job_t));

    job.in.data = calloc(len, sizeof(float));
    job.in.ndims = m->ndims + 1;
    memcpy(job.in.dims + 1, m->dims, m->ndims * sizeof(int64_t));

    for (i = 0; job.in.data && i < 4; i++) {
        job.in.dims[0] = 1 + i % 2;

        model_run_torch(&job, m);

        torch_output_free(job.out.data);
        job.out.data = NULL;
    }

    free(job.in.data);
}


static model_t *
model_add(const char *name, torch_model_t *torch, char *err)
{
    model_t  *m, **p;

    m = calloc(1, sizeof(model_t));

    if (m) {
        m->name = strdup(name);
        m->torch = torch;
        m->ndims = -1;

        if (torch) {
            m->ndims = torch_input(torch, m->dims);

            if (m->ndims >= 0) {
                model_warm(m);
            }

            m->executor = executor_create(model_run_torch, m);
        }
    }

    if (m == NULL || m->name == NULL || (torch && m->executor == NULL)) {
        snprintf(err, TORCH_ERROR, "no memory or no thread");
        return NULL;
    }

    for (p = &models; *p; p = &(*p)->next) { /* void */ }

    *p = m;

    return m;
}


model_t *
model_echo(const char *name, uint64_t delay, uint64_t row_delay, char *err)
{
    model_t  *m;

    m = model_add(name, NULL, err);

    if (m && (delay || row_delay)) {
        m->delay = delay;
        m->row_delay = row_delay;
        m->executor = executor_create(model_run_echo, m);

        if (m->executor == NULL) {
            snprintf(err, TORCH_ERROR, "no thread");
            return NULL;
        }
    }

    return m;
}


model_t *
model_wide(const char *name, char *err)
{
    torch_model_t  *torch;

    static const int64_t  sizes[] = { 1024, 4096, 4096, 1000 };

    if (torch_perceptron(&torch, sizes, 4, 20190710, err) != 0) {
        return NULL;
    }

    return model_add(name, torch, err);
}


model_t *
model_digits(const char *name, const char *cache, char *err)
{
    torch_model_t  *torch;

    torch = digits_model(name, cache, err);

    return torch ? model_add(name, torch, err) : NULL;
}


model_t *
model_load(const char *name, const char *file, char *err)
{
    torch_model_t  *torch;

    if (torch_load(&torch, file, err) != 0) {
        return NULL;
    }

    return model_add(name, torch, err);
}


model_t *
model_find(const char *name, size_t len)
{
    model_t  *m;

    for (m = models; m; m = m->next) {
        if (strlen(m->name) == len && memcmp(m->name, name, len) == 0) {
            return m;
        }
    }

    return NULL;
}


model_t *
model_list(void)
{
    return models;
}


void
model_free_all(void)
{
    model_t  *m;

    while (models) {
        m = models;
        models = m->next;

        if (m->executor) {
            executor_destroy(m->executor);
        }

        torch_model_free(m->torch);
        free(m->name);
        free(m);
    }
}


static void
model_run_torch(job_t *job, void *ctx)
{
    int        i;
    model_t   *m;
    tensor_t  *out;

    m = ctx;
    out = &job->out;

    job->status = torch_forward(m->torch, job->in.data, job->in.dims,
                                job->in.ndims, &out->data, out->dims,
                                &out->ndims, job->error);

    if (job->status != 0) {
        return;
    }

    if (out->ndims == 0 || out->dims[0] != job->in.dims[0]) {
        torch_output_free(out->data);
        out->data = NULL;

        job->status = -1;
        snprintf(job->error, JOB_ERROR,
                 "the model does not answer each row with a row");
        return;
    }

    out->len = 1;

    for (i = 0; i < out->ndims; i++) {
        out->len *= out->dims[i];
    }
}


/*
 * Serves for exactly delay + rows * row_delay: a job that had to wait starts
 * when the one before it should have ended, so that late wakings of this
 * thread do not add up.
 */

static void
model_run_echo(job_t *job, void *ctx)
{
    model_t          *m;
    uint64_t          start;
    struct timespec   ts;

    m = ctx;

    if (m->free_at == 0) {
        (void) prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    }

    start = job->pushed > m->free_at ? job->pushed : m->free_at;
    m->free_at = start + m->delay + job->rows * m->row_delay;

    ts.tv_sec = m->free_at / 1000000000;
    ts.tv_nsec = m->free_at % 1000000000;

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL)
           == EINTR)
    {
        /* void */
    }

    job->status = 0;
}
