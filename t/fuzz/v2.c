
/*
 * libFuzzer target: bodies of the Open Inference Protocol.  What parses must
 * join with itself to a request of the same key and as many times the rows;
 * and its inputs, seen as an answer's outputs, must split into what they were.
 *
 * The first byte of what is given tells whether two more have the length of
 * the JSON; the body follows.
 */


#define _GNU_SOURCE

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/memory.h"


#define MEMBERS  3


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void cut(const mark_body_t *body, mark_memory_t *memory);
static void batch(mark_request_t *request, size_t n, mark_memory_t *memory);
static mark_body_t answer(const mark_body_t *body, const mark_span_t *id);
static mark_span_t inputs(const mark_body_t *body);
static int same(const void *a, size_t alen, const void *b, size_t blen);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t          n;
    uint8_t        *copy;
    memory_t        pool;
    mark_memory_t   memory;
    mark_request_t  request;

    memory_init(&memory, &pool);

    if (size == 0 || (data[0] & 1 && size < 3)) {
        return 0;
    }

    request.body.binary = data[0] & 1;
    request.body.json_len = 0;

    if (request.body.binary) {
        request.body.json_len = data[1] | data[2] << 8;
        data += 2;
        size -= 2;
    }

    data++;
    size--;

    copy = malloc(size);
    memcpy(copy, data, size);

    request.body.data = copy;
    request.body.len = size;

    cut(&request.body, &memory);

    if (mark_v2_codec.parse(&request, NULL, &memory) == MARK_CODEC_OK) {
        for (n = 1; n <= MEMBERS; n++) {
            batch(&request, n, &memory);
        }
    }

    memory_free(&pool);
    free(copy);

    return 0;
}


/* Any bytes at all may be what a backend answers. */

static void
cut(const mark_body_t *body, mark_memory_t *memory)
{
    size_t        i, rows;
    mark_slice_t  slices[2];

    for (rows = 1; rows <= 3; rows++) {
        slices[0].nrows = 1;
        slices[1].nrows = rows;

        for (i = 0; i < 2; i++) {
            slices[i].id.data = (uint8_t *) "\"a\"";
            slices[i].id.len = (rows == 3) ? 3 : 0;
        }

        (void) mark_v2_codec.split(body, slices, 2, NULL, memory);
    }
}


static void
batch(mark_request_t *request, size_t n, mark_memory_t *memory)
{
    size_t           i;
    mark_body_t      alone, reply, mine;
    mark_parts_t     joined;
    mark_slice_t     slices[MEMBERS];
    mark_request_t   all, *requests[MEMBERS];

    for (i = 0; i < n; i++) {
        requests[i] = request;
    }

    if (mark_v2_codec.join(requests, slices, n, NULL, memory, &joined)
        != MARK_CODEC_OK)
    {
        abort();
    }

    all.body = memory_body(&joined);

    if (mark_v2_codec.parse(&all, NULL, memory) != MARK_CODEC_OK
        || all.nrows != n * request->nrows
        || all.timeout != request->timeout
        || all.priority != request->priority
        || !same(all.key.data, all.key.len, request->key.data,
                 request->key.len))
    {
        abort();
    }

    alone = answer(&request->body, &slices[0].id);
    reply = answer(&all.body, &slices[0].id);

    if (mark_v2_codec.split(&reply, slices, n, NULL, memory)
        != MARK_CODEC_OK)
    {
        abort();
    }

    for (i = 0; i < n; i++) {
        mine = memory_body(&slices[i].answer);

        if (mine.binary != alone.binary
            || (mine.binary && mine.json_len != alone.json_len)
            || !same(mine.data, mine.len, alone.data, alone.len))
        {
            abort();
        }

        free((void *) mine.data);
    }

    free((void *) alone.data);
    free((void *) reply.data);
    free((void *) all.body.data);
}


/* An answer of which a valid request's inputs are the outputs. */

static mark_body_t
answer(const mark_body_t *body, const mark_span_t *id)
{
    size_t        n;
    uint8_t      *p;
    mark_body_t   reply;
    mark_span_t   list;

    static const char  head[] = "{\"id\":";
    static const char  outputs[] = ",\"outputs\":";
    static const char  none[] = "null";

    list = inputs(body);
    n = body->binary ? body->json_len : body->len;

    p = malloc(sizeof(head) + sizeof(outputs) + sizeof(none) + id->len
               + body->len);

    reply.data = p;
    reply.binary = body->binary;

    p = mempcpy(p, head, sizeof(head) - 1);
    p = id->len ? mempcpy(p, id->data, id->len)
                : mempcpy(p, none, sizeof(none) - 1);
    p = mempcpy(p, outputs, sizeof(outputs) - 1);
    p = mempcpy(p, list.data, list.len);
    *p++ = '}';

    reply.json_len = p - reply.data;

    p = mempcpy(p, body->data + n, body->len - n);
    reply.len = p - reply.data;

    return reply;
}


static mark_span_t
inputs(const mark_body_t *body)
{
    int          first;
    mark_json_t  j;
    mark_span_t  key, value;

    first = 1;
    value.data = NULL;
    value.len = 0;

    mark_json_init(&j, body->data, body->binary ? body->json_len : body->len);
    (void) mark_json_enter(&j, MARK_JSON_OBJECT);

    while (mark_json_member(&j, &key, &first, 0) == 1) {
        mark_json_space(&j);
        value.data = j.pos;

        (void) mark_json_skip(&j);
        value.len = j.pos - value.data;

        if (mark_json_key_is(&key, "inputs")) {
            break;
        }
    }

    return value;
}


static int
same(const void *a, size_t alen, const void *b, size_t blen)
{
    return alen == blen && memcmp(a, b, alen) == 0;
}
