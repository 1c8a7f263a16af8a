
/*
 * What the environment of the function says.
 */


#ifndef _MARK_LAMBDA_OPTIONS_H_INCLUDED_
#define _MARK_LAMBDA_OPTIONS_H_INCLUDED_


#define OPTIONS_VERSION    "0.1.0"


typedef struct {
    const char   *api;                /* of the runtime, HOST:PORT */
    const char   *root;               /* of the function's files */
    const char   *handler;
    const char   *models;             /* NULL: those of the root */
    const char   *threads;            /* NULL: one */
    int           verbose;
} options_t;


/* Exits with a text for --help, and where Lambda did not start us. */
void options_read(options_t *conf, int argc, char **argv);


#endif /* _MARK_LAMBDA_OPTIONS_H_INCLUDED_ */
