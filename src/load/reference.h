/* Asks for the right answers before the run. */

#ifndef REFERENCE_H
#define REFERENCE_H


#include "check.h"


/* Ends the program if an answer cannot be had. */
void reference_ask(check_t *c, const options_t *o, const bodies_t *bodies);


#endif /* REFERENCE_H */
