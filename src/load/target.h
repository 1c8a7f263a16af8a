/* Where requests go: a URL and its address. */

#ifndef TARGET_H
#define TARGET_H


#include <sys/socket.h>


typedef struct {
    char                    *authority;    /* as in Host */
    char                    *path;         /* with the query, may hold %u */
    struct sockaddr_storage  address;
    socklen_t                address_len;
} target_t;


/* Looks the name up, IPv4 first; NULL or what is wrong with the URL. */
const char *target_init(target_t *t, const char *url);


#endif /* TARGET_H */
