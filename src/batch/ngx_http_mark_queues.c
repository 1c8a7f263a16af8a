
/*
 * The queues of a worker, found by key.  A queue stays for a while when it
 * has become empty, for what it has learned; the one that was not used for
 * the longest time goes first.
 */


#include "ngx_http_mark.h"
#include "ngx_http_mark_pool.h"


/* An idle queue is kept this long, in seconds, and at most so many are. */
#define NGX_HTTP_MARK_QUEUES_IDLE  300
#define NGX_HTTP_MARK_QUEUES_MAX   4096


static ngx_http_mark_queue_t *ngx_http_mark_queues_create(
    ngx_http_mark_main_conf_t *mmcf, ngx_http_mark_loc_conf_t *mlcf,
    ngx_str_t *key, ngx_rbtree_key_t hash);
static void ngx_http_mark_queues_expire(ngx_http_mark_main_conf_t *mmcf);
static void ngx_http_mark_queues_free(ngx_http_mark_queue_t *q);


void
ngx_http_mark_queues_init(ngx_http_mark_main_conf_t *mmcf)
{
    ngx_rbtree_init(&mmcf->queues, &mmcf->sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_queue_init(&mmcf->lru);
}


/* The queue of this key, made if there is none; NULL: no memory. */

ngx_http_mark_queue_t *
ngx_http_mark_queues_get(ngx_http_mark_main_conf_t *mmcf,
    ngx_http_mark_loc_conf_t *mlcf, ngx_str_t *key)
{
    ngx_rbtree_key_t        hash;
    ngx_http_mark_queue_t  *q;

    hash = ngx_murmur_hash2(key->data, key->len);

    q = (ngx_http_mark_queue_t *)
            ngx_str_rbtree_lookup(&mmcf->queues, key, hash);

    if (q == NULL) {
        q = ngx_http_mark_queues_create(mmcf, mlcf, key, hash);
        if (q == NULL) {
            return NULL;
        }
    }

    q->used = ngx_time();

    ngx_queue_remove(&q->lru);
    ngx_queue_insert_tail(&mmcf->lru, &q->lru);

    return q;
}


static ngx_http_mark_queue_t *
ngx_http_mark_queues_create(ngx_http_mark_main_conf_t *mmcf,
    ngx_http_mark_loc_conf_t *mlcf, ngx_str_t *key, ngx_rbtree_key_t hash)
{
    ngx_http_mark_queue_t  *q;

    ngx_http_mark_queues_expire(mmcf);

    q = ngx_calloc(sizeof(ngx_http_mark_queue_t) + key->len, ngx_cycle->log);
    if (q == NULL) {
        return NULL;
    }

    q->sn.str.len = key->len;
    q->sn.str.data = (u_char *) q + sizeof(ngx_http_mark_queue_t);
    ngx_memcpy(q->sn.str.data, key->data, key->len);

    q->main = mmcf;
    q->conf = mlcf;
    ngx_http_mark_queue_init(q);

    q->sn.node.key = hash;

    q->shared = ngx_http_mark_share_queue(key, hash);

    ngx_rbtree_insert(&mmcf->queues, &q->sn.node);
    ngx_queue_insert_tail(&mmcf->lru, &q->lru);
    mmcf->nqueues++;

    return q;
}


/* Frees up to two idle queues, or as many as it takes to stay in bounds. */

static void
ngx_http_mark_queues_expire(ngx_http_mark_main_conf_t *mmcf)
{
    ngx_uint_t              n;
    ngx_queue_t            *link, *next;
    ngx_http_mark_queue_t  *q;

    n = 0;

    for (link = ngx_queue_head(&mmcf->lru);
         link != ngx_queue_sentinel(&mmcf->lru) && n < 2;
         link = next)
    {
        next = ngx_queue_next(link);
        q = ngx_queue_data(link, ngx_http_mark_queue_t, lru);

        if (mmcf->nqueues < NGX_HTTP_MARK_QUEUES_MAX
            && q->used + NGX_HTTP_MARK_QUEUES_IDLE > ngx_time())
        {
            return;
        }

        /* one that was used in this round may be in a caller's hands */

        if (q->line.nitems == 0 && q->nretries == 0 && q->nshed == 0
            && q->service.in_flight == 0 && q->ncells == 0 && q->flying == 0
            && !q->event.posted
            && q->used != ngx_time())
        {
            ngx_http_mark_queues_free(q);
            n++;
        }
    }
}


static void
ngx_http_mark_queues_free(ngx_http_mark_queue_t *q)
{
    if (q->event.timer_set) {
        ngx_del_timer(&q->event);
    }

    if (q->event.posted) {
        ngx_delete_posted_event(&q->event);
    }

    ngx_http_mark_gate_unblock(q);
    ngx_http_mark_pool_unwait(q);

    ngx_queue_remove(&q->lru);
    if (q->shared) {
        ngx_http_mark_share_forget(q->shared);
    }

    ngx_rbtree_delete(&q->main->queues, &q->sn.node);
    q->main->nqueues--;

    ngx_free(q);
}


/* The configuration goes, as it does in a process without a master. */

void
ngx_http_mark_queues_destroy(void *data)
{
    ngx_http_mark_main_conf_t *mmcf = data;

    ngx_http_mark_queue_t  *q;

    while (!ngx_queue_empty(&mmcf->lru)) {
        q = ngx_queue_data(ngx_queue_head(&mmcf->lru), ngx_http_mark_queue_t,
                           lru);
        ngx_http_mark_queues_free(q);
    }

    ngx_http_mark_gates_destroy(mmcf);
}
