
/*
 * "input" of an embeddings request: strings or token ids.  Backends refuse a
 * whole request for one element that is empty or of another kind, so such a
 * request is not put beside others.
 */


#include <string.h>

#include "mark_embeddings.h"


/* Token ids have fewer digits, in any vocabulary. */

#define MARK_EMBEDDINGS_DIGITS  9


static mark_codec_status_t mark_embeddings_list(mark_request_t *request,
    mark_embeddings_t *input, mark_json_t *j);
static mark_codec_status_t mark_embeddings_string(mark_embeddings_t *input,
    mark_json_t *j);
static mark_codec_status_t mark_embeddings_tokens(mark_embeddings_t *input,
    mark_json_t *j);
static size_t mark_embeddings_len(const uint8_t *p, const uint8_t *last);


mark_codec_status_t
mark_embeddings_input(mark_request_t *request, mark_embeddings_t *input,
    mark_json_t *j)
{
    mark_codec_status_t  status;

    mark_json_space(j);

    if (j->pos == j->last) {
        return MARK_CODEC_INVALID;
    }

    input->start = j->pos - request->body.data;

    switch (*j->pos) {

    case '"':
        request->nrows = 1;
        input->rows_start = input->start;

        status = mark_embeddings_string(input, j);

        input->rows_end = j->pos - request->body.data;
        break;

    case '[':
        status = mark_embeddings_list(request, input, j);
        break;

    default:
        return MARK_CODEC_UNSUPPORTED;
    }

    input->end = j->pos - request->body.data;

    return status;
}


static mark_codec_status_t
mark_embeddings_list(mark_request_t *request, mark_embeddings_t *input,
    mark_json_t *j)
{
    int                   rc, first;
    uint8_t               kind;
    const uint8_t        *list, *last;
    mark_codec_status_t   status;

    list = j->pos;
    last = j->pos;
    first = 1;
    kind = 0;

    if (mark_json_enter(j, MARK_JSON_ARRAY) != 0) {
        return MARK_CODEC_INVALID;
    }

    request->nrows = 0;

    while ((rc = mark_json_element(j, &first)) == 1) {

        if (j->pos == j->last) {
            return MARK_CODEC_INVALID;
        }

        if (request->nrows == 0) {
            kind = *j->pos;
            input->rows_start = j->pos - request->body.data;

            if (kind != '"' && kind != '[') {

                /* a list of token ids is one row */

                j->pos = list;
                j->depth--;

                status = mark_embeddings_tokens(input, j);

                request->nrows = 1;
                input->rows_start = list - request->body.data;
                input->rows_end = j->pos - request->body.data;

                return status;
            }

        } else if (*j->pos != kind) {
            return MARK_CODEC_UNSUPPORTED;
        }

        status = (kind == '"') ? mark_embeddings_string(input, j)
                               : mark_embeddings_tokens(input, j);

        if (status != MARK_CODEC_OK) {
            return status;
        }

        request->nrows++;
        last = j->pos;
    }

    if (rc != 0) {
        return MARK_CODEC_INVALID;
    }

    if (request->nrows) {
        input->rows_end = last - request->body.data;
    }

    return MARK_CODEC_OK;
}


static mark_codec_status_t
mark_embeddings_string(mark_embeddings_t *input, mark_json_t *j)
{
    const uint8_t  *start;

    start = j->pos + 1;

    if (mark_json_skip(j) != 0) {
        return MARK_CODEC_INVALID;
    }

    if (start == j->pos - 1) {
        return MARK_CODEC_UNSUPPORTED;
    }

    input->weight += mark_embeddings_len(start, j->pos - 1);

    return MARK_CODEC_OK;
}


/*
 * Thousands of ids are usual, so they are read here, and not one by one with
 * the scanner.  What is not a plain integer is left to whom it is passed on.
 */

static mark_codec_status_t
mark_embeddings_tokens(mark_embeddings_t *input, mark_json_t *j)
{
    size_t          n;
    const uint8_t  *p, *last, *start;

    if (mark_json_enter(j, MARK_JSON_ARRAY) != 0) {
        return MARK_CODEC_INVALID;
    }

    last = j->last;
    n = 0;

    for ( ;; ) {
        mark_json_space(j);

        start = j->pos;

        for (p = start; p < last && *p >= '0' && *p <= '9'; p++) {
            /* void */
        }

        if (p == last) {
            return MARK_CODEC_INVALID;
        }

        if (p == start || p - start > MARK_EMBEDDINGS_DIGITS
            || *p == '.' || *p == 'e' || *p == 'E')
        {
            return MARK_CODEC_UNSUPPORTED;
        }

        if (*start == '0' && p - start > 1) {
            return MARK_CODEC_INVALID;
        }

        n++;
        j->pos = p;

        if (*p <= ' ') {
            mark_json_space(j);

            if (j->pos == last) {
                return MARK_CODEC_INVALID;
            }
        }

        if (*j->pos++ != ',') {
            break;
        }
    }

    if (j->pos[-1] != ']') {
        return MARK_CODEC_INVALID;
    }

    j->depth--;

    input->weight += n;
    input->tokens = 1;

    return MARK_CODEC_OK;
}


/*
 * Bytes of a valid string as UTF-8: some clients escape all that is not
 * ASCII, and are not to pay for three times the text.
 */

static size_t
mark_embeddings_len(const uint8_t *p, const uint8_t *last)
{
    size_t          len;
    const uint8_t  *escape;

    len = last - p;

    while (p < last && (escape = memchr(p, '\\', last - p)) != NULL) {

        if (escape[1] != 'u') {
            len--;
            p = escape + 2;
            continue;
        }

        p = escape + 6;

        if ((escape[2] | 0x20) == 'd' && escape[3] >= '8') {

            /* a surrogate, half of a character of four bytes */

            len -= 4;

        } else if (escape[2] == '0' && escape[3] < '8') {

            /* U+0000 to U+007F, or to U+07FF */

            len -= (escape[3] == '0' && escape[4] < '8') ? 5 : 4;

        } else {
            len -= 3;
        }
    }

    return len;
}
