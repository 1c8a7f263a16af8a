
/* An HTTP/1.1 response parser that does no I/O: bytes in, body pieces out. */

#ifndef MARK_HTTP_RESPONSE_H
#define MARK_HTTP_RESPONSE_H


#include <stddef.h>
#include <stdint.h>


#define MARK_HTTP_LINE_MAX  8192
#define MARK_HTTP_HEAD_MAX  65536


typedef enum {
    MARK_HTTP_AGAIN = 0,       /* all input is used up, more is needed */
    MARK_HTTP_BODY,            /* piece and piece_len hold a piece of body */
    MARK_HTTP_DONE,            /* the response is complete */
    MARK_HTTP_ERROR            /* error says why; the connection is lost */
} mark_http_rc_e;


typedef struct {
    unsigned     state;
    unsigned     status;       /* of the final response, 1xx are skipped */
    unsigned     no_body:1;    /* the request was HEAD */
    unsigned     keep_alive:1;
    unsigned     chunked:1;
    unsigned     has_length:1;
    unsigned     head:1;       /* it is complete: status and all that */

    uint64_t     length;       /* Content-Length */
    uint64_t     left;         /* of the body or of the chunk */

    const char  *piece;        /* points into the caller's input */
    size_t       piece_len;

    const char  *error;

    size_t       head_len;     /* bytes of status line, headers, trailers */
    size_t       line_len;     /* of the line that is not yet complete */
    char         line[MARK_HTTP_LINE_MAX];
} mark_http_response_t;


/* Prepares for one response; no_body is true if it answers HEAD. */
void mark_http_response_init(mark_http_response_t *r, int no_body);

/*
 * Goes on with the bytes from *pos to end and moves *pos over what it used.
 * Call it again after MARK_HTTP_BODY.  What is left in front of end after
 * MARK_HTTP_DONE does not belong to this response.  However the bytes are cut
 * into calls, the results are the same but for how the body is cut.
 */
mark_http_rc_e mark_http_response_parse(mark_http_response_t *r,
    const char **pos, const char *end);

/* The server closed: MARK_HTTP_DONE if this is how the body ends. */
mark_http_rc_e mark_http_response_eof(mark_http_response_t *r);


#endif /* MARK_HTTP_RESPONSE_H */
