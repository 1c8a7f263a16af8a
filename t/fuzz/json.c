
/* libFuzzer target: the JSON scanner, on any bytes. */


#include <stddef.h>
#include <stdint.h>

#include "mark_json.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mark_json_t  j;

    mark_json_init(&j, data, size);

    if (mark_json_skip(&j) == 0) {

        if (j.pos > j.last || j.nkeys != 0) {
            __builtin_trap();
        }

        (void) mark_json_end(&j);
    }

    return 0;
}
