
/* Addresses of servers: see mark_plan_address.h. */


#include <string.h>

#include "mark_plan_address.h"


#define MARK_PLAN_NAME_MAX   253
#define MARK_PLAN_LABEL_MAX  63


static const char *mark_plan_unix(mark_plan_address_t *address,
    const uint8_t *p, const uint8_t *last);
static const char *mark_plan_port(mark_plan_address_t *address,
    const uint8_t *p, const uint8_t *last);
static const char *mark_plan_host(const uint8_t *p, const uint8_t *last);
static const char *mark_plan_ipv6(uint8_t *ip, const uint8_t *p,
    const uint8_t *last);
static int mark_plan_hex(uint8_t c);
static int mark_plan_ipv4(uint8_t *ip, const uint8_t *p, const uint8_t *last);
static int mark_plan_digit(uint8_t c);
static uint8_t mark_plan_lower(uint8_t c);


const char *
mark_plan_address_parse(mark_plan_address_t *address, const mark_span_t *text)
{
    const char     *error;
    const uint8_t  *p, *last, *colon;

    p = text->data;
    last = p + text->len;

    if (text->len >= 5 && memcmp(p, "unix:", 5) == 0) {
        return mark_plan_unix(address, p + 5, last);
    }

    if (p < last && *p == '[') {
        address->family = MARK_PLAN_IPV6;

        colon = memchr(p, ']', last - p);

        if (colon == NULL) {
            return "no ]";
        }

        error = mark_plan_ipv6(address->ipv6, p + 1, colon);

        if (error != NULL) {
            return error;
        }

        p++;
        address->name.data = p;
        address->name.len = colon - p;

        colon++;

    } else {
        address->family = MARK_PLAN_HOST;

        colon = memchr(p, ':', last - p);

        if (colon == NULL) {
            colon = last;
        }

        if (colon < last && memchr(colon + 1, ':', last - colon - 1)) {
            return "IPv6 without brackets";
        }

        error = mark_plan_host(p, colon);

        if (error != NULL) {
            return error;
        }

        address->name.data = p;
        address->name.len = colon - p;
    }

    if (colon == last || *colon != ':') {
        return "no port";
    }

    return mark_plan_port(address, colon + 1, last);
}


static const char *
mark_plan_unix(mark_plan_address_t *address, const uint8_t *p,
    const uint8_t *last)
{
    address->family = MARK_PLAN_UNIX;
    address->port = 0;
    address->name.data = p;
    address->name.len = last - p;

    if (p == last || *p != '/') {
        return "a path begins with /";
    }

    if (last - p > MARK_PLAN_UNIX_MAX) {
        return "a path of more than 107 bytes";
    }

    for ( /* void */ ; p < last; p++) {
        if (*p < 0x20 || *p == 0x7f) {
            return "a control character";
        }
    }

    return NULL;
}


static const char *
mark_plan_port(mark_plan_address_t *address, const uint8_t *p,
    const uint8_t *last)
{
    unsigned  n;

    n = 0;

    /* without leading zeros, so that a port is spelled in one way */

    if (p == last || last - p > 5 || *p == '0') {
        return "a port is 1 to 65535";
    }

    for ( /* void */ ; p < last; p++) {
        if (!mark_plan_digit(*p)) {
            return "a port is 1 to 65535";
        }

        n = n * 10 + (*p - '0');
    }

    if (n > 65535) {
        return "a port is 1 to 65535";
    }

    address->port = n;

    return NULL;
}


/*
 * Names as they are in use, with underscores, and one dot at the end.  What
 * ends in a label of digits is an IPv4 address or nothing: resolvers disagree
 * on "10.1" and "010.0.0.1".
 */

static const char *
mark_plan_host(const uint8_t *p, const uint8_t *last)
{
    int             digits;
    uint8_t         ip[4];
    const uint8_t  *start, *label;

    if (p == last) {
        return "no host";
    }

    if (last - p > MARK_PLAN_NAME_MAX) {
        return "a host's name of more than 253 bytes";
    }

    start = p;

    do {
        label = p;
        digits = 1;

        for ( /* void */ ; p < last && *p != '.'; p++) {
            if (mark_plan_digit(*p)) {
                continue;
            }

            digits = 0;

            if ((mark_plan_lower(*p) < 'a' || mark_plan_lower(*p) > 'z')
                && *p != '-' && *p != '_')
            {
                return "a character that no host's name has";
            }
        }

        if (p == label) {
            return "an empty label in a host's name";
        }

        if (p - label > MARK_PLAN_LABEL_MAX) {
            return "a label of more than 63 bytes in a host's name";
        }

        if (*label == '-' || p[-1] == '-') {
            return "a label with - at an end in a host's name";
        }

    } while (p < last && ++p < last);

    if (digits && !mark_plan_ipv4(ip, start, last)) {
        return "not an IPv4 address";
    }

    return NULL;
}


static const char *
mark_plan_ipv6(uint8_t *ip, const uint8_t *p, const uint8_t *last)
{
    int             n, gap, digits;
    unsigned        word;
    const uint8_t  *start;

    static const char  error[] = "not an IPv6 address";

    n = 0;
    gap = -1;

    if (last - p >= 2 && p[0] == ':' && p[1] == ':') {
        gap = 0;
        p += 2;
    }

    while (p < last) {
        start = p;
        word = 0;

        for (digits = 0; p < last && mark_plan_hex(*p) >= 0; digits++, p++) {
            if (digits == 4) {
                return error;
            }

            word = word << 4 | mark_plan_hex(*p);
        }

        if (digits && p < last && *p == '.') {

            if (n > 12 || !mark_plan_ipv4(&ip[n], start, last)) {
                return error;
            }

            n += 4;
            break;
        }

        if (digits == 0 || n == 16) {
            return error;
        }

        ip[n++] = word >> 8;
        ip[n++] = word & 0xff;

        if (p == last) {
            break;
        }

        if (*p++ != ':' || p == last) {
            return error;
        }

        if (*p == ':') {
            if (gap != -1) {
                return error;
            }

            gap = n;
            p++;
        }
    }

    if (gap == -1) {
        return n == 16 ? NULL : error;
    }

    /* "::" stands for two zero bytes at least */

    if (n > 14) {
        return error;
    }

    memmove(&ip[16 - (n - gap)], &ip[gap], n - gap);
    memset(&ip[gap], 0, 16 - n);

    return NULL;
}


static int
mark_plan_hex(uint8_t c)
{
    if (mark_plan_digit(c)) {
        return c - '0';
    }

    c = mark_plan_lower(c);

    return (c >= 'a' && c <= 'f') ? c - 'a' + 10 : -1;
}


static int
mark_plan_ipv4(uint8_t *ip, const uint8_t *p, const uint8_t *last)
{
    int             i;
    unsigned        n;
    const uint8_t  *start;

    for (i = 0; i < 4; i++) {

        if (i && (p == last || *p++ != '.')) {
            return 0;
        }

        n = 0;

        for (start = p; p < last && mark_plan_digit(*p); p++) {
            n = n * 10 + (*p - '0');

            if (n > 255) {
                return 0;
            }
        }

        if (p == start || (*start == '0' && p - start > 1)) {
            return 0;
        }

        ip[i] = n;
    }

    return p == last;
}


int
mark_plan_address_compare(const mark_plan_address_t *a,
    const mark_plan_address_t *b)
{
    size_t  i;

    if (a->family != b->family) {
        return a->family < b->family ? -1 : 1;
    }

    if (a->port != b->port) {
        return a->port < b->port ? -1 : 1;
    }

    if (a->family == MARK_PLAN_IPV6) {
        return memcmp(a->ipv6, b->ipv6, 16);
    }

    if (a->name.len != b->name.len) {
        return a->name.len < b->name.len ? -1 : 1;
    }

    if (a->family == MARK_PLAN_UNIX) {
        return memcmp(a->name.data, b->name.data, a->name.len);
    }

    for (i = 0; i < a->name.len; i++) {
        if (mark_plan_lower(a->name.data[i])
            != mark_plan_lower(b->name.data[i]))
        {
            return mark_plan_lower(a->name.data[i])
                   < mark_plan_lower(b->name.data[i]) ? -1 : 1;
        }
    }

    return 0;
}


static int
mark_plan_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}


static uint8_t
mark_plan_lower(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') ? c | 0x20 : c;
}
