
/*
 * The carrier's request, made after the picture of its leader's: what
 * ngx_http_create_request() and the phases before the content leave behind.
 * All of it is copied.
 */


#include "ngx_http_mark.h"
#include "ngx_http_mark_carrier.h"
#include "ngx_http_mark_overflow.h"


static ngx_http_request_t *ngx_http_mark_carrier_create(ngx_connection_t *c,
    ngx_http_request_t *lr);
static ngx_int_t ngx_http_mark_carrier_location(ngx_http_request_t *r,
    void **loc_conf);
static ngx_int_t ngx_http_mark_carrier_line(ngx_http_request_t *r,
    ngx_http_request_t *lr);
static ngx_int_t ngx_http_mark_carrier_variables(ngx_http_request_t *r,
    ngx_http_request_t *lr);
static ngx_int_t ngx_http_mark_carrier_body(ngx_http_request_t *r,
    ngx_buf_t *body);


/*
 * Variables whose value is the client connection's: evaluated with the leader
 * and stored in the carrier, which has no TLS, no proxy protocol, and so on.
 * And $request_id, so that the backend's log can be found from the leader's.
 */

static ngx_str_t  ngx_http_mark_carrier_of_client[] = {
    ngx_string("scheme"),
    ngx_string("https"),
    ngx_string("http2"),
    ngx_string("http3"),
    ngx_string("ssl_"),
    ngx_string("proxy_protocol_"),
    ngx_string("realip_"),
    ngx_string("request_id"),
    ngx_null_string
};


/*
 * A request on c that is to the location's handler what the leader lr is, but
 * with the batch's body.  NULL: no memory.
 */

ngx_http_request_t *
ngx_http_mark_carrier_request(ngx_connection_t *c, ngx_http_request_t *lr,
    ngx_http_mark_batch_t *batch)
{
    void                **loc_conf;
    ngx_http_request_t   *r;

    r = ngx_http_mark_carrier_create(c, lr);
    if (r == NULL) {
        return NULL;
    }

    loc_conf = batch->away ? batch->conf->overflow->location->loc_conf
                           : lr->loc_conf;

    if (ngx_http_mark_carrier_location(r, loc_conf) != NGX_OK
        || ngx_http_mark_carrier_line(r, lr) != NGX_OK
        || ngx_http_mark_carrier_variables(r, lr) != NGX_OK
        || ngx_http_mark_carrier_body(r, batch->body) != NGX_OK
        || ngx_http_mark_carrier_headers(r, lr, batch) != NGX_OK)
    {
        ngx_destroy_pool(r->pool);
        return NULL;
    }

    return r;
}


/* What ngx_http_create_request() does. */

static ngx_http_request_t *
ngx_http_mark_carrier_create(ngx_connection_t *c, ngx_http_request_t *lr)
{
    ngx_pool_t                 *pool;
    ngx_time_t                 *tp;
    ngx_http_request_t         *r;
    ngx_http_core_srv_conf_t   *cscf;
    ngx_http_core_main_conf_t  *cmcf;

    cscf = ngx_http_get_module_srv_conf(lr, ngx_http_core_module);
    cmcf = ngx_http_get_module_main_conf(lr, ngx_http_core_module);

    pool = ngx_create_pool(cscf->request_pool_size, c->log);
    if (pool == NULL) {
        return NULL;
    }

    r = ngx_pcalloc(pool, sizeof(ngx_http_request_t));
    if (r == NULL) {
        goto failed;
    }

    r->pool = pool;
    r->signature = NGX_HTTP_MODULE;
    r->connection = c;
    r->main = r;
    r->count = 1;

    r->main_conf = lr->main_conf;
    r->srv_conf = lr->srv_conf;

    r->ctx = ngx_pcalloc(pool, sizeof(void *) * ngx_http_max_module);
    r->variables = ngx_pcalloc(pool, cmcf->variables.nelts
                                     * sizeof(ngx_http_variable_value_t));
    r->header_in = ngx_calloc_buf(pool);
    r->http_connection = ngx_palloc(pool, sizeof(ngx_http_connection_t));

    if (r->ctx == NULL || r->variables == NULL || r->header_in == NULL
        || r->http_connection == NULL)
    {
        goto failed;
    }

    /* the leader's is in a pool of the leader's connection */

    *r->http_connection = *lr->http_connection;
    r->http_connection->busy = NULL;
    r->http_connection->free = NULL;
    r->http_connection->nbusy = 0;

    if (ngx_list_init(&r->headers_out.headers, pool, 20,
                      sizeof(ngx_table_elt_t))
        != NGX_OK
        || ngx_list_init(&r->headers_out.trailers, pool, 4,
                         sizeof(ngx_table_elt_t))
           != NGX_OK
        || ngx_list_init(&r->headers_in.headers, pool, 20,
                         sizeof(ngx_table_elt_t))
           != NGX_OK)
    {
        goto failed;
    }

#if (nginx_version < 1023000)
    if (ngx_array_init(&r->headers_in.cookies, pool, 2,
                       sizeof(ngx_table_elt_t *))
        != NGX_OK)
    {
        goto failed;
    }
#endif

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    tp = ngx_timeofday();
    r->start_sec = tp->sec;
    r->start_msec = tp->msec;

    r->headers_in.keep_alive_n = -1;
    r->headers_out.content_length_n = -1;
    r->headers_out.last_modified_time = -1;

    r->subrequests = NGX_HTTP_MAX_SUBREQUESTS + 1;
    r->http_state = NGX_HTTP_PROCESS_REQUEST_STATE;

    /*
     * A carrier is logged by its members, cannot be redirected (X-Accel-
     * Redirect becomes a 500), and leaves error pages to them.
     */

    r->logged = 1;
    r->uri_changes = 1;
    r->error_page = 1;
    r->expect_tested = 1;

    /* what was put into a file must come back into memory */

    r->main_filter_need_in_memory = 1;
    r->filter_need_in_memory = 1;

    return r;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


/*
 * The location, but for what acts on a client's connection or after its
 * answer.  error_pages stay: proxy_intercept_errors looks at them.
 */

static ngx_int_t
ngx_http_mark_carrier_location(ngx_http_request_t *r, void **loc_conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_palloc(r->pool, sizeof(ngx_http_core_loc_conf_t));
    r->loc_conf = ngx_palloc(r->pool, sizeof(void *) * ngx_http_max_module);

    if (clcf == NULL || r->loc_conf == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(r->loc_conf, loc_conf, sizeof(void *) * ngx_http_max_module);

    *clcf = *(ngx_http_core_loc_conf_t *)
            loc_conf[ngx_http_core_module.ctx_index];

    clcf->lingering_close = NGX_HTTP_LINGERING_OFF;
    clcf->post_action.len = 0;
    clcf->tcp_nodelay = 0;
    clcf->send_lowat = 0;
    clcf->reset_timedout_connection = 0;
    clcf->sendfile = 0;
    clcf->aio = NGX_HTTP_AIO_OFF;

#if (nginx_version >= 1029000)
    /* 103 responses would go around the filters, to the socket */
    clcf->early_hints = NULL;
#endif

    r->loc_conf[ngx_http_core_module.ctx_index] = clcf;

    return NGX_OK;
}


static ngx_int_t
ngx_http_mark_carrier_line(ngx_http_request_t *r, ngx_http_request_t *lr)
{
    r->method = lr->method;
    r->http_version = NGX_HTTP_VERSION_11;
    r->http_major = 1;
    r->http_minor = 1;
    ngx_str_set(&r->http_protocol, "HTTP/1.1");

    r->internal = lr->internal;
    r->valid_location = lr->valid_location;
    r->valid_unparsed_uri = lr->valid_unparsed_uri;
    r->complex_uri = lr->complex_uri;
    r->quoted_uri = lr->quoted_uri;
    r->plus_in_uri = lr->plus_in_uri;
    r->empty_path_in_uri = lr->empty_path_in_uri;
    r->add_uri_to_alias = lr->add_uri_to_alias;

#if (nginx_version >= 1029004)
    r->port = lr->port;
#endif

    /* with headers_in.server the core does not look for the server again */

    if (ngx_http_mark_carrier_dup(r->pool, &r->request_line,
                                  &lr->request_line) != NGX_OK
        || ngx_http_mark_carrier_dup(r->pool, &r->uri, &lr->uri) != NGX_OK
        || ngx_http_mark_carrier_dup(r->pool, &r->args, &lr->args) != NGX_OK
        || ngx_http_mark_carrier_dup(r->pool, &r->exten, &lr->exten) != NGX_OK
        || ngx_http_mark_carrier_dup(r->pool, &r->unparsed_uri,
                                     &lr->unparsed_uri) != NGX_OK
        || ngx_http_mark_carrier_dup(r->pool, &r->method_name,
                                     &lr->method_name) != NGX_OK
        || ngx_http_mark_carrier_dup(r->pool, &r->schema, &lr->schema)
           != NGX_OK
        || ngx_http_mark_carrier_dup(r->pool, &r->headers_in.server,
                                     &lr->headers_in.server) != NGX_OK)
    {
        return NGX_ERROR;
    }

#if (NGX_PCRE)

    /* a regex without groups matches with ncaptures, but no captures */

    if (lr->ncaptures && lr->captures) {
        size_t  size, last;

        /* pairs of offsets; the largest end is the data's length */

        size = lr->ncaptures * sizeof(int);
        last = 0;

        for (r->ncaptures = 0; r->ncaptures < lr->ncaptures; r->ncaptures++) {
            if (lr->captures[r->ncaptures] > (int) last) {
                last = lr->captures[r->ncaptures];
            }
        }

        r->captures = ngx_palloc(r->pool, size);
        r->captures_data = ngx_pnalloc(r->pool, last + 1);

        if (r->captures == NULL || r->captures_data == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(r->captures, lr->captures, size);
        ngx_memcpy(r->captures_data, lr->captures_data, last);

        /* a regex that the carrier runs needs room for its own */

        r->realloc_captures = 1;
    }

#endif

    return NGX_OK;
}


/*
 * Values that directives have set on the leader, and those of its connection;
 * all others are the carrier's own to evaluate.
 */

static ngx_int_t
ngx_http_mark_carrier_variables(ngx_http_request_t *r, ngx_http_request_t *lr)
{
    ngx_str_t                   from, to;
    ngx_uint_t                  i, *index;
    ngx_http_variable_t        *v;
    ngx_http_variable_value_t  *vv;
    ngx_http_core_main_conf_t  *cmcf;
    ngx_http_mark_main_conf_t  *mmcf;

    cmcf = ngx_http_get_module_main_conf(lr, ngx_http_core_module);
    mmcf = ngx_http_get_module_main_conf(lr, ngx_http_mark_module);

    index = mmcf->of_client.elts;

    for (i = 0; i < mmcf->of_client.nelts; i++) {
        vv = ngx_http_get_indexed_variable(lr, index[i]);

        if (vv) {
            r->variables[index[i]] = *vv;
        }
    }

    v = cmcf->variables.elts;

    for (i = 0; i < cmcf->variables.nelts; i++) {

        if ((v[i].flags & NGX_HTTP_VAR_CHANGEABLE)
            && (lr->variables[i].valid || lr->variables[i].not_found))
        {
            r->variables[i] = lr->variables[i];
        }

        if (!r->variables[i].valid || r->variables[i].len == 0) {
            continue;
        }

        from.len = r->variables[i].len;
        from.data = r->variables[i].data;

        if (ngx_http_mark_carrier_dup(r->pool, &to, &from) != NGX_OK) {
            return NGX_ERROR;
        }

        r->variables[i].data = to.data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_mark_carrier_body(ngx_http_request_t *r, ngx_buf_t *body)
{
    ngx_buf_t                *b;
    ngx_chain_t              *cl;
    ngx_http_request_body_t  *rb;

    rb = ngx_pcalloc(r->pool, sizeof(ngx_http_request_body_t));
    b = ngx_palloc(r->pool, sizeof(ngx_buf_t));
    cl = ngx_alloc_chain_link(r->pool);

    if (rb == NULL || b == NULL || cl == NULL) {
        return NGX_ERROR;
    }

    *b = *body;
    b->last_buf = 1;

    cl->buf = b;
    cl->next = NULL;

    rb->bufs = cl;
    rb->buf = b;
    rb->received = ngx_buf_size(b);

    r->request_body = rb;

    return NGX_OK;
}


/* At the start of a cycle: the indices of ngx_http_mark_carrier_of_client. */

ngx_int_t
ngx_http_mark_carrier_init(ngx_cycle_t *cycle, ngx_http_mark_main_conf_t *mmcf)
{
    ngx_str_t                  *name;
    ngx_uint_t                  i, *index;
    ngx_http_variable_t        *v;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_core_module);

    if (ngx_array_init(&mmcf->of_client, cycle->pool, 4, sizeof(ngx_uint_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    v = cmcf->variables.elts;

    for (i = 0; i < cmcf->variables.nelts; i++) {

        for (name = ngx_http_mark_carrier_of_client; name->len; name++) {

            /* names that end in '_' stand for all that begin so */

            if (v[i].name.len < name->len
                || ngx_strncmp(v[i].name.data, name->data, name->len) != 0
                || (v[i].name.len > name->len
                    && name->data[name->len - 1] != '_'))
            {
                continue;
            }

            index = ngx_array_push(&mmcf->of_client);
            if (index == NULL) {
                return NGX_ERROR;
            }

            *index = i;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_mark_carrier_dup(ngx_pool_t *pool, ngx_str_t *to, ngx_str_t *from)
{
    /* an empty string keeps a pointer that can be compared and advanced */

    to->len = from->len;
    to->data = ngx_pnalloc(pool, from->len + 1);

    if (to->data == NULL) {
        return NGX_ERROR;
    }

    if (from->len) {
        ngx_memcpy(to->data, from->data, from->len);
    }

    to->data[from->len] = '\0';

    return NGX_OK;
}
