
/*
 * libFuzzer target: answers of functions, and events made of anything.  What
 * is written must be JSON that reads as no envelope, with the body back.
 */


#include <stddef.h>
#include <stdint.h>

#include "memory.h"
#include "mark_base64.h"
#include "mark_event.h"
#include "mark_function.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static void whole(mark_memory_t *memory, const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    memory_t                m;
    mark_span_t             s;
    mark_memory_t           memory;
    mark_event_answer_t     answer;
    mark_function_report_t  report;

    memory_init(&memory, &m);

    (void) mark_event_read(&answer, data, size, &memory);
    (void) mark_event_string(data, size, "errorMessage", &s);
    (void) mark_function_report(&report, data, size);

    whole(&memory, data, size);

    memory_free(&m);

    return 0;
}


static void
whole(mark_memory_t *memory, const uint8_t *data, size_t size)
{
    size_t                n;
    uint8_t              *p;
    mark_span_t           s;
    mark_event_answer_t   answer;
    mark_event_header_t   h;
    mark_event_request_t  req;

    memset(&req, 0, sizeof(req));

    s.data = data;
    s.len = size;

    req.method = s;
    req.path = s;
    req.query = s;
    req.protocol = s;
    req.source_ip = s;
    req.user_agent = s;
    req.domain = s;
    req.id = s;
    req.body = s;
    req.type.data = (const uint8_t *) "text/plain";
    req.type.len = (size & 1) ? 10 : 0;

    h.name = s;
    h.value = s;
    req.headers = &h;
    req.nheaders = 1;

    n = mark_event_write(NULL, &req);
    p = malloc(n);

    if (mark_event_write(p, &req) != n
        || mark_event_read(&answer, p, n, memory) != MARK_CODEC_OK
        || answer.status != 200 || answer.body.len != n)
    {
        __builtin_trap();
    }

    free(p);
}
