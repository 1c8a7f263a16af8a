/*
 * mark-server's tensors: text to floats and back, and what is refused.
 */


#include <stdlib.h>

#include "tap.h"
#include "../../src/server/tensor.c"


static int  slow_reads;


static int
read_float(const char *p, const char *last, float *value)
{
    char  buf[512], *end;

    slow_reads++;

    snprintf(buf, sizeof(buf), "%.*s", (int) (last - p), p);
    *value = strtof(buf, &end);

    return *end || isinf(*value) ? -1 : 0;
}


static size_t
write_float(float value, char *buf)
{
    int  digits, n;

    for (digits = 6; digits <= 9; digits++) {
        n = snprintf(buf, TENSOR_FLOAT_LEN, "%.*g", digits, value);

        if (strtof(buf, NULL) == value) {
            break;
        }
    }

    return n;
}


/* What text becomes when it is read and printed again. */

static const char *
again(const char *text)
{
    char            *end;
    size_t           room;
    tensor_t         t;
    const char      *p;
    tensor_error_t   error;

    static char      buf[65536];

    p = tensor_parse(&t, text, text + strlen(text), read_float, &error);

    if (p == NULL) {
        return tensor_strerror(error);
    }

    room = tensor_text_len(&t);
    end = tensor_print(&t, buf, write_float);
    free(t.data);

    if ((size_t) (end - buf) > room) {
        return "more text than tensor_text_len() said";
    }

    snprintf(end, buf + sizeof(buf) - end, "%s", p);

    return buf;
}


static void
test_texts(void)
{
    size_t  i;

    static const struct {
        const char  *text;
        const char  *want;
    } tests[] = {
        { "[1,2.5,-3]", "[1.0,2.5,-3.0]" },
        { " [ [ 1 , 2 ] ,\t[ 3 ,\r\n4 ] ] ,", "[[1.0,2.0],[3.0,4.0]] ," },
        { "[[[1],[2]],[[3],[4]]]", "[[[1.0],[2.0]],[[3.0],[4.0]]]" },
        { "[0,-0,0.0,-0.0]", "[0.0,-0.0,0.0,-0.0]" },
        { "[NaN,Infinity,-Infinity]", "[NaN,Infinity,-Infinity]" },
        { "[1e3,1E+3,1e-3,-1.5e2]", "[1000.0,1000.0,0.001,-150.0]" },
        { "[3.4028235e38,1.1754944e-38,1e-45]",
          "[3.4028235e+38,1.1754944e-38,1.4013e-45]" },
        { "[1e-400,1e-60,-1e-60]", "[0.0,0.0,-0.0]" },
        { "[0.1,16777216,123456789]", "[0.1,16777216.0,1.2345679e+08]" },
        { "[0.00000000000000000000000000000000000000000001]",
          "[9.80909e-45]" },
        { "[[[[[[[[1]]]]]]]]", "[[[[[[[[1.0]]]]]]]]" },

        { "[[1,2],[3]]", "must have rows of one shape" },
        { "[[1],[2,3]]", "must have rows of one shape" },
        { "[1,[2]]", "must have rows of one shape" },
        { "[[1],2]", "must have rows of one shape" },
        { "[[[1]],[[1],[2]]]", "must have rows of one shape" },
        { "[]", "must not have empty arrays" },
        { "[[1],[]]", "must not have empty arrays" },
        { "[[[[[[[[[1]]]]]]]]]", "is nested too deep" },
        { "[\"a\"]",
          "must be an array of numbers or of arrays of numbers" },
        { "[{\"b64\":\"\"}]",
          "must be an array of numbers or of arrays of numbers" },
        { "[true]", "must be an array of numbers or of arrays of numbers" },
        { "[null]", "must be an array of numbers or of arrays of numbers" },
        { "1", "must be an array of numbers or of arrays of numbers" },
        { "", "must be an array of numbers or of arrays of numbers" },
        { "[1e39]", "has a number that float32 does not hold" },
        { "[-3.5e38]", "has a number that float32 does not hold" },
        { "[1e999999999999]", "has a number that float32 does not hold" },
        { "[", "is not JSON" },
        { "[[", "is not JSON" },
        { "[1", "is not JSON" },
        { "[1,", "is not JSON" },
        { "[1,]", "is not JSON" },
        { "[,1]", "is not JSON" },
        { "[1 2]", "is not JSON" },
        { "[1}", "is not JSON" },
        { "[01]", "is not JSON" },
        { "[-]", "is not JSON" },
        { "[+1]", "is not JSON" },
        { "[1.]", "is not JSON" },
        { "[.5]", "is not JSON" },
        { "[1e]", "is not JSON" },
        { "[1e+]", "is not JSON" },
        { "[0x1]", "is not JSON" },
        { "[-NaN]", "is not JSON" },
        { "[Inf]", "is not JSON" },
        { "[nan]", "must be an array of numbers or of arrays of numbers" },
        { "[Infinit", "is not JSON" }
    };

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        is_str(again(tests[i].text), tests[i].want, "%s", tests[i].text);
    }
}


static void
test_dims(void)
{
    char             buf[TENSOR_SHAPE_LEN];
    tensor_t         t;
    const char      *text;
    tensor_error_t   error;

    text = "[[[1,2,3],[4,5,6]]]";

    ok(tensor_parse(&t, text, text + strlen(text), read_float, &error)
       == text + strlen(text), "all is read");
    is_str(tensor_shape(t.dims, t.ndims, buf), "[1,2,3]", "shape");
    is_str(tensor_shape(t.dims + 1, 0, buf), "[]", "shape of a scalar");
    is_int(t.len, 6, "floats");
    ok(t.data[5] == 6, "the last float");

    free(t.data);
}


/* Reads one number both ways. */

static int
same(const char *text)
{
    float            got, want;
    tensor_error_t   error;

    want = strtof(text, NULL);

    if (tensor_number(text, text + strlen(text), &got, read_float, &error)
        != text + strlen(text))
    {
        return 0;
    }

    return memcmp(&got, &want, sizeof(float)) == 0;
}


static void
test_rounding(void)
{
    int       i, n, bad;
    char      text[128];
    float     f;
    uint32_t  bits;
    uint64_t  x;

    ok(same("16777217"), "a number midway between two floats");
    ok(same("16777217.0000000001"), "and a little above it");
    ok(same("16777216.9999999999"), "and below it");
    ok(same("1.00000005960464477539062500000000000000001"), "many digits");

    /* doubles cannot tell these from the midpoint */

    ok(same("1.0000000596046447753906251"), "just above a midpoint");
    ok(same("1.0000000596046447753906249"), "just below a midpoint");

    x = 88172645463325252ULL;
    bad = 0;
    slow_reads = 0;

    for (i = 0; i < 100000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;

        bits = x >> 16;
        memcpy(&f, &bits, sizeof(float));

        if (isnan(f) || isinf(f)) {
            continue;
        }

        n = i % 4;

        if (n == 0) {
            snprintf(text, sizeof(text), "%.9g", f);

        } else if (n == 1) {
            snprintf(text, sizeof(text), "%.17g", (double) f);

        } else if (n == 2) {
            snprintf(text, sizeof(text), "%.*f", (int) (x % 17),
                     (int32_t) bits / 16777216.0);

        } else {
            write_float((int32_t) bits / 1e9f, text);
        }

        if (!same(text)) {
            diag("%s", text);
            bad++;
        }
    }

    is_int(bad, 0, "random numbers are read as strtof() reads them");
    ok(slow_reads < 60000, "most of them fast");
}


int
main(void)
{
    test_texts();
    test_dims();
    test_rounding();

    return done_testing();
}
