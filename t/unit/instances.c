/*
 * mark-server's request bodies: finding the instances.
 */


#include "tap.h"
#include "../../src/server/tensor.c"
#include "../../src/server/instances.c"


int
torch_float_parse(const char *p, const char *last, float *value)
{
    return -1;
}


/* The text of the instances, or the error. */

static const char *
find(const char *body, int tensor)
{
    int           rc;
    tensor_t      t;
    instances_t   in;

    static char   buf[1024];

    in.rows = 0;
    rc = instances_parse(&in, tensor ? &t : NULL, body, strlen(body), buf);

    if (rc == 0) {
        snprintf(buf, sizeof(buf), "%.*s", (int) (in.end - in.start),
                 in.start);

        if (tensor) {
            free(t.data);
        }
    }

    return buf;
}


static long
rows(const char *body)
{
    char          err[INSTANCES_ERROR];
    instances_t   in;

    in.rows = 1;

    if (instances_parse(&in, NULL, body, strlen(body), err) != 0) {
        return -1;
    }

    return in.rows;
}


int
main(void)
{
    is_str(find("{\"instances\":[1, 2]}", 1), "[1, 2]", "numbers");
    is_str(find(" { \"instances\" : [ 1 ] , \"signature_name\": \"s\" } ", 1),
           "[ 1 ]", "a signature name after them");
    is_str(find("{\"a\":{\"instances\":[3]},\"instances\":[[1]]}", 1),
           "[[1]]", "other members are passed over");
    is_str(find("{\"instances\":[\"a\",{\"b\":[]},null]}", 0),
           "[\"a\",{\"b\":[]},null]", "any JSON if no tensor is wanted");
    is_str(find("{\"instances\":[]}", 0), "[]", "even none");

    is_str(find("{\"instances\":[{\"b64\":\"\"}]}", 1),
           "\"instances\" must be an array of numbers or of arrays of "
           "numbers", "objects are not numbers");
    is_str(find("{\"instances\":[[1],[1,2]]}", 1),
           "\"instances\" must have rows of one shape", "ragged");
    is_str(find("{\"instances\":[\"a\"", 1), "the body is not JSON",
           "cut short after a string");
    is_str(find("{\"instances\":[1,", 1), "the body is not JSON",
           "cut short");
    is_str(find("{\"instances\":[1]}x", 1), "the body is not JSON",
           "something after it");
    is_str(find("{\"instances\":[1]", 1), "the body is not JSON",
           "a missing brace");
    is_str(find("{\"instances\":1}", 0), "\"instances\" must be an array",
           "not an array");
    is_str(find("{\"instances\":[1],\"instances\":[2]}", 1),
           "bad JSON in the body: an object has a key twice", "given twice");
    is_str(find("{\"inputs\":[1]}", 1), "columnar \"inputs\" are not served: "
           "send rows in \"instances\"", "inputs");
    is_str(find("{\"instances\":[1],\"inputs\":[1]}", 1),
           "columnar \"inputs\" are not served: send rows in \"instances\"",
           "both");
    is_str(find("{\"signature_name\":1,\"instances\":[1]}", 1),
           "\"signature_name\" must be a string", "a wrong signature name");
    is_str(find("{}", 1), "\"instances\" is missing", "nothing");
    is_str(find("[1]", 1),
           "the body must be a JSON object with \"instances\"", "an array");
    is_str(find("", 1),
           "the body must be a JSON object with \"instances\"", "no body");

    is_int(rows("{\"instances\":[1,[2,3],{\"a\":[4,5]},\"]\"]}"), 4, "rows");
    is_int(rows("{\"instances\":[]}"), 0, "no rows");
    is_int(rows("{\"instances\":[1,2"), -1, "rows of what is not JSON");

    return done_testing();
}
