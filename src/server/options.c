/*
 * Options: their names, their limits, their help.
 */


#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "options.h"


static const char  options_usage[] =
    "Usage: mark-server [OPTION]...\n"
    "Serves models over HTTP, POST /v1/models/NAME:predict with "
    "{\"instances\": [...]}.\n"
    "\n"
    "  --listen ADDR:PORT    where to listen (127.0.0.1:8501); port 0: any\n"
    "  --model NAME          a built-in model: digits, wide or echo; may be\n"
    "                        repeated (digits and wide, if none is given)\n"
    "  --load NAME=FILE      a TorchScript model; may be repeated\n"
    "  --cache DIR           where trained models are kept\n"
    "                        ($XDG_CACHE_HOME/mark-server)\n"
    "  --threads N           threads of one model run (1)\n"
    "  --max-body SIZE       the largest request body (64m)\n"
    "  --echo-delay MS       echo takes so long for a request\n"
    "  --echo-row-delay US   and so long for each of its rows\n"
    "  --verbose             log requests\n"
    "  --help, --version\n";


enum {
    OPTION_LISTEN = 1000,
    OPTION_MODEL,
    OPTION_LOAD,
    OPTION_CACHE,
    OPTION_THREADS,
    OPTION_MAX_BODY,
    OPTION_ECHO_DELAY,
    OPTION_ECHO_ROW_DELAY,
    OPTION_VERBOSE,
    OPTION_HELP,
    OPTION_VERSION
};


static const struct option  options_table[] = {
    { "listen",          required_argument,  NULL,  OPTION_LISTEN },
    { "model",           required_argument,  NULL,  OPTION_MODEL },
    { "load",            required_argument,  NULL,  OPTION_LOAD },
    { "cache",           required_argument,  NULL,  OPTION_CACHE },
    { "threads",         required_argument,  NULL,  OPTION_THREADS },
    { "max-body",        required_argument,  NULL,  OPTION_MAX_BODY },
    { "echo-delay",      required_argument,  NULL,  OPTION_ECHO_DELAY },
    { "echo-row-delay",  required_argument,  NULL,  OPTION_ECHO_ROW_DELAY },
    { "verbose",         no_argument,        NULL,  OPTION_VERBOSE },
    { "help",            no_argument,        NULL,  OPTION_HELP },
    { "version",         no_argument,        NULL,  OPTION_VERSION },
    { NULL,              0,                  NULL,  0 }
};


/* For what is wrong with the command line. */

void
options_misuse(const char *fmt, ...)
{
    va_list  args;

    fprintf(stderr, "mark-server: ");

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);

    fprintf(stderr, "\n\n%s", options_usage);
    exit(2);
}


/* A number of units, from least to most, where a unit is 1/per of what. */

static uint64_t
options_number(const char *option, const char *text, double least, double most,
    double per)
{
    char    *end;
    double   d;

    errno = 0;
    d = strtod(text, &end);

    if (end == text || *end || errno || !(d >= least && d <= most)) {
        options_misuse("bad value \"%s\" of --%s: a number from %g to %g is "
                       "wanted", text, option, least, most);
    }

    return d * per;
}


static size_t
options_size(const char *option, const char *text)
{
    int                  shift;
    char                *end;
    unsigned long long   n;

    errno = 0;
    shift = 0;
    n = strtoull(text, &end, 10);

    if (*end == 'k' || *end == 'K') {
        shift = 10;
        end++;

    } else if (*end == 'm' || *end == 'M') {
        shift = 20;
        end++;
    }

    if (*text < '0' || *text > '9' || *end || errno || n == 0
        || n > (SIZE_MAX >> 8 >> shift))
    {
        options_misuse("bad value \"%s\" of --%s: a size such as 512k or 64m "
                       "is wanted", text, option);
    }

    return (size_t) n << shift;
}


static void
options_model(options_t *conf, const char *option, const char *text)
{
    size_t    n, m;
    unsigned  i;

    n = strcspn(text, "=");

    if (n == 0 || n > MODEL_NAME_MAX || strspn(text, MODEL_NAME_CHARS) != n) {
        options_misuse("bad name in --%s %s: up to %d letters, digits, and "
                       "\"_-.\" are wanted", option, text, MODEL_NAME_MAX);
    }

    for (i = 0; i < conf->nmodels; i++) {
        m = strcspn(conf->models[i], "=");

        if (m == n && strncmp(conf->models[i], text, n) == 0) {
            options_misuse("model \"%.*s\" is given twice", (int) n, text);
        }
    }

    if (conf->nmodels == OPTIONS_MAX_MODELS) {
        options_misuse("more than %d models", OPTIONS_MAX_MODELS);
    }

    conf->models[conf->nmodels++] = text;
}


void
options_parse(options_t *conf, int argc, char **argv)
{
    int          c, last;
    const char  *name;

    memset(conf, 0, sizeof(options_t));

    conf->listen = "127.0.0.1:8501";
    conf->threads = 1;
    conf->http.max_body = 64 * 1024 * 1024;

    opterr = 0;

    for ( ;; ) {
        last = optind;
        c = getopt_long(argc, argv, ":", options_table, NULL);

        if (c == -1) {
            break;
        }

        switch (c) {

        case OPTION_LISTEN:
            conf->listen = optarg;
            break;

        case OPTION_MODEL:
            if (strcmp(optarg, "digits") != 0 && strcmp(optarg, "wide") != 0
                && strcmp(optarg, "echo") != 0)
            {
                options_misuse("there is no built-in model \"%s\"", optarg);
            }

            options_model(conf, "model", optarg);
            break;

        case OPTION_LOAD:
            name = strchr(optarg, '=');

            if (name == NULL || name[1] == '\0') {
                options_misuse("bad value \"%s\" of --load: NAME=FILE is "
                               "wanted", optarg);
            }

            options_model(conf, "load", optarg);
            break;

        case OPTION_CACHE:
            conf->cache = optarg;
            break;

        case OPTION_THREADS:
            conf->threads = options_number("threads", optarg, 1, 256, 1);
            break;

        case OPTION_MAX_BODY:
            conf->http.max_body = options_size("max-body", optarg);
            break;

        case OPTION_ECHO_DELAY:
            conf->echo_delay = options_number("echo-delay", optarg, 0, 3.6e6,
                                           1e6);
            break;

        case OPTION_ECHO_ROW_DELAY:
            conf->echo_row_delay = options_number("echo-row-delay", optarg, 0,
                                               3.6e9, 1e3);
            break;

        case OPTION_VERBOSE:
            conf->http.verbose = 1;
            break;

        case OPTION_HELP:
            fputs(options_usage, stdout);
            exit(0);

        case OPTION_VERSION:
            printf("mark-server %s\n", OPTIONS_VERSION);
            exit(0);

        case ':':
            options_misuse("option %s wants a value", argv[last]);

        default:
            options_misuse("unknown option \"%s\"", argv[last]);
        }
    }

    if (optind < argc) {
        options_misuse("unknown argument \"%s\"", argv[optind]);
    }

    if (conf->nmodels == 0) {
        conf->models[conf->nmodels++] = "digits";
        conf->models[conf->nmodels++] = "wide";
    }
}
