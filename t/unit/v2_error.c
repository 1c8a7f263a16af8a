
/* Errors that name the request which they answer. */


#include "tap.h"
#include "codec.h"


static void
error(const char *first, const char *text, const char *want, const char *what)
{
    mark_body_t   body, mine;
    mark_slice_t  slices[2];

    memset(slices, 0, sizeof(slices));
    memset(&body, 0, sizeof(mark_body_t));

    slices[0].id.data = (const uint8_t *) first;
    slices[0].id.len = strlen(first);
    slices[1].id.data = (const uint8_t *) "\"second\"";
    slices[1].id.len = 8;

    /* its end is a bound for sanitizers */

    body.len = strlen(text);
    body.data = memcpy(codec_alloc(NULL, body.len), text, body.len);

    if (want == NULL) {
        is_int(mark_v2_codec.error(&body, slices, 2, &codec_memory),
               MARK_CODEC_UNSUPPORTED, "%s", what);
        return;
    }

    is_int(mark_v2_codec.error(&body, slices, 2, &codec_memory),
           MARK_CODEC_OK, "%s", what);

    mine = codec_put(&slices[0].answer);
    ok(mine.len == body.len && memcmp(mine.data, text, mine.len) == 0,
       "%s: the first's", what);

    mine = codec_put(&slices[1].answer);
    ok(mine.len == strlen(want) && memcmp(mine.data, want, mine.len) == 0,
       "%s: the second's", what);
}


int
main(void)
{
    error("\"a\"", "{\"error\":\"[request id: a] no\"}",
          "{\"error\":\"[request id: second] no\"}", "named");
    error("\"a\"", "[[request id: b] [request id: a]",
          "[[request id: b] [request id: second]", "the second bracket");
    error("\"a\"", "[request id: a]", "[request id: second]", "all of it");

    error("\"a\"", "{\"error\":\"[request id: ab] no\"}", NULL, "another id");
    error("\"a\"", "{\"error\":\"a is no id\"}", NULL, "not named");
    error("\"a\"", "[request id: a", NULL, "cut off");
    error("\"a\"", "", NULL, "empty");
    error("", "[request id: a]", NULL, "without ids");

    ok(mark_v1_codec.error == NULL, "V1 names nobody");

    codec_free();

    return done_testing();
}
