/* topic.h — what topic, news and subscriber know of each other. Locks, in their order: the runtime's for names, a topic's, a listener's. */
#ifndef JOB_MESSAGE_TOPIC_H
#define JOB_MESSAGE_TOPIC_H

#include <pthread.h>

#include "base/list.h"
#include "base/root.h"
#include "job/topic.h"
#include "message/charge.h"
#include "stats/segment.h"

/* news.c */

struct job_news {
    struct root *root;
    atomic_u32 references;
    struct job_news *next;        /* of those that nobody has any more */
    unsigned count;
    struct charge charge;
    size_t len;
    struct job_buf *big;          /* the bytes, when they are many; else they follow the items */
    struct news_item {
        struct job_buf *view;     /* one of the two */
        struct job_region *region;
    } items[];
};

/* Checks a post and makes news of it, with one reference; the poster's views are still the poster's. */
int news_new(struct root *root, const struct job_post *post, struct job_news **news);

/* The views are the news' now; or it goes without them. */
void news_take_items(const struct job_post *post);
void news_abandon(struct job_news *news);

static inline void news_retain(struct job_news *news)
{
    (void)fetch_add_relaxed(&news->references, 1);   /* who asks has one: nothing to order */
}

void news_release(struct job_news *news);

/* As news_release(), but what is to be freed goes onto *dead: under a lock, where no release function of a user may run. */
void news_drop(struct job_news *news, struct job_news **dead);
void news_free_dead(struct job_news *dead);

/* topic.c */

struct posting {
    struct job_topic_result result;
    struct job_news *dead;
};

struct job_topic {
    struct root *root;
    char name[64];
    struct stats_topic *shown;    /* its record in the statistics segment, or NULL */
    /* under root->topics_lock */
    struct list node;             /* among the names, until it has ended */
    unsigned references;          /* of who has it open, and of listeners */
    unsigned opens;               /* of them, those that have it open */
    /* under lock */
    pthread_mutex_t lock;
    bool has_ended;
    struct list listeners;
};

/* 0, or -EPIPE: it has ended. The listener hears all that is posted afterwards, and has a reference. */
struct listener_queue;
int topic_join(struct job_topic *topic, struct listener_queue *queue);

/* Nothing is posted to it from here on. */
void topic_leave(struct job_topic *topic, struct listener_queue *queue);

void topic_release(struct job_topic *topic);

/* Logs the names of those that are open and have not ended. */
void topics_tell_open(struct root *root);

int topic_post(struct job_topic *topic, const struct job_post *post, const struct listener_queue *but,
               struct job_topic_result *result);

/* subscriber.c */

/* Where the mail of a subscriber is: with it, in a turn; waiting for whoever posts next; on its way. */
enum mail_place { MAIL_HERE, MAIL_ARMED, MAIL_OUT };

/* What one subscriber has still to hear. */
struct listener_queue {
    struct job_topic *topic;
    struct job_subscriber *handle;
    struct list node;             /* under the topic's lock */
    enum job_topic_policy policy;
    unsigned messages_max;
    uint64_t bytes_max;
    struct stats_queue *shown;    /* as the topic's */
    /* under lock */
    pthread_mutex_t lock;
    enum mail_place mail;
    bool is_stopped;              /* messages wait: they do not wake it */
    int status;                   /* negative: nothing is posted any more */
    unsigned first, count;        /* in the ring */
    uint64_t bytes, dropped, refused;
    /* the loop's thread */
    uint64_t received;
    struct job_news *ring[];
};

/* One message more. Under the topic's lock. False: it listens no more. */
bool queue_push(struct listener_queue *queue, struct job_news *news, struct posting *posting);

/* Nothing comes any more, for this reason. Under the topic's lock. */
void queue_end(struct listener_queue *queue, int status);

#endif
