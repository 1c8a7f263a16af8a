
/*
 * The bodies that the codecs are measured with.  A protocol is an entry in a
 * table: how its requests and answers look, and what a row of them is.
 */


#ifndef _CODEC_H_INCLUDED_
#define _CODEC_H_INCLUDED_


#include "mark_codec.h"


/* What bodies are written into. */

typedef struct {
    uint8_t             *data;
    size_t               len;
    size_t               size;
    size_t               json_len;
    unsigned             binary:1;
} writer_t;


typedef struct {
    size_t               number;      /* of all rows, decides its values */
    size_t               index;       /* in its body */
    size_t               values;
} row_t;


typedef struct {
    const char          *name;
    const mark_codec_t  *codec;

    /*
     * Around the rows: %n is their number, %d the values of each, %m those of
     * all, %b their bytes, %r the rows themselves, %t the rows behind JSON.
     */

    const char          *request;
    const char          *answer;

    void               (*in)(writer_t *w, const row_t *row);
    void               (*out)(writer_t *w, const row_t *row);

    size_t               value;       /* bytes of one in a request, about */

    const char          *in_path;     /* of json */
    const char          *out_path;
} protocol_t;


extern const protocol_t  protocols[];
extern const size_t      nprotocols;


/*
 * Each writes a body of n rows from this one on.  An answer to several
 * requests is what a backend says to them joined, so that of one of them is
 * what its client must get.
 */

void body_request(writer_t *w, const protocol_t *p, size_t number, size_t n,
    size_t values);
void body_answer(writer_t *w, const protocol_t *p, size_t number, size_t n,
    size_t values);


#endif /* _CODEC_H_INCLUDED_ */
