
/* What the readers of the two formats share; nobody else includes it. */


#ifndef _MARK_ORCA_READER_H_INCLUDED_
#define _MARK_ORCA_READER_H_INCLUDED_


#include "mark_json.h"
#include "mark_orca.h"


#define MARK_ORCA_FIELDS  5
#define MARK_ORCA_MAPS    3


typedef struct {
    const char          *name;
    const char          *camel;        /* what protobuf prints in JSON */
    size_t               offset;       /* in the report */
} mark_orca_field_t;


/* In TEXT a map's members have its name and a dot in front. */

typedef struct {
    const char          *name;
    const char          *camel;
    int                  negative;     /* values may be that */
} mark_orca_map_t;


typedef struct {
    mark_orca_t         *report;
    const char          *metric;       /* the wanted one, or NULL */
    unsigned             known;        /* metrics that it has */
} mark_orca_reader_t;


extern const mark_orca_field_t  mark_orca_fields[MARK_ORCA_FIELDS];
extern const mark_orca_map_t    mark_orca_maps[MARK_ORCA_MAPS];


/* Each reads a report behind the format's name: 0, or -1. */
int mark_orca_text(mark_orca_reader_t *r, const uint8_t *p,
    const uint8_t *last);
int mark_orca_json(mark_orca_reader_t *r, const uint8_t *p,
    const uint8_t *last);

/* Puts a field, or the member of a map, into the report: 0, or -1. */
int mark_orca_set(mark_orca_reader_t *r, const mark_orca_field_t *field,
    const mark_orca_map_t *map, double value, int wanted);

int mark_orca_wanted(const mark_orca_reader_t *r, const char *name,
    size_t len);

/* Reads a number that fills the text: 0, or -1. */
int mark_orca_number(const mark_span_t *text, double *value);

/* What is left without blanks at both ends. */
mark_span_t mark_orca_trim(const uint8_t *p, const uint8_t *last);


#endif /* _MARK_ORCA_READER_H_INCLUDED_ */
