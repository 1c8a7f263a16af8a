
/*
 * V1: what joins, what its parts are, and that splitting what a backend makes
 * of joined requests gives each what it would have got alone.
 */


#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "batch.h"


static mark_codec_status_t
parse(mark_request_t *req, const char *body, size_t len)
{
    memset(req, 0, sizeof(mark_request_t));

    req->body.data = (const uint8_t *) body;
    req->body.len = len;

    return mark_v1_codec.parse(req, NULL, &codec_memory);
}


static void
status(mark_codec_status_t want, const char *body)
{
    mark_request_t  req;

    is_int(parse(&req, body, strlen(body)), want, "%.70s", body);
}


static void
parts(void)
{
    mark_body_t      joined;
    mark_parts_t     parts;
    mark_slice_t     slices[2];
    mark_request_t   req, *both[2] = { &req, &req };

    const char  *body = " {\"signature_name\": \"s\", \"instances\": [ [1,2],"
                        " \"]\" ] } ";
    const char  *want = " {\"signature_name\": \"s\", \"instances\": [[1,2],"
                        " \"]\",[1,2], \"]\"] } ";

    is_int(parse(&req, body, strlen(body)), MARK_CODEC_OK, "a body");
    is_int(req.nrows, 2, "of two rows");
    ok(req.key.len == 4 && memcmp(req.key.data, "v\"s\"", 4) == 0,
       "its key");

    is_int(mark_v1_codec.join(both, slices, 2, NULL, &codec_memory, &parts),
           MARK_CODEC_OK, "joins with itself");

    joined = codec_put(&parts);

    ok(joined.len == strlen(want)
       && memcmp(joined.data, want, joined.len) == 0,
       "to a body with the rows of both");
}


static void
keys(int want, const char *a, const char *b)
{
    mark_request_t  ra, rb;

    if (parse(&ra, a, strlen(a)) != MARK_CODEC_OK
        || parse(&rb, b, strlen(b)) != MARK_CODEC_OK)
    {
        ok(0, "%s and %s are requests", a, b);
        return;
    }

    is_int(batch_same_key(&ra, &rb), want, "%s and %s%s join", a, b,
           want ? "" : " do not");
}


/* Each row of a list, marked. */

static size_t
rows(char *out, mark_json_t *j, unsigned style)
{
    int             first;
    char           *p;
    size_t          n;
    const uint8_t  *start;

    p = out + sprintf(out, style & 1 ? "[\n        " : "[");
    n = 0;
    first = 1;

    (void) mark_json_enter(j, MARK_JSON_ARRAY);

    while (mark_json_element(j, &first) == 1) {
        start = j->pos;
        (void) mark_json_skip(j);

        p += sprintf(p, "%s{\"of\": %.*s}",
                     n++ ? (style & 1 ? ",\n        " : ",") : "",
                     (int) (j->pos - start), start);
    }

    return p + sprintf(p, style & 1 ? "\n    ]" : "]") - out;
}


static size_t
columns(char *out, mark_json_t *j, unsigned style)
{
    int           first;
    char         *p;
    unsigned      keys;
    mark_span_t   name;

    p = out + sprintf(out, "{");
    keys = j->nkeys;
    first = 1;

    (void) mark_json_enter(j, MARK_JSON_OBJECT);

    while (mark_json_member(j, &name, &first, keys) == 1) {
        p += sprintf(p, "%s%.*s:%s", p[-1] == '{' ? "" : ", ",
                     (int) name.len, name.data, style & 1 ? " " : "");
        p += rows(p, j, style);
    }

    return p + sprintf(p, style & 1 ? "\n}" : "}") - out;
}


/* What a backend would answer, to any form of request. */

static size_t
model(char *out, const char *body, size_t len, unsigned style)
{
    int           first;
    char         *p;
    mark_json_t   j;
    mark_span_t   name;

    mark_json_init(&j, body, len);
    (void) mark_json_enter(&j, MARK_JSON_OBJECT);

    p = out + sprintf(out, style & 2 ? "{ \"model\": \"m\", " : "{");
    first = 1;

    while (mark_json_member(&j, &name, &first, 0) == 1) {

        mark_json_space(&j);

        if (mark_json_key_is(&name, "instances")) {
            p += sprintf(p, "\"predictions\": ");
            p += rows(p, &j, style);

        } else if (mark_json_key_is(&name, "examples")) {
            p += sprintf(p, style & 4 ? "\"results\": " : "\"result\": ");
            p += rows(p, &j, style);

        } else if (mark_json_key_is(&name, "inputs")) {
            p += sprintf(p, "\"outputs\": ");
            p += (*j.pos == '[') ? rows(p, &j, style)
                                 : columns(p, &j, style);
        } else {
            (void) mark_json_skip(&j);
        }
    }

    return p + sprintf(p, style & 1 ? "\n}\n" : "}") - out;
}


static const char  *spaces[] = { "", " ", "\n  ", "\t" };


static size_t
random_rows(char *out, unsigned n)
{
    char      *p;
    unsigned   i;

    static const char  *rows[] = {
        "[%u, 2.50, -1e-3]", "{\"a\": [%u], \"b]\": \"],[\"}", "%u",
        "\"x\\\"]%u\"", "[[[%u]], []]", "null", "\"\xc3\xa9\\u00e9 %u\"",
        "{\"b64\": \"AAA=\"}"
    };

    p = out + sprintf(out, "[");

    for (i = 0; i < n; i++) {
        p += sprintf(p, "%s%s", i ? "," : "", spaces[rnd(4)]);
        p += sprintf(p, rows[rnd(8)], rnd(10000));
        p += sprintf(p, "%s", spaces[rnd(4)]);
    }

    return p + sprintf(p, "]") - out;
}


static size_t
random_body(char *out, unsigned form)
{
    char      *p;
    unsigned   n, early;

    static const char  *heads[] = {
        "\"instances\":", "\"inputs\":", "\"inputs\":{\"a\":",
        "\"context\":{\"c\":[1, 2]},\"examples\":"
    };

    n = 1 + rnd(5);
    early = rnd(2);

    p = out + sprintf(out, "%s{%s", spaces[rnd(4)], spaces[rnd(4)]);
    p += sprintf(p, "%s%s", early ? "\"signature_name\":\"s\"," : "",
                 spaces[rnd(4)]);
    p += sprintf(p, "%s%s", heads[form], spaces[rnd(4)]);
    p += random_rows(p, n);

    if (form == 2) {
        p += sprintf(p, "%s,%s\"b \\\"\":%s", spaces[rnd(4)], spaces[rnd(4)],
                     spaces[rnd(4)]);
        p += random_rows(p, n);
        p += sprintf(p, ",\"c\":");
        p += random_rows(p, n);
        p += sprintf(p, "%s}", spaces[rnd(4)]);
    }

    return p + sprintf(p, "%s%s}%s", spaces[rnd(4)],
                       early ? "" : ", \"signature_name\" :\"s\"",
                       spaces[rnd(4)]) - out;
}


static void
property(void)
{
    size_t        lens[BATCH], n, i;
    unsigned      round, form, style, bad;
    const char   *error;
    mark_slice_t  slices[BATCH];

    static char   bodies[BATCH][BODY];

    bad = 0;

    for (round = 0; round < 5000; round++) {
        n = 1 + rnd(BATCH);
        form = rnd(4);
        style = rnd(8);

        for (i = 0; i < n; i++) {
            lens[i] = random_body(bodies[i], form);
        }

        error = batch_check(&mark_v1_codec, NULL, bodies, lens, n, model,
                            style, 1, slices);

        if (error != NULL && bad++ < 5) {
            diag("%s, style %u, round %u:\n%.*s", error, style, round,
                 (int) lens[0], bodies[0]);
        }

        codec_free();
    }

    is_int(bad, 0, "5000 random batches come apart as they went together");
}


/* The parsed block and the body may be copied, to another process say. */

static void
moves(void)
{
    char             here[64], there[64];
    mark_body_t      a, b;
    mark_parts_t     parts;
    mark_slice_t     slice;
    mark_request_t   req, moved, *one;

    strcpy(here, "{\"instances\": [1, 2], \"signature_name\": \"s\"}");

    (void) parse(&req, here, strlen(here));

    one = &req;
    (void) mark_v1_codec.join(&one, &slice, 1, NULL, &codec_memory, &parts);
    a = codec_put(&parts);

    strcpy(there, here);
    moved = req;
    moved.body.data = (uint8_t *) there;
    moved.parsed = codec_alloc(NULL, req.parsed_len);
    memcpy(moved.parsed, req.parsed, req.parsed_len);

    memset(here, 0, sizeof(here));
    memset(req.parsed, 0xff, req.parsed_len);

    one = &moved;
    (void) mark_v1_codec.join(&one, &slice, 1, NULL, &codec_memory, &parts);
    b = codec_put(&parts);

    ok(a.len == b.len && memcmp(a.data, b.data, a.len) == 0,
       "a request can be moved");
}


static void
split(mark_codec_status_t want, const char *reply)
{
    mark_body_t   body;
    mark_slice_t  slices[2];

    memset(&body, 0, sizeof(mark_body_t));
    memset(slices, 0, sizeof(slices));

    body.data = (const uint8_t *) reply;
    body.len = strlen(reply);
    slices[0].nrows = 1;
    slices[1].nrows = 2;

    is_int(mark_v1_codec.split(&body, slices, 2, NULL, &codec_memory), want,
           "reply %.60s", reply);
}


/* As many inputs as there may be, and one more. */

static void
most(void)
{
    int              rc;
    char             body[4096], *p;
    unsigned         i, n;
    mark_request_t   req;

    for (n = 64; n <= 65; n++) {
        p = body + sprintf(body, "{\"inputs\":{");

        for (i = 0; i < n; i++) {
            p += sprintf(p, "%s\"i%u\":[%u]", i ? "," : "", i, i);
        }

        p += sprintf(p, "}}");
        rc = parse(&req, body, p - body);

        is_int(rc, n == 64 ? MARK_CODEC_OK : MARK_CODEC_UNSUPPORTED,
               "%u inputs", n);
    }
}


int
main(void)
{
    status(MARK_CODEC_OK, "{\"instances\":[1]}");
    status(MARK_CODEC_OK, "{\"instances\":[NaN]}");
    status(MARK_CODEC_OK, "{\"\\u0069nstances\":[1]}");
    status(MARK_CODEC_OK, "{\"instances\":[1],\"signature_name\":\"x\"}");
    status(MARK_CODEC_NO_ROWS, "{\"instances\":[]}");
    status(MARK_CODEC_NO_ROWS, "{\"instances\":[ ]}");
    status(MARK_CODEC_UNSUPPORTED, "{}");
    status(MARK_CODEC_UNSUPPORTED, "{\"instances\":[1],\"inputs\":[1]}");
    status(MARK_CODEC_UNSUPPORTED, "{\"instances\":{\"a\":1}}");
    status(MARK_CODEC_UNSUPPORTED, "{\"instances\":[1],\"id\":\"7\"}");
    status(MARK_CODEC_INVALID, "");
    status(MARK_CODEC_INVALID, "[1]");
    status(MARK_CODEC_INVALID, "{\"instances\":[1]],\"x\":[[2]}");
    status(MARK_CODEC_UNSUPPORTED, "{\"instances\":[[1]],\"x\":[[2]]}");
    status(MARK_CODEC_INVALID, "{\"instances\":[1]");
    status(MARK_CODEC_INVALID, "{\"instances\":[1]}}");
    status(MARK_CODEC_INVALID, "{\"instances\":[1]} x");
    status(MARK_CODEC_INVALID, "{\"instances\":[1],\"instances\":[2]}");
    status(MARK_CODEC_INVALID, "{\"instances\":[1],\"\\u0069nstances\":[2]}");
    status(MARK_CODEC_INVALID, "{\"instances\":[1e999]}");
    status(MARK_CODEC_INVALID, "{\"instances\":[\"\xff\"]}");

    status(MARK_CODEC_OK, "{\"inputs\":[1]}");
    status(MARK_CODEC_OK, "{\"inputs\":{\"a\":[1]}}");
    status(MARK_CODEC_OK, "{\"inputs\":{\"a\":[1,2],\"b\":[[1],{}]}}");
    status(MARK_CODEC_OK, "{\"signature_name\":\"s\",\"examples\":[{}]}");
    status(MARK_CODEC_OK, "{\"examples\":[{}],\"context\":{}}");
    status(MARK_CODEC_NO_ROWS, "{\"inputs\":[]}");
    status(MARK_CODEC_NO_ROWS, "{\"inputs\":{\"a\":[],\"b\":[]}}");
    status(MARK_CODEC_NO_ROWS, "{\"examples\":[]}");
    status(MARK_CODEC_UNSUPPORTED, "{\"inputs\":1}");
    status(MARK_CODEC_UNSUPPORTED, "{\"inputs\":{}}");
    status(MARK_CODEC_UNSUPPORTED, "{\"inputs\":{\"a\":1}}");
    status(MARK_CODEC_UNSUPPORTED, "{\"inputs\":{\"b64\":\"AAA=\"}}");
    status(MARK_CODEC_UNSUPPORTED, "{\"inputs\":{\"a\":[1],\"b\":2}}");
    status(MARK_CODEC_UNSUPPORTED, "{\"inputs\":{\"a\":[1],\"b\":[]}}");
    status(MARK_CODEC_UNSUPPORTED, "{\"inputs\":{\"a\":[],\"b\":[1]}}");
    status(MARK_CODEC_UNSUPPORTED, "{\"inputs\":{\"a\":[1],\"b\":[1,2]}}");
    status(MARK_CODEC_UNSUPPORTED, "{\"inputs\":[1],\"instances\":[1]}");
    status(MARK_CODEC_UNSUPPORTED, "{\"inputs\":[1],\"examples\":[1]}");
    status(MARK_CODEC_UNSUPPORTED, "{\"examples\":{\"a\":[1]}}");
    status(MARK_CODEC_UNSUPPORTED, "{\"context\":{}}");
    status(MARK_CODEC_UNSUPPORTED, "{\"context\":{},\"instances\":[1]}");
    status(MARK_CODEC_UNSUPPORTED, "{\"inputs\":[1],\"context\":{}}");
    status(MARK_CODEC_INVALID, "{\"inputs\":{\"a\":[1]}");
    status(MARK_CODEC_INVALID, "{\"inputs\":{\"a\":[1]");
    status(MARK_CODEC_INVALID, "{\"inputs\":{\"a\":[1],\"a\":[1]}}");
    status(MARK_CODEC_INVALID, "{\"inputs\":{\"a\":[1],\"\\u0061\":[1]}}");
    status(MARK_CODEC_INVALID, "{\"examples\":[{}],\"context\":}");

    most();

    keys(1, "{\"instances\":[1]}", "{ \"instances\" : [2, 3] }");
    keys(0, "{\"instances\":[1]}", "{\"instances\":[NaN]}");
    keys(0, "{\"instances\":[1]}", "{\"inputs\":[1]}");
    keys(0, "{\"instances\":[1]}", "{\"examples\":[1]}");
    keys(0, "{\"inputs\":[1]}", "{\"examples\":[1]}");
    keys(0, "{\"inputs\":[1]}", "{\"inputs\":{\"a\":[1]}}");
    keys(1, "{\"inputs\":{\"a\":[1],\"b\":[2]}}",
         "{\"inputs\":{\"a\":[1, 3], \"b\":[2, 4]}}");
    keys(0, "{\"inputs\":{\"a\":[1],\"b\":[2]}}",
         "{\"inputs\":{\"b\":[1],\"a\":[2]}}");
    keys(0, "{\"inputs\":{\"a\":[1],\"b\":[2]}}", "{\"inputs\":{\"a\":[1]}}");
    keys(0, "{\"inputs\":{\"a\":[1]}}", "{\"inputs\":{\"b\":[1]}}");
    keys(0, "{\"examples\":[1]}", "{\"context\":{},\"examples\":[1]}");
    keys(0, "{\"context\":{\"a\":1},\"examples\":[1]}",
         "{\"context\":{\"a\":2},\"examples\":[1]}");
    keys(1, "{\"context\":{\"a\":1},\"examples\":[1]}",
         "{\"examples\":[2],\"context\":{\"a\":1}}");

    codec_free();

    parts();
    moves();
    property();

    split(MARK_CODEC_OK, "{\"predictions\":[1,2,3]}");
    split(MARK_CODEC_OK, "{\"version\":\"3\",\"predictions\":[1,2,3],\"n\":1}");
    split(MARK_CODEC_MISMATCH, "{\"predictions\":[]}");
    split(MARK_CODEC_MISMATCH, "{\"predictions\":[1,2]}");
    split(MARK_CODEC_MISMATCH, "{\"predictions\":[1,2,3,4]}");
    split(MARK_CODEC_UNSUPPORTED, "{\"predictions\":[1,2,3],\"scores\":[1]}");
    split(MARK_CODEC_UNSUPPORTED, "{\"meta\":{},\"predictions\":[1,2,3]}");
    split(MARK_CODEC_UNSUPPORTED, "{\"predictions\":{\"a\":1}}");
    split(MARK_CODEC_UNSUPPORTED, "{\"error\":\"no\"}");
    split(MARK_CODEC_OK, "{\"outputs\":[1,2,3]}");
    split(MARK_CODEC_OK, "{\"outputs\":{\"a\":[1,2,3],\"b\":[[],[],[]]}}");
    split(MARK_CODEC_OK, "{\"result\":[1,2,3]}");
    split(MARK_CODEC_OK, "{\"results\":[[],[],[]]}");
    split(MARK_CODEC_MISMATCH, "{\"outputs\":[1,2]}");
    split(MARK_CODEC_MISMATCH, "{\"outputs\":{\"a\":[1,2,3],\"b\":[1]}}");
    split(MARK_CODEC_MISMATCH, "{\"outputs\":{\"a\":[],\"b\":[1,2,3]}}");
    split(MARK_CODEC_MISMATCH, "{\"outputs\":{\"a\":[1,2,3],\"b\":1}}");
    split(MARK_CODEC_MISMATCH, "{\"outputs\":{\"b64\":\"AAA=\"}}");
    split(MARK_CODEC_MISMATCH, "{\"results\":[1,2,3,4]}");
    split(MARK_CODEC_UNSUPPORTED, "{\"outputs\":{}}");
    split(MARK_CODEC_UNSUPPORTED, "{\"outputs\":1}");
    split(MARK_CODEC_UNSUPPORTED, "{\"results\":{\"a\":[1,2,3]}}");
    split(MARK_CODEC_UNSUPPORTED,
          "{\"outputs\":[1,2,3],\"predictions\":[1,2,3]}");
    split(MARK_CODEC_UNSUPPORTED, "{\"outputs\":{\"a\":[1,2,3]},\"x\":{}}");
    split(MARK_CODEC_INVALID, "{\"outputs\":{\"a\":[1,2,3]}");
    split(MARK_CODEC_INVALID, "{\"outputs\":{\"a\":[1,2,3],}}");
    split(MARK_CODEC_INVALID,
          "{\"outputs\":{\"a\":[1,2,3],\"a\":[1,2,3]}}");
    split(MARK_CODEC_INVALID, "{\"predictions\":[1,2,3]");
    split(MARK_CODEC_INVALID, "{\"predictions\":[1,2,3]}]");
    split(MARK_CODEC_INVALID, "<html>");
    split(MARK_CODEC_INVALID, "");

    codec_free();

    return done_testing();
}
