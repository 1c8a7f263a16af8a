
/*
 * The Open Inference Protocol: which answers are cut, and the very bytes that
 * each request gets, after the pictures of real servers.
 */


#include "parts.h"


#define HEAD  "{\"model_name\":\"m\",\"outputs\":["
#define Y     "{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[3]"


static void
slice(mark_slice_t *s, size_t nrows, const char *id)
{
    s->nrows = nrows;
    s->id.data = (uint8_t *) id;
    s->id.len = id ? strlen(id) : 0;
}


/* Cuts an answer to 1 row and 2, of nobody in particular. */

static void
split(mark_codec_status_t want, const char *text, const char *tail,
    size_t len)
{
    mark_body_t   b;
    mark_slice_t  slices[2];

    memory_init(&memory, &pool);

    slice(&slices[0], 1, NULL);
    slice(&slices[1], 2, NULL);

    b = body(text, tail, len);
    is_int(mark_v2_codec.split(&b, slices, 2, NULL, &memory), want,
           "answer %.120s", text);

    memory_free(&pool);
}


static void
splits(void)
{
    split(MARK_CODEC_OK, HEAD Y ",\"data\":[1,2,3]}]}", NULL, 0);
    split(MARK_CODEC_OK, HEAD Y ",\"data\":[null,NaN,\"x\"]}]}", NULL, 0);
    split(MARK_CODEC_OK, HEAD Y ",\"data\":[1,2,3],\"more\":null}],\"more\":1,"
          "\"id\":null,\"parameters\":{\"sequence_id\":0,\"a\":\"b\"}}",
          NULL, 0);
    split(MARK_CODEC_OK, HEAD "{\"name\":\"y\",\"shape\":[3,0],\"data\":[ ]}]}",
          NULL, 0);
    split(MARK_CODEC_OK, HEAD "{\"name\":\"y\",\"shape\":[3,0],"
          "\"data\":[[],[],[]]}]}", NULL, 0);
    split(MARK_CODEC_OK, HEAD "{\"name\":\"y\",\"shape\":[3],"
          "\"datatype\":\"STRING\",\"data\":[\"a\",\"b\",\"c\"]}]}", NULL, 0);
    split(MARK_CODEC_OK, HEAD Y ",\"data\":[1,2,3]}]}", "", 0);

    split(MARK_CODEC_OK, HEAD Y ",\"parameters\":null,\"data\":[1,2,3]}]}",
          NULL, 0);

    split(MARK_CODEC_MISMATCH, HEAD Y ",\"data\":[1,2]}]}", NULL, 0);
    split(MARK_CODEC_MISMATCH, HEAD Y ",\"data\":[1,2,3,4]}]}", NULL, 0);
    split(MARK_CODEC_MISMATCH, HEAD Y ",\"data\":[[1],[2],[3]]}]}", NULL, 0);
    split(MARK_CODEC_MISMATCH, HEAD Y ",\"data\":[]}]}", NULL, 0);
    split(MARK_CODEC_MISMATCH, HEAD "{\"name\":\"y\",\"datatype\":\"FP32\","
          "\"shape\":[2],\"data\":[1,2]}]}", NULL, 0);
    split(MARK_CODEC_MISMATCH, HEAD "{\"name\":\"y\",\"datatype\":\"FP32\","
          "\"shape\":[2],\"data\":[1,2,3]}]}", NULL, 0);
    split(MARK_CODEC_MISMATCH, HEAD "{\"name\":\"y\",\"datatype\":\"FP32\","
          "\"shape\":[1,3],\"data\":[1,2,3]}]}", NULL, 0);
    split(MARK_CODEC_MISMATCH, HEAD "{\"name\":\"y\",\"shape\":[3,2],"
          "\"data\":[[1,2],[3],[4,5,6]]}]}", NULL, 0);
    split(MARK_CODEC_MISMATCH, HEAD "{\"name\":\"y\",\"shape\":[3,0],"
          "\"data\":[1]}]}", NULL, 0);
    split(MARK_CODEC_MISMATCH, HEAD Y ",\"data\":[1,2,3]}]}", "1", 1);

    split(MARK_CODEC_UNSUPPORTED, HEAD "]}", NULL, 0);
    split(MARK_CODEC_UNSUPPORTED, "{\"error\":\"no\"}", NULL, 0);
    split(MARK_CODEC_UNSUPPORTED, "{\"model_name\":\"m\"}", NULL, 0);
    split(MARK_CODEC_UNSUPPORTED, HEAD Y ",\"data\":[1,2,3]}],\"error\":null}",
          NULL, 0);
    split(MARK_CODEC_UNSUPPORTED, HEAD Y ",\"data\":[1,2,{}]}]}", NULL, 0);
    split(MARK_CODEC_UNSUPPORTED, HEAD Y ",\"data\":\"abc\"}]}", NULL, 0);
    split(MARK_CODEC_UNSUPPORTED, HEAD Y ",\"data\":[1,2,3],\"of\":[]}]}",
          NULL, 0);
    split(MARK_CODEC_UNSUPPORTED, HEAD Y ",\"data\":[1,2,3]}],\"all\":{}}",
          NULL, 0);
    split(MARK_CODEC_UNSUPPORTED, HEAD Y ",\"data\":[1,2,3],\"parameters\":"
          "{\"h\":{}}}]}", NULL, 0);
    split(MARK_CODEC_UNSUPPORTED, HEAD Y ",\"data\":[1,2,3]}],\"parameters\":"
          "{\"h\":[]}}", NULL, 0);

    split(MARK_CODEC_INVALID, HEAD Y "}]}", NULL, 0);
    split(MARK_CODEC_INVALID, HEAD Y ",\"data\":[1,2,3]}]", NULL, 0);
    split(MARK_CODEC_INVALID, HEAD Y ",\"data\":[1,2,3]}]}]", NULL, 0);
    split(MARK_CODEC_UNSUPPORTED, HEAD Y ",\"parameters\":7,"
          "\"data\":[1,2,3]}]}", NULL, 0);

    split(MARK_CODEC_INVALID, HEAD Y ",\"more\":nul,\"data\":[1,2,3]}]}",
          NULL, 0);
    split(MARK_CODEC_INVALID, "<html>", NULL, 0);
    split(MARK_CODEC_INVALID, "", NULL, 0);
    split(MARK_CODEC_INVALID, HEAD Y ",\"parameters\":"
          "{\"binary_data_size\":12}}]}", NULL, 0);

    split(MARK_CODEC_OK, HEAD Y ",\"parameters\":{\"binary_data_size\":12}}]}",
          "123456789012", 12);
    split(MARK_CODEC_MISMATCH, HEAD Y ",\"parameters\":"
          "{\"binary_data_size\":8}}]}", "12345678", 8);
    split(MARK_CODEC_MISMATCH, HEAD Y ",\"parameters\":"
          "{\"binary_data_size\":12}}]}", "12345678", 8);
    split(MARK_CODEC_MISMATCH, HEAD Y ",\"parameters\":"
          "{\"binary_data_size\":12}}]}", "1234567890123", 13);
    split(MARK_CODEC_UNSUPPORTED, HEAD "{\"name\":\"y\",\"shape\":[3],"
          "\"datatype\":\"WHAT\",\"parameters\":{\"binary_data_size\":12}}]}",
          "123456789012", 12);
}


/* Each gets its own id; one that the server made up is everybody's. */

static void
ids(void)
{
    mark_body_t   b;
    mark_slice_t  slices[2];

    memory_init(&memory, &pool);

    b = body("{\"id\":\"one\",\"model_name\":\"m\",\"outputs\":[" Y
             ",\"data\":[1.10, 2e0,3]}]}", NULL, 0);

    slice(&slices[0], 1, "\"one\"");
    slice(&slices[1], 2, "\"another\"");

    is_int(mark_v2_codec.split(&b, slices, 2, NULL, &memory), MARK_CODEC_OK,
           "an answer with an id");
    is_parts(&slices[0].answer, "{\"id\":\"one\",\"model_name\":\"m\","
             "\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP32\","
             "\"shape\":[1],\"data\":[1.10]}]}", NULL, 0, "the first's");
    is_parts(&slices[1].answer, "{\"id\":\"another\",\"model_name\":\"m\","
             "\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP32\","
             "\"shape\":[2],\"data\":[2e0,3]}]}", NULL, 0, "the second's");

    slice(&slices[0], 1, "\"eno\"");
    is_int(mark_v2_codec.split(&b, slices, 2, NULL, &memory),
           MARK_CODEC_MISMATCH, "an id that nobody sent");

    slice(&slices[0], 1, NULL);
    slice(&slices[1], 2, NULL);
    is_int(mark_v2_codec.split(&b, slices, 2, NULL, &memory), MARK_CODEC_OK,
           "an id that was made up");
    is_parts(&slices[1].answer, "{\"id\":\"one\",\"model_name\":\"m\","
             "\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP32\","
             "\"shape\":[2],\"data\":[2e0,3]}]}", NULL, 0, "is copied");

    b = body("{\"outputs\":[" Y ",\"data\":[1,2,3]}]}", NULL, 0);
    slice(&slices[0], 1, "\"one\"");
    is_int(mark_v2_codec.split(&b, slices, 2, NULL, &memory),
           MARK_CODEC_MISMATCH, "an id that is not repeated");

    b = body("{\"id\":nul,\"outputs\":[" Y ",\"data\":[1,2,3]}]}", NULL, 0);
    is_int(mark_v2_codec.split(&b, slices, 2, NULL, &memory),
           MARK_CODEC_INVALID, "an id that is no JSON");

    b.binary = 1;
    b.json_len = b.len + 1;
    is_int(mark_v2_codec.split(&b, slices, 2, NULL, &memory),
           MARK_CODEC_INVALID, "an answer with more JSON than body");

    memory_free(&pool);
}


/* One output as MLServer prints it, and three of Triton's, two binary. */

static void
servers(void)
{
    mark_body_t   b;
    mark_slice_t  slices[2];

    memory_init(&memory, &pool);

    slice(&slices[0], 1, NULL);
    slice(&slices[1], 2, NULL);

    b = body("{\"model_name\":\"m\",\"id\":\"7d5-4\",\"parameters\":{},"
             "\"outputs\":[{\"name\":\"y\",\"shape\":[3,1],"
             "\"datatype\":\"BYTES\",\"parameters\":{\"content_type\":\"str\"},"
             "\"data\":[\"a,\\\"]\",\"b\",null]}]}", NULL, 0);

    is_int(mark_v2_codec.split(&b, slices, 2, NULL, &memory), MARK_CODEC_OK,
           "MLServer");
    is_parts(&slices[0].answer,
             "{\"model_name\":\"m\",\"id\":\"7d5-4\",\"parameters\":{},"
             "\"outputs\":[{\"name\":\"y\",\"shape\":[1,1],"
             "\"datatype\":\"BYTES\",\"parameters\":{\"content_type\":\"str\"},"
             "\"data\":[\"a,\\\"]\"]}]}", NULL, 0, "of MLServer, one");
    is_parts(&slices[1].answer,
             "{\"model_name\":\"m\",\"id\":\"7d5-4\",\"parameters\":{},"
             "\"outputs\":[{\"name\":\"y\",\"shape\":[2,1],"
             "\"datatype\":\"BYTES\",\"parameters\":{\"content_type\":\"str\"},"
             "\"data\":[\"b\",null]}]}", NULL, 0, "of MLServer, two");

    b = body("{\"model_name\":\"m\",\"model_version\":\"1\",\"outputs\":["
             "{\"name\":\"a\",\"datatype\":\"BYTES\",\"shape\":[3,1],"
             "\"parameters\":{\"binary_data_size\":17}},"
             "{\"name\":\"b\",\"datatype\":\"FP32\",\"shape\":[3,2],"
             "\"data\":[1.0,-Infinity,3.0000000150474662e30,4.0,5.0,NaN]},"
             "{\"name\":\"c\",\"datatype\":\"INT16\",\"shape\":[3],"
             "\"parameters\":{\"binary_data_size\":6}}]}",
             "\2\0\0\0\377\0\0\0\0\0\3\0\0\0{,}121212", 23);

    is_int(mark_v2_codec.split(&b, slices, 2, NULL, &memory), MARK_CODEC_OK,
           "Triton");
    is_parts(&slices[0].answer,
             "{\"model_name\":\"m\",\"model_version\":\"1\",\"outputs\":["
             "{\"name\":\"a\",\"datatype\":\"BYTES\",\"shape\":[1,1],"
             "\"parameters\":{\"binary_data_size\":6}},"
             "{\"name\":\"b\",\"datatype\":\"FP32\",\"shape\":[1,2],"
             "\"data\":[1.0,-Infinity]},"
             "{\"name\":\"c\",\"datatype\":\"INT16\",\"shape\":[1],"
             "\"parameters\":{\"binary_data_size\":2}}]}",
             "\2\0\0\0\377\0" "12", 8, "of Triton, one");
    is_parts(&slices[1].answer,
             "{\"model_name\":\"m\",\"model_version\":\"1\",\"outputs\":["
             "{\"name\":\"a\",\"datatype\":\"BYTES\",\"shape\":[2,1],"
             "\"parameters\":{\"binary_data_size\":11}},"
             "{\"name\":\"b\",\"datatype\":\"FP32\",\"shape\":[2,2],"
             "\"data\":[3.0000000150474662e30,4.0,5.0,NaN]},"
             "{\"name\":\"c\",\"datatype\":\"INT16\",\"shape\":[2],"
             "\"parameters\":{\"binary_data_size\":4}}]}",
             "\0\0\0\0\3\0\0\0{,}1212", 15, "of Triton, two");

    memory_free(&pool);
}


/* Memory may end at any time. */

static void
exhausted(void)
{
    size_t                limit;
    unsigned              bad;
    mark_body_t           b, answer;
    mark_parts_t          joined;
    mark_slice_t          slice;
    mark_request_t        r, *one = &r;
    mark_codec_status_t   status;

    bad = 0;

    memory_init(&memory, &pool);

    b = body("{\"id\":\"a\",\"inputs\":[{\"name\":\"x\",\"shape\":[1],"
             "\"datatype\":\"INT8\",\"data\":[1]}]}", NULL, 0);
    answer = body("{\"id\":\"a\",\"outputs\":[{\"name\":\"x\",\"shape\":[1],"
                  "\"datatype\":\"INT8\",\"data\":[1]},{\"name\":\"y\","
                  "\"shape\":[1],\"datatype\":\"INT8\",\"parameters\":"
                  "{\"binary_data_size\":1}}]}", "1", 1);

    for (limit = pool.n; limit < MEMORY_PIECES; limit++) {
        pool.limit = limit;
        r.body = b;

        status = mark_v2_codec.parse(one, NULL, &memory);

        if (status == MARK_CODEC_OK) {
            status = mark_v2_codec.join(&one, &slice, 1, NULL, &memory,
                                        &joined);
        }

        if (status == MARK_CODEC_OK) {
            status = mark_v2_codec.split(&answer, &slice, 1, NULL, &memory);
        }

        if (status == MARK_CODEC_OK) {
            break;
        }

        bad += (status != MARK_CODEC_MEMORY);

        while (pool.n > 2) {
            free(pool.pieces[--pool.n]);
        }
    }

    is_int(bad, 0, "no memory is what no memory is called");
    ok(limit > 8 && limit < MEMORY_PIECES, "and some memory is enough");

    memory_free(&pool);
}


int
main(void)
{
    splits();
    ids();
    servers();
    exhausted();

    return done_testing();
}
