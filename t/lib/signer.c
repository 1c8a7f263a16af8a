
/*
 * Signs what it reads, for t/42-sigv4.t.  A request is a line of fields in
 * hexadecimal digits, with tabs between them: options (a bit each: normalize,
 * encode, content_sha256), time, access key, secret key, session token,
 * region, service, method, path, query, hash of the payload or nothing,
 * payload, then names and values of headers.
 *
 * The answer is a line as well: canonical request, string to sign,
 * Authorization, X-Amz-Date, X-Amz-Security-Token, X-Amz-Content-SHA256; or
 * the error, as it is.  All share a cached key.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "mark_sigv4.h"


#define FIELDS   12
#define HEADERS  64


static mark_sigv4_key_t  key;


/* Decodes up to n fields of a line in its place; returns how many. */

static size_t
read_fields(mark_span_t *fields, size_t n, char *line)
{
    char      *p, *end;
    size_t     i;
    unsigned   byte;

    line[strcspn(line, "\n")] = '\0';

    for (i = 0, p = line; i < n && p; i++, p = end) {
        end = strchr(p, '\t');

        if (end) {
            *end++ = '\0';
        }

        fields[i].data = (uint8_t *) p;
        fields[i].len = strlen(p) / 2;

        for (byte = 0; byte < fields[i].len; byte++) {
            unsigned  value;

            if (sscanf(p + 2 * byte, "%2x", &value) != 1) {
                return 0;
            }

            p[byte] = (char) value;
        }
    }

    return i;
}


static void
print_field(const mark_span_t *field, char end)
{
    size_t  i;

    for (i = 0; i < field->len; i++) {
        printf("%02x", field->data[i]);
    }

    putchar(end);
}


static void
answer(const mark_span_t *fields, size_t n)
{
    char                     number[32];
    size_t                   i;
    memory_t                 m;
    unsigned                 options;
    mark_memory_t            memory;
    mark_sigv4_header_t      headers[HEADERS];
    mark_sigv4_signer_t      signer;
    mark_sigv4_status_t      rc;
    mark_sigv4_request_t     r;
    mark_sigv4_signature_t   s;

    memset(&r, 0, sizeof(r));

    snprintf(number, sizeof(number), "%.*s", (int) fields[0].len,
             fields[0].data);
    options = atoi(number);

    r.normalize = options & 1;
    r.encode = options >> 1 & 1;
    r.content_sha256 = options >> 2 & 1;

    snprintf(number, sizeof(number), "%.*s", (int) fields[1].len,
             fields[1].data);
    r.time = atoll(number);

    signer.access_key = fields[2];
    signer.secret_key = fields[3];
    signer.token = fields[4];
    signer.region = fields[5];
    signer.service = fields[6];

    r.method = fields[7];
    r.path = fields[8];
    r.query = fields[9];
    r.payload_hash = fields[10];
    r.payload = &fields[11];
    r.npayload = 1;
    r.headers = headers;

    for (i = FIELDS; i + 1 < n; i += 2) {
        headers[r.nheaders].name = fields[i];
        headers[r.nheaders++].value = fields[i + 1];
    }

    memory_init(&memory, &m);
    rc = mark_sigv4_sign(&s, &r, &signer, &key, &memory);

    if (rc == MARK_SIGV4_OK) {
        print_field(&s.canonical, '\t');
        print_field(&s.to_sign, '\t');
        print_field(&s.authorization, '\t');
        print_field(&s.date, '\t');
        print_field(&s.token, '\t');
        print_field(&s.content_sha256, '\n');

    } else {
        printf("%s\n", mark_sigv4_strerror(rc));
    }

    memory_free(&m);
}


int
main(void)
{
    size_t       n;
    mark_span_t  fields[FIELDS + 2 * HEADERS];

    static char  line[1 << 20];

    while (fgets(line, sizeof(line), stdin)) {
        n = read_fields(fields, FIELDS + 2 * HEADERS, line);

        if (n < FIELDS) {
            fprintf(stderr, "a line without all fields\n");
            return 1;
        }

        answer(fields, n);
    }

    mark_sigv4_key_clear(&key);

    return 0;
}
