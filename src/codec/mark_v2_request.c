
/*
 * Requests of the Open Inference Protocol: what joins, and what must be equal
 * to be joined.
 */


#include <string.h>

#include "mark_v2.h"


static mark_codec_status_t mark_v2_request(mark_v2_scan_t *scan,
    mark_request_t *request);
static mark_codec_status_t mark_v2_request_id(mark_v2_scan_t *scan);
static mark_codec_status_t mark_v2_request_outputs(mark_v2_scan_t *scan);
static mark_codec_status_t mark_v2_request_output(mark_v2_scan_t *scan);
static mark_codec_status_t mark_v2_request_keep(mark_v2_scan_t *scan,
    mark_request_t *request, mark_memory_t *memory);
static uint8_t *mark_v2_key_text(uint8_t *key, const uint8_t *p,
    const uint8_t *last);


mark_codec_status_t
mark_v2_parse(mark_request_t *request, const mark_codec_conf_t *conf,
    mark_memory_t *memory)
{
    mark_v2_scan_t       scan;
    mark_codec_status_t  status;

    request->timeout = 0;
    request->priority = 0;

    status = mark_v2_scan(&scan, &request->body);

    if (status == MARK_CODEC_OK) {
        status = mark_v2_request(&scan, request);
    }

    if (status == MARK_CODEC_OK) {
        return mark_v2_request_keep(&scan, request, memory);
    }

    /* its data are not those of its shape: the backend may say so */

    return status == MARK_CODEC_MISMATCH ? MARK_CODEC_INVALID : status;
}


static mark_codec_status_t
mark_v2_request(mark_v2_scan_t *scan, mark_request_t *request)
{
    int                   rc, first, found;
    mark_span_t           key;
    mark_json_t          *j;
    mark_codec_status_t   status;

    j = &scan->json;
    found = 0;
    first = 1;

    if (mark_json_enter(j, MARK_JSON_OBJECT) != 0) {
        return MARK_CODEC_INVALID;
    }

    while ((rc = mark_json_member(j, &key, &first, 0)) == 1) {

        if (mark_json_key_is(&key, "inputs")) {
            status = mark_v2_tensors(scan);
            found = 1;

        } else if (mark_json_key_is(&key, "id")) {
            status = mark_v2_request_id(scan);

        } else if (mark_json_key_is(&key, "parameters")) {
            status = mark_v2_request_parameters(scan, request);

        } else if (mark_json_key_is(&key, "outputs")) {
            status = mark_v2_request_outputs(scan);

        } else {
            status = MARK_CODEC_UNSUPPORTED;
        }

        if (status != MARK_CODEC_OK) {
            return status;
        }
    }

    if (rc != 0 || mark_json_end(j) != 0) {
        return MARK_CODEC_INVALID;
    }

    if (!found) {
        return MARK_CODEC_UNSUPPORTED;
    }

    if (scan->text_len + scan->binary_len != scan->body->len) {
        return MARK_CODEC_INVALID;
    }

    return MARK_CODEC_OK;
}


/*
 * The id must be found in the answer byte for byte, so it may hold only what
 * every printer of JSON prints as it is.  An empty one is no id to some
 * servers, which do not repeat it, and is one to others.
 */

static mark_codec_status_t
mark_v2_request_id(mark_v2_scan_t *scan)
{
    size_t                i;
    uint8_t               c;
    mark_span_t           id;
    mark_codec_status_t   status;

    /* none, spelt out; that is text, and equal in all */

    if (mark_v2_null(scan)) {
        return mark_json_skip(&scan->json) == 0 ? MARK_CODEC_OK
                                                : MARK_CODEC_INVALID;
    }

    status = mark_v2_string(scan, &id);

    if (status != MARK_CODEC_OK) {
        return status;
    }

    if (id.len == 2) {
        return MARK_CODEC_UNSUPPORTED;
    }

    for (i = 1; i < id.len - 1; i++) {
        c = id.data[i];

        if ((uint8_t) ((c | 0x20) - 'a') > 25 && (uint8_t) (c - '0') > 9
            && (c == '\0' || strchr("_.:@+- ", c) == NULL))
        {
            return MARK_CODEC_UNSUPPORTED;
        }
    }

    mark_v2_hole(scan, MARK_V2_ID, id.data, id.len, 0);

    return MARK_CODEC_OK;
}


static mark_codec_status_t
mark_v2_request_outputs(mark_v2_scan_t *scan)
{
    int                   rc, first;
    mark_json_t          *j;
    mark_codec_status_t   status;

    j = &scan->json;
    first = 1;

    if (mark_v2_null(scan)) {
        return mark_json_skip(j) == 0 ? MARK_CODEC_OK : MARK_CODEC_INVALID;
    }

    if (mark_json_enter(j, MARK_JSON_ARRAY) != 0) {
        return MARK_CODEC_UNSUPPORTED;
    }

    while ((rc = mark_json_element(j, &first)) == 1) {
        status = mark_v2_request_output(scan);

        if (status != MARK_CODEC_OK) {
            return status;
        }
    }

    return rc == 0 ? MARK_CODEC_OK : MARK_CODEC_INVALID;
}


static mark_codec_status_t
mark_v2_request_output(mark_v2_scan_t *scan)
{
    int                   rc, first;
    unsigned              keys;
    mark_span_t           key, name;
    mark_json_t          *j;
    mark_codec_status_t   status;

    j = &scan->json;
    keys = j->nkeys;
    first = 1;

    if (mark_json_enter(j, MARK_JSON_OBJECT) != 0) {
        return MARK_CODEC_UNSUPPORTED;
    }

    while ((rc = mark_json_member(j, &key, &first, keys)) == 1) {

        if (mark_json_key_is(&key, "name")) {
            status = mark_v2_string(scan, &name);

        } else if (mark_json_key_is(&key, "parameters")) {
            status = mark_v2_input_parameters(scan, NULL);

        } else {
            status = MARK_CODEC_UNSUPPORTED;
        }

        if (status != MARK_CODEC_OK) {
            return status;
        }
    }

    return rc == 0 ? MARK_CODEC_OK : MARK_CODEC_INVALID;
}


/*
 * The key is the text without insignificant white space, with a byte that no
 * JSON has in place of each hole.  Rows that are nested and rows that are not
 * do not go into one list; those with NaN keep apart, as not every backend
 * reads it.
 */

static mark_codec_status_t
mark_v2_request_keep(mark_v2_scan_t *scan, mark_request_t *request,
    mark_memory_t *memory)
{
    size_t             i, len;
    uint8_t           *key;
    const uint8_t     *p, *data;
    mark_v2_hole_t    *hole;
    mark_v2_parsed_t  *parsed;

    data = request->body.data;
    len = sizeof(mark_v2_parsed_t) + scan->nholes * sizeof(mark_v2_hole_t);

    parsed = mark_memory_alloc(memory, len);

    if (parsed == NULL) {
        return MARK_CODEC_MEMORY;
    }

    parsed->text_len = scan->text_len;
    parsed->nholes = scan->nholes;
    memcpy(parsed->holes, scan->holes, scan->nholes * sizeof(mark_v2_hole_t));

    request->nrows = scan->nrows;
    request->parsed = parsed;
    request->parsed_len = len;

    len = 1 + scan->text_len;

    for (i = 0; i < scan->nholes; i++) {
        len -= scan->holes[i].len - 1;
    }

    key = mark_memory_alloc(memory, len);

    if (key == NULL) {
        return MARK_CODEC_MEMORY;
    }

    request->key.data = key;

    *key++ = request->body.binary ? 'b' : 'j';
    p = data;

    for (i = 0; i < scan->nholes; i++) {
        hole = &scan->holes[i];

        key = mark_v2_key_text(key, p, data + hole->offset);
        *key++ = hole->type
                 + (hole->type == MARK_V2_DATA ? hole->value : 0);

        p = data + hole->offset + hole->len;
    }

    key = mark_v2_key_text(key, p, data + scan->text_len);

    request->key.len = key - request->key.data;

    return MARK_CODEC_OK;
}


/* Text between holes is never cut within a string. */

static uint8_t *
mark_v2_key_text(uint8_t *key, const uint8_t *p, const uint8_t *last)
{
    int  string;

    string = 0;

    for ( /* void */ ; p < last; p++) {

        if (string) {
            if (*p == '\\') {
                *key++ = *p++;

            } else if (*p == '"') {
                string = 0;
            }

        } else if (*p <= ' ') {
            continue;

        } else if (*p == '"') {
            string = 1;
        }

        *key++ = *p;
    }

    return key;
}
