
/*
 * Numbers of JSON, eight bytes at a time: most of what models are sent is
 * lists of them.
 */


#include "mark_json.h"
#include "mark_json_token.h"


static inline const uint8_t *mark_json_pass_number(mark_json_t *j,
    const uint8_t *p);
static inline uint64_t mark_json_others(uint64_t w);
static inline const uint8_t *mark_json_digits(const uint8_t *p,
    const uint8_t *last);
static const uint8_t *mark_json_exponent(mark_json_t *j, const uint8_t *p,
    size_t digits);
static const uint8_t *mark_json_not_finite(mark_json_t *j, const uint8_t *p,
    int minus);


/* Tensors are long: from one number to the next it takes registers only. */

int
mark_json_numbers(mark_json_t *j, size_t *n)
{
    size_t          left;
    const uint8_t  *p, *last;

    left = *n;

    p = j->pos;
    last = j->last;

    for ( ;; ) {
        p = mark_json_pass_number(j, p);

        if (p == NULL) {
            return -1;
        }

        j->pos = p;

        if (--left == 0) {
            break;
        }

        p = mark_json_blank(p, last);

        if (p == last || *p != ',') {
            break;
        }

        p = mark_json_blank(p + 1, last);

        if (p == last || (!mark_json_is_digit(*p) && *p != '-')) {
            break;
        }
    }

    *n = left;

    return 0;
}


/*
 * A number is out of range when its decimal exponent, counted from its first
 * digit, leaves what a double holds: some parsers then fail, others read
 * Infinity or zero.
 *
 * Returns where it ends, or NULL with error set.
 */

static inline const uint8_t *
mark_json_pass_number(mark_json_t *j, const uint8_t *p)
{
    int             minus;
    size_t          digits;
    uint64_t        w, others;
    const uint8_t  *last, *start;

    last = j->last;

    if (last - p >= 8) {

        /*
         * A sign comes as it likes, so there is no branch for it, and with
         * one there are seven bytes behind it.
         */

        w = mark_json_load(p);
        minus = ((uint8_t) w == '-');
        others = mark_json_others(w >> 8 * minus);
        digits = mark_json_zeros(others | 1ULL << 63);

        start = p + minus;
        p = start + digits;

        if (digits == 7) {
            p = mark_json_digits(p, last);
        }

    } else {
        minus = (*p == '-');
        start = p + minus;
        p = mark_json_digits(start, last);
    }

    digits = p - start;

    if (digits == 0) {
        return mark_json_not_finite(j, start, minus);
    }

    /* nothing may follow a zero: the next digit is no part of the number */

    if (*start == '0' && digits > 1) {
        return start + 1;
    }

    if (p < last && *p == '.') {
        start = ++p;
        p = mark_json_digits(p, last);

        if (p == start) {
            mark_json_fail(j, MARK_JSON_SYNTAX);
            return NULL;
        }
    }

    if (p < last && (*p | 0x20) == 'e') {
        return mark_json_exponent(j, p + 1, digits);
    }

    if (digits > 308) {
        mark_json_fail(j, MARK_JSON_RANGE);
        return NULL;
    }

    return p;
}


/*
 * Sets the top bit of each byte that is no digit.  Digits are 0 to 9 when '0'
 * is taken off them, and the sum carries into that bit from 10 on; it may
 * carry into the byte above as well, which does not matter to the first.
 */

static inline uint64_t
mark_json_others(uint64_t w)
{
    w ^= MARK_JSON_ONES * '0';

    return (w | (w + MARK_JSON_ONES * 0x76)) & MARK_JSON_TOPS;
}


static inline const uint8_t *
mark_json_digits(const uint8_t *p, const uint8_t *last)
{
    uint64_t  others;

    while (last - p >= 8) {
        others = mark_json_others(mark_json_load(p));

        if (others) {
            return p + mark_json_zeros(others);
        }

        p += 8;
    }

    while (p < last && mark_json_is_digit(*p)) {
        p++;
    }

    return p;
}


/* The rest of a number that has an exponent, behind its 'e'. */

static const uint8_t *
mark_json_exponent(mark_json_t *j, const uint8_t *p, size_t digits)
{
    int             minus;
    long            exponent;
    const uint8_t  *start;

    minus = 0;
    exponent = 0;

    if (p < j->last && (*p == '+' || *p == '-')) {
        minus = (*p == '-');
        p++;
    }

    start = p;

    while (p < j->last && mark_json_is_digit(*p)) {
        if (exponent < 100000) {
            exponent = exponent * 10 + (*p - '0');
        }

        p++;
    }

    if (p == start) {
        mark_json_fail(j, MARK_JSON_SYNTAX);
        return NULL;
    }

    if (minus) {
        exponent = -exponent;
    }

    if ((long) digits + exponent > 308 || exponent < -307) {
        mark_json_fail(j, MARK_JSON_RANGE);
        return NULL;
    }

    return p;
}


static const uint8_t *
mark_json_not_finite(mark_json_t *j, const uint8_t *p, int minus)
{
    int  rc;

    j->pos = p;
    j->lax = 1;

    if (p < j->last && *p == 'I') {
        rc = mark_json_word(j, "Infinity", 8);

    } else if (p < j->last && *p == 'N' && !minus) {
        rc = mark_json_word(j, "NaN", 3);

    } else {
        rc = mark_json_fail(j, MARK_JSON_SYNTAX);
    }

    return rc == 0 ? j->pos : NULL;
}
