
/* The Open Inference Protocol: which bodies are requests to be joined. */


#include "parts.h"


/* One input without its end; and a whole request around it. */

#define X          "{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[2,2]"
#define DATA       ",\"data\":[1,2,3,4]}"
#define INPUTS     "\"inputs\":[" X DATA "]"
#define PARAMS(p)  "{\"parameters\":" p "," INPUTS "}"
#define INPUT(i)   "{\"inputs\":[" i "]}"
#define OUTPUT(o)  "{" INPUTS ",\"outputs\":[" o "]}"
#define TYPED(type, data)                                                     \
    INPUT("{\"name\":\"x\",\"datatype\":\"" type "\",\"shape\":[1,2],"        \
          "\"data\":" data "}")
#define SHAPED(shape, data)                                                   \
    INPUT("{\"name\":\"x\",\"datatype\":\"INT8\",\"shape\":" shape            \
          ",\"data\":" data "}")
#define SIZED(type, shape, size)                                              \
    INPUT("{\"name\":\"x\",\"datatype\":\"" type "\",\"shape\":" shape        \
          ",\"parameters\":{\"binary_data_size\":" size "}}")


static mark_request_t
request(const char *text, const char *tail, size_t len)
{
    mark_request_t  r;

    r.body = body(text, tail, len);

    return r;
}


static void
status(mark_codec_status_t want, const char *text)
{
    mark_request_t  r;

    memory_init(&memory, &pool);

    r = request(text, NULL, 0);
    is_int(mark_v2_codec.parse(&r, NULL, &memory), want, "%.150s", text);

    memory_free(&pool);
}


static void
binary(mark_codec_status_t want, const char *text, const char *tail,
    size_t len)
{
    mark_request_t  r;

    memory_init(&memory, &pool);

    r = request(text, tail, len);
    is_int(mark_v2_codec.parse(&r, NULL, &memory), want,
           "%.150s, %zu bytes", text, len);

    memory_free(&pool);
}


static void
members(void)
{
    status(MARK_CODEC_OK, "{" INPUTS "}");
    status(MARK_CODEC_OK, " {\"id\":null,\"parameters\":null,\"outputs\":null,"
                          INPUTS "} ");
    status(MARK_CODEC_OK, "{\"\\u0069d\":\"7\"," INPUTS "}");
    status(MARK_CODEC_OK, "{\"id\":\"0aZ_.:@+- \"," INPUTS "}");
    status(MARK_CODEC_UNSUPPORTED, "{\"id\":\"\"," INPUTS "}");
    status(MARK_CODEC_UNSUPPORTED, "{\"id\":\"a/b\"," INPUTS "}");
    status(MARK_CODEC_UNSUPPORTED, "{\"id\":\"\\u0061\"," INPUTS "}");
    status(MARK_CODEC_UNSUPPORTED, "{\"id\":\"\xc3\xa9\"," INPUTS "}");
    status(MARK_CODEC_UNSUPPORTED, "{\"id\":7," INPUTS "}");
    status(MARK_CODEC_INVALID, "{\"id\":nul," INPUTS "}");

    status(MARK_CODEC_UNSUPPORTED, "{}");
    status(MARK_CODEC_UNSUPPORTED, "{\"instances\":[1]}");
    status(MARK_CODEC_UNSUPPORTED, "{" INPUTS ",\"model_name\":\"m\"}");
    status(MARK_CODEC_UNSUPPORTED, "{\"inputs\":[]}");
    status(MARK_CODEC_UNSUPPORTED, "{\"inputs\":{}}");
    status(MARK_CODEC_INVALID, "");
    status(MARK_CODEC_INVALID, "[]");
    status(MARK_CODEC_INVALID, "{" INPUTS);
    status(MARK_CODEC_INVALID, "{" INPUTS "}}");
    status(MARK_CODEC_INVALID, "{" INPUTS "," INPUTS "}");
    status(MARK_CODEC_INVALID, INPUT("1"));
    status(MARK_CODEC_INVALID, INPUT(X "}"));
    status(MARK_CODEC_INVALID, INPUT(X ",\"data\":[1,2,3,4],\"data\":[]}"));
    status(MARK_CODEC_INVALID, INPUT(X ",\"shape\":[2,2]" DATA));
    status(MARK_CODEC_INVALID, INPUT("{\"shape\":[1],\"datatype\":\"FP32\","
                                     "\"data\":[1]}"));
    status(MARK_CODEC_INVALID, INPUT("{\"name\":\"x\",\"datatype\":\"FP32\","
                                     "\"data\":[1]}"));
    status(MARK_CODEC_INVALID, INPUT("{\"name\":\"x\",\"shape\":[1],"
                                     "\"data\":[1]}"));
    status(MARK_CODEC_UNSUPPORTED, INPUT(X ",\"more\":1" DATA));
    status(MARK_CODEC_UNSUPPORTED, INPUT("{\"name\":1"));

    status(MARK_CODEC_OK, OUTPUT(""));
    status(MARK_CODEC_OK, OUTPUT("{\"name\":\"y\",\"parameters\":"
                                 "{\"binary_data\":true}},{\"name\":\"z\"}"));
    status(MARK_CODEC_UNSUPPORTED, OUTPUT("1"));
    status(MARK_CODEC_UNSUPPORTED, "{\"outputs\":\"y\"," INPUTS "}");
    status(MARK_CODEC_UNSUPPORTED, OUTPUT("{\"name\":1}"));
    status(MARK_CODEC_UNSUPPORTED, OUTPUT("{\"shape\":[1]}"));
    status(MARK_CODEC_UNSUPPORTED, OUTPUT("{\"name\":\"y\",\"parameters\":"
                                          "{\"classification\":2}}"));
    status(MARK_CODEC_STATEFUL, OUTPUT("{\"name\":\"y\",\"parameters\":"
                                       "{\"shared_memory_region\":\"r\"}}"));
}


static void
parameters(void)
{
    status(MARK_CODEC_OK, PARAMS("{}"));
    status(MARK_CODEC_OK, PARAMS("{\"a\":\"\\n[\",\"b\":1.50,\"c\":false}"));
    status(MARK_CODEC_OK, PARAMS("{\"binary_data_output\":true}"));
    status(MARK_CODEC_OK, PARAMS("{\"timeout\":0,\"priority\":4294967295}"));
    status(MARK_CODEC_OK, PARAMS("{\"timeout\":18446744073709551615}"));
    status(MARK_CODEC_UNSUPPORTED, PARAMS("{\"timeout\":"
                                          "18446744073709551616}"));
    status(MARK_CODEC_UNSUPPORTED, PARAMS("{\"priority\":4294967296}"));
    status(MARK_CODEC_UNSUPPORTED, PARAMS("{\"timeout\":-1}"));
    status(MARK_CODEC_UNSUPPORTED, PARAMS("{\"timeout\":1e3}"));
    status(MARK_CODEC_UNSUPPORTED, PARAMS("{\"timeout\":\"1\"}"));
    status(MARK_CODEC_UNSUPPORTED, PARAMS("{\"a\":null}"));
    status(MARK_CODEC_UNSUPPORTED, PARAMS("{\"a\":[1]}"));
    status(MARK_CODEC_UNSUPPORTED, PARAMS("{\"a\":{}}"));
    status(MARK_CODEC_UNSUPPORTED, PARAMS("{\"headers\":\"h\"}"));
    status(MARK_CODEC_UNSUPPORTED, PARAMS("{\"triton_x\":1}"));
    status(MARK_CODEC_UNSUPPORTED, PARAMS("{\"\\u0074riton_x\":1}"));
    status(MARK_CODEC_UNSUPPORTED, PARAMS("[]"));
    status(MARK_CODEC_INVALID, PARAMS("{\"a\":1,\"a\":2}"));
    status(MARK_CODEC_INVALID, PARAMS("{\"a\":}"));
    status(MARK_CODEC_STATEFUL, PARAMS("{\"sequence_id\":1}"));
    status(MARK_CODEC_STATEFUL, PARAMS("{\"sequence_start\":true}"));
    status(MARK_CODEC_STATEFUL, PARAMS("{\"sequence_end\":true}"));
    status(MARK_CODEC_STATEFUL, PARAMS("{\"\\u0073equence_id\":1}"));
    status(MARK_CODEC_STREAM,
           PARAMS("{\"triton_enable_empty_final_response\":true}"));

    status(MARK_CODEC_OK, INPUT(X ",\"parameters\":{\"content_type\":\"np\","
                                "\"timeout\":\"any\"}" DATA));
    status(MARK_CODEC_OK, INPUT(X ",\"parameters\":null" DATA));
    status(MARK_CODEC_UNSUPPORTED, INPUT(X ",\"parameters\":[]" DATA));
    status(MARK_CODEC_STATEFUL, INPUT(X ",\"parameters\":"
                                      "{\"shared_memory_offset\":0}}"));
    status(MARK_CODEC_STATEFUL, INPUT(X ",\"parameters\":"
                                      "{\"shared_memory_byte_size\":8}}"));
    status(MARK_CODEC_UNSUPPORTED, PARAMS("{\"binary_data_size\":8}"));
    status(MARK_CODEC_INVALID, SIZED("FP32", "[1]", "4"));
}


static void
shapes(void)
{
    status(MARK_CODEC_OK, SHAPED("[3]", "[1,2,3]"));
    status(MARK_CODEC_OK, SHAPED("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[1]"));
    status(MARK_CODEC_OK, SHAPED("[2,1]", "[1,2]"));
    status(MARK_CODEC_OK, SHAPED("[2,1]", "[ [1] , [2] ]"));
    status(MARK_CODEC_OK, SHAPED("[1,2,2]", "[[[1,2],[3,4]]]"));
    status(MARK_CODEC_NO_ROWS, SHAPED("[0]", "[]"));
    status(MARK_CODEC_NO_ROWS, SHAPED("[0,3]", "[]"));
    status(MARK_CODEC_UNSUPPORTED, SHAPED("[1,0]", "[]"));
    status(MARK_CODEC_UNSUPPORTED, SHAPED("[]", "[1]"));
    status(MARK_CODEC_UNSUPPORTED,
           SHAPED("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[1]"));
    status(MARK_CODEC_INVALID, SHAPED("[-1]", "[1]"));
    status(MARK_CODEC_INVALID, SHAPED("[-0]", "[]"));
    status(MARK_CODEC_INVALID, SHAPED("[1.0]", "[1]"));
    status(MARK_CODEC_INVALID, SHAPED("[1e0]", "[1]"));
    status(MARK_CODEC_INVALID, SHAPED("[01]", "[1]"));
    status(MARK_CODEC_INVALID, SHAPED("[\"1\"]", "[1]"));
    status(MARK_CODEC_INVALID, SHAPED("[[1]]", "[1]"));
    status(MARK_CODEC_INVALID, SHAPED("1", "[1]"));
    status(MARK_CODEC_INVALID, SHAPED("[1,18446744073709551617]", "[1]"));
    status(MARK_CODEC_INVALID, SHAPED("[4294967296,4294967296]", "[1]"));
    status(MARK_CODEC_INVALID,
           SHAPED("[1,4294967296,4294967296]", "[1]"));

    /* all inputs have the same rows */

    status(MARK_CODEC_OK, INPUT(X DATA "," X DATA));
    status(MARK_CODEC_UNSUPPORTED,
           INPUT(X DATA ",{\"name\":\"y\",\"datatype\":\"INT8\","
                 "\"shape\":[1,2],\"data\":[1,2]}"));

    status(MARK_CODEC_INVALID, SHAPED("[2,2]", "[1,2,3]"));
    status(MARK_CODEC_INVALID, SHAPED("[2,2]", "[1,2,3,4,5]"));
    status(MARK_CODEC_INVALID, SHAPED("[2,2]", "[]"));
    status(MARK_CODEC_INVALID, SHAPED("[2,2]", "[[1,2],[3]]"));
    status(MARK_CODEC_INVALID, SHAPED("[2,2]", "[[1,2],[3,4,5]]"));
    status(MARK_CODEC_INVALID, SHAPED("[2,2]", "[[1,2]]"));
    status(MARK_CODEC_INVALID, SHAPED("[2,2]", "[[1,2],[3,4],[5,6]]"));
    status(MARK_CODEC_INVALID, SHAPED("[2,2]", "[[1,2,3,4]]"));
    status(MARK_CODEC_INVALID, SHAPED("[2,2]", "[[1,2],3,4]"));
    status(MARK_CODEC_INVALID, SHAPED("[2,2]", "[1,2,[3,4]]"));
    status(MARK_CODEC_INVALID, SHAPED("[2,2]", "[[1,2],[[3],[4]]]"));
    status(MARK_CODEC_INVALID, SHAPED("[1,2,2]", "[[1,2,3,4]]"));
    status(MARK_CODEC_INVALID, SHAPED("[2,2]", "[1,2,3,4"));
    status(MARK_CODEC_INVALID, SHAPED("[2,2]", "[1,2,,4]"));
    status(MARK_CODEC_INVALID, SHAPED("[2,2]", "[1,2,3,4,]"));
    status(MARK_CODEC_UNSUPPORTED, SHAPED("[1]", "1"));
    status(MARK_CODEC_UNSUPPORTED, SHAPED("[1]", "{\"b64\":\"AA==\"}"));
}


static void
datatypes(void)
{
    status(MARK_CODEC_OK, TYPED("FP32", "[1, -2.5e-3]"));
    status(MARK_CODEC_OK, TYPED("FP64", "[NaN,-Infinity]"));
    status(MARK_CODEC_INVALID, TYPED("FP64", "[1,null]"));
    status(MARK_CODEC_INVALID, TYPED("FP64", "[1,\"2\"]"));
    status(MARK_CODEC_INVALID, TYPED("FP64", "[1,true]"));
    status(MARK_CODEC_INVALID, TYPED("FP64", "[1,1e999]"));
    status(MARK_CODEC_UNSUPPORTED, TYPED("FP64", "[1,{}]"));

    status(MARK_CODEC_OK, TYPED("BOOL", "[true,false]"));
    status(MARK_CODEC_INVALID, TYPED("BOOL", "[0,1]"));
    status(MARK_CODEC_INVALID, TYPED("BOOL", "[true,fals]"));

    status(MARK_CODEC_OK, TYPED("BYTES", "[\"\", \"\\\"]\\u00e9,\"]"));
    status(MARK_CODEC_INVALID, TYPED("BYTES", "[\"a\",1]"));
    status(MARK_CODEC_INVALID, TYPED("BYTES", "[\"a\",\"\xff\"]"));

    status(MARK_CODEC_OK, TYPED("INT8", "[127, -128]"));
    status(MARK_CODEC_INVALID, TYPED("INT8", "[1,128]"));
    status(MARK_CODEC_INVALID, TYPED("INT8", "[1,-129]"));
    status(MARK_CODEC_INVALID, TYPED("INT8", "[1,-0]"));
    status(MARK_CODEC_INVALID, TYPED("INT8", "[1,1.0]"));
    status(MARK_CODEC_INVALID, TYPED("INT8", "[1,1e1]"));
    status(MARK_CODEC_INVALID, TYPED("INT8", "[1,NaN]"));
    status(MARK_CODEC_OK, TYPED("INT16", "[32767,-32768]"));
    status(MARK_CODEC_INVALID, TYPED("INT16", "[32768,0]"));
    status(MARK_CODEC_OK, TYPED("INT32", "[2147483647,-2147483648]"));
    status(MARK_CODEC_INVALID, TYPED("INT32", "[0,-2147483649]"));
    status(MARK_CODEC_OK, TYPED("INT64", "[9223372036854775807,"
                                         "-9223372036854775808]"));
    status(MARK_CODEC_INVALID, TYPED("INT64", "[9223372036854775808,0]"));
    status(MARK_CODEC_OK, TYPED("UINT8", "[0,255]"));
    status(MARK_CODEC_INVALID, TYPED("UINT8", "[0,256]"));
    status(MARK_CODEC_INVALID, TYPED("UINT8", "[0,-1]"));
    status(MARK_CODEC_OK, TYPED("UINT16", "[0,65535]"));
    status(MARK_CODEC_INVALID, TYPED("UINT16", "[0,65536]"));
    status(MARK_CODEC_OK, TYPED("UINT32", "[0,4294967295]"));
    status(MARK_CODEC_INVALID, TYPED("UINT32", "[0,4294967296]"));
    status(MARK_CODEC_OK, TYPED("UINT64", "[0,18446744073709551615]"));
    status(MARK_CODEC_INVALID, TYPED("UINT64", "[0,18446744073709551616]"));

    status(MARK_CODEC_INVALID, TYPED("FP16", "[1,2]"));
    status(MARK_CODEC_INVALID, TYPED("BF16", "[1,2]"));
    status(MARK_CODEC_UNSUPPORTED, TYPED("STRING", "[\"a\",\"b\"]"));
    status(MARK_CODEC_UNSUPPORTED, TYPED("fp32", "[1,2]"));
}


static void
binaries(void)
{
    binary(MARK_CODEC_OK, "{" INPUTS "}", "", 0);
    binary(MARK_CODEC_OK, SIZED("FP32", "[2,1]", "8"), "12345678", 8);
    binary(MARK_CODEC_OK, SIZED("FP16", "[2,1]", "4"), "1234", 4);
    binary(MARK_CODEC_OK, SIZED("BYTES", "[2]", "9"), "\1\0\0\0a\0\0\0\0", 9);
    binary(MARK_CODEC_INVALID, "{" INPUTS "}", "1", 1);
    binary(MARK_CODEC_INVALID, SIZED("FP32", "[2,1]", "8"), "1234567", 7);
    binary(MARK_CODEC_INVALID, SIZED("FP32", "[2,1]", "8"), "123456789", 9);
    binary(MARK_CODEC_INVALID, SIZED("FP32", "[2,1]", "7"), "1234567", 7);
    binary(MARK_CODEC_INVALID, SIZED("FP32", "[2,1]", "9"), "123456789", 9);
    binary(MARK_CODEC_INVALID, SIZED("FP32", "[2,1]", "8.0"), "12345678", 8);
    binary(MARK_CODEC_INVALID, SIZED("FP32", "[2,1]", "-8"), "12345678", 8);
    binary(MARK_CODEC_INVALID, SIZED("FP32", "[2,1]", "18446744073709551615"),
           "12345678", 8);
    binary(MARK_CODEC_INVALID,
           INPUT(X ",\"parameters\":{\"binary_data_size\":16}" DATA),
           "1234567812345678", 16);
    binary(MARK_CODEC_INVALID,
           INPUT(X ",\"parameters\":{\"binary_data_size\":"
                 "18446744073709551615}" DATA), "", 0);

    /* sizes that do not fit into 64 bits */

    binary(MARK_CODEC_INVALID, SIZED("FP64", "[1,2305843009213693952]", "0"),
           "", 0);
    binary(MARK_CODEC_INVALID, SIZED("FP64", "[2305843009213693952]", "0"),
           "", 0);

    /* an element's length that runs into the next, or beyond the tensor */

    binary(MARK_CODEC_INVALID, SIZED("BYTES", "[2]", "9"),
           "\5\0\0\0a\0\0\0\0", 9);
    binary(MARK_CODEC_INVALID, SIZED("BYTES", "[2]", "9"),
           "\2\0\0\0a\0\0\0\0", 9);
    binary(MARK_CODEC_INVALID, SIZED("BYTES", "[1]", "9"),
           "\1\0\0\0a\0\0\0\0", 9);
    binary(MARK_CODEC_INVALID, SIZED("BYTES", "[3]", "9"),
           "\1\0\0\0a\0\0\0\0", 9);
    binary(MARK_CODEC_INVALID, SIZED("BYTES", "[1]", "8"),
           "\xff\xff\xff\xff" "abcd", 8);
}


/* A body that was cut is never a request, wherever that was. */

static void
cuts(void)
{
    size_t           i, bad;
    const char      *text;
    mark_request_t   r;

    bad = 0;
    text = "{\"id\":\"a\",\"parameters\":{\"timeout\":1,\"x\":2},"
           "\"inputs\":[{\"data\":[[1],[2]],\"name\":\"x\",\"shape\":[2,1],"
           "\"datatype\":\"INT8\"}],\"outputs\":[{\"name\":\"y\"}]}";

    memory_init(&memory, &pool);

    for (i = 0; i < strlen(text); i++) {
        r = request("", NULL, 0);
        r.body.data = memcpy(memory_alloc(&pool, i + 1), text, i);
        r.body.len = i;

        bad += (mark_v2_codec.parse(&r, NULL, &memory) == MARK_CODEC_OK);
    }

    is_int(bad, 0, "no cut body is a request");

    memory_free(&pool);
}


static void
many(void)
{
    size_t           i, n;
    char             text[8192], *p;
    mark_request_t   r;

    memory_init(&memory, &pool);

    for (n = 32; n <= 33; n++) {
        p = text + sprintf(text, "{\"inputs\":[" X DATA);

        for (i = 1; i < n; i++) {
            p += sprintf(p, "," X DATA);
        }

        (void) sprintf(p, "]}");

        r = request(text, NULL, 0);
        is_int(mark_v2_codec.parse(&r, NULL, &memory),
               n == 32 ? MARK_CODEC_OK : MARK_CODEC_UNSUPPORTED,
               "%zu inputs", n);
    }

    memory_free(&pool);
}


/* The length of the JSON is the client's word, in a header. */

static void
headers(void)
{
    mark_request_t  r;

    memory_init(&memory, &pool);

    r = request("{" INPUTS "}", "", 0);

    r.body.json_len = r.body.len + 1;
    is_int(mark_v2_codec.parse(&r, NULL, &memory), MARK_CODEC_INVALID,
           "more JSON than body");

    r.body.json_len = r.body.len - 1;
    is_int(mark_v2_codec.parse(&r, NULL, &memory), MARK_CODEC_INVALID,
           "JSON that ends too early");

    r.body.json_len = 0;
    is_int(mark_v2_codec.parse(&r, NULL, &memory), MARK_CODEC_UNSUPPORTED,
           "a raw tensor");

    memory_free(&pool);
}


int
main(void)
{
    members();
    parameters();
    shapes();
    datatypes();
    binaries();
    cuts();
    many();
    headers();

    return done_testing();
}
