
/*
 * When the servers of a pool are checked, and what comes of it.
 *
 * A timer of a pool starts the checks that are due; the lock is taken only to
 * look at slots that have changed, and at each that is checked or judged.  A
 * check and the timer know a slot by its generation: what comes of a check of
 * a server that has left is nothing.
 */


#include "ngx_http_mark_health.h"


/* How often the timer runs, msec: for the many, and for the few. */
#define NGX_HTTP_MARK_HEALTH_TICK   10
#define NGX_HTTP_MARK_HEALTH_LOOK   100


static void ngx_http_mark_health_tick(ngx_event_t *ev);
static void ngx_http_mark_health_look(ngx_http_mark_health_t *health);
static ngx_uint_t ngx_http_mark_health_wanted(ngx_http_mark_slot_t *slot);
static void ngx_http_mark_health_forget(ngx_http_mark_pool_t *pool);


ngx_int_t
ngx_http_mark_health_start(ngx_http_mark_pool_t *pool, ngx_cycle_t *cycle)
{
    ngx_http_mark_health_t  *health;

    health = pool->health;

    if (health == NULL) {
        ngx_http_mark_health_forget(pool);
        return NGX_OK;
    }

    health->watches = ngx_pcalloc(cycle->pool,
                                  pool->nslots
                                  * sizeof(ngx_http_mark_watch_t));
    if (health->watches == NULL) {
        return NGX_ERROR;
    }

    health->timer.handler = ngx_http_mark_health_tick;
    health->timer.data = health;
    health->timer.log = cycle->log;
    health->timer.cancelable = 1;

    ngx_add_timer(&health->timer, 1);

    return NGX_OK;
}


/* With "mark_health" gone, what it said last must not count for ever. */

static void
ngx_http_mark_health_forget(ngx_http_mark_pool_t *pool)
{
    ngx_uint_t  i;

    ngx_shmtx_lock(pool->mutex);

    for (i = 0; i < pool->node->top; i++) {
        pool->node->slots[i].health = NGX_HTTP_MARK_HEALTH_UNKNOWN;
    }

    ngx_shmtx_unlock(pool->mutex);
}


void
ngx_http_mark_health_stop(ngx_http_mark_pool_t *pool)
{
    ngx_uint_t               i;
    ngx_http_mark_health_t  *health;

    health = pool->health;

    if (health == NULL || health->watches == NULL) {
        return;
    }

    if (health->timer.timer_set) {
        ngx_del_timer(&health->timer);
    }

    for (i = 0; i < pool->nslots; i++) {
        if (health->watches[i].check) {
            ngx_http_mark_check_close(health->watches[i].check);
        }
    }
}


static void
ngx_http_mark_health_tick(ngx_event_t *ev)
{
    ngx_uint_t               i;
    ngx_msec_t               now, wait;
    ngx_msec_int_t           left;
    ngx_http_mark_watch_t   *watch;
    ngx_http_mark_health_t  *health;

    health = ev->data;

    if (!ngx_http_mark_keeper(health->pool)) {
        return;
    }

    if (health->changed != health->pool->node->changed) {
        ngx_http_mark_health_look(health);
    }

    now = ngx_current_msec;
    wait = NGX_HTTP_MARK_HEALTH_LOOK;

    for (i = 0; i < health->pool->nslots; i++) {
        watch = &health->watches[i];

        if (watch->generation == 0 || watch->check) {
            continue;
        }

        left = (ngx_msec_int_t) (watch->due - now);

        if (left <= 0) {

            /* a tenth more or less, lest many nginx's go in step */

            left = health->interval - health->interval / 10
                   + ngx_random() % (health->interval / 5 + 1);
            watch->due = now + left;

            ngx_http_mark_check_start(health, i);
        }

        wait = ngx_min(wait, (ngx_msec_t) left);
    }

    ngx_add_timer(ev, ngx_max(wait, NGX_HTTP_MARK_HEALTH_TICK));
}


/*
 * Slots have changed.  A single newcomer is checked at once, which is what
 * one that boots waits for; many are spread over an interval.
 */

static void
ngx_http_mark_health_look(ngx_http_mark_health_t *health)
{
    ngx_uint_t              i, k, n;
    ngx_http_mark_slot_t   *slot;
    ngx_http_mark_pool_t   *pool;
    ngx_http_mark_watch_t  *watch;

    pool = health->pool;
    n = 0;

    ngx_shmtx_lock(pool->mutex);

    health->changed = pool->node->changed;

    for (i = 0; i < pool->nslots; i++) {
        slot = &pool->node->slots[i];
        watch = &health->watches[i];

        if (i >= pool->node->top || !ngx_http_mark_health_wanted(slot)) {
            watch->generation = 0;
            continue;
        }

        if (watch->generation != slot->generation) {
            watch->generation = slot->generation;
            watch->passes = 0;
            watch->fails = 0;
            watch->due = 0;
            n++;
        }
    }

    ngx_shmtx_unlock(pool->mutex);

    k = 0;

    for (i = 0; i < pool->nslots; i++) {
        watch = &health->watches[i];

        if (watch->check && watch->check->generation != watch->generation) {
            ngx_http_mark_check_close(watch->check);
        }

        if (watch->generation && watch->due == 0) {
            watch->due = ngx_current_msec + k++ * health->interval / n;
        }
    }
}


static ngx_uint_t
ngx_http_mark_health_wanted(ngx_http_mark_slot_t *slot)
{
    return (slot->state == NGX_HTTP_MARK_SLOT_READY
            || slot->state == NGX_HTTP_MARK_SLOT_WARMING)
           && !slot->down;
}


/* The check has passed or failed, for that reason. */

void
ngx_http_mark_health_result(ngx_http_mark_check_t *check, ngx_uint_t ok,
    u_char *reason)
{
    uint64_t                 now;
    ngx_uint_t               level, was, is;
    ngx_http_mark_pool_t    *pool;
    ngx_http_mark_slot_t    *slot;
    ngx_http_mark_watch_t   *watch;
    ngx_http_mark_health_t  *health;

    health = check->health;
    pool = health->pool;
    watch = &health->watches[check->slot];

    if (watch->generation != check->generation || !ngx_http_mark_keeper(pool))
    {
        return;
    }

    if (ok) {
        watch->passes++;
        watch->fails = 0;
        is = NGX_HTTP_MARK_HEALTH_UP;

        if (watch->passes < health->passes) {
            return;
        }

    } else {
        watch->fails++;
        watch->passes = 0;
        is = NGX_HTTP_MARK_HEALTH_DOWN;

        if (watch->fails < health->fails) {
            return;
        }
    }

    now = ngx_http_mark_now();
    level = NGX_LOG_NOTICE;

    ngx_shmtx_lock(pool->mutex);

    slot = &pool->node->slots[check->slot];
    was = slot->health;

    if (slot->generation != check->generation
        || !ngx_http_mark_health_wanted(slot)
        || was == is)
    {
        ngx_shmtx_unlock(pool->mutex);
        return;
    }

    slot->health = is;

    if (ok) {
        if (was == NGX_HTTP_MARK_HEALTH_DOWN
            || slot->state == NGX_HTTP_MARK_SLOT_WARMING)
        {
            slot->fresh = now;

        } else {
            /* so it was thought to be */
            level = NGX_LOG_INFO;
        }

        if (was == NGX_HTTP_MARK_HEALTH_DOWN) {

            /* failures of what was sent until now are old news */

            ngx_memzero(&slot->outlier, sizeof(mark_outlier_t));
            slot->outlier.at = now;
        }
    }

    ngx_shmtx_unlock(pool->mutex);

    if (check->name.len == check->addr.len
        && ngx_strncmp(check->name.data, check->addr.data, check->name.len)
           == 0)
    {
        ngx_log_error(level, pool->log, 0,
                      "mark: server \"%V\" of upstream \"%V\" is %s: %s",
                      &check->name, &pool->name, ok ? "up" : "down", reason);

    } else {
        ngx_log_error(level, pool->log, 0,
                      "mark: server \"%V\" (%V) of upstream \"%V\" is %s: %s",
                      &check->name, &check->addr, &pool->name,
                      ok ? "up" : "down", reason);
    }
}
