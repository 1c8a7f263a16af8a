/*
 * The digits classifier: its data, its training and its cache.
 */


#ifndef _MARK_SERVER_DIGITS_H_INCLUDED_
#define _MARK_SERVER_DIGITS_H_INCLUDED_


#include "torch_shim.h"


/*
 * Loads the model from the file NAME.pt in the folder cache, or trains it
 * and saves it there; cache may be NULL.  Prints its accuracy on stdout.
 * Returns NULL with a text in err of TORCH_ERROR bytes.
 */
torch_model_t *digits_model(const char *name, const char *cache, char *err);


#endif /* _MARK_SERVER_DIGITS_H_INCLUDED_ */
