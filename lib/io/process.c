/* process.c — the life of a child process, seen from its loop.
 *
 *      STARTING ──the thread is through──▶ RUNNING ──the pidfd is readable, waited for──▶ ENDED ──▶ closed
 *          └──no program: started(err)──────────────────────────────────────────────────▶ ENDED
 *      closed while RUNNING: killed, and then as above; or let go: its pidfd becomes an orphan's (orphan.c)
 *
 * A start is a task of the handle, on a thread that may sleep (process_spawn.c). Its end is a poll of the pidfd, which becomes readable
 * when the process has ended, whoever else waits; waitid(2) by that pidfd takes its status and no other's. While we have not waited for
 * it, its number is its own, so a signal reaches it or nobody. The pidfd of one that leads a group stays until the close: by it, and not by
 * the number any more, what it has left behind can still be reached.
 *
 * A dead child that somebody traces cannot be waited for until the tracer has, and nothing tells of that: it is looked at now and then.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/sys.h"
#include "engine/op.h"
#include "io/descriptor.h"
#include "io/listener.h"
#include "io/process.h"
#include "io/stream.h"
#include "loop/deadline.h"
#include "stats/segment.h"

enum { PROCESS_STARTING, PROCESS_RUNNING, PROCESS_ENDED };
enum { PROCESS_GROUP = 1, PROCESS_OUTLIVES = 2, PROCESS_LET_GO = 4 };
enum { SIGNAL_MAX = 64 };

#define SIGNAL_PROCESS_GROUP (1U << 2)   /* newer than Debian 12's headers: PIDFD_SIGNAL_PROCESS_GROUP */

_Static_assert(sizeof(((struct job_process *)0)->job_op) >= sizeof(struct op), "op fits");
_Static_assert(sizeof(((struct job_process *)0)->job_deadline) >= sizeof(struct deadline), "deadline fits");

static struct op *poll_op(struct job_process *process)
{
    return (struct op *)process->job_op;
}

static struct deadline *deadline_of(struct job_process *process)
{
    return (struct deadline *)process->job_deadline;
}

static bool has(const struct job_process *process, uint32_t flag)
{
    return (process->job_flags & flag) != 0;
}

static struct job_loop *loop_of(const struct job_process *process)
{
    return process->handle.job_loop;
}

static void count_fd(const struct job_process *process, int more)
{
    (void)fetch_add_relaxed(&loop_of(process)->root->fds, (uint64_t)more);   /* ledger: orders nothing */
}

static void close_pidfd(struct job_process *process)
{
    descriptor_close(loop_of(process), process->job_pidfd);
    process->job_pidfd = -1;
}

/* There is nothing more to wait for. */
static void stop_running(struct job_process *process)
{
    process->job_state = PROCESS_ENDED;
    process->job_pid = 0;
    handle_set_idle(&process->handle, true);
}

static void ended(struct job_process *process, const struct job_process_exit *exit)
{
    stop_running(process);
    if (!has(process, PROCESS_GROUP))
        close_pidfd(process);
    if (handle_is_open(&process->handle) && process->job_exited)
        LOOP_CALL(loop_of(process), process->job_exited, (process, exit));
    handle_release(&process->handle);
}

static void let_go(struct job_process *process)
{
    orphan_add(loop_of(process)->root, process->job_orphan, process->job_pidfd);
    count_fd(process, -1);   /* no handle's any more */
    process->job_orphan = NULL;
    process->job_pidfd = -1;
    stop_running(process);
    handle_release(&process->handle);
}

static void poll_start(struct job_process *process);

static void deliver_later(struct job_mail *mail)
{
    struct job_process *process = container_of(mail, struct job_process, job_later);
    if (has(process, PROCESS_LET_GO))
        let_go(process);
    else
        poll_start(process);
}

/* No room for one more operation: when another one has ended. */
static void poll_stall(struct job_process *process)
{
    process->job_later.job_deliver = deliver_later;
    loop_stall_mail(loop_of(process), &process->job_later);
}

/* True: there is nothing more to wait for; the memory may be gone. */
static bool look(struct job_process *process)
{
    struct job_process_exit exit;
    if (process_reap(process->job_pidfd, &exit) != 0)
        ended(process, &exit);
    else if (has(process, PROCESS_LET_GO))
        let_go(process);
    else
        return false;
    return true;
}

static void wait_for_tracer(struct job_process *process)
{
    struct job_loop *loop = loop_of(process);
    deadline_set(loop, deadline_of(process), loop->now_ns + PROCESS_TRACED_NS);
}

static void look_again(struct deadline *deadline)
{
    struct job_process *process = job_container_of(deadline, struct job_process, job_deadline);
    if (!look(process))
        wait_for_tracer(process);
}

static void poll_completed(struct op *op, const struct completion *completion)
{
    struct job_process *process = job_container_of(op, struct job_process, job_op);
    if (look(process))
        return;
    if (completion->res < 0)
        poll_stall(process);
    else
        wait_for_tracer(process);   /* it has ended; to poll it again would end at once */
}

static void poll_start(struct job_process *process)
{
    struct engine *engine = loop_of(process)->engine;
    struct op *op = poll_op(process);
    op->completed = poll_completed;
    op->kind = OP_POLL;
    op->fd = process->job_pidfd;
    op->poll.events = POLLIN;
    if (engine->type->start(engine, op) < 0)
        poll_stall(process);
}

/* To a group whose leader has ended: there is no number that would be its own any more. */
static int send_left(const struct job_process *process, int number)
{
    bool is_on = feature_is_on(&loop_of(process)->root->features, FEATURE_PIDFD_GROUP);
    return is_on ? sys_pidfd_signal(process->job_pidfd, number, SIGNAL_PROCESS_GROUP) : -ESRCH;
}

static int send_group(struct job_process *process, int number)
{
    if (feature_is_on(&loop_of(process)->root->features, FEATURE_PIDFD_GROUP))
        return sys_pidfd_signal(process->job_pidfd, number, SIGNAL_PROCESS_GROUP);
    return kill(-process->job_pid, number) < 0 ? -errno : 0;   /* its own as long as nobody waits, as ignoring SIGCHLD does */
}

/* -EPERM: it runs as somebody whom we may not kill. */
static int kill_all(struct job_process *process)
{
    if (has(process, PROCESS_GROUP))
        (void)send_group(process, SIGKILL);   /* it may have left the group */
    return sys_pidfd_signal(process->job_pidfd, SIGKILL, 0);
}

/* The handle closes, and there is a program. */
static void part(struct job_process *process)
{
    struct job_loop *loop = loop_of(process);
    if (!has(process, PROCESS_OUTLIVES) && kill_all(process) != -EPERM)
        return;   /* its end comes by the poll */
    process->job_flags |= PROCESS_LET_GO;
    if (deadline_of(process)->at_ns > 0)
        deadline_set(loop, deadline_of(process), loop->now_ns);
    else if (op_is_in_flight(poll_op(process)))
        loop->engine->type->cancel(loop->engine, poll_op(process));
    else
        loop_unstall(loop);
}

static void process_closing(struct job_handle *handle)
{
    struct job_process *process = job_container_of(handle, struct job_process, handle);
    if (process->job_state == PROCESS_RUNNING)
        part(process);
}

static void process_closed(struct job_handle *handle)
{
    struct job_process *process = job_container_of(handle, struct job_process, handle);
    assert(deadline_of(process)->at_ns == 0);
    deadline_clear(handle->job_loop, deadline_of(process));   /* nothing points to it any more */
    alloc_free(handle->job_loop->root, process->job_orphan);
    if (process->job_pidfd >= 0)
        close_pidfd(process);
    HANDLE_TELL_CLOSED(process, process->job_on_closed);
}

static const struct handle_kind process_kind = {.name = "process", .close = process_closing, .closed = process_closed};

static void run_spawn(struct job_task *task)
{
    job_task_set_status(task, spawn_run(task->data));
}

static void spawn_free(struct spawn *spawn)
{
    (void)job_task_fini(&spawn->task);   /* idle: it cannot fail */
    alloc_free(spawn->root, spawn);
}

/* By the first process. A kernel before 6.9 says -EINVAL, and a newer one that it leads no group, or nothing. */
static void find_group_signals(struct root *root, int pidfd)
{
    uint32_t available = load_relaxed(&root->features.available);   /* each bit for itself: no order */
    if ((available & (1U << FEATURE_PIDFD_GROUP)) || sys_pidfd_signal(pidfd, 0, SIGNAL_PROCESS_GROUP) == -EINVAL)
        return;
    feature_found(&root->features, FEATURE_PIDFD_GROUP);
    available = load_relaxed(&root->features.available);   /* figures for people: no order */
    stats_set_features(root->stats, available, root->features.disabled);
}

static void runs(struct job_process *process, const struct spawn *spawn)
{
    process->job_state = PROCESS_RUNNING;
    process->job_pidfd = spawn->pidfd;
    process->job_pid = spawn->pid;
    count_fd(process, 1);
    find_group_signals(loop_of(process)->root, process->job_pidfd);
    handle_hold(&process->handle);   /* until it has ended or is let go */
    poll_start(process);
    if (!handle_is_open(&process->handle))
        part(process);
}

static void spawn_ended(struct job_task *task, int status)
{
    struct spawn *spawn = task->data;
    struct job_process *process = spawn->process;
    stdio_close_own(spawn);   /* the thread has, if the task has run */
    listeners_retry(loop_of(process));
    if (status == 0)
        runs(process, spawn);
    else
        stop_running(process);
    stdio_receive(spawn);   /* from the end of this turn: behind `started` */
    spawn_free(spawn);
    if (handle_is_open(&process->handle))
        LOOP_CALL(loop_of(process), process->job_started, (process, status));
}

static bool are_streams_whole(const struct job_process_options *options)
{
    for (int i = 0; i < STDIO_COUNT; i++) {
        const struct job_process_stdio *stdio = &options->stdio[i];
        if (stdio->how > JOB_STDIO_OUTPUT || (stdio->how == JOB_STDIO_OUTPUT && i != 2))
            return false;
        if (stdio->how != JOB_STDIO_STREAM)
            continue;
        if (!stdio->stream || !stdio->events || !stdio->events->data)
            return false;
        for (int j = 0; j < i; j++) {
            if (options->stdio[j].how == JOB_STDIO_STREAM && options->stdio[j].stream == stdio->stream)
                return false;
        }
    }
    return true;
}

static bool is_usable(const struct job_process_options *options)
{
    if (!options->program || options->program[0] == '\0' || !are_streams_whole(options))
        return false;
    if (options->arguments && !options->arguments[0])
        return false;
    return options->descriptor_count <= PROCESS_DESCRIPTORS_MAX &&
           (options->descriptor_count == 0 || options->descriptors);
}

static const char *search_path(const char *program)
{
    if (strchr(program, '/'))
        return NULL;
    const char *path = secure_getenv("PATH");
    return path ? path : "/usr/local/bin:/usr/bin:/bin";
}

static struct spawn *spawn_new(struct root *root, struct job_process *process,
                               const struct job_process_options *options)
{
    const char *path = search_path(options->program);
    size_t len = path ? strlen(path) : 0;
    struct spawn *spawn = alloc_zeroed(root, sizeof *spawn + len);
    if (!spawn)
        return NULL;
    (void)job_task_init(&spawn->task, root->calls, run_spawn, spawn_ended);   /* the arguments are there */
    spawn->task.data = spawn;
    spawn->process = process;
    spawn->root = root;
    spawn->options = *options;
    if (path) {
        memcpy(spawn->text, path, len + 1);
        spawn->search = spawn->text;
    }
    return spawn;
}

/* What cannot be undone by itself comes last. */
static int start(struct job_loop *loop, struct job_process *process, struct spawn *spawn)
{
    const struct job_process_options *options = &spawn->options;
    int err = handle_open(loop, &process->handle, sizeof *process, &process_kind);
    if (err < 0)
        return err;
    process->job_pidfd = -1;
    deadline_of(process)->passed = look_again;
    process->job_flags = (options->group || options->session ? PROCESS_GROUP : 0U) |
                         (options->outlives ? PROCESS_OUTLIVES : 0U);
    process->job_orphan = orphan_new(loop->root);
    err = process->job_orphan ? stdio_open(spawn, loop) : -ENOMEM;
    if (err < 0)
        goto abandon;
    err = job_submit(loop->root->calls, &spawn->task, &process->handle);
    if (err == 0)
        return 0;
    stdio_abandon(spawn);
abandon:
    alloc_free(loop->root, process->job_orphan);
    handle_abandon(&process->handle);
    return err;
}

int job_process_open(struct job_loop *loop, struct job_process *process, const struct job_process_options *options,
                     void (*started)(struct job_process *process, int status),
                     void (*exited)(struct job_process *process, const struct job_process_exit *exit))
{
    if (!loop || !process || !options || !started || !is_usable(options))
        return -EINVAL;
    int err = handle_may_open(loop, &process->handle);
    if (err < 0)
        return err;
    struct spawn *spawn = spawn_new(loop->root, process, options);
    if (!spawn)
        return -ENOMEM;
    err = stdio_make(spawn);
    if (err < 0)
        goto free_spawn;
    err = start(loop, process, spawn);
    if (err < 0)
        goto undo;
    process->job_started = started;
    process->job_exited = exited;
    stdio_hold(spawn);
    return 0;
undo:
    stdio_undo(spawn);
free_spawn:
    spawn_free(spawn);
    return err;
}

static int check_kill(const struct job_process *process, int number)
{
    if (!process || handle_state(&process->handle) == HANDLE_NONE || number < 0 || number > SIGNAL_MAX)
        return -EINVAL;
    if (handle_state(&process->handle) == HANDLE_CLOSED)
        return -ESRCH;   /* its loop may be gone */
    if (loop_check_thread(loop_of(process)) < 0)
        return -EPERM;
    return process->job_state == PROCESS_RUNNING ? 0 : -ESRCH;
}

int job_process_kill(struct job_process *process, int number)
{
    int err = check_kill(process, number);
    return err < 0 ? err : sys_pidfd_signal(process->job_pidfd, number, 0);
}

int job_process_kill_group(struct job_process *process, int number)
{
    int err = check_kill(process, number);
    if (err != -EINVAL && err != -EPERM && !has(process, PROCESS_GROUP))
        return -EINVAL;
    if (err == -ESRCH && process->job_pidfd >= 0)
        return send_left(process, number);
    return err < 0 ? err : send_group(process, number);
}

int job_process_pid(const struct job_process *process)
{
    return process ? process->job_pid : 0;
}

void job_process_close(struct job_process *process, void (*closed)(struct job_process *process))
{
    if (!process || !handle_may_close(&process->handle))
        return;
    process->job_on_closed = closed;
    (void)handle_close(&process->handle);
}
