
/* What the two parsers of credentials share; nobody else includes it. */


#ifndef _MARK_CREDENTIALS_VALUE_H_INCLUDED_
#define _MARK_CREDENTIALS_VALUE_H_INCLUDED_


#include "mark_credentials.h"


#define mark_credentials_space(c)  ((c) == ' ' || ((c) >= '\t' && (c) <= '\r'))

#define mark_credentials_lower(c)                                             \
    ((c) >= 'A' && (c) <= 'Z' ? (c) | 0x20 : (c))


typedef enum {
    MARK_CREDENTIALS_VALUE_ACCESS_KEY = 0,
    MARK_CREDENTIALS_VALUE_SECRET_KEY,
    MARK_CREDENTIALS_VALUE_TOKEN
} mark_credentials_value_t;


/*
 * Copies one of the strings.  Returns NULL, or what is wrong with it, to
 * follow its name.  Of the three only the token may be empty.
 */
const char *mark_credentials_set(mark_credentials_t *credentials,
    mark_credentials_value_t which, const char *data, size_t len);


#endif /* _MARK_CREDENTIALS_VALUE_H_INCLUDED_ */
