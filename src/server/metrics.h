/*
 * What the models have done, as Prometheus reads it.
 */


#ifndef _MARK_SERVER_METRICS_H_INCLUDED_
#define _MARK_SERVER_METRICS_H_INCLUDED_


/*
 * Of each model that has an executor; an echo without delay has none, and
 * nothing to count.  The text is the caller's to free(), NULL: no memory.
 */
char *metrics_text(void);


#endif /* _MARK_SERVER_METRICS_H_INCLUDED_ */
