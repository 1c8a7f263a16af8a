
/*
 * V1 rows: what joins, what its parts are, and that splitting what a backend
 * makes of joined requests gives each what it would have got alone.
 */


#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "codec.h"


static unsigned  seed = 7;


static unsigned
rnd(unsigned n)
{
    seed = seed * 1103515245 + 12345;

    return (seed >> 16) % n;
}


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


/* What a backend would answer: each row, marked. */

static size_t
answer(char *out, const char *body, size_t len, int pretty)
{
    int             first, top;
    size_t          n;
    char           *p;
    mark_json_t     j;
    mark_span_t     name;
    const uint8_t  *start;

    p = out;
    n = 0;
    top = 1;
    first = 1;

    p += sprintf(p, pretty ? "{\n    \"model\": \"m\",\n    \"predictions\": ["
                             "\n        "
                           : "{\"predictions\":[");

    mark_json_init(&j, body, len);
    (void) mark_json_enter(&j, MARK_JSON_OBJECT);

    while (mark_json_member(&j, &name, &top, 0) == 1) {

        if (!mark_json_key_is(&name, "instances")) {
            (void) mark_json_skip(&j);
            continue;
        }

        (void) mark_json_enter(&j, MARK_JSON_ARRAY);

        while (mark_json_element(&j, &first) == 1) {
            start = j.pos;

            (void) mark_json_skip(&j);

            p += sprintf(p, "%s{\"of\": %.*s}",
                         n++ ? (pretty ? ",\n        " : ",") : "",
                         (int) (j.pos - start), start);
        }
    }

    p += sprintf(p, pretty ? "\n    ]\n}\n" : "]}");

    return p - out;
}


static size_t
random_body(char *out, unsigned id)
{
    char      *p;
    unsigned   i, n;

    static const char  *spaces[] = { "", " ", "\n  ", "\t" };
    static const char  *rows[] = {
        "[%u, 2.50, -1e-3]", "{\"a\": [%u], \"b]\": \"],[\"}", "%u",
        "\"x\\\"]%u\"", "[[[%u]], []]", "null", "true", "{\"b64\": \"AAA=\"}"
    };

    n = 1 + rnd(5);
    p = out + sprintf(out, "%s{%s\"signature_name\":\"s\",%s\"instances\":%s[",
                      spaces[rnd(4)], spaces[rnd(4)], spaces[rnd(4)],
                      spaces[rnd(4)]);

    for (i = 0; i < n; i++) {
        p += sprintf(p, "%s%s", i ? "," : "", spaces[rnd(4)]);
        p += sprintf(p, rows[rnd(8)], id * 10 + i);
        p += sprintf(p, "%s", spaces[rnd(4)]);
    }

    return p + sprintf(p, "]%s}%s", spaces[rnd(4)], spaces[rnd(4)]) - out;
}


/* split(backend(join(items))) is backend(item) for each item. */

static void
property(void)
{
    char              body[8][512], alone[4096], reply[32768];
    size_t            len, lens[8], n, i;
    unsigned          round, bad, pretty;
    mark_body_t       joined, back;
    mark_parts_t      parts;
    mark_slice_t      slices[8];
    mark_request_t    req[8], *reqs[8], all;

    bad = 0;

    for (round = 0; round < 5000; round++) {
        n = 1 + rnd(8);
        pretty = rnd(2);

        memset(slices, 0, sizeof(slices));

        for (i = 0; i < n; i++) {
            lens[i] = random_body(body[i], round * 8 + i);
            reqs[i] = &req[i];

            if (parse(&req[i], body[i], lens[i]) != MARK_CODEC_OK) {
                bad++;
            }
        }

        if (mark_v1_codec.join(reqs, slices, n, NULL, &codec_memory, &parts)
            != MARK_CODEC_OK)
        {
            bad++;
            continue;
        }

        joined = codec_put(&parts);

        if (parse(&all, (char *) joined.data, joined.len) != MARK_CODEC_OK) {
            bad++;
            continue;
        }

        memset(&back, 0, sizeof(mark_body_t));

        back.data = (uint8_t *) reply;
        back.len = answer(reply, (char *) joined.data, joined.len, pretty);

        if (mark_v1_codec.split(&back, slices, n, NULL, &codec_memory)
            != MARK_CODEC_OK)
        {
            bad++;
            continue;
        }

        for (i = 0; i < n; i++) {
            len = answer(alone, body[i], lens[i], pretty);
            joined = codec_put(&slices[i].answer);

            if (joined.len != len || memcmp(joined.data, alone, len) != 0) {
                bad++;
            }
        }

        /* one row more or less than was sent is nobody's answer */

        slices[rnd(n)].nrows++;

        if (mark_v1_codec.split(&back, slices, n, NULL, &codec_memory)
            != MARK_CODEC_MISMATCH)
        {
            bad++;
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
    status(MARK_CODEC_UNSUPPORTED, "{\"inputs\":[1]}");
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
    split(MARK_CODEC_INVALID, "{\"predictions\":[1,2,3]");
    split(MARK_CODEC_INVALID, "{\"predictions\":[1,2,3]}]");
    split(MARK_CODEC_INVALID, "<html>");
    split(MARK_CODEC_INVALID, "");

    codec_free();

    return done_testing();
}
