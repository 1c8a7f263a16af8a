
/*
 * Random requests of the Open Inference Protocol.  A form is what makes the
 * key; bodies of one form differ in their rows, in what each has of its own,
 * and in white space.
 */


#ifndef _V2_BODIES_H_INCLUDED_
#define _V2_BODIES_H_INCLUDED_


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mark_codec.h"


#define BODY_MAX  (1 << 16)


typedef enum {
    FORM_FLAT = 0,
    FORM_NESTED,
    FORM_BINARY
} form_data_t;


typedef struct {
    unsigned      datatype;
    size_t        ndims;            /* of a row */
    size_t        dims[3];
    form_data_t   data;
    unsigned      nan:1;
    unsigned      data_first:1;     /* before its shape */
} form_input_t;


typedef struct {
    size_t        ninputs;
    form_input_t  inputs[4];
    unsigned      header:1;         /* binary, or all JSON as if */
    unsigned      id:1;
    unsigned      id_last:1;
    unsigned      parameters:1;
    unsigned      outputs:1;
    unsigned      value;            /* of a parameter of the model's own */
} form_t;


typedef struct {
    char         *p;
    unsigned      space:1;
} body_writer_t;


static const struct {
    const char   *name;
    size_t        size;
    const char   *json;             /* how an element may be printed */
} body_types[] = {
    { "FP32", 4, "%u.5e-3" }, { "FP64", 8, "-%u.25" }, { "INT8", 1, "-7" },
    { "INT16", 2, "%d" }, { "INT32", 4, "-1%u" }, { "INT64", 8, "%u" },
    { "UINT8", 1, "255" }, { "UINT16", 2, "%u" }, { "UINT32", 4, "%u" },
    { "UINT64", 8, "184467440737095516%02u" }, { "BOOL", 1, "true" },
    { "BYTES", 0, "\"],[%u\\\",\"" }, { "FP16", 2, NULL }, { "BF16", 2, NULL }
};


static unsigned  body_seed = 7;


static unsigned
rnd(unsigned n)
{
    body_seed = body_seed * 1103515245 + 12345;

    return (body_seed >> 16) % n;
}


/* A token, with white space before it now and then. */

static void
put(body_writer_t *w, const char *token)
{
    static const char  *spaces[] = { "", "", " ", "\n  ", "\t", "\r\n" };

    w->p += sprintf(w->p, "%s%s", w->space ? spaces[rnd(6)] : "", token);
}


static form_t
random_form(void)
{
    size_t         i, k;
    form_t         form;
    form_input_t  *in;

    memset(&form, 0, sizeof(form_t));

    form.ninputs = 1 + rnd(4);
    form.id = rnd(2);
    form.id_last = rnd(2);
    form.parameters = rnd(2);
    form.outputs = rnd(2);
    form.value = rnd(1000);
    form.header = rnd(2);

    for (i = 0; i < form.ninputs; i++) {
        in = &form.inputs[i];

        in->datatype = rnd(14);
        in->ndims = rnd(4);
        in->data = form.header ? rnd(3) : rnd(2);
        in->nan = (in->datatype < 2 && rnd(4) == 0);
        in->data_first = rnd(2);

        for (k = 0; k < in->ndims; k++) {
            in->dims[k] = 1 + rnd(3);
        }

        /* 16 bits have no JSON; a list of one dimension is not nested */

        if (in->datatype >= 12) {
            in->data = FORM_BINARY;
            form.header = 1;
        }

        if (in->data == FORM_NESTED && in->ndims == 0) {
            in->data = FORM_FLAT;
        }

        if (in->data == FORM_BINARY) {
            in->nan = 0;
        }
    }

    return form;
}


static void
put_list(body_writer_t *w, const form_input_t *in, size_t rows, size_t level)
{
    size_t  i, n;
    char    token[64];

    n = level ? in->dims[level - 1] : rows;

    if (in->data == FORM_FLAT) {
        for (i = 0; i < in->ndims; i++) {
            n *= in->dims[i];
        }
    }

    put(w, "[");

    for (i = 0; i < n; i++) {

        if (i) {
            put(w, ",");
        }

        if (in->data == FORM_NESTED && level < in->ndims) {
            put_list(w, in, rows, level + 1);
            continue;
        }

        if (in->nan && (i == 0 || rnd(3) == 0)) {
            put(w, rnd(2) ? "NaN" : "-Infinity");
            continue;
        }

        snprintf(token, sizeof(token), body_types[in->datatype].json,
                 rnd(16));
        put(w, token);
    }

    put(w, "]");
}


static char *
put_blob(char *p, const form_input_t *in, size_t rows)
{
    size_t    i, k;
    uint32_t  len;

    for (i = 0; i < in->ndims; i++) {
        rows *= in->dims[i];
    }

    for (i = 0; i < rows; i++) {
        len = body_types[in->datatype].size;

        if (len == 0) {
            len = rnd(12);
            memcpy(p, &len, 4);
            p += 4;
        }

        for (k = 0; k < len; k++) {
            *p++ = rnd(256);
        }
    }

    return p;
}


static void
put_input(body_writer_t *w, const form_input_t *in, size_t rows, size_t name,
    size_t size)
{
    size_t  i;
    char    text[64];

    snprintf(text, sizeof(text), "\"input %zu\"", name);

    put(w, "{");
    put(w, "\"name\"");
    put(w, ":");
    put(w, text);

    if (in->data != FORM_BINARY && in->data_first) {
        put(w, ",");
        put(w, "\"data\"");
        put(w, ":");
        put_list(w, in, rows, 0);
    }

    put(w, ",");
    put(w, "\"shape\"");
    put(w, ":");
    put(w, "[");
    snprintf(text, sizeof(text), "%zu", rows);
    put(w, text);

    for (i = 0; i < in->ndims; i++) {
        put(w, ",");
        snprintf(text, sizeof(text), "%zu", in->dims[i]);
        put(w, text);
    }

    put(w, "]");
    put(w, ",");
    put(w, "\"datatype\"");
    put(w, ":");
    snprintf(text, sizeof(text), "\"%s\"", body_types[in->datatype].name);
    put(w, text);

    if (in->data == FORM_BINARY) {
        put(w, ",");
        put(w, "\"parameters\"");
        put(w, ":");
        put(w, "{");
        put(w, "\"binary_data_size\"");
        put(w, ":");
        snprintf(text, sizeof(text), "%zu", size);
        put(w, text);
        put(w, "}");

    } else if (!in->data_first) {
        put(w, ",");
        put(w, "\"data\"");
        put(w, ":");
        put_list(w, in, rows, 0);
    }

    put(w, "}");
}


static void
put_id(body_writer_t *w)
{
    char  text[32];

    snprintf(text, sizeof(text), "\"%.*s%u:x\"", (int) rnd(4), "a-Z", rnd(99));

    put(w, "\"id\"");
    put(w, ":");
    put(w, text);
}


/* A body of that form, of 1 to 4 rows, in malloc's bytes. */

static mark_body_t
random_body(const form_t *form, unsigned space)
{
    char           *blobs, *b, *was, text[64];
    size_t          i, rows;
    mark_body_t     body;
    body_writer_t   w;

    rows = 1 + rnd(4);

    body.data = malloc(BODY_MAX);
    blobs = malloc(BODY_MAX);
    b = blobs;

    w.p = (char *) body.data;
    w.space = space;

    put(&w, "{");

    if (form->id && !form->id_last) {
        put_id(&w);
        put(&w, ",");
    }

    put(&w, "\"inputs\"");
    put(&w, ":");
    put(&w, "[");

    for (i = 0; i < form->ninputs; i++) {
        was = b;

        if (form->inputs[i].data == FORM_BINARY) {
            b = put_blob(b, &form->inputs[i], rows);
        }

        if (i) {
            put(&w, ",");
        }

        put_input(&w, &form->inputs[i], rows, i, b - was);
    }

    put(&w, "]");

    if (form->parameters) {
        put(&w, ",");
        put(&w, "\"parameters\"");
        put(&w, ":");
        put(&w, "{");
        put(&w, "\"timeout\"");
        put(&w, ":");
        snprintf(text, sizeof(text), "%u", rnd(100000));
        put(&w, text);
        put(&w, ",");
        put(&w, "\"own [1, 2]\"");
        put(&w, ":");
        snprintf(text, sizeof(text), "\"%u \\\\\"", form->value);
        put(&w, text);
        put(&w, ",");
        put(&w, "\"priority\"");
        put(&w, ":");
        snprintf(text, sizeof(text), "%u", rnd(3));
        put(&w, text);
        put(&w, "}");
    }

    if (form->outputs) {
        put(&w, ",");
        put(&w, "\"outputs\"");
        put(&w, ":");
        put(&w, "[");
        put(&w, "{\"name\":\"input 0\",\"parameters\":{\"binary_data\":true}}");
        put(&w, "]");
    }

    if (form->id && form->id_last) {
        put(&w, ",");
        put_id(&w);
    }

    put(&w, "}");

    body.binary = form->header;
    body.json_len = form->header ? (size_t) (w.p - (char *) body.data) : 0;

    memcpy(w.p, blobs, b - blobs);
    body.len = w.p - (char *) body.data + (b - blobs);

    free(blobs);

    return body;
}


#endif /* _V2_BODIES_H_INCLUDED_ */
