
/*
 * Slow start: a peer that is new, or that comes back, takes a share that
 * grows, for its caches are cold and all would else go to the one that has
 * nothing to do.
 */


#ifndef _MARK_SLOWSTART_H_INCLUDED_
#define _MARK_SLOWSTART_H_INCLUDED_


#include <stdint.h>


/* The share that it begins with, so that there is something to learn from. */
#define MARK_SLOWSTART_MIN   0.1

/*
 * With the longest ejection it is ten seconds: no peer that has recovered
 * has less than its share for longer.
 */
#define MARK_SLOWSTART_TIME  2000000


/*
 * The factor at now, MARK_SLOWSTART_MIN to 1, of a peer that became ready at
 * since (0: long ago); it grows on a straight line for time microseconds.
 */
double mark_slowstart(uint64_t since, uint64_t time, uint64_t now);


#endif /* _MARK_SLOWSTART_H_INCLUDED_ */
