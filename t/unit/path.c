
/* Paths: what is one, and which keys are on it. */


#include <string.h>

#include "tap.h"
#include "mark_path.h"


static void
good(const char *text, size_t depth, const char *last)
{
    mark_path_t   path;
    mark_span_t  *name;

    is_str(mark_path_parse(&path, text, strlen(text)), NULL, "%s", text);
    is_int(path.depth, depth, "depth of %s", text);

    if (path.depth == depth && depth) {
        name = &path.names[depth - 1];
        is_mem(name->data, name->len, last, strlen(last), "end of %s", text);
    }
}


static void
bad(const char *text, const char *why)
{
    mark_path_t  path;

    is_str(mark_path_parse(&path, text, strlen(text)), why, "\"%s\"", text);
}


static void
key(int want, const char *text, const char *name)
{
    mark_span_t  span;
    mark_path_t  path;

    span.data = (uint8_t *) name;
    span.len = strlen(name);

    (void) mark_path_parse(&path, text, strlen(text));

    is_int(mark_path_key_is(&path, path.depth - 1, &span), want,
           "%s %s %s", name, want ? "is" : "is not", text);
}


int
main(void)
{
    char         name[MARK_PATH_NAME + 2];
    mark_path_t  path;

    good("$", 0, NULL);
    good("a", 1, "a");
    good("a.b", 2, "b");
    good("$.a", 1, "a");
    good("$.a.b", 2, "b");
    good("$a", 1, "$a");
    good("a.$", 2, "$");
    good("\xc3\xa9", 1, "\xc3\xa9");
    good("1.2.3.4.5.6.7.8", 8, "8");

    is_str(mark_path_parse(&path, "abc", 2), NULL, "part of a text");
    is_int(path.names[0].len, 2, "ends where it was told");

    memset(name, 'n', sizeof(name));
    is_str(mark_path_parse(&path, name, MARK_PATH_NAME), NULL, "a long name");
    is_str(mark_path_parse(&path, name, MARK_PATH_NAME + 1),
           "a name too long", "a longer one");

    bad("", "an empty path");
    bad(".", "an empty name");
    bad("$.", "an empty name");
    bad("$.$.", "an empty name");
    bad("a.", "an empty name");
    bad(".a", "an empty name");
    bad("a..b", "an empty name");
    bad("1.2.3.4.5.6.7.8.9", "too many names");
    bad("1.2.3.4.5.6.7.8.", "too many names");
    bad("a[0]", "a path into a list, only names of members are known");
    bad("a.*", "a path into a list, only names of members are known");
    bad("a\"", "a name with a quote, backslash or control character");
    bad("a\\u0062", "a name with a quote, backslash or control character");
    bad("a\nb", "a name with a quote, backslash or control character");

    key(1, "ab", "\"ab\"");
    key(1, "x.ab", "\"ab\"");
    key(1, "ab", "\"\\u0061b\"");
    key(1, "\xc3\xa9", "\"\\u00e9\"");
    key(0, "ab", "\"ac\"");
    key(0, "ab", "\"a\"");
    key(0, "ab", "\"abc\"");
    key(0, "ab", "\"\\u0061c\"");

    return done_testing();
}
