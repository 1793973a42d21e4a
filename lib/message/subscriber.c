/* subscriber.c — one who listens to a topic, on its loop: a bounded queue that posters fill, and the handle that empties it.
 *
 * The queue is a ring of pointers under a lock of its own, held for a push or a pop. The subscriber's one mail is here (its turn runs, or
 * it closes), armed (whoever pushes next sends it), or out (on its way). The place is under the lock too:
 *
 *   a poster:   P1 push, or drop, refuse, disconnect   P2 armed? then out, and post the mail
 *   its turn:   T1 the mail is here   T2 pop and tell, as long as the turn's budget lasts   T3 something left: out, for the
 *               turn's end; nothing, and no more will come: close; else armed
 *   it closes:  C1 leave the topic: no push begins any more   C2 armed becomes here; out: wait for the mail
 *
 * One that is stopped is not woken by a message, and T2 pops none; its start does what P2 does. What wakes it all the same is a disconnect:
 * then T3 closes it, and what waits is dropped.
 *
 * Why no wake-up is lost: T3 looks for messages and arms in one hold of the lock, P1 and P2 are one hold too. Why none comes too late: a
 * poster posts the mail while it has the topic's lock, so after C1 either it was posted, and C2 finds it out, or never will be.
 */
#include <errno.h>

#include "base/alloc.h"
#include "loop/handle.h"
#include "message/topic.h"

static struct listener_queue *queue_of(const struct job_subscriber *subscriber)
{
    return subscriber->job_state;
}

static struct job_loop *loop_of(const struct job_subscriber *subscriber)
{
    return subscriber->handle.job_loop;
}

static void lock(struct listener_queue *queue)
{
    (void)pthread_mutex_lock(&queue->lock);
}

static void unlock(struct listener_queue *queue)
{
    (void)pthread_mutex_unlock(&queue->lock);
}

/* Under the lock, as all that is shown of it but what its loop has taken. */
static void show_waiting(struct listener_queue *queue)
{
    if (queue->shown)
        store_relaxed(&queue->shown->used, (uint64_t)queue->count << STATS_QUEUE_BYTES_BITS | queue->bytes);   /* as below */
}

static void show_missed(struct listener_queue *queue)
{
    if (!queue->shown)
        return;
    store_relaxed(&queue->shown->dropped, queue->dropped);   /* figures for people: no order */
    store_relaxed(&queue->shown->refused, queue->refused);
}

static uint64_t charge_in(const struct listener_queue *queue, const struct job_news *news)
{
    return charge_within(&news->charge, queue->bytes_max);
}

/* Under the lock; NULL: empty. */
static struct job_news *pop(struct listener_queue *queue)
{
    if (queue->count == 0)
        return NULL;
    struct job_news *news = queue->ring[queue->first];
    queue->first = queue->first + 1 < queue->messages_max ? queue->first + 1 : 0;
    queue->count--;
    queue->bytes -= charge_in(queue, news);
    show_waiting(queue);
    return news;
}

static bool fits(const struct listener_queue *queue, const struct job_news *news)
{
    return queue->count < queue->messages_max && queue->bytes + charge_in(queue, news) <= queue->bytes_max;
}

static void append(struct listener_queue *queue, struct job_news *news)
{
    unsigned at = queue->first + queue->count;
    queue->ring[at < queue->messages_max ? at : at - queue->messages_max] = news;
    queue->count++;
    queue->bytes += charge_in(queue, news);
    show_waiting(queue);
    news_retain(news);
}

/* Under the lock: whoever posts sends the mail, once. */
static void wake(struct listener_queue *queue)
{
    if (queue->mail != MAIL_ARMED)
        return;
    JOB_MARK(subscriber_is_woken);
    queue->mail = MAIL_OUT;
    mailbox_post(&loop_of(queue->handle)->mailbox, &queue->handle->job_mail);
}

/* Drops what has waited longest until the new one fits, if it ever does. */
static void make_room(struct listener_queue *queue, const struct job_news *news, struct posting *posting)
{
    struct job_news *oldest;
    if (queue->policy != JOB_TOPIC_DROP_OLDEST || charge_in(queue, news) > queue->bytes_max)
        return;
    while (!fits(queue, news) && (oldest = pop(queue))) {
        JOB_MARK(subscriber_drops_the_oldest);
        queue->dropped++;
        posting->result.dropped++;
        news_drop(oldest, &posting->dead);
        show_missed(queue);
    }
}

bool queue_push(struct listener_queue *queue, struct job_news *news, struct posting *posting)
{
    struct job_topic_result *result = &posting->result;
    lock(queue);
    make_room(queue, news, posting);
    bool is_taken = fits(queue, news), is_over = !is_taken && queue->policy == JOB_TOPIC_DISCONNECT;
    if (is_taken) {
        append(queue, news);
        result->reached++;
    } else if (is_over) {
        queue->status = -ENOBUFS;
        result->disconnected++;
    } else {
        queue->refused++;
        result->refused++;
        show_missed(queue);
    }
    if (is_over || (is_taken && !queue->is_stopped))
        wake(queue);
    unlock(queue);
    return !is_over;
}

void queue_end(struct listener_queue *queue, int status)
{
    lock(queue);
    queue->status = status;
    wake(queue);
    unlock(queue);
}

/* After a turn: where its mail is now. */
static void settle(struct job_subscriber *subscriber)
{
    struct listener_queue *queue = queue_of(subscriber);
    lock(queue);
    bool has_more = queue->count > 0 && !queue->is_stopped;
    bool is_over = queue->count > 0 ? queue->is_stopped && queue->status == -ENOBUFS : queue->status < 0;
    queue->mail = has_more ? MAIL_OUT : is_over ? MAIL_HERE : MAIL_ARMED;
    unlock(queue);
    if (has_more)
        loop_make_due(loop_of(subscriber), &subscriber->job_mail);
    else if (is_over)
        (void)handle_close(&subscriber->handle);
}

static void deliver(struct job_subscriber *subscriber)
{
    struct listener_queue *queue = queue_of(subscriber);
    struct job_loop *loop = loop_of(subscriber);
    uint64_t begin = loop->now_ns;
    for (unsigned count = 0; count < PORT_TURN_MESSAGES && loop->now_ns - begin < PORT_TURN_NS; count++) {
        lock(queue);
        struct job_news *news = queue->is_stopped ? NULL : pop(queue);
        unlock(queue);
        if (!news)
            break;
        queue->received++;
        stats_queue_take(queue->shown, 1, loop->now_ns);
        LOOP_CALL(loop, subscriber->job_events->message, (subscriber, news));
        news_release(news);
        if (!handle_is_open(&subscriber->handle))
            return;
    }
    settle(subscriber);
}

static void turn(struct job_mail *mail)
{
    struct job_subscriber *subscriber = container_of(mail, struct job_subscriber, job_mail);
    struct listener_queue *queue = queue_of(subscriber);
    lock(queue);
    queue->mail = MAIL_HERE;
    unlock(queue);
    if (handle_is_open(&subscriber->handle))
        deliver(subscriber);
    else
        handle_release(&subscriber->handle);
}

static void drop_all(struct listener_queue *queue, struct job_news **dead)
{
    struct job_news *news;
    while ((news = pop(queue))) {
        queue->dropped++;
        news_drop(news, dead);
        (void)fetch_add_relaxed(&queue->topic->root->dropped, 1);   /* a count: orders nothing */
    }
}

static void subscriber_close(struct job_handle *handle)
{
    struct job_subscriber *subscriber = container_of(handle, struct job_subscriber, handle);
    struct listener_queue *queue = queue_of(subscriber);
    struct job_news *dead = NULL;
    topic_leave(queue->topic, queue);
    lock(queue);
    bool is_out = queue->mail == MAIL_OUT;
    if (!is_out)
        queue->mail = MAIL_HERE;
    drop_all(queue, &dead);
    unlock(queue);
    news_free_dead(dead);
    if (is_out)
        handle_hold(handle);
}

static void queue_free(struct root *root, struct listener_queue *queue)
{
    stats_queue_release(queue->shown);
    (void)pthread_mutex_destroy(&queue->lock);
    alloc_free(root, queue);
}

static void subscriber_closed(struct job_handle *handle)
{
    struct job_subscriber *subscriber = container_of(handle, struct job_subscriber, handle);
    struct listener_queue *queue = queue_of(subscriber);
    struct job_loop *loop = handle->job_loop;
    HANDLE_TELL_CLOSED(subscriber, subscriber->job_events->closed);   /* its memory is the user's: not read below */
    topic_release(queue->topic);
    queue_free(loop->root, queue);
}

static const struct handle_kind subscriber_kind = {
    .name = "subscriber", .close = subscriber_close, .closed = subscriber_closed};

static void show_queue(struct listener_queue *queue)
{
    const struct job_topic *topic = queue->topic;
    struct stats *stats = topic->root->stats;
    queue->shown = stats_queue_claim(stats, &(struct stats_queue_facts){.kind = STATS_QUEUE_SUBSCRIBER,
                                                                        .name = topic->name,
                                                                        .limit_messages = queue->messages_max,
                                                                        .limit_bytes = queue->bytes_max,
                                                                        .topic = topic->shown,
                                                                        .policy = (uint32_t)queue->policy});
    stats_queue_receiver(stats, queue->shown, loop_of(queue->handle)->line);
}

static struct listener_queue *queue_new(struct job_subscriber *subscriber, struct job_topic *topic,
                                        const struct job_subscriber_options *options)
{
    unsigned messages = options->messages_max ? options->messages_max : PORT_MESSAGES_DEFAULT;
    struct listener_queue *queue = alloc_zeroed(topic->root, sizeof *queue + messages * sizeof queue->ring[0]);
    if (!queue)
        return NULL;
    queue->topic = topic;
    queue->handle = subscriber;
    queue->policy = options->policy;
    queue->messages_max = messages;
    queue->bytes_max = options->bytes_max ? options->bytes_max : PORT_BYTES_DEFAULT;
    queue->mail = MAIL_ARMED;
    (void)pthread_mutex_init(&queue->lock, NULL);   /* cannot fail without attributes */
    list_init(&queue->node);
    show_queue(queue);
    return queue;
}

int job_subscriber_open(struct job_loop *loop, struct job_subscriber *subscriber, struct job_topic *topic,
                        const struct job_subscriber_options *options, const struct job_subscriber_events *events)
{
    static const struct job_subscriber_options defaults = {0};
    options = options ? options : &defaults;
    if (!loop || !subscriber || !topic || !events || !events->message || topic->root != loop->root ||
        options->messages_max > PORT_MESSAGES_MAX || options->bytes_max > PORT_BYTES_MAX ||
        (unsigned)options->policy > JOB_TOPIC_DISCONNECT)
        return -EINVAL;
    int err = handle_open(loop, &subscriber->handle, sizeof *subscriber, &subscriber_kind);
    if (err < 0)
        return err;
    struct listener_queue *queue = queue_new(subscriber, topic, options);
    subscriber->job_events = events;
    subscriber->job_state = queue;
    subscriber->job_mail.job_deliver = turn;
    err = queue ? topic_join(topic, queue) : -ENOMEM;   /* last: from here on others may wake it */
    if (err == 0)
        return 0;
    if (queue)
        queue_free(loop->root, queue);
    handle_abandon(&subscriber->handle);
    return err;
}

int job_subscriber_post(struct job_subscriber *subscriber, const struct job_post *post, struct job_topic_result *result)
{
    if (!subscriber || handle_state(&subscriber->handle) == HANDLE_NONE)
        return -EINVAL;
    int err = handle_check(&subscriber->handle);
    if (err < 0)
        return err == -ECANCELED ? -EPIPE : err;
    struct listener_queue *queue = queue_of(subscriber);
    return topic_post(queue->topic, post, queue, result);
}

/* Stops it, or starts it again. */
static int set_stopped(struct job_subscriber *subscriber, bool is_stopped)
{
    if (!subscriber)
        return -EINVAL;
    int err = handle_check(&subscriber->handle);
    if (err < 0)
        return err;
    struct listener_queue *queue = queue_of(subscriber);
    lock(queue);
    queue->is_stopped = is_stopped;
    if (!is_stopped && (queue->count > 0 || queue->status < 0)) {
        JOB_MARK(subscriber_starts_with_news);
        wake(queue);
    }
    unlock(queue);
    handle_set_idle(&subscriber->handle, is_stopped);
    return 0;
}

int job_subscriber_stop(struct job_subscriber *subscriber)
{
    return set_stopped(subscriber, true);
}

int job_subscriber_start(struct job_subscriber *subscriber)
{
    return set_stopped(subscriber, false);
}

int job_subscriber_status(const struct job_subscriber *subscriber)
{
    if (!subscriber || handle_state(&subscriber->handle) == HANDLE_NONE)
        return 0;
    struct listener_queue *queue = queue_of(subscriber);
    lock(queue);
    int status = queue->status;
    unlock(queue);
    return status;
}

void job_subscriber_stats(const struct job_subscriber *subscriber, struct job_subscriber_stats *stats)
{
    if (!stats)
        return;
    *stats = (struct job_subscriber_stats){0};
    if (!subscriber || handle_state(&subscriber->handle) == HANDLE_NONE)
        return;
    struct listener_queue *queue = queue_of(subscriber);
    lock(queue);
    *stats = (struct job_subscriber_stats){.received = queue->received,
                                           .dropped = queue->dropped,
                                           .refused = queue->refused,
                                           .waiting = queue->count,
                                           .waiting_bytes = queue->bytes};
    unlock(queue);
}

void job_subscriber_close(struct job_subscriber *subscriber)
{
    if (subscriber)
        (void)handle_close(&subscriber->handle);
}
