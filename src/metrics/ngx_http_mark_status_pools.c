
/*
 * The pools in mark_status.  Slots change while they are read, and requests
 * wait for the same lock: each is copied on its own, and what is written is
 * the copies.
 */


#include "ngx_http_mark.h"
#include "ngx_http_mark_status.h"


static ngx_int_t ngx_http_mark_pool_view(ngx_pool_t *memory,
    ngx_http_mark_pool_t *pool, ngx_http_mark_pool_view_t *view);
static u_char *ngx_http_mark_status_pool(u_char *p,
    ngx_http_mark_pool_view_t *view);
static u_char *ngx_http_mark_status_plan(u_char *p,
    ngx_http_mark_pool_view_t *view);
static u_char *ngx_http_mark_status_slot(u_char *p,
    ngx_http_mark_pool_view_t *view, ngx_http_mark_slot_t *slot);
static u_char *ngx_http_mark_status_kinds(u_char *p,
    ngx_http_mark_pool_view_t *view, ngx_http_mark_slot_t *slot);
static u_char *ngx_http_mark_status_text(u_char *p, const char *name,
    u_char *text);


static const char *const  ngx_http_mark_slot_states[] = {
    "empty", "warming", "ready", "draining"
};

static const char *const  ngx_http_mark_healths[] = {
    "unknown", "up", "down"
};

static const char *const  ngx_http_mark_outliers[] = {
    "healthy", "ejected", "probing"
};


/* Copies what all pools are at this time; NULL: there is no memory. */

ngx_array_t *
ngx_http_mark_pool_views(ngx_pool_t *memory, ngx_http_mark_main_conf_t *mmcf)
{
    ngx_uint_t                  i;
    ngx_array_t                *views;
    ngx_http_mark_pool_t      **poolp;
    ngx_http_mark_pool_view_t  *view;

    poolp = mmcf->pools.elts;

    views = ngx_array_create(memory, mmcf->pools.nelts + 1,
                             sizeof(ngx_http_mark_pool_view_t));
    if (views == NULL) {
        return NULL;
    }

    for (i = 0; i < mmcf->pools.nelts; i++) {
        view = ngx_array_push(views);

        if (ngx_http_mark_pool_view(memory, poolp[i], view) != NGX_OK) {
            return NULL;
        }
    }

    return views;
}


static ngx_int_t
ngx_http_mark_pool_view(ngx_pool_t *memory, ngx_http_mark_pool_t *pool,
    ngx_http_mark_pool_view_t *view)
{
    ngx_uint_t                  i, n;
    ngx_http_mark_slot_t       *slot;
    ngx_http_mark_pool_node_t  *node;

    node = pool->node;

    ngx_shmtx_lock(pool->mutex);

    view->node = *node;

    ngx_shmtx_unlock(pool->mutex);

    view->pool = pool;
    view->now = ngx_http_mark_now();
    view->nslots = 0;

    /* what comes meanwhile is seen the next time */

    n = view->node.top;

    view->slots = ngx_palloc(memory, ngx_max(n, 1)
                                     * sizeof(ngx_http_mark_slot_t));
    if (view->slots == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        slot = &view->slots[view->nslots];

        ngx_shmtx_lock(pool->mutex);

        *slot = node->slots[i];

        ngx_shmtx_unlock(pool->mutex);

        if (slot->state != NGX_HTTP_MARK_SLOT_EMPTY) {
            view->nslots++;
        }
    }

    return NGX_OK;
}


const char *
ngx_http_mark_slot_state(ngx_uint_t state)
{
    return ngx_http_mark_slot_states[state];
}


/* Of what it could have by its latency, so much it gets. */

double
ngx_http_mark_slot_share(ngx_http_mark_pool_view_t *view,
    ngx_http_mark_slot_t *slot)
{
    ngx_http_mark_pool_t  *pool;

    pool = view->pool;

    return mark_slowstart(ngx_max(slot->fresh, slot->outlier.healthy),
                          pool->slow_start, view->now)
           * mark_pressure_factor(&slot->pressure, &pool->pressure, view->now);
}


/* Plans have the time of day, and what is kept of them has not. */

double
ngx_http_mark_plan_applied(ngx_http_mark_pool_view_t *view)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return tp->sec + tp->msec / 1000.0
           - (view->now - view->node.plan.applied) / 1000000.0;
}


size_t
ngx_http_mark_status_pools_size(ngx_array_t *views)
{
    size_t                      size;
    ngx_uint_t                  i, k;
    ngx_http_mark_slot_t       *slot;
    ngx_http_mark_pool_view_t  *view;

    size = 0;
    view = views->elts;

    for (i = 0; i < views->nelts; i++) {
        size += NGX_HTTP_MARK_STATUS_POOL + 6 * view[i].pool->name.len;

        for (k = 0; k < view[i].nslots; k++) {
            slot = &view[i].slots[k];

            size += NGX_HTTP_MARK_STATUS_SLOT
                    + NGX_HTTP_MARK_KINDS * NGX_HTTP_MARK_STATUS_KIND
                    + 6 * (ngx_strlen(slot->addr) + ngx_strlen(slot->name)
                           + ngx_strlen(slot->id) + ngx_strlen(slot->class));
        }
    }

    return size;
}


u_char *
ngx_http_mark_status_pools(u_char *p, ngx_array_t *views)
{
    ngx_uint_t                  i;
    ngx_http_mark_pool_view_t  *view;

    view = views->elts;

    p = ngx_sprintf(p, " \"pools\": [");

    for (i = 0; i < views->nelts; i++) {
        p = ngx_sprintf(p, "%s\n", i ? "," : "");
        p = ngx_http_mark_status_pool(p, &view[i]);
    }

    return ngx_sprintf(p, "\n ]");
}


static u_char *
ngx_http_mark_status_pool(u_char *p, ngx_http_mark_pool_view_t *view)
{
    ngx_str_t                  *name;
    ngx_uint_t                  i;
    ngx_http_mark_pool_node_t  *node;

    node = &view->node;
    name = &view->pool->name;

    p = ngx_sprintf(p, "  {\"upstream\": \"");
    p = (u_char *) ngx_escape_json(p, name->data, name->len);
    p = ngx_sprintf(p, "\", \"slots\": %ui,\n   \"plan\": ", node->nslots);

    p = ngx_http_mark_status_plan(p, view);

    p = ngx_sprintf(p, ",\n   \"retried\": %uA, \"retry_refused\": %uA, "
                       "\"no_peer\": %uA, \"hedged\": %uA,\n"
                       "   \"servers\": [",
                    node->retried, node->retry_refused, node->no_peer,
                    node->hedged);

    for (i = 0; i < view->nslots; i++) {
        p = ngx_sprintf(p, "%s\n", i ? "," : "");
        p = ngx_http_mark_status_slot(p, view, &view->slots[i]);
    }

    return ngx_sprintf(p, "\n   ]}");
}


/* null: there was none, not even one that was refused. */

static u_char *
ngx_http_mark_status_plan(u_char *p, ngx_http_mark_pool_view_t *view)
{
    ngx_http_mark_plan_state_t  *plan;

    plan = &view->node.plan;

    if (plan->stamp.version == 0 && plan->accepted == 0 && plan->refused == 0)
    {
        return ngx_sprintf(p, "null");
    }

    p = ngx_sprintf(p, "{\"version\": %uL, ", plan->stamp.version);

    if (plan->stamp.version) {
        p = ngx_sprintf(p, "\"issued\": %.3f, \"expires\": %.3f, "
                           "\"applied\": %.3f, ",
                        plan->stamp.issued, plan->expires,
                        ngx_http_mark_plan_applied(view));
    }

    return ngx_sprintf(p, "\"accepted\": %uA, \"refused\": %uA}",
                       plan->accepted, plan->refused);
}


static u_char *
ngx_http_mark_status_slot(u_char *p, ngx_http_mark_pool_view_t *view,
    ngx_http_mark_slot_t *slot)
{
    ngx_uint_t  outlier;

    outlier = mark_outlier_status(&slot->outlier, view->now);

    p = ngx_http_mark_status_text(p, "    {\"server\": \"", slot->addr);
    p = ngx_http_mark_status_text(p, ", \"name\": \"", slot->name);
    p = ngx_http_mark_status_text(p, ", \"id\": \"", slot->id);
    p = ngx_http_mark_status_text(p, ", \"class\": \"", slot->class);

    p = ngx_sprintf(p, ",\n     \"state\": \"%s\", \"health\": \"%s\", "
                       "\"outlier\": \"%s\", "
                       "\"backup\": %s, \"down\": %s,\n"
                       "     \"price\": %.6f, \"weight\": %ui, "
                       "\"concurrency\": %ui, \"max_batch\": %ui, "
                       "\"share\": %.3f,\n",
                    ngx_http_mark_slot_states[slot->state],
                    ngx_http_mark_healths[slot->health],
                    ngx_http_mark_outliers[outlier],
                    slot->backup ? "true" : "false",
                    slot->down ? "true" : "false",
                    ngx_min(slot->price, NGX_HTTP_MARK_STATUS_MAX),
                    slot->weight, slot->concurrency, slot->max_batch,
                    ngx_http_mark_slot_share(view, slot));

    p = ngx_sprintf(p, "     \"in_flight\": %uD, \"requests\": %uA, "
                       "\"rows\": %uA, \"failures\": %uA, "
                       "\"ejections\": %uA, \"explored\": %uA,\n"
                       "     \"busy_seconds\": %uL.%06uL, "
                       "\"cost\": %.9f,\n     \"learned\": [",
                    slot->in_flight, slot->requests, slot->rows,
                    slot->failures, slot->ejections, slot->explored,
                    slot->busy / 1000000, slot->busy % 1000000,
                    ngx_min(slot->cost, NGX_HTTP_MARK_STATUS_MAX));

    p = ngx_http_mark_status_kinds(p, view, slot);

    return ngx_sprintf(p, "]}");
}


/* Only of kinds of requests whose latency is known. */

static u_char *
ngx_http_mark_status_kinds(u_char *p, ngx_http_mark_pool_view_t *view,
    ngx_http_mark_slot_t *slot)
{
    ngx_uint_t             k, n;
    mark_latency_t        *l;
    ngx_http_mark_kind_t  *kind;

    n = 0;

    for (k = 0; k < NGX_HTTP_MARK_KINDS; k++) {
        l = &slot->latency[k];
        kind = &view->node.kinds[k];

        if (kind->used == 0 || !mark_latency_known(l)) {
            continue;
        }

        p = ngx_sprintf(p, "%s\n      {\"kind\": \"%08xD\", "
                           "\"base_seconds\": %.6f, \"row_seconds\": %.9f, "
                           "\"residual_seconds\": %.6f, "
                           "\"concurrency\": %ui}",
                        n++ ? "," : "", kind->hash, l->a / 1e6, l->b / 1e6,
                        l->residual / 1e6,
                        (ngx_uint_t) mark_latency_limit(l));
    }

    return p;
}


static u_char *
ngx_http_mark_status_text(u_char *p, const char *name, u_char *text)
{
    p = ngx_sprintf(p, "%s", name);
    p = (u_char *) ngx_escape_json(p, text, ngx_strlen(text));

    return ngx_sprintf(p, "\"");
}
