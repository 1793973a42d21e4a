/* standard.c — standard input, output and error: what a user closed stays closed, and what could not be written counts.
 *
 * The next descriptor that is opened gets the lowest free number. With standard input closed that is 0, and whoever reads 0 then reads what
 * somebody opened for a purpose of his own. So each of the three that is closed is opened first of all, in the direction in which
 * nobody uses it: reading from it, or writing to it, fails as it does with a closed one.
 */
#include "jobsum.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void standard_hold(struct options *options)
{
    struct sigaction action;
    sigset_t blocked;
    for (int fd = 0; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        options->has_no_input = options->has_no_input || fd == STDIN_FILENO;
        if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)   /* the lowest that is free */
            exit(EXIT_FAILURE);
    }
    options->ends_by_sigpipe = sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler != SIG_IGN &&
                               sigprocmask(SIG_BLOCK, NULL, &blocked) == 0 && !sigismember(&blocked, SIGPIPE);
}

int standard_input(struct jobsum *jobsum, struct job_file *file)
{
    jobsum->has_read_input = true;
    int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    int err = fd < 0 ? -errno : job_file_adopt(jobsum->loop, file, fd);
    if (err < 0 && fd >= 0)
        close(fd);
    return err;
}

/* As sha256sum does: a closed output alone is told by its reason. */
static void say_write_error(int error)
{
    bool has_reason = error == EBADF || error == ENOMEM;
    fprintf(stderr, "jobsum: write error%s%s\n", has_reason ? ": " : "", has_reason ? strerror(error) : "");
}

bool standard_end(const struct jobsum *jobsum)
{
    if (jobsum->has_read_input && jobsum->options->has_no_input)
        fprintf(stderr, "jobsum: standard input: %s\n", strerror(EBADF));
    if (jobsum->output.error)
        say_write_error(jobsum->output.error);
    return !(jobsum->has_read_input && jobsum->options->has_no_input) && !jobsum->output.error && !ferror(stderr);
}

_Noreturn void standard_exit(void)
{
    if (fflush(stdout) != 0) {
        say_write_error(errno);
        exit(EXIT_FAILURE);
    }
    exit(EXIT_SUCCESS);
}
