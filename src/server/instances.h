/*
 * The body of a TensorFlow Serving row request: its "instances".
 */


#ifndef _MARK_SERVER_INSTANCES_H_INCLUDED_
#define _MARK_SERVER_INSTANCES_H_INCLUDED_


#include <stddef.h>

#include "tensor.h"


#define INSTANCES_ERROR    256


typedef struct {
    const char   *start;                  /* the array's text in the body */
    const char   *end;
    size_t        rows;                   /* if asked for */
} instances_t;


/*
 * Finds the instances.  If t is not NULL they are read into it; otherwise
 * any JSON passes, and is counted if in->rows is not 0 at the call.  Returns
 * 0, or -1 with a text in err of INSTANCES_ERROR bytes and nothing allocated.
 */
int instances_parse(instances_t *in, tensor_t *t, const char *body,
    size_t len, char *err);


#endif /* _MARK_SERVER_INSTANCES_H_INCLUDED_ */
