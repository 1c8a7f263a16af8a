
/* ORCA load reports: see mark_orca.h. */


#include <float.h>
#include <string.h>

#include "mark_orca_reader.h"


static int mark_orca_format(const uint8_t *p, const uint8_t *last,
    const char *format);


const mark_orca_field_t  mark_orca_fields[MARK_ORCA_FIELDS] = {
    { "application_utilization", "applicationUtilization",
      offsetof(mark_orca_t, application_utilization) },
    { "cpu_utilization", "cpuUtilization",
      offsetof(mark_orca_t, cpu_utilization) },
    { "mem_utilization", "memUtilization",
      offsetof(mark_orca_t, mem_utilization) },
    { "eps", "eps", offsetof(mark_orca_t, eps) },
    { "rps_fractional", "rpsFractional", offsetof(mark_orca_t, rps) }
};

const mark_orca_map_t  mark_orca_maps[MARK_ORCA_MAPS] = {
    { "named_metrics", "namedMetrics", 1 },
    { "utilization", "utilization", 0 },
    { "request_cost", "requestCost", 1 }
};


mark_orca_status_t
mark_orca_parse(mark_orca_t *report, const void *data, size_t len,
    const char *metric)
{
    int                  rc;
    mark_span_t          value;
    const uint8_t       *last;
    mark_orca_reader_t   r;

    memset(report, 0, sizeof(mark_orca_t));

    value = mark_orca_trim(data, (const uint8_t *) data + len);
    last = value.data + value.len;

    r.report = report;
    r.metric = metric;
    r.known = 0;

    if (mark_orca_format(value.data, last, "BIN")) {
        return MARK_ORCA_UNSUPPORTED;
    }

    if (mark_orca_format(value.data, last, "TEXT")) {
        rc = mark_orca_text(&r, value.data + 4, last);

    } else if (mark_orca_format(value.data, last, "JSON")) {
        rc = mark_orca_json(&r, value.data + 4, last);

    } else if (value.len && *value.data == '{') {
        rc = mark_orca_json(&r, value.data, last);

    } else {
        rc = mark_orca_text(&r, value.data, last);

        /* it might be anything: something must be known of it */

        if (r.known == 0) {
            rc = -1;
        }
    }

    if (rc != 0) {
        memset(report, 0, sizeof(mark_orca_t));
        return MARK_ORCA_INVALID;
    }

    return MARK_ORCA_OK;
}


int
mark_orca_metric(const char *metric)
{
    size_t  i, len;

    for (i = 0; i < MARK_ORCA_FIELDS; i++) {
        if (strcmp(metric, mark_orca_fields[i].name) == 0) {
            return 1;
        }
    }

    for (i = 0; i < MARK_ORCA_MAPS; i++) {
        len = strlen(mark_orca_maps[i].name);

        if (strncmp(metric, mark_orca_maps[i].name, len) == 0
            && metric[len] == '.' && metric[len + 1] != '\0')
        {
            return 1;
        }
    }

    return 0;
}


static int
mark_orca_format(const uint8_t *p, const uint8_t *last, const char *format)
{
    for ( /* void */ ; *format; p++, format++) {
        if (p == last || (*p & ~0x20) != *format) {
            return 0;
        }
    }

    return p == last || *p == ' ' || *p == '\t';
}


int
mark_orca_set(mark_orca_reader_t *r, const mark_orca_field_t *field,
    const mark_orca_map_t *map, double value, int wanted)
{
    if (value < 0 && (wanted || map == NULL || !map->negative)) {
        return -1;
    }

    r->known++;

    if (field) {
        *(double *) ((char *) r->report + field->offset) = value;
    }

    if (wanted) {
        r->report->named = value;
        r->report->found = 1;
    }

    return 0;
}


int
mark_orca_wanted(const mark_orca_reader_t *r, const char *name, size_t len)
{
    return r->metric && strlen(r->metric) == len
           && memcmp(r->metric, name, len) == 0;
}


mark_span_t
mark_orca_trim(const uint8_t *p, const uint8_t *last)
{
    mark_span_t  span;

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    while (p < last && (last[-1] == ' ' || last[-1] == '\t')) {
        last--;
    }

    span.data = p;
    span.len = last - p;

    return span;
}


/*
 * strtod() would need a copy that ends in a zero, and reads as the locale
 * has it.  This one may be wrong in the last digits, which no load is known
 * to; what is too small for a double is zero.
 */

int
mark_orca_number(const mark_span_t *text, double *value)
{
    int             minus, point, digits, below;
    long            exponent, e;
    double          v, power;
    uint64_t        mantissa;
    const uint8_t  *p, *last;

    p = text->data;
    last = p + text->len;

    minus = (p < last && *p == '-');
    p += (p < last && (*p == '-' || *p == '+'));

    mantissa = 0;
    exponent = 0;
    digits = 0;
    point = 0;

    for ( /* void */ ; p < last; p++) {

        if (*p == '.' && !point) {
            point = 1;
            continue;
        }

        if (*p < '0' || *p > '9') {
            break;
        }

        digits = 1;

        if (mantissa < UINT64_MAX / 10) {
            mantissa = mantissa * 10 + (*p - '0');
            exponent -= point;

        } else {
            exponent += !point;
        }
    }

    if (!digits) {
        return -1;
    }

    if (p < last && (*p == 'e' || *p == 'E')) {
        p++;
        below = (p < last && *p == '-');
        p += (p < last && (*p == '-' || *p == '+'));

        if (p == last) {
            return -1;
        }

        for (e = 0; p < last && *p >= '0' && *p <= '9'; p++) {
            e = (e < 100000) ? e * 10 + (*p - '0') : e;
        }

        exponent += below ? -e : e;
    }

    if (p != last) {
        return -1;
    }

    v = mantissa;
    e = (exponent < 0) ? -exponent : exponent;

    for (power = 10; v > 0 && e; e >>= 1) {
        if (e & 1) {
            v = (exponent < 0) ? v / power : v * power;
        }

        power *= power;
    }

    if (v > DBL_MAX) {
        return -1;
    }

    *value = (minus && v > 0) ? -v : v;

    return 0;
}
