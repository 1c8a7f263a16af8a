
/*
 * A model behind the Open Inference Protocol, for tests: it reads any valid
 * request and answers each row by that row alone, in the manner of a server.
 */


#ifndef _V2_MODEL_H_INCLUDED_
#define _V2_MODEL_H_INCLUDED_


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mark_codec.h"


#define MODEL_INPUTS    8
#define MODEL_ELEMENTS  4096
#define MODEL_BODY      (1 << 18)


typedef enum {
    MODEL_TRITON = 0,
    MODEL_MLSERVER,
    MODEL_PRETTY
} model_style_t;


typedef struct {
    model_style_t   style;
    unsigned        binary;       /* outputs that are, a bit for each */
} model_t;


typedef struct {
    mark_span_t     name;
    mark_span_t     datatype;
    size_t          ndims;
    size_t          dims[8];
    size_t          size;         /* of all in bytes, 0: JSON */
    unsigned        nested;
    size_t          n;
    mark_span_t     elements[MODEL_ELEMENTS];
} model_input_t;


static model_input_t  model_inputs[MODEL_INPUTS];


static size_t
model_datatype_size(const mark_span_t *datatype)
{
    size_t       i;

    static const struct {
        const char  *name;
        size_t       size;
    } sizes[] = {
        { "BOOL", 1 }, { "UINT8", 1 }, { "UINT16", 2 }, { "UINT32", 4 },
        { "UINT64", 8 }, { "INT8", 1 }, { "INT16", 2 }, { "INT32", 4 },
        { "INT64", 8 }, { "FP16", 2 }, { "BF16", 2 }, { "FP32", 4 },
        { "FP64", 8 }
    };

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (mark_json_key_is(datatype, sizes[i].name)) {
            return sizes[i].size;
        }
    }

    return 0;
}


static void
model_elements(mark_json_t *j, model_input_t *in, unsigned depth)
{
    int             first;
    const uint8_t  *start;

    first = 1;
    (void) mark_json_enter(j, MARK_JSON_ARRAY);

    while (mark_json_element(j, &first) == 1) {

        if (*j->pos == '[') {
            in->nested = 1;
            model_elements(j, in, depth + 1);
            continue;
        }

        start = j->pos;
        (void) mark_json_skip(j);

        in->elements[in->n].data = start;
        in->elements[in->n++].len = j->pos - start;
    }
}


static mark_span_t
model_value(mark_json_t *j)
{
    mark_span_t  span;

    mark_json_space(j);
    span.data = j->pos;

    (void) mark_json_skip(j);
    span.len = j->pos - span.data;

    return span;
}


static void
model_input(mark_json_t *j, model_input_t *in)
{
    int          first, inner;
    unsigned     keys, deep;
    mark_span_t  key, value;

    in->n = 0;
    in->ndims = 0;
    in->size = 0;
    in->nested = 0;

    first = 1;
    keys = j->nkeys;
    (void) mark_json_enter(j, MARK_JSON_OBJECT);

    while (mark_json_member(j, &key, &first, keys) == 1) {
        inner = 1;
        deep = j->nkeys;

        if (mark_json_key_is(&key, "data")) {
            model_elements(j, in, 0);

        } else if (mark_json_key_is(&key, "shape")) {
            (void) mark_json_enter(j, MARK_JSON_ARRAY);

            while (mark_json_element(j, &inner) == 1) {
                value = model_value(j);
                in->dims[in->ndims++] = strtoul((char *) value.data, NULL, 10);
            }

        } else if (mark_json_key_is(&key, "parameters")) {
            (void) mark_json_enter(j, MARK_JSON_OBJECT);

            while (mark_json_member(j, &key, &inner, deep) == 1) {
                value = model_value(j);

                if (mark_json_key_is(&key, "binary_data_size")) {
                    in->size = strtoul((char *) value.data, NULL, 10);
                }
            }

        } else if (mark_json_key_is(&key, "name")) {
            in->name = model_value(j);

        } else {
            in->datatype = model_value(j);
        }
    }
}


static const uint8_t *
model_binary(const uint8_t *p, model_input_t *in)
{
    size_t          size;
    uint32_t        len;
    const uint8_t  *last;

    size = model_datatype_size(&in->datatype);
    last = p + in->size;

    while (p < last) {
        len = size;

        if (size == 0) {
            memcpy(&len, p, 4);
            p += 4;
        }

        in->elements[in->n].data = p;
        in->elements[in->n++].len = len;
        p += len;
    }

    return p;
}


/* An output's elements: those of the input, as text or as bytes. */

static char *
model_print(char *p, const model_t *model, const model_input_t *in,
    size_t *next, size_t level)
{
    size_t       i, k, n;
    mark_span_t  e;

    const char  *comma = (model->style == MODEL_PRETTY) ? ",\n    " : ",";

    n = in->dims[level];

    if (!in->nested) {
        for (n = 1, i = 0; i < in->ndims; i++) {
            n *= in->dims[i];
        }
    }

    p += sprintf(p, model->style == MODEL_PRETTY ? "[ " : "[");

    for (i = 0; i < n; i++) {
        p += sprintf(p, "%s", i ? comma : "");

        if (in->nested && level + 1 < in->ndims) {
            p = model_print(p, model, in, next, level + 1);
            continue;
        }

        e = in->elements[(*next)++];

        if (in->size == 0) {
            p += sprintf(p, "%.*s", (int) e.len, e.data);
            continue;
        }

        *p++ = '"';

        for (k = 0; k < e.len; k++) {
            p += sprintf(p, "%02x", e.data[k]);
        }

        *p++ = '"';
    }

    return p + sprintf(p, "]");
}


static char *
model_blob(char *p, const model_input_t *in, int raw)
{
    size_t    i;
    uint32_t  len;

    for (i = 0; i < in->n; i++) {
        len = in->elements[i].len;

        if (!raw) {
            memcpy(p, &len, 4);
            p += 4;
        }

        memcpy(p, in->elements[i].data, len);
        p += len;
    }

    return p;
}


static char *
model_shape(char *p, const model_t *model, const model_input_t *in)
{
    size_t  i;

    p += sprintf(p, "\"shape\":[");

    for (i = 0; i < in->ndims; i++) {
        p += sprintf(p, "%s%zu", i ? "," : "", in->dims[i]);
    }

    return p + sprintf(p, "]");
}


/*
 * Answers a request, which may be a joined one.  Output i is the input of
 * that index; the last output tells something of each row.
 */

static mark_body_t
model_answer(const model_t *model, const mark_body_t *body)
{
    int              first, inner, raw;
    char            *p, *b, *text, *blob, *was;
    size_t           i, k, n, row, next, ninputs;
    uint32_t         sum;
    mark_span_t      key, id;
    mark_json_t      j;
    const char      *datatype, *sep;
    mark_body_t      answer;
    const uint8_t   *tail;
    model_input_t   *in;

    text = malloc(MODEL_BODY);
    blob = malloc(MODEL_BODY);
    p = text;
    b = blob;

    id.data = NULL;
    id.len = 0;
    ninputs = 0;
    first = 1;

    n = body->binary ? body->json_len : body->len;
    mark_json_init(&j, body->data, n);
    (void) mark_json_enter(&j, MARK_JSON_OBJECT);

    while (mark_json_member(&j, &key, &first, 0) == 1) {

        if (mark_json_key_is(&key, "inputs")) {
            inner = 1;
            (void) mark_json_enter(&j, MARK_JSON_ARRAY);

            while (mark_json_element(&j, &inner) == 1) {
                model_input(&j, &model_inputs[ninputs++]);
            }

        } else if (mark_json_key_is(&key, "id")) {
            id = model_value(&j);

        } else {
            (void) model_value(&j);
        }
    }

    tail = body->data + n;

    for (i = 0; i < ninputs; i++) {
        if (model_inputs[i].size) {
            tail = model_binary(tail, &model_inputs[i]);
        }
    }

    sep = (model->style == MODEL_PRETTY) ? ",\n  " : ",";

    switch (model->style) {

    case MODEL_TRITON:
        *p++ = '{';

        if (id.len) {
            p += sprintf(p, "\"id\":%.*s,", (int) id.len, id.data);
        }

        p += sprintf(p, "\"model_name\":\"m\",\"model_version\":\"1\"");
        break;

    case MODEL_MLSERVER:
        p += sprintf(p, "{\"model_name\":\"m\",\"id\":");

        if (id.len) {
            p += sprintf(p, "%.*s", (int) id.len, id.data);

        } else {
            p += sprintf(p, "\"5c8e-made-up\"");
        }

        p += sprintf(p, ",\"parameters\":{}");
        break;

    default:
        p += sprintf(p, "{\n  \"model_name\": \"m\",\n  \"took\": null");
    }

    p += sprintf(p, "%s\"outputs\":[", sep);

    for (i = 0; i < ninputs; i++) {
        in = &model_inputs[i];
        raw = (in->size && model_datatype_size(&in->datatype));
        was = b;

        p += sprintf(p, "{%s\"name\":%.*s%s", sep + 1, (int) in->name.len,
                     in->name.data, sep);

        if (model->binary & 1 << i) {
            b = model_blob(b, in, raw);
            datatype = raw ? (char *) in->datatype.data : "\"BYTES\"";

        } else {
            datatype = in->size ? "\"BYTES\"" : (char *) in->datatype.data;
        }

        n = strcspn(datatype + 1, "\"") + 2;

        if (model->style == MODEL_MLSERVER) {
            p = model_shape(p, model, in);
            p += sprintf(p, "%s\"datatype\":%.*s", sep, (int) n, datatype);

        } else {
            p += sprintf(p, "\"datatype\":%.*s%s", (int) n, datatype, sep);

            /* the shape may as well come last */

            if (model->style == MODEL_TRITON) {
                p = model_shape(p, model, in);
            }
        }

        if (model->style != MODEL_PRETTY) {
            *p++ = ',';
        }

        if (model->binary & 1 << i) {
            p += sprintf(p, "\"parameters\":{\"binary_data_size\":%zu}",
                         (size_t) (b - was));

        } else {
            p += sprintf(p, "\"parameters\":{\"content_type\":\"np\"}%s"
                         "\"data\":", sep);
            next = 0;
            p = model_print(p, model, in, &next, 0);
        }

        if (model->style == MODEL_PRETTY) {
            p += sprintf(p, "%s", sep);
            p = model_shape(p, model, in);
        }

        p += sprintf(p, "}%s", sep);
    }

    /* of each row of the first input: the sum of its bytes */

    in = &model_inputs[0];
    row = in->n / in->dims[0];

    p += sprintf(p, "{\"name\":\"sum\",\"datatype\":\"UINT32\","
                 "\"shape\":[%zu]", in->dims[0]);

    raw = (model->binary >> 7) & 1;

    if (raw) {
        p += sprintf(p, ",\"parameters\":{\"binary_data_size\":%zu",
                     in->dims[0] * 4);
    } else {
        p += sprintf(p, ",\"data\":[");
    }

    for (i = 0; i < in->dims[0]; i++) {
        sum = 0;

        for (k = i * row; k < (i + 1) * row; k++) {
            for (n = 0; n < in->elements[k].len; n++) {
                sum += in->elements[k].data[n];
            }
        }

        if (raw) {
            memcpy(b, &sum, 4);
            b += 4;

        } else {
            p += sprintf(p, "%s%u", i ? ", " : "", sum);
        }
    }

    p += sprintf(p, raw ? "}}]" : "]}]");

    if (id.len && model->style == MODEL_PRETTY) {
        p += sprintf(p, "%s\"id\": %.*s", sep, (int) id.len, id.data);
    }

    p += sprintf(p, "}");

    answer.binary = (b != blob);
    answer.json_len = p - text;
    answer.len = p - text + (b - blob);
    answer.data = (uint8_t *) text;

    memcpy(p, blob, b - blob);
    free(blob);

    return answer;
}


#endif /* _V2_MODEL_H_INCLUDED_ */
