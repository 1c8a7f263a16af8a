/* Whether an answer is the right one. */

#ifndef CHECK_H
#define CHECK_H


#include "bodies.h"


typedef enum {
    ANSWER_OK = 0,
    ANSWER_WRONG,
    ANSWER_ALLOWED,            /* another status that --expect-status lists */
    ANSWER_STATUS              /* a status that is an error */
} answer_e;


typedef struct {
    unsigned   status;
    buffer_t   body;
} reference_t;


typedef struct {
    const options_t  *options;
    template_t        expect;
    reference_t      *reference;       /* one for each body, or NULL */
    int               needs_body;
    unsigned          told;            /* wrong answers shown */
    buffer_t          wanted;          /* expect for one request */
} check_t;


void check_init(check_t *c, const options_t *o);

/* index is that of the body; tells the first few wrong answers to stderr */
answer_e check_answer(check_t *c, const digits_t *number, unsigned index,
    unsigned status, const buffer_t *answer);


#endif /* CHECK_H */
