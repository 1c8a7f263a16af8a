
/*
 * The schema of plans as tables, by which they are read and written, so that
 * neither can forget what the other knows.
 */


#ifndef _MARK_PLAN_SCHEMA_H_INCLUDED_
#define _MARK_PLAN_SCHEMA_H_INCLUDED_


#include <jansson.h>

#include "mark_plan.h"


#define MARK_PLAN_DEPTH   4

/* The most that mark_plan_quote() writes, with the zero. */
#define MARK_PLAN_QUOTED  54


typedef enum {
    MARK_PLAN_FIELD_TEXT = 0,   /* mark_span_t, of min to max bytes */
    MARK_PLAN_FIELD_ADDRESS,    /* mark_span_t */
    MARK_PLAN_FIELD_DOCUMENT,   /* mark_span_t, of jansson's memory */
    MARK_PLAN_FIELD_VERSION,    /* uint64_t, from min to max */
    MARK_PLAN_FIELD_INTEGER,    /* int, from min to max */
    MARK_PLAN_FIELD_NUMBER,     /* double, from min to max */
    MARK_PLAN_FIELD_DELAY,      /* double, the same or MARK_PLAN_AUTO */
    MARK_PLAN_FIELD_FLAG,       /* int, 0 or 1 */
    MARK_PLAN_FIELD_STATE,      /* int, mark_plan_state_t */
    MARK_PLAN_FIELD_OBJECT,     /* begins with int given */
    MARK_PLAN_FIELD_PEERS
} mark_plan_type_t;


typedef struct mark_plan_field_s  mark_plan_field_t;

struct mark_plan_field_s {
    const char               *name;       /* NULL: the last */
    mark_plan_type_t          type;
    int                       required;
    size_t                    offset;
    double                    min;
    double                    max;
    double                    preset;     /* of numbers that are not there */
    const mark_plan_field_t  *members;
};


/* Where in a document reading is: names of members, or NULL and an index. */

typedef struct {
    const char               *name;
    size_t                    index;
} mark_plan_step_t;


typedef struct {
    const mark_plan_limits_t  *limits;
    mark_memory_t             *memory;
    mark_plan_error_t         *error;

    mark_plan_step_t           steps[MARK_PLAN_DEPTH];
    size_t                     depth;
} mark_plan_reader_t;


extern const mark_plan_field_t  mark_plan_fields[];
extern const mark_plan_field_t  mark_plan_peer_fields[];
extern const char *const        mark_plan_states[];


/* Reads the members of an object into a structure. */
mark_plan_status_t mark_plan_read(mark_plan_reader_t *r, const json_t *object,
    const mark_plan_field_t *fields, void *target);

/* One of them, which may be absent. */
mark_plan_status_t mark_plan_read_field(mark_plan_reader_t *r,
    const json_t *object, const mark_plan_field_t *field, void *target);

/* Fails at r's place, and at name in it, unless that is NULL. */
mark_plan_status_t mark_plan_refuse(mark_plan_reader_t *r,
    mark_plan_status_t status, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Fails because the value is not what the field must be. */
mark_plan_status_t mark_plan_refuse_value(mark_plan_reader_t *r,
    const mark_plan_field_t *field, const json_t *value, const char *why);

/* A text in quotes, of which the first 48 bytes are shown. */
void mark_plan_quote(char *buf, const char *text, size_t len);

/* Fails unless the text is JSON and an object.  where: NULL, or its place. */
mark_plan_status_t mark_plan_load(json_t **object, const mark_span_t *text,
    const char *where, mark_plan_error_t *error);

/*
 * Checks an envelope, and its signature if there is a key.  The document is
 * in the memory of the object.
 */
mark_plan_status_t mark_plan_unwrap(mark_plan_reader_t *r,
    const json_t *object, mark_span_t *document);

/* Finds out whether two peers are the same server. */
mark_plan_status_t mark_plan_unique(mark_plan_reader_t *r,
    const mark_plan_t *plan);


#endif /* _MARK_PLAN_SCHEMA_H_INCLUDED_ */
