/* Where requests go: a URL and its address. */

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "target.h"


static const char *look_up(target_t *t, const char *host, const char *port);


const char *
target_init(target_t *t, const char *url)
{
    char        *host, *colon, *port, *copy;
    size_t       len;
    const char  *error;

    if (strncmp(url, "http://", 7) != 0) {
        return "the URL must begin with http://";
    }

    url += 7;
    len = strcspn(url, "/?#");

    if (len == 0) {
        return "the URL has no host";
    }

    if (strcspn(url, " \t\r\n#") != strlen(url)) {
        return "the URL has a blank or a fragment";
    }

    t->authority = strndup(url, len);
    t->path = allocate(strlen(url + len) + 2);

    sprintf(t->path, "%s%s", url[len] == '/' ? "" : "/", url + len);

    copy = strdup(t->authority);
    host = copy;
    port = "80";

    if (*host == '[') {
        host++;
        colon = strchr(host, ']');

        if (colon == NULL) {
            free(copy);
            return "the URL has no ] after its address";
        }

        *colon++ = '\0';

    } else {
        colon = host + strcspn(host, ":");
    }

    if (*colon == ':') {
        *colon = '\0';
        port = colon + 1;
    }

    if (strspn(port, "0123456789") != strlen(port) || atoi(port) < 1
        || atoi(port) > 65535)
    {
        error = "the URL has a bad port";

    } else {
        error = look_up(t, host, port);
    }

    free(copy);

    return error;
}


static const char *
look_up(target_t *t, const char *host, const char *port)
{
    int               rc;
    struct addrinfo   hints, *list, *ai;

    memset(&hints, 0, sizeof(hints));
    hints.ai_socktype = SOCK_STREAM;

    rc = getaddrinfo(host, port, &hints, &list);
    if (rc != 0) {
        return gai_strerror(rc);
    }

    for (ai = list; ai && ai->ai_family != AF_INET; ai = ai->ai_next) {
        /* void */
    }

    if (ai == NULL) {
        ai = list;
    }

    memcpy(&t->address, ai->ai_addr, ai->ai_addrlen);
    t->address_len = ai->ai_addrlen;

    freeaddrinfo(list);

    return NULL;
}
