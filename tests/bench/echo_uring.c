/* echo_uring.c — the echo server on bare liburing, at its best: the limit of what a library above it can reach.
 *
 * One issuer, deferred task work, multishot accept and receive into provided buffers, the ring's own descriptor registered, and all
 * sends of a round in the system call that waits for the next. The kernel sends the very buffer that it received into. At most one send
 * a connection is in flight, so what a peer pipelines stays in order.
 */
#include "echo.h"

enum {
    SERVER_ENTRIES = 1024,
    SERVER_BUFFERS = 1024,       /* more than connections: none ever waits for one */
    BUFFER_BYTES = 4096 + 64,    /* not a power of two: else all begin in one set of the cache */
    NONE = 0xffff,
};
enum kind { ACCEPT = 1, RECEIVE, SEND };

struct piece {
    uint16_t next;      /* received after it on the same connection, not sent yet */
    unsigned offset, len;
};

static struct io_uring ring;
static struct buffer_ring buffers;
static struct piece pieces[SERVER_BUFFERS];
static struct client {
    uint16_t first, last;   /* pieces to be sent; the first is with the kernel */
    bool is_closing;
} clients[65536];           /* by descriptor */

static struct io_uring_sqe *get_sqe(void)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (!sqe) {
        (void)io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    return sqe;
}

static uint64_t key_of(enum kind kind, int fd, unsigned id)
{
    return (uint64_t)kind << 48 | (uint64_t)id << 32 | (uint32_t)fd;
}

static void conn_receive(int fd)
{
    struct io_uring_sqe *sqe = get_sqe();
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->user_data = key_of(RECEIVE, fd, 0);
}

static void send_first(int fd)
{
    unsigned id = clients[fd].first;
    struct piece *piece = &pieces[id];
    struct io_uring_sqe *sqe = get_sqe();
    io_uring_prep_send(sqe, fd, buffer_ring_at(&buffers, id) + piece->offset, piece->len, MSG_NOSIGNAL);
    sqe->user_data = key_of(SEND, fd, id);
}

static void accepted(int listener, const struct io_uring_cqe *cqe)
{
    if (cqe->res >= 0) {
        echo_no_delay(cqe->res);
        clients[cqe->res] = (struct client){NONE, NONE, false};
        conn_receive(cqe->res);
    }
    if (cqe->flags & IORING_CQE_F_MORE)
        return;
    struct io_uring_sqe *sqe = get_sqe();
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    sqe->user_data = key_of(ACCEPT, listener, 0);
}

static void close_if_done(int fd)
{
    if (clients[fd].is_closing && clients[fd].first == NONE)
        (void)close(fd);
}

static void conn_received(int fd, const struct io_uring_cqe *cqe)
{
    struct client *client = &clients[fd];
    if (cqe->res > 0) {
        unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        pieces[id] = (struct piece){NONE, 0, (unsigned)cqe->res};
        bool is_idle = client->first == NONE;
        if (is_idle)
            client->first = (uint16_t)id;
        else
            pieces[client->last].next = (uint16_t)id;
        client->last = (uint16_t)id;
        if (is_idle)
            send_first(fd);
    }
    if (cqe->flags & IORING_CQE_F_MORE)
        return;
    if (cqe->res > 0 || cqe->res == -ENOBUFS) {
        conn_receive(fd);
        return;
    }
    client->is_closing = true;
    close_if_done(fd);
}

static void sent(int fd, unsigned id, int res)
{
    struct client *client = &clients[fd];
    struct piece *piece = &pieces[id];
    if (res > 0 && (unsigned)res < piece->len) {
        piece->offset += (unsigned)res;
        piece->len -= (unsigned)res;
        send_first(fd);
        return;
    }
    client->first = piece->next;
    buffer_ring_put(&buffers, id);
    if (client->first != NONE)
        send_first(fd);
    close_if_done(fd);
}

static void server_completed(int listener, const struct io_uring_cqe *cqe)
{
    int fd = (int)(uint32_t)cqe->user_data;
    switch ((enum kind)(cqe->user_data >> 48)) {
    case ACCEPT: accepted(listener, cqe); break;
    case RECEIVE: conn_received(fd, cqe); break;
    case SEND: sent(fd, (unsigned)(cqe->user_data >> 32) & 0xffff, cqe->res); break;
    }
}

static void serve(void)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
        .cq_entries = 8 * SERVER_ENTRIES,
    };
    echo_check("ring", io_uring_queue_init_params(SERVER_ENTRIES, &ring, &params));
    echo_check("ring descriptor", io_uring_register_ring_fd(&ring));
    echo_check("buffers", buffer_ring_open(&buffers, &ring, SERVER_BUFFERS, BUFFER_BYTES));
    int listener = echo_listen(0);
    accepted(listener, &(struct io_uring_cqe){.res = -1});
    for (;;) {
        int err = io_uring_submit_and_wait(&ring, 1);
        if (err != -EINTR)
            echo_check("wait", err);
        struct io_uring_cqe *cqe;
        unsigned head, count = 0;
        io_uring_for_each_cqe(&ring, head, cqe) {
            server_completed(listener, cqe);
            count++;
        }
        io_uring_cq_advance(&ring, count);
    }
}

int main(int argc, char **argv)
{
    return echo_main(argc, argv, serve);
}
