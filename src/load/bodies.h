/* The bodies that requests carry, one after the other. */

#ifndef BODIES_H
#define BODIES_H


#include "options.h"
#include "template.h"


typedef struct {
    template_t   text;
    char        *wire;         /* the whole HTTP/1.1 message, if it is fixed */
    size_t       wire_len;
    size_t       head_len;     /* of the wire */
} body_t;


typedef struct {
    body_t    *list;
    unsigned   count;          /* at least one, which may be empty */
} bodies_t;


/* Reads or makes what the options ask for; NULL or what went wrong. */
const char *bodies_init(bodies_t *b, const options_t *o);


#endif /* BODIES_H */
