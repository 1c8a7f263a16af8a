
/* A pool for mark_select(). */


#ifndef _SELECT_H_INCLUDED_
#define _SELECT_H_INCLUDED_


#include "tap.h"
#include "mark_select.h"


#define PEERS  8
#define NOW    ((uint64_t) 1000000000)
#define MS     1000


static mark_latency_t        latencies[PEERS];
static mark_select_peer_t    peers[PEERS];
static mark_select_batch_t   batch;
static mark_select_choice_t  choice;


/* A peer that takes base + row * rows ms, idle, and known unless base is 0. */

static mark_select_peer_t *
peer(unsigned i, double base, double row, double price)
{
    memset(&peers[i], 0, sizeof(mark_select_peer_t));
    mark_latency_init(&latencies[i]);

    if (base) {
        mark_latency_prior(&latencies[i], base * MS, row * MS, 0);
    }

    peers[i].latency = &latencies[i];
    peers[i].price = price;
    peers[i].share = 1;
    peers[i].weight = 1;
    peers[i].concurrency = 1;
    peers[i].last_sent = NOW - 1000;
    peers[i].usable = 1;

    return &peers[i];
}


#endif /* _SELECT_H_INCLUDED_ */
