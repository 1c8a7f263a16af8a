
/* ORCA load reports in JSON: see mark_orca.h. */


#include <string.h>

#include "mark_orca_reader.h"


static int mark_orca_member(mark_orca_reader_t *r, mark_json_t *j,
    const mark_span_t *key, unsigned *seen);
static int mark_orca_members(mark_orca_reader_t *r, mark_json_t *j,
    const mark_orca_map_t *map);
static int mark_orca_null(mark_json_t *j);
static int mark_orca_value(mark_json_t *j, double *value);


int
mark_orca_json(mark_orca_reader_t *r, const uint8_t *p, const uint8_t *last)
{
    int          rc, first;
    unsigned     seen;
    mark_json_t  j;
    mark_span_t  key;

    first = 1;
    seen = 0;

    mark_json_init(&j, p, last - p);

    if (mark_json_enter(&j, MARK_JSON_OBJECT) != 0) {
        return -1;
    }

    while ((rc = mark_json_member(&j, &key, &first, 0)) == 1) {
        if (mark_orca_member(r, &j, &key, &seen) != 0) {
            return -1;
        }
    }

    if (rc != 0 || mark_json_end(&j) != 0 || j.lax) {
        return -1;
    }

    return 0;
}


static int
mark_orca_member(mark_orca_reader_t *r, mark_json_t *j,
    const mark_span_t *key, unsigned *seen)
{
    size_t                    i;
    double                    value;
    unsigned                  bit;
    const mark_orca_map_t    *map;
    const mark_orca_field_t  *field;

    field = NULL;
    map = NULL;
    bit = 1;

    for (i = 0; i < MARK_ORCA_FIELDS; i++, bit <<= 1) {
        if (mark_json_key_is(key, mark_orca_fields[i].name)
            || mark_json_key_is(key, mark_orca_fields[i].camel))
        {
            field = &mark_orca_fields[i];
            break;
        }
    }

    for (i = 0; i < MARK_ORCA_MAPS && field == NULL; i++, bit <<= 1) {
        if (mark_json_key_is(key, mark_orca_maps[i].name)
            || mark_json_key_is(key, mark_orca_maps[i].camel))
        {
            map = &mark_orca_maps[i];
            break;
        }
    }

    if (field == NULL && map == NULL) {
        return mark_json_skip(j);
    }

    /* two spellings of one name: the scanner cannot know */

    if (*seen & bit) {
        return -1;
    }

    *seen |= bit;

    if (mark_orca_null(j)) {
        return mark_json_skip(j);
    }

    if (map) {
        return mark_orca_members(r, j, map);
    }

    if (mark_orca_value(j, &value) != 0) {
        return -1;
    }

    return mark_orca_set(r, field, NULL, value,
                         mark_orca_wanted(r, field->name,
                                          strlen(field->name)));
}


static int
mark_orca_members(mark_orca_reader_t *r, mark_json_t *j,
    const mark_orca_map_t *map)
{
    int          rc, first;
    double       value;
    size_t       len;
    unsigned     keys;
    const char  *wanted;
    mark_span_t  key;

    wanted = NULL;
    len = strlen(map->name);

    if (r->metric && strncmp(r->metric, map->name, len) == 0
        && r->metric[len] == '.')
    {
        wanted = r->metric + len + 1;
    }

    keys = j->nkeys;
    first = 1;

    if (mark_json_enter(j, MARK_JSON_OBJECT) != 0) {
        return -1;
    }

    while ((rc = mark_json_member(j, &key, &first, keys)) == 1) {

        if (mark_orca_value(j, &value) != 0
            || mark_orca_set(r, NULL, map, value,
                             wanted && mark_json_key_is(&key, wanted)) != 0)
        {
            return -1;
        }
    }

    return rc;
}


/* In protobuf's JSON that is a field that is not there. */

static int
mark_orca_null(mark_json_t *j)
{
    mark_json_space(j);

    return j->pos < j->last && *j->pos == 'n';
}


static int
mark_orca_value(mark_json_t *j, double *value)
{
    mark_span_t  text;

    mark_json_space(j);
    text.data = j->pos;

    if (mark_json_skip(j) != 0 || j->type != MARK_JSON_NUMBER) {
        return -1;
    }

    text.len = j->pos - text.data;

    return mark_orca_number(&text, value);
}
