
/* What the parts of the JSON scanner share; nobody else includes it. */


#ifndef _MARK_JSON_TOKEN_H_INCLUDED_
#define _MARK_JSON_TOKEN_H_INCLUDED_


#include "mark_json.h"


/* Each passes one token at pos: 0, or -1 with error set. */
int mark_json_string(mark_json_t *j);
int mark_json_number(mark_json_t *j);
int mark_json_word(mark_json_t *j, const char *word, size_t len);

/* Tells whether two validated keys, with their quotes, are one key. */
int mark_json_same_key(const mark_span_t *a, const mark_span_t *b);


static inline int
mark_json_fail(mark_json_t *j, mark_json_error_t error)
{
    j->error = error;
    return -1;
}


#endif /* _MARK_JSON_TOKEN_H_INCLUDED_ */
