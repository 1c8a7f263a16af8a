
/* The answer of a function that takes events: see mark_event.h. */


#include <string.h>

#include "mark_base64.h"
#include "mark_event.h"


/* What has been found of an answer, before anything is decoded. */

typedef struct {
    mark_json_t          json;
    mark_span_t          status;
    mark_span_t          body;
    unsigned             base64:1;
    unsigned             error:1;      /* a member is not what it should be */
    unsigned             memory:1;     /* there was none */
} mark_event_reader_t;


static void mark_event_members(mark_event_reader_t *reader,
    mark_event_answer_t *answer, mark_memory_t *memory);
static void mark_event_value(mark_event_reader_t *reader, mark_span_t *value,
    mark_json_type_t type);
static void mark_event_answer_headers(mark_event_reader_t *reader,
    mark_event_answer_t *answer, mark_memory_t *memory);
static void mark_event_cookies(mark_event_reader_t *reader,
    mark_event_answer_t *answer, mark_memory_t *memory);
static mark_event_header_t *mark_event_add(mark_event_reader_t *reader,
    mark_event_answer_t *answer);
static int mark_event_next(mark_event_reader_t *reader, mark_span_t *value);
static int mark_event_status(mark_event_answer_t *answer,
    const mark_span_t *status);
static mark_codec_status_t mark_event_decode(mark_span_t *to,
    const mark_span_t *from, mark_memory_t *memory);
static uint8_t *mark_event_unescape(uint8_t *q, const uint8_t **from);
static unsigned mark_event_hex(const uint8_t *p);


mark_codec_status_t
mark_event_read(mark_event_answer_t *answer, const uint8_t *data, size_t len,
    mark_memory_t *memory)
{
    uint8_t              *p, *last;
    mark_codec_status_t   rc;
    mark_event_reader_t   reader;

    memset(&reader.status, 0, sizeof(mark_span_t));
    memset(&reader.body, 0, sizeof(mark_span_t));
    reader.base64 = 0;
    reader.error = 0;
    reader.memory = 0;

    answer->nheaders = 0;
    answer->body.data = data;
    answer->body.len = len;

    mark_json_init(&reader.json, data, len);
    mark_json_space(&reader.json);

    if (reader.json.pos < reader.json.last && *reader.json.pos == '{') {
        mark_event_members(&reader, answer, memory);

    } else if (mark_json_skip(&reader.json) != 0) {
        return MARK_CODEC_INVALID;
    }

    if (reader.json.error || mark_json_end(&reader.json) != 0) {
        return MARK_CODEC_INVALID;
    }

    if (reader.status.len == 0) {

        /* whatever else it has is the model's, and no envelope */

        answer->status = 200;
        answer->nheaders = 1;
        answer->headers[0].name.data = (const uint8_t *) "Content-Type";
        answer->headers[0].name.len = 12;
        answer->headers[0].value.data = (const uint8_t *) "application/json";
        answer->headers[0].value.len = 16;

        return MARK_CODEC_OK;
    }

    if (reader.memory) {
        return MARK_CODEC_MEMORY;
    }

    if (reader.error || mark_event_status(answer, &reader.status) != 0) {
        return MARK_CODEC_INVALID;
    }

    rc = mark_event_decode(&answer->body, &reader.body, memory);

    if (rc != MARK_CODEC_OK || !reader.base64 || answer->body.len == 0) {
        return rc;
    }

    p = memory->alloc(memory->pool,
                      mark_base64_decoded(answer->body.len) + 1);
    if (p == NULL) {
        return MARK_CODEC_MEMORY;
    }

    last = mark_base64_decode(p, answer->body.data, answer->body.len);
    if (last == NULL) {
        return MARK_CODEC_INVALID;
    }

    answer->body.data = p;
    answer->body.len = last - p;

    return MARK_CODEC_OK;
}


static void
mark_event_members(mark_event_reader_t *reader, mark_event_answer_t *answer,
    mark_memory_t *memory)
{
    int           first;
    unsigned      keys;
    mark_json_t  *j;
    mark_span_t   key, value;

    j = &reader->json;
    first = 1;
    keys = j->nkeys;

    if (mark_json_enter(j, MARK_JSON_OBJECT) != 0) {
        return;
    }

    while (mark_json_member(j, &key, &first, keys) == 1) {

        if (mark_json_key_is(&key, "headers")) {
            mark_event_answer_headers(reader, answer, memory);

        } else if (mark_json_key_is(&key, "cookies")) {
            mark_event_cookies(reader, answer, memory);

        } else if (mark_json_key_is(&key, "statusCode")) {
            mark_event_value(reader, &reader->status, MARK_JSON_NUMBER);

        } else if (mark_json_key_is(&key, "body")) {
            mark_event_value(reader, &reader->body, MARK_JSON_STRING);

        } else if (mark_json_key_is(&key, "isBase64Encoded")) {
            mark_event_value(reader, &value, MARK_JSON_LITERAL);
            reader->base64 = (value.len == 4 && *value.data == 't');

        } else {
            (void) mark_json_skip(j);
        }

        if (j->error) {
            return;
        }
    }
}


/* A value of this type, or null, which is as good as none. */

static void
mark_event_value(mark_event_reader_t *reader, mark_span_t *value,
    mark_json_type_t type)
{
    if (mark_event_next(reader, value) != 0) {
        value->len = 0;
        return;
    }

    if (value->len == 4 && memcmp(value->data, "null", 4) == 0) {
        value->len = 0;

    } else if (reader->json.type != type) {
        reader->error = 1;
    }
}


static void
mark_event_answer_headers(mark_event_reader_t *reader,
    mark_event_answer_t *answer, mark_memory_t *memory)
{
    int                   first;
    unsigned              keys;
    mark_json_t          *j;
    mark_span_t           key, value;
    mark_event_header_t  *h;

    j = &reader->json;
    first = 1;
    keys = j->nkeys;

    mark_json_space(j);

    if (j->pos == j->last || *j->pos != '{') {
        mark_event_value(reader, &value, MARK_JSON_OBJECT);
        return;
    }

    if (mark_json_enter(j, MARK_JSON_OBJECT) != 0) {
        return;
    }

    while (mark_json_member(j, &key, &first, keys) == 1) {

        if (mark_event_next(reader, &value) != 0) {
            return;
        }

        h = mark_event_add(reader, answer);

        if (h == NULL || reader->error) {
            continue;
        }

        if (j->type == MARK_JSON_OBJECT || j->type == MARK_JSON_ARRAY) {
            reader->error = 1;
            continue;
        }

        /* numbers and booleans stand as they are */

        h->value = value;

        if (mark_event_decode(&h->name, &key, memory) != MARK_CODEC_OK
            || (j->type == MARK_JSON_STRING
                && mark_event_decode(&h->value, &value, memory)
                   != MARK_CODEC_OK))
        {
            reader->memory = 1;
            h->name.len = 0;
        }
    }
}


static void
mark_event_cookies(mark_event_reader_t *reader, mark_event_answer_t *answer,
    mark_memory_t *memory)
{
    int                   first;
    mark_json_t          *j;
    mark_span_t           value;
    mark_event_header_t  *h;

    j = &reader->json;
    first = 1;

    mark_json_space(j);

    if (j->pos == j->last || *j->pos != '[') {
        mark_event_value(reader, &value, MARK_JSON_ARRAY);
        return;
    }

    if (mark_json_enter(j, MARK_JSON_ARRAY) != 0) {
        return;
    }

    while (mark_json_element(j, &first) == 1) {

        mark_event_value(reader, &value, MARK_JSON_STRING);

        if (j->error) {
            return;
        }

        h = mark_event_add(reader, answer);

        if (h == NULL || reader->error) {
            continue;
        }

        h->name.data = (const uint8_t *) "Set-Cookie";
        h->name.len = 10;

        if (mark_event_decode(&h->value, &value, memory) != MARK_CODEC_OK) {
            reader->memory = 1;
            h->value.len = 0;
        }
    }
}


static mark_event_header_t *
mark_event_add(mark_event_reader_t *reader, mark_event_answer_t *answer)
{
    mark_event_header_t  *h;

    if (answer->nheaders == MARK_EVENT_HEADERS) {
        reader->error = 1;
        return NULL;
    }

    h = &answer->headers[answer->nheaders++];
    memset(h, 0, sizeof(mark_event_header_t));

    return h;
}


/* The next value, as it is written. */

static int
mark_event_next(mark_event_reader_t *reader, mark_span_t *value)
{
    mark_json_space(&reader->json);

    value->data = reader->json.pos;

    if (mark_json_skip(&reader->json) != 0) {
        return -1;
    }

    value->len = reader->json.pos - value->data;

    return 0;
}


static int
mark_event_status(mark_event_answer_t *answer, const mark_span_t *status)
{
    size_t  i;

    if (status->len != 3) {
        return -1;
    }

    answer->status = 0;

    for (i = 0; i < 3; i++) {
        if (status->data[i] < '0' || status->data[i] > '9') {
            return -1;
        }

        answer->status = answer->status * 10 + (status->data[i] - '0');
    }

    return (answer->status >= 200 && answer->status <= 599) ? 0 : -1;
}


/* The text of a validated JSON string; of none, nothing. */

static mark_codec_status_t
mark_event_decode(mark_span_t *to, const mark_span_t *from,
    mark_memory_t *memory)
{
    uint8_t        *q;
    const uint8_t  *p, *last;

    if (from->len < 2) {
        to->data = (const uint8_t *) "";
        to->len = 0;
        return MARK_CODEC_OK;
    }

    p = from->data + 1;
    last = from->data + from->len - 1;

    if (memchr(p, '\\', last - p) == NULL) {
        to->data = p;
        to->len = last - p;
        return MARK_CODEC_OK;
    }

    /* no escape is shorter than what it stands for */

    q = memory->alloc(memory->pool, last - p);
    if (q == NULL) {
        return MARK_CODEC_MEMORY;
    }

    to->data = q;

    while (p < last) {
        if (*p == '\\') {
            q = mark_event_unescape(q, &p);

        } else {
            *q++ = *p++;
        }
    }

    to->len = q - to->data;

    return MARK_CODEC_OK;
}


/* One escape; the scanner has seen to it that surrogates are in pairs. */

static uint8_t *
mark_event_unescape(uint8_t *q, const uint8_t **from)
{
    unsigned        c;
    const uint8_t  *p;

    p = *from + 1;
    c = *p++;

    switch (c) {

    case 'b':
        c = '\b';
        break;

    case 'f':
        c = '\f';
        break;

    case 'n':
        c = '\n';
        break;

    case 'r':
        c = '\r';
        break;

    case 't':
        c = '\t';
        break;

    case 'u':
        c = mark_event_hex(p);
        p += 4;

        if (c >= 0xd800 && c <= 0xdbff) {
            c = 0x10000 + ((c - 0xd800) << 10) + mark_event_hex(p + 2)
                - 0xdc00;
            p += 6;
        }

        break;
    }

    *from = p;

    if (c < 0x80) {
        *q++ = c;

    } else if (c < 0x800) {
        *q++ = 0xc0 | c >> 6;
        *q++ = 0x80 | (c & 63);

    } else if (c < 0x10000) {
        *q++ = 0xe0 | c >> 12;
        *q++ = 0x80 | (c >> 6 & 63);
        *q++ = 0x80 | (c & 63);

    } else {
        *q++ = 0xf0 | c >> 18;
        *q++ = 0x80 | (c >> 12 & 63);
        *q++ = 0x80 | (c >> 6 & 63);
        *q++ = 0x80 | (c & 63);
    }

    return q;
}


static unsigned
mark_event_hex(const uint8_t *p)
{
    unsigned  i, c;

    c = 0;

    for (i = 0; i < 4; i++) {
        c = c << 4 | (p[i] <= '9' ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
    }

    return c;
}


int
mark_event_string(const uint8_t *data, size_t len, const char *name,
    mark_span_t *text)
{
    int          first, rc, found;
    mark_json_t  j;
    mark_span_t  key, value;

    found = 0;
    first = 1;

    mark_json_init(&j, data, len);

    if (mark_json_enter(&j, MARK_JSON_OBJECT) != 0) {
        return -1;
    }

    while ((rc = mark_json_member(&j, &key, &first, 0)) == 1) {

        mark_json_space(&j);
        value.data = j.pos;

        if (mark_json_skip(&j) != 0) {
            return -1;
        }

        if (j.type == MARK_JSON_STRING && mark_json_key_is(&key, name)) {
            text->data = value.data + 1;
            text->len = j.pos - value.data - 2;
            found = 1;
        }
    }

    return (rc == 0 && found && mark_json_end(&j) == 0) ? 0 : -1;
}
