/* port.h — messages between threads: channels, their two ends, and ports, which are ends on a loop.
 *
 *      job_channel_open() ──▶ end a ◀────────▶ end b            an end belongs to whoever holds its pointer
 *      job_port_open(loop, &port, &a, events) ──▶ port          a port is an end on a loop, which calls its events
 *
 * Each end has a queue of what was posted to it. Order is kept; what was posted while an end was on no loop, or travelled inside a message,
 * waits there. The queue has a limit: -EAGAIN, and then `writable` once when half of it is free. A message is bytes, which are
 * copied, and items, which move: bufs, ends, senders, descriptors, connections; regions are shared. All of them or none: a post that
 * fails has changed nothing. What nobody receives is destroyed with all that it carries, and counted.
 *
 * What waits holds memory, so its bytes count with the queue's limit: those of the message, of bufs and of regions. A region counts in
 * each message that shares it, with the size that it has then, but a message's regions never for more than the whole limit: one that
 * is larger is no error, and waits alone.
 *
 * One end can post to its peer alone. A job_sender is a further way into a queue, for another thread; there may be many.
 */
#ifndef JOB_PORT_H
#define JOB_PORT_H

#include <job/buf.h>
#include <job/handle.h>
#include <job/region.h>

JOB_BEGIN_DECLS

struct job_connection;
struct job_end;
struct job_message;
struct job_port;
struct job_sender;

enum job_item_kind {
    JOB_ITEM_NONE,
    JOB_ITEM_BUF,
    JOB_ITEM_REGION,
    JOB_ITEM_END,
    JOB_ITEM_SENDER,
    JOB_ITEM_FD,
    JOB_ITEM_CONNECTION,
};

/* What a message shall carry: the address of your pointer, which becomes NULL (of a descriptor: -1) when the post has succeeded. A
 * region is not moved but shared: the message gets a reference of its own. */
struct job_item {
    enum job_item_kind kind;
    union {
        struct job_buf **buf;
        struct job_region *region;
        struct job_end **end;
        struct job_sender **sender;
        int *fd;
        struct job_connection **connection;
    };
};

struct job_post {
    const void *bytes;              /* copied before the call returns; may be NULL when len is 0 */
    size_t len;                     /* 0 is a message as any other */
    const struct job_item *items;
    unsigned count;                 /* at most 64 */
};

struct job_channel_options {
    unsigned messages_max;          /* that may wait at one end; 0: 1024; at most 2^20 */
    size_t bytes_max;               /* the same in bytes, those of bufs and regions as well; 0: 16 MiB; at most 256 GiB */
    const char *name;               /* for jobctl; NULL: "channel"; copied, cut to 31 bytes */
};

/**
 * Opens a channel. Both ends belong to the caller; each goes to a port by job_port_open(), to another thread inside a message or by
 * whatever way pointers go there, or is used as it is, by one thread at a time.
 *
 * @param options  NULL or {0}: defaults; the limits are those of either direction
 * @return 0, or -EINVAL: an argument is NULL or an option out of range; -ENOMEM; -EPERM: in a forked child; *a and *b are unchanged on
 * error
 * Thread: any.
 */
JOB_API int job_channel_open(struct job_runtime *runtime, struct job_end **a, struct job_end **b,
                             const struct job_channel_options *options);

/**
 * Closes an end that is on no loop; *end becomes NULL. What it has posted still arrives at the peer, and then the peer closes. What waits
 * at this end is destroyed. NULL in *end is allowed.
 * Thread: any that owns it.
 */
JOB_API void job_end_close(struct job_end **end);

/**
 * Posts a message to the peer; its callback never runs inside this call. All or nothing: on error every item is still yours.
 *
 * @return 0, or
 *         -EAGAIN      the peer's queue is full (a port is told `writable` once there is room)
 *         -EPIPE       the peer is closed
 *         -EMSGSIZE    it would not fit into an empty queue, or has more than 1 GiB of bytes
 *         -EINVAL      an argument is NULL; an item is NULL, or stands twice, or is of another runtime; more than 64 items; the end that
 *                      posts is among the items
 *         -EDEADLK     an end would travel into its own queue, directly or through others that travel; nobody could ever take it out
 *         -EBADF       a descriptor is not open, or -1
 *         -EBUSY       a sender among the items waits for room
 *         -ENOMEM      no memory for the message, which counts with the runtime's arena, or for the copy
 *         -EPERM       in a forked child
 * Thread: any that owns the end.
 */
JOB_API int job_end_post(struct job_end *end, const struct job_post *post);

/**
 * Takes the next message, waiting for one if need be.
 *
 * @param message     receives it; job_message_free() it
 * @param timeout_ns  0: do not wait; negative: for ever; else at most so long
 * @return 0, or -EAGAIN: none is there (timeout 0); -ETIMEDOUT; -EPIPE: the peer is closed and everything was received; -EINVAL;
 *         -EDEADLK: it would wait, and this is a loop's thread, which must not; nothing waits then; -EPERM: in a forked child;
 *         -ECANCELED: it would wait or waits, in a task whose job_task_is_cancelled() is true; what waits at the end stays there
 * Thread: any that owns the end.
 */
JOB_API int job_end_receive(struct job_end *end, struct job_message **message, int64_t timeout_ns);

/* What a port tells. All on its loop. */
struct job_port_events {
    /* A message. It goes back when this returns, with the items that were not taken, unless job_message_keep() was called. May be NULL
     * for a port that only posts: what arrives is destroyed then. */
    void (*message)(struct job_port *port, struct job_message *message);
    /* Once after -EAGAIN: post again. May be NULL. */
    void (*writable)(struct job_port *port);
    /* The last event: this port was closed, or its peer was and everything has been delivered, or its end was taken. The memory is yours
     * again. May be NULL. */
    void (*closed)(struct job_port *port);
};

struct job_port {
    struct job_handle handle;

    /* The library's. */
    const struct job_port_events *job_events;
    struct job_end *job_end;
    void *job_sleeper[2];
    struct job_mail job_mail;          /* there are messages */
    void *job_waiter[8];
    struct job_message *job_current;   /* in the callback now */
    void (*job_control)(struct job_port *port, struct job_message *message);
    uint64_t job_charge;
    uint32_t job_flags;
    uint32_t job_reserved0;
    uint64_t job_reserved[2];
};

/**
 * Puts an end on a loop, which begins to deliver what waits there, from its next turn on. A port that is started keeps the loop alive.
 *
 * @param end     *end becomes NULL on success
 * @param events  must outlive the port
 * @return 0, or -EINVAL: an argument is NULL, or the end is of another runtime; -ECANCELED: the loop is closing; -EPERM: another thread's
 *         loop
 * Thread: loop thread, or before start.
 */
JOB_API int job_port_open(struct job_loop *loop, struct job_port *port, struct job_end **end,
                          const struct job_port_events *events);

/** As job_end_post(), and `writable` comes once after -EAGAIN. @return as there; -ENXIO: the end was taken; -ECANCELED: closing;
 * -EPERM: not the loop's thread. Thread: loop thread. */
JOB_API int job_port_post(struct job_port *port, const struct job_post *post);

/** No `message` from now on; what arrives waits. A port that is stopped does not keep the loop alive. When its peer closes and nothing
 * waits before that, it is closed as ever; else when it was started and has told what waits. Idempotent.
 * @return 0, or -EINVAL: never opened; -ENXIO: the end was taken; -ECANCELED: closing; -EPERM: not the loop's thread. Thread: loop
 * thread. */
JOB_API int job_port_stop(struct job_port *port);

/** `message` again, in order, from the loop's next turn on. Idempotent. @return as job_port_stop(). Thread: loop thread. */
JOB_API int job_port_start(struct job_port *port);

/**
 * Takes the end off the loop, with what waits there: to send it elsewhere, or to receive by hand. The port is closed without it, and
 * `closed` comes later.
 *
 * @param end  receives the end; the caller owns it
 * @return 0, or as job_port_stop()
 * Thread: loop thread.
 */
JOB_API int job_port_take(struct job_port *port, struct job_end **end);

/** Closes both directions. What this port has posted still arrives; what waits here already is still delivered, and then `closed` comes
 * (when the port is stopped, or the loop itself closes, it is destroyed instead). A second close is ignored. Thread: loop thread. */
JOB_API void job_port_close(struct job_port *port);

/** As job_port_close(), and what waits here is destroyed at once, also when job_port_close() was called before. Thread: loop thread. */
JOB_API void job_port_close_now(struct job_port *port);

/** Messages and bytes that wait at this port, and at its peer. Any pointer may be NULL; zero without an end. Thread: loop thread. */
JOB_API void job_port_queued(const struct job_port *port, unsigned *messages, size_t *bytes);
JOB_API void job_port_unread(const struct job_port *port, unsigned *messages, size_t *bytes);

/** The bytes of a message, aligned to 8; valid until it goes back. *len may be 0, and the address is then not NULL either; len may be NULL.
 * Thread: whoever owns it. */
JOB_API const void *job_message_bytes(const struct job_message *message, size_t *len);

/** How many items it carries. Thread: whoever owns it. */
JOB_API unsigned job_message_count(const struct job_message *message);

/** What the i-th item is; JOB_ITEM_NONE when it was taken, or there is none. Thread: whoever owns it. */
JOB_API enum job_item_kind job_message_kind(const struct job_message *message, unsigned index);

/** Each takes the i-th item out of a message: it is the caller's now. NULL (or -1): it is of another kind, or taken. Thread: whoever
 * owns the message. */
JOB_API struct job_buf *job_message_take_buf(struct job_message *message, unsigned index);
JOB_API struct job_region *job_message_take_region(struct job_message *message, unsigned index);
JOB_API struct job_end *job_message_take_end(struct job_message *message, unsigned index);
JOB_API struct job_sender *job_message_take_sender(struct job_message *message, unsigned index);
JOB_API int job_message_take_fd(struct job_message *message, unsigned index);
JOB_API struct job_connection *job_message_take_connection(struct job_message *message, unsigned index);

/** In `message`, or in a worker's main: keeps it beyond the callback. job_message_free() gives it back, on any thread. Idempotent.
 * Thread: loop thread. */
JOB_API void job_message_keep(struct job_message *message);

/** Gives back a message that was kept or received, with the items that were not taken; *message becomes NULL. NULL is allowed. In
 * `message` one that was not kept stays, which the log says: it goes back by itself. Thread: any that owns it. */
JOB_API void job_message_free(struct job_message **message);

/**
 * A further way to where an end posts, for any thread; the peer lives until the end and all its senders are closed.
 *
 * @return 0, or -EINVAL, -ENOMEM, -ENXIO (the port's end was taken), -ECANCELED (it is closing), -EPERM (not the loop's thread)
 * Thread: whoever owns the end; the loop's for a port.
 */
JOB_API int job_end_sender(struct job_end *end, struct job_sender **sender);
JOB_API int job_port_sender(struct job_port *port, struct job_sender **sender);

/** One more of the same. @return 0, -EINVAL, -ENOMEM. Thread: any that owns the sender. */
JOB_API int job_sender_clone(struct job_sender *sender, struct job_sender **clone);

/** As job_end_post(). The order of one sender's messages is kept. Thread: any that owns the sender. */
JOB_API int job_sender_post(struct job_sender *sender, const struct job_post *post);

/**
 * Calls `writable` once on a loop, when there is room again, or the peer was closed: after -EAGAIN. The wait does not keep the loop alive,
 * and the loop must live as long: what ends it early is job_loop_close() or job_sender_close() on the loop's thread. A loop that does not
 * run tells `writable` when it runs again.
 *
 * @return 0, or -EALREADY: it waits already; -EINVAL: an argument is NULL, or the loop is of another runtime; -ECANCELED: the loop is
 *         closing; -EPERM: not its thread
 * Thread: the loop's, which owns the sender.
 * Shutdown: a loop that closes ends the wait; the sender is its owner's to close all the same.
 */
JOB_API int job_sender_when_writable(struct job_sender *sender, struct job_loop *loop,
                                     void (*writable)(struct job_sender *sender, void *data), void *data);

/** Closes a sender; a wait for room ends silently; *sender becomes NULL. NULL is allowed. Thread: any that owns it; the loop's while it
 * waits for room. */
JOB_API void job_sender_close(struct job_sender **sender);

JOB_END_DECLS

#endif
