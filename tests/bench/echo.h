/* echo.h — drives an echo server: K connections, one request outstanding on each, from a process and a CPU of its own.
 *
 * Each echo_<who>.c has one server, serve(), and runs echo_main(). A variant is SIZE-K: 64B or 4KiB, 1, 64 or 512 connections. The server
 * runs on the first allowed CPU, this process on the last. It is a ring program with registered descriptors that skips the completions of
 * its sends, and all requests share their bytes but for the number in front, so that these stay in its cache: it has less to do a
 * request than any server, and what is measured is the server. Where it does not, load_cpu_us says so: no server can be faster than one
 * request in that time. What comes back is compared byte for byte. The first tenth of the requests is not measured.
 */
#ifndef TESTS_BENCH_ECHO_H
#define TESTS_BENCH_ECHO_H

#include "bench.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buffer_ring.h"

enum {
    ECHO_BACKLOG = 1024,
    ECHO_BYTES_MAX = 4096,
    ECHO_WORDS_MAX = ECHO_BYTES_MAX / 8,
    ECHO_BUFFERS = 128,        /* few, so that they stay in the cache: what finds none is armed again */
    ECHO_ENTRIES = 2048,
};

struct echo_variant {
    const char *name;
    unsigned size, connections, requests;
};

struct echo_conn {
    uint64_t number;            /* of the request: its first word */
    unsigned have;              /* bytes of the answer, when it comes in pieces */
    unsigned char *answer;      /* where they are gathered */
};

struct echo_frame {
    struct msghdr message;
    struct iovec parts[2];
};

static struct echo_load {
    struct io_uring ring;
    struct buffer_ring buffers;
    struct echo_variant variant;
    struct echo_conn *conns;
    uint64_t words[ECHO_WORDS_MAX];   /* of each request, but for the first */
    uint64_t sums;                    /* of these words */
    uint64_t issued, done, total, warm;
    uint64_t checksum;
    clockid_t server_clock;
    uint64_t begin_ns, begin_cpu_ns, begin_load_ns, end_ns, end_cpu_ns, end_load_ns;
    struct echo_frame frames[ECHO_ENTRIES];   /* one an entry of the submission queue */
    int port_pipe[2];
} echo;

/* Says what failed and ends the process. */
static inline void echo_check(const char *what, int err)
{
    if (err >= 0)
        return;
    fprintf(stderr, "echo: %s: %s\n", what, strerror(-err));
    exit(EXIT_FAILURE);
}

/* The server listens on this port. */
static inline void echo_listening(uint16_t port)
{
    if (write(echo.port_pipe[1], &port, sizeof port) != sizeof port)
        exit(EXIT_FAILURE);
}

/* A listening socket for servers that make it themselves; it has been told. */
static inline int echo_listen(int flags)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, ECHO_BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) < 0)
        echo_check("listen", -errno);
    echo_listening(ntohs(address.sin_port));
    return fd;
}

static inline void echo_no_delay(int fd)
{
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static struct io_uring_sqe *echo_sqe(void)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&echo.ring);
    if (!sqe) {
        (void)io_uring_submit(&echo.ring);
        sqe = io_uring_get_sqe(&echo.ring);
    }
    return sqe;
}

static void echo_arm(unsigned index)
{
    struct io_uring_sqe *sqe = echo_sqe();
    io_uring_prep_recv_multishot(sqe, (int)index, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT | IOSQE_FIXED_FILE;
    sqe->user_data = index;
}

static void echo_request(unsigned index)
{
    if (echo.issued == echo.total)
        return;
    struct echo_conn *conn = &echo.conns[index];
    conn->number = ++echo.issued;
    conn->have = 0;
    struct io_uring_sqe *sqe = echo_sqe();
    struct echo_frame *frame = &echo.frames[sqe - echo.ring.sq.sqes];   /* free: the kernel has taken what it said before */
    frame->parts[0] = (struct iovec){&conn->number, sizeof conn->number};
    frame->parts[1] = (struct iovec){echo.words + 1, echo.variant.size - sizeof conn->number};
    frame->message = (struct msghdr){.msg_iov = frame->parts, .msg_iovlen = 2};
    io_uring_prep_sendmsg(sqe, (int)index, &frame->message, MSG_NOSIGNAL | MSG_WAITALL);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = UINT64_MAX;   /* completes only when it fails */
}

/* The words behind the number, so that what has been compared with them need not be summed up each time. */
static void echo_fill(void)
{
    uint64_t sum = 0;
    for (unsigned word = 1; word < echo.variant.size / 8; word++) {
        echo.words[word] = word * 0x9e3779b97f4a7c15U;
        sum += echo.words[word];
        echo.sums += sum;   /* the order counts */
    }
}

static uint64_t echo_server_cpu_ns(void)
{
    struct timespec used;
    echo_check("server's clock", clock_gettime(echo.server_clock, &used) < 0 ? -errno : 0);
    return (uint64_t)used.tv_sec * 1000000000U + (uint64_t)used.tv_nsec;
}

static void echo_count(void)
{
    echo.done++;
    if (echo.done == echo.warm) {
        echo.begin_cpu_ns = echo_server_cpu_ns();
        echo.begin_load_ns = bench_cpu_ns();
        echo.begin_ns = bench_now_ns();
    } else if (echo.done == echo.total) {
        echo.end_ns = bench_now_ns();
        echo.end_cpu_ns = echo_server_cpu_ns();
        echo.end_load_ns = bench_cpu_ns();
    }
}

static void echo_answered(unsigned index, const unsigned char *bytes)
{
    uint64_t number;
    memcpy(&number, bytes, sizeof number);
    if (number != echo.conns[index].number ||
        memcmp(bytes + sizeof number, echo.words + 1, echo.variant.size - sizeof number) != 0)
        bench_fail("echo: what came back is not what was sent");
    echo.checksum += number * (echo.variant.size / 8) + echo.sums;
    echo_count();
    echo_request(index);
}

static void echo_received(unsigned index, const unsigned char *bytes, unsigned len)
{
    struct echo_conn *conn = &echo.conns[index];
    unsigned size = echo.variant.size;
    if (len > size - conn->have)
        bench_fail("echo: more came back than was sent");
    if (len == size) {
        echo_answered(index, bytes);
        return;
    }
    if (!conn->answer)
        conn->answer = malloc(size);
    if (!conn->answer)
        bench_fail("echo: no memory");
    memcpy(conn->answer + conn->have, bytes, len);
    conn->have += len;
    if (conn->have == size)
        echo_answered(index, conn->answer);
}

static void echo_completed(const struct io_uring_cqe *cqe)
{
    if (cqe->user_data == UINT64_MAX)
        echo_check("send", cqe->res < 0 ? cqe->res : -EIO);
    if (cqe->res <= 0 && cqe->res != -ENOBUFS)
        echo_check("receive", cqe->res < 0 ? cqe->res : -ECONNRESET);
    unsigned index = (unsigned)cqe->user_data;
    if (cqe->res > 0) {
        unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        echo_received(index, buffer_ring_at(&echo.buffers, id), (unsigned)cqe->res);
        buffer_ring_put(&echo.buffers, id);
    }
    if (!(cqe->flags & IORING_CQE_F_MORE))
        echo_arm(index);
}

static void echo_run(void)
{
    for (unsigned i = 0; i < echo.variant.connections; i++) {
        echo_arm(i);
        echo_request(i);
    }
    while (echo.done < echo.total) {
        int err = io_uring_submit_and_wait(&echo.ring, 1);
        if (err != -EINTR)
            echo_check("wait", err);
        struct io_uring_cqe *cqe;
        unsigned head, seen = 0;
        io_uring_for_each_cqe(&echo.ring, head, cqe) {
            echo_completed(cqe);
            seen++;
        }
        io_uring_cq_advance(&echo.ring, seen);
    }
}

static pid_t echo_start(void (*serve)(void), uint16_t *port)
{
    echo_check("pipe", pipe(echo.port_pipe) < 0 ? -errno : 0);
    pid_t pid = fork();
    echo_check("fork", pid < 0 ? -errno : 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)close(echo.port_pipe[0]);
        bench_pin(bench_cpu(0));
        serve();
        exit(EXIT_FAILURE);   /* it serves until it is killed */
    }
    (void)close(echo.port_pipe[1]);
    if (read(echo.port_pipe[0], port, sizeof *port) != sizeof *port)
        bench_fail("echo: the server did not start");
    echo_check("server's clock", -clock_getcpuclockid(pid, &echo.server_clock));
    return pid;
}

static int echo_connect(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    echo_check("socket", fd < 0 ? -errno : 0);
    echo_check("connect", connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0);
    echo_no_delay(fd);
    return fd;
}

static void echo_open(uint16_t port)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
        .cq_entries = 4 * ECHO_ENTRIES,
    };
    unsigned count = echo.variant.connections;
    int *fds = calloc(count, sizeof *fds);
    echo.conns = calloc(count, sizeof *echo.conns);
    echo_check("connections", fds && echo.conns ? 0 : -ENOMEM);
    echo_check("ring", io_uring_queue_init_params(ECHO_ENTRIES, &echo.ring, &params));
    echo_check("ring descriptor", io_uring_register_ring_fd(&echo.ring));
    unsigned size = echo.variant.size + CACHE_LINE_BYTES;
    echo_check("buffers", buffer_ring_open(&echo.buffers, &echo.ring, ECHO_BUFFERS, size));
    echo_fill();
    for (unsigned i = 0; i < count; i++)
        fds[i] = echo_connect(port);
    echo_check("descriptors", io_uring_register_files(&echo.ring, fds, count));
    free(fds);
}

static void echo_choose(int argc, char **argv)
{
    static const struct echo_variant variants[] = {
        {"64B-1", 64, 1, 40000},       {"64B-64", 64, 64, 400000},    {"64B-512", 64, 512, 400000},
        {"4KiB-1", 4096, 1, 40000},    {"4KiB-64", 4096, 64, 250000}, {"4KiB-512", 4096, 512, 250000},
    };
    struct bench bench = bench_begin(argc, argv);
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
        if (strcmp(variants[i].name, bench.variant) == 0)
            echo.variant = variants[i];
    }
    if (!echo.variant.name)
        bench_fail("echo: no such variant");
    echo.total = bench.is_smoke ? echo.variant.requests / 50 : echo.variant.requests;
    echo.warm = echo.total / 10;
}

static int echo_main(int argc, char **argv, void (*serve)(void))
{
    uint16_t port;
    echo_choose(argc, argv);
    pid_t server = echo_start(serve, &port);
    bench_pin(bench_cpu(bench_cpus() - 1));
    echo_open(port);
    echo_run();
    (void)kill(server, SIGKILL);
    (void)waitpid(server, NULL, 0);
    double measured = (double)(echo.total - echo.warm);
    bench_metric("requests_per_s", measured * 1e9 / (double)(echo.end_ns - echo.begin_ns));
    bench_metric("server_cpu_us", (double)(echo.end_cpu_ns - echo.begin_cpu_ns) / 1e3 / measured);
    bench_metric("load_cpu_us", (double)(echo.end_load_ns - echo.begin_load_ns) / 1e3 / measured);
    bench_checksum(echo.checksum);
    return 0;
}

#endif
