
/* Waiting, leaving and coming back: see ngx_http_mark_queue.c. */


#ifndef _NGX_HTTP_MARK_BATCH_H_INCLUDED_
#define _NGX_HTTP_MARK_BATCH_H_INCLUDED_


void ngx_http_mark_queues_init(ngx_http_mark_main_conf_t *mmcf);
ngx_http_mark_queue_t *ngx_http_mark_queues_get(
    ngx_http_mark_main_conf_t *mmcf, ngx_http_mark_loc_conf_t *mlcf,
    ngx_str_t *key);
void ngx_http_mark_queues_destroy(void *data);

void ngx_http_mark_queue_init(ngx_http_mark_queue_t *q);
ngx_int_t ngx_http_mark_queue_add(ngx_http_mark_main_conf_t *mmcf,
    ngx_http_mark_ctx_t *ctx);
void ngx_http_mark_queue_run(ngx_http_mark_queue_t *q);
void ngx_http_mark_queue_remove(ngx_http_mark_ctx_t *ctx);
mark_policy_reason_t ngx_http_mark_queue_next(ngx_http_mark_queue_t *q,
    mark_policy_state_t *state, uint64_t *again, ngx_http_mark_load_t *load);
void ngx_http_mark_queue_dispatch(ngx_http_mark_queue_t *q,
    ngx_http_mark_load_t *load, mark_policy_reason_t reason);
void ngx_http_mark_queue_shed(ngx_http_mark_queue_t *q,
    ngx_http_mark_ctx_t *ctx);

ngx_int_t ngx_http_mark_queue_take(ngx_http_mark_queue_t *q,
    ngx_http_mark_line_t *line, mark_policy_state_t *state,
    mark_policy_reason_t reason, ngx_http_mark_load_t *load);
ngx_uint_t ngx_http_mark_queue_leads(ngx_http_mark_queue_t *q,
    uint64_t now);
void ngx_http_mark_queue_trim(ngx_http_mark_queue_t *q);
void ngx_http_mark_queue_refuse(ngx_http_mark_queue_t *q,
    ngx_http_mark_item_t *item, ngx_uint_t late);

void ngx_http_mark_retry_batch(ngx_http_mark_batch_t *batch, ngx_uint_t halve);
void ngx_http_mark_retry(ngx_http_mark_queue_t *q, ngx_http_mark_ctx_t *ctx);
void ngx_http_mark_retry_run(ngx_http_mark_queue_t *q, uint64_t now);
void ngx_http_mark_retry_back(ngx_http_mark_queue_t *q);
void ngx_http_mark_retry_end(ngx_http_mark_ctx_t *ctx, ngx_uint_t well);

void ngx_http_mark_line_init(ngx_http_mark_line_t *line);
void ngx_http_mark_line_add(ngx_http_mark_line_t *line,
    ngx_http_mark_item_t *item);
void ngx_http_mark_line_remove(ngx_http_mark_line_t *line,
    ngx_http_mark_item_t *item);
ngx_http_mark_item_t *ngx_http_mark_line_first(ngx_http_mark_line_t *line);
ngx_http_mark_item_t *ngx_http_mark_line_oldest(ngx_http_mark_line_t *line);
ngx_http_mark_item_t *ngx_http_mark_line_last(ngx_http_mark_line_t *line);
ngx_int_t ngx_http_mark_line_before(ngx_http_mark_item_t *a,
    ngx_http_mark_item_t *b);
void ngx_http_mark_line_state(ngx_http_mark_line_t *line,
    ngx_http_mark_service_t *service, uint64_t now,
    mark_policy_state_t *state);
ngx_http_mark_item_t *ngx_http_mark_line_late(ngx_http_mark_line_t *line,
    mark_policy_conf_t *policy, ngx_uint_t action, ngx_uint_t overflow,
    mark_policy_state_t *state);
ngx_uint_t ngx_http_mark_line_take(ngx_http_mark_line_t *line,
    mark_policy_conf_t *policy, mark_policy_state_t *state,
    ngx_queue_t *taken);

void ngx_http_mark_service_init(ngx_http_mark_service_t *s);
ngx_http_mark_service_t *ngx_http_mark_service(ngx_http_mark_queue_t *q);
void ngx_http_mark_service_leave(ngx_http_mark_queue_t *q,
    ngx_http_mark_flight_t *flight);
void ngx_http_mark_service_sent(ngx_http_mark_queue_t *q, uint64_t now,
    ngx_uint_t rows, ngx_http_mark_flight_t *flight);
void ngx_http_mark_service_answered(ngx_http_mark_queue_t *q,
    ngx_http_mark_flight_t *flight, uint64_t usec, ngx_uint_t peers);
void ngx_http_mark_service_finish(ngx_http_mark_ctx_t *ctx, ngx_uint_t ok);
void ngx_http_mark_service_refused(ngx_http_mark_queue_t *q, ngx_uint_t n);
void ngx_http_mark_service_unsplit(ngx_http_mark_queue_t *q, ngx_uint_t n,
    const char *why);

ngx_http_mark_batch_t *ngx_http_mark_batch_create(ngx_http_mark_queue_t *q,
    ngx_uint_t n, const char *reason, ngx_http_mark_flight_t *flight);
void ngx_http_mark_batch_add(ngx_http_mark_batch_t *batch,
    ngx_http_mark_ctx_t *ctx);
void ngx_http_mark_batch_add_cell(ngx_http_mark_batch_t *batch,
    ngx_http_mark_cell_t *cell);
void ngx_http_mark_batch_start(ngx_http_mark_batch_t *batch);
void ngx_http_mark_batch_left(ngx_http_mark_batch_t *batch);
void ngx_http_mark_batch_leave(ngx_http_mark_ctx_t *ctx);
void ngx_http_mark_batch_done(ngx_http_mark_batch_t *batch);
ngx_http_mark_fate_e ngx_http_mark_batch_fate(
    ngx_http_mark_batch_t *batch);

char *ngx_http_mark_hedge_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
void ngx_http_mark_hedge_check(ngx_conf_t *cf,
    ngx_http_mark_main_conf_t *mmcf);
ngx_uint_t ngx_http_mark_hedge_on(ngx_http_mark_batch_t *batch);
uint64_t ngx_http_mark_hedge_after(uint64_t bound);
void ngx_http_mark_hedge_arm(ngx_http_mark_batch_t *batch, uint64_t bound);
ngx_http_mark_batch_t *ngx_http_mark_hedge_done(ngx_http_mark_batch_t *batch);
void ngx_http_mark_hedge_free(ngx_http_mark_batch_t *batch);

ngx_int_t ngx_http_mark_carrier_start(ngx_http_mark_batch_t *batch,
    ngx_http_mark_ctx_t *leader);
void ngx_http_mark_carrier_cancel(ngx_http_mark_batch_t *batch);
void ngx_http_mark_carrier_abort(ngx_http_mark_batch_t *batch);
ngx_http_mark_batch_t *ngx_http_mark_carrier_batch(ngx_http_request_t *r);
ngx_uint_t ngx_http_mark_carrier_peers(ngx_http_request_t *r);
ngx_int_t ngx_http_mark_carrier_init(ngx_cycle_t *cycle,
    ngx_http_mark_main_conf_t *mmcf);

ngx_int_t ngx_http_mark_bells_init(ngx_cycle_t *cycle);
ngx_int_t ngx_http_mark_bells_init_worker(ngx_cycle_t *cycle);
void ngx_http_mark_bell_ring(ngx_uint_t worker);
void ngx_http_mark_bell_again(void);
ngx_uint_t ngx_http_mark_bells_n(void);
ngx_pid_t ngx_http_mark_bells_pid(ngx_uint_t worker);

char *ngx_http_mark_share_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_http_mark_share_zone(ngx_conf_t *cf,
    ngx_http_mark_main_conf_t *mmcf);
void ngx_http_mark_share_init_worker(ngx_http_mark_main_conf_t *mmcf);
ngx_uint_t ngx_http_mark_share_broken(void);
ngx_http_mark_shared_t *ngx_http_mark_share_queue(ngx_str_t *key,
    ngx_rbtree_key_t hash);
void ngx_http_mark_share_forget(ngx_http_mark_shared_t *sq);
ngx_int_t ngx_http_mark_share_usage(ngx_http_mark_usage_t *usage);

ngx_int_t ngx_http_mark_capture_init(ngx_conf_t *cf);
void ngx_http_mark_capture_finish(ngx_http_mark_batch_t *batch,
    ngx_http_request_t *r);


#endif /* _NGX_HTTP_MARK_BATCH_H_INCLUDED_ */
