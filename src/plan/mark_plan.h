
/*
 * The plan: which servers a pool has at run time, and what its limits are.
 * A JSON document that a planner, or a person, writes and nginx applies.
 *
 * Reading is strict: what is not known, not in range or said twice is refused
 * as a whole, with a message that names the place.  What was read can be
 * written again, by the same tables.  Results are in the caller's memory;
 * jansson's own, which is malloc's, is freed before a call returns.
 */


#ifndef _MARK_PLAN_H_INCLUDED_
#define _MARK_PLAN_H_INCLUDED_


#include "mark_codec.h"
#include "mark_plan_signature.h"


#define MARK_PLAN_FORMAT   1

/* Bytes of a document, of an envelope as well. */
#define MARK_PLAN_MAX      (8 * 1024 * 1024)

/* The plan does not say: what is configured holds, or there is no limit. */
#define MARK_PLAN_UNSET    -1

/* max_queue_delay: "auto" */
#define MARK_PLAN_AUTO     -2


typedef enum {
    MARK_PLAN_READY = 0,
    MARK_PLAN_WARMING,
    MARK_PLAN_DRAINING
} mark_plan_state_t;


/* "given" comes first in each of these: tells whether the plan has it. */

typedef struct {
    int                   given;

    double                base;           /* seconds a batch */
    double                row;            /* and for each row of it */
    double                residual;       /* and what may come on top */
} mark_plan_latency_t;


typedef struct {
    int                   given;

    int                   armed;
    double                requests_per_second;
    int                   concurrency;
    double                cost_per_hour;
} mark_plan_overflow_t;


typedef struct {
    int                   given;

    int                   max_batch_size;
    double                max_queue_delay;   /* seconds, or MARK_PLAN_AUTO */
    int                   max_queue_size;    /* 0: no limit */
} mark_plan_batching_t;


/* Texts are UTF-8 without control characters; a zero follows each. */

typedef struct {
    mark_span_t           address;
    mark_span_t           id;
    mark_span_t           class;

    double                price;          /* an hour */
    int                   state;          /* mark_plan_state_t */
    int                   weight;
    int                   concurrency;    /* 0: learned */
    int                   max_batch;      /* rows; 0: no limit */
    int                   backup;

    mark_plan_latency_t   latency;
} mark_plan_peer_t;


/* What tells one plan of a pool from another; to be kept of the current. */

typedef struct {
    uint64_t              version;        /* 0: there is no plan */
    double                issued;         /* unix seconds */
    uint8_t               digest[32];     /* SHA-256 of the document */
} mark_plan_stamp_t;


typedef struct {
    mark_plan_stamp_t     stamp;

    int                   format;
    mark_span_t           pool;
    double                expires;

    mark_plan_peer_t     *peers;
    size_t                npeers;

    mark_plan_overflow_t  overflow;
    mark_plan_batching_t  batching;
} mark_plan_t;


/* What a plan must meet.  All zeros asks for nothing. */

typedef struct {
    mark_span_t             pool;         /* its name; none: of any pool */
    size_t                  peers;        /* room for them; 0: no limit */

    /*
     * With a key, only an envelope that it signed.  Without, both forms, and
     * an envelope's signature says nothing.
     */

    const mark_plan_key_t  *key;
} mark_plan_limits_t;


/*
 * Reads a plan, or an envelope with one.  now is unix seconds; at 0 no plan
 * has expired.  Of MARK_PLAN_OK, plan is set; else error, and what is in
 * memory is of no use.
 */
mark_plan_status_t mark_plan_parse(const char *text, size_t len,
    const mark_plan_limits_t *limits, double now, mark_memory_t *memory,
    mark_plan_t **plan, mark_plan_error_t *error);

/*
 * Writes the document of a plan whose values are in range: what parses to the
 * same plan, but for the digest.  Returns its length; buf has it if size is
 * that or more, and nothing of use otherwise.
 */
size_t mark_plan_serialise(const mark_plan_t *plan, char *buf, size_t size);

/*
 * Tells whether next may follow current: MARK_PLAN_OK; MARK_PLAN_UNCHANGED,
 * it is the same document; MARK_PLAN_STALE, it is older, or another of the
 * same version.
 */
mark_plan_status_t mark_plan_newer(const mark_plan_stamp_t *current,
    const mark_plan_stamp_t *next, mark_plan_error_t *error);


#endif /* _MARK_PLAN_H_INCLUDED_ */
