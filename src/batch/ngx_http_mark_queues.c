
/*
 * The queues of a worker, found by key.  A queue stays for a while when it
 * has become empty, for what it has learned; the one that was not used for
 * the longest time goes first.
 */


#include "ngx_http_mark.h"


/* An idle queue is kept this long, in seconds, and at most so many are. */
#define NGX_HTTP_MARK_QUEUES_IDLE  300
#define NGX_HTTP_MARK_QUEUES_MAX   4096


static ngx_http_mark_queue_t *ngx_http_mark_queues_find(
    ngx_http_mark_main_conf_t *mmcf, ngx_str_t *key, ngx_rbtree_key_t hash);
static ngx_http_mark_queue_t *ngx_http_mark_queues_create(
    ngx_http_mark_main_conf_t *mmcf, ngx_http_mark_loc_conf_t *mlcf,
    ngx_str_t *key, ngx_rbtree_key_t hash);
static void ngx_http_mark_queues_expire(ngx_http_mark_main_conf_t *mmcf);
static void ngx_http_mark_queues_free(ngx_http_mark_queue_t *q);
static void ngx_http_mark_queues_insert(ngx_rbtree_node_t *temp,
    ngx_rbtree_node_t *node, ngx_rbtree_node_t *sentinel);


void
ngx_http_mark_queues_init(ngx_http_mark_main_conf_t *mmcf)
{
    ngx_rbtree_init(&mmcf->queues, &mmcf->sentinel,
                    ngx_http_mark_queues_insert);
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

    q = ngx_http_mark_queues_find(mmcf, key, hash);

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
ngx_http_mark_queues_find(ngx_http_mark_main_conf_t *mmcf, ngx_str_t *key,
    ngx_rbtree_key_t hash)
{
    ngx_int_t               rc;
    ngx_rbtree_node_t      *node, *sentinel;
    ngx_http_mark_queue_t  *q;

    node = mmcf->queues.root;
    sentinel = mmcf->queues.sentinel;

    while (node != sentinel) {

        if (hash != node->key) {
            node = (hash < node->key) ? node->left : node->right;
            continue;
        }

        q = (ngx_http_mark_queue_t *) node;

        rc = ngx_memn2cmp(key->data, q->key.data, key->len, q->key.len);

        if (rc == 0) {
            return q;
        }

        node = (rc < 0) ? node->left : node->right;
    }

    return NULL;
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

    q->key.len = key->len;
    q->key.data = (u_char *) q + sizeof(ngx_http_mark_queue_t);
    ngx_memcpy(q->key.data, key->data, key->len);

    q->main = mmcf;
    q->conf = mlcf;
    ngx_http_mark_queue_init(q);

    q->node.key = hash;

    ngx_rbtree_insert(&mmcf->queues, &q->node);
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
            && q->service.in_flight == 0 && !q->event.posted
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

    ngx_queue_remove(&q->lru);
    ngx_rbtree_delete(&q->main->queues, &q->node);
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
}


static void
ngx_http_mark_queues_insert(ngx_rbtree_node_t *temp, ngx_rbtree_node_t *node,
    ngx_rbtree_node_t *sentinel)
{
    ngx_rbtree_node_t      **p;
    ngx_http_mark_queue_t   *q, *t;

    for ( ;; ) {

        if (node->key != temp->key) {
            p = (node->key < temp->key) ? &temp->left : &temp->right;

        } else {
            q = (ngx_http_mark_queue_t *) node;
            t = (ngx_http_mark_queue_t *) temp;

            p = (ngx_memn2cmp(q->key.data, t->key.data, q->key.len, t->key.len)
                 < 0)
                ? &temp->left : &temp->right;
        }

        if (*p == sentinel) {
            break;
        }

        temp = *p;
    }

    *p = node;
    node->parent = temp;
    node->left = sentinel;
    node->right = sentinel;
    ngx_rbt_red(node);
}
