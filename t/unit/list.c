
/*
 * Lists at a path: what joins, what is refused, and that answers come apart
 * as requests went together.
 */


#include "tap.h"
#include "batch.h"


static mark_codec_conf_t
paths(const char *in, const char *out)
{
    mark_codec_conf_t  conf;

    memset(&conf, 0, sizeof(mark_codec_conf_t));

    if (mark_path_parse(&conf.in, in, strlen(in)) != NULL
        || mark_path_parse(&conf.out, out, strlen(out)) != NULL)
    {
        abort();
    }

    return conf;
}


static void
request(mark_codec_status_t want, const char *in, const char *body)
{
    mark_request_t     req;
    mark_codec_conf_t  conf;

    conf = paths(in, "$");

    is_int(batch_parse(&mark_list_codec, &conf, &req, body, strlen(body)), want,
           "in=%s %.70s", in, body);

    codec_free();
}


static void
keys(int want, const char *in, const char *a, const char *b)
{
    mark_request_t     ra, rb;
    mark_codec_conf_t  conf;

    conf = paths(in, "$");

    if (batch_parse(&mark_list_codec, &conf, &ra, a, strlen(a))
        != MARK_CODEC_OK
        || batch_parse(&mark_list_codec, &conf, &rb, b, strlen(b))
           != MARK_CODEC_OK)
    {
        ok(0, "%s and %s are requests", a, b);

    } else {
        is_int(batch_same_key(&ra, &rb), want, "%s and %s%s join", a, b,
               want ? "" : " do not");
    }

    codec_free();
}


static void
answer(mark_codec_status_t want, const char *out, const char *body)
{
    mark_slice_t       slices[2];
    mark_codec_conf_t  conf;

    conf = paths("$", out);

    memset(slices, 0, sizeof(slices));
    slices[0].nrows = 1;
    slices[1].nrows = 2;

    is_int(batch_split(&mark_list_codec, &conf, slices, 2, body, strlen(body)),
           want, "out=%s %.70s", out, body);

    codec_free();
}


static void
parts(void)
{
    mark_body_t        body;
    mark_parts_t       joined;
    mark_slice_t       slices[2];
    mark_request_t     a, b, *both[2];
    mark_codec_conf_t  conf;

    const char  *one = " {\"k\": \"a \\\" b\", \"q\": {\"t\":[ 1,{} ] }} ";
    const char  *two = "{\"k\":\"a \\\" b\",\"q\":{\"t\":[\"]\"]}}";
    const char  *sum = " {\"k\": \"a \\\" b\", \"q\": {\"t\":[1,{},\"]\"] }} ";

    conf = paths("q.t", "$");

    is_int(batch_parse(&mark_list_codec, &conf, &a, one, strlen(one)),
           MARK_CODEC_OK, "a request");
    is_int(a.nrows, 2, "its rows");
    is_mem(a.key.data, a.key.len, "v{\"k\":\"a \\\" b\",\"q\":{\"t\":[]}}", 28,
           "its key");

    is_int(batch_parse(&mark_list_codec, &conf, &b, two, strlen(two)),
           MARK_CODEC_OK, "another");
    is_int(b.nrows, 1, "its row");

    both[0] = &a;
    both[1] = &b;

    is_int(mark_list_codec.join(both, slices, 2, &conf, &codec_memory,
                                &joined),
           MARK_CODEC_OK, "they join");

    body = codec_put(&joined);
    is_mem(body.data, body.len, sum, strlen(sum), "to the text of the first");

    codec_free();
}


/* Passes members up to that of a name. */

static void
find(mark_json_t *j, const char *name)
{
    int          first;
    unsigned     keys;
    mark_span_t  key;

    first = 1;
    keys = j->nkeys;

    (void) mark_json_enter(j, MARK_JSON_OBJECT);

    while (mark_json_member(j, &key, &first, keys) == 1
           && !mark_json_key_is(&key, name))
    {
        (void) mark_json_skip(j);
    }
}


/* Marks each row, and says what was beside the list. */

static size_t
model(char *out, const char *body, size_t len, unsigned style)
{
    int             first;
    char           *p;
    size_t          n;
    mark_json_t     j;
    const uint8_t  *start;

    static const char  *heads[] = {
        "{\"out\":{\"of\":[",
        "{\n  \"v\": 1.50,\n  \"out\": {\n    \"x\": null,\n    \"of\": [ ",
        "{\"\\u006fut\":{\"of\":[",
    };
    static const char  *tails[] = {
        "]}}", "\n    ],\n    \"end\": true\n  }\n}\n", "] } }"
    };

    mark_json_init(&j, body, len);

    if (style < 3) {
        find(&j, "q");
        find(&j, "texts");
    }

    (void) mark_json_enter(&j, MARK_JSON_ARRAY);

    p = out + sprintf(out, "%s", style < 3 ? heads[style] : " [ ");
    first = 1;
    n = 0;

    while (mark_json_element(&j, &first) == 1) {
        start = j.pos;
        (void) mark_json_skip(&j);

        p += sprintf(p, "%s{\"of\": %.*s}",
                     n++ ? (style == 1 ? ",\n      " : ",") : "",
                     (int) (j.pos - start), start);
    }

    return p + sprintf(p, "%s", style < 3 ? tails[style] : "]\n") - out;
}


static size_t
random_body(char *out, int whole, const char *name)
{
    char      *p;
    unsigned   i, n;

    static const char  *spaces[] = { "", " ", "\n  ", "\t" };
    static const char  *rows[] = {
        "[%u, 2.50, -1e-3]", "{\"a\": [%u], \"b]\": \"],[\"}", "%u",
        "\"x\\\"] %u\"", "[[[%u]], []]", "null", "\"\xe4\xb8\xad\\u00e9 %u\"",
        "{\"b64\": \"AAA=\"}"
    };

    n = 1 + rnd(6);
    p = out;

    if (whole) {
        p += sprintf(p, "%s[", spaces[rnd(4)]);

    } else {
        p += sprintf(p, "%s{%s\"s\\\" p\":%s{\"a\": [%s1 ]},",
                     spaces[rnd(4)], spaces[rnd(4)], spaces[rnd(4)],
                     spaces[rnd(4)]);
        p += sprintf(p, "%s\"q\":%s{%s%s:%s[", spaces[rnd(4)],
                     spaces[rnd(4)], spaces[rnd(4)], name, spaces[rnd(4)]);
    }

    for (i = 0; i < n; i++) {
        p += sprintf(p, "%s%s", i ? "," : "", spaces[rnd(4)]);
        p += sprintf(p, rows[rnd(8)], rnd(1000));
        p += sprintf(p, "%s", spaces[rnd(4)]);
    }

    if (whole) {
        p += sprintf(p, "]%s", spaces[rnd(4)]);

    } else {
        p += sprintf(p, "]%s,\"t\":%s0.10}}%s", spaces[rnd(4)],
                     spaces[rnd(4)], spaces[rnd(4)]);
    }

    return p - out;
}


static void
property(void)
{
    size_t             lens[BATCH], n, i;
    unsigned           round, style, bad;
    const char        *error, *name;
    mark_slice_t       slices[BATCH];
    mark_codec_conf_t  conf;

    static char        bodies[BATCH][BODY];
    static const char  *names[] = { "\"texts\"", "\"te\\u0078ts\"" };

    bad = 0;

    for (round = 0; round < 4000; round++) {
        n = 1 + rnd(BATCH);
        style = rnd(4);
        conf = style < 3 ? paths("q.texts", "out.of") : paths("$", "$");
        name = names[rnd(2)];

        for (i = 0; i < n; i++) {
            lens[i] = random_body(bodies[i], style == 3, name);
        }

        error = batch_check(&mark_list_codec, &conf, bodies, lens, n, model,
                            style, 1, slices);

        if (error != NULL && bad++ < 5) {
            diag("%s, round %u:\n%.*s", error, round, (int) lens[0],
                 bodies[0]);
        }

        codec_free();
    }

    is_int(bad, 0, "4000 random batches come apart as they went together");
}


int
main(void)
{
    is_str(mark_list_codec.name, "json", "its name");

    request(MARK_CODEC_OK, "$", "[1]");
    request(MARK_CODEC_OK, "$", " [1, [NaN]] ");
    request(MARK_CODEC_OK, "a", "{\"a\":[1]}");
    request(MARK_CODEC_OK, "a", "{\"\\u0061\":[1]}");
    request(MARK_CODEC_OK, "a.b", "{\"a\":{\"b\":[1]}}");
    request(MARK_CODEC_OK, "a", "{\"x\":{\"y\":[[]]},\"a\":[1],\"z\":[1]}");
    request(MARK_CODEC_OK, "a.a", "{\"x\":{\"a\":1},\"a\":{\"a\":[1]}}");
    request(MARK_CODEC_NO_ROWS, "$", "[]");
    request(MARK_CODEC_NO_ROWS, "a", "{\"a\":[ ]}");
    request(MARK_CODEC_UNSUPPORTED, "$", "{\"a\":[1]}");
    request(MARK_CODEC_UNSUPPORTED, "$", "7");
    request(MARK_CODEC_UNSUPPORTED, "a", "[1]");
    request(MARK_CODEC_UNSUPPORTED, "a", "{}");
    request(MARK_CODEC_UNSUPPORTED, "a", "{\"b\":[1]}");
    request(MARK_CODEC_UNSUPPORTED, "a", "{\"a\":\"text\"}");
    request(MARK_CODEC_UNSUPPORTED, "a", "{\"a\":{\"b\":[1]}}");
    request(MARK_CODEC_UNSUPPORTED, "a.b", "{\"a\":{\"c\":1},\"b\":[1]}");
    request(MARK_CODEC_UNSUPPORTED, "a.b", "{\"a\":[{\"b\":[1]}]}");
    request(MARK_CODEC_INVALID, "$", "");
    request(MARK_CODEC_INVALID, "$", "[1");
    request(MARK_CODEC_INVALID, "$", "[1]]");
    request(MARK_CODEC_INVALID, "$", "text");
    request(MARK_CODEC_INVALID, "a", "");
    request(MARK_CODEC_INVALID, "a", "{\"a\":[1]");
    request(MARK_CODEC_INVALID, "a", "{\"a\":[1]}}");
    request(MARK_CODEC_INVALID, "a", "{\"a\":[1],\"a\":[2]}");
    request(MARK_CODEC_INVALID, "a", "{\"a\":[1],\"\\u0061\":[2]}");
    request(MARK_CODEC_INVALID, "a", "{\"a\":[],\"b\":[1}");
    request(MARK_CODEC_INVALID, "a", "{\"a\":1,\"b\":[1}");
    request(MARK_CODEC_INVALID, "a", "{\"b\":1,}");
    request(MARK_CODEC_INVALID, "a.b", "{\"a\":{\"b\":[1]},\"a\":2}");
    request(MARK_CODEC_INVALID, "a.b", "{\"a\":{\"b\":[1],\"b\":2}}");
    request(MARK_CODEC_INVALID, "a.b", "{\"a\":{\"c\":1},\"b\":[1]");
    request(MARK_CODEC_INVALID, "a", "{\"a\":[\"\xff\"]}");

    keys(1, "$", "[1]", " [ 2 , 3 ] ");
    keys(0, "$", "[1]", "[NaN]");
    keys(1, "a", "{\"a\":[1]}", "{ \"a\" :\n[2]\t}");
    keys(1, "a", "{\"a\":[1],\"b\":[1, 2]}", "{\"a\":[2] , \"b\":[1,2]}");
    keys(0, "a", "{\"a\":[1],\"b\":[1]}", "{\"a\":[2],\"b\":[2]}");
    keys(0, "a", "{\"a\":[1],\"b\":1}", "{\"b\":1,\"a\":[1]}");
    keys(0, "a", "{\"a\":[1],\"b\":\"x y\"}", "{\"a\":[1],\"b\":\"xy\"}");
    keys(0, "a", "{\"b\":\"\\\" \",\"a\":[1]}", "{\"b\":\"\\\"\",\"a\":[1]}");
    keys(0, "a", "{\"b\":\"\\\\\",\"a\":[1]}", "{\"b\":\"\\\\ \",\"a\":[1]}");
    keys(0, "a", "{\"a\":[1]}", "{\"a\":[1],\"b\":0}");

    parts();
    property();

    answer(MARK_CODEC_OK, "$", "[1,2,3]");
    answer(MARK_CODEC_OK, "a", "{\"a\":[1,2,3]}");
    answer(MARK_CODEC_OK, "a.b", "{\"t\":1,\"a\":{\"n\":3,\"b\":[1,[],3]}}");
    answer(MARK_CODEC_MISMATCH, "$", "[]");
    answer(MARK_CODEC_MISMATCH, "$", "[1,2]");
    answer(MARK_CODEC_MISMATCH, "$", "[1,2,3,4]");
    answer(MARK_CODEC_MISMATCH, "a", "{\"a\":[1,2]}");
    answer(MARK_CODEC_UNSUPPORTED, "$", "{\"error\":\"no\"}");
    answer(MARK_CODEC_UNSUPPORTED, "a", "[1,2,3]");
    answer(MARK_CODEC_UNSUPPORTED, "a", "{\"error\":\"no\"}");
    answer(MARK_CODEC_UNSUPPORTED, "a", "{\"a\":{\"0\":1}}");
    answer(MARK_CODEC_UNSUPPORTED, "a", "{\"a\":[1,2,3],\"b\":[1]}");
    answer(MARK_CODEC_UNSUPPORTED, "a", "{\"b\":{},\"a\":[1,2,3]}");
    answer(MARK_CODEC_UNSUPPORTED, "a.b", "{\"a\":{\"b\":[1,2,3]},\"c\":[]}");
    answer(MARK_CODEC_UNSUPPORTED, "a.b", "{\"a\":{\"c\":[],\"b\":[1,2,3]}}");
    answer(MARK_CODEC_INVALID, "$", "");
    answer(MARK_CODEC_INVALID, "$", "[1,2,3");
    answer(MARK_CODEC_INVALID, "$", "[1,2,3]x");
    answer(MARK_CODEC_INVALID, "$", "<html>");
    answer(MARK_CODEC_INVALID, "a", "{\"a\":[1,2,3]");
    answer(MARK_CODEC_INVALID, "a", "{\"a\":[1,2,3],\"a\":[1,2,3]}");

    return done_testing();
}
