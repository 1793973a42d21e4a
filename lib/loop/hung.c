/* hung.c — names what has not ended when a loop that closes has come to its deadline: each handle, its tasks, and each operation that the
 * kernel has not given back, since when.
 *
 * All of it is leaked, so this is the only trace that there will be. A handle comes before its tasks, operations come last: they are the
 * engine's, which knows descriptors and no handles.
 */
#include "base/backtrace.h"
#include "loop/handle.h"
#include "loop/loop.h"
#include "sched/pool.h"

static double seconds_since(const struct job_loop *loop, uint64_t since_ns)
{
    return (double)time_since(since_ns, loop->root->now_ns()) / 1e9;
}

static void tell(const struct job_loop *loop, const struct job_hung *hung)
{
    if (loop->hung)
        loop->hung(loop->hung_arg, hung);
}

void loop_leaves(struct job_loop *loop, const struct job_hung *hung)
{
    loop->left_behind++;
    tell(loop, hung);
}

static void tell_op(struct op *op, void *arg)
{
    static const char *const kinds[OP_KINDS] = {
        [OP_NONE] = "none", [OP_ACCEPT] = "accept", [OP_RECEIVE] = "receive",
        [OP_SEND] = "send", [OP_READ] = "read",     [OP_CLOSE] = "close",
        [OP_POLL] = "poll", [OP_FILL] = "fill",     [OP_READ_AT] = "read of a file", [OP_WRITE_AT] = "write to a file",
        [OP_SYNC] = "sync",
    };
    struct job_loop *loop = arg;
    struct job_hung hung = {.what = kinds[op->kind], .fd = op->fd, .since_ns = op->since_ns};
    log_write(&loop->root->log, JOB_LOG_ERROR, "loop %s: the kernel has not given back: %s on descriptor %d, started %.1f s ago",
              loop->name, hung.what, hung.fd, seconds_since(loop, hung.since_ns));
    tell(loop, &hung);
}

static const char *what_it_does(const struct job_task *task)
{
    switch (task_state(task)) {   /* a hint: it may end while we tell */
    case TASK_QUEUED:
    case TASK_CANCELLED: return "it waits in";
    case TASK_RUNNING:
    case TASK_RUNNING_CANCELLED: return "it runs on";
    default: return "its end is under way from";
    }
}

static void tell_task(struct job_loop *loop, struct job_task *task)
{
    struct job_handle *handle = task->job_handle;
    const struct job_pool *pool = task->job_pool;
    struct job_hung hung = {
        .what = "task", .handle = handle, .tasks = 1, .fd = -1, .since_ns = task->job_queued_ns, .task = task,
    };
    char function[128];
    backtrace_name((uint64_t)(uintptr_t)task->job_run, function, sizeof function);
    log_write(&loop->root->log, JOB_LOG_ERROR,
              "loop %s: a task of a %s has not ended: %s; %s pool %s, submitted %.1f s ago", loop->name,
              ((const struct handle_kind *)handle->job_kind)->name, function, what_it_does(task), pool->name,
              seconds_since(loop, hung.since_ns));
    tell(loop, &hung);
}

static struct job_task *task_at(struct list *node)
{
    return (struct job_task *)((char *)node - offsetof(struct job_task, job_list));
}

static void tell_handle(struct job_loop *loop, struct job_handle *handle)
{
    const struct list *tasks = (struct list *)handle->job_tasks;
    struct job_hung hung = {
        .what = ((const struct handle_kind *)handle->job_kind)->name, .handle = handle, .fd = -1,
        .tasks = list_count(tasks), .since_ns = loop->closing_ns,
    };
    hung.operations = handle->job_pending - hung.tasks;
    log_write(&loop->root->log, JOB_LOG_ERROR,
              "loop %s: a %s cannot be closed, for %.1f s: %u tasks and %u operations have not ended", loop->name, hung.what,
              seconds_since(loop, hung.since_ns), hung.tasks, hung.operations);
    tell(loop, &hung);
    unsigned told = 0;
    list_each(node, tasks) {
        if (told++ == HUNG_TASKS_MAX)
            break;
        tell_task(loop, task_at(node));
    }
}

void loop_tell_hung(struct job_loop *loop)
{
    list_each(node, &loop->handles)
        tell_handle(loop, (struct job_handle *)((char *)node - offsetof(struct job_handle, job_node)));
    loop->engine->type->each(loop->engine, tell_op, loop);
}
