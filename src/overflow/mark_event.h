
/*
 * The event format 2.0 of API Gateway and of function URLs: an HTTP request
 * as one JSON document, as a Lambda function made for them takes it, and the
 * document {"statusCode", "headers", "body", "isBase64Encoded"} with which it
 * answers.
 */


#ifndef _MARK_EVENT_H_INCLUDED_
#define _MARK_EVENT_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "mark_codec.h"


/* Headers of an answer; more than these are refused. */
#define MARK_EVENT_HEADERS  64


typedef struct {
    mark_span_t           name;
    mark_span_t           value;
} mark_event_header_t;


typedef struct {
    mark_span_t           method;
    mark_span_t           path;       /* as it was sent, escapes and all */
    mark_span_t           query;      /* without its question mark */
    mark_span_t           protocol;
    mark_span_t           source_ip;
    mark_span_t           user_agent;
    mark_span_t           domain;
    mark_span_t           id;
    uint64_t              time;       /* msec since the epoch */

    mark_event_header_t  *headers;    /* of one name: behind one another */
    size_t                nheaders;

    mark_span_t           body;
    mark_span_t           type;       /* its Content-Type */
} mark_event_request_t;


typedef struct {
    unsigned              status;
    mark_event_header_t   headers[MARK_EVENT_HEADERS];
    size_t                nheaders;   /* a cookie is a Set-Cookie header */
    mark_span_t           body;
} mark_event_answer_t;


/*
 * Writes the event of a request to p and returns its length; with p NULL it
 * only measures.  The body becomes a JSON string if its type says that it is
 * text and it is UTF-8, and base64 otherwise.
 */
size_t mark_event_write(uint8_t *p, const mark_event_request_t *request);

/*
 * Takes a function's answer apart.  What is not made of statusCode is, as the
 * format has it, the body of a 200 in JSON.  Spans point into data and memory.
 * MARK_CODEC_OK, _INVALID, or _MEMORY.
 */
mark_codec_status_t mark_event_read(mark_event_answer_t *answer,
    const uint8_t *data, size_t len, mark_memory_t *memory);

/*
 * Finds a string member of an object: its text as it stands between its
 * quotes, escapes and all, so that it can be put into another string.
 * Returns 0, or -1 if there is none or data is not JSON.
 */
int mark_event_string(const uint8_t *data, size_t len, const char *name,
    mark_span_t *text);


#endif /* _MARK_EVENT_H_INCLUDED_ */
