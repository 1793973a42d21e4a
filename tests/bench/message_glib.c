/* message_glib.c — GAsyncQueue, with an allocation a message, as it is used; a sender that finds the window full yields. */
#include <glib.h>
#include <pthread.h>

#include "message.h"

static GAsyncQueue *queue;
static struct message_plan plan;

static void *sender_main(void *arg)
{
    (void)arg;
    for (uint64_t left = plan.each; left > 0; left--) {
        while (g_async_queue_length(queue) >= MESSAGE_WINDOW)
            (void)sched_yield();
        struct note *note = g_slice_new(struct note);
        note->number = left;
        g_async_queue_push(queue, note);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[MESSAGE_SENDERS_MAX];
    uint64_t sum = 0;
    plan = message_plan(argc, argv);
    queue = g_async_queue_new();
    message_begin(&plan);
    for (unsigned i = 0; i < plan.senders; i++)
        bench_ok(-pthread_create(&threads[i], NULL, sender_main, NULL), "pthread_create");
    for (uint64_t left = plan.each * plan.senders; left > 0; left--) {
        struct note *note = g_async_queue_pop(queue);
        sum += note->number;
        g_slice_free(struct note, note);
    }
    message_end(&plan, sum);
    for (unsigned i = 0; i < plan.senders; i++)
        (void)pthread_join(threads[i], NULL);
    g_async_queue_unref(queue);
    return 0;
}
