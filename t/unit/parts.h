
/* Bodies for tests of a codec, as they are given to it and as they come. */


#ifndef _PARTS_H_INCLUDED_
#define _PARTS_H_INCLUDED_


#include "tap.h"
#include "memory.h"


static memory_t       pool;
static mark_memory_t  memory;


/* A body in the pool: text and, if there is a tail, the header that says so. */

MEMORY_UNUSED static mark_body_t
body(const char *text, const char *tail, size_t len)
{
    uint8_t      *p;
    mark_body_t   b;

    b.binary = (tail != NULL);
    b.json_len = strlen(text);
    b.len = strlen(text) + len;

    p = memory_alloc(&pool, b.len + 1);
    memcpy(p, text, strlen(text));

    if (len) {
        memcpy(p + strlen(text), tail, len);
    }

    b.data = p;

    return b;
}


MEMORY_UNUSED static void
is_parts(const mark_parts_t *parts, const char *text, const char *tail,
    size_t len, const char *name)
{
    mark_body_t  got, want;

    got = memory_body(parts);
    want = body(text, tail, len);

    is_mem(got.data, got.len, want.data, want.len, "%s", name);

    ok(got.binary == want.binary
       && (!want.binary || got.json_len == want.json_len),
       "%s: its kind", name);

    free((void *) got.data);
}


#endif /* _PARTS_H_INCLUDED_ */
