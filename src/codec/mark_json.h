
/*
 * A strict JSON scanner over bytes in memory: it validates a value and moves
 * past it, and never copies, decodes or re-prints anything.
 */


#ifndef _MARK_JSON_H_INCLUDED_
#define _MARK_JSON_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


/*
 * Deeper nesting than this is refused: recursive parsers, of which model
 * servers have many, overflow their stack somewhere above it.
 */
#define MARK_JSON_MAX_DEPTH    64

/* Keys of all objects open at one time; more are refused as too complex. */
#define MARK_JSON_MAX_KEYS     512


typedef enum {
    MARK_JSON_OK = 0,
    MARK_JSON_SYNTAX,         /* not JSON */
    MARK_JSON_DEPTH,          /* nested deeper than MARK_JSON_MAX_DEPTH */
    MARK_JSON_UTF8,           /* a string is not UTF-8, or a lone surrogate */
    MARK_JSON_DUPLICATE,      /* an object has the same key twice */
    MARK_JSON_RANGE,          /* a number that a double may not hold */
    MARK_JSON_COMPLEX         /* more than MARK_JSON_MAX_KEYS keys open */
} mark_json_error_t;


typedef enum {
    MARK_JSON_OBJECT = 1,
    MARK_JSON_ARRAY,
    MARK_JSON_STRING,
    MARK_JSON_NUMBER,
    MARK_JSON_LITERAL         /* true, false, null */
} mark_json_type_t;


typedef struct {
    const uint8_t       *data;
    size_t               len;
} mark_span_t;


/* A kind of scalar, finer than the types are. */

typedef enum {
    MARK_JSON_NONE = 0,
    MARK_JSON_ANY,
    MARK_JSON_NUMBERS,
    MARK_JSON_INTEGERS,       /* no fraction, no exponent, no -0 */
    MARK_JSON_BOOLEANS,
    MARK_JSON_STRINGS
} mark_json_kind_t;


typedef struct {
    mark_json_kind_t     kind;

    /* of integers: the highest, and the lowest without its minus */

    uint64_t             max;
    uint64_t             min;
} mark_json_scalar_t;


typedef struct {
    const uint8_t       *pos;         /* next byte to read */
    const uint8_t       *last;        /* first byte after the text */

    mark_json_error_t    error;       /* why the last call failed */
    mark_json_type_t     type;        /* of the last value passed */
    unsigned             lax:1;       /* NaN, Infinity or -Infinity was seen */

    unsigned             depth;       /* containers open */
    unsigned             nkeys;       /* keys on the stack below */
    mark_span_t          keys[MARK_JSON_MAX_KEYS];
} mark_json_t;


/* Starts scanning len bytes at data; the bytes must outlive the scanner. */
void mark_json_init(mark_json_t *j, const void *data, size_t len);

/* Moves pos past white space. */
void mark_json_space(mark_json_t *j);

/*
 * Validates the value at pos (leading white space allowed) and moves pos to
 * the byte after it.  On success returns 0 and sets type; otherwise returns
 * -1 and sets error.  NaN, Infinity and -Infinity pass as numbers, as
 * TensorFlow Serving and Python write them, and set lax.
 */
int mark_json_skip(mark_json_t *j);

/*
 * Walks a container by hand, for callers that want its members.
 *
 * _enter() passes the opening '{' or '['.  _member() of an object passes the
 * next key and its colon and stands before the value; span is the key with
 * its quotes.  _element() of an array stands before the next element.  Both
 * return 1 when there is one (the caller then passes it with
 * mark_json_skip() or enters it), 0 when the container has ended (and pos is
 * after its closing bracket), -1 on error.
 *
 * first is the caller's own state: set to 1 before the first call.  keys is
 * also the caller's: the value of j->nkeys at entry; duplicates are found
 * among the keys above it.
 */
int mark_json_enter(mark_json_t *j, mark_json_type_t type);
int mark_json_member(mark_json_t *j, mark_span_t *key, int *first,
    unsigned keys);
int mark_json_element(mark_json_t *j, int *first);

/*
 * Passes n scalars of one kind, n >= 1, and the commas between them; for long
 * lists, where _element() is called once, before the first.  Returns 1 when
 * all were there, 0 when something else was (or nothing more, and pos is
 * about there), -1 on error.
 */
int mark_json_scalars(mark_json_t *j, const mark_json_scalar_t *scalar,
    size_t n);

/*
 * Passes a number made of digits only, leading white space allowed.  Returns
 * 1 and its value; 0 when something else is there or it takes more than 64
 * bits; -1 on error.
 */
int mark_json_unsigned(mark_json_t *j, uint64_t *value);

/* Passes trailing white space; returns 0 if that was all there is. */
int mark_json_end(mark_json_t *j);

/* Tells whether a key or string (with its quotes) spells the ASCII name. */
int mark_json_key_is(const mark_span_t *key, const char *name);

/* A few words that say what the error is, for logs. */
const char *mark_json_strerror(mark_json_error_t error);


#endif /* _MARK_JSON_H_INCLUDED_ */
