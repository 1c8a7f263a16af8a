
/*
 * A place in a JSON document: "$" is the whole, "inputs" a member of it,
 * "data.texts" a member of a member.
 */


#ifndef _MARK_PATH_H_INCLUDED_
#define _MARK_PATH_H_INCLUDED_


#include <stddef.h>

#include "mark_json.h"


#define MARK_PATH_DEPTH  8


typedef struct {
    size_t       depth;                    /* 0: the whole document */
    mark_span_t  names[MARK_PATH_DEPTH];   /* without quotes */
} mark_path_t;


/*
 * Reads a path of len bytes, which it goes on pointing into.  Returns NULL,
 * or a few words on what is wrong with it.
 */
const char *mark_path_parse(mark_path_t *path, const char *text, size_t len);


#endif /* _MARK_PATH_H_INCLUDED_ */
