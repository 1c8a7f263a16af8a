/*
 * Walks a request's object to its instances, in one pass over the bytes.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "instances.h"
#include "mark_json.h"
#include "torch_shim.h"


static int instances_tensor(mark_json_t *j, tensor_t *t, char *err);
static int instances_count(mark_json_t *j, size_t *rows);


static int
instances_error(char *err, const char *text, const char *more)
{
    snprintf(err, INSTANCES_ERROR, "%s%s", text, more);

    return -1;
}


int
instances_parse(instances_t *in, tensor_t *t, const char *body, size_t len,
    char *err)
{
    int          rc, first;
    mark_json_t  j;
    mark_span_t  key;

    in->start = NULL;

    if (t) {
        t->data = NULL;
    }

    mark_json_init(&j, body, len);

    if (mark_json_enter(&j, MARK_JSON_OBJECT) != 0) {
        return instances_error(err, "the body must be a JSON object with "
                               "\"instances\"", "");
    }

    first = 1;

    while ((rc = mark_json_member(&j, &key, &first, 0)) == 1) {

        if (mark_json_key_is(&key, "inputs")) {
            instances_error(err, "columnar \"inputs\" are not served: send "
                            "rows in \"instances\"", "");
            goto failed;
        }

        if (!mark_json_key_is(&key, "instances")) {

            if (mark_json_skip(&j) != 0) {
                goto json;
            }

            if (mark_json_key_is(&key, "signature_name")
                && j.type != MARK_JSON_STRING)
            {
                instances_error(err, "\"signature_name\" must be a string",
                                "");
                goto failed;
            }

            continue;
        }

        mark_json_space(&j);
        in->start = (const char *) j.pos;

        if (t) {
            if (instances_tensor(&j, t, err) != 0) {
                goto failed;
            }

        } else if (j.pos == j.last || *j.pos != '[') {
            instances_error(err, "\"instances\" must be an array", "");
            goto failed;

        } else if (in->rows) {
            if (instances_count(&j, &in->rows) != 0) {
                goto json;
            }

        } else if (mark_json_skip(&j) != 0) {
            goto json;
        }

        in->end = (const char *) j.pos;
    }

    if (rc == -1 || mark_json_end(&j) != 0) {
        goto json;
    }

    if (in->start == NULL) {
        return instances_error(err, "\"instances\" is missing", "");
    }

    return 0;

json:

    if (j.error == MARK_JSON_SYNTAX) {
        instances_error(err, "the body is not JSON", "");

    } else {
        instances_error(err, "bad JSON in the body: ",
                        mark_json_strerror(j.error));
    }

failed:

    if (t) {
        free(t->data);
        t->data = NULL;
    }

    return -1;
}


static int
instances_tensor(mark_json_t *j, tensor_t *t, char *err)
{
    const char      *p;
    tensor_error_t   error;

    p = tensor_parse(t, (const char *) j->pos, (const char *) j->last,
                     torch_float_parse, &error);

    if (p) {
        j->pos = (const uint8_t *) p;
        return 0;
    }

    /* it may fail at what is not numbers before it sees what is not JSON */

    if (error == TENSOR_SYNTAX
        || (error != TENSOR_MEMORY && mark_json_skip(j) != 0
            && j->error == MARK_JSON_SYNTAX))
    {
        return instances_error(err, "the body is not JSON", "");
    }

    return instances_error(err, "\"instances\" ", tensor_strerror(error));
}


static int
instances_count(mark_json_t *j, size_t *rows)
{
    int  rc, first;

    *rows = 0;

    if (mark_json_enter(j, MARK_JSON_ARRAY) != 0) {
        return -1;
    }

    first = 1;

    while ((rc = mark_json_element(j, &first)) == 1) {
        if (mark_json_skip(j) != 0) {
            return -1;
        }

        (*rows)++;
    }

    return rc;
}
