
/* Slow start: see mark_slowstart.h. */


#include "mark_slowstart.h"


double
mark_slowstart(uint64_t since, uint64_t time, uint64_t now)
{
    uint64_t  age;

    age = (now > since) ? now - since : 0;

    if (since == 0 || age >= time) {
        return 1;
    }

    return MARK_SLOWSTART_MIN + (1 - MARK_SLOWSTART_MIN) * age / time;
}
