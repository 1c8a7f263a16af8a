/* mark-load: offers load to an HTTP server and judges its answers. */

#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "report.h"
#include "run.h"


static void
raise_limit(unsigned connections)
{
    struct rlimit  limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }

    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);

    if (limit.rlim_max != RLIM_INFINITY
        && limit.rlim_max < (rlim_t) connections + 16)
    {
        options_die("%u connections are more than the limit of %llu open"
                    " files allows", connections,
                    (unsigned long long) limit.rlim_max);
    }
}


static double
cpu_seconds(void)
{
    struct rusage  usage;

    getrusage(RUSAGE_SELF, &usage);

    return (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
           + (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}


int
main(int argc, char **argv)
{
    double            before;
    static run_t      run;
    static options_t  options;

    options_parse(&options, argc, argv);
    raise_limit(options.connections);
    signal(SIGPIPE, SIG_IGN);

    run_init(&run, &options);

    before = cpu_seconds();
    run_loop(&run);

    report_write(&run, cpu_seconds() - before);

    if (options.answers) {
        report_answers(&run);
    }

    if (run.counted.wrong + run.warmup.wrong) {
        return EXIT_WRONG;
    }

    return tally_errors(&run.counted) ? EXIT_ERRORS : EXIT_OK;
}
