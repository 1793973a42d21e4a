/* process.h — what the files of a process share.
 *
 *   process.c         its life: open, started, exited, close
 *   process_spawn.c   how a program is started, on a thread
 *   process_stdio.c   its standard streams
 *   orphan.c          those that outlive their handles
 */
#ifndef JOB_IO_PROCESS_H
#define JOB_IO_PROCESS_H

#include "base/limits.h"
#include "base/list.h"
#include "job/process.h"
#include "job/task.h"

struct root;
struct job_process_exit;

enum { STDIO_COUNT = 3, CHILD_STACK_BYTES = 16384, CHILD_PATH_BYTES = 4096 };

/* A start: the loop fills it, a thread works on it, the loop frees it. */
struct spawn {
    struct job_task task;
    struct job_process *process;
    struct root *root;
    struct job_process_options options;
    /* the descriptor that becomes the program's 0, 1, 2 …; -1: none is made for it. Of the first three some are ours */
    int from[STDIO_COUNT + PROCESS_DESCRIPTORS_MAX];
    unsigned count;
    int own[STDIO_COUNT];       /* ends that are to be closed when the program has them; -1: none */
    int stream_fd[STDIO_COUNT]; /* our ends of its streams, until they have opened */
    const char *search;         /* PATH, behind the names; NULL: the program has a slash */
    /* the thread, and the child in its memory */
    int pidfd;
    int pid;
    int err;                    /* of the child: why there is no program */
    char path[CHILD_PATH_BYTES];
    _Alignas(16) char stack[CHILD_STACK_BYTES];
    char text[1];               /* a copy of PATH */
};

/* process_spawn.c: starts the program; 0, with pidfd and pid, or a negative errno. A thread that may sleep. */
int spawn_run(struct spawn *spawn);

/* The end of a child, by its pidfd, if it has ended. 1: *exit tells; 0: it runs; -ECHILD: somebody else has waited for it. */
int process_reap(int pidfd, struct job_process_exit *exit);

/* process_stdio.c: descriptors for both sides. 0; -EINVAL, -EBADF, -EMFILE, -ENFILE: none is open. */
int stdio_make(struct spawn *spawn);
int stdio_open_null(struct spawn *spawn);                     /* the thread: what is not named by a descriptor */
int stdio_open(struct spawn *spawn, struct job_loop *loop);   /* opens the streams, which do not receive yet; on error none is open */
void stdio_hold(struct spawn *spawn);                         /* they stay until the start has ended, though closed */
void stdio_receive(struct spawn *spawn);                      /* it has: they receive */
void stdio_abandon(struct spawn *spawn);                      /* as if the streams had not been opened */
void stdio_undo(struct spawn *spawn);                         /* closes what was made */
void stdio_close_own(struct spawn *spawn);                    /* the program has them, or there will be none */

/* orphan.c */
struct orphan {
    struct list node;
    int pidfd;
};

struct orphan *orphan_new(struct root *root);
void orphan_add(struct root *root, struct orphan *orphan, int pidfd);   /* the pidfd is its own from here on */
void orphans_reap(struct root *root);                                   /* any thread */
void orphans_close(struct root *root);                                  /* the runtime closes */

#endif
