/* Random numbers that a seed repeats. */

#ifndef RANDOM_H
#define RANDOM_H


#include <stdint.h>


typedef struct {
    uint64_t  state;
} random_t;


/* stream tells the users of one seed apart */
void random_seed(random_t *r, uint64_t seed, uint64_t stream);
uint64_t random_bits(random_t *r);
double random_unit(random_t *r);                       /* 0 <= x < 1 */
uint64_t random_below(random_t *r, uint64_t limit);


#endif /* RANDOM_H */
