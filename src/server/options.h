/*
 * The command line of mark-server.
 */


#ifndef _MARK_SERVER_OPTIONS_H_INCLUDED_
#define _MARK_SERVER_OPTIONS_H_INCLUDED_


#include <stdint.h>

#include "http.h"


#define OPTIONS_VERSION       "0.1.0"
#define OPTIONS_MAX_MODELS    64


typedef struct {
    const char    *listen;
    const char    *cache;
    const char    *models[OPTIONS_MAX_MODELS];    /* NAME or NAME=FILE */
    unsigned       nmodels;
    long           threads;
    uint64_t       echo_delay;
    uint64_t       echo_row_delay;
    http_conf_t    http;
} options_t;


/* Exits with a text where the options are wrong, and for --help. */
void options_parse(options_t *conf, int argc, char **argv);

/* For what is wrong with the command line: exits with status 2. */
void options_misuse(const char *fmt, ...)
    __attribute__((format(printf, 1, 2), noreturn));


#endif /* _MARK_SERVER_OPTIONS_H_INCLUDED_ */
