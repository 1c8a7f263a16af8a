/*
 * Tensors as JSON text: straight from bytes to floats and back.
 */


#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor.h"


#define tensor_digit(c)    ((unsigned) ((c) - '0') < 10)


/* The powers of ten that a double holds exactly. */

static const double  tensor_p10[] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22
};


static const char *
tensor_space(const char *p, const char *last)
{
    while (p < last
           && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
    {
        p++;
    }

    return p;
}


/* NaN, Infinity, and -Infinity; p is after the sign. */

static const char *
tensor_special(const char *p, const char *last, int minus, float *value)
{
    if (last - p >= 8 && memcmp(p, "Infinity", 8) == 0) {
        *value = minus ? -INFINITY : INFINITY;
        return p + 8;
    }

    if (!minus && last - p >= 3 && memcmp(p, "NaN", 3) == 0) {
        *value = NAN;
        return p + 3;
    }

    return NULL;
}


/*
 * Makes a float of m * 10^e by one correctly rounded operation on doubles,
 * or returns -1 where that would not give the nearest float: the inputs are
 * not exact, the double lies midway between two floats (then the digits that
 * the double lost decide), or the float is subnormal or too large.
 */

static int
tensor_exact(uint64_t m, int e, int minus, float *value)
{
    double    d;
    uint64_t  bits;

    if (m > ((uint64_t) 1 << 53) || e < -22 || e > 22) {
        return -1;
    }

    d = (double) m;
    d = e < 0 ? d / tensor_p10[-e] : d * tensor_p10[e];

    memcpy(&bits, &d, sizeof(double));

    if (m != 0
        && ((bits & 0x1fffffff) == 0x10000000
            || d < FLT_MIN || d > FLT_MAX))
    {
        return -1;
    }

    *value = (float) (minus ? -d : d);

    return 0;
}


static const char *
tensor_number(const char *p, const char *last, float *value,
    tensor_read_pt read, tensor_error_t *error)
{
    int          e, minus, small, power;
    uint64_t     m;
    const char  *start, *digits, *point;

    *error = TENSOR_SYNTAX;

    start = p;
    minus = (p < last && *p == '-');
    p += minus;

    if (p == last) {
        return NULL;
    }

    if (!tensor_digit(*p)) {
        return tensor_special(p, last, minus, value);
    }

    m = 0;
    digits = p;
    point = NULL;

    while (p < last && tensor_digit(*p)) {
        m = m * 10 + (*p++ - '0');
    }

    if (*digits == '0' && p - digits > 1) {
        return NULL;
    }

    e = 0;

    if (p < last && *p == '.') {
        point = ++p;

        while (p < last && tensor_digit(*p)) {
            m = m * 10 + (*p++ - '0');
        }

        if (p == point) {
            return NULL;
        }

        e = -(int) (p - point);
    }

    /* m has overflown if there were too many digits: leading zeros do not
     * matter here, the slow reading is as right */

    if (p - digits > 19) {
        e = -1000;
    }

    if (p < last && (*p == 'e' || *p == 'E')) {
        p++;
        small = 0;

        if (p < last && (*p == '+' || *p == '-')) {
            small = (*p++ == '-');
        }

        if (p == last || !tensor_digit(*p)) {
            return NULL;
        }

        for (power = 0; p < last && tensor_digit(*p); p++) {
            if (power < 1000) {
                power = power * 10 + (*p - '0');
            }
        }

        if (e > -1000) {
            e += small ? -power : power;
        }
    }

    if (tensor_exact(m, e, minus, value) == 0) {
        return p;
    }

    if (read(start, p, value) == 0) {
        return p;
    }

    *error = TENSOR_RANGE;

    return NULL;
}


const char *
tensor_parse(tensor_t *t, const char *p, const char *last,
    tensor_read_pt read, tensor_error_t *error)
{
    int      depth, leaf, i;
    int64_t  count[TENSOR_MAX_DIMS];

    p = tensor_space(p, last);

    if (p == last || *p != '[') {
        *error = TENSOR_TYPE;
        return NULL;
    }

    /* a number and its comma take two bytes at least */

    t->len = 0;
    t->data = malloc(((last - p) / 2 + 1) * sizeof(float));

    if (t->data == NULL) {
        *error = TENSOR_MEMORY;
        return NULL;
    }

    leaf = -1;
    depth = 0;

    for (i = 0; i < TENSOR_MAX_DIMS; i++) {
        t->dims[i] = -1;
    }

    for ( ;; ) {

        /* a value begins */

        p = tensor_space(p, last);

        if (p == last) {
            *error = TENSOR_SYNTAX;
            goto failed;
        }

        if (*p == '[') {

            if (depth == leaf) {
                *error = TENSOR_RAGGED;
                goto failed;
            }

            if (depth == TENSOR_MAX_DIMS) {
                *error = TENSOR_DEPTH;
                goto failed;
            }

            count[depth++] = 0;
            p = tensor_space(p + 1, last);

            if (p < last && *p == ']') {
                *error = TENSOR_EMPTY;
                goto failed;
            }

            continue;
        }

        if (*p == '"' || *p == '{' || *p == 't' || *p == 'f' || *p == 'n') {
            *error = TENSOR_TYPE;
            goto failed;
        }

        if (leaf != depth) {
            if (leaf != -1) {
                *error = TENSOR_RAGGED;
                goto failed;
            }

            leaf = depth;
        }

        p = tensor_number(p, last, &t->data[t->len], read, error);

        if (p == NULL) {
            goto failed;
        }

        t->len++;

        /* a value has ended, and so may have the arrays around it */

        for ( ;; ) {
            count[depth - 1]++;

            p = tensor_space(p, last);

            if (p == last || (*p != ',' && *p != ']')) {
                *error = TENSOR_SYNTAX;
                goto failed;
            }

            if (*p++ == ',') {
                break;
            }

            depth--;

            if (t->dims[depth] == -1) {
                t->dims[depth] = count[depth];

            } else if (t->dims[depth] != count[depth]) {
                *error = TENSOR_RAGGED;
                goto failed;
            }

            if (depth == 0) {
                t->ndims = leaf;
                *error = TENSOR_OK;
                return p;
            }
        }
    }

failed:

    free(t->data);
    t->data = NULL;

    return NULL;
}


/* With a point or an exponent, so that a float is seen to be a float. */

static char *
tensor_print_float(float value, char *p, tensor_write_pt write)
{
    size_t  i, n;

    if (isnan(value)) {
        return (char *) memcpy(p, "NaN", 3) + 3;
    }

    if (isinf(value)) {
        if (value < 0) {
            *p++ = '-';
        }

        return (char *) memcpy(p, "Infinity", 8) + 8;
    }

    n = write(value, p);

    for (i = 0; i < n; i++) {
        if (p[i] == '.' || p[i] == 'e') {
            return p + n;
        }
    }

    p += n;
    *p++ = '.';
    *p++ = '0';

    return p;
}


static char *
tensor_print_dim(const tensor_t *t, int dim, const float **v, char *p,
    tensor_write_pt write)
{
    int64_t  i;

    if (dim == t->ndims) {
        return tensor_print_float(*(*v)++, p, write);
    }

    *p++ = '[';

    for (i = 0; i < t->dims[dim]; i++) {
        if (i) {
            *p++ = ',';
        }

        if (dim + 1 == t->ndims) {
            p = tensor_print_float(*(*v)++, p, write);

        } else {
            p = tensor_print_dim(t, dim + 1, v, p, write);
        }
    }

    *p++ = ']';

    return p;
}


char *
tensor_print(const tensor_t *t, char *p, tensor_write_pt write)
{
    const float  *v;

    v = t->data;

    return tensor_print_dim(t, 0, &v, p, write);
}


size_t
tensor_text_len(const tensor_t *t)
{
    int     i;
    size_t  arrays, brackets;

    /* the floats, then all arrays of every depth with their commas */

    arrays = 1;
    brackets = 0;

    for (i = 0; i < t->ndims; i++) {
        brackets += arrays * 3;
        arrays *= t->dims[i];
    }

    return t->len * TENSOR_FLOAT_LEN + brackets + 2 * TENSOR_FLOAT_LEN;
}


const char *
tensor_shape(const int64_t *dims, int ndims, char *buf)
{
    int   i;
    char *p;

    p = buf;
    *p++ = '[';

    for (i = 0; i < ndims; i++) {
        p += sprintf(p, "%s%lld", i ? "," : "", (long long) dims[i]);
    }

    *p++ = ']';
    *p = '\0';

    return buf;
}


const char *
tensor_strerror(tensor_error_t error)
{
    switch (error) {

    case TENSOR_OK:
        return "no error";

    case TENSOR_SYNTAX:
        return "is not JSON";

    case TENSOR_TYPE:
        return "must be an array of numbers or of arrays of numbers";

    case TENSOR_RAGGED:
        return "must have rows of one shape";

    case TENSOR_EMPTY:
        return "must not have empty arrays";

    case TENSOR_DEPTH:
        return "is nested too deep";

    case TENSOR_RANGE:
        return "has a number that float32 does not hold";

    case TENSOR_MEMORY:
        return "does not fit into memory";
    }

    return "is wrong";
}
