
/*
 * The Open Inference Protocol's codec: what its parts share.
 *
 * A request or an answer is seen as JSON text with holes in it, and binary
 * tensors behind.  The holes are what may differ between the requests of one
 * batch, and what differs between an answer to all and the answers to each:
 * counts, rows and identities.  All else is text, moved as it is.
 */


#ifndef _MARK_V2_H_INCLUDED_
#define _MARK_V2_H_INCLUDED_


#include "mark_codec.h"
#include "mark_tensor.h"


/* Inputs of a request, or outputs of an answer; more are passed on. */
#define MARK_V2_MAX_TENSORS   32

/*
 * Two in each tensor, id, timeout and priority; and one for a tensor that has
 * both data and a size, until it is refused.
 */
#define MARK_V2_MAX_HOLES     (2 * MARK_V2_MAX_TENSORS + 4)

/* The size of a tensor that is not binary. */
#define MARK_V2_NO_SIZE       UINT64_MAX


/* Their values are written into keys: below any byte of JSON. */

typedef enum {
    MARK_V2_ID = 1,
    MARK_V2_TIMEOUT,
    MARK_V2_PRIORITY,
    MARK_V2_ROWS,             /* the first dimension of a shape */
    MARK_V2_SIZE,             /* of a binary tensor, in bytes */
    MARK_V2_DATA              /* rows of JSON, and the commas between */
} mark_v2_type_t;


/* The value of rows in JSON, flags. */

#define MARK_V2_NESTED        1
#define MARK_V2_LAX           2       /* NaN or an Infinity is among them */


typedef struct {
    uint32_t              type;
    uint32_t              tensor;     /* whose it is */
    uint64_t              value;      /* the number that it is, or flags */
    size_t                offset;     /* in the body */
    size_t                len;
    size_t                binary;     /* where the bytes of this size are */
} mark_v2_hole_t;


/* What parse() leaves for join().  The holes are in the text's order. */

typedef struct {
    size_t                text_len;   /* the JSON; binary tensors follow */
    size_t                nholes;
    mark_v2_hole_t        holes[];
} mark_v2_parsed_t;


/* A body as it is read. */

typedef struct {
    mark_json_t           json;
    const mark_body_t    *body;
    size_t                text_len;
    size_t                binary_len; /* of the tensors found until now */

    size_t                nrows;      /* 0: not known yet */
    size_t                ntensors;
    size_t                nholes;
    mark_v2_hole_t        holes[MARK_V2_MAX_HOLES];

    /* of an answer: its owners, and each one's rows of each tensor */

    mark_slice_t         *slices;
    size_t                nslices;
    mark_memory_t        *memory;
    mark_span_t          *rows[MARK_V2_MAX_TENSORS];
} mark_v2_scan_t;


mark_codec_status_t mark_v2_parse(mark_request_t *request,
    const mark_codec_conf_t *conf, mark_memory_t *memory);
mark_codec_status_t mark_v2_join(mark_request_t **requests,
    mark_slice_t *slices, size_t n, const mark_codec_conf_t *conf,
    mark_memory_t *memory, mark_parts_t *joined);
mark_codec_status_t mark_v2_split(const mark_body_t *body,
    mark_slice_t *slices, size_t n, const mark_codec_conf_t *conf,
    mark_memory_t *memory);

/* Starts reading a body.  What is not JSON with tensors behind is refused. */
mark_codec_status_t mark_v2_scan(mark_v2_scan_t *scan,
    const mark_body_t *body);

/* Notes a hole, in the text's order; those of one body always fit. */
void mark_v2_hole(mark_v2_scan_t *scan, mark_v2_type_t type,
    const uint8_t *data, size_t len, uint64_t value);

/* Reads the list of tensors: inputs, or outputs where there are slices. */
mark_codec_status_t mark_v2_tensors(mark_v2_scan_t *scan);

/* Passes a string. */
mark_codec_status_t mark_v2_string(mark_v2_scan_t *scan, mark_span_t *span);

/* Tells whether null is the value that follows; nothing is passed. */
int mark_v2_null(mark_v2_scan_t *scan);

/*
 * The parameters of a request, of its inputs (or of an output that it asks
 * for, which has no size: NULL), and of an answer and its outputs.
 */
mark_codec_status_t mark_v2_request_parameters(mark_v2_scan_t *scan,
    mark_request_t *request);
mark_codec_status_t mark_v2_input_parameters(mark_v2_scan_t *scan,
    uint64_t *size);
mark_codec_status_t mark_v2_output_parameters(mark_v2_scan_t *scan,
    uint64_t *size);

/* Notes the size of a binary tensor, which is the value that follows. */
mark_codec_status_t mark_v2_size(mark_v2_scan_t *scan, uint64_t *size);

/* Passes a value of an answer that all may get. */
mark_codec_status_t mark_v2_answer_scalar(mark_v2_scan_t *scan);

/* The number as text in memory; 0, or -1 when there is none. */
int mark_v2_print(uint64_t value, mark_memory_t *memory, mark_span_t *span);


#endif /* _MARK_V2_H_INCLUDED_ */
