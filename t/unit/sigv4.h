
/* For tests of the signer: spans. */


#ifndef _SIGV4_H_INCLUDED_
#define _SIGV4_H_INCLUDED_


#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "memory.h"
#include "mark_sigv4.h"


static inline mark_span_t
span(const char *text)
{
    mark_span_t  s;

    s.data = (const uint8_t *) text;
    s.len = text ? strlen(text) : 0;

    return s;
}


static inline void
is_span(mark_span_t got, mark_span_t want, const char *name, const char *what)
{
    is_mem(got.data, got.len, want.data, want.len, "%s: %s", name, what);
}


#endif /* _SIGV4_H_INCLUDED_ */
