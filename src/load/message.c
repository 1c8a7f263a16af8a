/* What a request looks like on the wire. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "message.h"


static void add_field(message_t *m, const char *name, size_t name_len,
    const char *value);


void
message_init(message_t *m, const options_t *o, const target_t *t)
{
    size_t       len;
    buffer_t     head;
    unsigned     i;
    field_t     *f;
    const char  *line, *value, *authority;

    memset(m, 0, sizeof(message_t));
    memset(&head, 0, sizeof(buffer_t));

    authority = t->authority;

    m->method = o->method;
    m->has_length = o->body || o->body_file || o->requests_file
                    || o->random_bodies || strcmp(o->method, "POST") == 0
                    || strcmp(o->method, "PUT") == 0;
    m->fields = allocate((o->header_count + 2) * sizeof(field_t));

    add_field(m, "User-Agent", 10, "mark-load/" MARK_LOAD_VERSION);

    if (m->has_length) {
        add_field(m, "Content-Type", 12, "application/json");
    }

    m->defaults = m->field_count;

    for (i = 0; i < o->header_count; i++) {
        line = o->headers[i];
        len = strcspn(line, ":");
        value = line + len + 1;
        value += strspn(value, " \t");

        if ((len == 14 && strncasecmp(line, "Content-Length", len) == 0)
            || (len == 17 && strncasecmp(line, "Transfer-Encoding", len) == 0))
        {
            options_die("--header cannot set %.*s", (int) len, line);
        }

        if (len == 4 && strncasecmp(line, "Host", len) == 0) {
            authority = value;
            continue;
        }

        add_field(m, line, len, value);
    }

    template_init(&m->path, t->path, strlen(t->path));
    template_init(&m->authority, authority, strlen(authority));

    buffer_printf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\n", m->method,
                  m->path.text, m->authority.text);

    for (i = 0; i < m->field_count; i++) {
        f = &m->fields[i];
        buffer_printf(&head, "%s: %s\r\n", f->name, f->value.text);
    }

    template_init(&m->head, head.data, head.len);
    m->fixed = (m->head.marks == 0);

    buffer_free(&head);
}


/* The defaults come first and are replaced; a user's own may repeat. */

static void
add_field(message_t *m, const char *name, size_t name_len, const char *value)
{
    field_t   *f;
    unsigned   i;

    for (i = 0; i < m->defaults; i++) {
        f = &m->fields[i];

        if (f->name_len == name_len
            && strncasecmp(f->name, name, name_len) == 0)
        {
            template_free(&f->value);
            template_init(&f->value, value, strlen(value));
            return;
        }
    }

    f = &m->fields[m->field_count++];

    f->name = strndup(name, name_len);
    f->name_len = name_len;
    template_init(&f->value, value, strlen(value));
}


void
message_fix(const message_t *m, bodies_t *bodies)
{
    body_t    *b;
    buffer_t   out;
    unsigned   i;
    digits_t   none;

    digits_init(&none, 0);

    for (i = 0; i < bodies->count && m->fixed; i++) {
        b = &bodies->list[i];

        if (b->text.marks) {
            continue;
        }

        memset(&out, 0, sizeof(buffer_t));

        b->head_len = message_append(m, b, &none, &out);
        b->wire = out.data;
        b->wire_len = out.len;

        free(b->text.text);
        b->text.text = b->wire + b->head_len;
    }
}


size_t
message_append(const message_t *m, const body_t *body, const digits_t *number,
    buffer_t *out)
{
    size_t  head_len;

    template_append(&m->head, number, out);

    if (m->has_length) {
        buffer_printf(out, "Content-Length: %zu\r\n",
                      template_length(&body->text, number));
    }

    buffer_append(out, "\r\n", 2);
    head_len = out->len;

    template_append(&body->text, number, out);

    return head_len;
}
