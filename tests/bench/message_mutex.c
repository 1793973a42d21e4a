/* message_mutex.c — what one writes without a library: a ring of messages, a mutex, and two condition variables. */
#include <pthread.h>

#include "message.h"

static struct note ring[MESSAGE_WINDOW];
static uint64_t head, tail;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t has_room = PTHREAD_COND_INITIALIZER, has_message = PTHREAD_COND_INITIALIZER;
static struct message_plan plan;

static void *sender_main(void *arg)
{
    (void)arg;
    struct note note = {0};
    for (uint64_t left = plan.each; left > 0; left--) {
        note.number = left;
        (void)pthread_mutex_lock(&lock);
        while (head - tail == MESSAGE_WINDOW)
            (void)pthread_cond_wait(&has_room, &lock);
        ring[head++ % MESSAGE_WINDOW] = note;
        if (head - tail == 1)
            (void)pthread_cond_signal(&has_message);
        (void)pthread_mutex_unlock(&lock);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[MESSAGE_SENDERS_MAX];
    uint64_t sum = 0;
    plan = message_plan(argc, argv);
    message_begin(&plan);
    for (unsigned i = 0; i < plan.senders; i++)
        bench_ok(-pthread_create(&threads[i], NULL, sender_main, NULL), "pthread_create");
    for (uint64_t left = plan.each * plan.senders; left > 0; left--) {
        (void)pthread_mutex_lock(&lock);
        while (head == tail)
            (void)pthread_cond_wait(&has_message, &lock);
        sum += ring[tail++ % MESSAGE_WINDOW].number;
        if (head - tail == MESSAGE_WINDOW / 2)
            (void)pthread_cond_broadcast(&has_room);
        (void)pthread_mutex_unlock(&lock);
    }
    message_end(&plan, sum);
    for (unsigned i = 0; i < plan.senders; i++)
        (void)pthread_join(threads[i], NULL);
    return 0;
}
