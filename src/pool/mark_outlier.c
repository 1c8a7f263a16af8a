
/* Passive outlier ejection: see mark_outlier.h. */


#include "mark_outlier.h"


static int mark_outlier_healthy(mark_outlier_t *o,
    const mark_outlier_conf_t *conf, mark_outlier_event_t event, int allowed,
    uint64_t now);
static int mark_outlier_away(mark_outlier_t *o,
    const mark_outlier_conf_t *conf, mark_outlier_event_t event,
    uint64_t began, uint64_t now);
static void mark_outlier_eject(mark_outlier_t *o,
    const mark_outlier_conf_t *conf, uint64_t now);


int
mark_outlier_event(mark_outlier_t *o, const mark_outlier_conf_t *conf,
    mark_outlier_event_t event, uint64_t began, int allowed, uint64_t now)
{
    if (began < o->at) {
        return 0;
    }

    if (o->ejected) {
        return mark_outlier_away(o, conf, event, began, now);
    }

    return mark_outlier_healthy(o, conf, event, allowed, now);
}


static int
mark_outlier_healthy(mark_outlier_t *o, const mark_outlier_conf_t *conf,
    mark_outlier_event_t event, int allowed, uint64_t now)
{
    uint64_t  calm;

    switch (event) {

    case MARK_OUTLIER_OK:
        o->errors = 0;
        o->failures = 0;
        return 0;

    case MARK_OUTLIER_5XX:
        o->errors++;
        o->failures = 0;
        break;

    case MARK_OUTLIER_FAILURE:
        o->errors++;
        o->failures++;
        break;

    case MARK_OUTLIER_STALLED:
        break;

    default: /* MARK_OUTLIER_ABANDONED */
        return 0;
    }

    /* one that was not allowed is tried again by the next error */

    if (!allowed
        || (event != MARK_OUTLIER_STALLED
            && (conf->errors == 0 || o->errors < conf->errors)
            && (conf->failures == 0 || o->failures < conf->failures)))
    {
        return 0;
    }

    calm = (now > o->healthy) ? (now - o->healthy) / conf->calm : 0;
    o->times = (o->times > calm) ? o->times - calm : 0;

    mark_outlier_eject(o, conf, now);

    return 1;
}


static int
mark_outlier_away(mark_outlier_t *o, const mark_outlier_conf_t *conf,
    mark_outlier_event_t event, uint64_t began, uint64_t now)
{
    if (event == MARK_OUTLIER_OK) {
        o->ejected = 0;
        o->probing = 0;
        o->errors = 0;
        o->failures = 0;
        o->healthy = now;
        return 0;
    }

    if (!o->probing || began < o->probe) {
        return 0;
    }

    if (event == MARK_OUTLIER_ABANDONED) {
        o->probing = 0;
        return 0;
    }

    mark_outlier_eject(o, conf, now);

    return 1;
}


static void
mark_outlier_eject(mark_outlier_t *o, const mark_outlier_conf_t *conf,
    uint64_t now)
{
    unsigned  i;
    uint64_t  time;

    time = conf->base;

    for (i = 0; i < o->times && time < conf->max; i++) {
        time *= 2;
    }

    /*
     * No doubling is counted that does not show: health would have to undo
     * it all the same, and a long outage would be held against the peer long
     * after.
     */

    if (time < conf->max) {
        o->times++;

    } else {
        time = conf->max;
    }

    o->ejected = 1;
    o->probing = 0;
    o->at = now;
    o->until = now + time;
}


int
mark_outlier_may_try(const mark_outlier_t *o, const mark_outlier_conf_t *conf,
    uint64_t now)
{
    if (!o->ejected) {
        return 1;
    }

    if (now < o->until) {
        return 0;
    }

    return !o->probing || (now > o->probe && now - o->probe >= conf->max);
}


void
mark_outlier_try(mark_outlier_t *o, uint64_t now)
{
    if (o->ejected) {
        o->probing = 1;
        o->probe = now;
    }
}


mark_outlier_status_t
mark_outlier_status(const mark_outlier_t *o, uint64_t now)
{
    if (!o->ejected) {
        return MARK_OUTLIER_HEALTHY;
    }

    return now < o->until ? MARK_OUTLIER_EJECTED : MARK_OUTLIER_PROBING;
}


int
mark_outlier_allowed(unsigned npeers, unsigned nejected, unsigned max_percent)
{
    if (max_percent == 0 || npeers == 0 || nejected >= npeers - 1) {
        return 0;
    }

    return nejected == 0
           || ((uint64_t) nejected + 1) * 100 <= (uint64_t) npeers
                                                 * max_percent;
}
