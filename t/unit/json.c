
/* The JSON scanner: what it passes, what it refuses and why. */


#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "mark_json.h"


static mark_json_error_t
scan(const char *text, size_t len)
{
    char         *copy;
    mark_json_t   j;

    /* from the heap, so that a sanitizer sees a read past the end */

    copy = malloc(len ? len : 1);
    memcpy(copy, text, len);

    mark_json_init(&j, copy, len);

    if (mark_json_skip(&j) == 0) {
        (void) mark_json_end(&j);
    }

    free(copy);

    return j.error;
}


static void
passes(const char *text)
{
    is_int(scan(text, strlen(text)), MARK_JSON_OK, "passes %s", text);
}


static void
refuses(mark_json_error_t error, const char *text)
{
    is_int(scan(text, strlen(text)), error, "refuses %.60s", text);
}


static void
cuts(const char *text)
{
    size_t  i, bad;

    bad = 0;

    for (i = 0; i < strlen(text); i++) {
        if (scan(text, i) == MARK_JSON_OK) {
            bad++;
        }
    }

    is_int(bad, 0, "no prefix passes of %s", text);
}


static void
nested(int depth, mark_json_error_t error)
{
    int   i;
    char  text[2048] = "";

    for (i = 0; i < depth; i++) {
        text[i] = '[';
        text[depth + i] = ']';
    }

    is_int(scan(text, 2 * depth), error, "%d levels", depth);

    /* the same by objects */

    text[0] = '\0';

    for (i = 0; i < depth; i++) {
        strcat(text, "{\"a\":");
    }

    strcat(text, "1");

    for (i = 0; i < depth; i++) {
        strcat(text, "}");
    }

    is_int(scan(text, strlen(text)), error, "%d objects", depth);
}


static void
keys(int n, mark_json_error_t error)
{
    int    i;
    char  *text, *p;

    text = malloc(n * 16 + 16);
    p = text;
    *p++ = '{';

    for (i = 0; i < n; i++) {
        p += sprintf(p, "%s\"k%d\":%d", i ? "," : "", i, i);
    }

    *p++ = '}';

    is_int(scan(text, p - text), error, "%d keys", n);

    free(text);
}


/*
 * Numbers are passed eight bytes at a time: every length, at every distance
 * from the end, with every byte behind it that is none of its own.
 */

static void
numbers(void)
{
    int          whole, part, behind, bad, i;
    char        *p, text[128];
    const char  *sign;

    static const char  *ends[] = {
        "]", ",1]", " , -1]", "e5]", "E-05]", "\n]", "        ]"
    };

    bad = 0;

    for (i = 0; i < 2 * 20 * 20 * 7; i++) {
        sign = i % 2 ? "-" : "";
        whole = 1 + i / 2 % 20;
        part = i / 40 % 20;
        behind = i / 800;

        p = text + sprintf(text, "[%s%.*s", sign, whole,
                           "98765432109876543210");

        if (part) {
            p += sprintf(p, ".%.*s", part, "01234567890123456789");
        }

        sprintf(p, "%s", ends[behind]);

        if (scan(text, strlen(text)) != MARK_JSON_OK) {
            diag("%s", text);
            bad++;
        }

        sprintf(p, "x%s", ends[behind]);

        if (scan(text, strlen(text)) != MARK_JSON_SYNTAX) {
            diag("%s", text);
            bad++;
        }

        /* no digit may be taken for another's */

        text[1 + i % (p - text - 1)] = ':';
        sprintf(p, "%s", ends[behind]);

        if (scan(text, strlen(text)) != MARK_JSON_SYNTAX) {
            diag("%s", text);
            bad++;
        }
    }

    is_int(bad, 0, "numbers of all lengths");
}


static void
blanks(void)
{
    int   i, bad;
    char  text[256];

    bad = 0;

    for (i = 0; i < 40; i++) {
        sprintf(text, "%*s[%*s1%*s,\n%*s\t2\r%*s]%*s", i, "", i, "", i, "", i,
                "", i, "", i, "");

        if (scan(text, strlen(text)) != MARK_JSON_OK) {
            bad++;
        }

        /* neither is white space */

        text[i + 1 + i / 2] = "\v\0"[i % 2];

        if (scan(text, 6 * i + 8) != MARK_JSON_SYNTAX) {
            bad++;
        }
    }

    is_int(bad, 0, "white space of all lengths");
}


static int
lax(const char *text)
{
    mark_json_t  j;

    mark_json_init(&j, text, strlen(text));

    return mark_json_skip(&j) == 0 && j.lax;
}


static void
walk(void)
{
    int          first, rc, n;
    mark_span_t  key;
    mark_json_t  j;

    const char  *text = " { \"a\" : [ 1 , 2,3 ] , \"b\\u0063\" : {} } ";

    mark_json_init(&j, text, strlen(text));

    ok(mark_json_enter(&j, MARK_JSON_ARRAY) != 0, "an object is no array");

    mark_json_init(&j, text, strlen(text));

    ok(mark_json_enter(&j, MARK_JSON_OBJECT) == 0, "enter an object");

    first = 1;
    rc = mark_json_member(&j, &key, &first, 0);

    ok(rc == 1 && mark_json_key_is(&key, "a"), "its first key");
    ok(!mark_json_key_is(&key, "b") && !mark_json_key_is(&key, "aa"),
       "which is no other");

    ok(mark_json_enter(&j, MARK_JSON_ARRAY) == 0, "enter an array");

    n = 0;
    rc = 1;

    for (first = 1; (rc = mark_json_element(&j, &first)) == 1; n++) {
        if (mark_json_skip(&j) != 0) {
            break;
        }
    }

    ok(rc == 0 && n == 3, "three elements");

    first = 0;
    rc = mark_json_member(&j, &key, &first, 0);

    ok(rc == 1 && mark_json_key_is(&key, "bc"), "an escaped key");
    ok(mark_json_skip(&j) == 0 && j.type == MARK_JSON_OBJECT, "its value");
    is_int(mark_json_member(&j, &key, &first, 0), 0, "the end");
    is_int(mark_json_end(&j), 0, "of all");
}


/*
 * Passes n scalars of a kind from a heap's bytes; want is what comes back,
 * and rest how many bytes are left then.
 */

static void
scalars(mark_json_kind_t kind, size_t n, const char *text, int want,
    size_t rest)
{
    int           rc;
    char         *copy;
    size_t        len;
    mark_json_t   j;

    mark_json_scalar_t  scalar = { kind, 100, 10 };

    len = strlen(text);
    copy = malloc(len ? len : 1);
    memcpy(copy, text, len);

    mark_json_init(&j, copy, len);
    rc = mark_json_scalars(&j, &scalar, n);

    ok(rc == want && (rc != 1 || (size_t) (j.last - j.pos) == rest),
       "%zu of kind %d in %s", n, kind, text);

    free(copy);
}


static void
lists(void)
{
    scalars(MARK_JSON_NUMBERS, 3, "1,-2.5e3 ,\n 0 ]", 1, 2);
    scalars(MARK_JSON_NUMBERS, 2, "1,2,3]", 1, 3);
    scalars(MARK_JSON_NUMBERS, 2, "NaN,-Infinity]", 1, 1);
    scalars(MARK_JSON_NUMBERS, 2, "1]", 0, 0);
    scalars(MARK_JSON_NUMBERS, 2, "1,[2]]", 0, 0);
    scalars(MARK_JSON_NUMBERS, 2, "1,{}]", 0, 0);
    scalars(MARK_JSON_NUMBERS, 2, "1,\"2\"]", 0, 0);
    scalars(MARK_JSON_NUMBERS, 2, "1,null]", 0, 0);
    scalars(MARK_JSON_NUMBERS, 2, "1 2]", 0, 0);
    scalars(MARK_JSON_NUMBERS, 2, "1", -1, 0);
    scalars(MARK_JSON_NUMBERS, 2, "1,", -1, 0);
    scalars(MARK_JSON_NUMBERS, 2, "1,-", -1, 0);
    scalars(MARK_JSON_NUMBERS, 2, "1,,2]", 0, 0);
    scalars(MARK_JSON_NUMBERS, 2, "1,1e999]", -1, 0);
    scalars(MARK_JSON_NUMBERS, 1, "", -1, 0);

    scalars(MARK_JSON_INTEGERS, 4, "0,100,-1,-10]", 1, 1);
    scalars(MARK_JSON_INTEGERS, 1, "101]", 0, 0);
    scalars(MARK_JSON_INTEGERS, 1, "-11]", 0, 0);
    scalars(MARK_JSON_INTEGERS, 1, "-0]", 0, 0);
    scalars(MARK_JSON_INTEGERS, 1, "00]", 0, 0);
    scalars(MARK_JSON_INTEGERS, 1, "1.0]", 0, 0);
    scalars(MARK_JSON_INTEGERS, 1, "1E1]", 0, 0);
    scalars(MARK_JSON_INTEGERS, 1, "-", 0, 0);
    scalars(MARK_JSON_INTEGERS, 1, "18446744073709551617]", 0, 0);

    scalars(MARK_JSON_BOOLEANS, 2, "true , false]", 1, 1);
    scalars(MARK_JSON_BOOLEANS, 1, "1]", 0, 0);
    scalars(MARK_JSON_BOOLEANS, 1, "null]", 0, 0);
    scalars(MARK_JSON_BOOLEANS, 1, "tru", -1, 0);

    scalars(MARK_JSON_STRINGS, 2, "\",\",\"\\\"\"]", 1, 1);
    scalars(MARK_JSON_STRINGS, 1, "1]", 0, 0);
    scalars(MARK_JSON_STRINGS, 1, "\"a", -1, 0);

    scalars(MARK_JSON_ANY, 5, "1,\"a\",true,null,NaN]", 1, 1);
    scalars(MARK_JSON_ANY, 1, "[1]]", 0, 0);
    scalars(MARK_JSON_ANY, 1, "{}]", 0, 0);
    scalars(MARK_JSON_ANY, 1, "]", 0, 0);
    scalars(MARK_JSON_NONE, 1, "1]", 0, 0);
}


static void
counts(void)
{
    uint64_t      value;
    mark_json_t   j;

    mark_json_init(&j, " 18446744073709551615,", 22);
    ok(mark_json_unsigned(&j, &value) == 1 && value == UINT64_MAX
       && *j.pos == ',', "the largest count");

    mark_json_init(&j, "18446744073709551616", 20);
    is_int(mark_json_unsigned(&j, &value), 0, "one more");

    mark_json_init(&j, "-1", 2);
    is_int(mark_json_unsigned(&j, &value), 0, "less than nothing");

    mark_json_init(&j, " ", 1);
    is_int(mark_json_unsigned(&j, &value), -1, "nothing");
}


int
main(void)
{
    char  text[64];
    int   c, bad;

    lists();
    counts();

    passes("{}");
    passes("[]");
    passes(" [ 1 , {\"a\":[]} ] \r\n\t");
    passes("\"\"");
    passes("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\"");
    passes("\"h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"");
    passes("\"0123456789abcdef0123456789abcdef\\n0123456789abcdef\"");
    passes("[true,false,null]");
    passes("[0,-0,1,-1,1.5,-0.25,1e5,1E+5,2e-7,123456789012345678901234]");
    passes("[NaN,Infinity,-Infinity]");
    passes("1e307");
    numbers();
    blanks();
    passes("{\"a\":{\"a\":1},\"b\":{\"a\":1}}");
    passes("[{\"a\":1},{\"a\":1}]");

    refuses(MARK_JSON_SYNTAX, "");
    refuses(MARK_JSON_SYNTAX, " ");
    refuses(MARK_JSON_SYNTAX, "[1,]");
    refuses(MARK_JSON_SYNTAX, "[,1]");
    refuses(MARK_JSON_SYNTAX, "[1 2]");
    refuses(MARK_JSON_SYNTAX, "[1]]");
    refuses(MARK_JSON_SYNTAX, "[1]],\"x\":[[2");
    refuses(MARK_JSON_SYNTAX, "{\"a\":1,}");
    refuses(MARK_JSON_SYNTAX, "{\"a\"}");
    refuses(MARK_JSON_SYNTAX, "{a:1}");
    refuses(MARK_JSON_SYNTAX, "{1:1}");
    refuses(MARK_JSON_SYNTAX, "[}");
    refuses(MARK_JSON_SYNTAX, "{]");
    refuses(MARK_JSON_SYNTAX, "[1}");
    refuses(MARK_JSON_SYNTAX, "01");
    refuses(MARK_JSON_SYNTAX, "[-]");
    refuses(MARK_JSON_SYNTAX, "+1");
    refuses(MARK_JSON_SYNTAX, "1.");
    refuses(MARK_JSON_SYNTAX, ".5");
    refuses(MARK_JSON_SYNTAX, "1e");
    refuses(MARK_JSON_SYNTAX, "1e+");
    refuses(MARK_JSON_SYNTAX, "0x10");
    refuses(MARK_JSON_SYNTAX, "-NaN");
    refuses(MARK_JSON_SYNTAX, "nan");
    refuses(MARK_JSON_SYNTAX, "Infinit");
    refuses(MARK_JSON_SYNTAX, "True");
    refuses(MARK_JSON_SYNTAX, "truefalse");
    refuses(MARK_JSON_SYNTAX, "'a'");
    refuses(MARK_JSON_SYNTAX, "\"a");
    refuses(MARK_JSON_SYNTAX, "\"\\x\"");
    refuses(MARK_JSON_SYNTAX, "\"\\u12g4\"");
    refuses(MARK_JSON_SYNTAX, "\"a\nb\"");
    refuses(MARK_JSON_SYNTAX, "// no\n1");
    refuses(MARK_JSON_SYNTAX, "\xef\xbb\xbf{}");

    refuses(MARK_JSON_UTF8, "\"\xff\"");
    refuses(MARK_JSON_UTF8, "\"\xc3\"");
    refuses(MARK_JSON_UTF8, "\"\xc0\xaf\"");
    refuses(MARK_JSON_UTF8, "\"\xe0\x80\xaf\"");
    refuses(MARK_JSON_UTF8, "\"\xed\xa0\x80\"");
    refuses(MARK_JSON_UTF8, "\"\xf5\x80\x80\x80\"");
    refuses(MARK_JSON_UTF8, "\"\xe2\x82\"");
    refuses(MARK_JSON_UTF8, "\"\\ud83d\"");
    refuses(MARK_JSON_UTF8, "\"\\ude00\"");
    refuses(MARK_JSON_UTF8, "\"\\ud83d\\u0041\"");

    refuses(MARK_JSON_DUPLICATE, "{\"a\":1,\"a\":2}");
    refuses(MARK_JSON_DUPLICATE, "{\"a\":1,\"b\":2,\"\\u0061\":3}");
    refuses(MARK_JSON_DUPLICATE, "[{\"x\":{\"y\":1,\"z\":2,\"y\":3}}]");
    refuses(MARK_JSON_DUPLICATE, "{\"\xc3\xa9\":1,\"\\u00e9\":2}");
    refuses(MARK_JSON_DUPLICATE,
            "{\"\xf0\x9f\x98\x80\":1,\"\\ud83d\\ude00\":2}");
    refuses(MARK_JSON_DUPLICATE, "{\"a\\/b\":1,\"a/b\":2}");
    passes("{\"a\\nb\":1,\"a/b\":2,\"anb\":3}");

    refuses(MARK_JSON_RANGE, "1e308");
    refuses(MARK_JSON_RANGE, "1e309");
    refuses(MARK_JSON_RANGE, "1e99999999999999999999");
    refuses(MARK_JSON_RANGE, "1e-400");
    refuses(MARK_JSON_RANGE, "12345e305");

    nested(MARK_JSON_MAX_DEPTH, MARK_JSON_OK);
    nested(MARK_JSON_MAX_DEPTH + 1, MARK_JSON_DEPTH);

    keys(MARK_JSON_MAX_KEYS, MARK_JSON_OK);
    keys(MARK_JSON_MAX_KEYS + 1, MARK_JSON_COMPLEX);

    cuts("{\"a\":[1,\"b\\u00e9\xc3\xa9\",{\"c\":true}],\"d\":{}}");
    cuts("[\"\\ud83d\\ude00\xf0\x9f\x98\x80\",null]");

    /* every byte at every offset of the eight at a time */

    bad = 0;

    for (c = 0; c < 256; c++) {
        int  i;

        for (i = 1; i < 24; i++) {
            memset(text, 'x', sizeof(text));
            text[0] = '"';
            text[30] = '"';
            text[i] = (char) c;

            if ((scan(text, 31) == MARK_JSON_OK)
                != (c >= 0x20 && c < 0x80 && c != '"' && c != '\\'))
            {
                bad++;
            }
        }
    }

    is_int(bad, 0, "each byte in a string, wherever it stands");

    ok(lax("[NaN]") && lax("-Infinity") && !lax("[1,\"NaN\"]"), "lax");

    walk();

    return done_testing();
}
