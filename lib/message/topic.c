/* topic.c — names that one can post to, and the list of who listens.
 *
 * States of a listener in its topic: in the list; out of it, for ever (it left, it was disconnected, or the topic has ended).
 *   a poster:    P1 make the news   P2 take the topic's lock   P3 for each in the list: push (queue_push()), or, if it is full and wants to
 *                be disconnected, take it out   P4 give the lock back
 *   a listener:  L1 take the lock, into the list: hears all whose P2 comes later   L2 take the lock, out of it: hears nothing more
 *   the end:     E1 take the lock, set has_ended, take all out, each told why
 *
 * Why each listener hears each post once and all in one order: posts are one after the other between P2 and P4, and so are joining,
 * leaving and the end. Why nobody waits for a slow one: a push into a full queue drops, refuses or disconnects, and never waits.
 * The narrowest moment is a wake-up for a subscriber that goes: see subscriber.c.
 * Rejected: a copy of the list that posters read without a lock (a listener that has left could still be pushed to, so each would have to
 * be counted); a queue that all share, with a place for each reader (the slowest decides how long news live).
 * Accepted: posters of one topic wait for each other, as long as the pushes take; a poster that is preempted at P3 delays them, and a
 * loop that posts, joins or leaves, by as much as the scheduler lets it wait.
 */
#include "message/topic.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"

static void lock(struct job_topic *topic)
{
    (void)pthread_mutex_lock(&topic->lock);
}

static void unlock(struct job_topic *topic)
{
    (void)pthread_mutex_unlock(&topic->lock);
}

/* Under the lock: so many more listen. */
static void show_listeners(struct job_topic *topic, int change)
{
    struct stats_topic *shown = topic->shown;
    if (shown)
        store_relaxed(&shown->subscribers, load_relaxed(&shown->subscribers) + (uint32_t)change);   /* a figure for people: no order */
}

/* Under the lock: what became of a post. */
static void show_post(struct job_topic *topic, const struct job_topic_result *result)
{
    struct stats_topic *shown = topic->shown;
    if (!shown)
        return;
    counter_add(&shown->posts, 1);
    counter_add(&shown->reached, result->reached);
    counter_add(&shown->dropped, result->dropped);
    counter_add(&shown->refused, result->refused);
    counter_add(&shown->disconnected, result->disconnected);
}

/* Under the lock for names. */
static struct job_topic *find(struct root *root, const char *name)
{
    list_each(node, &root->topics) {
        struct job_topic *topic = container_of(node, struct job_topic, node);
        if (strcmp(topic->name, name) == 0)
            return topic;
    }
    return NULL;
}

_Static_assert(sizeof(((struct job_topic *)0)->name) <= 2 * STATS_NAME_BYTES, "a name is shown whole");

static struct job_topic *topic_new(struct root *root, const char *name)
{
    struct job_topic *topic = alloc_zeroed(root, sizeof *topic);
    if (!topic)
        return NULL;
    topic->root = root;
    strncpy(topic->name, name, sizeof topic->name - 1);
    topic->shown = stats_topic_claim(root->stats, name);
    (void)pthread_mutex_init(&topic->lock, NULL);   /* cannot fail without attributes */
    list_init(&topic->node);
    list_init(&topic->listeners);
    list_push_back(&root->topics, &topic->node);
    return topic;
}

int job_topic_open(struct job_runtime *runtime, const char *name, struct job_topic **out)
{
    struct root *root = (struct root *)runtime;   /* its first member */
    size_t len = name ? strnlen(name, sizeof out[0]->name) : 0;
    if (!root || !out || len == 0 || len == sizeof out[0]->name)
        return -EINVAL;
    if (root_is_forked(root))
        return -EPERM;
    (void)pthread_mutex_lock(&root->topics_lock);
    struct job_topic *topic = find(root, name);
    if (!topic)
        topic = topic_new(root, name);
    if (topic) {
        topic->references++;
        topic->opens++;
    }
    (void)pthread_mutex_unlock(&root->topics_lock);
    if (!topic)
        return -ENOMEM;
    (void)fetch_add_relaxed(&root->topic_opens, 1);   /* ledger: orders nothing */
    *out = topic;
    return 0;
}

void topic_release(struct job_topic *topic)
{
    struct root *root = topic->root;
    (void)pthread_mutex_lock(&root->topics_lock);
    bool is_last = --topic->references == 0;
    if (is_last)
        list_remove(&topic->node);
    (void)pthread_mutex_unlock(&root->topics_lock);
    if (!is_last)
        return;
    assert(list_is_empty(&topic->listeners));
    (void)pthread_mutex_destroy(&topic->lock);
    stats_topic_release(topic->shown);
    alloc_free(root, topic);
}

void job_topic_close(struct job_topic **pointer)
{
    struct job_topic *topic = pointer ? *pointer : NULL;
    if (!topic)
        return;
    *pointer = NULL;
    struct root *root = topic->root;
    if (root_is_forked(root))   /* its line in the segment is the parent's as well, and who held the lock is not here */
        return;
    (void)pthread_mutex_lock(&root->topics_lock);
    topic->opens--;
    (void)pthread_mutex_unlock(&root->topics_lock);
    topic_release(topic);
    (void)fetch_sub_relaxed(&root->topic_opens, 1);   /* ledger: orders nothing */
}

void topics_tell_open(struct root *root)
{
    (void)pthread_mutex_lock(&root->topics_lock);
    list_each(node, &root->topics) {
        const struct job_topic *topic = container_of(node, struct job_topic, node);
        if (topic->opens > 0)
            log_write(&root->log, JOB_LOG_ERROR, "runtime cannot be closed: topic \"%s\" is open %u times", topic->name,
                      topic->opens);
    }
    (void)pthread_mutex_unlock(&root->topics_lock);
}

void job_topic_end(struct job_topic *topic)
{
    if (!topic || root_is_forked(topic->root))
        return;
    (void)pthread_mutex_lock(&topic->root->topics_lock);
    list_remove(&topic->node);   /* once it has ended nobody finds it by its name */
    (void)pthread_mutex_unlock(&topic->root->topics_lock);
    lock(topic);
    topic->has_ended = true;
    struct list *node;
    while ((node = list_pop_front(&topic->listeners))) {
        queue_end(container_of(node, struct listener_queue, node), -EPIPE);
        show_listeners(topic, -1);
    }
    if (topic->shown)
        store_release(&topic->shown->kind, (uint32_t)STATS_TOPIC_ENDED);   /* pairs with load_acquire in word32 (reader.c) */
    unlock(topic);
}

int topic_join(struct job_topic *topic, struct listener_queue *queue)
{
    (void)pthread_mutex_lock(&topic->root->topics_lock);
    topic->references++;
    (void)pthread_mutex_unlock(&topic->root->topics_lock);
    lock(topic);
    bool has_ended = topic->has_ended;
    if (!has_ended) {
        list_push_back(&topic->listeners, &queue->node);
        show_listeners(topic, 1);
    }
    unlock(topic);
    if (has_ended)
        topic_release(topic);   /* not the last: the caller has it open */
    return has_ended ? -EPIPE : 0;
}

void topic_leave(struct job_topic *topic, struct listener_queue *queue)
{
    lock(topic);
    show_listeners(topic, list_is_empty(&queue->node) ? 0 : -1);   /* it may have been taken out already */
    list_remove(&queue->node);
    unlock(topic);
}

static int push_to_all(struct job_topic *topic, struct job_news *news, const struct listener_queue *but,
                       struct posting *posting)
{
    if (topic->has_ended)
        return -EPIPE;
    list_each_safe(node, &topic->listeners) {
        struct listener_queue *queue = container_of(node, struct listener_queue, node);
        if (queue == but || queue_push(queue, news, posting))
            continue;
        list_remove(node);
        show_listeners(topic, -1);
    }
    show_post(topic, &posting->result);
    return 0;
}

int topic_post(struct job_topic *topic, const struct job_post *post, const struct listener_queue *but,
               struct job_topic_result *result)
{
    struct posting posting = {0};
    struct job_news *news;
    int err = news_new(topic->root, post, &news);
    if (err < 0)
        return err;
    lock(topic);
    if (!topic->has_ended)
        news_take_items(post);   /* before the first may hear it, and free what the poster's pointers lie in */
    err = push_to_all(topic, news, but, &posting);
    unlock(topic);
    if (err < 0) {
        news_abandon(news);
        return err;
    }
    news_release(news);
    news_free_dead(posting.dead);
    if (result)
        *result = posting.result;
    return 0;
}

int job_topic_post(struct job_topic *topic, const struct job_post *post, struct job_topic_result *result)
{
    if (!topic)
        return -EINVAL;
    if (root_is_forked(topic->root))
        return -EPERM;
    return topic_post(topic, post, NULL, result);
}
