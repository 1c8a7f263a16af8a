
/*
 * A place in a JSON document: "$" is the whole, "inputs" a member of it,
 * "data.texts" a member of a member.  "$.inputs" is "inputs".  Members only:
 * nothing leads into lists, and no name has a dot.
 */


#ifndef _MARK_PATH_H_INCLUDED_
#define _MARK_PATH_H_INCLUDED_


#include <stddef.h>

#include "mark_json.h"


#define MARK_PATH_DEPTH  8

/* What mark_json_key_is() compares a key to that is spelled with escapes. */
#define MARK_PATH_NAME   62


typedef struct {
    size_t       depth;                    /* 0: the whole document */
    mark_span_t  names[MARK_PATH_DEPTH];   /* without quotes */
} mark_path_t;


/*
 * Reads a path of len bytes, which it goes on pointing into.  Returns NULL,
 * or a few words on what is wrong with it.
 */
const char *mark_path_parse(mark_path_t *path, const char *text, size_t len);

/* Tells whether a validated key, with its quotes, spells names[level]. */
int mark_path_key_is(const mark_path_t *path, size_t level,
    const mark_span_t *key);


#endif /* _MARK_PATH_H_INCLUDED_ */
