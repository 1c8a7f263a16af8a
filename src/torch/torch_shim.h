/*
 * LibTorch for C: an opaque model, status codes and error texts.
 *
 * No exception and no C++ type crosses this line.  Functions that may fail
 * return 0, or -1 with a text in err (a buffer of TORCH_ERROR bytes).
 * A model is not locked: one thread at a time may run it.
 */


#ifndef _TORCH_SHIM_H_INCLUDED_
#define _TORCH_SHIM_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define TORCH_ERROR       512
#define TORCH_MAX_DIMS    8

/* Enough for any float32 as text. */
#define TORCH_FLOAT_LEN   24


#ifdef __cplusplus
extern "C" {
#endif


typedef struct torch_model_s  torch_model_t;


/* What a classifier is trained on: n rows of nfeatures floats, n labels. */
typedef struct {
    const float      *rows;
    const int64_t    *labels;
    size_t            n;
    size_t            nfeatures;
    size_t            nclasses;
    float             scale;          /* features are divided by it */
    size_t            nhidden;
    unsigned          epochs;
    uint64_t          seed;
} torch_lesson_t;


/* Threads inside one operation, of LibTorch and of the BLAS below it. */
void torch_threads(int n);

/* A TorchScript file. */
int torch_load(torch_model_t **model, const char *file, char *err);
int torch_save(torch_model_t *model, const char *file, char *err);

/*
 * A perceptron of float32 with ReLU between its nsizes - 1 layers and seeded
 * random weights, packed so that a small batch costs little more than a row.
 */
int torch_perceptron(torch_model_t **model, const int64_t *sizes,
    size_t nsizes, uint64_t seed, char *err);

/*
 * Trains a perceptron with one hidden layer that answers probabilities.  It
 * computes in float64 from float32 to float32, so that the order of sums,
 * which depends on the batch, does not show in the answer.
 */
int torch_classifier(torch_model_t **model, const torch_lesson_t *lesson,
    char *err);

void torch_model_free(torch_model_t *model);

/*
 * The shape of one row, if the model says it; returns its number of
 * dimensions or -1.  dims has TORCH_MAX_DIMS places.
 */
int torch_input(torch_model_t *model, int64_t *dims);

/*
 * Runs a batch: dims[0] is the number of rows.  The answer is contiguous
 * float32, to be freed with torch_output_free(); out_dims has TORCH_MAX_DIMS
 * places.
 */
int torch_forward(torch_model_t *model, const float *in, const int64_t *dims,
    int ndims, float **out, int64_t *out_dims, int *out_ndims, char *err);
void torch_output_free(float *out);

/*
 * Prints the shortest text that reads back as the same float; buf has
 * TORCH_FLOAT_LEN bytes; returns the length.  Neither these two nor the
 * reading one know anything about LibTorch, but they are C++.
 */
size_t torch_float_print(float value, char *buf);

/*
 * Reads all of p..last as a float, correctly rounded: 0, or -1 if it is not
 * a number or is too large.  What is too small becomes zero.
 */
int torch_float_parse(const char *p, const char *last, float *value);


#ifdef __cplusplus
}
#endif


#endif /* _TORCH_SHIM_H_INCLUDED_ */
