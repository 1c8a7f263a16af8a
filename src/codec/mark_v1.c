
/* TensorFlow Serving's REST rows: see mark_v1.h. */


#include <string.h>

#include "mark_v1.h"


static mark_v1_status_t mark_v1_parse_rows(mark_json_t *j,
    mark_v1_request_t *req);
static mark_v1_status_t mark_v1_split_rows(mark_json_t *j,
    mark_v1_reply_t *reply, mark_v1_slice_t *slices, size_t n);
static uint8_t *mark_v1_put(uint8_t *p, const mark_span_t *span);


mark_v1_status_t
mark_v1_parse(mark_v1_request_t *req, const void *body, size_t len)
{
    int               rc, first, found;
    mark_span_t       key;
    mark_json_t       j;
    mark_v1_status_t  status;

    req->signature.len = 0;
    found = 0;
    first = 1;

    mark_json_init(&j, body, len);

    if (mark_json_enter(&j, MARK_JSON_OBJECT) != 0) {
        return MARK_V1_INVALID;
    }

    while ((rc = mark_json_member(&j, &key, &first, 0)) == 1) {

        if (mark_json_key_is(&key, "instances")) {
            status = mark_v1_parse_rows(&j, req);

            if (status != MARK_V1_OK) {
                return status;
            }

            found = 1;
            continue;
        }

        /*
         * What a member that nobody told us of means to one request, its
         * identity, say, cannot be known, so only this one is passed on.
         */

        if (!mark_json_key_is(&key, "signature_name")) {
            return MARK_V1_UNSUPPORTED;
        }

        mark_json_space(&j);
        req->signature.data = j.pos;

        if (mark_json_skip(&j) != 0) {
            return MARK_V1_INVALID;
        }

        req->signature.len = j.pos - req->signature.data;
    }

    if (rc != 0 || mark_json_end(&j) != 0) {
        return MARK_V1_INVALID;
    }

    if (!found) {
        return MARK_V1_UNSUPPORTED;
    }

    req->head.len = req->head.data - (const uint8_t *) body;
    req->head.data = body;
    req->tail.len = (const uint8_t *) body + len - req->tail.data;
    req->lax = j.lax;

    return req->nrows ? MARK_V1_OK : MARK_V1_NO_ROWS;
}


static mark_v1_status_t
mark_v1_parse_rows(mark_json_t *j, mark_v1_request_t *req)
{
    int             rc, first;
    size_t          n;
    const uint8_t  *start, *last;

    mark_json_space(j);

    /* {"instances": {...}} is for the backend to refuse */

    if (j->pos == j->last || *j->pos != '[') {
        return MARK_V1_UNSUPPORTED;
    }

    if (mark_json_enter(j, MARK_JSON_ARRAY) != 0) {
        return MARK_V1_INVALID;
    }

    /* the caller knows where the body begins */

    req->head.data = j->pos;

    start = NULL;
    last = NULL;
    first = 1;
    n = 0;

    while ((rc = mark_json_element(j, &first)) == 1) {

        if (n++ == 0) {
            start = j->pos;
        }

        if (mark_json_skip(j) != 0) {
            return MARK_V1_INVALID;
        }

        last = j->pos;
    }

    if (rc != 0) {
        return MARK_V1_INVALID;
    }

    req->nrows = n;
    req->rows.data = start;
    req->rows.len = last - start;
    req->tail.data = j->pos - 1;

    return MARK_V1_OK;
}


size_t
mark_v1_key(const mark_v1_request_t *req, uint8_t *key)
{
    /* requests with NaN keep apart: not every backend reads it */

    *key = req->lax ? 'n' : 'v';

    return mark_v1_put(key + 1, &req->signature) - key;
}


uint8_t *
mark_v1_join_begin(uint8_t *p, const mark_v1_request_t *first)
{
    return mark_v1_put(p, &first->head);
}


uint8_t *
mark_v1_join_rows(uint8_t *p, const mark_v1_request_t *req, size_t n)
{
    if (n) {
        *p++ = ',';
    }

    return mark_v1_put(p, &req->rows);
}


uint8_t *
mark_v1_join_end(uint8_t *p, const mark_v1_request_t *first)
{
    return mark_v1_put(p, &first->tail);
}


mark_v1_status_t
mark_v1_split(mark_v1_reply_t *reply, const void *body, size_t len,
    mark_v1_slice_t *slices, size_t n)
{
    int               rc, first, found;
    mark_span_t       key;
    mark_json_t       j;
    mark_v1_status_t  status;

    found = 0;
    first = 1;

    mark_json_init(&j, body, len);

    if (mark_json_enter(&j, MARK_JSON_OBJECT) != 0) {
        return MARK_V1_INVALID;
    }

    while ((rc = mark_json_member(&j, &key, &first, 0)) == 1) {

        if (mark_json_key_is(&key, "predictions")) {
            status = mark_v1_split_rows(&j, reply, slices, n);

            if (status != MARK_V1_OK) {
                return status;
            }

            found = 1;
            continue;
        }

        if (mark_json_skip(&j) != 0) {
            return MARK_V1_INVALID;
        }

        if (j.type == MARK_JSON_ARRAY || j.type == MARK_JSON_OBJECT) {
            return MARK_V1_UNSUPPORTED;
        }
    }

    if (rc != 0 || mark_json_end(&j) != 0) {
        return MARK_V1_INVALID;
    }

    if (!found) {
        return MARK_V1_UNSUPPORTED;
    }

    reply->head.data = body;
    reply->head.len = slices[0].rows.data - reply->head.data;
    reply->tail.len = (const uint8_t *) body + len - reply->tail.data;

    return MARK_V1_OK;
}


static mark_v1_status_t
mark_v1_split_rows(mark_json_t *j, mark_v1_reply_t *reply,
    mark_v1_slice_t *slices, size_t n)
{
    int     rc, first;
    size_t  i, k;

    mark_json_space(j);

    if (j->pos == j->last || *j->pos != '[') {
        return MARK_V1_UNSUPPORTED;
    }

    if (mark_json_enter(j, MARK_JSON_ARRAY) != 0) {
        return MARK_V1_INVALID;
    }

    first = 1;

    for (i = 0; i < n; i++) {

        for (k = 0; k < slices[i].nrows; k++) {
            rc = mark_json_element(j, &first);

            if (rc != 1) {
                return rc == 0 ? MARK_V1_MISMATCH : MARK_V1_INVALID;
            }

            if (k == 0) {
                slices[i].rows.data = j->pos;
            }

            if (mark_json_skip(j) != 0) {
                return MARK_V1_INVALID;
            }
        }

        slices[i].rows.len = j->pos - slices[i].rows.data;
    }

    reply->tail.data = j->pos;

    rc = mark_json_element(j, &first);

    if (rc != 0) {
        return rc == 1 ? MARK_V1_MISMATCH : MARK_V1_INVALID;
    }

    return MARK_V1_OK;
}


static uint8_t *
mark_v1_put(uint8_t *p, const mark_span_t *span)
{
    if (span->len) {
        memcpy(p, span->data, span->len);
    }

    return p + span->len;
}
