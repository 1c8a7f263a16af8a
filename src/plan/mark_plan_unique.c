
/* No server may be in a plan twice: it would be sent twice its batches. */


#include <stdlib.h>

#include "mark_plan_schema.h"
#include "mark_plan_address.h"


typedef struct {
    mark_plan_address_t  address;
    size_t               index;
} mark_plan_place_t;


static int mark_plan_place_compare(const void *one, const void *two);


/*
 * Sorted, so that the same are side by side.  Of what is found the earliest
 * place is named, whatever the order of addresses is.
 */

mark_plan_status_t
mark_plan_unique(mark_plan_reader_t *r, const mark_plan_t *plan)
{
    size_t              i, n, first, second;
    mark_plan_place_t  *places;

    n = plan->npeers;
    places = mark_memory_alloc(r->memory, n * sizeof(mark_plan_place_t));

    if (places == NULL) {
        return mark_plan_fail(r->error, MARK_PLAN_MEMORY, "no memory");
    }

    for (i = 0; i < n; i++) {
        (void) mark_plan_address_parse(&places[i].address,
                                       &plan->peers[i].address);
        places[i].index = i;
    }

    qsort(places, n, sizeof(mark_plan_place_t), mark_plan_place_compare);

    first = 0;
    second = n;

    for (i = 1; i < n; i++) {
        if (mark_plan_address_compare(&places[i - 1].address,
                                      &places[i].address)
            == 0 && places[i].index < second)
        {
            first = places[i - 1].index;
            second = places[i].index;
        }
    }

    if (second == n) {
        return MARK_PLAN_OK;
    }

    r->steps[r->depth].name = NULL;
    r->steps[r->depth++].index = second;

    return mark_plan_refuse(r, MARK_PLAN_SCHEMA, "address",
                            "is that of peers[%zu] already", first);
}


static int
mark_plan_place_compare(const void *one, const void *two)
{
    int                       rc;
    const mark_plan_place_t  *a, *b;

    a = one;
    b = two;

    rc = mark_plan_address_compare(&a->address, &b->address);

    if (rc != 0) {
        return rc;
    }

    return a->index < b->index ? -1 : 1;
}
