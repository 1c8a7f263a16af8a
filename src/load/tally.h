/* What has become of the requests. */

#ifndef TALLY_H
#define TALLY_H


#include "mark_histogram.h"


enum {
    ERROR_CONNECT = 0,         /* no connection */
    ERROR_CLOSED,              /* the server closed before the answer's end */
    ERROR_RESET,               /* ... with a reset */
    ERROR_TIMEOUT,             /* no answer in time */
    ERROR_UNSENT,              /* no connection was free in time */
    ERROR_MALFORMED,           /* not HTTP */
    ERROR_STREAM,              /* h2: the stream was reset */
    ERROR_STATUS,              /* an answer with a status not allowed */
    ERROR_KINDS
};


/*
 * offered = completed + aborted + interrupted + the errors but for status;
 * completed = ok + wrong + allowed + errors[ERROR_STATUS].
 */

typedef struct {
    uint64_t          offered;
    uint64_t          sent;
    uint64_t          completed;
    uint64_t          ok;
    uint64_t          wrong;
    uint64_t          allowed;         /* by --expect-status, not 2xx */
    uint64_t          within;          /* ok within the SLO */
    uint64_t          aborted;
    uint64_t          interrupted;     /* under way when the run was ended */
    uint64_t          reconnects;      /* repeated on a new connection */
    uint64_t          errors[ERROR_KINDS];
    uint64_t          status[600];
    mark_histogram_t  latency;         /* of answers with 2xx */
    mark_histogram_t  lag;             /* how late requests left */
} tally_t;


extern const char  *error_names[ERROR_KINDS];


uint64_t tally_errors(const tally_t *t);


#endif /* TALLY_H */
