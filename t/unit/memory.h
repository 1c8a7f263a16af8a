
/*
 * Memory for codecs under test.  Each piece is malloc's own, so that an
 * instrumented build sees one byte too many, and it can be told to run out.
 */


#ifndef _MEMORY_H_INCLUDED_
#define _MEMORY_H_INCLUDED_


#include <stdlib.h>
#include <string.h>

#include "mark_codec.h"


#define MEMORY_PIECES  8192
#define MEMORY_UNUSED  __attribute__((unused))


typedef struct {
    size_t   n;
    size_t   limit;           /* pieces, after which there is no more */
    void    *pieces[MEMORY_PIECES];
} memory_t;


MEMORY_UNUSED static void *
memory_alloc(void *pool, size_t size)
{
    memory_t  *m = pool;

    if (m->n == m->limit) {
        return NULL;
    }

    m->pieces[m->n] = malloc(size);

    return m->pieces[m->n++];
}


MEMORY_UNUSED static void
memory_init(mark_memory_t *memory, memory_t *m)
{
    m->n = 0;
    m->limit = MEMORY_PIECES;

    memory->alloc = memory_alloc;
    memory->pool = m;
}


MEMORY_UNUSED static void
memory_free(memory_t *m)
{
    while (m->n) {
        free(m->pieces[--m->n]);
    }
}


/* The parts as one body; its bytes are malloc's. */

MEMORY_UNUSED static mark_body_t
memory_body(const mark_parts_t *parts)
{
    size_t        i;
    uint8_t      *p;
    mark_body_t   body;

    p = malloc(parts->len + 1);

    body.data = p;
    body.len = parts->len;
    body.binary = parts->binary;
    body.json_len = parts->json_len;

    for (i = 0; i < parts->nspans; i++) {
        memcpy(p, parts->spans[i].data, parts->spans[i].len);
        p += parts->spans[i].len;
    }

    return body;
}


#endif /* _MEMORY_H_INCLUDED_ */
