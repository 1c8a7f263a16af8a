
/*
 * Loads the models that MARK_MODEL lists, or those that the package has.
 */


#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog.h"


/* Between two models of the list. */
#define CATALOG_BLANKS    " \t\n,"


typedef struct {
    const char   *root;
    model_t      *last;
    unsigned      n;
    char         *err;
} catalog_t;


static const char *catalog_listed(catalog_t *c, const char *list);
static const char *catalog_found(catalog_t *c);
static const char *catalog_add(catalog_t *c, const char *name, size_t len,
    const char *file);


const char *
catalog_load(const options_t *conf, model_t **m, char *err)
{
    char         *end;
    long          threads;
    catalog_t     c;
    const char   *type;

    threads = 1;

    if (conf->threads) {
        threads = strtol(conf->threads, &end, 10);

        if (*end || threads < 1 || threads > 256) {
            snprintf(err, CATALOG_ERROR, "bad value \"%.64s\" of "
                     "MARK_THREADS: a number from 1 to 256 is wanted",
                     conf->threads);
            return "Mark.BadVariable";
        }
    }

    torch_threads(threads);

    memset(&c, 0, sizeof(catalog_t));

    c.root = conf->root;
    c.err = err;

    type = conf->models ? catalog_listed(&c, conf->models) : catalog_found(&c);

    if (type) {
        return type;
    }

    *m = conf->handler ? model_find(conf->handler, strlen(conf->handler))
                       : NULL;

    if (*m == NULL && c.n == 1) {
        *m = c.last;
    }

    return NULL;
}


static const char *
catalog_listed(catalog_t *c, const char *list)
{
    size_t       n, len;
    const char  *p, *type;
    char         file[PATH_MAX];

    for (p = list + strspn(list, CATALOG_BLANKS); *p;
         p += strspn(p, CATALOG_BLANKS))
    {
        n = strcspn(p, CATALOG_BLANKS);
        len = strcspn(p, "=" CATALOG_BLANKS);
        file[0] = '\0';

        if (len < n) {
            (void) snprintf(file, PATH_MAX, "%s%s%.*s",
                            p[len + 1] == '/' ? "" : c->root,
                            p[len + 1] == '/' ? "" : "/",
                            (int) (n - len - 1), p + len + 1);
        }

        type = catalog_add(c, p, len, len < n ? file : NULL);

        if (type) {
            return type;
        }

        p += n;
    }

    if (c->n == 0) {
        snprintf(c->err, CATALOG_ERROR, "MARK_MODEL lists no model");
        return "Mark.BadVariable";
    }

    return NULL;
}


/* A pattern's special characters may be in the root as well. */

static const char *
catalog_found(catalog_t *c)
{
    char         pattern[PATH_MAX];
    size_t       i, n;
    glob_t       found;
    const char  *type, *name, *p;

    n = 0;

    for (p = c->root; *p && n < PATH_MAX - 16; p++) {
        if (strchr("*?[\\", *p)) {
            pattern[n++] = '\\';
        }

        pattern[n++] = *p;
    }

    strcpy(pattern + n, "/model/*.pt");

    if (glob(pattern, 0, NULL, &found) != 0) {
        snprintf(c->err, CATALOG_ERROR, "there is no model: neither "
                 "MARK_MODEL nor a file %s/model/*.pt", c->root);
        return "Mark.NoModel";
    }

    type = NULL;

    for (i = 0; type == NULL && i < found.gl_pathc; i++) {
        name = strrchr(found.gl_pathv[i], '/') + 1;
        type = catalog_add(c, name, strlen(name) - 3, found.gl_pathv[i]);
    }

    globfree(&found);

    return type;
}


static const char *
catalog_add(catalog_t *c, const char *name, size_t len, const char *file)
{
    char      text[MODEL_NAME_MAX + 1], err[TORCH_ERROR];
    model_t  *m;

    if (len == 0 || len > MODEL_NAME_MAX
        || strspn(name, MODEL_NAME_CHARS) < len)
    {
        snprintf(c->err, CATALOG_ERROR, "bad name of a model \"%.*s\": up to "
                 "%d letters, digits, and \"_-.\" are wanted",
                 (int) (len < 256 ? len : 256), name, MODEL_NAME_MAX);
        return "Mark.BadVariable";
    }

    if (model_find(name, len)) {
        snprintf(c->err, CATALOG_ERROR, "model \"%.*s\" is given twice",
                 (int) len, name);
        return "Mark.BadVariable";
    }

    memcpy(text, name, len);
    text[len] = '\0';

    if (file) {
        m = model_load(text, file, err);

    } else if (strcmp(text, "echo") == 0) {
        m = model_echo(text, 0, 0, err);

    } else if (strcmp(text, "wide") == 0) {
        m = model_wide(text, err);

    } else {
        snprintf(c->err, CATALOG_ERROR, "there is no built-in model \"%s\": "
                 "NAME=FILE is wanted", text);
        return "Mark.BadVariable";
    }

    if (m == NULL) {
        snprintf(c->err, CATALOG_ERROR, "cannot load model \"%s\" from "
                 "\"%s\": %s", text, file ? file : "", err);
        return "Mark.NoModel";
    }

    c->last = m;
    c->n++;

    return NULL;
}
