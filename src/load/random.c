/* Random numbers that a seed repeats (splitmix64). */

#include "random.h"


void
random_seed(random_t *r, uint64_t seed, uint64_t stream)
{
    r->state = seed;
    r->state = random_bits(r) ^ (stream * 0xd1342543de82ef95u);
}


uint64_t
random_bits(random_t *r)
{
    uint64_t  z;

    z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;

    return z ^ (z >> 31);
}


double
random_unit(random_t *r)
{
    return (double) (random_bits(r) >> 11) / 9007199254740992.0;
}


uint64_t
random_below(random_t *r, uint64_t limit)
{
    return limit ? random_bits(r) % limit : 0;
}
