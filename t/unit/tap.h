/*
 * Test Anything Protocol for the unit tests: a program prints one line per
 * check and t/01-unit.t collects them.
 *
 *     int main(void)
 *     {
 *         plan(2);                                   (optional)
 *         ok(1 + 1 == 2, "arithmetic works");
 *         is_str(name, "mark", "name of %d", 42);
 *         return done_testing();
 *     }
 *
 * Every check returns 1 when it passed and 0 when it failed.
 */

#ifndef MARK_TAP_H
#define MARK_TAP_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>


#define TAP_UNUSED          __attribute__((unused))
#define TAP_PRINTF(f, a)    __attribute__((unused, format(printf, f, a)))


static int  tap_planned;
static int  tap_run;
static int  tap_failed;


/* announces the number of checks; without it done_testing() does */

TAP_UNUSED static void
plan(int n)
{
    setvbuf(stdout, NULL, _IOLBF, 0);

    tap_planned = n;
    printf("1..%d\n", n);
}


/* a comment in the test's output, one "# " before each line */

TAP_PRINTF(1, 2) static void
diag(const char *fmt, ...)
{
    int      first;
    char     text[2048], *line, *end;
    va_list  args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    for (line = text, first = 1; first || *line != '\0'; first = 0) {
        end = strchr(line, '\n');

        if (end == NULL) {
            printf("# %s\n", line);
            break;
        }

        printf("# %.*s\n", (int) (end - line), line);
        line = end + 1;
    }
}


/* one result line; '#' and newlines would change the meaning of the line */

TAP_UNUSED static int
tap_result(int cond, const char *fmt, va_list args)
{
    char  name[512], *p;

    vsnprintf(name, sizeof(name), fmt, args);

    for (p = name; *p != '\0'; p++) {
        if (*p == '#' || *p == '\n' || *p == '\r') {
            *p = ' ';
        }
    }

    tap_run++;

    if (!cond) {
        tap_failed++;
    }

    printf("%sok %d - %s\n", cond ? "" : "not ", tap_run, name);

    /* the line must be out before a crash, if one follows */
    fflush(stdout);

    return cond ? 1 : 0;
}


TAP_PRINTF(2, 3) static int
tap_ok(int cond, const char *fmt, ...)
{
    int      rc;
    va_list  args;

    va_start(args, fmt);
    rc = tap_result(cond, fmt, args);
    va_end(args);

    return rc;
}


#define ok(cond, ...)                                                         \
    (tap_ok((cond) ? 1 : 0, __VA_ARGS__) ? 1                                  \
     : (diag("failed at %s:%d: %s", __FILE__, __LINE__, #cond), 0))


TAP_PRINTF(3, 4) static int
is_int(long got, long want, const char *fmt, ...)
{
    int      rc;
    va_list  args;

    va_start(args, fmt);
    rc = tap_result(got == want, fmt, args);
    va_end(args);

    if (!rc) {
        diag("     got: %ld\nexpected: %ld", got, want);
    }

    return rc;
}


/* NULL equals only NULL */

TAP_PRINTF(3, 4) static int
is_str(const char *got, const char *want, const char *fmt, ...)
{
    int      rc;
    va_list  args;

    if (got == NULL || want == NULL) {
        rc = (got == want);

    } else {
        rc = (strcmp(got, want) == 0);
    }

    va_start(args, fmt);
    rc = tap_result(rc, fmt, args);
    va_end(args);

    if (!rc) {
        diag("     got: %.900s\nexpected: %.900s",
             got ? got : "(null)", want ? want : "(null)");
    }

    return rc;
}


/* is_str() for bytes that need not end in a zero */

TAP_PRINTF(5, 6) static int
is_mem(const void *got, size_t got_len, const void *want, size_t want_len,
    const char *fmt, ...)
{
    int      rc;
    va_list  args;

    rc = (got_len == want_len
          && (got_len == 0 || memcmp(got, want, got_len) == 0));

    va_start(args, fmt);
    rc = tap_result(rc, fmt, args);
    va_end(args);

    if (!rc) {
        diag("     got: (%lu) %.*s\nexpected: (%lu) %.*s",
             (unsigned long) got_len,
             (int) (got_len > 900 ? 900 : got_len), (const char *) got,
             (unsigned long) want_len,
             (int) (want_len > 900 ? 900 : want_len), (const char *) want);
    }

    return rc;
}


/* closes the test; the value is the exit status of the program */

TAP_UNUSED static int
done_testing(void)
{
    if (tap_planned == 0) {
        printf("1..%d\n", tap_run);

    } else if (tap_planned != tap_run) {
        diag("planned %d tests but ran %d", tap_planned, tap_run);
        return 1;
    }

    if (tap_failed) {
        diag("failed %d of %d tests", tap_failed, tap_run);
        return 1;
    }

    return 0;
}


#endif /* MARK_TAP_H */
