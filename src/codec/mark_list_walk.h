
/*
 * A walk through a JSON document to the list that a path leads to, and behind
 * it to the end.  All that is passed is validated.
 */


#ifndef _MARK_LIST_WALK_H_INCLUDED_
#define _MARK_LIST_WALK_H_INCLUDED_


#include "mark_codec.h"


typedef struct {
    mark_json_t         json;         /* the caller's to init */
    const mark_path_t  *path;

    /* arrays and objects beside the path are MARK_CODEC_UNSUPPORTED */

    unsigned            scalars:1;

    size_t              open;         /* objects entered */
    unsigned            keys[MARK_PATH_DEPTH];   /* json.nkeys before each */
} mark_list_walk_t;


/*
 * Stands before the list, or has read all: MARK_CODEC_INVALID if that is not
 * JSON, _UNSUPPORTED if it is, and the path leads to no list.
 */
mark_codec_status_t mark_list_walk_in(mark_list_walk_t *walk);

/* Goes on behind the list, to the end of the document. */
mark_codec_status_t mark_list_walk_out(mark_list_walk_t *walk);


#endif /* _MARK_LIST_WALK_H_INCLUDED_ */
