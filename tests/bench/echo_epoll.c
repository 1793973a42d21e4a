/* echo_epoll.c — the echo server on epoll, written by hand: receive, send back at once, and only wait where the kernel says so.
 *
 * A receive that did not fill its buffer has drained the socket, so no second call asks for -EAGAIN. What the kernel does not take is
 * kept, and the connection is read no more until it has gone.
 */
#include <errno.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "echo.h"

enum { EVENTS = 512, BUFFER_BYTES = 16384 };

struct conn {
    int fd;
    size_t offset, len;               /* of what is to be sent */
    unsigned char bytes[BUFFER_BYTES];
};

static int epoll;

static void watch(struct conn *conn, int how, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = conn};
    echo_check("epoll", epoll_ctl(epoll, how, conn->fd, &event) < 0 ? -errno : 0);
}

static void drop(struct conn *conn)
{
    (void)close(conn->fd);
    free(conn);
}

/* True: all is sent. False: it waits, or the connection is gone. */
static bool flush(struct conn *conn, bool is_waiting)
{
    while (conn->len > 0) {
        ssize_t n = send(conn->fd, conn->bytes + conn->offset, conn->len, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            if (!is_waiting)
                watch(conn, EPOLL_CTL_MOD, EPOLLOUT);
            return false;
        }
        if (n < 0) {
            drop(conn);
            return false;
        }
        conn->offset += (size_t)n;
        conn->len -= (size_t)n;
    }
    if (is_waiting)
        watch(conn, EPOLL_CTL_MOD, EPOLLIN);
    return true;
}

static void serve_conn(struct conn *conn, uint32_t events)
{
    if ((events & EPOLLOUT) && !flush(conn, true))
        return;
    for (;;) {
        ssize_t n = recv(conn->fd, conn->bytes, sizeof conn->bytes, 0);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            drop(conn);
            return;
        }
        conn->offset = 0;
        conn->len = (size_t)n;
        if (!flush(conn, false) || (size_t)n < sizeof conn->bytes)
            return;
    }
}

static void accept_all(int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        struct conn *conn = malloc(sizeof *conn);
        echo_check("connection", conn ? 0 : -ENOMEM);
        echo_no_delay(fd);
        conn->fd = fd;
        conn->len = 0;
        watch(conn, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void serve(void)
{
    epoll = epoll_create1(EPOLL_CLOEXEC);
    int listener = echo_listen(SOCK_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    echo_check("epoll", epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0 ? -errno : 0);
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr)
                serve_conn(events[i].data.ptr, events[i].events);
            else
                accept_all(listener);
        }
    }
}

int main(int argc, char **argv)
{
    return echo_main(argc, argv, serve);
}
