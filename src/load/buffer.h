/* Bytes that grow; running out of memory ends the program. */

#ifndef BUFFER_H
#define BUFFER_H


#include <stddef.h>


typedef struct {
    char    *data;             /* with room for a zero after len bytes */
    size_t   len;
    size_t   size;
} buffer_t;


void *allocate(size_t size);   /* zeroed */

void buffer_reserve(buffer_t *b, size_t more);
void buffer_append(buffer_t *b, const void *data, size_t len);
void buffer_printf(buffer_t *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
int buffer_read_file(buffer_t *b, const char *path);
void buffer_free(buffer_t *b);


#endif /* BUFFER_H */
