/* What has become of the requests. */

#include "tally.h"


const char  *error_names[ERROR_KINDS] = {
    "connect", "closed", "reset", "timeout", "unsent", "malformed", "stream",
    "status"
};


uint64_t
tally_errors(const tally_t *t)
{
    unsigned  i;
    uint64_t  sum;

    for (i = 0, sum = 0; i < ERROR_KINDS; i++) {
        sum += t->errors[i];
    }

    return sum;
}
