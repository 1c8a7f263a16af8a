
/*
 * The budget of a location's overflow: what the directive and the plan allow,
 * and what is left of that.  All with the lock held.
 */


#include "ngx_http_mark_overflow.h"
#include "ngx_http_mark_pool.h"


/* With all places taken, dead processes are looked for so often; usec. */
#define NGX_HTTP_MARK_OVERFLOW_BURY  1000000


/* A place that a dead process holds is none. */

mark_budget_status_t
ngx_http_mark_overflow_budget(ngx_http_mark_main_conf_t *mmcf,
    ngx_http_mark_overflow_state_t *o, uint64_t cost,
    mark_budget_limits_t *limits, uint64_t now)
{
    ngx_slab_pool_t       *shpool;
    mark_budget_status_t   status;

    status = mark_budget_take(&o->budget, limits, now, cost);

    if (status != MARK_BUDGET_CONCURRENCY
        || now < o->buried + NGX_HTTP_MARK_OVERFLOW_BURY)
    {
        return status;
    }

    shpool = (ngx_slab_pool_t *) mmcf->zone->shm.addr;

    o->buried = now;
    ngx_http_mark_overflow_bury(o, shpool->data, now);

    return mark_budget_take(&o->budget, limits, now, cost);
}


/* What the directive and the plan allow; 0: nothing. */

ngx_uint_t
ngx_http_mark_overflow_limits(ngx_http_mark_loc_conf_t *mlcf,
    mark_budget_limits_t *limits)
{
    double                      rate, concurrency, cost;
    ngx_uint_t                  armed;
    mark_plan_overflow_t       *plan;
    ngx_http_mark_overflow_t   *overflow;
    ngx_http_mark_pool_node_t  *node;

    overflow = mlcf->overflow;

    rate = overflow->rate;
    concurrency = overflow->concurrency;
    cost = overflow->cost;
    armed = overflow->armed;

    node = mlcf->pool ? mlcf->pool->node : NULL;

    /* a plan that has expired no longer spends anybody's money */

    if (node && node->plan.stamp.version && node->plan.overflow.given) {
        plan = &node->plan.overflow;

        armed = plan->armed && node->plan.expires > (double) ngx_time();

        if (plan->requests_per_second >= 0) {
            rate = ngx_min(rate, plan->requests_per_second);
        }

        if (plan->concurrency >= 0) {
            concurrency = ngx_min(concurrency, plan->concurrency);
        }

        if (plan->cost_per_hour >= 0) {
            cost = ngx_min(cost, plan->cost_per_hour);
        }
    }

    return armed
           && mark_budget_limits(limits, rate, concurrency, cost) == 0;
}


/* Tells whether the hour's money does not suffice for another batch. */

ngx_uint_t
ngx_http_mark_overflow_broke(ngx_http_mark_overflow_state_t *o,
    mark_budget_limits_t *limits, uint64_t request_cost, uint64_t now)
{
    uint64_t  cost, spent;

    cost = ngx_max(o->expected, request_cost);
    spent = mark_budget_spent(&o->budget, now) + o->budget.reserved;

    return limits->cost != MARK_BUDGET_UNLIMITED
           && spent + cost > limits->cost;
}


/* Nobody will tell what those cost: it is taken for spent. */

void
ngx_http_mark_overflow_bury(ngx_http_mark_overflow_state_t *o,
    ngx_http_mark_shm_t *shm, uint64_t now)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_MARK_SEATS; i++) {

        if ((o->held[i] == 0 && o->reserved[i] == 0)
            || ngx_http_mark_alive(shm->seats[i]))
        {
            continue;
        }

        mark_budget_forfeit(&o->budget, now, o->held[i], o->reserved[i]);

        o->spent += o->reserved[i];
        o->held[i] = 0;
        o->reserved[i] = 0;
    }
}
