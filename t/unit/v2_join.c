
/*
 * The Open Inference Protocol: which requests are joined with which, and the
 * very bytes that come of it.
 */


#include "parts.h"


#define X  "{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[2]"

#define OWN(value)                                                            \
    "{\"parameters\":{\"own\":" value "},\"inputs\":[" X ",\"data\":[1,2]}]}"

#define TWO(a, b)                                                             \
    "{\"inputs\":[" X ",\"data\":[" a "]}," X ",\"data\":[" b "]}]}"


/* Joins two requests with tails, and says what comes of it. */

static void
join(const mark_body_t *a, const mark_body_t *b, const char *text,
    const char *tail, size_t len, const char *name)
{
    mark_parts_t     joined;
    mark_slice_t     slices[2];
    mark_request_t   requests[2], *both[2] = { &requests[0], &requests[1] };

    requests[0].body = *a;
    requests[1].body = *b;

    if (!is_int(mark_v2_codec.parse(both[0], NULL, &memory), MARK_CODEC_OK,
                "%s: the one", name)
        || !is_int(mark_v2_codec.parse(both[1], NULL, &memory), MARK_CODEC_OK,
                   "%s: the other", name))
    {
        return;
    }

    is_mem(both[0]->key.data, both[0]->key.len, both[1]->key.data,
           both[1]->key.len, "%s: one key", name);
    is_int(mark_v2_codec.join(both, slices, 2, NULL, &memory, &joined),
           MARK_CODEC_OK, "%s: both", name);

    is_parts(&joined, text, tail, len, name);
}


static void
joins(void)
{
    mark_body_t  a, b;

    memory_init(&memory, &pool);

    a = body("{\"inputs\": [{\"name\": \"x\", \"shape\": [1, 2], \"datatype\":"
             " \"FP32\", \"data\": [ 1, 2.50 ]}], \"id\": \"one\"}\n",
             NULL, 0);
    b = body("{\"inputs\":[{\"name\":\"x\",\"shape\":[2,2],\"datatype\":"
             "\"FP32\",\"data\":[3,4,5,\n6e0]}],\"id\":\"two\"}", NULL, 0);

    join(&a, &b,
         "{\"inputs\": [{\"name\": \"x\", \"shape\": [3, 2], \"datatype\":"
         " \"FP32\", \"data\": [ 1, 2.50,3,4,5,\n6e0 ]}], \"id\": \"one\"}\n",
         NULL, 0, "flat");

    a = body("{\"inputs\":[{\"data\":[[1,2]],\"name\":\"x\",\"shape\":[1,2],"
             "\"datatype\":\"INT8\"}],\"parameters\":{\"timeout\":5000,"
             "\"priority\":3}}", NULL, 0);
    b = body("{\"inputs\":[{\"data\":[[3,4] ],\"name\":\"x\",\"shape\":[1,2],"
             "\"datatype\":\"INT8\"}],\"parameters\":{\"timeout\":20000,"
             "\"priority\":0}}", NULL, 0);

    join(&a, &b,
         "{\"inputs\":[{\"data\":[[1,2],[3,4]],\"name\":\"x\",\"shape\":[2,2],"
         "\"datatype\":\"INT8\"}],\"parameters\":{\"timeout\":20000,"
         "\"priority\":3}}", NULL, 0, "nested, urgent");

    a = body("{\"parameters\":{\"priority\":0,\"timeout\":30},\"inputs\":["
             "{\"name\":\"x\",\"shape\":[1],\"datatype\":\"INT8\","
             "\"data\":[9]}]}", NULL, 0);
    b = body("{\"parameters\":{\"priority\":4,\"timeout\":29},\"inputs\":["
             "{\"name\":\"x\",\"shape\":[9],\"datatype\":\"INT8\","
             "\"data\":[1,2,3,4,5,6,7,8,9]}]}", NULL, 0);

    join(&a, &b,
         "{\"parameters\":{\"priority\":4,\"timeout\":30},\"inputs\":["
         "{\"name\":\"x\",\"shape\":[10],\"datatype\":\"INT8\","
         "\"data\":[9,1,2,3,4,5,6,7,8,9]}]}", NULL, 0, "ten rows");

    a = body("{\"parameters\":{\"timeout\":0,\"priority\":9},\"inputs\":["
             "{\"name\":\"x\",\"shape\":[1],\"datatype\":\"BYTES\","
             "\"parameters\":{\"binary_data_size\":5}},"
             "{\"name\":\"j\",\"shape\":[1],\"datatype\":\"BOOL\","
             "\"data\":[true]},"
             "{\"name\":\"z\",\"shape\":[1,2],\"datatype\":\"BF16\","
             "\"parameters\":{\"binary_data_size\":4}}]}",
             "\1\0\0\0abcde", 9);
    b = body("{\"parameters\":{\"timeout\":7,\"priority\":10},\"inputs\":["
             "{\"name\":\"x\",\"shape\":[2],\"datatype\":\"BYTES\","
             "\"parameters\":{\"binary_data_size\":11}},"
             "{\"name\":\"j\",\"shape\":[2],\"datatype\":\"BOOL\","
             "\"data\":[false,true]},"
             "{\"name\":\"z\",\"shape\":[2,2],\"datatype\":\"BF16\","
             "\"parameters\":{\"binary_data_size\":8}}]}",
             "\0\0\0\0\3\0\0\0xyz12345678", 19);

    join(&a, &b,
         "{\"parameters\":{\"timeout\":0,\"priority\":9},\"inputs\":["
         "{\"name\":\"x\",\"shape\":[3],\"datatype\":\"BYTES\","
         "\"parameters\":{\"binary_data_size\":16}},"
         "{\"name\":\"j\",\"shape\":[3],\"datatype\":\"BOOL\","
         "\"data\":[true,false,true]},"
         "{\"name\":\"z\",\"shape\":[3,2],\"datatype\":\"BF16\","
         "\"parameters\":{\"binary_data_size\":12}}]}",
         "\1\0\0\0a\0\0\0\0\3\0\0\0xyzbcde12345678", 28, "binary and JSON");

    memory_free(&pool);
}


/* Tells whether two requests have one key. */

static void
keys(int want, const mark_body_t *a, const mark_body_t *b, const char *name)
{
    int             equal;
    mark_request_t  one, other;

    one.body = *a;
    other.body = *b;

    if (!is_int(mark_v2_codec.parse(&one, NULL, &memory), MARK_CODEC_OK,
                "%s: the one", name)
        || !is_int(mark_v2_codec.parse(&other, NULL, &memory), MARK_CODEC_OK,
                   "%s: the other", name))
    {
        return;
    }

    equal = (one.key.len == other.key.len
             && memcmp(one.key.data, other.key.data, one.key.len) == 0);

    is_int(equal, want, "%s: %s", name, want ? "one key" : "two keys");
}


static void
pairs(void)
{
    mark_body_t  a, b;

    memory_init(&memory, &pool);

    a = body(OWN("\" \\\" \""), NULL, 0);
    b = body(OWN(" \" \\\" \" "), NULL, 0);
    keys(1, &a, &b, "white space");

    b = body(OWN("\" \\\"\""), NULL, 0);
    keys(0, &a, &b, "white space of a string");

    a = body(OWN("1"), NULL, 0);
    b = body(OWN("1.0"), NULL, 0);
    keys(0, &a, &b, "a number printed otherwise");

    b = body(OWN("\"1\""), NULL, 0);
    keys(0, &a, &b, "a number as a string");

    b = body(OWN("1"), "", 0);
    keys(0, &a, &b, "a header");

    a = body(TWO("1,2", "1,2"), NULL, 0);
    b = body(TWO("3,4", "5e9,-6"), NULL, 0);
    keys(1, &a, &b, "rows");

    b = body(TWO("NaN,2", "1,2"), NULL, 0);
    keys(0, &a, &b, "NaN");

    a = body(TWO("2,Infinity", "Infinity,2"), NULL, 0);
    keys(0, &a, &b, "two that are not numbers");

    memory_free(&pool);
}


static void
urgency(void)
{
    mark_request_t  r;

    memory_init(&memory, &pool);

    r.body = body("{\"parameters\":{\"priority\":2,\"timeout\":1500},"
                  "\"inputs\":[{\"name\":\"x\",\"shape\":[4],"
                  "\"datatype\":\"INT8\",\"data\":[1,2,3,4]}]}", NULL, 0);

    is_int(mark_v2_codec.parse(&r, NULL, &memory), MARK_CODEC_OK, "urgent");
    is_int(r.priority, 2, "its priority");
    is_int(r.timeout, 1500, "its timeout");
    is_int(r.nrows, 4, "its rows");

    memory_free(&pool);
}


int
main(void)
{
    joins();
    pairs();
    urgency();

    return done_testing();
}
