
/* The schema of plans: every wrong value in every place, and its message. */


#include "tap.h"
#include "plan.h"


/*
 * Where a value goes, what it must be, and which of those below are that.
 * One value may be wrong for another reason.
 */

typedef struct {
    const char  *before;
    const char  *after;
    const char  *path;
    const char  *must;
    const char  *good;
    const char  *other;
    const char  *reason;
} place_t;


static const place_t  places[] = {

    { "{\"pool\": \"p\", \"version\": 1, \"issued\": 1, \"expires\": 2e9"
      PLAN_PEERS ", \"format\": ", "}",
      "format", "1", " 1 ",
      NULL, NULL },

    { "{\"format\": 1, \"version\": 1, \"issued\": 1, \"expires\": 2e9"
      PLAN_PEERS ", \"pool\": ", "}",
      "pool", "text of 1 to 255 bytes without control characters",
      " \"x\" \"auto\" \"ready\" \"a:1\" \"1\" ",
      NULL, NULL },

    { "{\"format\": 1, \"pool\": \"p\", \"issued\": 1, \"expires\": 2e9"
      PLAN_PEERS ", \"version\": ", "}",
      "version", "an integer from 1 to 9007199254740992", " 1 4294967296 ",
      NULL, NULL },

    { "{\"format\": 1, \"pool\": \"p\", \"version\": 1,"
      " \"expires\": 9007199254740992" PLAN_PEERS ", \"issued\": ", "}",
      "issued", "a number from 0 to 9007199254740992",
      " 0 1 0.5 2.0 4294967296 ",
      "9007199254740993", "expires: must be later than issued, "
      "9007199254740992, not 9007199254740992" },

    { "{\"format\": 1, \"pool\": \"p\", \"version\": 1, \"issued\": 0"
      PLAN_PEERS ", \"expires\": ", "}",
      "expires", "a number from 0 to 9007199254740992",
      " 1 0.5 2.0 4294967296 9007199254740993 ",
      "0", "expires: must be later than issued, 0, not 0" },

    { PLAN_HEAD ", \"peers\": ", "}",
      "peers", "a list of objects", " ", "[1]", "peers[0]: must be an object" },

    { PLAN_HEAD ", \"peers\": [{\"address\": ", "}]}",
      "peers[0].address",
      "\"HOST:PORT\", \"[IPV6]:PORT\" or \"unix:/PATH\"", " \"a:1\" ",
      NULL, NULL },

    { PLAN_HEAD ", \"peers\": [{\"address\": \"a:1\", \"id\": ", "}]}",
      "peers[0].id", "text of 1 to 63 bytes without control characters",
      " \"x\" \"auto\" \"ready\" \"a:1\" \"1\" ",
      NULL, NULL },

    { PLAN_HEAD ", \"peers\": [{\"address\": \"a:1\", \"class\": ", "}]}",
      "peers[0].class", "text of 1 to 31 bytes without control characters",
      " \"x\" \"auto\" \"ready\" \"a:1\" \"1\" ",
      NULL, NULL },

    { PLAN_HEAD ", \"peers\": [{\"address\": \"a:1\", \"price\": ", "}]}",
      "peers[0].price", "a number from 0 up",
      " 0 1 0.5 2.0 4294967296 9007199254740993 1e+300 ",
      NULL, NULL },

    { PLAN_HEAD ", \"peers\": [{\"address\": \"a:1\", \"state\": ", "}]}",
      "peers[0].state", "\"ready\", \"warming\" or \"draining\"",
      " \"ready\" ",
      NULL, NULL },

    { PLAN_HEAD ", \"peers\": [{\"address\": \"a:1\", \"weight\": ", "}]}",
      "peers[0].weight", "an integer from 1 to 1000", " 1 ",
      NULL, NULL },

    { PLAN_HEAD ", \"peers\": [" PLAN_PEER ", {\"address\": \"a:1\", "
      "\"concurrency\": ", "}]}",
      "peers[1].concurrency", "an integer from 0 to 1024", " 0 1 ",
      NULL, NULL },

    { PLAN_HEAD ", \"peers\": [{\"address\": \"a:1\", \"max_batch\": ", "}]}",
      "peers[0].max_batch", "an integer from 0 to 65535", " 0 1 ",
      NULL, NULL },

    { PLAN_HEAD ", \"peers\": [{\"address\": \"a:1\", \"backup\": ", "}]}",
      "peers[0].backup", "true or false", " true false ",
      NULL, NULL },

    { PLAN_HEAD ", \"peers\": [{\"address\": \"a:1\", \"latency\": ", "}]}",
      "peers[0].latency", "an object", " ",
      "{}", "peers[0].latency.base: is required" },

    { PLAN_HEAD ", \"peers\": [{\"address\": \"a:1\", \"latency\": "
      "{\"row\": 1, \"base\": ", "}}]}",
      "peers[0].latency.base", "a number from 0 to 86400", " 0 1 0.5 2.0 ",
      NULL, NULL },

    { PLAN_HEAD ", \"peers\": [{\"address\": \"a:1\", \"latency\": "
      "{\"base\": 1, \"row\": ", "}}]}",
      "peers[0].latency.row", "a number from 0 to 86400", " 0 1 0.5 2.0 ",
      NULL, NULL },

    { PLAN_HEAD ", \"peers\": [{\"address\": \"a:1\", \"latency\": "
      "{\"base\": 1, \"row\": 1, \"residual\": ", "}}]}",
      "peers[0].latency.residual", "a number from 0 to 86400",
      " 0 1 0.5 2.0 ",
      NULL, NULL },

    { PLAN_HEAD PLAN_PEERS ", \"overflow\": ", "}",
      "overflow", "an object", " ",
      "{}", "overflow.armed: is required" },

    { PLAN_HEAD PLAN_PEERS ", \"overflow\": {\"armed\": ", "}}",
      "overflow.armed", "true or false", " true false ",
      NULL, NULL },

    { PLAN_HEAD PLAN_PEERS ", \"overflow\": {\"armed\": true, "
      "\"requests_per_second\": ", "}}",
      "overflow.requests_per_second", "a number from 0 up",
      " 0 1 0.5 2.0 4294967296 9007199254740993 1e+300 ",
      NULL, NULL },

    { PLAN_HEAD PLAN_PEERS ", \"overflow\": {\"armed\": true, "
      "\"concurrency\": ", "}}",
      "overflow.concurrency", "an integer from 0 to 1000000000", " 0 1 ",
      NULL, NULL },

    { PLAN_HEAD PLAN_PEERS ", \"overflow\": {\"armed\": true, "
      "\"cost_per_hour\": ", "}}",
      "overflow.cost_per_hour", "a number from 0 up",
      " 0 1 0.5 2.0 4294967296 9007199254740993 1e+300 ",
      NULL, NULL },

    { PLAN_HEAD PLAN_PEERS ", \"batching\": ", "}",
      "batching", "an object", " {} ",
      NULL, NULL },

    { PLAN_HEAD PLAN_PEERS ", \"batching\": {\"max_batch_size\": ", "}}",
      "batching.max_batch_size", "an integer from 1 to 65536", " 1 ",
      NULL, NULL },

    { PLAN_HEAD PLAN_PEERS ", \"batching\": {\"max_queue_delay\": ", "}}",
      "batching.max_queue_delay", "a number from 0 to 86400 or \"auto\"",
      " 0 1 0.5 2.0 \"auto\" ",
      NULL, NULL },

    { PLAN_HEAD PLAN_PEERS ", \"batching\": {\"max_queue_size\": ", "}}",
      "batching.max_queue_size", "an integer from 0 to 1000000000", " 0 1 ",
      NULL, NULL }
};


/* In JSON and, where that is another, in the words of a message. */

static const char  *values[][2] = {
    { "null", NULL }, { "true", NULL }, { "false", NULL }, { "0", NULL },
    { "1", NULL }, { "-1", NULL }, { "2.0", NULL }, { "0.5", NULL },
    { "-0.5", NULL }, { "4294967296", NULL }, { "-4294967295", NULL },
    { "9007199254740993", NULL }, { "1e+300", NULL }, { "-1e+300", NULL },
    { "\"x\"", NULL }, { "\"\"", NULL }, { "\"auto\"", NULL },
    { "\"ready\"", NULL }, { "\"a:1\"", NULL }, { "\"1\"", NULL },
    { "[1]", "a list" }, { "{}", "an object" }
};


/* Every value in every place: taken, or refused in just these words. */

static void
place(const place_t *p)
{
    char          text[1024], want[512], word[64];
    size_t        i;
    const char   *value, *shown, *why;
    mark_plan_t  *plan;

    for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        value = values[i][0];
        shown = values[i][1] ? values[i][1] : value;

        (void) snprintf(text, sizeof(text), "%s%s%s", p->before, value,
                        p->after);
        (void) snprintf(word, sizeof(word), " %s ", value);

        plan = plan_read(text, 0, NULL);
        why = "";

        if (strcmp(p->path, "peers[0].address") == 0 && value[0] == '"') {
            why = value[1] == '"' ? " (no host)"
                  : value[1] == '1' ? " (not an IPv4 address)" : " (no port)";
        }

        (void) snprintf(want, sizeof(want), "%s: must be %s, not %s%s",
                        p->path, p->must, shown, why);

        if (strstr(p->good, word)) {
            (void) snprintf(want, sizeof(want), "taken");

        } else if (p->other && strcmp(p->other, value) == 0) {
            (void) snprintf(want, sizeof(want), "%s", p->reason);
        }

        is_str(plan ? "taken" : plan_error.text, want, "%s of %s", p->path,
               value);

        codec_free();
    }
}


static void
bad(const char *text, const char *want)
{
    mark_plan_t  *plan;

    plan = plan_read(text, 0, NULL);

    is_str(plan ? "taken" : plan_error.text, want, "%.70s", text);
    ok(plan || plan_error.status == MARK_PLAN_SCHEMA, "by the schema");

    codec_free();
}


static void
good(const char *text)
{
    is_str(plan_read(text, 0, NULL) ? "taken" : plan_error.text, "taken",
           "%.200s", text);

    codec_free();
}


/* Each place with just so many bytes of text, and with one more. */

static void
longest(const char *before, const char *after, size_t most)
{
    size_t  n;
    char    text[1024], *p;

    for (n = most; n <= most + 1; n++) {
        p = text + sprintf(text, "%s\"", before);
        memset(p, 'n', n);
        (void) sprintf(p + n, "\"%s", after);

        is_int(plan_read(text, 0, NULL) != NULL, n == most,
               "%zu bytes in %.60s", n, before);
        codec_free();
    }
}


int
main(void)
{
    size_t  i;

    for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        place(&places[i]);
    }

    /* the ends of ranges */

#define PEER(s)  PLAN_HEAD ", \"peers\": [{\"address\": \"a:1\", " s "}]}"
#define MORE(s)  PLAN_HEAD PLAN_PEERS ", " s "}"

    good(PEER("\"weight\": 1000, \"concurrency\": 1024, "
              "\"max_batch\": 65535, \"state\": \"warming\""));
    good(PEER("\"latency\": {\"base\": 86400, \"row\": 0}, "
              "\"state\": \"draining\""));
    good(MORE("\"batching\": {\"max_batch_size\": 65536, "
              "\"max_queue_delay\": 86400, \"max_queue_size\": 1000000000}"));
    bad(PEER("\"weight\": 1001"),
        "peers[0].weight: must be an integer from 1 to 1000, not 1001");
    bad(PEER("\"concurrency\": 1025"),
        "peers[0].concurrency: must be an integer from 0 to 1024, not 1025");
    bad(PEER("\"max_batch\": 65536"),
        "peers[0].max_batch: must be an integer from 0 to 65535, not 65536");
    bad(PEER("\"latency\": {\"base\": 86400.5, \"row\": 0}"),
        "peers[0].latency.base: must be a number from 0 to 86400, "
        "not 86400.5");
    bad(MORE("\"batching\": {\"max_batch_size\": 65537}"),
        "batching.max_batch_size: must be an integer from 1 to 65536, "
        "not 65537");
    good("{\"format\": 1, \"pool\": \"p\", \"version\": 9007199254740992, "
         "\"issued\": 0, \"expires\": 9007199254740992" PLAN_PEERS "}");

    longest("{\"format\": 1, \"version\": 1, \"issued\": 1, "
            "\"expires\": 2" PLAN_PEERS ", \"pool\": ", "}", 255);
    longest(PLAN_HEAD ", \"peers\": [{\"address\": \"a:1\", \"id\": ",
            "}]}", 63);
    longest(PLAN_HEAD ", \"peers\": [{\"address\": \"a:1\", \"class\": ",
            "}]}", 31);

    bad(PEER("\"id\": \"a\\nb\""),
        "peers[0].id: must be text of 1 to 63 bytes without control "
        "characters, not \"a b\"");
    bad(PEER("\"class\": \"\\u007f\""),
        "peers[0].class: must be text of 1 to 31 bytes without control "
        "characters, not \" \"");

    /* a value that is shown in part, which is no part of a character */

    bad(PEER("\"price\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
             "\xc3\xa9\""),
        "peers[0].price: must be a number from 0 up, not "
        "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"...");

    /* what is missing, and what nobody knows */

    bad("{}", "format: is required");
    bad("{\"format\": 1}", "pool: is required");
    bad("{\"format\": 1, \"pool\": \"p\"}", "version: is required");
    bad("{\"format\": 1, \"pool\": \"p\", \"version\": 1}",
        "issued: is required");
    bad("{\"format\": 1, \"pool\": \"p\", \"version\": 1, \"issued\": 1}",
        "expires: is required");
    bad(PLAN_HEAD "}", "peers: is required");
    bad(PLAN_HEAD ", \"peers\": [" PLAN_PEER ", {}]}",
        "peers[1].address: is required");
    bad(PEER("\"latency\": {\"base\": 1}"),
        "peers[0].latency.row: is required");
    bad(MORE("\"overflow\": {\"concurrency\": 1}"),
        "overflow.armed: is required");

    bad("{\"format\": 2, \"pools\": 1}", "format: must be 1, not 2");
    bad(PLAN_HEAD ", \"peer\": []}",
        "peer: unknown, the keys here are format, pool, version, issued, "
        "expires, peers, overflow and batching");
    bad(PEER("\"prise\": 1"),
        "peers[0].prise: unknown, the keys here are address, id, class, "
        "price, state, weight, concurrency, max_batch, backup and latency");
    bad(PLAN_HEAD ", \"peers\": [{\"adress\": \"a:1\"}]}",
        "peers[0].adress: unknown, the keys here are address, id, class, "
        "price, state, weight, concurrency, max_batch, backup and latency");
    bad(PEER("\"latency\": {\"base\": 1, \"row\": 1, \"a b\": 1}"),
        "peers[0].latency.\"a b\": unknown, the keys here are base, row and "
        "residual");
    bad(MORE("\"overflow\": {\"armed\": true, \"\": 1}"),
        "overflow.\"\": unknown, the keys here are armed, "
        "requests_per_second, concurrency and cost_per_hour");
    bad(MORE("\"batching\": {\"\\n\": 1}"),
        "batching.\" \": unknown, the keys here are max_batch_size, "
        "max_queue_delay and max_queue_size");

    /* the same server, however it is spelled */

    bad(PLAN_HEAD ", \"peers\": [{\"address\": \"b:1\"}, "
        "{\"address\": \"a:1\"}, {\"address\": \"A:1\"}, "
        "{\"address\": \"b:1\"}]}",
        "peers[2].address: is that of peers[1] already");
    bad(PLAN_HEAD ", \"peers\": [{\"address\": \"[::1]:1\"}, "
        "{\"address\": \"[0:0::0:01]:1\"}]}",
        "peers[1].address: is that of peers[0] already");
    good(PLAN_HEAD ", \"peers\": [{\"address\": \"[::1]:1\"}, "
         "{\"address\": \"[::1]:2\"}, {\"address\": \"unix:/a\"}, "
         "{\"address\": \"unix:/A\"}]}");

    /* no plan empties a pool by mistake */

    bad(PLAN_HEAD ", \"peers\": []}",
        "peers: must not be empty unless overflow.armed is true");
    bad(PLAN_HEAD ", \"peers\": [], \"overflow\": {\"armed\": false}}",
        "peers: must not be empty unless overflow.armed is true");
    good(PLAN_HEAD ", \"peers\": [], \"overflow\": {\"armed\": true}}");

    bad("[]", "a plan is an object, not a list");

    return done_testing();
}
