
/*
 * Scalars of which more matters than that they are JSON: long lists of one
 * kind, integers of a range, counts.
 */


#include "mark_json.h"
#include "mark_json_token.h"


static int mark_json_scalar(mark_json_t *j, const mark_json_scalar_t *scalar,
    size_t *n);
static int mark_json_integer(mark_json_t *j,
    const mark_json_scalar_t *scalar);
static int mark_json_digits(mark_json_t *j, uint64_t *value);


/* Most lists are printed without white space, or with one blank. */

#define mark_json_pass_space(j)                                               \
    if ((j)->pos < (j)->last && *(j)->pos <= ' ') {                           \
        mark_json_space(j);                                                   \
    }


#define mark_json_is_numeric(c)                                               \
    ((uint8_t) ((c) - '0') <= 9 || (c) == '-')


int
mark_json_scalars(mark_json_t *j, const mark_json_scalar_t *scalar, size_t n)
{
    int  rc;

    for ( ;; ) {

        mark_json_pass_space(j);

        if (j->pos == j->last) {
            return mark_json_fail(j, MARK_JSON_SYNTAX);
        }

        rc = mark_json_scalar(j, scalar, &n);

        if (rc != 1 || n == 0) {
            return rc;
        }

        mark_json_pass_space(j);

        if (j->pos == j->last) {
            return mark_json_fail(j, MARK_JSON_SYNTAX);
        }

        if (*j->pos != ',') {
            return 0;
        }

        j->pos++;
    }
}


/* One scalar, or several numbers; n is how many are still to come. */

static int
mark_json_scalar(mark_json_t *j, const mark_json_scalar_t *scalar, size_t *n)
{
    int      rc;
    uint8_t  c;

    c = *j->pos;

    if (scalar->kind == MARK_JSON_NUMBERS
        && !mark_json_is_numeric(c) && c != 'N' && c != 'I')
    {
        return 0;
    }

    if (scalar->kind == MARK_JSON_NUMBERS
        || (scalar->kind == MARK_JSON_ANY && mark_json_is_numeric(c)))
    {
        return mark_json_numbers(j, n) == 0 ? 1 : -1;
    }

    --*n;

    switch (scalar->kind) {

    case MARK_JSON_NONE:
        return 0;

    case MARK_JSON_ANY:
        if (c == '[' || c == '{' || c == ']') {
            return 0;
        }

        rc = mark_json_skip(j);
        break;

    case MARK_JSON_INTEGERS:
        return mark_json_integer(j, scalar);

    case MARK_JSON_BOOLEANS:
        if (c == 't') {
            rc = mark_json_word(j, "true", 4);

        } else if (c == 'f') {
            rc = mark_json_word(j, "false", 5);

        } else {
            return 0;
        }

        break;

    default: /* MARK_JSON_STRINGS */
        if (c != '"') {
            return 0;
        }

        rc = mark_json_string(j);
    }

    return rc == 0 ? 1 : -1;
}


static int
mark_json_integer(mark_json_t *j, const mark_json_scalar_t *scalar)
{
    int       minus;
    uint64_t  value;

    minus = (*j->pos == '-');
    j->pos += minus;

    if (mark_json_digits(j, &value) != 1) {
        return 0;
    }

    if (minus) {
        return value != 0 && value <= scalar->min;
    }

    return value <= scalar->max;
}


int
mark_json_unsigned(mark_json_t *j, uint64_t *value)
{
    mark_json_space(j);

    if (j->pos == j->last) {
        return mark_json_fail(j, MARK_JSON_SYNTAX);
    }

    return mark_json_digits(j, value);
}


static int
mark_json_digits(mark_json_t *j, uint64_t *value)
{
    uint8_t         digit;
    uint64_t        v;
    const uint8_t  *p;

    v = 0;

    for (p = j->pos; p < j->last; p++) {
        digit = *p - '0';

        if (digit > 9) {
            break;
        }

        if (v >= UINT64_MAX / 10
            && (v > UINT64_MAX / 10 || digit > UINT64_MAX % 10))
        {
            return 0;
        }

        v = v * 10 + digit;
    }

    if (p == j->pos || (*j->pos == '0' && p - j->pos > 1)) {
        return 0;
    }

    if (p < j->last && (*p == '.' || *p == 'e' || *p == 'E')) {
        return 0;
    }

    j->pos = p;
    *value = v;

    return 1;
}
