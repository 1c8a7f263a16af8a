
/*
 * What a codec costs: the stages of a batch, each timed alone, beside a copy
 * of the same bytes and one validating scan of them.  t/bench/codec.pl runs
 * this and makes something readable of its lines:
 *
 *     PROTOCOL <tab> STAGE <tab> BYTES <tab> NANOSECONDS
 *
 * Before anything is timed each answer is compared with what a backend would
 * have said to its request alone.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codec.h"


/* A stage is repeated until so much time has passed, in nanoseconds. */
#define SLICE  20000000


typedef struct {
    uint8_t           *start;
    uint8_t           *pos;
    uint8_t           *last;
} arena_t;


/*
 * Each stage leaves its results for those behind it, above the results of
 * those before it, so that it can be repeated alone.
 */

typedef struct {
    const protocol_t  *protocol;
    mark_codec_conf_t  conf;
    size_t             n;             /* requests */
    size_t             values;        /* of each */

    writer_t          *bodies;
    writer_t           reply;         /* to the joined */

    arena_t            arena;
    mark_memory_t      memory;
    uint8_t           *parsed;        /* where results of parse end */
    uint8_t           *joined;        /* and of join */

    mark_request_t    *requests;
    mark_request_t   **list;
    mark_slice_t      *slices;

    uint8_t           *body;          /* the joined, put together */
    mark_parts_t       parts;
    uint8_t           *answers;       /* the clients', one after another */
} batch_t;


typedef struct {
    const char        *name;
    void             (*run)(batch_t *b);
} stage_t;


static void batch_make(batch_t *b, const protocol_t *p, size_t n, size_t size);
static void batch_check(batch_t *b);
static void batch_measure(batch_t *b, const stage_t *stage);
static void batch_fail(const batch_t *b, const char *what);

static void stage_memcpy(batch_t *b);
static void stage_scan(batch_t *b);
static void stage_parse(batch_t *b);
static void stage_join(batch_t *b);
static void stage_split(batch_t *b);
static void stage_whole(batch_t *b);

static uint8_t *put_parts(uint8_t *p, const mark_parts_t *parts);
static void *arena_alloc(void *pool, size_t size);
static void *allocate(size_t size);
static uint64_t now(void);


static const stage_t  stages[] = {
    { "memcpy",  stage_memcpy },
    { "scan",    stage_scan },
    { "parse",   stage_parse },
    { "join",    stage_join },
    { "split",   stage_split },
    { "whole",   stage_whole }
};

#define STAGES  (sizeof(stages) / sizeof(stages[0]))


int
main(int argc, char **argv)
{
    size_t    i, k, n, size, repeats;
    batch_t  *batches;

    n = argc == 4 ? strtoul(argv[1], NULL, 10) : 0;

    if (n == 0) {
        fprintf(stderr, "usage: codec REQUESTS BYTES REPEATS\n");
        return 2;
    }

    size = strtoul(argv[2], NULL, 10);
    repeats = strtoul(argv[3], NULL, 10);

    batches = allocate(nprotocols * sizeof(batch_t));

    for (i = 0; i < nprotocols; i++) {
        batch_make(&batches[i], &protocols[i], n, size);
        batch_check(&batches[i]);
    }

    /* in turns: a machine that slows down does so for all */

    while (repeats--) {
        for (i = 0; i < nprotocols; i++) {
            for (k = 0; k < STAGES; k++) {
                batch_measure(&batches[i], &stages[k]);
            }
        }
    }

    return 0;
}


static void
batch_make(batch_t *b, const protocol_t *p, size_t n, size_t size)
{
    size_t           i, room;
    const char      *bad;
    mark_request_t  *r;

    b->protocol = p;
    b->n = n;
    b->values = size / n / p->value;

    if (b->values == 0) {
        b->values = 1;
    }

    if (p->in_path) {
        bad = mark_path_parse(&b->conf.in, p->in_path, strlen(p->in_path));

        if (bad == NULL) {
            bad = mark_path_parse(&b->conf.out, p->out_path,
                                  strlen(p->out_path));
        }

        if (bad) {
            batch_fail(b, bad);
        }
    }

    b->bodies = allocate(n * sizeof(writer_t));
    b->requests = allocate(n * sizeof(mark_request_t));
    b->list = allocate(n * sizeof(mark_request_t *));
    b->slices = allocate(n * sizeof(mark_slice_t));

    room = 0;

    for (i = 0; i < n; i++) {
        body_request(&b->bodies[i], p, i, 1, b->values);
        room += b->bodies[i].len;

        r = &b->requests[i];
        r->body.data = b->bodies[i].data;
        r->body.len = b->bodies[i].len;
        r->body.json_len = b->bodies[i].json_len;
        r->body.binary = b->bodies[i].binary;

        b->list[i] = r;
    }

    body_answer(&b->reply, p, 0, n, b->values);

    b->body = allocate(2 * room + 4096);
    b->answers = allocate(2 * (room + b->reply.len) + 4096 * n);

    room = 1024 * 1024 + 8192 * n;
    b->arena.start = allocate(room);
    b->arena.last = b->arena.start + room;
    b->memory.alloc = arena_alloc;
    b->memory.pool = &b->arena;
}


static void
batch_check(batch_t *b)
{
    size_t                i;
    uint8_t              *p;
    writer_t              alone;
    const mark_parts_t   *answer;

    stage_whole(b);

    p = b->answers;

    for (i = 0; i < b->n; i++) {
        answer = &b->slices[i].answer;

        body_answer(&alone, b->protocol, i, 1, b->values);

        if (answer->len != alone.len || memcmp(p, alone.data, alone.len) != 0
            || answer->binary != alone.binary
            || (answer->binary && answer->json_len != alone.json_len))
        {
            batch_fail(b, "not the answer of that request alone");
        }

        p += answer->len;
        free(alone.data);
    }
}


static void
batch_measure(batch_t *b, const stage_t *stage)
{
    size_t    n;
    uint64_t  start, end;

    if (stage->run == stage_scan && b->parts.binary) {
        return;
    }

    stage->run(b);

    n = 0;
    start = now();

    do {
        stage->run(b);
        end = now();
        n++;
    } while (end - start < SLICE);

    printf("%s\t%s\t%zu\t%.1f\n", b->protocol->name, stage->name,
           stage->run == stage_split ? b->reply.len : b->parts.len,
           (double) (end - start) / n);
}


static void
batch_fail(const batch_t *b, const char *what)
{
    fprintf(stderr, "codec: %s: %s\n", b->protocol->name, what);
    exit(1);
}


static void
stage_memcpy(batch_t *b)
{
    memcpy(b->answers, b->body, b->parts.len);
}


static void
stage_scan(batch_t *b)
{
    mark_json_t  j;

    mark_json_init(&j, b->body, b->parts.len);

    if (mark_json_skip(&j) != 0 || mark_json_end(&j) != 0) {
        batch_fail(b, mark_json_strerror(j.error));
    }
}


static void
stage_parse(batch_t *b)
{
    size_t  i;

    b->arena.pos = b->arena.start;

    for (i = 0; i < b->n; i++) {
        if (b->protocol->codec->parse(b->list[i], &b->conf, &b->memory)
            != MARK_CODEC_OK)
        {
            batch_fail(b, "a request is refused");
        }
    }

    b->parsed = b->arena.pos;
}


static void
stage_join(batch_t *b)
{
    b->arena.pos = b->parsed;

    if (b->protocol->codec->join(b->list, b->slices, b->n, &b->conf,
                                 &b->memory, &b->parts)
        != MARK_CODEC_OK)
    {
        batch_fail(b, "requests do not join");
    }

    (void) put_parts(b->body, &b->parts);

    b->joined = b->arena.pos;
}


static void
stage_split(batch_t *b)
{
    size_t       i;
    uint8_t     *p;
    mark_body_t  body;

    b->arena.pos = b->joined;

    body.data = b->reply.data;
    body.len = b->reply.len;
    body.json_len = b->reply.json_len;
    body.binary = b->reply.binary;

    if (b->protocol->codec->split(&body, b->slices, b->n, &b->conf, &b->memory)
        != MARK_CODEC_OK)
    {
        batch_fail(b, "the answer is refused");
    }

    p = b->answers;

    for (i = 0; i < b->n; i++) {
        p = put_parts(p, &b->slices[i].answer);
    }
}


static void
stage_whole(batch_t *b)
{
    stage_parse(b);
    stage_join(b);
    stage_split(b);
}


static uint8_t *
put_parts(uint8_t *p, const mark_parts_t *parts)
{
    size_t  i;

    for (i = 0; i < parts->nspans; i++) {
        memcpy(p, parts->spans[i].data, parts->spans[i].len);
        p += parts->spans[i].len;
    }

    return p;
}


static void *
arena_alloc(void *pool, size_t size)
{
    uint8_t  *p;
    arena_t  *arena;

    arena = pool;
    size = (size + 15) & ~(size_t) 15;

    if ((size_t) (arena->last - arena->pos) < size) {
        return NULL;
    }

    p = arena->pos;
    arena->pos += size;

    return p;
}


/* Zeroed, and so that no stage meets a page that was never touched. */

static void *
allocate(size_t size)
{
    void  *p;

    p = malloc(size);

    if (p == NULL) {
        fprintf(stderr, "codec: no memory\n");
        exit(1);
    }

    memset(p, 0, size);

    return p;
}


static uint64_t
now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}
