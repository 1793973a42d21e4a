/* listener.h — accepts connections. */
#ifndef JOB_LISTENER_H
#define JOB_LISTENER_H

#include <job/handle.h>

JOB_BEGIN_DECLS

struct job_listener;

/* A connection that was accepted; job_stream_accept() takes it. What the callback does not take is closed when it returns. To give it to
 * another loop, take `fd`, store -1 there, and call job_stream_adopt() on that loop. */
struct job_incoming {
    int fd;                        /* -1 once taken */
    struct job_listener *listener;
};

struct job_listener {
    struct job_handle handle;

    /* The library's. */
    void (*job_accepted)(struct job_listener *listener, struct job_incoming *incoming);
    void (*job_on_closed)(struct job_listener *listener);
    void *job_op[16];
    void *job_node[2];
    int job_fd;
    uint16_t job_port;
    uint16_t job_reserved0;
    uint64_t job_told_ns;
    uint64_t job_reserved[1];
};

struct job_listener_options {
    const char *address;   /* numeric IPv4 or IPv6; NULL: 127.0.0.1. "0.0.0.0" or "::" for all */
    uint16_t port;         /* 0: the kernel chooses, see job_listener_port() */
    int backlog;           /* 0: 1024; the kernel's somaxconn may cut it */
    bool reuse_port;       /* several sockets share the port; the kernel spreads connections by hash */
};

/**
 * Opens a listener and starts accepting. Accepted sockets have TCP_NODELAY and close-on-exec. When descriptors run out
 * (EMFILE, ENFILE) accepting pauses and goes on when a handle of this loop closes one, or after 100 ms; the log is warned, at most
 * every 10 s.
 *
 * @param options   NULL or {0}: defaults
 * @param accepted  called on the loop for each connection
 * @return 0, or -EINVAL: an argument is NULL or the address is not numeric; -EADDRINUSE, -EADDRNOTAVAIL, -EACCES, -EMFILE and
 *         what else socket(2), bind(2) and listen(2) say; -ECANCELED: the loop is closing; -EPERM: another thread's loop;
 *         nothing is left open on error
 * Thread: loop thread, or before start.
 */
JOB_API int job_listener_open(struct job_loop *loop, struct job_listener *listener,
                              const struct job_listener_options *options,
                              void (*accepted)(struct job_listener *listener, struct job_incoming *incoming));

/** The port that it listens on. Thread: loop thread, or before start. */
JOB_API uint16_t job_listener_port(const struct job_listener *listener);

/** Stops accepting and closes the socket; connections already accepted live on. `closed` (may be NULL) comes later, once.
 * Thread: loop thread. */
JOB_API void job_listener_close(struct job_listener *listener, void (*closed)(struct job_listener *listener));

JOB_END_DECLS

#endif
