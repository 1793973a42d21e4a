/* listener.h — accepts connections. */
#ifndef JOB_LISTENER_H
#define JOB_LISTENER_H

#include <job/handle.h>
#include <job/socket.h>

JOB_BEGIN_DECLS

struct job_listener;

/* A connection that was accepted; job_stream_accept() takes it, and only those count for `connections_max`. What the callback does not take
 * is closed when it returns. To give it to another loop, take `fd`, store -1 there, and call job_stream_adopt() on that loop. */
struct job_incoming {
    int fd;                        /* -1 once taken */
    struct job_listener *listener;
};

struct job_listener {
    struct job_handle handle;

    /* The library's. */
    void (*job_accepted)(struct job_listener *listener, struct job_incoming *incoming);
    void (*job_on_closed)(struct job_listener *listener);
    void *job_op[10];
    void *job_node[2];
    void *job_live[2];             /* streams that were accepted from it */
    uint32_t job_live_count, job_live_max;
    int job_fd;
    int job_spare_fd;              /* given up to turn a connection away; -1: none */
    uint16_t job_port;
    bool job_turns_away;
    bool job_lacks_place;          /* for a descriptor, above 2 */
    uint32_t job_reserved0;
    uint64_t job_told_ns;
    uint64_t job_path[2];
    uint64_t job_reserved[2];
};

struct job_listener_options {
    const char *address;      /* as in job/address.h, or without a port; NULL: 127.0.0.1. "0.0.0.0" or "::" for all */
    uint16_t port;            /* 0: that of the address; none there: the kernel chooses, see job_listener_port() */
    int backlog;              /* 0: 1024; the kernel's somaxconn may cut it */
    bool reuse_port;          /* several sockets share the port; the kernel spreads connections by hash */
    unsigned connections_max; /* streams accepted from it that live at the same time; further ones wait in the backlog. 0: no limit */
    bool turns_away;          /* without descriptors: accept and close, see below */
    struct job_socket_options socket;   /* of the accepted connections */
};

/**
 * Opens a listener and starts accepting. Accepted sockets have the options asked for, and close-on-exec.
 *
 * When descriptors or the kernel's memory run out (EMFILE, ENFILE, ENOBUFS, ENOMEM), accepting pauses: clients wait in the backlog,
 * until a handle of this loop closes a descriptor, or for 100 ms, since others do not tell. With `turns_away` the listener keeps a spare
 * descriptor, and gives it up to accept and close whom it cannot serve: clients then see an end, at the next look if not at once, and
 * may try elsewhere. The log is warned, at most every 10 s. No connection gets number 0, 1 or 2: when one of these is the last that is
 * free, a client or a few are closed before accepting pauses.
 *
 * A Unix path: a socket on which nobody listens any more is removed and bound anew; to find that out a connection is tried, which a live
 * listener sees come and go. Any other file stays, and so does a live socket: -EADDRINUSE. Close removes the path, unless somebody else has
 * put another one there.
 *
 * @param options   NULL or {0}: defaults
 * @param accepted  called on the loop for each connection
 * @return 0, or -EINVAL: an argument is NULL or the address is not numeric, or has a port besides `port`, or backlog is negative, or a
 *         socket buffer is above 2^31 - 1 bytes; -EADDRINUSE, -EADDRNOTAVAIL, -EACCES, -EMFILE and what else socket(2), setsockopt(2),
 *         bind(2) and listen(2) say; -ECANCELED: the loop is closing; -EPERM: another thread's loop; nothing is left open on error
 * Thread: loop thread, or before start.
 */
JOB_API int job_listener_open(struct job_loop *loop, struct job_listener *listener,
                              const struct job_listener_options *options,
                              void (*accepted)(struct job_listener *listener, struct job_incoming *incoming));

/** The address that it listens on, as text of at most JOB_ADDRESS_TEXT bytes. @return 0, or -EINVAL: NULL, or never opened; -ECANCELED:
 * closing; -EPERM: not the loop's thread; else as job_address_format(). Thread: loop thread, or before start. */
JOB_API int job_listener_address(const struct job_listener *listener, char *text, size_t size);

/** The port that it listens on; 0 for a Unix socket. Thread: loop thread, or before start. */
JOB_API uint16_t job_listener_port(const struct job_listener *listener);

/** Stops accepting and closes the socket; connections already accepted live on. `closed` (may be NULL) comes later, once.
 * Thread: loop thread. */
JOB_API void job_listener_close(struct job_listener *listener, void (*closed)(struct job_listener *listener));

JOB_END_DECLS

#endif
