/*
 * A tensor of float32 and its text: nested JSON arrays of numbers.
 */


#ifndef _MARK_SERVER_TENSOR_H_INCLUDED_
#define _MARK_SERVER_TENSOR_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define TENSOR_MAX_DIMS    8
#define TENSOR_SHAPE_LEN   (TENSOR_MAX_DIMS * 22 + 2)


typedef struct {
    float      *data;                    /* the owner frees it */
    size_t      len;                     /* in floats */
    int         ndims;
    int64_t     dims[TENSOR_MAX_DIMS];
} tensor_t;


typedef enum {
    TENSOR_OK = 0,
    TENSOR_SYNTAX,            /* not JSON */
    TENSOR_TYPE,              /* a string, an object, a literal */
    TENSOR_RAGGED,            /* arrays of different lengths or depths */
    TENSOR_EMPTY,             /* an array of nothing */
    TENSOR_DEPTH,             /* more than TENSOR_MAX_DIMS deep */
    TENSOR_RANGE,             /* a number that a float does not hold */
    TENSOR_MEMORY
} tensor_error_t;


/*
 * Reads all of p..last, a JSON number, as a float: 0 or -1.  Most numbers
 * are read without it.
 */
typedef int (*tensor_read_pt)(const char *p, const char *last, float *value);

/*
 * Prints a finite float into buf of TENSOR_FLOAT_LEN bytes; returns the
 * length.
 */
typedef size_t (*tensor_write_pt)(float value, char *buf);

#define TENSOR_FLOAT_LEN   24


/*
 * Reads the array at p (leading white space allowed).  Returns the byte
 * after it and allocates t->data (malloc), or returns NULL with error set
 * and nothing allocated.
 */
const char *tensor_parse(tensor_t *t, const char *p, const char *last,
    tensor_read_pt read, tensor_error_t *error);

/*
 * Prints the tensor as nested arrays, compact, at p; returns the byte after.
 * There must be room for tensor_text_len() bytes.
 */
char *tensor_print(const tensor_t *t, char *p, tensor_write_pt write);
size_t tensor_text_len(const tensor_t *t);

/* Prints dims as [a,b,c] into buf of TENSOR_SHAPE_LEN bytes; returns buf. */
const char *tensor_shape(const int64_t *dims, int ndims, char *buf);

const char *tensor_strerror(tensor_error_t error);


#endif /* _MARK_SERVER_TENSOR_H_INCLUDED_ */
