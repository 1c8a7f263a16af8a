
/*
 * Signature Version 4: what AWS's published cases do not have, as what is
 * refused, the cached key, no memory.
 */


#include "sigv4.h"


static const mark_sigv4_header_t  host[] = {
    { { (uint8_t *) "Host", 4 }, { (uint8_t *) "h", 1 } },
    { { (uint8_t *) "HOST", 4 }, { (uint8_t *) "i", 1 } }
};


static void
plain(mark_sigv4_request_t *request, mark_sigv4_signer_t *signer)
{
    memset(request, 0, sizeof(mark_sigv4_request_t));
    memset(signer, 0, sizeof(mark_sigv4_signer_t));

    request->method = span("POST");
    request->path = span("/");
    request->headers = host;
    request->nheaders = 1;
    request->time = 1440938160;
    request->normalize = 1;
    request->encode = 1;

    signer->access_key = span("AKIDEXAMPLE");
    signer->secret_key = span("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    signer->region = span("us-east-1");
    signer->service = span("lambda");
}


/* Signs; line n of the canonical request, or else what went wrong. */

static const char *
line(const mark_sigv4_request_t *request, const mark_sigv4_signer_t *signer,
    unsigned n)
{
    char                    *p;
    memory_t                 m;
    mark_memory_t            memory;
    mark_sigv4_status_t      rc;
    mark_sigv4_signature_t   s;

    static char              text[4096];

    memory_init(&memory, &m);
    rc = mark_sigv4_sign(&s, request, signer, NULL, &memory);

    if (rc != MARK_SIGV4_OK) {
        memory_free(&m);
        return mark_sigv4_strerror(rc);
    }

    memcpy(text, s.canonical.data, s.canonical.len);
    text[s.canonical.len] = '\0';
    memory_free(&m);

    for (p = text; --n; p = strchr(p, '\n') + 1) { /* void */ }

    p[strcspn(p, "\n")] = '\0';

    return p;
}


static void
path(const char *text, unsigned normalize, unsigned encode, const char *want)
{
    mark_sigv4_signer_t   signer;
    mark_sigv4_request_t  request;

    plain(&request, &signer);
    request.path = span(text);
    request.normalize = normalize;
    request.encode = encode;

    is_str(line(&request, &signer, 2), want, "path \"%s\"%s%s", text,
           normalize ? ", normal" : "", encode ? ", escaped" : "");
}


static void
query(const char *text, const char *want)
{
    mark_sigv4_signer_t   signer;
    mark_sigv4_request_t  request;

    plain(&request, &signer);
    request.query = span(text);

    is_str(line(&request, &signer, 3), want, "query \"%s\"", text);
}


static void
paths_and_queries(void)
{
    path("", 1, 1, "/");
    path("", 0, 0, "/");
    path("/a%20b+c", 1, 1, "/a%2520b%2Bc");
    path("/a%20b+c", 1, 0, "/a%20b+c");
    path("/a//b/./c/../d", 1, 0, "/a/b/d");
    path("/a//b/./c/../d", 0, 0, "/a//b/./c/../d");
    path("/../../a", 1, 1, "/a");
    path("/a/..", 1, 1, "/");
    path("/a/../", 1, 1, "/");
    path("/a/b/..", 1, 1, "/a");
    path("/a/b/../", 1, 1, "/a/");
    path("/a b/..", 1, 1, "/");
    path("/...", 1, 1, "/...");
    path("/%2e%2e/a", 1, 1, "/%252e%252e/a");
    path("/2015-03-31/functions/arn:aws:lambda:us-east-1:1:function:f/x", 1, 1,
         "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A1%3A"
         "function%3Af/x");
    path("a", 1, 1, mark_sigv4_strerror(MARK_SIGV4_PATH));
    path("/a\nb", 1, 0, mark_sigv4_strerror(MARK_SIGV4_PATH));
    path("/a\x7f", 1, 1, mark_sigv4_strerror(MARK_SIGV4_PATH));

    query("", "");
    query("a", "a=");
    query("a=", "a=");
    query("=a", "=a");
    query("a=b=c", "a=b%3Dc");
    query("&a&&b&", "a=&b=");
    query("&", "");
    query("b=2&a=2&b=1&a=10", "a=10&a=2&b=1&b=2");
    query("a-b=1&a=1", "a=1&a-b=1");
    query("a=%7e%2f%2F", "a=~%2F%2F");
    query("a=%&b=%2&c=%zz", "a=%25&b=%252&c=%25zz");
    query("a=b+c", "a=b%2Bc");
    query("j&i&h&g&f&e&d&c&b&a", "a=&b=&c=&d=&e=&f=&g=&h=&i=&j=");
    query("a=\n", "a=%0A");
}


static mark_sigv4_status_t
try(const mark_sigv4_request_t *request, const mark_sigv4_signer_t *signer)
{
    memory_t                 m;
    mark_memory_t            memory;
    mark_sigv4_status_t      rc;
    mark_sigv4_signature_t   s;

    memory_init(&memory, &m);
    rc = mark_sigv4_sign(&s, request, signer, NULL, &memory);
    memory_free(&m);

    return rc;
}


static void
refused(void)
{
    size_t                 i;
    char                   name[MARK_SIGV4_SECRET_MAX + 2];
    mark_sigv4_header_t    headers[2];
    mark_sigv4_signer_t    signer;
    mark_sigv4_request_t   request;

    static const struct {
        size_t               offset;
        const char          *text;
        mark_sigv4_status_t  status;
    } signers[] = {
#define member(m)  offsetof(mark_sigv4_signer_t, m)
        { member(access_key), "", MARK_SIGV4_ACCESS_KEY },
        { member(access_key), "a/b", MARK_SIGV4_ACCESS_KEY },
        { member(access_key), "a\r\nb", MARK_SIGV4_ACCESS_KEY },
        { member(secret_key), "", MARK_SIGV4_SECRET_KEY },
        { member(token), "a\r\nb: c", MARK_SIGV4_TOKEN },
        { member(token), "a b", MARK_SIGV4_TOKEN },
        { member(token), "\xc3\xa4", MARK_SIGV4_TOKEN },
        { member(region), "", MARK_SIGV4_SCOPE },
        { member(region), "a/b", MARK_SIGV4_SCOPE },
        { member(service), "", MARK_SIGV4_SCOPE },
        { member(service), "a,b", MARK_SIGV4_SCOPE }
#undef member
    };

    static const struct {
        const char           *name;
        mark_sigv4_status_t   status;
    } names[] = {
        { "", MARK_SIGV4_HEADER }, { "a:", MARK_SIGV4_HEADER },
        { "a b", MARK_SIGV4_HEADER }, { "a\n", MARK_SIGV4_HEADER },
        { "hOsT", MARK_SIGV4_HEADER }, { "hosts", MARK_SIGV4_OK }
    };

    static const struct {
        const char           *hash;
        mark_sigv4_status_t   status;
    } hashes[] = {
        { "UNSIGNED-PAYLOAD", MARK_SIGV4_OK },
        { "UNSIGNED-PAYLOAe", MARK_SIGV4_PAYLOAD_HASH },
        { "e3b0", MARK_SIGV4_PAYLOAD_HASH },
        { "e3b0c44298fc1c149afbf4c8996fb924"
          "27ae41e4649b934ca495991b7852b855", MARK_SIGV4_OK },
        { "e3b0c44298fc1c149afbf4c8996fb924"
          "27ae41e4649b934ca495991b7852b85g", MARK_SIGV4_PAYLOAD_HASH }
    };

    for (i = 0; i < sizeof(signers) / sizeof(signers[0]); i++) {
        plain(&request, &signer);
        *(mark_span_t *) ((char *) &signer + signers[i].offset) =
            span(signers[i].text);

        is_int(try(&request, &signer), signers[i].status, "signer: %s: %s",
               mark_sigv4_strerror(signers[i].status), signers[i].text);
    }

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        plain(&request, &signer);
        headers[0] = host[0];
        headers[1].name = span(names[i].name);
        headers[1].value = span("v");
        request.headers = headers;
        request.nheaders = 2;

        is_int(try(&request, &signer), names[i].status, "header \"%s\"",
               names[i].name);
    }

    for (i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++) {
        plain(&request, &signer);
        request.payload_hash = span(hashes[i].hash);

        is_int(try(&request, &signer), hashes[i].status, "hash \"%s\"",
               hashes[i].hash);
    }

    plain(&request, &signer);
    request.nheaders = 0;
    is_int(try(&request, &signer), MARK_SIGV4_HEADER, "no Host");

    plain(&request, &signer);
    request.method = span("");
    is_int(try(&request, &signer), MARK_SIGV4_METHOD, "no method");

    request.method = span("A B");
    is_int(try(&request, &signer), MARK_SIGV4_METHOD, "a method of two words");

    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';

    plain(&request, &signer);
    signer.secret_key = span(name);
    is_int(try(&request, &signer), MARK_SIGV4_SECRET_KEY, "a long secret");
    signer.secret_key.len--;
    is_int(try(&request, &signer), MARK_SIGV4_OK, "the longest secret");

    signer.region = span(name);
    signer.region.len = MARK_SIGV4_NAME_MAX + 1;
    is_int(try(&request, &signer), MARK_SIGV4_SCOPE, "a long region");
    signer.region.len--;
    signer.service = signer.region;
    is_int(try(&request, &signer), MARK_SIGV4_OK, "the longest names");
}


static void
date(int64_t time, const char *want)
{
    char                     text[17];
    memory_t                 m;
    mark_memory_t            memory;
    mark_sigv4_signer_t      signer;
    mark_sigv4_request_t     request;
    mark_sigv4_signature_t   s;

    plain(&request, &signer);
    request.time = time;

    memory_init(&memory, &m);

    if (mark_sigv4_sign(&s, &request, &signer, NULL, &memory)
        == MARK_SIGV4_OK)
    {
        memcpy(text, s.date.data, 16);
        text[16] = '\0';
        is_str(text, want, "time %lld", (long long) time);

    } else {
        ok(want == NULL, "time %lld is refused", (long long) time);
    }

    memory_free(&m);
}


static void
dates(void)
{
    date(0, "19700101T000000Z");
    date(68169599, "19720228T235959Z");
    date(68169600, "19720229T000000Z");
    date(68256000, "19720301T000000Z");
    date(951782400, "20000229T000000Z");
    date(951868800, "20000301T000000Z");
    date(978307199, "20001231T235959Z");
    date(1735689599, "20241231T235959Z");
    date(4107542399, "21000228T235959Z");
    date(4107542400, "21000301T000000Z");
    date(253402300799, "99991231T235959Z");
    date(253402300800, NULL);
    date(-1, NULL);
}


/* A signature with a key, and one without, must always be the same. */

static void
same(mark_sigv4_key_t *key, const mark_sigv4_request_t *request,
    const mark_sigv4_signer_t *signer, const char *what)
{
    memory_t                m;
    mark_memory_t           memory;
    mark_sigv4_signature_t  with, without;

    memory_init(&memory, &m);

    if (ok(mark_sigv4_sign(&with, request, signer, key, &memory)
           == MARK_SIGV4_OK
           && mark_sigv4_sign(&without, request, signer, NULL, &memory)
              == MARK_SIGV4_OK, "key: %s", what))
    {
        is_span(with.authorization, without.authorization, "key", what);
    }

    memory_free(&m);
}


static void
keys(void)
{
    mark_sigv4_key_t       key, was;
    mark_sigv4_signer_t    signer;
    mark_sigv4_request_t   request;

    memset(&key, 0, sizeof(mark_sigv4_key_t));
    plain(&request, &signer);

    same(&key, &request, &signer, "the first time");
    was = key;

    request.path = span("/other");
    same(&key, &request, &signer, "again");
    is_mem(&key, sizeof(key), &was, sizeof(was), "key: as it was");

    request.time += 86400;
    same(&key, &request, &signer, "the next day");
    ok(memcmp(&key, &was, sizeof(key)) != 0, "key: another");

    signer.region = span("us-east-1l");
    signer.service = span("ambda");
    same(&key, &request, &signer, "another region and service");

    signer.secret_key = span("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEZ");
    same(&key, &request, &signer, "another secret");

    memset(&was, 0, sizeof(was));
    mark_sigv4_key_clear(&key);
    is_mem(&key, sizeof(key), &was, sizeof(was), "key: forgotten");
}


static void
no_memory(void)
{
    size_t                   n;
    memory_t                 m;
    mark_memory_t            memory;
    mark_sigv4_signer_t      signer;
    mark_sigv4_request_t     request;
    mark_sigv4_status_t      rc;
    mark_sigv4_signature_t   s;

    plain(&request, &signer);

    for (n = 0, rc = MARK_SIGV4_MEMORY; rc == MARK_SIGV4_MEMORY; n++) {
        memory_init(&memory, &m);
        m.limit = n;

        rc = mark_sigv4_sign(&s, &request, &signer, NULL, &memory);
        is_int(rc, m.n == n && n < 3 ? MARK_SIGV4_MEMORY : MARK_SIGV4_OK,
               "memory of %d pieces", (int) n);

        memory_free(&m);
    }
}


static void
payload(void)
{
    uint8_t      whole[MARK_SIGV4_HEX], parts[MARK_SIGV4_HEX];
    mark_span_t  pieces[4];

    pieces[0] = span("Param1=value1");
    (void) mark_sigv4_hash(whole, pieces, 1);

    is_mem(whole, MARK_SIGV4_HEX, "9095672bbd1f56dfc5b65f3e153adc87"
           "31a4a654192329106275f4c7b24d0b6e", MARK_SIGV4_HEX,
           "the hash of a payload");

    pieces[0] = span("Param");
    pieces[1] = span(NULL);
    pieces[2] = span("1=");
    pieces[3] = span("value1");
    (void) mark_sigv4_hash(parts, pieces, 4);

    is_mem(parts, MARK_SIGV4_HEX, whole, MARK_SIGV4_HEX, "in pieces");
}


int
main(void)
{
    paths_and_queries();
    refused();
    dates();
    keys();
    no_memory();
    payload();

    return done_testing();
}
