
/* Addresses of servers: what is one, why not, and which are the same. */


#include <string.h>

#include "tap.h"
#include "mark_plan_address.h"


static const char *
parse(mark_plan_address_t *address, const char *text)
{
    mark_span_t  span;

    span.data = (const uint8_t *) text;
    span.len = strlen(text);

    memset(address, 0, sizeof(mark_plan_address_t));

    return mark_plan_address_parse(address, &span);
}


static void
good(const char *text, mark_plan_family_t family, const char *name,
    unsigned port)
{
    mark_plan_address_t  a;

    is_str(parse(&a, text), NULL, "%s", text);
    is_int(a.family, family, "family of %s", text);
    is_int(a.port, port, "port of %s", text);
    is_mem(a.name.data, a.name.len, name, strlen(name), "name of %s", text);
}


static void
bad(const char *text, const char *why)
{
    mark_plan_address_t  a;

    is_str(parse(&a, text), why, "%.100s", text);
}


static void
ipv6(const char *text, const char *bytes)
{
    mark_plan_address_t  a;

    is_str(parse(&a, text), NULL, "%s", text);
    is_mem(a.ipv6, 16, bytes, 16, "bytes of %s", text);
}


static void
same(int want, const char *one, const char *two)
{
    mark_plan_address_t  a, b;

    (void) parse(&a, one);
    (void) parse(&b, two);

    is_int(mark_plan_address_compare(&a, &b) == 0, want, "%s and %s", one,
           two);
    is_int((mark_plan_address_compare(&a, &b) > 0)
           + (mark_plan_address_compare(&b, &a) > 0), !want,
           "%s and %s, in order", one, two);
}


/* A text of n times a character between two others. */

static const char *
many(const char *before, char c, size_t n, const char *after)
{
    size_t       len;

    static char  text[1024];

    len = strlen(before);

    memcpy(text, before, len);
    memset(text + len, c, n);
    strcpy(text + len + n, after);

    return text;
}


int
main(void)
{
    char                  label[256];
    mark_plan_address_t   a;

    good("10.0.0.7:8501", MARK_PLAN_HOST, "10.0.0.7", 8501);
    good("255.255.255.255:65535", MARK_PLAN_HOST, "255.255.255.255", 65535);
    good("host.name:1", MARK_PLAN_HOST, "host.name", 1);
    good("host.name.:80", MARK_PLAN_HOST, "host.name.", 80);
    good("a_b-c.7x:80", MARK_PLAN_HOST, "a_b-c.7x", 80);
    good("1.2.3.4.com:80", MARK_PLAN_HOST, "1.2.3.4.com", 80);
    good("LOCALHOST:80", MARK_PLAN_HOST, "LOCALHOST", 80);
    good("[::1]:8501", MARK_PLAN_IPV6, "::1", 8501);
    good("unix:/path", MARK_PLAN_UNIX, "/path", 0);
    good("unix:/a b:80", MARK_PLAN_UNIX, "/a b:80", 0);

    bad("", "no host");
    bad(":80", "no host");
    bad("host", "no port");
    bad("[::1]", "no port");
    bad("[::1]80", "no port");
    bad("host:", "a port is 1 to 65535");
    bad("host:0", "a port is 1 to 65535");
    bad("host:080", "a port is 1 to 65535");
    bad("host:65536", "a port is 1 to 65535");
    bad("host:99999", "a port is 1 to 65535");
    bad("host:100000", "a port is 1 to 65535");
    bad("host:4294967297", "a port is 1 to 65535");
    bad("host:80x", "a port is 1 to 65535");
    bad("host: 80", "a port is 1 to 65535");
    bad("host:+80", "a port is 1 to 65535");
    bad("host:80 ", "a port is 1 to 65535");
    bad("[::1]:x", "a port is 1 to 65535");

    bad("a b:80", "a character that no host's name has");
    bad("a/b:80", "a character that no host's name has");
    bad("http://a:80", "IPv6 without brackets");
    bad("a\xc3\xa9:80", "a character that no host's name has");
    bad("*:80", "a character that no host's name has");
    bad("[:80", "no ]");
    bad("a..b:80", "an empty label in a host's name");
    bad(".a:80", "an empty label in a host's name");
    bad(".:80", "an empty label in a host's name");
    bad("a..:80", "an empty label in a host's name");
    bad("-a:80", "a label with - at an end in a host's name");
    bad("a-.b:80", "a label with - at an end in a host's name");
    bad("a.-:80", "a label with - at an end in a host's name");

    is_str(parse(&a, many("", 'a', 63, ".b:80")), NULL, "63 in a label");
    bad(many("", 'a', 64, ".b:80"),
        "a label of more than 63 bytes in a host's name");

    (void) memset(label, 'a', 256);
    label[63] = label[127] = label[191] = '.';
    strcpy(label + 250, "aaa:1");
    is_str(parse(&a, label), NULL, "253 in a name");
    strcpy(label + 250, "aaa");
    is_str(parse(&a, many(label, 'a', 1, ":1")),
           "a host's name of more than 253 bytes", "254 in a name");

    bad("1:80", "not an IPv4 address");
    bad("1.2.3:80", "not an IPv4 address");
    bad("1.2.3.4.5:80", "not an IPv4 address");
    bad("1.2.3.256:80", "not an IPv4 address");
    bad("1.2.3.04:80", "not an IPv4 address");
    bad("1.2.3.4.:80", "not an IPv4 address");
    bad("a.2.3.4:80", "not an IPv4 address");

    bad("::1:80", "IPv6 without brackets");
    bad("fe80::1", "IPv6 without brackets");

#define Z4  "\0\0\0\0"

    ipv6("[::]:80", Z4 Z4 Z4 Z4);
    ipv6("[::1]:80", Z4 Z4 Z4 "\0\0\0\1");
    ipv6("[1::]:80", "\0\1\0\0" Z4 Z4 Z4);
    ipv6("[1::2]:80", "\0\1\0\0" Z4 Z4 "\0\0\0\2");
    ipv6("[1:2:3:4:5:6:7:8]:80",
         "\0\1\0\2\0\3\0\4\0\5\0\6\0\7\0\10");
    ipv6("[1:2:3:4:5:6:7::]:80", "\0\1\0\2\0\3\0\4\0\5\0\6\0\7\0\0");
    ipv6("[::2:3:4:5:6:7:8]:80", "\0\0\0\2\0\3\0\4\0\5\0\6\0\7\0\10");
    ipv6("[1:2:3::5:6:7:8]:80", "\0\1\0\2\0\3\0\0\0\5\0\6\0\7\0\10");
    ipv6("[2001:DB8::aBcD]:80", "\x20\x01\x0d\xb8" Z4 Z4 "\0\0\xab\xcd");
    ipv6("[::ffff:1.2.3.4]:80", Z4 Z4 "\0\0\xff\xff\1\2\3\4");
    ipv6("[1:2:3:4:5:6:1.2.3.4]:80",
         "\0\1\0\2\0\3\0\4\0\5\0\6\1\2\3\4");

    bad("[]:80", "not an IPv6 address");
    bad("[:]:80", "not an IPv6 address");
    bad("[:::]:80", "not an IPv6 address");
    bad("[1]:80", "not an IPv6 address");
    bad("[1.2.3.4]:80", "not an IPv6 address");
    bad("[:1]:80", "not an IPv6 address");
    bad("[1:]:80", "not an IPv6 address");
    bad("[::1:]:80", "not an IPv6 address");
    bad("[1::2::3]:80", "not an IPv6 address");
    bad("[1:::2]:80", "not an IPv6 address");
    bad("[12345::]:80", "not an IPv6 address");
    bad("[g::]:80", "not an IPv6 address");
    bad("[::1%eth0]:80", "not an IPv6 address");
    bad("[1:2:3:4:5:6:7]:80", "not an IPv6 address");
    bad("[1:2:3:4:5:6:7:8:9]:80", "not an IPv6 address");
    bad("[1:2:3:4:5:6:7:8::]:80", "not an IPv6 address");
    bad("[::1:2:3:4:5:6:7:8]:80", "not an IPv6 address");
    bad("[1:2:3:4::5:6:7:8]:80", "not an IPv6 address");
    bad("[1:2:3:4:5:6:7:1.2.3.4]:80", "not an IPv6 address");
    bad("[1:2:3:4:5:6:7:8:1.2.3.4]:80", "not an IPv6 address");
    bad("[::1.2.3]:80", "not an IPv6 address");
    bad("[::1.2.3.4:5]:80", "not an IPv6 address");
    bad("[::a.2.3.4]:80", "not an IPv6 address");

    bad("unix:", "a path begins with /");
    bad("unix:path", "a path begins with /");
    bad("unix:/a\nb", "a control character");
    is_str(parse(&a, many("unix:/", 'a', 106, "")), NULL, "107 in a path");
    bad(many("unix:/", 'a', 107, ""), "a path of more than 107 bytes");

    same(1, "a:1", "a:1");
    same(1, "Host.Name:1", "hOST.nAME:1");
    same(1, "[::1]:1", "[0:0:0:0:0:0:0:1]:1");
    same(1, "[::1.2.3.4]:1", "[::102:304]:1");
    same(1, "unix:/a", "unix:/a");
    same(0, "a:1", "a:2");
    same(0, "a:1", "b:1");
    same(0, "a:1", "aa:1");
    same(0, "a_b:1", "a\x7f" "b:1");
    same(0, "[::1]:1", "[::2]:1");
    same(0, "[::1]:1", "[::1]:2");
    same(0, "unix:/a", "unix:/A");
    same(0, "unix:/a", "unix:/aa");
    same(0, "127.0.0.1:1", "[::1]:1");
    same(0, "a:1", "unix:/a");

    return done_testing();
}
