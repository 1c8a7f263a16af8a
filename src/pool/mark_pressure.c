
/* The share of a loaded peer: see mark_pressure.h. */


#include "mark_pressure.h"


static double mark_pressure_ramp(double value, double low, double high);


void
mark_pressure_report(mark_pressure_t *p, const mark_pressure_conf_t *conf,
    const mark_orca_t *report, uint64_t now)
{
    double    target, share, utilization, weight;
    uint64_t  age;

    utilization = report->application_utilization;

    if (utilization == 0) {
        utilization = report->cpu_utilization;
    }

    target = mark_pressure_ramp(utilization, MARK_PRESSURE_LOW,
                                MARK_PRESSURE_HIGH);

    if (report->found && conf->high > 0) {
        share = mark_pressure_ramp(report->named, conf->low, conf->high);

        if (share < target) {
            target = share;
        }
    }

    if (!p->reported) {
        p->reported = 1;
        p->share = target;
        p->at = now;
        return;
    }

    /*
     * age / (age + tau) is what a low-pass filter does in one step of any
     * length.  Many short steps come to the exponential, and it needs none.
     */

    age = (now > p->at) ? now - p->at : 0;
    weight = conf->tau ? age / ((double) age + conf->tau) : 1;

    share = mark_pressure_factor(p, conf, now);

    p->share = share + weight * (target - share);
    p->at += age;
}


double
mark_pressure_factor(const mark_pressure_t *p,
    const mark_pressure_conf_t *conf, uint64_t now)
{
    uint64_t  age;

    if (!p->reported) {
        return 1;
    }

    age = (now > p->at) ? now - p->at : 0;

    if (age <= conf->ttl) {
        return p->share;
    }

    age -= conf->ttl;

    if (age >= conf->ttl) {
        return 1;
    }

    return p->share + (1 - p->share) * age / conf->ttl;
}


/* Thresholds that are equal, or the wrong way round, make a step. */

static double
mark_pressure_ramp(double value, double low, double high)
{
    if (!(value > low)) {
        return 1;
    }

    if (value >= high) {
        return MARK_PRESSURE_MIN;
    }

    return 1 - (1 - MARK_PRESSURE_MIN) * (value - low) / (high - low);
}
