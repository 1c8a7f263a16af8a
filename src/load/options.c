/* What the command line asks for. */

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "options.h"


enum {
    OPT_RATE = 256,
    OPT_UNIFORM,
    OPT_TRACE,
    OPT_TRACE_SCALE,
    OPT_DURATION,
    OPT_REQUESTS,
    OPT_WARMUP,
    OPT_SEED,
    OPT_CONCURRENCY,
    OPT_CONNECTIONS,
    OPT_STREAMS,
    OPT_HTTP2,
    OPT_SPREAD,
    OPT_RETRY_CLOSED,
    OPT_NO_RETRY_CLOSED,
    OPT_TIMEOUT,
    OPT_METHOD,
    OPT_HEADER,
    OPT_BODY,
    OPT_BODY_FILE,
    OPT_REQUESTS_FILE,
    OPT_ONCE,
    OPT_RANDOM_ROWS,
    OPT_RANDOM_DIMS,
    OPT_RANDOM_BODIES,
    OPT_ABORT,
    OPT_SLOW,
    OPT_EXPECT,
    OPT_REFERENCE,
    OPT_TOLERANCE,
    OPT_EXPECT_STATUS,
    OPT_SLO,
    OPT_PROGRESS,
    OPT_HISTOGRAM,
    OPT_JSON,
    OPT_ANSWERS,
    OPT_HELP,
    OPT_VERSION
};


static const struct option  table[] = {
    { "rate", required_argument, NULL, OPT_RATE },
    { "uniform", no_argument, NULL, OPT_UNIFORM },
    { "trace", required_argument, NULL, OPT_TRACE },
    { "trace-scale", required_argument, NULL, OPT_TRACE_SCALE },
    { "duration", required_argument, NULL, OPT_DURATION },
    { "requests", required_argument, NULL, OPT_REQUESTS },
    { "warmup", required_argument, NULL, OPT_WARMUP },
    { "seed", required_argument, NULL, OPT_SEED },
    { "concurrency", required_argument, NULL, OPT_CONCURRENCY },
    { "connections", required_argument, NULL, OPT_CONNECTIONS },
    { "streams", required_argument, NULL, OPT_STREAMS },
    { "http2", no_argument, NULL, OPT_HTTP2 },
    { "spread", no_argument, NULL, OPT_SPREAD },
    { "retry-closed", no_argument, NULL, OPT_RETRY_CLOSED },
    { "no-retry-closed", no_argument, NULL, OPT_NO_RETRY_CLOSED },
    { "timeout", required_argument, NULL, OPT_TIMEOUT },
    { "method", required_argument, NULL, OPT_METHOD },
    { "header", required_argument, NULL, OPT_HEADER },
    { "body", required_argument, NULL, OPT_BODY },
    { "body-file", required_argument, NULL, OPT_BODY_FILE },
    { "requests-file", required_argument, NULL, OPT_REQUESTS_FILE },
    { "once", no_argument, NULL, OPT_ONCE },
    { "random-rows", required_argument, NULL, OPT_RANDOM_ROWS },
    { "random-dims", required_argument, NULL, OPT_RANDOM_DIMS },
    { "random-bodies", required_argument, NULL, OPT_RANDOM_BODIES },
    { "abort", required_argument, NULL, OPT_ABORT },
    { "slow", required_argument, NULL, OPT_SLOW },
    { "expect", required_argument, NULL, OPT_EXPECT },
    { "reference", required_argument, NULL, OPT_REFERENCE },
    { "tolerance", required_argument, NULL, OPT_TOLERANCE },
    { "expect-status", required_argument, NULL, OPT_EXPECT_STATUS },
    { "slo", required_argument, NULL, OPT_SLO },
    { "progress", no_argument, NULL, OPT_PROGRESS },
    { "histogram", no_argument, NULL, OPT_HISTOGRAM },
    { "json", required_argument, NULL, OPT_JSON },
    { "answers", required_argument, NULL, OPT_ANSWERS },
    { "help", no_argument, NULL, OPT_HELP },
    { "version", no_argument, NULL, OPT_VERSION },
    { NULL, 0, NULL, 0 }
};


static void parse_one(options_t *o, int code, const char *name);
static void parse_status(options_t *o);
static void parse_header(options_t *o);
static void check_arrivals(options_t *o);
static void check_bodies(options_t *o);
static void check_answers(options_t *o);


void
options_die(const char *fmt, ...)
{
    va_list  args;

    fprintf(stderr, "mark-load: ");

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);

    fprintf(stderr, "\n");
    exit(EXIT_USAGE);
}


static double
number(const char *name, double least, double most)
{
    char    *end;
    double   value;

    errno = 0;
    value = strtod(optarg, &end);

    if (end == optarg || *end != '\0' || errno || !isfinite(value)) {
        options_die("--%s needs a number, not \"%s\"", name, optarg);
    }

    if (value < least || value > most) {
        options_die("--%s must be between %g and %g, not %s", name, least,
                    most, optarg);
    }

    return value;
}


static unsigned long long
whole(const char *name, unsigned long long least, unsigned long long most)
{
    char                *end;
    unsigned long long   value;

    errno = 0;
    value = strtoull(optarg, &end, 10);

    if (*optarg < '0' || *optarg > '9' || *end != '\0' || errno) {
        options_die("--%s needs a whole number, not \"%s\"", name, optarg);
    }

    if (value < least || value > most) {
        options_die("--%s must be between %llu and %llu, not %s", name, least,
                    most, optarg);
    }

    return value;
}


void
options_parse(options_t *o, int argc, char **argv)
{
    int  code, index;

    memset(o, 0, sizeof(options_t));

    o->argv = allocate(argc * sizeof(char *));
    memcpy(o->argv, argv, argc * sizeof(char *));
    o->argc = argc;

    o->trace_scale = 1;
    o->seed = 1;
    o->retry_closed = 1;
    o->timeout = 30;
    o->tolerance = -1;

    for ( ;; ) {
        index = 0;
        code = getopt_long(argc, argv, "", table, &index);

        if (code == -1) {
            break;
        }

        if (code == '?') {
            fprintf(stderr, "mark-load: try mark-load --help\n");
            exit(EXIT_USAGE);
        }

        parse_one(o, code, table[index].name);
    }

    if (optind == argc) {
        options_die("no URL; try mark-load --help");
    }

    if (optind + 1 < argc) {
        options_die("one URL only, not also \"%s\"", argv[optind + 1]);
    }

    o->url = argv[optind];

    check_bodies(o);
    check_arrivals(o);
    check_answers(o);
}


static void
parse_one(options_t *o, int code, const char *name)
{
    switch (code) {

    case OPT_RATE:
        o->rate = number(name, 1e-6, 1e7);
        break;

    case OPT_UNIFORM:
        o->uniform = 1;
        break;

    case OPT_TRACE:
        o->trace = optarg;
        break;

    case OPT_TRACE_SCALE:
        o->trace_scale = number(name, 1e-9, 1e9);
        break;

    case OPT_DURATION:
        o->duration = number(name, 1e-3, 1e8);
        break;

    case OPT_REQUESTS:
        o->requests = whole(name, 1, UINT64_MAX);
        break;

    case OPT_WARMUP:
        o->warmup = number(name, 0, 1e8);
        break;

    case OPT_SEED:
        o->seed = whole(name, 0, UINT64_MAX);
        break;

    case OPT_CONCURRENCY:
        o->concurrency = whole(name, 1, 1000000);
        break;

    case OPT_CONNECTIONS:
        o->connections = whole(name, 1, 1000000);
        break;

    case OPT_STREAMS:
        o->streams = whole(name, 1, 1000000);
        break;

    case OPT_HTTP2:
        o->http2 = 1;
        break;

    case OPT_SPREAD:
        o->spread = 1;
        break;

    case OPT_RETRY_CLOSED:
        o->retry_closed = 1;
        break;

    case OPT_NO_RETRY_CLOSED:
        o->retry_closed = 0;
        break;

    case OPT_TIMEOUT:
        o->timeout = number(name, 1e-3, 1e6);
        break;

    case OPT_METHOD:
        o->method = optarg;

        if (*optarg == '\0' || optarg[strcspn(optarg, " \t\r\n:")] != '\0') {
            options_die("--method needs a method, not \"%s\"", optarg);
        }

        break;

    case OPT_HEADER:
        parse_header(o);
        break;

    case OPT_BODY:
        o->body = optarg;
        break;

    case OPT_BODY_FILE:
        o->body_file = optarg;
        break;

    case OPT_REQUESTS_FILE:
        o->requests_file = optarg;
        break;

    case OPT_ONCE:
        o->once = 1;
        break;

    case OPT_RANDOM_ROWS:
        o->random_rows = whole(name, 1, 1000000);
        break;

    case OPT_RANDOM_DIMS:
        o->random_dims = whole(name, 1, 10000000);
        break;

    case OPT_RANDOM_BODIES:
        o->random_bodies = whole(name, 1, 10000000);
        break;

    case OPT_ABORT:
        o->abort_share = number(name, 0, 1);
        break;

    case OPT_SLOW:
        o->slow_share = number(name, 0, 1);
        break;

    case OPT_EXPECT:
        o->expect = optarg;
        break;

    case OPT_REFERENCE:
        o->reference = optarg;
        break;

    case OPT_TOLERANCE:
        o->tolerance = number(name, 0, 1e9);
        break;

    case OPT_EXPECT_STATUS:
        parse_status(o);
        break;

    case OPT_SLO:
        o->slo_ms = number(name, 1e-3, 1e9);
        break;

    case OPT_PROGRESS:
        o->progress = 1;
        break;

    case OPT_HISTOGRAM:
        o->histogram = 1;
        break;

    case OPT_JSON:
        o->json = optarg;
        break;

    case OPT_ANSWERS:
        o->answers = optarg;
        break;

    case OPT_HELP:
        help_print(stdout);
        exit(EXIT_OK);

    case OPT_VERSION:
        printf("mark-load %s\n", MARK_LOAD_VERSION);
        exit(EXIT_OK);
    }
}


static void
parse_status(options_t *o)
{
    char        *end;
    long         status;
    const char  *p;

    memset(o->status_allowed, 0, sizeof(o->status_allowed));

    for (p = optarg; /* void */; p = end + 1) {
        status = strtol(p, &end, 10);

        if (end == p || (*end != ',' && *end != '\0')
            || status < 200 || status > 599)
        {
            options_die("--expect-status needs a list like 200,503, not"
                        " \"%s\"", optarg);
        }

        o->status_allowed[status] = 1;

        if (*end == '\0') {
            return;
        }
    }
}


static void
parse_header(options_t *o)
{
    const char  *colon;

    colon = strchr(optarg, ':');

    if (colon == NULL || colon == optarg
        || optarg[strcspn(optarg, "\r\n")] != '\0'
        || strcspn(optarg, " \t") < (size_t) (colon - optarg))
    {
        options_die("--header needs 'Name: value', not \"%s\"", optarg);
    }

    o->headers = realloc(o->headers,
                         (o->header_count + 1) * sizeof(char *));
    if (o->headers == NULL) {
        options_die("out of memory");
    }

    o->headers[o->header_count++] = optarg;
}


static void
check_bodies(options_t *o)
{
    int  random, sources;

    random = o->random_rows || o->random_dims || o->random_bodies;
    sources = (o->body != NULL) + (o->body_file != NULL)
              + (o->requests_file != NULL) + random;

    if (sources > 1) {
        options_die("--body, --body-file, --requests-file and --random-*"
                    " exclude each other");
    }

    if (random) {
        o->random_rows = o->random_rows ? o->random_rows : 1;
        o->random_dims = o->random_dims ? o->random_dims : 4;
        o->random_bodies = o->random_bodies ? o->random_bodies : 16;
    }

    if (o->method == NULL) {
        o->method = sources ? "POST" : "GET";
    }

    if (o->once) {
        if (o->requests_file == NULL && !random) {
            options_die("--once needs --requests-file or --random-bodies");
        }

        if (o->requests || o->duration > 0) {
            options_die("--once excludes --requests and --duration");
        }
    }
}


static void
check_arrivals(options_t *o)
{
    if ((o->rate > 0) + (o->trace != NULL) + (o->concurrency != 0) > 1) {
        options_die("--rate, --trace and --concurrency exclude each other;"
                    " --connections bounds an open loop");
    }

    if (o->uniform && o->rate <= 0) {
        options_die("--uniform needs --rate");
    }

    if (o->trace_scale != 1 && o->trace == NULL) {
        options_die("--trace-scale needs --trace");
    }

    if (o->streams && !o->http2) {
        options_die("--streams needs --http2");
    }

    if (o->streams == 0) {
        o->streams = o->http2 ? 32 : 1;
    }

    if (o->rate <= 0 && o->trace == NULL && o->concurrency == 0) {
        o->concurrency = 1;
    }

    if (o->connections == 0) {
        o->connections = 64;

        if (o->concurrency) {
            o->connections = (o->concurrency + o->streams - 1) / o->streams;
        }
    }

    if (o->concurrency > (uint64_t) o->connections * o->streams) {
        options_die("--concurrency %u needs more than %u connection(s)",
                    o->concurrency, o->connections);
    }

    if (o->duration <= 0 && o->requests == 0 && !o->once
        && o->trace == NULL)
    {
        o->duration = 10;
    }

    if (o->duration > 0 && o->warmup >= o->duration) {
        options_die("--warmup must be shorter than --duration");
    }
}


static void
check_answers(options_t *o)
{
    unsigned  i, any;

    if (o->expect && o->reference) {
        options_die("--expect and --reference exclude each other");
    }

    if (o->tolerance >= 0 && !o->expect && !o->reference) {
        options_die("--tolerance needs --reference or --expect");
    }

    if (o->answers && (!o->once || o->requests_file == NULL)) {
        options_die("--answers needs --requests-file and --once");
    }

    for (i = 0, any = 0; i < 600; i++) {
        any |= o->status_allowed[i];
    }

    if (!any) {
        o->status_allowed[200] = 1;
    }
}
