
/* What is written reads the same, and what was read is written the same. */


#include <locale.h>
#include <math.h>

#include "tap.h"
#include "plan.h"
#include "mark_plan_text.h"


#define ROUNDS  3000
#define TEXT    65536


static uint64_t  seed = 20261122;


static unsigned
rnd(unsigned n)
{
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;

    return (seed >> 33) % n;
}


/* Of any magnitude below the limit, small whole ones among them. */

static double
number(double most)
{
    double  value;

    switch (rnd(4)) {

    case 0:
        return rnd(100);

    case 1:
        return rnd(100000) / 1000.0;

    case 2:
        return most;

    default:
        value = ldexp(1 + (rnd(1 << 30) + rnd(1 << 23) / 8388608.0)
                          / (1 << 30), (int) rnd(600) - 500);
        return value < most ? value : most / 3;
    }
}


static mark_span_t
text(size_t most)
{
    size_t        i, n, len;
    uint8_t      *p;
    mark_span_t   span;
    const char   *c;

    static const char  *letters[] = {
        "a", "Z", "7", "\"", "\\", "/", " ", "\xc3\xa9", "\xf0\x9f\x98\x80"
    };

    p = codec_alloc(NULL, most + 1);
    n = rnd(most) + 1;
    len = 0;

    for (i = 0; i < n; i++) {
        c = letters[rnd(9)];

        if (len + strlen(c) > most) {
            break;
        }

        memcpy(p + len, c, strlen(c));
        len += strlen(c);
    }

    p[len] = '\0';

    span.data = p;
    span.len = len;

    return span;
}


static mark_span_t
address(size_t i)
{
    char  p[128];

    switch (rnd(4)) {

    case 0:
        sprintf(p, "10.0.%zu.%u:%u", i, rnd(256), 1 + rnd(65535));
        break;

    case 1:
        sprintf(p, "[fe80::%zx:%x]:%u", i, rnd(65536), 1 + rnd(65535));
        break;

    case 2:
        sprintf(p, "unix:/run/%zu \"\\%u", i, rnd(1000));
        break;

    default:
        sprintf(p, "Host-%zu.name_%u:%u", i, rnd(10), 1 + rnd(65535));
        break;
    }

    return plan_span(strcpy(codec_alloc(NULL, strlen(p) + 1), p));
}


static void
peer(mark_plan_peer_t *p, size_t i)
{
    memset(p, 0, sizeof(mark_plan_peer_t));

    p->address = address(i);
    p->weight = 1;

    if (rnd(2)) {
        p->id = text(63);
        p->class = text(31);
    }

    if (rnd(2)) {
        p->price = number(1e300);
        p->state = rnd(3);
        p->weight = 1 + rnd(1000);
        p->concurrency = rnd(1025);
        p->max_batch = rnd(65536);
        p->backup = rnd(2);
    }

    if (rnd(2)) {
        p->latency.given = 1;
        p->latency.base = number(86400);
        p->latency.row = number(86400);
        p->latency.residual = number(86400);
    }
}


static void
document(mark_plan_t *p)
{
    size_t  i;

    memset(p, 0, sizeof(mark_plan_t));

    p->format = 1;
    p->pool = text(255);
    p->stamp.version = 1 + ((uint64_t) rnd(1 << 30) << 23 | rnd(1 << 23));
    p->stamp.issued = number(1e10);
    p->expires = p->stamp.issued + 0.25 + rnd(1000000) / 1024.0;

    p->overflow.given = rnd(2);
    p->overflow.requests_per_second = MARK_PLAN_UNSET;
    p->overflow.concurrency = MARK_PLAN_UNSET;
    p->overflow.cost_per_hour = MARK_PLAN_UNSET;

    if (p->overflow.given) {
        p->overflow.armed = rnd(2);

        if (rnd(2)) {
            p->overflow.requests_per_second = number(1e300);
            p->overflow.concurrency = rnd(1000000001);
            p->overflow.cost_per_hour = number(1e9);
        }
    }

    p->batching.given = rnd(2);
    p->batching.max_batch_size = MARK_PLAN_UNSET;
    p->batching.max_queue_delay = MARK_PLAN_UNSET;
    p->batching.max_queue_size = MARK_PLAN_UNSET;

    if (p->batching.given && rnd(4)) {
        p->batching.max_batch_size = 1 + rnd(65536);
        p->batching.max_queue_delay = rnd(2) ? number(86400) : MARK_PLAN_AUTO;
        p->batching.max_queue_size = rnd(1000000001);
    }

    p->npeers = rnd(9) + !p->overflow.armed;
    p->peers = codec_alloc(NULL, 9 * sizeof(mark_plan_peer_t));

    for (i = 0; i < p->npeers; i++) {
        peer(&p->peers[i], i);
    }
}


static int
same_text(const mark_span_t *a, const mark_span_t *b)
{
    return a->len == b->len
           && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}


static int
same_peer(const mark_plan_peer_t *a, const mark_plan_peer_t *b)
{
    return same_text(&a->address, &b->address) && same_text(&a->id, &b->id)
           && same_text(&a->class, &b->class) && a->price == b->price
           && a->state == b->state && a->weight == b->weight
           && a->concurrency == b->concurrency
           && a->max_batch == b->max_batch && a->backup == b->backup
           && a->latency.given == b->latency.given
           && a->latency.base == b->latency.base
           && a->latency.row == b->latency.row
           && a->latency.residual == b->latency.residual;
}


static int
same(const mark_plan_t *a, const mark_plan_t *b)
{
    size_t  i;

    for (i = 0; i < a->npeers && i < b->npeers; i++) {
        if (!same_peer(&a->peers[i], &b->peers[i])) {
            return 0;
        }
    }

    return a->npeers == b->npeers && a->format == b->format
           && same_text(&a->pool, &b->pool)
           && a->stamp.version == b->stamp.version
           && a->stamp.issued == b->stamp.issued && a->expires == b->expires
           && a->overflow.given == b->overflow.given
           && a->overflow.armed == b->overflow.armed
           && a->overflow.requests_per_second
              == b->overflow.requests_per_second
           && a->overflow.concurrency == b->overflow.concurrency
           && a->overflow.cost_per_hour == b->overflow.cost_per_hour
           && a->batching.given == b->batching.given
           && a->batching.max_batch_size == b->batching.max_batch_size
           && a->batching.max_queue_delay == b->batching.max_queue_delay
           && a->batching.max_queue_size == b->batching.max_queue_size;
}


static unsigned
rounds(unsigned n)
{
    size_t        len, again;
    unsigned      i, bad;
    mark_plan_t   plan, *read;

    static char   one[TEXT], two[TEXT];

    bad = 0;

    for (i = 0; i < n; i++) {
        document(&plan);

        len = mark_plan_serialise(&plan, one, TEXT - 1);
        one[len] = '\0';

        read = plan_read(one, 0, NULL);
        again = read ? mark_plan_serialise(read, two, TEXT) : 0;

        if ((read == NULL || !same(&plan, read) || again != len
             || memcmp(one, two, len) != 0)
            && bad++ < 3)
        {
            diag("round %u: %s\n%s", i, plan_error.text, one);
        }

        codec_free();
    }

    return bad;
}


static void
numbers(void)
{
    size_t  i;
    char    buf[MARK_PLAN_NUMBER];

    static const struct {
        double       value;
        const char  *text;
    } known[] = {
        { 0, "0" }, { 1, "1" }, { 0.1, "0.1" }, { 0.526, "0.526" },
        { 1763800000.25, "1763800000.25" },
        { 0.1 + 0.2, "0.30000000000000004" },
        { 1e15, "1e+15" }, { 123456789012345, "123456789012345" },
        { 9007199254740992, "9007199254740992" },
        { 5e-324, "4.94065645841247e-324" },
        { 1.7976931348623157e308, "1.7976931348623157e+308" },
        { -2, "-2" }, { -1763800000.25, "-1763800000.25" },
        { -2.2250738585072014e-308, "-2.2250738585072014e-308" }
    };

    for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        mark_plan_number(buf, known[i].value);
        is_str(buf, known[i].text, "%s", known[i].text);
    }
}


/* As much as there is room for, and not a byte beside it. */

static void
room(void)
{
    char         *buf;
    size_t        size, len, bad;
    mark_plan_t  *p;

    static const char  want[] =
        "{\n"
        "    \"format\": 1,\n"
        "    \"pool\": \"resnet\",\n"
        "    \"version\": 42,\n"
        "    \"issued\": 1763800000.25,\n"
        "    \"expires\": 1763800600,\n"
        "    \"peers\": [\n"
        "        {\"address\": \"unix:/a\\\"b\", "
        "\"latency\": {\"base\": 0.004, \"row\": 0.0005}},\n"
        "        {\"address\": \"h:1\", \"state\": \"warming\", \"backup\": "
        "true}\n"
        "    ],\n"
        "    \"batching\": {\"max_queue_delay\": \"auto\"}\n"
        "}\n";

    p = plan_read(want, 0, NULL);

    if (!ok(p != NULL, "a plan")) {
        return;
    }

    bad = 0;

    for (size = 0; size <= sizeof(want) - 1; size++) {
        buf = malloc(size ? size : 1);
        len = mark_plan_serialise(p, buf, size);
        bad += len != sizeof(want) - 1;

        if (size == sizeof(want) - 1) {
            is_mem(buf, len, want, len, "as it was");
        }

        free(buf);
    }

    is_int(bad, 0, "its length, whatever the room");

    codec_free();
}


int
main(void)
{
    numbers();
    room();

    is_int(rounds(ROUNDS), 0, "%d random plans", ROUNDS);

    if (setlocale(LC_NUMERIC, "de_DE.UTF-8") == NULL) {
        diag("no locale de_DE.UTF-8: its decimal point is not tried");

    } else {
        numbers();
        is_int(rounds(100), 0, "random plans where the decimal point is ,");
    }

    return done_testing();
}
