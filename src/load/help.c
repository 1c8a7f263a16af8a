/* The text of --help. */

#include "options.h"


static const char  *text[] = {
"Usage: mark-load [options] http://host:port/path\n"
"\n"
"Sends requests, checks every answer, and reports latencies measured from\n"
"the time at which each request was meant to leave.\n"
"\n"
"When requests leave (default: closed loop, one at a time, for 10 s)\n"
"  --rate R             open loop, R requests/s, Poisson arrivals\n"
"  --uniform            ... at equal distances\n"
"  --trace FILE         open loop, an arrival time in seconds a line\n"
"  --trace-scale X      multiply the times of the trace by X\n"
"  --concurrency C      closed loop: C requests at any time\n"
"  --duration S         offer load for S seconds\n"
"  --requests N         stop after N requests\n"
"  --warmup S           do not count requests of the first S seconds\n"
"  --seed N             repeat the same random choices (default 1)\n",
"\n"
"How they travel\n"
"  --connections C      at most C connections (default: open loop 64,\n"
"                       closed loop as many as --concurrency needs)\n"
"  --spread             take them in turn, for servers that divide their\n"
"                       connections; otherwise as few are used as can be\n"
"  --http2              h2c with prior knowledge\n"
"  --streams M          at most M streams a connection (default 32)\n"
"  --timeout S          give a request up S seconds after the time it was\n"
"                       meant to leave (default 30)\n"
"  --no-retry-closed    do not repeat a request (once, on a new connection)\n"
"                       that met a kept-alive connection being closed: no\n"
"                       byte of an answer came. --retry-closed is the\n"
"                       default, as repeating an inference does no harm\n",
"\n"
"What is sent (%u becomes the number of the request, from 1)\n"
"  --body TEXT          the body of all requests\n"
"  --body-file FILE     the same from a file\n"
"  --requests-file FILE bodies, one a line, in turn\n"
"  --random-rows N --random-dims D --random-bodies K\n"
"                       K different {\"instances\": [[D numbers], N times]}\n"
"  --once               every body once, then stop\n"
"  --method M           default: POST with a body, else GET\n"
"  --header 'N: V'      add or replace a header; may be repeated and hold %u\n"
"  --abort P            with probability P the client vanishes: in the body,\n"
"                       or up to 20 ms later while it waits; an answer that\n"
"                       comes earlier counts\n"
"  --slow P             with probability P the request dribbles\n",
"\n"
"How answers are judged\n"
"  --expect TEXT        the body that answers with 2xx must have, %u as above\n"
"  --reference URL      ask this URL first, once for each body; status and\n"
"                       body of every answer must be the same\n"
"  --tolerance T        numbers may differ by T, absolute or relative\n"
"  --expect-status LIST statuses that are no errors (default 200)\n"
"  --slo MS             goodput counts right answers within MS\n"
"\n"
"What is written\n"
"  --progress           a line a second on stderr\n"
"  --json FILE          the report as JSON; '-' is stdout, and the summary\n"
"                       goes to stderr\n"
"  --histogram          add all buckets of latency to the report\n"
"  --answers FILE       with --requests-file --once: the answers' bodies in\n"
"                       the order of the requests, one a line\n"
"  --help, --version\n",
"\n"
"Exit status: 0 all answers were right, 1 there were errors, 2 there were\n"
"wrong answers, 3 the run did not take place.\n",
NULL
};


void
help_print(FILE *out)
{
    unsigned  i;

    for (i = 0; text[i]; i++) {
        fputs(text[i], out);
    }
}
