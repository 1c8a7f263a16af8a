/* Bytes that grow; running out of memory ends the program. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"


static void
out_of_memory(void)
{
    fprintf(stderr, "mark-load: out of memory\n");
    exit(3);
}


void *
allocate(size_t size)
{
    void  *p;

    p = calloc(1, size ? size : 1);
    if (p == NULL) {
        out_of_memory();
    }

    return p;
}


void
buffer_reserve(buffer_t *b, size_t more)
{
    size_t  size;

    if (b->size - b->len > more) {
        return;
    }

    size = b->size ? b->size : 256;

    while (size - b->len <= more) {
        size *= 2;
    }

    b->data = realloc(b->data, size);
    if (b->data == NULL) {
        out_of_memory();
    }

    b->size = size;
}


void
buffer_append(buffer_t *b, const void *data, size_t len)
{
    buffer_reserve(b, len);

    if (len) {
        memcpy(b->data + b->len, data, len);
    }

    b->len += len;
    b->data[b->len] = '\0';
}


void
buffer_printf(buffer_t *b, const char *fmt, ...)
{
    size_t   n, room;
    va_list  args;

    buffer_reserve(b, 0);

    for ( ;; ) {
        room = b->size - b->len;

        va_start(args, fmt);
        n = vsnprintf(b->data + b->len, room, fmt, args);
        va_end(args);

        if (n < room) {
            b->len += n;
            return;
        }

        buffer_reserve(b, n);
    }
}


int
buffer_read_file(buffer_t *b, const char *path)
{
    FILE    *f;
    size_t   n;

    f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    if (f == NULL) {
        return -1;
    }

    do {
        buffer_reserve(b, 65536);
        n = fread(b->data + b->len, 1, 65536, f);
        b->len += n;
    } while (n);

    b->data[b->len] = '\0';
    n = ferror(f);

    if (f != stdin) {
        fclose(f);
    }

    return n ? -1 : 0;
}


void
buffer_free(buffer_t *b)
{
    free(b->data);
    memset(b, 0, sizeof(buffer_t));
}
