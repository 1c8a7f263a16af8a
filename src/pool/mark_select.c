
/* The choice of a peer: see mark_select.h. */


#include <string.h>

#include "mark_select.h"


/* What is expected of one peer. */

typedef struct {
    unsigned  rows;
    uint64_t  start;
    uint64_t  time;
    uint64_t  finish;
    double    cost;        /* a row */
    unsigned  known:1;
} mark_select_offer_t;


static int mark_select_may(const mark_select_peer_t *peer, int backup);
static void mark_select_offer(const mark_select_peer_t *peer,
    const mark_select_batch_t *batch, mark_select_offer_t *offer);
static int mark_select_meets(const mark_select_batch_t *batch,
    const mark_select_offer_t *offer);
static int mark_select_best(const mark_select_peer_t *peers, unsigned n,
    const mark_select_batch_t *batch, int backup, double cheapest,
    double price, mark_select_offer_t *best);
static int mark_select_lighter(const mark_select_peer_t *a,
    const mark_select_peer_t *b, uint64_t now);
static int mark_select_explore(const mark_select_peer_t *peer,
    const mark_select_batch_t *batch, const mark_select_offer_t *offer);


static const char *const  mark_select_reasons[] = {
    "none", "cheapest", "earliest", "explore", "probe"
};


const char *
mark_select_reason(mark_select_reason_t reason)
{
    return mark_select_reasons[reason];
}


void
mark_select(const mark_select_peer_t *peers, unsigned n,
    const mark_select_batch_t *batch, mark_select_choice_t *choice)
{
    int                  backup, best, stale, meets;
    double               cheapest, price;
    uint64_t             need;
    unsigned             i;
    mark_select_offer_t  offer, boffer, soffer;

    memset(choice, 0, sizeof(mark_select_choice_t));
    memset(&boffer, 0, sizeof(mark_select_offer_t));
    memset(&soffer, 0, sizeof(mark_select_offer_t));

    for (i = 0; i < n; i++) {
        if (mark_select_may(&peers[i], 0)) {
            break;
        }
    }

    backup = (i == n);
    stale = -1;
    cheapest = -1;
    price = 0;

    for (i = 0; i < n; i++) {

        if (!mark_select_may(&peers[i], backup)) {
            continue;
        }

        mark_select_offer(&peers[i], batch, &offer);

        if (mark_select_explore(&peers[i], batch, &offer)
            && (stale == -1 || peers[i].last_sent < peers[stale].last_sent))
        {
            stale = i;
            soffer = offer;
        }

        if (mark_select_meets(batch, &offer)
            && (cheapest < 0 || offer.cost < cheapest))
        {
            cheapest = offer.cost;
            price = peers[i].price;
        }
    }

    if (stale != -1) {
        best = stale;
        boffer = soffer;
        choice->explores = 1;
        meets = 1;

    } else {
        best = mark_select_best(peers, n, batch, backup, cheapest, price,
                                &boffer);
        meets = (cheapest >= 0 || batch->deadline == 0);
    }

    choice->peer = best;

    if (best == -1) {
        return;
    }

    choice->rows = boffer.rows;
    choice->start = boffer.start;
    choice->finish = boffer.finish;
    choice->meets = meets;

    choice->reason = choice->explores ? MARK_SELECT_EXPLORE
                     : peers[best].probe ? MARK_SELECT_PROBE
                     : (cheapest >= 0) ? MARK_SELECT_CHEAPEST
                     : MARK_SELECT_EARLIEST;

    need = (uint64_t) (boffer.time * (1 + MARK_SELECT_DOUBT))
           + MARK_SELECT_MARGIN;

    if (batch->deadline > need) {
        choice->latest = batch->deadline - need;
    }
}


static int
mark_select_may(const mark_select_peer_t *peer, int backup)
{
    return peer->usable && peer->backup == (unsigned) backup;
}


static void
mark_select_offer(const mark_select_peer_t *peer,
    const mark_select_batch_t *batch, mark_select_offer_t *offer)
{
    double    time;
    unsigned  more;

    offer->rows = batch->rows;

    if (peer->max_rows && peer->max_rows < offer->rows) {
        offer->rows = peer->max_rows;
    }

    offer->start = mark_select_start(peer, batch->now);
    offer->known = mark_latency_known(peer->latency);

    time = mark_latency_bound(peer->latency, offer->rows);

    /* what has a part of its share only is the slower by that */

    time /= peer->share;

    offer->time = (uint64_t) time;
    offer->finish = offer->start + offer->time;

    if (offer->start > batch->now && batch->waiting > offer->rows) {
        more = (batch->waiting - 1) / offer->rows;
        offer->finish += (uint64_t) (more * time / mark_select_limit(peer));
    }

    /*
     * What is new has one at a time, and is not worth waiting for.  What only
     * fails is new for ever: it must not come before those that answer.
     */

    if (!offer->known && (offer->start > batch->now || peer->failing)) {
        offer->finish += MARK_SELECT_PATIENCE;
    }

    offer->cost = peer->price
                  * mark_latency_mean(peer->latency, offer->rows)
                  / offer->rows;
}


static int
mark_select_meets(const mark_select_batch_t *batch,
    const mark_select_offer_t *offer)
{
    uint64_t  doubt;

    if (batch->deadline <= batch->now
        || (!offer->known && offer->finish > batch->now))
    {
        return 0;
    }

    doubt = (uint64_t) (MARK_SELECT_DOUBT * (offer->finish - batch->now));

    return offer->finish + doubt + MARK_SELECT_MARGIN <= batch->deadline;
}


/*
 * The first to be done, of those that meet the deadline and are as cheap as
 * the cheapest, or of all if cheapest is below 0: then none meets it.  With
 * those that end as early, within what nobody would notice, it takes turns.
 */

static int
mark_select_best(const mark_select_peer_t *peers, unsigned n,
    const mark_select_batch_t *batch, int backup, double cheapest,
    double price, mark_select_offer_t *best)
{
    int                  first;
    double               most;
    unsigned             i, pass;
    uint64_t             end;
    mark_select_offer_t  offer;

    first = -1;
    end = 0;

    for (pass = 0; pass < 2; pass++) {

        for (i = 0; i < n; i++) {

            if (!mark_select_may(&peers[i], backup)) {
                continue;
            }

            mark_select_offer(&peers[i], batch, &offer);

            most = cheapest;

            if (peers[i].price == price) {
                most *= MARK_SELECT_BAND;
            }

            if (cheapest >= 0
                && (!mark_select_meets(batch, &offer) || offer.cost > most))
            {
                continue;
            }

            if (first == -1
                || (pass == 0 && offer.finish < best->finish)
                || (pass == 1 && offer.finish <= end
                    && mark_select_lighter(&peers[i], &peers[first],
                                           batch->now)))
            {
                first = i;
                *best = offer;
            }
        }

        end = best->finish + best->time / 16;
    }

    return first;
}


/*
 * Less in flight for its weight; of those that have nothing, whose turn it is,
 * which comes the sooner the more weight one has.
 */

static int
mark_select_lighter(const mark_select_peer_t *a, const mark_select_peer_t *b,
    uint64_t now)
{
    uint64_t  aload, bload;

    if (a->in_flight == 0 && b->in_flight == 0) {
        aload = (now > a->last_sent) ? now - a->last_sent : 0;
        bload = (now > b->last_sent) ? now - b->last_sent : 0;

        return aload * a->weight > bload * b->weight;
    }

    aload = (uint64_t) (a->in_flight + 1) * b->weight;
    bload = (uint64_t) (b->in_flight + 1) * a->weight;

    if (aload != bload) {
        return aload < bload;
    }

    return a->last_sent < b->last_sent;
}


/*
 * An idle peer that had nothing for long has this batch if it could be thrice
 * as slow as it was and still be in time.
 */

static int
mark_select_explore(const mark_select_peer_t *peer,
    const mark_select_batch_t *batch, const mark_select_offer_t *offer)
{
    return batch->explore
           && offer->known
           && peer->in_flight == 0
           && !peer->probe
           && peer->last_sent + MARK_SELECT_STALE < batch->now
           && (batch->deadline == 0
               || batch->now + 3 * offer->time + MARK_SELECT_MARGIN
                  <= batch->deadline);
}


unsigned
mark_select_limit(const mark_select_peer_t *peer)
{
    if (peer->probe) {
        return 1;
    }

    if (peer->concurrency) {
        return peer->concurrency;
    }

    if (!mark_latency_known(peer->latency)) {
        return MARK_SELECT_UNKNOWN;
    }

    return mark_latency_limit(peer->latency);
}


uint64_t
mark_select_start(const mark_select_peer_t *peer, uint64_t now)
{
    unsigned  limit;
    uint64_t  one, start;

    limit = mark_select_limit(peer);

    if (peer->in_flight < limit) {
        return now;
    }

    /*
     * free_at is when the last of them is done; the first is earlier, by one
     * of limit that are on their way at one time.
     */

    one = mark_latency_mean(peer->latency, 1);

    if (one < MARK_SELECT_LEAST) {
        one = MARK_SELECT_LEAST;
    }

    start = peer->free_at;

    if (limit > 1 && start > one) {
        start -= one * (limit - 1) / limit;
    }

    /* overdue: nobody knows for how long */

    return (start < now + one / 4) ? now + one / 4 : start;
}


uint64_t
mark_select_finish(const mark_select_peer_t *peers, unsigned n, uint64_t now,
    unsigned ahead, unsigned full, uint64_t *work)
{
    int       best, backup;
    double    time;
    unsigned  i, rows, batches;
    uint64_t  finish, first;

    for (i = 0; i < n; i++) {
        if (mark_select_may(&peers[i], 0)) {
            break;
        }
    }

    backup = (i == n);
    best = -1;

    for (i = 0; i < n; i++) {

        if (!mark_select_may(&peers[i], backup)) {
            continue;
        }

        if (!mark_latency_known(peers[i].latency)) {
            return UINT64_MAX;
        }

        work[i] = mark_select_start(&peers[i], now);
        best = i;
    }

    if (best == -1) {
        return UINT64_MAX;
    }

    /* each batch takes a place of its peer for its time */

    first = now;

    for (batches = 0; ; batches++) {
        best = -1;
        first = UINT64_MAX;

        for (i = 0; i < n; i++) {

            if (!mark_select_may(&peers[i], backup)) {
                continue;
            }

            rows = (peers[i].max_rows && peers[i].max_rows < full)
                   ? peers[i].max_rows : full;

            time = mark_latency_mean(peers[i].latency, rows)
                   / peers[i].share;
            finish = work[i] + (uint64_t) time;

            if (finish < first) {
                first = finish;
                best = i;
            }
        }

        rows = (peers[best].max_rows && peers[best].max_rows < full)
               ? peers[best].max_rows : full;

        if (ahead < rows) {
            return first;
        }

        ahead -= rows;

        time = mark_latency_mean(peers[best].latency, rows)
               / (peers[best].share * mark_select_limit(&peers[best]));
        work[best] += (uint64_t) time + 1;
    }
}
