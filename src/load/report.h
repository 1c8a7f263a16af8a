/* What is said at the end of a run. */

#ifndef REPORT_H
#define REPORT_H


#include "run.h"


/* Ends the program if a file cannot be written. */
void report_write(const run_t *run, double cpu_seconds);
void report_answers(const run_t *run);


#endif /* REPORT_H */
