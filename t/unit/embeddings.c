
/* OpenAI's embeddings: which requests join, and what is refused. */


#include "tap.h"
#include "batch.h"


static void
request(mark_codec_status_t want, size_t nrows, const char *body)
{
    mark_request_t  req;

    is_int(batch_parse(&mark_embeddings_codec, NULL, &req, body,
                       strlen(body)),
           want, "%.70s", body);

    if (want == MARK_CODEC_OK) {
        is_int(req.nrows, nrows, "has that many rows");
    }

    codec_free();
}


static void
keys(int want, const char *a, const char *b)
{
    mark_request_t  ra, rb;

    if (batch_parse(&mark_embeddings_codec, NULL, &ra, a, strlen(a))
        != MARK_CODEC_OK
        || batch_parse(&mark_embeddings_codec, NULL, &rb, b, strlen(b))
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
joins(const char *want, const char *a, const char *b)
{
    size_t          n;
    mark_body_t     body;
    mark_parts_t    joined;
    mark_slice_t    slices[2];
    mark_request_t  ra, rb, *both[2] = { &ra, &rb };

    n = b ? 2 : 1;

    (void) batch_parse(&mark_embeddings_codec, NULL, &ra, a, strlen(a));

    if (b) {
        (void) batch_parse(&mark_embeddings_codec, NULL, &rb, b, strlen(b));
    }

    (void) mark_embeddings_codec.join(both, slices, n, NULL, &codec_memory,
                                      &joined);

    body = codec_put(&joined);
    is_mem(body.data, body.len, want, strlen(want), "%s", want);

    codec_free();
}


/* Answers to one row of weight 1 and two of weight 3. */

static mark_codec_status_t
split(mark_slice_t *slices, const char *body)
{
    memset(slices, 0, 2 * sizeof(mark_slice_t));

    slices[0].nrows = 1;
    slices[0].weight = 1;
    slices[1].nrows = 2;
    slices[1].weight = 3;

    return batch_split(&mark_embeddings_codec, NULL, slices, 2, body,
                       strlen(body));
}


static void
answer(mark_codec_status_t want, const char *body)
{
    mark_slice_t  slices[2];

    is_int(split(slices, body), want, "%.100s", body);

    codec_free();
}


static void
cut(const char *body, const char *one, const char *two)
{
    mark_body_t   a, b;
    mark_slice_t  slices[2];

    is_int(split(slices, body), MARK_CODEC_OK, "%s", body);

    a = codec_put(&slices[0].answer);
    b = codec_put(&slices[1].answer);

    is_mem(a.data, a.len, one, strlen(one), "the first one's");
    is_mem(b.data, b.len, two, strlen(two), "the second one's");

    codec_free();
}


#define DATA3                                                                 \
    "\"data\":[{\"index\":0,\"embedding\":[1]},"                              \
    "{\"index\":1,\"embedding\":[2]},"                                        \
    "{\"index\":2,\"embedding\":\"3\"}]"


static void
requests(void)
{
    request(MARK_CODEC_OK, 1, "{\"input\":\"a\"}");
    request(MARK_CODEC_OK, 1, "{\"input\":[\"a\"],\"model\":\"m\"}");
    request(MARK_CODEC_OK, 2, "{\"model\":\"m\",\"input\":[ \"a\" , \"b\" ]}");
    request(MARK_CODEC_OK, 1, "{\"\\u0069nput\":\"\\u0000\"}");
    request(MARK_CODEC_OK, 1, "{\"input\":[1,2,3]}");
    request(MARK_CODEC_OK, 1, "{\"input\":[ 0 ]}");
    request(MARK_CODEC_OK, 2, "{\"input\":[[1,2],[999999999]]}");
    request(MARK_CODEC_OK, 1, "{\"input\":\"a\",\"encoding_format\":\"base64\","
                              "\"dimensions\":8,\"user\":null}");
    request(MARK_CODEC_NO_ROWS, 0, "{\"input\":[]}");
    request(MARK_CODEC_NO_ROWS, 0, "{\"input\":[ ]}");

    request(MARK_CODEC_UNSUPPORTED, 0, "{}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"model\":\"m\"}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"input\":\"\"}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"input\":[\"a\",\"\"]}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"input\":[[]]}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"input\":[[1],[]]}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"input\":[\"a\",1]}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"input\":[1,\"a\"]}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"input\":[\"a\",[1]]}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"input\":[[1],\"a\"]}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"input\":[[1],2]}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"input\":[1,[2]]}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"input\":[[[1]]]}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"input\":[[\"a\"]]}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"input\":[-1]}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"input\":[1.0]}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"input\":[1e3]}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"input\":[1000000000]}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"input\":[null]}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"input\":[{\"text\":\"a\"}]}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"input\":{\"text\":\"a\"}}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"input\":1}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"input\":null}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"input\":\"a\",\"model\":[]}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"input\":\"a\",\"user\":{}}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"input\":\"a\",\"truncate\":true}");
    request(MARK_CODEC_UNSUPPORTED, 0, "{\"input\":\"a\",\"stream\":false}");
    request(MARK_CODEC_STREAM, 0, "{\"input\":\"a\",\"stream\":true}");

    request(MARK_CODEC_INVALID, 0, "");
    request(MARK_CODEC_INVALID, 0, "[1]");
    request(MARK_CODEC_INVALID, 0, "{\"input\":");
    request(MARK_CODEC_INVALID, 0, "{\"input\":\"a");
    request(MARK_CODEC_INVALID, 0, "{\"input\":\"a\"");
    request(MARK_CODEC_INVALID, 0, "{\"input\":\"a\"} x");
    request(MARK_CODEC_INVALID, 0, "{\"input\":[\"a\"");
    request(MARK_CODEC_INVALID, 0, "{\"input\":[\"a\",");
    request(MARK_CODEC_INVALID, 0, "{\"input\":[\"a\" \"b\"]}");
    request(MARK_CODEC_INVALID, 0, "{\"input\":[1");
    request(MARK_CODEC_INVALID, 0, "{\"input\":[1,");
    request(MARK_CODEC_INVALID, 0, "{\"input\":[01]}");
    request(MARK_CODEC_INVALID, 0, "{\"input\":[1x]}");
    request(MARK_CODEC_INVALID, 0, "{\"input\":[\"\xff\"]}");
    request(MARK_CODEC_INVALID, 0, "{\"input\":[\"\\ud800\"]}");
    request(MARK_CODEC_INVALID, 0, "{\"input\":\"a\",\"input\":\"b\"}");
    request(MARK_CODEC_INVALID, 0, "{\"input\":\"a\",\"model\":tru}");

    keys(1, "{\"input\":\"a\"}", "{\"input\": [\"b\", \"c\"]}");
    keys(1, "{\"input\":[1]}", "{\"input\": [[1], [2]]}");
    keys(0, "{\"input\":\"a\"}", "{\"input\":[1]}");
    keys(0, "{\"input\":[\"a\"]}", "{\"input\":[[1]]}");
    keys(1, "{\"input\":\"a\",\"model\":\"m\",\"user\":\"u\"}",
         "{\"user\" : \"u\", \"input\":\"b\", \"model\" :\"m\"}");
    keys(0, "{\"input\":\"a\",\"model\":\"m\"}",
         "{\"input\":\"a\",\"model\":\"n\"}");
    keys(0, "{\"input\":\"a\",\"model\":\"m\"}", "{\"input\":\"a\"}");
    keys(0, "{\"input\":\"a\",\"model\":\"m\"}",
         "{\"input\":\"a\",\"user\":\"m\"}");
    keys(0, "{\"input\":\"a\",\"model\":\"m,\"}",
         "{\"input\":\"a\",\"model\":\"m\"}");
    keys(0, "{\"input\":\"a\",\"dimensions\":8}",
         "{\"input\":\"a\",\"dimensions\":16}");
    keys(0, "{\"input\":\"a\",\"encoding_format\":\"float\"}",
         "{\"input\":\"a\",\"encoding_format\":\"base64\"}");
    keys(0, "{\"input\":\"a\",\"encoding_format\":\"float\"}",
         "{\"input\":\"a\"}");

    joins(" {\"input\": \"a\" }", " {\"input\": \"a\" }", NULL);
    joins("{\"input\": [\"a\",\"b\" , \"c\"], \"user\":1}",
          "{\"input\": \"a\", \"user\":1}",
          "{\"user\":1,\"input\":[ \"b\" , \"c\" ]}");
    joins("{\"input\":[[1, 2],[3],[ 4]]}", "{\"input\":[1, 2]}",
          "{\"input\":[[3],[ 4] ]}");
}


static void
answers(void)
{
    cut("{" DATA3 ",\"usage\":{\"prompt_tokens\": 8,\"x\":0,\"n\": null}}",
        "{\"data\":[{\"index\":0,\"embedding\":[1]}],"
        "\"usage\":{\"prompt_tokens\": 2,\"x\":0,\"n\": null}}",
        "{\"data\":[{\"index\":0,\"embedding\":[2]},"
        "{\"index\":1,\"embedding\":\"3\"}],"
        "\"usage\":{\"prompt_tokens\": 6,\"x\":0,\"n\": null}}");

    cut("{\"usage\":{\"a\":11,\"b\":1},\"data\":[ {}, {\"s\":1}, {} ]}",
        "{\"usage\":{\"a\":3,\"b\":0},\"data\":[ {} ]}",
        "{\"usage\":{\"a\":8,\"b\":1},\"data\":[ {\"s\":1}, {} ]}");

    answer(MARK_CODEC_OK, "{" DATA3 "}");
    answer(MARK_CODEC_OK, "{" DATA3 ",\"usage\":null,\"id\":\"e\"}");
    answer(MARK_CODEC_OK, "{" DATA3 ",\"usage\":{\"n\":4294967295}}");
    answer(MARK_CODEC_OK, "{\"data\":[{\"embedding\":[[1],[2]]},{},{}]}");

    answer(MARK_CODEC_MISMATCH, "{\"data\":[]}");
    answer(MARK_CODEC_MISMATCH, "{\"data\":[{},{}]}");
    answer(MARK_CODEC_MISMATCH, "{\"data\":[{},{},{},{}]}");
    answer(MARK_CODEC_MISMATCH, "{\"data\":[{\"index\":0},{\"index\":1},{}]}");
    answer(MARK_CODEC_MISMATCH, "{\"data\":[{},{\"index\":1},{\"index\":2}]}");
    answer(MARK_CODEC_MISMATCH,
           "{\"data\":[{\"index\":0},{\"index\":2},{\"index\":1}]}");
    answer(MARK_CODEC_MISMATCH,
           "{\"data\":[{\"index\":1},{\"index\":2},{\"index\":3}]}");
    answer(MARK_CODEC_MISMATCH,
           "{\"data\":[{\"index\":0},{\"index\":1.0},{\"index\":2}]}");
    answer(MARK_CODEC_MISMATCH,
           "{\"data\":[{\"index\":0},{\"index\":\"1\"},{\"index\":2}]}");
    answer(MARK_CODEC_MISMATCH,
           "{\"data\":[{\"index\":4294967296},{\"index\":1},{\"index\":2}]}");

    answer(MARK_CODEC_UNSUPPORTED, "{}");
    answer(MARK_CODEC_UNSUPPORTED, "{\"error\":\"no\"}");
    answer(MARK_CODEC_UNSUPPORTED, "{\"error\":{\"message\":\"no\"}}");
    answer(MARK_CODEC_UNSUPPORTED, "{\"data\":{}}");
    answer(MARK_CODEC_UNSUPPORTED, "{\"data\":[1,2,3]}");
    answer(MARK_CODEC_UNSUPPORTED, "{\"data\":[[1],[2],[3]]}");
    answer(MARK_CODEC_UNSUPPORTED, "{\"data\":[{},{},{\"embedding\":{}}]}");
    answer(MARK_CODEC_UNSUPPORTED, "{\"data\":[{},{},{\"sparse\":[1]}]}");
    answer(MARK_CODEC_UNSUPPORTED, "{" DATA3 ",\"scores\":[1,2,3]}");
    answer(MARK_CODEC_UNSUPPORTED, "{\"meta\":{}," DATA3 "}");
    answer(MARK_CODEC_UNSUPPORTED, "{" DATA3 ",\"usage\":[1]}");
    answer(MARK_CODEC_UNSUPPORTED, "{" DATA3 ",\"usage\":{\"n\":1.5}}");
    answer(MARK_CODEC_UNSUPPORTED, "{" DATA3 ",\"usage\":{\"n\":-1}}");
    answer(MARK_CODEC_UNSUPPORTED, "{" DATA3 ",\"usage\":{\"n\":\"1\"}}");
    answer(MARK_CODEC_UNSUPPORTED, "{" DATA3 ",\"usage\":{\"n\":true}}");
    answer(MARK_CODEC_UNSUPPORTED, "{" DATA3 ",\"usage\":{\"n\":NaN}}");
    answer(MARK_CODEC_UNSUPPORTED, "{" DATA3 ",\"usage\":{\"n\":4294967296}}");
    answer(MARK_CODEC_UNSUPPORTED,
           "{" DATA3 ",\"usage\":{\"n\":1,\"details\":{\"cached\":0}}}");
    answer(MARK_CODEC_UNSUPPORTED,
           "{" DATA3 ",\"usage\":{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,"
           "\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1,\"k\":1,\"l\":1,\"m\":1,"
           "\"n\":1,\"o\":1,\"p\":1,\"q\":1}}");

    answer(MARK_CODEC_INVALID, "");
    answer(MARK_CODEC_INVALID, "<html>");
    answer(MARK_CODEC_INVALID, "[]");
    answer(MARK_CODEC_INVALID, "{" DATA3);
    answer(MARK_CODEC_INVALID, "{" DATA3 "}}");
    answer(MARK_CODEC_INVALID, "{" DATA3 "," DATA3 "}");
    answer(MARK_CODEC_INVALID, "{" DATA3 ",\"usage\":{\"n\":1,\"n\":1}}");
    answer(MARK_CODEC_INVALID, "{" DATA3 ",\"usage\":{},\"usage\":{}}");
    answer(MARK_CODEC_INVALID, "{\"data\":[{},{\"a\":1,\"a\":1},{}]}");
}


int
main(void)
{
    is_str(mark_embeddings_codec.name, "embeddings", "its name");

    requests();
    answers();

    return done_testing();
}
