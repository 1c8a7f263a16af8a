
/* TensorFlow Serving's REST API, the rows of a request: see mark_v1.h. */


#include "mark_v1.h"


static mark_codec_status_t mark_v1_list(mark_v1_reader_t *r,
    mark_v1_list_t *list);


mark_codec_status_t
mark_v1_rows(mark_v1_reader_t *r)
{
    return mark_v1_list(r, &r->v1.lists[r->v1.nlists++]);
}


/*
 * TensorFlow Serving lets columns differ in length, which is for it alone to
 * understand.  {"b64": "..."} is a value to it, no set of columns, and passes
 * as one whose column is no list.
 */

mark_codec_status_t
mark_v1_columns(mark_v1_reader_t *r)
{
    int                   rc, first;
    size_t                nrows;
    unsigned              keys;
    mark_json_t          *j;
    mark_span_t           name;
    mark_codec_status_t   status;

    j = &r->json;
    keys = j->nkeys;
    nrows = 0;
    first = 1;

    if (mark_json_enter(j, MARK_JSON_OBJECT) != 0) {
        return MARK_CODEC_INVALID;
    }

    while ((rc = mark_json_member(j, &name, &first, keys)) == 1) {

        if (r->v1.nlists == MARK_V1_LISTS) {
            return MARK_CODEC_UNSUPPORTED;
        }

        r->names[r->v1.nlists] = name;

        status = mark_v1_list(r, &r->v1.lists[r->v1.nlists++]);

        if (status != MARK_CODEC_OK) {
            return status;
        }

        if (r->v1.nlists == 1) {
            nrows = r->request->nrows;

        } else if (r->request->nrows != nrows) {
            return MARK_CODEC_UNSUPPORTED;
        }
    }

    if (rc != 0) {
        return MARK_CODEC_INVALID;
    }

    return r->v1.nlists ? MARK_CODEC_OK : MARK_CODEC_UNSUPPORTED;
}


static mark_codec_status_t
mark_v1_list(mark_v1_reader_t *r, mark_v1_list_t *list)
{
    int             rc, first;
    size_t          n;
    mark_json_t    *j;
    const uint8_t  *body, *start, *last;

    j = &r->json;

    mark_json_space(j);

    /* anything else is for the backend to understand or refuse */

    if (j->pos == j->last || *j->pos != '[') {
        return MARK_CODEC_UNSUPPORTED;
    }

    if (mark_json_enter(j, MARK_JSON_ARRAY) != 0) {
        return MARK_CODEC_INVALID;
    }

    body = r->request->body.data;

    list->head = j->pos - body;

    start = j->pos;
    last = j->pos;
    first = 1;
    n = 0;

    while ((rc = mark_json_element(j, &first)) == 1) {

        if (n++ == 0) {
            start = j->pos;
        }

        if (mark_json_skip(j) != 0) {
            return MARK_CODEC_INVALID;
        }

        last = j->pos;
    }

    if (rc != 0) {
        return MARK_CODEC_INVALID;
    }

    r->request->nrows = n;

    list->rows = start - body;
    list->rows_end = last - body;
    list->tail = j->pos - 1 - body;

    return MARK_CODEC_OK;
}
