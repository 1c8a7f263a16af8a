/*
 * Models by name: what a request runs on.
 */


#ifndef _MARK_SERVER_MODEL_H_INCLUDED_
#define _MARK_SERVER_MODEL_H_INCLUDED_


#include "executor.h"
#include "tensor.h"
#include "torch_shim.h"


/* A name goes into URIs and file names as it is. */
#define MODEL_NAME_MAX      128
#define MODEL_NAME_CHARS    "abcdefghijklmnopqrstuvwxyz"                      \
                            "ABCDEFGHIJKLMNOPQRSTUVWXYZ"                      \
                            "0123456789_-."


typedef struct model_s  model_t;


struct model_s {
    char            *name;
    torch_model_t   *torch;               /* NULL: echo */
    executor_t      *executor;            /* NULL: an echo without delay */

    int              ndims;               /* of a row; -1: not known */
    int64_t          dims[TENSOR_MAX_DIMS];

    uint64_t         delay;               /* nanoseconds, of an echo */
    uint64_t         row_delay;
    uint64_t         free_at;             /* when the echo's last job ended */

    model_t         *next;
};


/*
 * Each adds a model, ready to run, or returns NULL with a text in err of
 * TORCH_ERROR bytes.  model_load() takes a TorchScript file, digits looks
 * for itself in the folder cache and leaves itself there (NULL: nowhere).
 */
model_t *model_echo(const char *name, uint64_t delay, uint64_t row_delay,
    char *err);
model_t *model_wide(const char *name, char *err);
model_t *model_digits(const char *name, const char *cache, char *err);
model_t *model_load(const char *name, const char *file, char *err);

model_t *model_find(const char *name, size_t len);

/* The first of all models, or NULL. */
model_t *model_list(void);

/* Ends all executors, then frees all models. */
void model_free_all(void);


#endif /* _MARK_SERVER_MODEL_H_INCLUDED_ */
