
/*
 * Addresses of servers, by their syntax alone: "10.0.0.7:8501",
 * "host.name:8501", "[::1]:8501", "unix:/path".  No name is resolved.
 */


#ifndef _MARK_PLAN_ADDRESS_H_INCLUDED_
#define _MARK_PLAN_ADDRESS_H_INCLUDED_


#include "mark_json.h"


/* struct sockaddr_un has room for 108 bytes with the zero. */
#define MARK_PLAN_UNIX_MAX  107


typedef enum {
    MARK_PLAN_HOST = 0,       /* a name, or IPv4 */
    MARK_PLAN_IPV6,
    MARK_PLAN_UNIX
} mark_plan_family_t;


typedef struct {
    mark_plan_family_t  family;
    unsigned            port;
    mark_span_t         name;         /* of the host, or the path */
    uint8_t             ipv6[16];
} mark_plan_address_t;


/* Returns NULL, or a few words on what is wrong.  name points into text. */
const char *mark_plan_address_parse(mark_plan_address_t *address,
    const mark_span_t *text);

/*
 * An order, 0: the same.  A host's name has no case, and an IPv6 address may
 * be spelled in many ways.
 */
int mark_plan_address_compare(const mark_plan_address_t *a,
    const mark_plan_address_t *b);


#endif /* _MARK_PLAN_ADDRESS_H_INCLUDED_ */
