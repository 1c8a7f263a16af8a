
/* The way to a list in a document, and out of it: see mark_list_walk.h. */


#include "mark_list_walk.h"


static mark_codec_status_t mark_list_walk_beside(mark_list_walk_t *walk);
static mark_codec_status_t mark_list_walk_none(mark_list_walk_t *walk);
static int mark_list_walk_at(mark_json_t *j, uint8_t bracket);


mark_codec_status_t
mark_list_walk_in(mark_list_walk_t *walk)
{
    int                   rc, first;
    mark_span_t           key;
    mark_json_t          *j;
    mark_codec_status_t   status;

    j = &walk->json;

    for (walk->open = 0; walk->open < walk->path->depth; /* void */ ) {

        if (!mark_list_walk_at(j, '{')) {
            return mark_list_walk_none(walk);
        }

        walk->keys[walk->open++] = j->nkeys;
        first = 1;

        if (mark_json_enter(j, MARK_JSON_OBJECT) != 0) {
            return MARK_CODEC_INVALID;
        }

        for ( ;; ) {
            rc = mark_json_member(j, &key, &first, walk->keys[walk->open - 1]);

            if (rc == -1) {
                return MARK_CODEC_INVALID;
            }

            if (rc == 0) {
                walk->open--;
                status = mark_list_walk_out(walk);

                return status == MARK_CODEC_OK ? MARK_CODEC_UNSUPPORTED
                                               : status;
            }

            if (mark_path_key_is(walk->path, walk->open - 1, &key)) {
                break;
            }

            status = mark_list_walk_beside(walk);

            if (status != MARK_CODEC_OK) {
                return status;
            }
        }
    }

    if (!mark_list_walk_at(j, '[')) {
        return mark_list_walk_none(walk);
    }

    return MARK_CODEC_OK;
}


mark_codec_status_t
mark_list_walk_out(mark_list_walk_t *walk)
{
    int                   rc, first;
    mark_span_t           key;
    mark_json_t          *j;
    mark_codec_status_t   status;

    j = &walk->json;

    while (walk->open) {
        first = 0;
        rc = mark_json_member(j, &key, &first, walk->keys[walk->open - 1]);

        if (rc == -1) {
            return MARK_CODEC_INVALID;
        }

        if (rc == 0) {
            walk->open--;
            continue;
        }

        status = mark_list_walk_beside(walk);

        if (status != MARK_CODEC_OK) {
            return status;
        }
    }

    return mark_json_end(j) == 0 ? MARK_CODEC_OK : MARK_CODEC_INVALID;
}


/* Passes a value that is not on the path. */

static mark_codec_status_t
mark_list_walk_beside(mark_list_walk_t *walk)
{
    if (mark_json_skip(&walk->json) != 0) {
        return MARK_CODEC_INVALID;
    }

    /* in an answer it could be of one request only */

    if (walk->scalars
        && (walk->json.type == MARK_JSON_ARRAY
            || walk->json.type == MARK_JSON_OBJECT))
    {
        return MARK_CODEC_UNSUPPORTED;
    }

    return MARK_CODEC_OK;
}


/* The path ends at something else: tells whether that is JSON at least. */

static mark_codec_status_t
mark_list_walk_none(mark_list_walk_t *walk)
{
    mark_codec_status_t  status;

    if (mark_json_skip(&walk->json) != 0) {
        return MARK_CODEC_INVALID;
    }

    status = mark_list_walk_out(walk);

    return status == MARK_CODEC_OK ? MARK_CODEC_UNSUPPORTED : status;
}


static int
mark_list_walk_at(mark_json_t *j, uint8_t bracket)
{
    mark_json_space(j);

    return j->pos < j->last && *j->pos == bracket;
}
