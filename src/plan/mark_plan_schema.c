
/* The tables of the schema: see mark_plan_schema.h. */


#include <math.h>

#include "mark_plan_schema.h"


/* What a double counts to without a gap. */
#define MARK_PLAN_EXACT   9007199254740992.0

/* Seconds of what is waited for, so that microseconds of it are a number. */
#define MARK_PLAN_DAY     86400

#define MARK_PLAN_MANY    1000000000

#define MARK_PLAN_NAME    255
#define MARK_PLAN_ID      63
#define MARK_PLAN_CLASS   31


const char *const  mark_plan_states[] = {
    "ready", "warming", "draining", NULL
};


static const mark_plan_field_t  mark_plan_latency_fields[] = {

    { "base", MARK_PLAN_FIELD_NUMBER, 1, offsetof(mark_plan_latency_t, base),
      0, MARK_PLAN_DAY, 0, NULL },

    { "row", MARK_PLAN_FIELD_NUMBER, 1, offsetof(mark_plan_latency_t, row),
      0, MARK_PLAN_DAY, 0, NULL },

    { "residual", MARK_PLAN_FIELD_NUMBER, 0,
      offsetof(mark_plan_latency_t, residual),
      0, MARK_PLAN_DAY, 0, NULL },

    { NULL, 0, 0, 0, 0, 0, 0, NULL }
};


const mark_plan_field_t  mark_plan_peer_fields[] = {

    { "address", MARK_PLAN_FIELD_ADDRESS, 1,
      offsetof(mark_plan_peer_t, address),
      0, 0, 0, NULL },

    { "id", MARK_PLAN_FIELD_TEXT, 0, offsetof(mark_plan_peer_t, id),
      1, MARK_PLAN_ID, 0, NULL },

    { "class", MARK_PLAN_FIELD_TEXT, 0, offsetof(mark_plan_peer_t, class),
      1, MARK_PLAN_CLASS, 0, NULL },

    { "price", MARK_PLAN_FIELD_NUMBER, 0, offsetof(mark_plan_peer_t, price),
      0, HUGE_VAL, 0, NULL },

    { "state", MARK_PLAN_FIELD_STATE, 0, offsetof(mark_plan_peer_t, state),
      0, 0, MARK_PLAN_READY, NULL },

    { "weight", MARK_PLAN_FIELD_INTEGER, 0,
      offsetof(mark_plan_peer_t, weight),
      1, 1000, 1, NULL },

    { "concurrency", MARK_PLAN_FIELD_INTEGER, 0,
      offsetof(mark_plan_peer_t, concurrency),
      0, 1024, 0, NULL },

    { "max_batch", MARK_PLAN_FIELD_INTEGER, 0,
      offsetof(mark_plan_peer_t, max_batch),
      0, 65535, 0, NULL },

    { "backup", MARK_PLAN_FIELD_FLAG, 0, offsetof(mark_plan_peer_t, backup),
      0, 0, 0, NULL },

    { "latency", MARK_PLAN_FIELD_OBJECT, 0,
      offsetof(mark_plan_peer_t, latency),
      0, 0, 0, mark_plan_latency_fields },

    { NULL, 0, 0, 0, 0, 0, 0, NULL }
};


static const mark_plan_field_t  mark_plan_overflow_fields[] = {

    { "armed", MARK_PLAN_FIELD_FLAG, 1,
      offsetof(mark_plan_overflow_t, armed),
      0, 0, 0, NULL },

    { "requests_per_second", MARK_PLAN_FIELD_NUMBER, 0,
      offsetof(mark_plan_overflow_t, requests_per_second),
      0, HUGE_VAL, MARK_PLAN_UNSET, NULL },

    { "concurrency", MARK_PLAN_FIELD_INTEGER, 0,
      offsetof(mark_plan_overflow_t, concurrency),
      0, MARK_PLAN_MANY, MARK_PLAN_UNSET, NULL },

    { "cost_per_hour", MARK_PLAN_FIELD_NUMBER, 0,
      offsetof(mark_plan_overflow_t, cost_per_hour),
      0, HUGE_VAL, MARK_PLAN_UNSET, NULL },

    { NULL, 0, 0, 0, 0, 0, 0, NULL }
};


static const mark_plan_field_t  mark_plan_batching_fields[] = {

    { "max_batch_size", MARK_PLAN_FIELD_INTEGER, 0,
      offsetof(mark_plan_batching_t, max_batch_size),
      1, 65536, MARK_PLAN_UNSET, NULL },

    { "max_queue_delay", MARK_PLAN_FIELD_DELAY, 0,
      offsetof(mark_plan_batching_t, max_queue_delay),
      0, MARK_PLAN_DAY, MARK_PLAN_UNSET, NULL },

    { "max_queue_size", MARK_PLAN_FIELD_INTEGER, 0,
      offsetof(mark_plan_batching_t, max_queue_size),
      0, MARK_PLAN_MANY, MARK_PLAN_UNSET, NULL },

    { NULL, 0, 0, 0, 0, 0, 0, NULL }
};


/* format is the first: what another one means by the others is not known. */

const mark_plan_field_t  mark_plan_fields[] = {

    { "format", MARK_PLAN_FIELD_INTEGER, 1, offsetof(mark_plan_t, format),
      MARK_PLAN_FORMAT, MARK_PLAN_FORMAT, 0, NULL },

    { "pool", MARK_PLAN_FIELD_TEXT, 1, offsetof(mark_plan_t, pool),
      1, MARK_PLAN_NAME, 0, NULL },

    { "version", MARK_PLAN_FIELD_VERSION, 1,
      offsetof(mark_plan_t, stamp.version),
      1, MARK_PLAN_EXACT, 0, NULL },

    { "issued", MARK_PLAN_FIELD_NUMBER, 1,
      offsetof(mark_plan_t, stamp.issued),
      0, MARK_PLAN_EXACT, 0, NULL },

    { "expires", MARK_PLAN_FIELD_NUMBER, 1, offsetof(mark_plan_t, expires),
      0, MARK_PLAN_EXACT, 0, NULL },

    { "peers", MARK_PLAN_FIELD_PEERS, 1, offsetof(mark_plan_t, peers),
      0, 0, 0, NULL },

    { "overflow", MARK_PLAN_FIELD_OBJECT, 0, offsetof(mark_plan_t, overflow),
      0, 0, 0, mark_plan_overflow_fields },

    { "batching", MARK_PLAN_FIELD_OBJECT, 0, offsetof(mark_plan_t, batching),
      0, 0, 0, mark_plan_batching_fields },

    { NULL, 0, 0, 0, 0, 0, 0, NULL }
};
