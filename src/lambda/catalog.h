
/*
 * The models of a function.
 */


#ifndef _MARK_LAMBDA_CATALOG_H_INCLUDED_
#define _MARK_LAMBDA_CATALOG_H_INCLUDED_


#include "model.h"
#include "options.h"


#define CATALOG_ERROR    (TORCH_ERROR + 2 * 4096)


/*
 * Loads all.  *m is the model of payloads that do not name one, or NULL.
 * Returns NULL, or the type of the error with a text in err of CATALOG_ERROR
 * bytes.
 */
const char *catalog_load(const options_t *conf, model_t **m, char *err);


#endif /* _MARK_LAMBDA_CATALOG_H_INCLUDED_ */
