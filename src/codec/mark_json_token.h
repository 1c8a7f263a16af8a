
/* What the parts of the JSON scanner share; nobody else includes it. */


#ifndef _MARK_JSON_TOKEN_H_INCLUDED_
#define _MARK_JSON_TOKEN_H_INCLUDED_


#include <string.h>

#include "mark_json.h"


#define mark_json_is_digit(c)  ((uint8_t) ((c) - '0') <= 9)

#define MARK_JSON_ONES  0x0101010101010101ULL
#define MARK_JSON_TOPS  0x8080808080808080ULL


/* Each passes one token at pos: 0, or -1 with error set. */
int mark_json_string(mark_json_t *j);
int mark_json_word(mark_json_t *j, const char *word, size_t len);

/*
 * The same for a number and, of an array, those that follow it, n at most: pos
 * is then behind the last of them, and n is how many more there could have
 * been.
 */
int mark_json_numbers(mark_json_t *j, size_t *n);

/* Tells whether two validated keys, with their quotes, are one key. */
int mark_json_same_key(const mark_span_t *a, const mark_span_t *b);


/* The next eight bytes, the first one lowest. */

static inline uint64_t
mark_json_load(const uint8_t *p)
{
    uint64_t  w;

    memcpy(&w, p, 8);

#if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
    w = __builtin_bswap64(w);
#endif

    return w;
}


/* How many whole bytes of zeros it begins with; w is not zero. */

static inline size_t
mark_json_zeros(uint64_t w)
{
    return (unsigned) __builtin_ctzll(w) >> 3;
}


/*
 * The first byte that is no white space.  Most often that is at once, or
 * behind one blank; where an answer is indented there are long runs of them.
 */

static inline const uint8_t *
mark_json_blank(const uint8_t *p, const uint8_t *last)
{
    uint64_t  w;

    while (p < last && *p <= ' ') {

        if (*p != ' ') {
            if (*p != '\n' && *p != '\r' && *p != '\t') {
                break;
            }

            p++;
            continue;
        }

        p++;

        while (last - p >= 8 && *p == ' ') {
            w = mark_json_load(p) ^ (MARK_JSON_ONES * ' ');

            if (w) {
                p += mark_json_zeros(w);
                break;
            }

            p += 8;
        }
    }

    return p;
}


static inline int
mark_json_fail(mark_json_t *j, mark_json_error_t error)
{
    j->error = error;
    return -1;
}


#endif /* _MARK_JSON_TOKEN_H_INCLUDED_ */
