/* thread.c — starts threads of the library. */
#include "base/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/root.h"
#include "base/sys.h"

static int set_affinity(pthread_attr_t *attributes, const struct thread_options *options)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (size_t i = 0; i < options->affinity_words * 64 && i < CPU_SETSIZE; i++) {
        if (options->affinity[i / 64] >> (i % 64) & 1)
            CPU_SET(i, &set);
    }
    return -pthread_attr_setaffinity_np(attributes, sizeof set, &set);
}

int thread_start(struct root *root, pthread_t *thread, const struct thread_options *options, void *(*run)(void *arg),
                 void *arg)
{
    static const struct thread_options defaults = {0};
    sigset_t before;
    pthread_attr_t attributes;
    options = options ? options : &defaults;
    (void)pthread_attr_init(&attributes);
    if (options->stack_bytes)
        (void)pthread_attr_setstacksize(&attributes, options->stack_bytes);   /* one that is too small was refused before */
    int err = options->affinity ? set_affinity(&attributes, options) : 0;
    (void)fetch_add_relaxed(&root->threads, 1);   /* ledger: orders nothing */
    sys_block_signals(&before);                   /* the thread inherits it */
    if (err == 0)
        err = -pthread_create(thread, &attributes, run, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    if (err < 0)
        thread_ends(root);
    return err;
}

void thread_ends(struct root *root)
{
    (void)fetch_sub_relaxed(&root->threads, 1);   /* ledger: orders nothing */
}

void thread_add_nice(struct root *root, const char *what, const char *name, int nice)
{
    if (nice == 0)
        return;
    int before = getpriority(PRIO_PROCESS, 0);   /* of this thread, on Linux; it cannot fail */
    if (setpriority(PRIO_PROCESS, 0, before + nice) < 0)
        log_write(&root->log, JOB_LOG_WARNING, "%s %s: nice %d: %s", what, name, nice, job_strerror(errno));
}
