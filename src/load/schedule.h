/* When the requests of an open loop are meant to leave. */

#ifndef SCHEDULE_H
#define SCHEDULE_H


#include "options.h"
#include "random.h"


typedef struct {
    double     rate;           /* 0: a trace */
    int        uniform;
    double     at;             /* seconds of the last arrival */
    double     end;            /* seconds; 0: no end */
    uint64_t   made;
    uint64_t   limit;          /* arrivals; 0: no limit */
    double    *trace;
    uint64_t   trace_len;
    random_t   random;
} schedule_t;


/* NULL or what is wrong with the trace. */
const char *schedule_init(schedule_t *s, const options_t *o, uint64_t limit);

/* 1: the next arrival is at seconds after the start; 0: there is none */
int schedule_next(schedule_t *s, double *seconds);


#endif /* SCHEDULE_H */
