
/* Paths into JSON documents: see mark_path.h. */


#include <string.h>

#include "mark_path.h"


static const char *mark_path_name(const mark_span_t *name);


const char *
mark_path_parse(mark_path_t *path, const char *text, size_t len)
{
    const char   *p, *last, *error;
    mark_span_t  *name;

    path->depth = 0;

    if (len == 0) {
        return "an empty path";
    }

    p = text;
    last = text + len;

    if (*p == '$') {
        if (len == 1) {
            return NULL;
        }

        if (p[1] == '.') {
            p += 2;
        }
    }

    for ( ;; ) {

        if (path->depth == MARK_PATH_DEPTH) {
            return "too many names";
        }

        name = &path->names[path->depth++];
        name->data = (const uint8_t *) p;

        while (p < last && *p != '.') {
            p++;
        }

        name->len = (const uint8_t *) p - name->data;

        error = mark_path_name(name);

        if (error != NULL) {
            return error;
        }

        if (p == last) {
            return NULL;
        }

        p++;
    }
}


/* Brackets are refused because they look as if they led into lists. */

static const char *
mark_path_name(const mark_span_t *name)
{
    size_t   i;
    uint8_t  c;

    if (name->len == 0) {
        return "an empty name";
    }

    if (name->len > MARK_PATH_NAME) {
        return "a name too long";
    }

    for (i = 0; i < name->len; i++) {
        c = name->data[i];

        if (c == '[' || c == ']' || c == '*') {
            return "a path into a list, only names of members are known";
        }

        if (c < 0x20 || c == '"' || c == '\\') {
            return "a name with a quote, backslash or control character";
        }
    }

    return NULL;
}


int
mark_path_key_is(const mark_path_t *path, size_t level,
    const mark_span_t *key)
{
    char                name[MARK_PATH_NAME + 1];
    const mark_span_t  *want;

    want = &path->names[level];

    if (key->len == want->len + 2) {
        return memcmp(key->data + 1, want->data, want->len) == 0;
    }

    if (key->len < want->len + 2) {
        return 0;
    }

    /* longer: with escapes it may be the same */

    memcpy(name, want->data, want->len);
    name[want->len] = '\0';

    return mark_json_key_is(key, name);
}
