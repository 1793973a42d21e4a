/* processes.c — a user's program that starts programs, several at a time: a sanitizer must neither end it nor report anything.
 *
 * The child runs in the parent's memory until it is a program, on one thread of several. A sanitizer that took that for a fork, or for a
 * thread, would go on with a state that is not the parent's any more.
 */
#include <job/job.h>
#include <stdio.h>
#include <stdlib.h>

enum { PROCESSES = 8, ROUNDS = 8 };

static struct job_loop *loop;
static struct job_process processes[PROCESSES];
static unsigned begun, exits;

static void check(int err, const char *what)
{
    if (err < 0) {
        fprintf(stderr, "%s: %s\n", what, job_strerror(err));
        exit(3);
    }
}

static void start(struct job_process *process);

static void started(struct job_process *process, int status)
{
    (void)process;
    check(status, "started");
}

static void closed(struct job_process *process)
{
    if (begun < PROCESSES * ROUNDS)
        start(process);
}

static void exited(struct job_process *process, const struct job_process_exit *end)
{
    check(end->status, "exited");
    if (end->code == 0)
        exits++;
    job_process_close(process, closed);
}

static void start(struct job_process *process)
{
    static const struct job_process_options options = {.program = "true"};
    begun++;
    check(job_process_open(loop, process, &options, started, exited), "process");
}

int main(void)
{
    struct job_runtime *runtime = NULL;
    check(job_runtime_open(&runtime, &(struct job_runtime_options){.log = job_log_stderr}), "runtime");
    check(job_loop_open(runtime, &loop, NULL), "loop");
    for (unsigned i = 0; i < PROCESSES; i++)
        start(&processes[i]);
    check(job_loop_run(loop), "run");
    check(job_loop_close(&loop, 0), "loop");
    check(job_runtime_close(&runtime), "runtime");
    return exits == PROCESSES * ROUNDS ? 0 : 4;
}
