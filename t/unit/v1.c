
/*
 * V1 rows: what joins, what its parts are, and that splitting what a backend
 * makes of joined requests gives each what it would have got alone.
 */


#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "mark_v1.h"


static unsigned  seed = 7;


static unsigned
rnd(unsigned n)
{
    seed = seed * 1103515245 + 12345;

    return (seed >> 16) % n;
}


static void
status(mark_v1_status_t want, const char *body)
{
    mark_v1_request_t  req;

    is_int(mark_v1_parse(&req, body, strlen(body)), want, "%.70s", body);
}


static void
parts(void)
{
    uint8_t             key[64];
    mark_v1_request_t   req;

    const char  *body = " {\"signature_name\": \"s\", \"instances\": [ [1,2],"
                        " \"]\" ] } ";

    is_int(mark_v1_parse(&req, body, strlen(body)), MARK_V1_OK, "a body");
    is_int(req.nrows, 2, "of two rows");
    ok(req.rows.len == 10 && memcmp(req.rows.data, "[1,2], \"]\"", 10) == 0,
       "its rows");
    ok(req.head.data == (uint8_t *) body && req.head.len == 39, "its head");
    ok(req.tail.len == 4 && memcmp(req.tail.data, "] } ", 4) == 0,
       "its tail");
    ok(mark_v1_key(&req, key) == 4 && memcmp(key, "v\"s\"", 4) == 0,
       "its key");
    ok(!req.lax, "it is plain JSON");
}


/* What a backend would answer: each row, marked. */

static size_t
answer(char *out, const mark_v1_request_t *req, int pretty)
{
    int           first;
    size_t        n;
    char         *p;
    mark_json_t   j;

    p = out;
    n = 0;
    first = 1;

    p += sprintf(p, pretty ? "{\n    \"model\": \"m\",\n    \"predictions\": ["
                             "\n        "
                           : "{\"predictions\":[");

    /* the rows and their bracket, walked as the backend would */

    mark_json_init(&j, req->head.data + req->head.len - 1,
                   req->tail.data - req->head.data - req->head.len + 2);
    (void) mark_json_enter(&j, MARK_JSON_ARRAY);

    while (mark_json_element(&j, &first) == 1) {
        const uint8_t  *start = j.pos;

        (void) mark_json_skip(&j);

        p += sprintf(p, "%s{\"of\": %.*s}",
                     n++ ? (pretty ? ",\n        " : ",") : "",
                     (int) (j.pos - start), start);
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
    char                body[8][512], alone[4096], reply[32768];
    size_t              len, got, n, i, size;
    uint8_t             joined[8192], *p;
    unsigned            round, bad, pretty;
    mark_v1_reply_t     split;
    mark_v1_slice_t     slices[8];
    mark_v1_request_t   req[8], all;

    bad = 0;

    for (round = 0; round < 5000; round++) {
        n = 1 + rnd(8);
        pretty = rnd(2);
        size = 0;

        for (i = 0; i < n; i++) {
            len = random_body(body[i], round * 8 + i);
            size += len;

            if (mark_v1_parse(&req[i], body[i], len) != MARK_V1_OK) {
                bad++;
            }

            slices[i].nrows = req[i].nrows;
        }

        p = mark_v1_join_begin(joined, &req[0]);

        for (i = 0; i < n; i++) {
            p = mark_v1_join_rows(p, &req[i], i);
        }

        p = mark_v1_join_end(p, &req[0]);

        if ((size_t) (p - joined) > size
            || mark_v1_parse(&all, joined, p - joined) != MARK_V1_OK)
        {
            bad++;
            continue;
        }

        len = answer(reply, &all, pretty);

        if (mark_v1_split(&split, reply, len, slices, n) != MARK_V1_OK) {
            bad++;
            continue;
        }

        for (i = 0; i < n; i++) {
            len = answer(alone, &req[i], pretty);
            got = split.head.len + slices[i].rows.len + split.tail.len;

            if (got != len
                || memcmp(alone, split.head.data, split.head.len) != 0
                || memcmp(alone + split.head.len, slices[i].rows.data,
                          slices[i].rows.len) != 0
                || memcmp(alone + len - split.tail.len, split.tail.data,
                          split.tail.len) != 0)
            {
                bad++;
            }
        }

        /* one row more or less than was sent is nobody's answer */

        slices[rnd(n)].nrows++;

        if (mark_v1_split(&split, reply, strlen(reply), slices, n)
            != MARK_V1_MISMATCH)
        {
            bad++;
        }
    }

    is_int(bad, 0, "5000 random batches come apart as they went together");
}


static void
split(mark_v1_status_t want, const char *reply)
{
    mark_v1_reply_t  parts;
    mark_v1_slice_t  slices[2] = { { 1, { 0, 0 } }, { 2, { 0, 0 } } };

    is_int(mark_v1_split(&parts, reply, strlen(reply), slices, 2), want,
           "reply %.60s", reply);
}


int
main(void)
{
    status(MARK_V1_OK, "{\"instances\":[1]}");
    status(MARK_V1_OK, "{\"instances\":[NaN]}");
    status(MARK_V1_OK, "{\"\\u0069nstances\":[1]}");
    status(MARK_V1_OK, "{\"instances\":[1],\"signature_name\":\"x\"}");
    status(MARK_V1_NO_ROWS, "{\"instances\":[]}");
    status(MARK_V1_NO_ROWS, "{\"instances\":[ ]}");
    status(MARK_V1_UNSUPPORTED, "{}");
    status(MARK_V1_UNSUPPORTED, "{\"inputs\":[1]}");
    status(MARK_V1_UNSUPPORTED, "{\"instances\":[1],\"inputs\":[1]}");
    status(MARK_V1_UNSUPPORTED, "{\"instances\":{\"a\":1}}");
    status(MARK_V1_UNSUPPORTED, "{\"instances\":[1],\"id\":\"7\"}");
    status(MARK_V1_INVALID, "");
    status(MARK_V1_INVALID, "[1]");
    status(MARK_V1_INVALID, "{\"instances\":[1]],\"x\":[[2]}");
    status(MARK_V1_UNSUPPORTED, "{\"instances\":[[1]],\"x\":[[2]]}");
    status(MARK_V1_INVALID, "{\"instances\":[1]");
    status(MARK_V1_INVALID, "{\"instances\":[1]}}");
    status(MARK_V1_INVALID, "{\"instances\":[1]} x");
    status(MARK_V1_INVALID, "{\"instances\":[1],\"instances\":[2]}");
    status(MARK_V1_INVALID, "{\"instances\":[1],\"\\u0069nstances\":[2]}");
    status(MARK_V1_INVALID, "{\"instances\":[1e999]}");
    status(MARK_V1_INVALID, "{\"instances\":[\"\xff\"]}");

    parts();
    property();

    split(MARK_V1_OK, "{\"predictions\":[1,2,3]}");
    split(MARK_V1_OK, "{\"version\":\"3\",\"predictions\":[1,2,3],\"n\":1}");
    split(MARK_V1_MISMATCH, "{\"predictions\":[]}");
    split(MARK_V1_MISMATCH, "{\"predictions\":[1,2]}");
    split(MARK_V1_MISMATCH, "{\"predictions\":[1,2,3,4]}");
    split(MARK_V1_UNSUPPORTED, "{\"predictions\":[1,2,3],\"scores\":[1]}");
    split(MARK_V1_UNSUPPORTED, "{\"meta\":{},\"predictions\":[1,2,3]}");
    split(MARK_V1_UNSUPPORTED, "{\"predictions\":{\"a\":1}}");
    split(MARK_V1_UNSUPPORTED, "{\"error\":\"no\"}");
    split(MARK_V1_INVALID, "{\"predictions\":[1,2,3]");
    split(MARK_V1_INVALID, "{\"predictions\":[1,2,3]}]");
    split(MARK_V1_INVALID, "<html>");
    split(MARK_V1_INVALID, "");

    return done_testing();
}
