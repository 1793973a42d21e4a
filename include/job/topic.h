/* topic.h — one message to all who listen to a name: broadcast within a runtime.
 *
 *      job_topic_open("prices") ──▶ job_topic_post() ──▶ [news, once in memory] ──▶ message(subscriber, news)   on each one's loop
 *
 * Bytes are copied once, views and regions are shared: nobody owns what is in the news, so nobody may change it. Each subscriber has a
 * queue of its own with a limit, and says what happens when that is full; none of it is the poster's or another subscriber's trouble. All
 * posts of a topic come to all its subscribers in one order. Who subscribes gets what is posted from then on.
 */
#ifndef JOB_TOPIC_H
#define JOB_TOPIC_H

#include <job/port.h>

JOB_BEGIN_DECLS

struct job_topic;
struct job_news;
struct job_subscriber;

/* What a subscriber whose queue is full does with one message more. */
enum job_topic_policy {
    JOB_TOPIC_DROP_OLDEST,      /* what has waited longest makes room, and is counted */
    JOB_TOPIC_REFUSE,           /* the new one does not come, and is counted */
    JOB_TOPIC_DISCONNECT,       /* what waits is still delivered, and then it is closed: it would have missed something. One that is
                                   stopped is closed at once, and what waits is dropped */
};

/* What became of a post. */
struct job_topic_result {
    unsigned reached;           /* subscribers that have it in their queue */
    unsigned refused;           /* that were full and did not take it */
    unsigned disconnected;      /* that were full and listen no more */
    uint64_t dropped;           /* older messages that made room for it */
};

/**
 * Opens a topic by its name; whoever opens the same name in the same runtime means the same topic.
 *
 * @param name   1 to 63 bytes, copied
 * @return 0, or -EINVAL: an argument is NULL, or the name too long or empty; -ENOMEM; -EPERM: in a forked child
 * Thread: any.
 */
JOB_API int job_topic_open(struct job_runtime *runtime, const char *name, struct job_topic **topic);

/**
 * Posts to all who listen now. No callback runs inside. Never refused because somebody is slow.
 *
 * @param post    views (JOB_ITEM_BUF, frozen by job_buf_freeze()) go into the news, and your pointers become NULL on success; regions
 *                are shared. Whatever would have to move to one receiver cannot be in it
 * @param result  may be NULL
 * @return 0, also when nobody listens; or, and nothing has changed,
 *         -EINVAL    an argument is NULL; an item is of another kind, not frozen, of another runtime, or stands twice; more than 64 items
 *         -EMSGSIZE  more than 1 GiB of bytes
 *         -EPIPE     the topic has ended
 *         -ENOMEM    no memory for the news; -EPERM: in a forked child
 * Thread: any.
 */
JOB_API int job_topic_post(struct job_topic *topic, const struct job_post *post, struct job_topic_result *result);

/** Ends a topic for all: subscribers get what was posted before, and then close, each once. Its name is free for another topic. More
 * than once is harmless. Thread: any. */
JOB_API void job_topic_end(struct job_topic *topic);

/** Lets go of a topic; it lives as long as somebody has it open or listens. *topic becomes NULL. NULL is allowed. Thread: any. */
JOB_API void job_topic_close(struct job_topic **topic);

struct job_subscriber_options {
    unsigned messages_max;            /* that may wait; 0: 1024; at most 2^20 */
    size_t bytes_max;                 /* the same in bytes, those of views and (see port.h) regions as well; 0: 16 MiB; at most 256 GiB */
    enum job_topic_policy policy;
};

/* All on the subscriber's loop. */
struct job_subscriber_events {
    /* Lent until this returns, unless job_news_retain() is called. Required. */
    void (*message)(struct job_subscriber *subscriber, const struct job_news *news);
    /* The last event: it was closed, or disconnected, or its topic has ended; job_subscriber_status() says which. The memory is yours
     * again. May be NULL. */
    void (*closed)(struct job_subscriber *subscriber);
};

struct job_subscriber {
    struct job_handle handle;

    /* The library's. */
    const struct job_subscriber_events *job_events;
    void *job_state;
    struct job_mail job_mail;
    uint64_t job_reserved[2];
};

struct job_subscriber_stats {
    uint64_t received;          /* told by `message` */
    uint64_t dropped;           /* by JOB_TOPIC_DROP_OLDEST, or at close */
    uint64_t refused;           /* by JOB_TOPIC_REFUSE, or too large for its limit */
    unsigned waiting;
    uint64_t waiting_bytes;
};

/**
 * Listens to a topic from now on. It keeps the loop alive (job_handle_unref() says otherwise).
 *
 * @param topic    may be closed afterwards
 * @param options  NULL or {0}: defaults
 * @param events   must outlive the subscriber
 * @return 0, or -EINVAL: an argument is NULL, an option is out of range, the topic is of another runtime; -EPIPE: the topic has ended;
 *         -ENOMEM; -ECANCELED: the loop is closing; -EPERM: another thread's loop
 * Thread: loop thread, or before start.
 */
JOB_API int job_subscriber_open(struct job_loop *loop, struct job_subscriber *subscriber, struct job_topic *topic,
                                const struct job_subscriber_options *options,
                                const struct job_subscriber_events *events);

/** As job_topic_post(), to all but itself. @return as there; -EPIPE as well when it is closing; -EPERM: not the loop's thread. Thread: loop
 * thread. */
JOB_API int job_subscriber_post(struct job_subscriber *subscriber, const struct job_post *post,
                                struct job_topic_result *result);

/**
 * No `message` from now on: what is posted waits, and its policy decides when that is too much. So the news of a client that does not read
 * is bounded by the queue of its subscriber: stop it when the stream is full, and start it when that is `writable`. One that is stopped
 * does not keep the loop alive; if its topic ends meanwhile, `closed` comes at once when nothing waits, else after it was
 * started and has told what waits. Idempotent.
 *
 * @return 0, or -EINVAL: NULL, or never opened; -ECANCELED: closing; -EPERM: not the loop's thread
 * Thread: loop thread.
 */
JOB_API int job_subscriber_stop(struct job_subscriber *subscriber);

/** `message` again, in order, from the loop and not inside this call. Idempotent. @return as job_subscriber_stop(). Thread: loop thread. */
JOB_API int job_subscriber_start(struct job_subscriber *subscriber);

/** 0: it is open, or was closed by this side; -ENOBUFS: it was full and its policy is to disconnect; -EPIPE: the topic has ended. Until
 * `closed` has returned. Thread: loop thread. */
JOB_API int job_subscriber_status(const struct job_subscriber *subscriber);

/** Reads counts, until `closed` has returned; all zero for one that is zero. Thread: loop thread. */
JOB_API void job_subscriber_stats(const struct job_subscriber *subscriber, struct job_subscriber_stats *stats);

/** Listens no more: no `message` from now on, what waits is dropped, `closed` comes later. A second close is ignored. Thread: loop
 * thread. */
JOB_API void job_subscriber_close(struct job_subscriber *subscriber);

/* The bytes of the news; *len may be 0, and the address is then not NULL either. Thread: any that has it. */
JOB_API const void *job_news_bytes(const struct job_news *news, size_t *len);

/** How many items it has. Thread: any that has it. */
JOB_API unsigned job_news_count(const struct job_news *news);

/** The i-th item; NULL: it is of another kind, or there is none. It is lent: job_buf_slice() makes a view of one's own of the view, and
 * job_region_retain() keeps the region. Thread: any that has it. */
JOB_API const struct job_buf *job_news_view(const struct job_news *news, unsigned index);
JOB_API struct job_region *job_news_region(const struct job_news *news, unsigned index);

/** Keeps the news, beyond the callback and for any thread; job_news_release() each time. @return news. Thread: any that has it. */
JOB_API const struct job_news *job_news_retain(const struct job_news *news);

/** Gives it back; the last one frees it. *news becomes NULL. NULL is allowed. Thread: any that has it. */
JOB_API void job_news_release(const struct job_news **news);

JOB_END_DECLS

#endif
