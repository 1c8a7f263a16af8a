/* What is said at the end of a run. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"


typedef unsigned long long  count_t;


typedef struct {
    double  offered_seconds;           /* the load was offered so long */
    double  seconds;                   /* until the last answer */
    double  offered_rate;
    double  throughput;
    double  goodput;
    double  cpu;
} rates_t;


typedef struct {
    const char  *name;
    double       quantile;
} percentile_t;


static const percentile_t  percentiles[] = {
    { "p50", 0.50 },
    { "p90", 0.90 },
    { "p95", 0.95 },
    { "p99", 0.99 },
    { "p999", 0.999 }
};

#define PERCENTILES  (sizeof(percentiles) / sizeof(percentiles[0]))


static void rates(const run_t *run, rates_t *r);
static void summary(const run_t *run, const rates_t *r, FILE *out);
static void summary_errors(const run_t *run, FILE *out);
static void json(const run_t *run, const rates_t *r, FILE *out);
static void json_errors(const tally_t *t, FILE *out);
static void json_latency(const run_t *run, FILE *out);
static void json_percentiles(const char *name, const mark_histogram_t *h,
    FILE *out);
static void json_options(const options_t *o, FILE *out);
static void json_string(const char *text, FILE *out);


void
report_write(const run_t *run, double cpu_seconds)
{
    FILE        *f;
    rates_t      r;
    const char  *path;

    path = run->options->json;

    rates(run, &r);
    r.cpu = cpu_seconds;

    summary(run, &r, path && strcmp(path, "-") == 0 ? stderr : stdout);

    if (path == NULL) {
        return;
    }

    f = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");

    if (f == NULL) {
        options_die("%s: %s", path, strerror(errno));
    }

    json(run, &r, f);

    if (fflush(f) != 0 || ferror(f)) {
        options_die("%s: %s", path, strerror(errno));
    }

    if (f != stdout) {
        fclose(f);
    }
}


static double
seconds_between(uint64_t from, uint64_t to)
{
    return to > from ? (double) (to - from) / 1e9 : 0;
}


static void
rates(const run_t *run, rates_t *r)
{
    uint64_t        end;
    const tally_t  *t;

    t = &run->counted;
    end = run->end;

    if (run->interrupted && (end == 0 || run->stopped_at < end)) {
        end = run->stopped_at;
    }

    if (end == 0) {
        end = run->options->concurrency ? run->last_left : run->last_arrival;
    }

    r->offered_seconds = seconds_between(run->counted_from, end);
    r->seconds = seconds_between(run->counted_from,
                                 run->last_done > end ? run->last_done : end);

    /* one arrival, or all of them at once */

    if (r->offered_seconds < 1e-3) {
        r->offered_seconds = r->seconds;
    }

    r->offered_rate = 0;
    r->throughput = 0;
    r->goodput = 0;

    if (r->offered_seconds > 0) {
        r->offered_rate = (double) t->offered / r->offered_seconds;
        r->goodput = (double) t->within / r->offered_seconds;
    }

    if (r->seconds > 0) {
        r->throughput = (double) t->completed / r->seconds;
    }
}


static void
summary(const run_t *run, const rates_t *r, FILE *out)
{
    unsigned                 i;
    const tally_t           *t;
    const options_t         *o;
    const mark_histogram_t  *h;

    o = run->options;
    t = &run->counted;
    h = &t->latency;

    fprintf(out, "%s of %s, %s%s\n",
            o->concurrency ? "closed loop" : o->trace ? "trace" : "open loop",
            o->url, o->http2 ? "HTTP/2" : "HTTP/1.1",
            run->interrupted ? ", interrupted" : "");
    fprintf(out, "offered     %llu in %.2f s (%.1f/s)\n", (count_t) t->offered,
            r->offered_seconds, r->offered_rate);
    fprintf(out, "completed   %llu in %.2f s (%.1f/s)\n",
            (count_t) t->completed, r->seconds, r->throughput);
    fprintf(out, "ok %llu  wrong %llu  allowed %llu  errors %llu  aborted %llu"
            "  interrupted %llu\n",
            (count_t) t->ok, (count_t) t->wrong, (count_t) t->allowed,
            (count_t) tally_errors(t), (count_t) t->aborted,
            (count_t) t->interrupted);

    summary_errors(run, out);

    if (o->slo_ms > 0) {
        fprintf(out, "goodput     %.1f/s within %g ms (%.2f %%)\n", r->goodput,
                o->slo_ms, t->offered ? 100.0 * (double) t->within
                                        / (double) t->offered : 0.0);
    }

    fprintf(out, "latency ms  mean %.3f", mark_histogram_mean(h) / 1000);

    for (i = 0; i < PERCENTILES; i++) {
        fprintf(out, "  %s %.3f", percentiles[i].name,
                (double) mark_histogram_quantile(h, percentiles[i].quantile)
                / 1000);
    }

    fprintf(out, "  max %.3f\n", (double) h->max / 1000);
    fprintf(out, "lag ms      p99 %.3f  max %.3f\n",
            (double) mark_histogram_quantile(&t->lag, 0.99) / 1000,
            (double) t->lag.max / 1000);
    fprintf(out, "connections %llu made, %llu request(s) repeated;"
            " %llu bytes in, %llu out; %.2f s cpu\n",
            (count_t) run->connections_made, (count_t) t->reconnects,
            (count_t) run->bytes_in, (count_t) run->bytes_out, r->cpu);

    if (!o->histogram) {
        return;
    }

    for (i = 0; i < MARK_HISTOGRAM_BUCKETS; i++) {
        if (h->bucket[i]) {
            fprintf(out, "%12.3f ms  %llu\n",
                    (double) mark_histogram_low(i) / 1000,
                    (count_t) h->bucket[i]);
        }
    }
}


static void
summary_errors(const run_t *run, FILE *out)
{
    unsigned        i;
    uint64_t        early;
    const tally_t  *t;

    t = &run->counted;

    for (i = 0; i < ERROR_KINDS; i++) {
        if (t->errors[i] && i != ERROR_STATUS) {
            fprintf(out, "error       %s: %llu\n", error_names[i],
                    (count_t) t->errors[i]);
        }
    }

    for (i = 0; i < 600; i++) {
        if (t->status[i] && i != 200) {
            fprintf(out, "status      %u: %llu\n", i, (count_t) t->status[i]);
        }
    }

    early = tally_errors(&run->warmup) + run->warmup.wrong;

    if (early) {
        fprintf(out, "warmup      %llu errors, %llu wrong\n",
                (count_t) tally_errors(&run->warmup),
                (count_t) run->warmup.wrong);
    }
}


static void
json(const run_t *run, const rates_t *r, FILE *out)
{
    unsigned          i;
    const char       *comma;
    const tally_t    *t, *w;
    const options_t  *o;

    o = run->options;
    t = &run->counted;
    w = &run->warmup;

    fprintf(out, "{\n  \"version\": \"%s\",\n", MARK_LOAD_VERSION);
    fprintf(out, "  \"offered\": {\"count\": %llu, \"rate\": %.3f,"
            " \"seconds\": %.6f},\n", (count_t) t->offered, r->offered_rate,
            r->offered_seconds);
    fprintf(out, "  \"sent\": %llu,\n  \"completed\": %llu,\n"
            "  \"ok\": %llu,\n  \"wrong\": %llu,\n  \"allowed\": %llu,\n"
            "  \"aborted\": %llu,\n  \"interrupted\": %llu,\n"
            "  \"reconnects\": %llu,\n",
            (count_t) t->sent, (count_t) t->completed, (count_t) t->ok,
            (count_t) t->wrong, (count_t) t->allowed, (count_t) t->aborted,
            (count_t) t->interrupted, (count_t) t->reconnects);

    json_errors(t, out);

    fprintf(out, "  \"status\": {");

    for (i = 0, comma = ""; i < 600; i++) {
        if (t->status[i]) {
            fprintf(out, "%s\"%u\": %llu", comma, i, (count_t) t->status[i]);
            comma = ", ";
        }
    }

    fprintf(out, "},\n  \"duration\": %.6f,\n  \"throughput\": %.3f,\n"
            "  \"goodput\": %.3f,\n  \"within_slo\": %llu,\n",
            r->seconds, r->throughput, r->goodput, (count_t) t->within);

    if (o->slo_ms > 0) {
        fprintf(out, "  \"slo_ms\": %g,\n", o->slo_ms);

    } else {
        fprintf(out, "  \"slo_ms\": null,\n");
    }

    json_latency(run, out);

    fprintf(out, "  \"warmup\": {\"offered\": %llu, \"completed\": %llu,"
            " \"ok\": %llu, \"wrong\": %llu, \"errors\": %llu},\n",
            (count_t) w->offered, (count_t) w->completed, (count_t) w->ok,
            (count_t) w->wrong, (count_t) tally_errors(w));
    fprintf(out, "  \"bytes_in\": %llu,\n  \"bytes_out\": %llu,\n"
            "  \"connections\": %llu,\n  \"cpu_seconds\": %.6f,\n",
            (count_t) run->bytes_in, (count_t) run->bytes_out,
            (count_t) run->connections_made, r->cpu);

    json_options(o, out);

    fprintf(out, "}\n");
}


static void
json_errors(const tally_t *t, FILE *out)
{
    unsigned  i;

    fprintf(out, "  \"errors\": {\"total\": %llu", (count_t) tally_errors(t));

    for (i = 0; i < ERROR_KINDS; i++) {
        fprintf(out, ", \"%s\": %llu", error_names[i],
                (count_t) t->errors[i]);
    }

    fprintf(out, "},\n");
}


static void
json_latency(const run_t *run, FILE *out)
{
    unsigned                 i;
    const char              *comma;
    const mark_histogram_t  *h;

    h = &run->counted.latency;

    json_percentiles("latency", h, out);
    json_percentiles("lag", &run->counted.lag, out);

    if (!run->options->histogram) {
        return;
    }

    fprintf(out, "  \"histogram\": [");

    for (i = 0, comma = ""; i < MARK_HISTOGRAM_BUCKETS; i++) {
        if (h->bucket[i]) {
            fprintf(out, "%s[%.3f, %llu]", comma,
                    (double) mark_histogram_low(i) / 1000,
                    (count_t) h->bucket[i]);
            comma = ", ";
        }
    }

    fprintf(out, "],\n");
}


static void
json_percentiles(const char *name, const mark_histogram_t *h, FILE *out)
{
    unsigned  i;

    fprintf(out, "  \"%s\": {\"mean\": %.3f", name,
            mark_histogram_mean(h) / 1000);

    for (i = 0; i < PERCENTILES; i++) {
        fprintf(out, ", \"%s\": %.3f", percentiles[i].name,
                (double) mark_histogram_quantile(h, percentiles[i].quantile)
                / 1000);
    }

    fprintf(out, ", \"max\": %.3f},\n", (double) h->max / 1000);
}


static void
json_options(const options_t *o, FILE *out)
{
    int  i;

    fprintf(out, "  \"options\": {\"url\": ");
    json_string(o->url, out);
    fprintf(out, ", \"mode\": \"%s\", \"protocol\": \"%s\","
            " \"rate\": %g, \"arrivals\": \"%s\", \"concurrency\": %u,"
            " \"connections\": %u, \"streams\": %u, \"duration\": %g,"
            " \"requests\": %llu, \"warmup\": %g, \"seed\": %llu,"
            " \"timeout\": %g, \"abort\": %g, \"slow\": %g,"
            " \"arguments\": [",
            o->concurrency ? "closed" : "open", o->http2 ? "h2" : "http/1.1",
            o->rate, o->trace ? "trace" : o->concurrency ? "closed"
            : o->uniform ? "uniform" : "poisson", o->concurrency,
            o->connections, o->streams, o->duration, (count_t) o->requests,
            o->warmup, (count_t) o->seed, o->timeout, o->abort_share,
            o->slow_share);

    for (i = 1; i < o->argc; i++) {
        fprintf(out, "%s", i > 1 ? ", " : "");
        json_string(o->argv[i], out);
    }

    fprintf(out, "]}\n");
}


static void
json_string(const char *text, FILE *out)
{
    const unsigned char  *p;

    fputc('"', out);

    for (p = (const unsigned char *) text; *p; p++) {
        if (*p == '"' || *p == '\\') {
            fprintf(out, "\\%c", *p);

        } else if (*p < 0x20 || *p >= 0x7f) {
            fprintf(out, "\\u%04x", *p);

        } else {
            fputc(*p, out);
        }
    }

    fputc('"', out);
}


/* An answer is one line: line feeds inside of it become blanks. */

void
report_answers(const run_t *run)
{
    char        *p;
    FILE        *f;
    size_t       len;
    unsigned     i;
    const char  *path;

    path = run->options->answers;
    f = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");

    if (f == NULL) {
        options_die("%s: %s", path, strerror(errno));
    }

    for (i = 0; i < run->bodies.count; i++) {
        p = run->answers[i];

        if (p) {
            len = strlen(p);

            while (len && (p[len - 1] == '\n' || p[len - 1] == '\r')) {
                p[--len] = '\0';
            }

            for ( /* void */ ; *p; p++) {
                fputc(*p == '\n' || *p == '\r' ? ' ' : *p, f);
            }
        }

        fputc('\n', f);
    }

    if (fflush(f) != 0 || ferror(f)) {
        options_die("%s: %s", path, strerror(errno));
    }

    if (f != stdout) {
        fclose(f);
    }
}
