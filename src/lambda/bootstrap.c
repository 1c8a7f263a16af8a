
/*
 * bootstrap, the program that Lambda starts in a package of mark-lambda:
 * runs it with the package's own loader and libraries.
 *
 * They are newer than those of Lambda's operating system, of which nothing
 * is used: this program is static, and any Linux can run the package.
 */


#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>


#define BOOTSTRAP_LOADER     "lib/ld-linux-x86-64.so.2"
#define BOOTSTRAP_PROGRAM    "lib/mark-lambda"


int
main(int argc, char **argv)
{
    char     dir[PATH_MAX], lib[PATH_MAX + 16], loader[PATH_MAX + 32],
             program[PATH_MAX + 32];
    char    *args[] = { "mark-lambda", "--library-path", lib, program,
                        argc > 1 ? argv[1] : NULL, NULL };
    ssize_t  n;

    n = readlink("/proc/self/exe", dir, sizeof(dir) - 1);

    if (n == -1) {
        perror("bootstrap: /proc/self/exe");
        return 1;
    }

    dir[n] = '\0';
    *strrchr(dir, '/') = '\0';

    snprintf(lib, sizeof(lib), "%s/lib", dir);
    snprintf(loader, sizeof(loader), "%s/" BOOTSTRAP_LOADER, dir);
    snprintf(program, sizeof(program), "%s/" BOOTSTRAP_PROGRAM, dir);

    execv(loader, args);
    perror(loader);

    return 1;
}
