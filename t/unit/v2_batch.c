
/*
 * The Open Inference Protocol, as a whole: random requests that are joined,
 * answered by a model and cut are answered as each would have been alone.
 */


#include "tap.h"
#include "memory.h"
#include "v2_bodies.h"
#include "v2_model.h"


#define ROUNDS   4000
#define MEMBERS  6


typedef struct {
    mark_request_t   request;
    uint8_t         *data;        /* of the body */
    mark_body_t      alone;       /* what the model says to it */
} member_t;


static memory_t       pool;
static mark_memory_t  memory;


static int
same(const mark_span_t *a, const mark_span_t *b)
{
    return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}


static int
same_body(const mark_body_t *a, const mark_body_t *b)
{
    return a->len == b->len && a->binary == b->binary
           && (!a->binary || a->json_len == b->json_len)
           && memcmp(a->data, b->data, a->len) == 0;
}


/*
 * A request as another process would see it: its body and its block at other
 * addresses, the old ones overwritten.
 */

static void
move(member_t *m)
{
    size_t   len;
    uint8_t  *body;
    void     *parsed;

    len = m->request.body.len;

    body = malloc(len);
    memcpy(body, m->data, len);
    memset(m->data, 0xaa, len);
    free(m->data);

    parsed = memory_alloc(&pool, m->request.parsed_len);
    memcpy(parsed, m->request.parsed, m->request.parsed_len);
    memset(m->request.parsed, 0xaa, m->request.parsed_len);

    m->data = body;
    m->request.body.data = body;
    m->request.parsed = parsed;
}


static unsigned
batch(const model_t *model, const form_t *form, size_t n)
{
    size_t            i, rows;
    unsigned          bad;
    mark_body_t       body, answer, mine;
    mark_parts_t      joined;
    mark_slice_t      slices[MEMBERS];
    member_t          members[MEMBERS];
    mark_request_t    all, *requests[MEMBERS];

    bad = 0;
    rows = 0;

    memory_init(&memory, &pool);

    for (i = 0; i < n; i++) {
        body = random_body(form, rnd(2));

        members[i].request.body = body;
        members[i].data = (uint8_t *) body.data;
        members[i].alone = model_answer(model, &body);
        requests[i] = &members[i].request;

        if (mark_v2_codec.parse(requests[i], NULL, &memory) != MARK_CODEC_OK
            || !same(&requests[i]->key, &requests[0]->key))
        {
            diag("%.*s", (int) body.len, body.data);
            return 1;
        }

        rows += requests[i]->nrows;
    }

    for (i = 0; i < n; i++) {
        if (rnd(2)) {
            move(&members[i]);
        }
    }

    bad += (mark_v2_codec.join(requests, slices, n, NULL, &memory, &joined)
            != MARK_CODEC_OK);

    all.body = memory_body(&joined);

    /* what goes out is itself a request of that key */

    bad += (mark_v2_codec.parse(&all, NULL, &memory) != MARK_CODEC_OK
            || all.nrows != rows || !same(&all.key, &requests[0]->key));

    for (i = 0; i < n; i++) {
        free(members[i].data);
    }

    answer = model_answer(model, &all.body);

    if (bad
        || mark_v2_codec.split(&answer, slices, n, NULL, &memory)
           != MARK_CODEC_OK)
    {
        diag("%.*s", (int) all.body.len, all.body.data);
        diag("%.*s", (int) answer.len, answer.data);
        return 1;
    }

    for (i = 0; i < n; i++) {
        mine = memory_body(&slices[i].answer);

        if (!same_body(&mine, &members[i].alone)) {
            diag("alone: %.*s", (int) members[i].alone.len,
                 members[i].alone.data);
            diag("batch: %.*s", (int) mine.len, mine.data);
            bad++;
        }

        free((void *) mine.data);
        free((void *) members[i].alone.data);
    }

    /* one row more than was sent is nobody's answer */

    slices[rnd(n)].nrows++;

    bad += (mark_v2_codec.split(&answer, slices, n, NULL, &memory)
            != MARK_CODEC_MISMATCH);

    free((void *) all.body.data);
    free((void *) answer.data);
    memory_free(&pool);

    return bad;
}


static void
property(void)
{
    unsigned  round, bad;
    form_t    form;
    model_t   model;

    bad = 0;

    for (round = 0; round < ROUNDS && bad < 3; round++) {
        form = random_form();
        model.style = rnd(3);
        model.binary = rnd(2) ? 0 : rnd(256);

        bad += batch(&model, &form, 1 + rnd(MEMBERS));
    }

    is_int(bad, 0, "%d random batches come apart as they went together",
           ROUNDS);
}


/* A form that another one is not: one thing of it is changed. */

static void
change(form_t *form)
{
    form_input_t  *in;

    in = &form->inputs[rnd(form->ninputs)];

    switch (rnd(7)) {

    case 0:
        form->id = !form->id;
        return;

    case 1:
        form->parameters = !form->parameters;
        return;

    case 2:
        form->outputs = !form->outputs;
        return;

    case 3:
        form->value++;
        form->parameters = 1;
        return;

    case 4:
        in->dims[in->ndims ? in->ndims - 1 : 0]++;
        in->ndims += (in->ndims == 0);
        return;

    case 5:
        in->datatype = (in->datatype + 1 + rnd(11)) % 12;
        in->nan = 0;
        return;

    default:
        if (in->data == FORM_BINARY || in->ndims == 0) {
            form->outputs = !form->outputs;
            return;
        }

        in->data = !in->data;
    }
}


static void
keys(void)
{
    size_t            i;
    form_t            form, other;
    unsigned          round, bad;
    mark_request_t    requests[2];

    bad = 0;

    for (round = 0; round < ROUNDS; round++) {
        memory_init(&memory, &pool);

        form = random_form();
        other = form;
        change(&other);

        for (i = 0; i < 2; i++) {
            requests[i].body = random_body(i ? &other : &form, rnd(2));
            bad += (mark_v2_codec.parse(&requests[i], NULL, &memory)
                    != MARK_CODEC_OK);
        }

        bad += same(&requests[0].key, &requests[1].key);

        for (i = 0; i < 2; i++) {
            free((void *) requests[i].body.data);
        }

        memory_free(&pool);
    }

    is_int(bad, 0, "%d random requests have keys of their own", ROUNDS);
}


int
main(void)
{
    property();
    keys();

    return done_testing();
}
