/* message_job.c — a port that receives on its loop. Each sender is a thread with a loop and a job_sender, and waits for `writable`. */
#include <errno.h>
#include <job/job.h>
#include <pthread.h>

#include "message.h"

struct from {
    pthread_t thread;
    struct job_sender *sender;
    uint64_t left;
};

static struct job_runtime *runtime;
static uint64_t sum;

static void send_all(struct job_sender *sender, void *data)
{
    struct from *from = data;
    struct note note = {0};
    int err = 0;
    while (from->left > 0) {
        note.number = from->left;
        err = job_sender_post(sender, &(struct job_post){.bytes = &note, .len = sizeof note});
        if (err < 0)
            break;
        from->left--;
    }
    if (err == -EAGAIN)
        err = job_sender_when_writable(sender, job_loop_current(), send_all, from);
    bench_ok(err, "post");
    if (from->left == 0)
        job_loop_stop(job_loop_current());
}

struct beginning {
    struct job_call call;
    struct from *from;
};

static void begin(struct job_call *call)
{
    struct beginning *beginning = job_container_of(call, struct beginning, call);
    send_all(beginning->from->sender, beginning->from);
}

static void never(struct job_timer *timer)
{
    (void)timer;
    bench_fail("an hour has passed");
}

static void *sender_main(void *arg)
{
    struct beginning beginning = {.call = {.run = begin}, .from = arg};
    struct job_loop *loop = NULL;
    struct job_timer alive;   /* until the loop is stopped */
    bench_ok(job_loop_open(runtime, &loop, NULL), "job_loop_open");
    bench_ok(job_timer_open(loop, &alive, never), "job_timer_open");
    bench_ok(job_timer_start(&alive, 3600 * UINT64_C(1000000000)), "job_timer_start");
    bench_ok(job_loop_call(loop, &beginning.call), "job_loop_call");
    bench_ok(job_loop_run(loop), "job_loop_run");
    job_sender_close(&beginning.from->sender);
    bench_ok(job_loop_close(&loop, 0), "job_loop_close");
    return NULL;
}

static void on_message(struct job_port *port, struct job_message *message)
{
    const struct note *note = job_message_bytes(message, NULL);
    (void)port;
    sum += note->number;
}

int main(int argc, char **argv)
{
    static const struct job_port_events events = {.message = on_message};
    struct message_plan plan = message_plan(argc, argv);
    struct job_loop *loop = NULL;
    struct job_end *ours = NULL, *theirs = NULL;
    struct job_port port;
    struct from from[MESSAGE_SENDERS_MAX] = {0};
    bench_ok(job_runtime_open(&runtime, NULL), "job_runtime_open");
    bench_ok(job_loop_open(runtime, &loop, NULL), "job_loop_open");
    bench_ok(job_channel_open(runtime, &ours, &theirs, &(struct job_channel_options){.messages_max = MESSAGE_WINDOW}),
             "job_channel_open");
    bench_ok(job_port_open(loop, &port, &ours, &events), "job_port_open");
    for (unsigned i = 0; i < plan.senders; i++) {
        from[i].left = plan.each;
        bench_ok(job_end_sender(theirs, &from[i].sender), "job_end_sender");
    }
    job_end_close(&theirs);
    message_begin(&plan);
    for (unsigned i = 0; i < plan.senders; i++)
        bench_ok(-pthread_create(&from[i].thread, NULL, sender_main, &from[i]), "pthread_create");
    bench_ok(job_loop_run(loop), "job_loop_run");   /* until all senders are closed */
    message_end(&plan, sum);
    for (unsigned i = 0; i < plan.senders; i++)
        (void)pthread_join(from[i].thread, NULL);
    bench_ok(job_loop_close(&loop, 0), "job_loop_close");
    bench_ok(job_runtime_close(&runtime), "job_runtime_close");
    return 0;
}
