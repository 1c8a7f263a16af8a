/*
 * The HTTP side of mark-server.
 */


#ifndef _MARK_SERVER_HTTP_H_INCLUDED_
#define _MARK_SERVER_HTTP_H_INCLUDED_


#include <stddef.h>


typedef struct {
    int         fd;                   /* a listening socket, which it takes */
    unsigned    connections;          /* at most */
    size_t      max_body;
    int         verbose;
} http_conf_t;


/* Serves from its own thread; 0 or -1. */
int http_start(const http_conf_t *conf);

/*
 * Takes no more connections, waits for the requests under way, and closes.
 * A client that is still sending its body is waited for a few seconds only.
 */
void http_stop(void);


#endif /* _MARK_SERVER_HTTP_H_INCLUDED_ */
