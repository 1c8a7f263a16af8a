
/*
 * The parameters of requests: those that servers reserve have a meaning that
 * a batch may not have, all others are the model's and must be equal.
 */


#include <limits.h>
#include <string.h>

#include "mark_v2.h"


typedef struct {
    const char           *name;
    mark_codec_status_t   status;
} mark_v2_reserved_t;


static mark_codec_status_t mark_v2_parameter(mark_v2_scan_t *scan,
    const mark_span_t *name);
static mark_codec_status_t mark_v2_urgency(mark_v2_scan_t *scan,
    mark_v2_type_t type, uint64_t max, uint64_t *value);


/*
 * Top classes (classification) of a model that does not know of batches are
 * those of its whole output, which is that of all its rows here.
 */

static const mark_v2_reserved_t  mark_v2_reserved[] = {
    { "sequence_id", MARK_CODEC_STATEFUL },
    { "sequence_start", MARK_CODEC_STATEFUL },
    { "sequence_end", MARK_CODEC_STATEFUL },
    { "shared_memory_region", MARK_CODEC_STATEFUL },
    { "shared_memory_offset", MARK_CODEC_STATEFUL },
    { "shared_memory_byte_size", MARK_CODEC_STATEFUL },
    { "triton_enable_empty_final_response", MARK_CODEC_STREAM },
    { "classification", MARK_CODEC_UNSUPPORTED },
    { "binary_data_size", MARK_CODEC_UNSUPPORTED },
    { "headers", MARK_CODEC_UNSUPPORTED },
    { NULL, MARK_CODEC_OK }
};


mark_codec_status_t
mark_v2_request_parameters(mark_v2_scan_t *scan, mark_request_t *request)
{
    int                   rc, first;
    unsigned              keys;
    uint64_t              priority;
    mark_span_t           name;
    mark_json_t          *j;
    mark_codec_status_t   status;

    j = &scan->json;
    keys = j->nkeys;
    priority = 0;
    first = 1;

    if (mark_v2_null(scan)) {
        return mark_json_skip(j) == 0 ? MARK_CODEC_OK : MARK_CODEC_INVALID;
    }

    if (mark_json_enter(j, MARK_JSON_OBJECT) != 0) {
        return MARK_CODEC_UNSUPPORTED;
    }

    while ((rc = mark_json_member(j, &name, &first, keys)) == 1) {

        if (mark_json_key_is(&name, "timeout")) {
            status = mark_v2_urgency(scan, MARK_V2_TIMEOUT, UINT64_MAX,
                                     &request->timeout);

        } else if (mark_json_key_is(&name, "priority")) {
            status = mark_v2_urgency(scan, MARK_V2_PRIORITY, UINT_MAX,
                                     &priority);

        } else {
            status = mark_v2_parameter(scan, &name);
        }

        if (status != MARK_CODEC_OK) {
            return status;
        }
    }

    request->priority = priority;

    return rc == 0 ? MARK_CODEC_OK : MARK_CODEC_INVALID;
}


mark_codec_status_t
mark_v2_input_parameters(mark_v2_scan_t *scan, uint64_t *size)
{
    int                   rc, first;
    unsigned              keys;
    mark_span_t           name;
    mark_json_t          *j;
    mark_codec_status_t   status;

    j = &scan->json;
    keys = j->nkeys;
    first = 1;

    if (mark_v2_null(scan)) {
        return mark_json_skip(j) == 0 ? MARK_CODEC_OK : MARK_CODEC_INVALID;
    }

    if (mark_json_enter(j, MARK_JSON_OBJECT) != 0) {
        return MARK_CODEC_UNSUPPORTED;
    }

    while ((rc = mark_json_member(j, &name, &first, keys)) == 1) {

        if (size && mark_json_key_is(&name, "binary_data_size")) {
            status = mark_v2_size(scan, size);

        } else {
            status = mark_v2_parameter(scan, &name);
        }

        if (status != MARK_CODEC_OK) {
            return status;
        }
    }

    return rc == 0 ? MARK_CODEC_OK : MARK_CODEC_INVALID;
}


static mark_codec_status_t
mark_v2_parameter(mark_v2_scan_t *scan, const mark_span_t *name)
{
    mark_json_t               *j;
    const mark_v2_reserved_t  *reserved;

    j = &scan->json;

    for (reserved = mark_v2_reserved; reserved->name; reserved++) {
        if (mark_json_key_is(name, reserved->name)) {
            return reserved->status;
        }
    }

    /* an escape could hide a prefix, and nobody needs one in a name */

    if (memchr(name->data, '\\', name->len) != NULL
        || (name->len > 7 && memcmp(name->data + 1, "triton_", 7) == 0))
    {
        return MARK_CODEC_UNSUPPORTED;
    }

    if (mark_v2_null(scan)) {
        return MARK_CODEC_UNSUPPORTED;
    }

    if (mark_json_skip(j) != 0) {
        return MARK_CODEC_INVALID;
    }

    if (j->type == MARK_JSON_ARRAY || j->type == MARK_JSON_OBJECT) {
        return MARK_CODEC_UNSUPPORTED;
    }

    return MARK_CODEC_OK;
}


/* What each member of a batch may have its own of. */

static mark_codec_status_t
mark_v2_urgency(mark_v2_scan_t *scan, mark_v2_type_t type, uint64_t max,
    uint64_t *value)
{
    mark_json_t    *j;
    const uint8_t  *start;

    j = &scan->json;

    mark_json_space(j);
    start = j->pos;

    if (mark_json_unsigned(j, value) != 1 || *value > max) {
        return MARK_CODEC_UNSUPPORTED;
    }

    mark_v2_hole(scan, type, start, j->pos - start, *value);

    return MARK_CODEC_OK;
}
