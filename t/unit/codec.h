
/*
 * For tests of codecs: memory that is freed at once, and bodies from parts.
 * Every allocation is one of malloc()'s, so that sanitizers see its bounds.
 */


#ifndef _CODEC_H_INCLUDED_
#define _CODEC_H_INCLUDED_


#include <stdlib.h>
#include <string.h>

#include "mark_codec.h"


typedef struct codec_block_s  codec_block_t;

struct codec_block_s {
    codec_block_t  *next;
    void           *data;
};


static codec_block_t  *codec_blocks;


static inline void *
codec_alloc(void *pool, size_t size)
{
    codec_block_t  *block;

    block = malloc(sizeof(codec_block_t));
    block->data = malloc(size);
    block->next = codec_blocks;
    codec_blocks = block;

    return block->data;
}


static inline void
codec_free(void)
{
    codec_block_t  *block;

    while (codec_blocks) {
        block = codec_blocks;
        codec_blocks = block->next;

        free(block->data);
        free(block);
    }
}


static mark_memory_t  codec_memory = { codec_alloc, NULL };


/* Makes a body of parts, in that memory as well. */

static inline mark_body_t
codec_put(const mark_parts_t *parts)
{
    size_t        i;
    uint8_t      *p;
    mark_body_t   body;

    p = codec_alloc(NULL, parts->len);

    memset(&body, 0, sizeof(mark_body_t));

    body.data = p;
    body.len = parts->len;
    body.json_len = parts->json_len;
    body.binary = parts->binary;

    for (i = 0; i < parts->nspans; i++) {
        memcpy(p, parts->spans[i].data, parts->spans[i].len);
        p += parts->spans[i].len;
    }

    return body;
}


#endif /* _CODEC_H_INCLUDED_ */
