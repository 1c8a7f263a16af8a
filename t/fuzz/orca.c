
/*
 * libFuzzer target: ORCA load reports.  What parses must have no value that
 * is not a load, and read the same when it is printed in either format; what
 * does not must leave nothing.
 */


#include <float.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "mark_orca.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static void check(double value);
static void again(const mark_orca_t *report, const char *format);
static int same(double a, double b);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mark_orca_t          report, zeros;
    mark_orca_status_t   status;

    memset(&zeros, 0, sizeof(zeros));
    memset(&report, 0xff, sizeof(report));

    status = mark_orca_parse(&report, data, size, "named_metrics.a");

    if (status != MARK_ORCA_OK) {

        if (memcmp(&report, &zeros, sizeof(report)) != 0) {
            __builtin_trap();
        }

        return 0;
    }

    check(report.application_utilization);
    check(report.cpu_utilization);
    check(report.mem_utilization);
    check(report.eps);
    check(report.rps);
    check(report.named);

    again(&report, "TEXT application_utilization=%.17g, cpu_utilization:%.17g,"
                   " mem_utilization=%.17g,eps : %.17g,rps_fractional = %.17g"
                   " , named_metrics.a=%.17g");
    again(&report, "{\"application_utilization\":%.17g,"
                   "\"cpuUtilization\": %.17g ,\"mem_utilization\":%.17g,"
                   "\"eps\":%.17g,\"rps_fractional\":%.17g,"
                   " \"namedMetrics\":{\"\\u0061\":%.17g}}");

    return 0;
}


static void
check(double value)
{
    if (!(value >= 0 && value <= DBL_MAX)) {
        __builtin_trap();
    }
}


static void
again(const mark_orca_t *report, const char *format)
{
    int          len;
    char         text[512];
    mark_orca_t  b;

    len = snprintf(text, sizeof(text), format,
                   report->application_utilization, report->cpu_utilization,
                   report->mem_utilization, report->eps, report->rps,
                   report->named);

    if (mark_orca_parse(&b, text, len, "named_metrics.a") != MARK_ORCA_OK
        || !same(report->application_utilization, b.application_utilization)
        || !same(report->cpu_utilization, b.cpu_utilization)
        || !same(report->mem_utilization, b.mem_utilization)
        || !same(report->eps, b.eps)
        || !same(report->rps, b.rps)
        || !same(report->named, b.named)
        || !b.found)
    {
        __builtin_trap();
    }
}


/* But for the last digits, and those of the smallest and largest numbers. */

static int
same(double a, double b)
{
    return (a >= b ? a - b : b - a) <= 1e-12 * a || a < 1e-290 || a > 1e300;
}
