/* mistakes.c — a user's program that makes one mistake, named on its command line: a sanitizer must find it, though libjob has none.
 *
 * Whether it is made does not depend on time: what is not ordered is not ordered in every run.
 */
#include <errno.h>
#include <job/job.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *mistake;
static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_pool *pool;
static struct job_timer timer;
static struct job_task tasks[2];
static struct job_stream stream;
static struct job_region *region;
static unsigned char *kept;      /* where the bytes of a buf are that was given away */
static unsigned shared;
static unsigned left = 3;         /* two tasks, and the second `data` */
static int peer;

static bool makes(const char *name)
{
    return strcmp(mistake, name) == 0;
}

static void check(int err, const char *what)
{
    if (err < 0) {
        fprintf(stderr, "%s: %s\n", what, job_strerror(err));
        exit(3);
    }
}

static struct job_buf *filled(void)
{
    struct job_buf *buf = NULL;
    check(job_buf_alloc(job_runtime_arena(runtime), 1000, NULL, &buf), "buf");
    check(job_buf_write(buf, "0123456789012345678901234567890123456789", 40), "write");
    kept = job_buf_data(buf);
    return buf;
}

/* The first task goes on when the second has begun, and the other way round: they run on two threads, and neither is before the other. */
static void meet(struct job_task *task)
{
    uint32_t begun = 0;
    size_t mine = task == &tasks[0] ? 0 : 4;
    job_region_store32(region, mine, 1);
    while (begun == 0) {
        job_region_load32(region, 4 - mine, &begun);
        sched_yield();
    }
}

static void run(struct job_task *task)
{
    if (task == &tasks[0])
        ((unsigned char *)job_buf_data(task->buf))[0]++;
    meet(task);
    if (makes("two_tasks_count"))
        shared++;
    if (makes("task_and_loop_count") && task == &tasks[0])
        shared++;
}

static void one_is_over(void)
{
    if (--left > 0)
        return;
    job_timer_close(&timer, NULL);
    job_stream_close(&stream);
}

static void done(struct job_task *task, int status)
{
    check(status, "task");
    if (task == &tasks[0])
        shared += ((unsigned char *)job_buf_data(task->buf))[0];   /* it is the loop's again */
    one_is_over();
}

/* Enough that it comes in a buf of its own: little is copied into a common one. */
static void send_data(void)
{
    static const char bytes[8192] = "hello";
    if (write(peer, bytes, sizeof bytes) != (ssize_t)sizeof bytes)
        exit(3);
}

static void on_data(struct job_stream *s, struct job_buf **in)
{
    static unsigned char *before;
    if (before == job_buf_data(*in))
        exit(4);   /* the same memory again: nothing would be wrong */
    if (!before) {
        before = job_buf_data(*in);   /* the buf goes back when this returns */
        send_data();
        return;
    }
    if (makes("buf_of_data_is_read_later"))
        shared += before[0];
    (void)s;
    one_is_over();
}

static void start_tasks(struct job_timer *t)
{
    struct job_buf *buf = filled();
    check(job_task_give(&tasks[0], &buf), "give");
    if (makes("buf_of_task_is_read"))
        shared += kept[0];
    for (unsigned i = 0; i < 2; i++)
        check(job_submit(pool, &tasks[i], &t->handle), "submit");
    if (makes("task_and_loop_count"))
        shared++;
    if (makes("buf_of_task_is_written"))
        kept[0] = 0;
    if (makes("buf_of_stream_is_read")) {
        buf = filled();
        check(job_stream_send(&stream, &buf), "send");
        shared += kept[0];
    }
    if (makes("freed_buf_is_read")) {
        buf = filled();
        job_buf_free(&buf);
        shared += kept[0];
    }
    if (makes("freed_piece_is_read")) {
        struct job_buf *rest = NULL;
        buf = filled();
        check(job_buf_split(&buf, 16, &rest), "split");
        job_buf_free(&buf);
        shared += kept[0];
    }
    send_data();
}

/* Another thread receives what this one posts. */
static void *receive(void *arg)
{
    struct job_end *end = arg;
    struct job_message *message = NULL;
    check(job_end_receive(end, &message, -1), "receive");
    struct job_buf *buf = job_message_take_buf(message, 0);
    ((unsigned char *)job_buf_data(buf))[0]++;
    job_buf_free(&buf);
    job_message_free(&message);
    job_end_close(&end);
    return NULL;
}

static void post(void)
{
    struct job_end *ours = NULL, *theirs = NULL;
    struct job_buf *buf = filled();
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};
    pthread_t thread;
    check(job_channel_open(runtime, &ours, &theirs, NULL), "channel");
    check(job_end_post(ours, &(struct job_post){.items = &item, .count = 1}), "post");
    if (makes("posted_buf_is_read"))
        shared += kept[0];
    if (pthread_create(&thread, NULL, receive, theirs) != 0)
        exit(3);
    pthread_join(thread, NULL);
    job_end_close(&ours);
}

static void never(struct job_timer *t)
{
    (void)t;
    exit(4);
}

static void free_handle_early(void)
{
    struct job_timer *early = malloc(sizeof *early);
    if (!early)
        exit(3);
    check(job_timer_open(loop, early, never), "timer");
    check(job_timer_start(early, 0), "timer");
    if (makes("handle_is_freed_before_closed"))
        job_timer_close(early, NULL);
    free(early);
}

int main(int argc, char **argv)
{
    static const struct job_stream_events events = {.data = on_data};
    int pair[2];
    mistake = argc > 1 ? argv[1] : "none";
    if (makes("list")) {
        printf("thread two_tasks_count\nthread task_and_loop_count\nthread buf_of_task_is_written\n"
               "address buf_of_task_is_read\naddress buf_of_stream_is_read\n"
               "address buf_of_data_is_read_later\naddress posted_buf_is_read\naddress freed_buf_is_read\naddress freed_piece_is_read\n"
               "address handle_is_freed_before_closed\naddress open_handle_is_freed\n");
        return 0;
    }
    check(job_runtime_open(&runtime, &(struct job_runtime_options){.log = job_log_stderr}), "runtime");
    check(job_loop_open(runtime, &loop, NULL), "loop");
    check(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 2}), "pool");
    check(job_region_open(runtime, 8, &region), "region");
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
    peer = pair[1];
    check(job_stream_adopt(loop, &stream, pair[0], &events), "stream");
    for (unsigned i = 0; i < 2; i++)
        check(job_task_init(&tasks[i], pool, run, done), "task");
    check(job_timer_open(loop, &timer, start_tasks), "timer");
    check(job_timer_start(&timer, 0), "timer");
    post();
    if (makes("handle_is_freed_before_closed") || makes("open_handle_is_freed"))
        free_handle_early();
    check(job_loop_run(loop), "run");
    check(job_loop_close(&loop, 0), "loop");
    check(job_pool_close(&pool), "pool");
    job_region_release(&region);
    close(peer);
    check(job_runtime_close(&runtime), "runtime");
    return 0;
}
