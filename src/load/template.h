/* Text in which every %u becomes the number of the request. */

#ifndef TEMPLATE_H
#define TEMPLATE_H


#include "buffer.h"


typedef struct {
    char      *text;           /* zero-terminated */
    size_t     len;
    size_t    *mark;           /* offsets of the %u */
    unsigned   marks;
} template_t;


/* The digits of a request's number, made once for all its templates. */
typedef struct {
    char    text[24];
    size_t  len;
} digits_t;


void digits_init(digits_t *d, unsigned long long number);

void template_init(template_t *t, const char *text, size_t len);
void template_free(template_t *t);
size_t template_length(const template_t *t, const digits_t *d);
void template_append(const template_t *t, const digits_t *d, buffer_t *out);


#endif /* TEMPLATE_H */
