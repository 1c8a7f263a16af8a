
/*
 * The environment, and the help.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"


static const char  options_usage[] =
    "Usage: mark-lambda\n"
    "Serves mark-server's models as an AWS Lambda function: the bootstrap of "
    "a custom\n"
    "runtime (provided.al2023).  Its options are environment variables.\n"
    "\n"
    "  MARK_MODEL      models, with blanks between: NAME=FILE, a TorchScript\n"
    "                  file below LAMBDA_TASK_ROOT, or a built-in one, wide\n"
    "                  or echo (each FILE of model/*.pt, by its name)\n"
    "  MARK_THREADS    threads of one model run (1)\n"
    "  MARK_VERBOSE    log each invocation, if not empty\n"
    "\n"
    "Of Lambda itself:\n"
    "\n"
    "  _HANDLER        names the model of payloads that do not, if there are\n"
    "                  several; otherwise of no importance\n"
    "  LAMBDA_TASK_ROOT, AWS_LAMBDA_RUNTIME_API\n"
    "\n"
    "A payload is the body of a prediction, {\"instances\": [...]}, and is "
    "answered\n"
    "by the bytes of mark-server's answer; or it is an HTTP event of a "
    "function URL\n"
    "or of API Gateway, payload format 2.0, for "
    "POST /v1/models/NAME:predict.\n"
    "\n"
    "  --help, --version\n";


static const char *
options_variable(const char *name)
{
    const char  *value;

    value = getenv(name);

    return value && *value ? value : NULL;
}


void
options_read(options_t *conf, int argc, char **argv)
{
    /*
     * Images may start the bootstrap with the handler as its argument, which
     * is in _HANDLER as well.
     */

    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        fputs(options_usage, stdout);
        exit(0);
    }

    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        printf("mark-lambda %s\n", OPTIONS_VERSION);
        exit(0);
    }

    conf->api = options_variable("AWS_LAMBDA_RUNTIME_API");

    if (conf->api == NULL) {
        fprintf(stderr, "mark-lambda: AWS_LAMBDA_RUNTIME_API is not set: "
                "Lambda starts this program\n\n%s", options_usage);
        exit(2);
    }

    conf->root = options_variable("LAMBDA_TASK_ROOT");

    if (conf->root == NULL) {
        conf->root = ".";
    }

    conf->handler = options_variable("_HANDLER");
    conf->models = options_variable("MARK_MODEL");
    conf->threads = options_variable("MARK_THREADS");
    conf->verbose = options_variable("MARK_VERBOSE") != NULL;
}
