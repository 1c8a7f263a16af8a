
/*
 * The envelope in which API Gateway's HTTP APIs and function URLs put an
 * HTTP request, version 2.0 of its format, and that of the answer.
 */


#ifndef _MARK_LAMBDA_EVENT_H_INCLUDED_
#define _MARK_LAMBDA_EVENT_H_INCLUDED_


#include <stddef.h>


typedef struct {
    char       *method;
    char       *path;                 /* decoded, without the stage */
    char       *body;
    size_t      len;
} event_t;


/*
 * Reads the envelope: 0, or -1 with a text in *err and nothing allocated.
 * What is no base64 although the event says so has no body: NULL.
 */
int event_read(event_t *e, const char *payload, size_t len, const char **err);

void event_free(event_t *e);

/*
 * Makes the envelope of an answer, to be freed; allow may be NULL.  The text
 * is UTF-8, as all that mark-server answers is.  NULL if there is no memory.
 */
char *event_answer(int status, const char *type, const char *allow,
    const char *text, size_t len, size_t *size);


#endif /* _MARK_LAMBDA_EVENT_H_INCLUDED_ */
