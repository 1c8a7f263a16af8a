/*
 * The digits classifier.  Its data, "Optical Recognition of Handwritten
 * Digits" by E. Alpaydin and C. Kaynak (UCI Machine Learning Repository,
 * CC BY 4.0), are built in: see digits.README.
 */


#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "digits.h"
#include "executor.h"


#define DIGITS_PIXELS      64
#define DIGITS_CLASSES     10
#define DIGITS_MAX         2000

/* every fifth line is for testing */
#define DIGITS_FOLD        5

/* a cached model that knows less is not ours */
#define DIGITS_ACCURACY    0.9


__asm__(
    "    .section .rodata\n"
    "    .global  digits_csv_gz\n"
    "    .global  digits_csv_gz_end\n"
    "digits_csv_gz:\n"
    "    .incbin  \"src/server/digits.csv.gz\"\n"
    "digits_csv_gz_end:\n"
    "    .previous\n"
);


extern const unsigned char  digits_csv_gz[];
extern const unsigned char  digits_csv_gz_end[];


typedef struct {
    size_t      n;
    float       rows[DIGITS_MAX * DIGITS_PIXELS];
    int64_t     labels[DIGITS_MAX];
} digits_set_t;


static char *
digits_text(void)
{
    int        rc;
    char      *text;
    size_t     size;
    z_stream   z;

    size = 1024 * 1024;
    text = malloc(size);

    if (text == NULL) {
        return NULL;
    }

    memset(&z, 0, sizeof(z_stream));

    z.next_in = (unsigned char *) digits_csv_gz;
    z.avail_in = digits_csv_gz_end - digits_csv_gz;
    z.next_out = (unsigned char *) text;
    z.avail_out = size - 1;

    if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK) {
        free(text);
        return NULL;
    }

    rc = inflate(&z, Z_FINISH);
    text[z.total_out] = '\0';

    inflateEnd(&z);

    if (rc != Z_STREAM_END) {
        free(text);
        return NULL;
    }

    return text;
}


/* Deals the lines out to the two sets. */

static int
digits_read(digits_set_t *lessons, digits_set_t *tests)
{
    int            i;
    char          *text, *p;
    float         *row;
    size_t         line;
    digits_set_t  *set;

    text = digits_text();

    if (text == NULL) {
        return -1;
    }

    line = 0;

    for (p = text; *p; line++) {
        set = line % DIGITS_FOLD == DIGITS_FOLD - 1 ? tests : lessons;

        if (set->n == DIGITS_MAX) {
            break;
        }

        row = &set->rows[set->n * DIGITS_PIXELS];

        for (i = 0; i < DIGITS_PIXELS; i++) {
            row[i] = strtol(p, &p, 10);
            p += (*p == ',');
        }

        set->labels[set->n++] = strtol(p, &p, 10);
        p += strspn(p, "\r\n");
    }

    free(text);

    return 0;
}


/* The share of tests that the model gets right, or -1 if it does not run. */

static double
digits_accuracy(torch_model_t *model, const digits_set_t *tests, char *err)
{
    int       ndims, k, best;
    float    *out, *row;
    size_t    i, right;
    int64_t   dims[TORCH_MAX_DIMS];

    dims[0] = tests->n;
    dims[1] = DIGITS_PIXELS;

    if (torch_forward(model, tests->rows, dims, 2, &out, dims, &ndims, err)
        != 0)
    {
        return -1;
    }

    right = 0;

    if (ndims == 2 && dims[0] == (int64_t) tests->n
        && dims[1] == DIGITS_CLASSES)
    {
        for (i = 0; i < tests->n; i++) {
            row = &out[i * DIGITS_CLASSES];
            best = 0;

            for (k = 1; k < DIGITS_CLASSES; k++) {
                if (row[k] > row[best]) {
                    best = k;
                }
            }

            right += (best == tests->labels[i]);
        }
    }

    torch_output_free(out);

    return (double) right / tests->n;
}


/* Saves whole or not at all. */

static void
digits_save(torch_model_t *model, const char *file)
{
    char  temp[PATH_MAX + 32], err[TORCH_ERROR];

    snprintf(temp, sizeof(temp), "%s.%ld", file, (long) getpid());

    if (torch_save(model, temp, err) != 0 || rename(temp, file) != 0) {
        fprintf(stderr, "mark-server: digits: cannot save \"%s\"\n", file);
        (void) unlink(temp);
    }
}


static torch_model_t *
digits_make(const char *file, digits_set_t *lessons, digits_set_t *tests,
    char *err)
{
    char             how[64];
    double           accuracy;
    uint64_t         start;
    torch_model_t   *model;
    torch_lesson_t   lesson;

    accuracy = -1;

    if (file && access(file, R_OK) == 0
        && torch_load(&model, file, err) == 0)
    {
        accuracy = digits_accuracy(model, tests, err);

        if (accuracy < DIGITS_ACCURACY) {
            torch_model_free(model);
        }
    }

    if (accuracy >= DIGITS_ACCURACY) {
        snprintf(how, sizeof(how), "loaded");

    } else {
        start = executor_now();

        lesson.rows = lessons->rows;
        lesson.labels = lessons->labels;
        lesson.n = lessons->n;
        lesson.nfeatures = DIGITS_PIXELS;
        lesson.nclasses = DIGITS_CLASSES;
        lesson.scale = 16;
        lesson.nhidden = 64;
        lesson.epochs = 40;
        lesson.seed = 20190710;

        if (torch_classifier(&model, &lesson, err) != 0) {
            return NULL;
        }

        snprintf(how, sizeof(how), "trained in %.1f s",
                 (executor_now() - start) / 1e9);

        accuracy = digits_accuracy(model, tests, err);

        if (accuracy < 0) {
            torch_model_free(model);
            return NULL;
        }

        if (file) {
            digits_save(model, file);
        }
    }

    printf("mark-server: digits: accuracy %.3f on %zu held-out images (%s)\n",
           accuracy, tests->n, how);
    fflush(stdout);

    return model;
}


torch_model_t *
digits_model(const char *name, const char *cache, char *err)
{
    char            file[PATH_MAX];
    digits_set_t   *sets;
    torch_model_t  *model;

    sets = calloc(2, sizeof(digits_set_t));

    if (sets == NULL || digits_read(&sets[0], &sets[1]) != 0) {
        snprintf(err, TORCH_ERROR, "cannot unpack the built-in data");
        free(sets);
        return NULL;
    }

    if (cache
        && snprintf(file, PATH_MAX, "%s/%s.pt", cache, name) >= PATH_MAX)
    {
        cache = NULL;
    }

    model = digits_make(cache ? file : NULL, &sets[0], &sets[1], err);

    free(sets);

    return model;
}
