/* What a request looks like on the wire. */

#ifndef MESSAGE_H
#define MESSAGE_H


#include "bodies.h"
#include "target.h"


typedef struct {
    char            *name;     /* as given */
    size_t           name_len;
    template_t       value;
} field_t;


typedef struct {
    const char      *method;
    template_t       path;
    template_t       authority;
    field_t         *fields;   /* all but Host and Content-Length */
    unsigned         field_count;
    unsigned         defaults; /* the first of them, a user may replace */
    template_t       head;     /* HTTP/1.1, but for Content-Length */
    int              has_length;
    int              fixed;    /* no %u outside of the body */
} message_t;


void message_init(message_t *m, const options_t *o, const target_t *t);

/* Makes the HTTP/1.1 messages of all bodies without %u once for all. */
void message_fix(const message_t *m, bodies_t *bodies);

/* Appends a whole HTTP/1.1 message; returns the length of its head. */
size_t message_append(const message_t *m, const body_t *body,
    const digits_t *number, buffer_t *out);


#endif /* MESSAGE_H */
