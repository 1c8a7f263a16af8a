
/*
 * The Runtime API of AWS Lambda, seen by the one process of an execution
 * environment: it asks for an invocation, answers it, and asks again.
 *
 * All of it runs in one thread, but for runtime_stop().  Functions that may
 * fail return -1 and have logged why; there is then nothing left to do but to
 * exit, and Lambda starts another environment.
 */


#ifndef _MARK_LAMBDA_RUNTIME_H_INCLUDED_
#define _MARK_LAMBDA_RUNTIME_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


typedef struct {
    char        id[128];
    uint64_t    deadline;             /* milliseconds since 1970; 0: none */
    char       *payload;              /* until the next call of any */
    size_t      len;
} runtime_event_t;


/* api is HOST:PORT. */
int runtime_open(const char *api);

/* Waits, for hours if need be: 0, or 1 after runtime_stop(). */
int runtime_next(runtime_event_t *e);

/*
 * Answers e.  That Lambda does not take the answer, as it is too large or
 * too late, is logged and no failure.
 */
int runtime_respond(const runtime_event_t *e, const char *text, size_t len);
int runtime_fail(const runtime_event_t *e, const char *type,
    const char *message);

/* Instead of the first runtime_next(). */
int runtime_init_fail(const char *type, const char *message);

/* From any thread: ends the waiting, now or at the next call. */
void runtime_stop(void);

void runtime_close(void);


#endif /* _MARK_LAMBDA_RUNTIME_H_INCLUDED_ */
