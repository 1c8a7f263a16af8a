/* What the command line asks for. */

#ifndef OPTIONS_H
#define OPTIONS_H


#include <stdint.h>
#include <stdio.h>


#define MARK_LOAD_VERSION  "0.1.0"

#define EXIT_OK            0
#define EXIT_ERRORS        1   /* requests failed */
#define EXIT_WRONG         2   /* answers were not what was expected */
#define EXIT_USAGE         3   /* the run did not take place */


typedef struct {
    const char   *url;

    /* when */

    double        rate;                    /* 0: closed loop or a trace */
    int           uniform;
    const char   *trace;
    double        trace_scale;
    double        duration;                /* 0: no limit */
    uint64_t      requests;                /* 0: no limit */
    double        warmup;
    uint64_t      seed;

    /* over what */

    unsigned      concurrency;             /* 0: open loop */
    unsigned      connections;
    unsigned      streams;                 /* per connection */
    int           http2;
    int           retry_closed;
    int           spread;
    double        timeout;

    /* what is sent */

    const char   *method;
    const char  **headers;
    unsigned      header_count;
    const char   *body;
    const char   *body_file;
    const char   *requests_file;
    int           once;
    unsigned      random_rows;
    unsigned      random_dims;
    unsigned      random_bodies;           /* 0: none */
    double        abort_share;
    double        slow_share;

    /* how answers are judged */

    const char   *expect;
    const char   *reference;
    double        tolerance;               /* negative: byte for byte */
    unsigned char status_allowed[600];
    double        slo_ms;                  /* 0: none */

    /* what is written */

    int           progress;
    int           histogram;
    const char   *json;
    const char   *answers;

    char        **argv;                    /* as given, for the report */
    int           argc;
} options_t;


/* Ends the program if the command line is wrong or asks for help. */
void options_parse(options_t *o, int argc, char **argv);

void options_die(const char *fmt, ...)
    __attribute__((noreturn, format(printf, 1, 2)));

void help_print(FILE *out);


#endif /* OPTIONS_H */
