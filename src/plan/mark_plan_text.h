
/* JSON as text that is being written, as far as there is room for it. */


#ifndef _MARK_PLAN_TEXT_H_INCLUDED_
#define _MARK_PLAN_TEXT_H_INCLUDED_


#include "mark_json.h"


/* The most that mark_plan_number() writes, with the zero. */
#define MARK_PLAN_NUMBER  32


typedef struct {
    char    *buf;
    size_t   size;
    size_t   len;         /* goes on beyond size */
} mark_plan_text_t;


void mark_plan_put(mark_plan_text_t *text, const char *data, size_t len);

/* A text that ends in a zero, which is not written. */
void mark_plan_puts(mark_plan_text_t *text, const char *data);

/* With quotes and escapes.  The string is UTF-8. */
void mark_plan_put_string(mark_plan_text_t *text, const mark_span_t *string);

/* A finite number, the shortest spelling that reads the same. */
void mark_plan_number(char *buf, double value);


#endif /* _MARK_PLAN_TEXT_H_INCLUDED_ */
