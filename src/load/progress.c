/* A line about the last second, on stderr. */

#include "run.h"


void
progress_show(run_t *run)
{
    uint64_t  sent, done, errors, wrong;

    sent = run->counted.sent + run->warmup.sent;
    done = run->counted.completed + run->warmup.completed;
    wrong = run->counted.wrong + run->warmup.wrong;
    errors = tally_errors(&run->counted) + tally_errors(&run->warmup);

    fprintf(stderr, "%5.0f s  sent %llu/s  done %llu/s  in flight %llu"
            "  waiting %llu  errors %llu  wrong %llu  p99 %.3f ms\n",
            (double) (run_clock() - run->start) / 1e9,
            (unsigned long long) (sent - run->shown_sent),
            (unsigned long long) (done - run->shown_done),
            (unsigned long long) run->in_flight,
            (unsigned long long) (run->backlog.tail - run->backlog.head),
            (unsigned long long) errors,
            (unsigned long long) wrong,
            (double) mark_histogram_quantile(&run->second, 0.99) / 1000);

    run->shown_sent = sent;
    run->shown_done = done;

    mark_histogram_clear(&run->second);
}
