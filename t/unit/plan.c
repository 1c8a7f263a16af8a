
/*
 * Plans as a whole: what is read, JSON that is none, the pool's limits, time,
 * which plan is newer, and memory that runs out.
 */


#include <jansson.h>

#include "tap.h"
#include "memory.h"
#include "plan.h"


static size_t  allocs;
static size_t  allocs_limit;


static const char  whole[] =
    PLAN_HEAD ",\n"
    "\"peers\": [\n"
    "{\"address\": \"10.0.0.7:8501\", \"id\": \"i-0abc\", \"class\": \"gpu\",\n"
    " \"price\": 0.526, \"state\": \"draining\", \"weight\": 7,\n"
    " \"concurrency\": 2, \"max_batch\": 32, \"backup\": true,\n"
    " \"latency\": {\"base\": 0.004, \"row\": 0.0005, \"residual\": 0.001}},\n"
    "{\"address\": \"unix:/caf\\u00e9\"}],\n"
    "\"overflow\": {\"armed\": true, \"requests_per_second\": 50,\n"
    " \"concurrency\": 20, \"cost_per_hour\": 3.5},\n"
    "\"batching\": {\"max_batch_size\": 32, \"max_queue_delay\": 0.002,\n"
    " \"max_queue_size\": 1000}}\n";


static void
is_text(const mark_span_t *text, const char *want, const char *what)
{
    is_mem(text->data, text->len, want, strlen(want), "%s", what);
}


static void
all(void)
{
    mark_plan_t       *p;
    mark_plan_peer_t  *peer;

    p = plan_read(whole, PLAN_NOW, NULL);

    if (!ok(p != NULL, "the whole schema")) {
        diag("%s", plan_error.text);
        return;
    }

    is_int(plan_error.status, MARK_PLAN_OK, "no error");
    is_str(plan_error.text, "", "nor a message");

    is_int(p->format, 1, "format");
    is_text(&p->pool, "resnet", "pool");
    is_int(p->stamp.version, 42, "version");
    ok(p->stamp.issued == 1763800000.25, "issued");
    ok(p->expires == 1763800600, "expires");
    is_int(p->npeers, 2, "peers");

    peer = &p->peers[0];

    is_text(&peer->address, "10.0.0.7:8501", "address");
    is_int(peer->address.data[peer->address.len], 0, "a zero behind it");
    is_text(&peer->id, "i-0abc", "id");
    is_text(&peer->class, "gpu", "class");
    ok(peer->price == 0.526, "price");
    is_int(peer->state, MARK_PLAN_DRAINING, "state");
    is_int(peer->weight, 7, "weight");
    is_int(peer->concurrency, 2, "concurrency");
    is_int(peer->max_batch, 32, "max_batch");
    is_int(peer->backup, 1, "backup");
    is_int(peer->latency.given, 1, "latency");
    ok(peer->latency.base == 0.004 && peer->latency.row == 0.0005
       && peer->latency.residual == 0.001, "and its numbers");

    peer = &p->peers[1];

    is_text(&peer->address, "unix:/caf\xc3\xa9", "escapes are read");
    is_int(peer->id.len, 0, "no id");
    is_int(peer->class.len, 0, "no class");
    ok(peer->price == 0, "no price");
    is_int(peer->state, MARK_PLAN_READY, "state of its own");
    is_int(peer->weight, 1, "weight of its own");
    is_int(peer->concurrency, 0, "concurrency to be learned");
    is_int(peer->max_batch, 0, "no max_batch");
    is_int(peer->backup, 0, "no backup");
    is_int(peer->latency.given, 0, "no latency");

    is_int(p->overflow.given, 1, "overflow");
    is_int(p->overflow.armed, 1, "armed");
    ok(p->overflow.requests_per_second == 50, "requests_per_second");
    is_int(p->overflow.concurrency, 20, "concurrency of the overflow");
    ok(p->overflow.cost_per_hour == 3.5, "cost_per_hour");

    is_int(p->batching.given, 1, "batching");
    is_int(p->batching.max_batch_size, 32, "max_batch_size");
    ok(p->batching.max_queue_delay == 0.002, "max_queue_delay");
    is_int(p->batching.max_queue_size, 1000, "max_queue_size");

    codec_free();
}


static void
least(void)
{
    mark_plan_t  *p;

    p = plan_read(PLAN_HEAD PLAN_PEERS "}", PLAN_NOW, NULL);

    ok(p && !p->overflow.given && !p->overflow.armed, "no overflow");
    ok(p && p->overflow.requests_per_second == MARK_PLAN_UNSET
       && p->overflow.concurrency == MARK_PLAN_UNSET
       && p->overflow.cost_per_hour == MARK_PLAN_UNSET, "nor its limits");
    ok(p && !p->batching.given, "no batching");
    ok(p && p->batching.max_batch_size == MARK_PLAN_UNSET
       && p->batching.max_queue_delay == MARK_PLAN_UNSET
       && p->batching.max_queue_size == MARK_PLAN_UNSET, "nor its limits");

    p = plan_read(PLAN_HEAD ", \"peers\": [], \"overflow\": {\"armed\": true},"
                  " \"batching\": {\"max_queue_delay\": \"auto\"}}", PLAN_NOW,
                  NULL);

    ok(p && p->npeers == 0, "no peers");
    ok(p && p->overflow.armed
       && p->overflow.requests_per_second == MARK_PLAN_UNSET
       && p->overflow.concurrency == MARK_PLAN_UNSET
       && p->overflow.cost_per_hour == MARK_PLAN_UNSET, "armed, no limits");
    ok(p && p->batching.max_queue_delay == MARK_PLAN_AUTO, "auto");

    codec_free();
}


static void
refused(const char *text, const mark_plan_limits_t *limits, double now,
    mark_plan_status_t status, const char *want)
{
    mark_plan_t  *p;

    p = plan_read(text, now, limits);

    is_str(p ? "taken" : plan_error.text, want, "%.70s", text);
    is_str(mark_plan_status_name(plan_error.status),
           mark_plan_status_name(status), "its kind");

    codec_free();
}


static void
syntax(void)
{
    char                *big;
    mark_plan_t         *p;
    mark_plan_limits_t   any;

#define SYNTAX(s, want)  refused(s, NULL, PLAN_NOW, MARK_PLAN_SYNTAX, want)

    SYNTAX("", "line 1, column 0: '[' or '{' expected near end of file");
    SYNTAX("plan", "line 1, column 4: '[' or '{' expected near 'plan'");
    SYNTAX("{\n  \"format\": 1,\n  \"pool\" \"p\"\n}",
           "line 3, column 12: ':' expected near '\"p\"'");
    SYNTAX("{\"format\": 1",
           "line 1, column 12: '}' expected near end of file");
    SYNTAX(PLAN_HEAD PLAN_PEERS "} x",
           "line 1, column 137: end of file expected near 'x'");
    SYNTAX("{\"format\": 1, \"format\": 1}",
           "line 1, column 22: duplicate object key near '\"format\"'");
    SYNTAX("{\"format\": NaN}",
           "line 1, column 14: invalid token near 'NaN'");
    SYNTAX("{\"format\": -Infinity}",
           "line 1, column 12: invalid token near '-'");
    SYNTAX("{\"format\": 1e999}",
           "line 1, column 16: real number overflow near '1e999'");
    SYNTAX("{\"version\": 99999999999999999999}",
           "line 1, column 32: too big integer near '99999999999999999999'");
    SYNTAX("{\"pool\": \"a\\u0000b\"}",
           "line 1, column 19: \\u0000 is not allowed without JSON_ALLOW_NUL "
           "near '\"a\\u0000b\"'");
    SYNTAX("{\"pool\": \"\xff\"}",
           "line 1, column 10: unable to decode byte 0xff near '\"'");
    SYNTAX("{\"pool\": \"\xc3\xa9\\\xc3\xa9\"}",
           "line 1, column 13: invalid escape near '\"??\\?'");
    SYNTAX("{\"pool\": 'p'}", "line 1, column 10: invalid token near '''");

    memset(&any, 0, sizeof(mark_plan_limits_t));

    is_int(mark_plan_parse("{\n\"format\": 1\0}", 15, &any, 0, &codec_memory,
                           &p, &plan_error),
           MARK_PLAN_SYNTAX, "a zero byte behind a number");
    is_str(plan_error.text, "line 2, column 12: a zero byte", "is refused");

    /* as many bytes as there may be, and one more */

    big = malloc(MARK_PLAN_MAX + 2);
    memset(big, ' ', MARK_PLAN_MAX + 1);
    memcpy(big, whole, sizeof(whole) - 1);
    big[MARK_PLAN_MAX + 1] = '\0';

    SYNTAX(big, "8388609 bytes are more than the 8388608 that a plan may "
           "have");
    big[MARK_PLAN_MAX] = '\0';
    ok(plan_read(big, PLAN_NOW, NULL) != NULL, "8388608 bytes");

    /* brackets that are never closed are not followed for ever */

    memset(big, '[', MARK_PLAN_MAX);
    ok(plan_read(big, PLAN_NOW, NULL) == NULL, "8388608 brackets");
    is_int(plan_error.status, MARK_PLAN_SYNTAX, "are no plan");

    free(big);
    codec_free();
}


static void
limits(void)
{
    mark_plan_limits_t  l;

    static const char  two[] = PLAN_HEAD ", \"peers\": [" PLAN_PEER
                               ", {\"address\": \"a:1\"}]}";

    memset(&l, 0, sizeof(mark_plan_limits_t));

    l.pool = plan_span("resnet");
    l.peers = 2;

    ok(plan_read(two, PLAN_NOW, &l) != NULL, "as many as there is room for");

    l.peers = 1;
    refused(two, &l, PLAN_NOW, MARK_PLAN_SCHEMA,
            "peers: 2 are more than the 1 that the pool has room for");

    l.pool = plan_span("Resnet");
    refused(two, &l, PLAN_NOW, MARK_PLAN_POOL,
            "pool: must be \"Resnet\", not \"resnet\"");

    l.pool = plan_span("resnet2");
    refused(two, &l, PLAN_NOW, MARK_PLAN_POOL,
            "pool: must be \"resnet2\", not \"resnet\"");

    l.pool = plan_span("resnetresnetresnetresnetresnetresnetresnetresnet");
    refused(two, &l, PLAN_NOW, MARK_PLAN_POOL,
            "pool: must be \"resnetresnetresnetresnetresnetresnetresnetresnet"
            "\", not \"resnet\"");

    l.pool = plan_span("resnetresnetresnetresnetresnetresnetresnetresne"
                       "\xc3\xa9resnet");
    refused(two, &l, PLAN_NOW, MARK_PLAN_POOL,
            "pool: must be \"resnetresnetresnetresnetresnetresnetresnetresne"
            "\"..., not \"resnet\"");

    l.pool = plan_span("resnet2");

    /* whatever else is wrong with it */

    refused("{\"format\": 1, \"pool\": \"bert\", \"peers\": 7}", &l, PLAN_NOW,
            MARK_PLAN_POOL, "pool: must be \"resnet2\", not \"bert\"");
}


static void
expiry(void)
{
    ok(plan_read(whole, 1763800599.999, NULL) != NULL, "not yet expired");
    ok(plan_read(whole, 0, NULL) != NULL, "whether expired is not asked");

    refused(whole, NULL, 1763800600, MARK_PLAN_EXPIRED,
            "expires: 1763800600 has passed, it is 1763800600");
    refused(whole, NULL, 1763800612.5, MARK_PLAN_EXPIRED,
            "expires: 1763800600 has passed, it is 1763800612.5");
    refused("{\"format\": 1, \"pool\": \"p\", \"version\": 1, "
            "\"issued\": 1763800600.5, \"expires\": 1763800600.5" PLAN_PEERS
            "}", NULL, PLAN_NOW, MARK_PLAN_SCHEMA,
            "expires: must be later than issued, 1763800600.5, not "
            "1763800600.5");
}


static void
newer(const char *current, const char *next, mark_plan_status_t want,
    const char *text)
{
    mark_plan_t         *p;
    mark_plan_stamp_t    stamp;
    mark_plan_status_t   status;

    memset(&stamp, 0, sizeof(mark_plan_stamp_t));

    if (current) {
        p = plan_read(current, PLAN_NOW, NULL);
        stamp = p->stamp;
    }

    p = plan_read(next, PLAN_NOW, NULL);

    status = mark_plan_newer(&stamp, &p->stamp, &plan_error);

    is_str(mark_plan_status_name(status), mark_plan_status_name(want),
           "newer: %s", text);
    is_int(plan_error.status, status, "its status");
    is_str(plan_error.text, text, "its message");

    codec_free();
}


static void
versions(void)
{
#define PLAN(v, t, s)                                                         \
    "{\"format\": 1, \"pool\": \"p\", \"version\": " v ", \"issued\": " t     \
    ", \"expires\": 2e9" PLAN_PEERS s "}"

    newer(NULL, PLAN("1", "5", ""), MARK_PLAN_OK, "");
    newer(PLAN("1", "5", ""), PLAN("2", "5", ""), MARK_PLAN_OK, "");
    newer(PLAN("1", "5", ""), PLAN("2", "6", ""), MARK_PLAN_OK, "");
    newer(PLAN("1", "5", ""), PLAN("1", "5", ""), MARK_PLAN_UNCHANGED,
          "version: 1 is the current one");
    newer(PLAN("1", "5", ""), PLAN("1", "5", " "), MARK_PLAN_STALE,
          "version: 1 is the current one, which is another plan");
    newer(PLAN("1", "5", ""), PLAN("1", "6", ""), MARK_PLAN_STALE,
          "version: 1 is the current one, which is another plan");
    newer(PLAN("9007199254740992", "5", ""), PLAN("2", "6", ""),
          MARK_PLAN_STALE,
          "version: 2 is older than the current 9007199254740992");
    newer(PLAN("1", "5.25", ""), PLAN("2", "5", ""), MARK_PLAN_STALE,
          "issued: 5 is before the current plan's 5.25");
}


static void *
alloc(size_t size)
{
    return allocs++ < allocs_limit ? malloc(size) : NULL;
}


/* Ours runs out, then jansson's, at every place in turn. */

static void
memory(void)
{
    size_t               i, bad, needed;
    memory_t             m;
    mark_plan_t         *p;
    mark_memory_t        pool;
    mark_plan_limits_t   any;
    mark_plan_status_t   status;

    memset(&any, 0, sizeof(mark_plan_limits_t));
    memory_init(&pool, &m);

    bad = 0;
    status = MARK_PLAN_MEMORY;

    for (i = 0; i < 100 && status != MARK_PLAN_OK; i++) {
        m.limit = i;
        status = mark_plan_parse(whole, sizeof(whole) - 1, &any, PLAN_NOW,
                                 &pool, &p, &plan_error);
        needed = m.n;
        memory_free(&m);

        bad += status != (i < needed ? MARK_PLAN_MEMORY : MARK_PLAN_OK)
               && status != MARK_PLAN_MEMORY;
    }

    is_int(status, MARK_PLAN_OK, "enough memory at last");
    ok(i > 5, "after more than five tries");
    is_int(bad, 0, "and none left until then");

    /* jansson takes some of its failures for errors of syntax */

    m.limit = MEMORY_PIECES;
    bad = 0;
    status = MARK_PLAN_MEMORY;

    for (i = 0; i < 1000 && status != MARK_PLAN_OK; i++) {
        allocs = 0;
        allocs_limit = i;
        json_set_alloc_funcs(alloc, free);

        status = mark_plan_parse(whole, sizeof(whole) - 1, &any, PLAN_NOW,
                                 &pool, &p, &plan_error);

        json_set_alloc_funcs(malloc, free);
        memory_free(&m);

        bad += status == MARK_PLAN_SCHEMA
               || (status == MARK_PLAN_OK && allocs > allocs_limit);
    }

    is_int(status, MARK_PLAN_OK, "enough of jansson's memory at last");
    ok(i > 50, "after more than fifty tries");
    is_int(bad, 0, "and nothing that is half read before");
}


int
main(void)
{
    all();
    least();
    syntax();
    limits();
    expiry();
    versions();
    memory();

    return done_testing();
}
