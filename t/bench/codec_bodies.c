
/* The bodies that the codecs are measured with: see codec.h. */


#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"


static void row_floats(writer_t *w, const row_t *row);
static void row_indented(writer_t *w, const row_t *row);
static void row_pixels(writer_t *w, const row_t *row);
static void row_base64(writer_t *w, const row_t *row);
static void row_flat(writer_t *w, const row_t *row);
static void row_tensor(writer_t *w, const row_t *row);
static void row_element(writer_t *w, const row_t *row);
static void row_text(writer_t *w, const row_t *row);
static void row_embedding(writer_t *w, const row_t *row);

static void body(writer_t *w, const char *text, size_t number, size_t n,
    size_t values, void (*put)(writer_t *w, const row_t *row));
static void body_rows(writer_t *w, const char *between, size_t number,
    size_t n, size_t values, void (*put)(writer_t *w, const row_t *row));
static void write_floats(writer_t *w, const row_t *row, const char *between);
static double value_at(const row_t *row, size_t i);
static uint32_t bits_at(const row_t *row, size_t i);
static void write_bytes(writer_t *w, const void *data, size_t len);
static void write_text(writer_t *w, const char *fmt, ...);


#define V1_REQUEST                                                            \
    "{\"signature_name\": \"serving_default\", \"instances\": [%r]}"
#define V1_ANSWER                                                             \
    "{\n    \"predictions\": [%r\n    ]\n}"

#define V2_REQUEST(shape, type, more)                                         \
    "{\"inputs\": [{\"name\": \"x\", \"shape\": " shape ", \"datatype\": \""   \
    type "\", " more
#define V2_ANSWER(shape, type, more)                                          \
    "{\"model_name\":\"m\",\"outputs\":[{\"name\":\"y\",\"datatype\":\""       \
    type "\",\"shape\":" shape "," more
#define V2_DATA    "\"data\": [%r]}]}"
#define V2_BINARY  "\"parameters\": {\"binary_data_size\": %b}}]}%t"

#define EMBEDDINGS_REQUEST                                                    \
    "{\"model\": \"m\", \"input\": [%r]}"
#define EMBEDDINGS_ANSWER                                                     \
    "{\"object\": \"list\", \"data\": [%r], \"model\": \"m\", "               \
    "\"usage\": {\"prompt_tokens\": %m, \"total_tokens\": %m}}"


/*
 * Floats are printed as Python prints a float32: what json.dumps() makes of
 * a tensor.  Pixels are the worst there is for a scanner, one to three digits
 * a value.
 */

const protocol_t  protocols[] = {

    { "v1 floats", &mark_v1_codec, V1_REQUEST, V1_ANSWER,
      row_floats, row_floats, 20, NULL, NULL },

    { "v1 indented", &mark_v1_codec, V1_REQUEST, V1_ANSWER,
      row_indented, row_indented, 29, NULL, NULL },

    { "v1 pixels", &mark_v1_codec, V1_REQUEST, V1_ANSWER,
      row_pixels, row_pixels, 5, NULL, NULL },

    { "v1 base64", &mark_v1_codec, V1_REQUEST, V1_ANSWER,
      row_base64, row_base64, 1, NULL, NULL },

    { "v2 floats", &mark_v2_codec,
      V2_REQUEST("[%n, %d]", "FP32", V2_DATA),
      V2_ANSWER("[%n,%d]", "FP32", V2_DATA),
      row_flat, row_flat, 20, NULL, NULL },

    { "v2 binary", &mark_v2_codec,
      V2_REQUEST("[%n, %d]", "FP32", V2_BINARY),
      V2_ANSWER("[%n,%d]", "FP32", V2_BINARY),
      row_tensor, row_tensor, 4, NULL, NULL },

    { "v2 bytes", &mark_v2_codec,
      V2_REQUEST("[%n, 4]", "BYTES", V2_BINARY),
      V2_ANSWER("[%n,4]", "BYTES", V2_BINARY),
      row_element, row_element, 4, NULL, NULL },

    { "embeddings", &mark_embeddings_codec,
      EMBEDDINGS_REQUEST, EMBEDDINGS_ANSWER,
      row_text, row_embedding, 1, NULL, NULL },

    { "json list", &mark_list_codec,
      "{\"lang\": \"en\", \"texts\": [%r]}",
      "{\"model\": \"m\", \"labels\": [%r]}",
      row_text, row_text, 1, "texts", "labels" }
};

const size_t  nprotocols = sizeof(protocols) / sizeof(protocols[0]);


void
body_request(writer_t *w, const protocol_t *p, size_t number, size_t n,
    size_t values)
{
    body(w, p->request, number, n, values, p->in);
}


void
body_answer(writer_t *w, const protocol_t *p, size_t number, size_t n,
    size_t values)
{
    body(w, p->answer, number, n, values, p->out);
}


static void
body(writer_t *w, const char *text, size_t number, size_t n, size_t values,
    void (*put)(writer_t *w, const row_t *row))
{
    size_t       len;
    writer_t     rows;
    const char  *p;

    memset(w, 0, sizeof(writer_t));
    memset(&rows, 0, sizeof(writer_t));

    body_rows(&rows, strstr(text, "%t") ? "" : ", ", number, n, values, put);

    for (p = text; *p; p += len) {

        len = strcspn(p, "%");
        write_bytes(w, p, len);

        if (p[len] == '\0') {
            break;
        }

        switch (p[len + 1]) {

        case 'n':
            write_text(w, "%zu", n);
            break;

        case 'd':
            write_text(w, "%zu", values);
            break;

        case 'm':
            write_text(w, "%zu", n * values);
            break;

        case 'b':
            write_text(w, "%zu", rows.len);
            break;

        case 't':
            w->json_len = w->len;
            w->binary = 1;

            /* fall through */

        case 'r':
            write_bytes(w, rows.data, rows.len);
            break;
        }

        len += 2;
    }

    free(rows.data);
}


static void
body_rows(writer_t *w, const char *between, size_t number, size_t n,
    size_t values, void (*put)(writer_t *w, const row_t *row))
{
    row_t  row;

    row.values = values;

    for (row.index = 0; row.index < n; row.index++) {
        row.number = number + row.index;

        write_bytes(w, between, row.index ? strlen(between) : 0);
        put(w, &row);
    }
}


static void
row_floats(writer_t *w, const row_t *row)
{
    write_bytes(w, "[", 1);
    write_floats(w, row, ", ");
    write_bytes(w, "]", 1);
}


static void
row_indented(writer_t *w, const row_t *row)
{
    write_text(w, "[\n        ");
    write_floats(w, row, ",\n        ");
    write_text(w, "\n      ]");
}


static void
row_pixels(writer_t *w, const row_t *row)
{
    size_t  i;

    for (i = 0; i < row->values; i++) {
        write_text(w, "%s%u", i ? ", " : "[", bits_at(row, i) >> 24);
    }

    write_bytes(w, "]", 1);
}


static void
row_base64(writer_t *w, const row_t *row)
{
    size_t   i;

    static const char  digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789+/";

    write_text(w, "{\"b64\": \"");

    for (i = 0; i < row->values; i++) {
        write_bytes(w, &digits[bits_at(row, i) >> 26], 1);
    }

    write_text(w, "\"}");
}


static void
row_flat(writer_t *w, const row_t *row)
{
    write_floats(w, row, ", ");
}


static void
row_tensor(writer_t *w, const row_t *row)
{
    float   value;
    size_t  i;

    for (i = 0; i < row->values; i++) {
        value = value_at(row, i);
        write_bytes(w, &value, sizeof(float));
    }
}


/* Four elements of BYTES, with their lengths. */

static void
row_element(writer_t *w, const row_t *row)
{
    size_t   i, k;
    uint8_t  byte;

    for (i = 0; i < 4; i++) {
        for (k = 0; k < 4; k++) {
            byte = row->values >> (8 * k);
            write_bytes(w, &byte, 1);
        }

        for (k = 0; k < row->values; k++) {
            byte = bits_at(row, i * row->values + k);
            write_bytes(w, &byte, 1);
        }
    }
}


/*
 * Words, here and there with what is not plain ASCII: the same in all rows but
 * for a number, so that no row has a larger share of what is counted.
 */

static void
row_text(writer_t *w, const row_t *row)
{
    size_t       i;
    row_t        any;
    const char  *word;

    static const char  *words[] = {
        "the ", "batch ", "of ", "requests ", "leaves ", "caf\303\251 ", "as ",
        "one,\\n", "and ", "each ", "client ", "gets ", "its ", "own ",
        "answer ", "\\\"back\\\" "
    };

    any.number = 0;

    write_text(w, "\"%08zu ", row->number);

    for (i = 9; i < row->values; i += strlen(word)) {
        word = words[bits_at(&any, i) >> 28];
        write_text(w, "%s", word);
    }

    write_text(w, "\"");
}


/* As long as a large model's, whatever the request was. */

static void
row_embedding(writer_t *w, const row_t *row)
{
    row_t  embedding;

    embedding = *row;
    embedding.values = 1536;

    write_text(w, "{\"object\": \"embedding\", \"index\": %zu, "
                  "\"embedding\": ", row->index);
    row_floats(w, &embedding);
    write_bytes(w, "}", 1);
}

static void
write_floats(writer_t *w, const row_t *row, const char *between)
{
    size_t  i;

    for (i = 0; i < row->values; i++) {
        write_text(w, "%s%.17g", i ? between : "", value_at(row, i));
    }
}


/* A float32 from -1 to 1, the same whenever it is asked for. */

static double
value_at(const row_t *row, size_t i)
{
    return (float) (bits_at(row, i) / 2147483648.0 - 1);
}


static uint32_t
bits_at(const row_t *row, size_t i)
{
    uint64_t  x;

    x = (row->number * 1000003 + i + 1) * 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93ULL;

    return x >> 32;
}


static void
write_bytes(writer_t *w, const void *data, size_t len)
{
    if (w->size - w->len < len) {
        w->size = 2 * (w->len + len);
        w->data = realloc(w->data, w->size);

        if (w->data == NULL) {
            fprintf(stderr, "codec: no memory\n");
            exit(1);
        }
    }

    if (len) {
        memcpy(w->data + w->len, data, len);
        w->len += len;
    }
}


static void
write_text(writer_t *w, const char *fmt, ...)
{
    int      n;
    char     text[128];
    va_list  args;

    va_start(args, fmt);
    n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    write_bytes(w, text, n);
}
