
/* ORCA load reports, as they are sent and as they must not be. */


#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "mark_orca.h"


typedef struct {
    const char          *value;
    const char          *metric;
    mark_orca_status_t   status;
    mark_orca_t          want;
} case_t;


#define OK           MARK_ORCA_OK
#define INVALID      MARK_ORCA_INVALID
#define UNSUPPORTED  MARK_ORCA_UNSUPPORTED

#define KV           "named_metrics.kv_cache_usage_perc"


/* application, cpu, mem, eps, rps, named, found */

static const case_t  cases[] = {

    /* as vLLM, Triton, Envoy's and Azure's documentation have them */

    { "TEXT named_metrics.kv_cache_usage_perc=0.98,"
      " named_metrics.num_requests_waiting=12", KV, OK,
      { 0, 0, 0, 0, 0, 0.98, 1 } },
    { "JSON {\"named_metrics\": {\"kv_cache_usage_perc\": 0.5,"
      " \"num_requests_waiting\": 3}}", KV, OK, { 0, 0, 0, 0, 0, 0.5, 1 } },
    { "TEXT cpu_utilization=0.7, application_utilization=0.8,"
      " mem_utilization=0.9, rps_fractional=1000, eps=2,"
      " named_metrics.foo=123, utilization.total=0.5", "utilization.total", OK,
      { 0.8, 0.7, 0.9, 2, 1000, 0.5, 1 } },
    { "TEXT cpu_utilization:0.7,application_utilization:0.8,"
      "mem_utilization:0.9,rps_fractional:1000,eps:2,named_metrics.foo:123,"
      "named_metrics.bar:0.2", "named_metrics.foo", OK,
      { 0.8, 0.7, 0.9, 2, 1000, 123, 1 } },
    { "cpu_utilization=0.3, mem_utilization=0.8, rps_fractional=10.0, eps=1",
      NULL, OK, { 0, 0.3, 0.8, 1, 10, 0, 0 } },
    { "JSON {\"cpuUtilization\": 0.3, \"memUtilization\": 0.8,"
      " \"rpsFractional\": 10.0, \"eps\": 1, \"applicationUtilization\": 2,"
      " \"namedMetrics\": {\"a.b\": 4}, \"requestCost\": {\"x\": 5}}",
      "named_metrics.a.b", OK, { 2, 0.3, 0.8, 1, 10, 4, 1 } },
    { "{\"cpu_utilization\":0.25}", NULL, OK, { 0, 0.25, 0, 0, 0, 0, 0 } },
    { "JSON {\"cpu_utilization\": 0, \"mem_utilization\": 0, \"eps\": 0,"
      " \"request_cost\": {\"tokens\": 7}, \"utilization\": {\"x\": 1}}",
      "request_cost.tokens", OK, { 0, 0, 0, 0, 0, 7, 1 } },

    /* what is wanted */

    { "TEXT eps=3", "eps", OK, { 0, 0, 0, 3, 0, 3, 1 } },
    { "JSON {\"rpsFractional\": 3}", "rps_fractional", OK,
      { 0, 0, 0, 0, 3, 3, 1 } },
    { "TEXT eps=3", "cpu_utilization", OK, { 0, 0, 0, 3, 0, 0, 0 } },
    { "TEXT named_metrics.a=0", "named_metrics.a", OK,
      { 0, 0, 0, 0, 0, 0, 1 } },
    { "TEXT named_metrics.ab=1", "named_metrics.a", OK,
      { 0, 0, 0, 0, 0, 0, 0 } },
    { "TEXT utilization.a=1", "named_metrics.a", OK,
      { 0, 0, 0, 0, 0, 0, 0 } },
    { "TEXT named_metrics.vllm:waiting:4", "named_metrics.vllm:waiting", OK,
      { 0, 0, 0, 0, 0, 4, 1 } },
    { "TEXT named_metrics.vllm:waiting=4", "named_metrics.vllm:waiting", OK,
      { 0, 0, 0, 0, 0, 4, 1 } },
    { "JSON {\"named_metrics\": {\"\\u0061\": 4}}", "named_metrics.a", OK,
      { 0, 0, 0, 0, 0, 4, 1 } },
    { "JSON {\"named_metrics.a\": 4}", "named_metrics.a", OK,
      { 0, 0, 0, 0, 0, 0, 0 } },

    /* forms */

    { "text eps=3", NULL, OK, { 0, 0, 0, 3, 0, 0, 0 } },
    { "Json{\"eps\": 3}", NULL, INVALID, { 0, 0, 0, 0, 0, 0, 0 } },
    { "json\t{\"eps\": 3}", NULL, OK, { 0, 0, 0, 3, 0, 0, 0 } },
    { " TEXT \t eps \t=\t 3 ,", NULL, OK, { 0, 0, 0, 3, 0, 0, 0 } },
    { "TEXT , ,eps=3,,", NULL, OK, { 0, 0, 0, 3, 0, 0, 0 } },
    { "TEXT", NULL, OK, { 0, 0, 0, 0, 0, 0, 0 } },
    { "JSON {}", NULL, OK, { 0, 0, 0, 0, 0, 0, 0 } },
    { "{}", NULL, OK, { 0, 0, 0, 0, 0, 0, 0 } },
    { "JSON {\"eps\": null, \"named_metrics\": null}", "eps", OK,
      { 0, 0, 0, 0, 0, 0, 0 } },
    { "BIN CAESBQ==", NULL, UNSUPPORTED, { 0, 0, 0, 0, 0, 0, 0 } },
    { "bin", NULL, UNSUPPORTED, { 0, 0, 0, 0, 0, 0, 0 } },

    /* numbers */

    { "TEXT eps=1e3", NULL, OK, { 0, 0, 0, 1000, 0, 0, 0 } },
    { "TEXT eps=+.5", NULL, OK, { 0, 0, 0, 0.5, 0, 0, 0 } },
    { "TEXT eps=5.", NULL, OK, { 0, 0, 0, 5, 0, 0, 0 } },
    { "TEXT eps=1.25E-05", NULL, OK, { 0, 0, 0, 1.25e-5, 0, 0, 0 } },
    { "TEXT eps=-0", NULL, OK, { 0, 0, 0, 0, 0, 0, 0 } },
    { "TEXT eps=123456789012345678901234567890", NULL, OK,
      { 0, 0, 0, 123456789012345678901234567890., 0, 0, 0 } },
    { "TEXT eps=0.000000000000000000000000000001", NULL, OK,
      { 0, 0, 0, 1e-30, 0, 0, 0 } },
    { "TEXT eps=1.7e308", NULL, OK, { 0, 0, 0, 1.7e308, 0, 0, 0 } },
    { "TEXT eps=1e-999999999999999999999", NULL, OK,
      { 0, 0, 0, 0, 0, 0, 0 } },
    { "TEXT eps=0e999999999999999999999", NULL, OK,
      { 0, 0, 0, 0, 0, 0, 0 } },

    /* what is new in the message, or none of our business */

    { "TEXT eps=3, gpu_utilization=1, rps=4", NULL, OK,
      { 0, 0, 0, 3, 0, 0, 0 } },
    { "{\"gpu\": {\"a\": [1, \"b\"]}, \"eps\": 3}", NULL, OK,
      { 0, 0, 0, 3, 0, 0, 0 } },
    { "TEXT eps=3, named_metrics.a=-1, request_cost.b=-1", NULL, OK,
      { 0, 0, 0, 3, 0, 0, 0 } },
    { "{\"eps\": 3, \"named_metrics\": {\"a\": -1}}", "named_metrics.b", OK,
      { 0, 0, 0, 3, 0, 0, 0 } }
};


static const char  *wrong[] = {
    "", " ", ",", "TEXT eps", "TEXT eps=", "TEXT =3", "TEXT eps 3",
    "TEXT eps=3 mem_utilization=4", "TEXT eps=3;mem_utilization=4",
    "TEXT a:3;mem_utilization:4", "TEXT eps=3:4", "TEXT a=b:4", "x=1",
    "TEXT eps=nan", "TEXT eps=NaN", "TEXT eps=inf", "TEXT eps=-inf",
    "TEXT eps=Infinity", "TEXT eps=1e309", "TEXT eps=1e99999999999",
    "TEXT eps=-1", "TEXT named_metrics.a=-1", "TEXT utilization.b=-1",
    "TEXT eps=0x10", "TEXT eps=1e", "TEXT eps=1e+", "TEXT eps=.",
    "TEXT eps=1.2.3", "TEXT eps=1,2", "TEXT eps=--1", "TEXT eps=\"1\"",
    "TEXT eps=3%", "TEXT eps=1, eps=1", "TEXT eps=1, eps:2",
    "TEXT new=1, new=1", "TEXT named_metrics.b=1, named_metrics.b=1",
    "TEXT named_metrics.=1", "TEXT utilization.=1", "TEXT e\001s=1",
    "TEXT e\303\244=1", "TEXT {\"eps\": 3}", "TEXTeps=3", "PROTO eps=1",
    "JSON", "JSON eps=3", "JSON {\"eps\": 3", "JSON {\"eps\": 3}}",
    "JSON {\"eps\": \"3\"}", "JSON {\"eps\": true}", "JSON {\"eps\": [3]}",
    "JSON {\"eps\": NaN}", "JSON {\"eps\": Infinity}", "JSON {\"eps\": -1}",
    "JSON {\"eps\": 1e309}", "JSON {\"new\": NaN}",
    "JSON {\"eps\": 1, \"eps\": 1}", "JSON {\"eps\": 1, \"\\u0065ps\": 1}",
    "JSON {\"cpu_utilization\": 1, \"cpuUtilization\": 1}",
    "JSON {\"named_metrics\": {}, \"namedMetrics\": {}}",
    "JSON {\"named_metrics\": {\"a\": 1, \"a\": 1}}",
    "JSON {\"named_metrics\": {\"a\": null}}",
    "JSON {\"named_metrics\": {\"a\": \"1\"}}",
    "JSON {\"named_metrics\": {\"a\": -1}}",
    "JSON {\"utilization\": {\"b\": -1}}", "JSON {\"named_metrics\": [1]}",
    "JSON {\"named_metrics\": 1}", "JSON [1]", "JSON null", "[1]",
    "CAESBQ==", "{\"eps\": nul}"
};


/* The bytes that may be read, and no zero behind them. */

static mark_orca_status_t
parse(mark_orca_t *report, const char *value, const char *metric)
{
    char                *exact;
    size_t               len;
    mark_orca_status_t   status;

    len = strlen(value);
    exact = malloc(len ? len : 1);
    memcpy(exact, value, len);

    memset(report, 0xff, sizeof(mark_orca_t));
    status = mark_orca_parse(report, exact, len, metric);

    free(exact);

    return status;
}


static int
near(double a, double b)
{
    return fabs(a - b) <= 1e-12 * b;
}


static void
check(const case_t *c)
{
    int          got;
    mark_orca_t  r;

    got = parse(&r, c->value, c->metric);

    if (!ok(got == (int) c->status
            && near(r.application_utilization, c->want.application_utilization)
            && near(r.cpu_utilization, c->want.cpu_utilization)
            && near(r.mem_utilization, c->want.mem_utilization)
            && near(r.eps, c->want.eps)
            && near(r.rps, c->want.rps)
            && near(r.named, c->want.named)
            && r.found == c->want.found, "%.90s", c->value))
    {
        diag("status %d, %g %g %g %g %g %g, found %d", got,
             r.application_utilization, r.cpu_utilization, r.mem_utilization,
             r.eps, r.rps, r.named, r.found);
    }
}


static void
invalid(const char *value)
{
    mark_orca_t  r, zeros;

    memset(&zeros, 0, sizeof(zeros));

    ok(parse(&r, value, "named_metrics.a") == INVALID
       && memcmp(&r, &zeros, sizeof(r)) == 0, "no report: %s", value);
}


static void
many(void)
{
    int           i;
    char          text[8192], *p;
    mark_orca_t   r;

    p = text + sprintf(text, "TEXT ");

    for (i = 0; i < MARK_ORCA_MAX_METRICS; i++) {
        p += sprintf(p, "%snamed_metrics.m%d=%d", i ? "," : "", i, i);
    }

    is_int(parse(&r, text, "named_metrics.m127"), OK, "as many as may be");
    ok(r.found && r.named == 127, "the last one of them");

    sprintf(p, ",eps=1");
    is_int(parse(&r, text, NULL), INVALID, "one more");
}


/* Any number that a C library prints. */

static void
numbers(void)
{
    int           i, wrongs;
    char          text[400];
    double        want;
    uint64_t      bits;
    mark_orca_t   r;

    const char  *formats[] = { "eps=%.17g", "eps=%g", "eps=%f", "eps=%e" };

    wrongs = 0;
    bits = 88172645463325252ULL;

    for (i = 0; i < 200000; i++) {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;

        /* its exponent from 2^-512 to 2^511: no subnormal, nothing infinite */

        want = ldexp(1 + (bits >> 12) * 0x1p-52, (int) (bits & 1023) - 512);
        snprintf(text, sizeof(text), formats[i % 4], want);

        wrongs += parse(&r, text, NULL) != OK
                  || !near(r.eps, strtod(text + 4, NULL));
    }

    is_int(wrongs, 0, "numbers that are read wrong");
}


static void
metrics(void)
{
    ok(mark_orca_metric("eps"), "a field");
    ok(mark_orca_metric("named_metrics.a"), "a named metric");
    ok(mark_orca_metric("utilization.a.b"), "a utilization");
    ok(!mark_orca_metric("named_metrics."), "but no name");
    ok(!mark_orca_metric("named_metrics"), "and no map");
    ok(!mark_orca_metric("kv_cache_usage_perc"), "nor a name alone");
    ok(!mark_orca_metric(""), "nor nothing");
}


int
main(void)
{
    size_t  i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check(&cases[i]);
    }

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        invalid(wrong[i]);
    }

    many();
    numbers();
    metrics();

    return done_testing();
}
