
/*
 * A count of a whole batch, of tokens say, apportioned among its members so
 * that their shares add up to it exactly: by weight, with the method of the
 * largest remainder, the earlier of two that are equal first.  No share is
 * below 1 if there is enough for everybody: those that would be are 1, and
 * what is left is apportioned among the others.
 *
 * Weights that add up to the total are the shares.
 */


#ifndef _MARK_APPORTION_H_INCLUDED_
#define _MARK_APPORTION_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


typedef struct {
    uint32_t  weight;         /* in: 1 or more */
    uint32_t  share;          /* out */
    uint64_t  remainder;      /* of its division, in sums of weights */
} mark_apportion_t;


void mark_apportion(mark_apportion_t *shares, size_t n, uint32_t total);


#endif /* _MARK_APPORTION_H_INCLUDED_ */
