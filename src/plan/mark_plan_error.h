
/* What came of reading, checking or signing a plan, and why. */


#ifndef _MARK_PLAN_ERROR_H_INCLUDED_
#define _MARK_PLAN_ERROR_H_INCLUDED_


typedef enum {
    MARK_PLAN_OK = 0,
    MARK_PLAN_UNCHANGED,      /* the current plan once more */
    MARK_PLAN_SYNTAX,         /* not JSON, or too long */
    MARK_PLAN_SCHEMA,         /* JSON, but not a plan */
    MARK_PLAN_SIGNATURE,      /* none, another key's, or a wrong one */
    MARK_PLAN_POOL,           /* of another pool */
    MARK_PLAN_EXPIRED,
    MARK_PLAN_STALE,          /* older than the current one */
    MARK_PLAN_MEMORY          /* none left */
} mark_plan_status_t;


/* One line of UTF-8 for a log, with room for the longest. */

typedef struct {
    mark_plan_status_t  status;
    char                text[512];
} mark_plan_error_t;


/* As a word: "syntax", "schema" and so on. */
const char *mark_plan_status_name(mark_plan_status_t status);

/* Sets error and returns its status. */
mark_plan_status_t mark_plan_fail(mark_plan_error_t *error,
    mark_plan_status_t status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));


#endif /* _MARK_PLAN_ERROR_H_INCLUDED_ */
