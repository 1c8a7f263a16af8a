
/*
 * An invocation: a payload goes in, an answer or a function error comes out.
 */


#ifndef _MARK_LAMBDA_INVOCATION_H_INCLUDED_
#define _MARK_LAMBDA_INVOCATION_H_INCLUDED_


#include <stddef.h>

#include "model.h"


/* For any of mark-server's errors, decoded. */
#define INVOCATION_MESSAGE    4096


typedef struct {
    char         *text;               /* the answer, inside of base */
    size_t        len;
    char         *base;

    const char   *error_type;         /* NULL: there is an answer */
    char          message[INVOCATION_MESSAGE];

    int           status;             /* that HTTP clients have of it */
    size_t        rows;               /* that a model was run on */
    double        run;                /* and the milliseconds */
} invocation_t;


/*
 * A payload that is an event of an HTTP front end names its model by its
 * path; any other is a body for m, which may be NULL if there is no such
 * model.
 */
void invocation_run(invocation_t *in, model_t *m, const char *payload,
    size_t len);

void invocation_free(invocation_t *in);


#endif /* _MARK_LAMBDA_INVOCATION_H_INCLUDED_ */
