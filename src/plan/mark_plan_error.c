
/* Statuses and messages of plans: see mark_plan_error.h. */


#include <stdarg.h>
#include <stdio.h>

#include "mark_plan_error.h"


const char *
mark_plan_status_name(mark_plan_status_t status)
{
    static const char  *names[] = {
        "ok", "unchanged", "syntax", "schema", "signature", "pool", "expired",
        "stale", "memory"
    };

    return names[status];
}


mark_plan_status_t
mark_plan_fail(mark_plan_error_t *error, mark_plan_status_t status,
    const char *fmt, ...)
{
    char     *p;
    va_list   args;

    error->status = status;

    va_start(args, fmt);
    (void) vsnprintf(error->text, sizeof(error->text), fmt, args);
    va_end(args);

    /* jansson quotes what it stumbles over as it is */

    for (p = error->text; *p; p++) {
        if ((unsigned char) *p < 0x20 || *p == 0x7f) {
            *p = ' ';
        }
    }

    return status;
}
