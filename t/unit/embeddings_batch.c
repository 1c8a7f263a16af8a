
/*
 * OpenAI's embeddings: requests of all forms go through batches, and get out
 * of them what a model would answer to each alone.
 */


#include "tap.h"
#include "batch.h"


/* How the model answers. */

#define PRETTY    1
#define BASE64    2
#define BARE      4           /* no index */
#define EARLY     8           /* usage before data */
#define OTHER     16          /* counts something else than we do */
#define NULLS     32          /* as vLLM has details that it does not give */
#define STYLES    64


/* Bytes of a string once its escapes are resolved. */

static unsigned
bytes(const uint8_t *p, const uint8_t *last)
{
    char      hex[5];
    unsigned  n, code;

    for (n = 0; p < last; /* void */ ) {

        if (*p != '\\') {
            p++;
            n++;
            continue;
        }

        if (p[1] != 'u') {
            p += 2;
            n++;
            continue;
        }

        memcpy(hex, p + 2, 4);
        hex[4] = '\0';
        code = strtoul(hex, NULL, 16);
        p += 6;

        if (code >= 0xd800 && code <= 0xdfff) {
            p += 6;
            n += 4;

        } else {
            n += (code < 0x80) ? 1 : (code < 0x800) ? 2 : 3;
        }
    }

    return n;
}


/* One row of the answer, and what it counts. */

static size_t
element(char *out, unsigned index, const uint8_t *row, const uint8_t *last,
    unsigned style, unsigned *count)
{
    char           *p;
    const uint8_t  *c;

    if (*row == '"') {
        *count += (style & OTHER) ? 5 : bytes(row + 1, last - 1);

    } else {
        *count += (style & OTHER) ? 2 : 1;

        for (c = row; c < last; c++) {
            *count += (*c == ',');
        }
    }

    p = out + sprintf(out, "%s{\"object\": \"embedding\",",
                      index ? (style & PRETTY ? ",\n    " : ", ") : "");

    if (!(style & BARE) && style & PRETTY) {
        p += sprintf(p, " \"index\":  %u ,", index);
    }

    p += sprintf(p, " \"embedding\": ");

    if (style & BASE64) {
        p += sprintf(p, "\"A/%ld=\"", (long) (last - row));

    } else {
        p += sprintf(p, "[%ld, -1.50e-07, [NaN]]", (long) (last - row));
    }

    if (!(style & BARE) && !(style & PRETTY)) {
        p += sprintf(p, ", \"index\": %u", index);
    }

    return p + sprintf(p, "}") - out;
}


static size_t
elements(char *out, mark_json_t *j, unsigned style, unsigned *count)
{
    int             first;
    char           *p;
    unsigned        n;
    const uint8_t  *start, *c;

    mark_json_space(j);
    start = j->pos;

    /* a string, or a list that begins with a number, is one row */

    for (c = start + 1; *c == ' ' || *c == '\t' || *c == '\n'; c++) {
        /* void */
    }

    if (*start == '"' || (*c >= '0' && *c <= '9')) {
        (void) mark_json_skip(j);

        return element(out, 0, start, j->pos, style, count);
    }

    (void) mark_json_enter(j, MARK_JSON_ARRAY);

    p = out;
    first = 1;
    n = 0;

    while (mark_json_element(j, &first) == 1) {
        start = j->pos;
        (void) mark_json_skip(j);

        p += element(p, n++, start, j->pos, style, count);
    }

    return p - out;
}


static size_t
model(char *out, const char *body, size_t len, unsigned style)
{
    int           first;
    char          usage[256], *p;
    size_t        size;
    unsigned      count;
    mark_json_t   j;
    mark_span_t   name;

    static char   data[BODY * BATCH];

    mark_json_init(&j, body, len);
    (void) mark_json_enter(&j, MARK_JSON_OBJECT);

    first = 1;
    count = 0;
    size = 0;

    while (mark_json_member(&j, &name, &first, 0) == 1) {
        if (mark_json_key_is(&name, "input")) {
            size = elements(data, &j, style, &count);

        } else {
            (void) mark_json_skip(&j);
        }
    }

    p = usage + sprintf(usage, ", \"usage\": {\"prompt_tokens\": %u, ", count);
    p += sprintf(p, "\"total_tokens\":%u ", count);
    p += sprintf(p, "%s}", style & NULLS
                           ? ", \"completion_tokens\": 0, \"details\": null"
                           : "");

    p = out + sprintf(out, "%s{\"object\": \"list\", \"id\": \"e-1\"%s,",
                      style & PRETTY ? "\n" : "", style & EARLY ? usage : "");

    p += sprintf(p, "\"data\": [%s%.*s%s]", style & PRETTY ? "\n    " : "",
                 (int) size, data, style & PRETTY ? "\n" : "");

    p += sprintf(p, ", \"model\": \"m\"%s}\n", style & EARLY ? "" : usage);

    return p - out;
}


static size_t
random_body(char *out, int tokens)
{
    char        *p, input[4096], *members[3], *swap;
    unsigned     i, k, n, list, ids;

    static char        *model = "\"model\": \"m \\u00e9\"";
    static char        *dimensions = "\"dimensions\":64";
    static const char  *spaces[] = { "", " ", "\n  ", "\t" };
    static const char  *texts[] = {
        "a", " ", "a, \\\"b\\\" [c]", "\xe4\xb8\xad\xe6\x96\x87",
        "\\u4e2d\\u6587\\u00e9\\u0041\\u07ff\\u0800", "\\ud83d\\ude00 {\\\\",
        "\xf0\x9f\x98\x80", "a longer text, of more than a few words\\n"
    };

    list = rnd(3);
    n = list ? 1 + rnd(5) : 1;

    p = input + sprintf(input, "%s\"input\"%s:%s%s", spaces[rnd(4)],
                        spaces[rnd(4)], spaces[rnd(4)], list ? "[" : "");

    for (i = 0; i < n; i++) {
        p += sprintf(p, "%s%s", i ? "," : "", spaces[rnd(4)]);

        if (!tokens) {
            p += sprintf(p, "\"%s\"%s", texts[rnd(8)], spaces[rnd(4)]);
            continue;
        }

        ids = 1 + rnd(9);

        for (k = 0; k < ids; k++) {
            p += sprintf(p, "%s%s%u%s", k ? "," : "[", spaces[rnd(4)],
                         rnd(2) ? rnd(50000) : 0, spaces[rnd(4)]);
        }

        p += sprintf(p, "]%s", spaces[rnd(4)]);
    }

    sprintf(p, "%s%s", list ? "]" : "", spaces[rnd(4)]);

    members[0] = model;
    members[1] = dimensions;
    members[2] = input;

    i = rnd(3);
    swap = members[i];
    members[i] = members[0];
    members[0] = swap;

    return sprintf(out, "%s{%s,%s%s,%s}%s", spaces[rnd(4)], members[0],
                   spaces[rnd(4)], members[1], members[2], spaces[rnd(4)]);
}


/* Takes the counts out of an answer: the first of them. */

static unsigned
uncount(char *text)
{
    char      *p, *dst, *end;
    unsigned   count, n;

    count = 0;
    dst = text;

    for (p = text; *p; /* void */ ) {

        if (strncmp(p, "_tokens\":", 9) != 0) {
            *dst++ = *p++;
            continue;
        }

        n = strtoul(p + 9, &end, 10);
        count = count ? count : n;
        p = end;
    }

    *dst = '\0';

    return count;
}


/* Shares of what the model counts add up, and nothing else differs. */

static const char *
counts(char bodies[][BODY], const size_t *lens, size_t n, unsigned style,
    mark_slice_t *slices, size_t nrows)
{
    size_t       i, sum, share;
    mark_body_t  body;

    static char  text[BODY * BATCH], alone[BODY * BATCH];

    sum = 0;

    for (i = 0; i < n; i++) {
        body = codec_put(&slices[i].answer);

        memcpy(text, body.data, body.len);
        text[body.len] = '\0';
        alone[model(alone, bodies[i], lens[i], style)] = '\0';

        share = uncount(text);
        (void) uncount(alone);

        if (strcmp(text, alone) != 0) {
            return "an answer differs by more than its counts";
        }

        if (share == 0) {
            return "a share of nothing";
        }

        sum += share;
    }

    return sum == nrows ? NULL : "shares do not add up";
}


static void
property(void)
{
    size_t             lens[BATCH], n, i, total;
    unsigned           round, style, bad;
    const char        *error;
    mark_slice_t       slices[BATCH];

    static char        bodies[BATCH][BODY], one[BODY * 2];

    bad = 0;

    for (round = 0; round < 4000; round++) {
        n = 1 + rnd(BATCH);
        style = rnd(STYLES);
        total = 0;

        for (i = 0; i < n; i++) {
            lens[i] = random_body(bodies[i], round & 1);

            one[model(one, bodies[i], lens[i], style)] = '\0';
            total += uncount(one);
        }

        error = batch_check(&mark_embeddings_codec, NULL, bodies, lens, n,
                            model, style, n == 1 || !(style & OTHER), slices);

        if (error == NULL) {
            error = counts(bodies, lens, n, style, slices, total);
        }

        if (error != NULL && bad++ < 5) {
            diag("%s, style %u, round %u:\n%.*s", error, style, round,
                 (int) lens[0], bodies[0]);
        }

        codec_free();
    }

    is_int(bad, 0, "4000 random batches come apart as they went together");
}


int
main(void)
{
    property();

    return done_testing();
}
