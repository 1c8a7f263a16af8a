/*
 * mark-server: a small model server that speaks TensorFlow Serving's REST
 * rows, for demonstrations and tests of what stands in front of it.
 */


#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http.h"
#include "model.h"
#include "options.h"


#define MAIN_CONNECTIONS   4096


static void main_fail(const char *fmt, ...)
    __attribute__((format(printf, 1, 2), noreturn));


static void
main_fail(const char *fmt, ...)
{
    va_list  args;

    fprintf(stderr, "mark-server: ");

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);

    fprintf(stderr, "\n");
    exit(1);
}


static int
main_mkdir(const char *path)
{
    char  *p, dir[PATH_MAX];

    if (snprintf(dir, PATH_MAX, "%s", path) >= PATH_MAX) {
        return -1;
    }

    for (p = dir + 1; *p; p++) {
        if (*p == '/') {
            *p = '\0';
            (void) mkdir(dir, 0777);
            *p = '/';
        }
    }

    (void) mkdir(dir, 0777);

    return access(dir, W_OK | X_OK);
}


/* Makes sure that the cache is there; without one models train each time. */

static const char *
main_cache(const char *option)
{
    int          n;
    const char  *base;

    static char  path[PATH_MAX];

    if (option) {
        if (main_mkdir(option) != 0) {
            main_fail("cannot write into --cache \"%s\": %s", option,
                      strerror(errno));
        }

        return option;
    }

    base = getenv("XDG_CACHE_HOME");

    if (base && *base == '/') {
        n = snprintf(path, PATH_MAX, "%s/mark-server", base);

    } else {
        base = getenv("HOME");

        if (base == NULL || *base != '/') {
            return NULL;
        }

        n = snprintf(path, PATH_MAX, "%s/.cache/mark-server", base);
    }

    return n < PATH_MAX && main_mkdir(path) == 0 ? path : NULL;
}


/* Binds before the models are made, so that a wrong address is told soon. */

static int
main_bind(const char *text)
{
    int               fd, rc, on;
    char              host[256], *p, *port;
    struct addrinfo   hints, *res;

    snprintf(host, sizeof(host), "%s", text);
    port = strrchr(host, ':');
    p = host;

    if (port == NULL || port[1] == '\0') {
        options_misuse("bad value \"%s\" of --listen: ADDR:PORT is wanted",
                       text);
    }

    *port++ = '\0';

    if (port - p > 2 && *p == '[' && port[-2] == ']') {
        port[-2] = '\0';
        p++;
    }

    memset(&hints, 0, sizeof(struct addrinfo));
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;

    rc = getaddrinfo(*p ? p : NULL, port, &hints, &res);

    if (rc != 0 || strtoul(port, NULL, 10) > 65535) {
        options_misuse("bad value \"%s\" of --listen: %s",
                       text, rc ? gai_strerror(rc) : "no such port");
    }

    on = 1;
    fd = socket(res->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd == -1
        || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(int)) != 0
        || bind(fd, res->ai_addr, res->ai_addrlen) != 0)
    {
        main_fail("cannot listen on %s: %s", text, strerror(errno));
    }

    freeaddrinfo(res);

    return fd;
}


static void
main_announce(int fd)
{
    char                      host[64], port[16];
    socklen_t                 len;
    struct sockaddr_storage   ss;

    len = sizeof(ss);

    if (getsockname(fd, (struct sockaddr *) &ss, &len) != 0
        || getnameinfo((struct sockaddr *) &ss, len, host, sizeof(host), port,
                       sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    {
        main_fail("cannot name the listening socket");
    }

    printf(strchr(host, ':') ? "mark-server: listening on [%s]:%s\n"
                             : "mark-server: listening on %s:%s\n",
           host, port);
    fflush(stdout);
}


static void
main_models(const options_t *conf)
{
    char         err[TORCH_ERROR], name[MODEL_NAME_MAX + 1];
    size_t       n;
    unsigned     i;
    model_t     *m;
    const char  *text, *file;

    for (i = 0; i < conf->nmodels; i++) {

        text = conf->models[i];
        file = strchr(text, '=');
        n = strcspn(text, "=");
        memcpy(name, text, n);
        name[n] = '\0';

        if (file) {
            m = model_load(name, ++file, err);

        } else if (strcmp(text, "echo") == 0) {
            m = model_echo(name, conf->echo_delay, conf->echo_row_delay, err);

        } else if (strcmp(text, "wide") == 0) {
            m = model_wide(name, err);

        } else {
            m = model_digits(name, main_cache(conf->cache), err);
        }

        if (m == NULL && file) {
            main_fail("cannot load model \"%s\" from \"%s\": %s", name, file,
                      err);
        }

        if (m == NULL) {
            main_fail("cannot make model \"%s\": %s", name, err);
        }
    }
}


/* One descriptor a connection, and some for LibTorch and ourselves. */

static unsigned
main_connections(void)
{
    struct rlimit  rl;

    if (getrlimit(RLIMIT_NOFILE, &rl) != 0) {
        return 256;
    }

    if (rl.rlim_cur < MAIN_CONNECTIONS + 64) {
        rl.rlim_cur = MAIN_CONNECTIONS + 64;

        if (rl.rlim_cur > rl.rlim_max) {
            rl.rlim_cur = rl.rlim_max;
        }

        (void) setrlimit(RLIMIT_NOFILE, &rl);
        (void) getrlimit(RLIMIT_NOFILE, &rl);
    }

    if (rl.rlim_cur >= MAIN_CONNECTIONS + 64) {
        return MAIN_CONNECTIONS;
    }

    return rl.rlim_cur > 128 ? rl.rlim_cur - 64 : 64;
}


int
main(int argc, char **argv)
{
    int          sig;
    sigset_t     set;
    options_t    conf;

    options_parse(&conf, argc, argv);

    /* no thread may take the signals that the end of main() waits for */

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);

    conf.http.fd = main_bind(conf.listen);
    conf.http.connections = main_connections();

    torch_threads(conf.threads);
    main_models(&conf);

    if (listen(conf.http.fd, 1024) != 0 || http_start(&conf.http) != 0) {
        main_fail("cannot serve on %s", conf.listen);
    }

    main_announce(conf.http.fd);

    sigwait(&set, &sig);

    /* a second signal does not wait */

    pthread_sigmask(SIG_UNBLOCK, &set, NULL);

    http_stop();
    model_free_all();

    return 0;
}
