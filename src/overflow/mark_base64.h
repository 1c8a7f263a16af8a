
/* Base64 of RFC 4648, with padding. */


#ifndef _MARK_BASE64_H_INCLUDED_
#define _MARK_BASE64_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define mark_base64_encoded(n)  (((n) + 2) / 3 * 4)
#define mark_base64_decoded(n)  ((n) / 4 * 3)


/* Writes mark_base64_encoded(len) bytes and returns their end. */
uint8_t *mark_base64_encode(uint8_t *p, const uint8_t *data, size_t len);

/*
 * Writes at most mark_base64_decoded(len) bytes and returns their end; NULL:
 * it is no base64, by the letter (a length of fours, padding only at the end).
 */
uint8_t *mark_base64_decode(uint8_t *p, const uint8_t *data, size_t len);


#endif /* _MARK_BASE64_H_INCLUDED_ */
