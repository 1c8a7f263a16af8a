
/*
 * A strict JSON scanner: see mark_json.h.  RFC 8259, and NaN and the
 * Infinities beside it.  It is stricter than the grammar where parsers are
 * known to differ (UTF-8, lone surrogates, duplicate keys, numbers out of a
 * double's range, depth): a body that one server takes and another refuses
 * must not be put beside the body of somebody else.
 */


#include <string.h>

#include "mark_json.h"
#include "mark_json_token.h"


static int mark_json_key(mark_json_t *j, mark_span_t *key, unsigned base);


void
mark_json_init(mark_json_t *j, const void *data, size_t len)
{
    j->pos = data;
    j->last = j->pos + len;
    j->error = MARK_JSON_OK;
    j->type = MARK_JSON_LITERAL;
    j->lax = 0;
    j->depth = 0;
    j->nkeys = 0;
}


void
mark_json_space(mark_json_t *j)
{
    j->pos = mark_json_blank(j->pos, j->last);
}


int
mark_json_end(mark_json_t *j)
{
    mark_json_space(j);

    return j->pos == j->last ? 0 : mark_json_fail(j, MARK_JSON_SYNTAX);
}


int
mark_json_skip(mark_json_t *j)
{
    int               rc;
    size_t            left;
    uint8_t           open[MARK_JSON_MAX_DEPTH];
    uint16_t          base[MARK_JSON_MAX_DEPTH];
    unsigned          level;
    mark_span_t       key;
    mark_json_type_t  type;

    level = 0;
    type = MARK_JSON_LITERAL;

value:

    mark_json_space(j);

    if (j->pos == j->last) {
        return mark_json_fail(j, MARK_JSON_SYNTAX);
    }

    switch (*j->pos) {

    case '{':
    case '[':
        if (j->depth + level >= MARK_JSON_MAX_DEPTH) {
            return mark_json_fail(j, MARK_JSON_DEPTH);
        }

        open[level] = *j->pos++;
        base[level] = j->nkeys;
        level++;

        mark_json_space(j);

        /* ']' and '}' are their opening brackets + 2 */

        if (j->pos < j->last && *j->pos == open[level - 1] + 2) {
            goto close;
        }

        if (open[level - 1] == '{') {
            goto key;
        }

        goto value;

    case '"':
        rc = mark_json_string(j);
        type = MARK_JSON_STRING;
        break;

    case 't':
        rc = mark_json_word(j, "true", 4);
        type = MARK_JSON_LITERAL;
        break;

    case 'f':
        rc = mark_json_word(j, "false", 5);
        type = MARK_JSON_LITERAL;
        break;

    case 'n':
        rc = mark_json_word(j, "null", 4);
        type = MARK_JSON_LITERAL;
        break;

    default:
        left = (level && open[level - 1] == '[') ? SIZE_MAX : 1;
        rc = mark_json_numbers(j, &left);
        type = MARK_JSON_NUMBER;
    }

    if (rc != 0) {
        return -1;
    }

next:

    if (level == 0) {
        j->type = type;
        return 0;
    }

    mark_json_space(j);

    if (j->pos == j->last) {
        return mark_json_fail(j, MARK_JSON_SYNTAX);
    }

    if (*j->pos == open[level - 1] + 2) {
        goto close;
    }

    if (*j->pos != ',') {
        return mark_json_fail(j, MARK_JSON_SYNTAX);
    }

    j->pos++;

    if (open[level - 1] == '[') {
        goto value;
    }

key:

    if (mark_json_key(j, &key, base[level - 1]) != 0) {
        return -1;
    }

    goto value;

close:

    j->pos++;
    level--;
    j->nkeys = base[level];
    type = (open[level] == '{') ? MARK_JSON_OBJECT : MARK_JSON_ARRAY;

    goto next;
}


int
mark_json_enter(mark_json_t *j, mark_json_type_t type)
{
    mark_json_space(j);

    if (j->pos == j->last
        || *j->pos != (type == MARK_JSON_OBJECT ? '{' : '['))
    {
        return mark_json_fail(j, MARK_JSON_SYNTAX);
    }

    if (j->depth >= MARK_JSON_MAX_DEPTH) {
        return mark_json_fail(j, MARK_JSON_DEPTH);
    }

    j->pos++;
    j->depth++;

    return 0;
}


int
mark_json_member(mark_json_t *j, mark_span_t *key, int *first, unsigned keys)
{
    mark_json_space(j);

    if (j->pos < j->last && *j->pos == '}') {
        j->pos++;
        j->depth--;
        j->nkeys = keys;
        return 0;
    }

    if (!*first) {
        if (j->pos == j->last || *j->pos != ',') {
            return mark_json_fail(j, MARK_JSON_SYNTAX);
        }

        j->pos++;
    }

    *first = 0;

    return mark_json_key(j, key, keys) == 0 ? 1 : -1;
}


int
mark_json_element(mark_json_t *j, int *first)
{
    mark_json_space(j);

    if (j->pos == j->last) {
        return mark_json_fail(j, MARK_JSON_SYNTAX);
    }

    if (*first) {
        *first = 0;

        if (*j->pos != ']') {
            return 1;
        }

    } else if (*j->pos == ',') {
        j->pos++;
        mark_json_space(j);
        return 1;
    }

    if (*j->pos != ']') {
        return mark_json_fail(j, MARK_JSON_SYNTAX);
    }

    j->pos++;
    j->depth--;

    return 0;
}


static int
mark_json_key(mark_json_t *j, mark_span_t *key, unsigned base)
{
    unsigned  i;

    mark_json_space(j);

    key->data = j->pos;

    if (j->pos == j->last || *j->pos != '"') {
        return mark_json_fail(j, MARK_JSON_SYNTAX);
    }

    if (mark_json_string(j) != 0) {
        return -1;
    }

    key->len = j->pos - key->data;

    for (i = base; i < j->nkeys; i++) {
        if (mark_json_same_key(&j->keys[i], key)) {
            return mark_json_fail(j, MARK_JSON_DUPLICATE);
        }
    }

    if (j->nkeys == MARK_JSON_MAX_KEYS) {
        return mark_json_fail(j, MARK_JSON_COMPLEX);
    }

    j->keys[j->nkeys++] = *key;

    mark_json_space(j);

    if (j->pos == j->last || *j->pos != ':') {
        return mark_json_fail(j, MARK_JSON_SYNTAX);
    }

    j->pos++;

    return 0;
}


const char *
mark_json_strerror(mark_json_error_t error)
{
    switch (error) {
    case MARK_JSON_OK:
        return "no error";
    case MARK_JSON_SYNTAX:
        return "not JSON";
    case MARK_JSON_DEPTH:
        return "nested too deeply";
    case MARK_JSON_UTF8:
        return "a string is not UTF-8";
    case MARK_JSON_DUPLICATE:
        return "an object has a key twice";
    case MARK_JSON_RANGE:
        return "a number out of range";
    case MARK_JSON_COMPLEX:
        return "too many keys";
    }

    return "unknown error";
}
