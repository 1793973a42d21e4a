/* http.h — drives an HTTP service from a process of its own: requests on connections that stay open, each answer compared.
 *
 * A group of connections asks for one thing. In a closed group each asks again when it has been answered; in an open group requests
 * fall due by the clock, go out on whichever connection is free, and are timed from when they were due: who stalls is not asked less.
 * The service is a child: its CPU time is read from its CPU clock. It is asked for nothing until it takes connections.
 */
#ifndef TESTS_BENCH_HTTP_H
#define TESTS_BENCH_HTTP_H

#include "bench.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HTTP_CONNS_MAX = 64, HTTP_GROUPS_MAX = 2, HTTP_HEAD_MAX = 4096, HTTP_SAMPLES_MAX = 1 << 20 };
enum { HTTP_START_MS = 10000 };

struct http_group {
    const char *head;           /* of the request, with its empty line */
    const char *body;           /* of the request */
    size_t body_len;
    const char *answer;         /* the body that is wanted */
    size_t answer_len;
    unsigned connections;
    unsigned rate;              /* requests a second, open; 0: closed */
    uint64_t done;              /* answers */
    uint64_t due;               /* requests that have fallen due, open */
    uint64_t asked;
    uint32_t *samples;          /* in us, open */
};

struct http_conn {
    struct http_group *group;
    int fd;
    bool is_busy;
    size_t sent, got, head_len; /* got: of head and body; head_len 0: it is not whole */
    uint64_t number;            /* of its request in an open group */
    char head[HTTP_HEAD_MAX];
};

struct http_load {
    struct http_group groups[HTTP_GROUPS_MAX];
    unsigned group_count, conn_count;
    struct http_conn conns[HTTP_CONNS_MAX];
    int poll;
    uint16_t port;
    pid_t pid;
    clockid_t clock;
    uint64_t begin_ns, end_ns;
    char folder[32];            /* for files of this run; removed at the end */
};

/* Becomes the service: listens on 127.0.0.1 at load->port, or returns. */
typedef void http_serve_fn(const struct http_load *load, const char *variant);

static inline void http_make_folder(struct http_load *load)
{
    strcpy(load->folder, "/tmp/bench.http.XX" "XX" "XX");
    if (!mkdtemp(load->folder))
        bench_fail("mkdtemp");
}

static inline void http_remove_folder(const struct http_load *load)
{
    char command[64];
    (void)snprintf(command, sizeof command, "rm -rf %s", load->folder);
    if (system(command) != 0)
        bench_fail(command);
}

static inline struct sockaddr_in http_address(uint16_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

/* A port that nobody uses now. */
static inline uint16_t http_free_port(void)
{
    struct sockaddr_in address = http_address(0);
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bench_ok(bind(fd, (struct sockaddr *)&address, sizeof address), "bind");
    bench_ok(getsockname(fd, (struct sockaddr *)&address, &len), "getsockname");
    close(fd);
    return ntohs(address.sin_port);
}

static inline int http_connect(uint16_t port)
{
    struct sockaddr_in address = http_address(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return fd;
}

/* cpu: where the service is pinned to; -1: nowhere. */
static inline void http_start(struct http_load *load, http_serve_fn *serve, const char *variant, int cpu)
{
    load->port = http_free_port();
    load->poll = epoll_create1(EPOLL_CLOEXEC);
    load->pid = fork();
    bench_ok(load->pid, "fork");
    if (load->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "r", stdin))
            _exit(1);
        if (cpu >= 0)
            bench_pin(cpu);
        serve(load, variant);
        _exit(127);
    }
    int fd = -1;
    for (unsigned ms = 0; fd < 0 && ms < HTTP_START_MS; ms++) {
        int status;
        if (waitpid(load->pid, &status, WNOHANG) == load->pid)
            bench_fail("the service has ended");
        fd = http_connect(load->port);
        if (fd < 0)
            usleep(1000);
    }
    bench_ok(fd, "the service does not listen");
    close(fd);
    if (clock_getcpuclockid(load->pid, &load->clock) != 0)
        bench_fail("clock_getcpuclockid");
}

static inline uint64_t http_cpu_ns(const struct http_load *load)
{
    struct timespec used;
    (void)clock_gettime(load->clock, &used);
    return (uint64_t)used.tv_sec * 1000000000U + (uint64_t)used.tv_nsec;
}

static inline void http_stop(struct http_load *load)
{
    kill(load->pid, SIGTERM);
    (void)waitpid(load->pid, NULL, 0);
    for (unsigned i = 0; i < load->conn_count; i++)
        close(load->conns[i].fd);
    close(load->poll);
    if (load->folder[0])
        http_remove_folder(load);
}

/* Sends what the socket takes. The rest goes when epoll says so. */
static inline void http_send(struct http_conn *conn)
{
    struct http_group *group = conn->group;
    size_t head_len = strlen(group->head);
    while (conn->sent < head_len + group->body_len) {
        struct iovec parts[2];
        size_t in_head = conn->sent < head_len ? conn->sent : head_len, in_body = conn->sent - in_head;
        parts[0] = (struct iovec){(char *)group->head + in_head, head_len - in_head};
        parts[1] = (struct iovec){(char *)group->body + in_body, group->body_len - in_body};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        ssize_t n = sendmsg(conn->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return;
        bench_ok(n, "send");
        conn->sent += (size_t)n;
    }
}

static inline void http_ask(struct http_conn *conn)
{
    conn->sent = conn->got = conn->head_len = 0;
    conn->is_busy = true;
    conn->number = conn->group->asked++;
    http_send(conn);
}

static inline void http_add(struct http_load *load, const struct http_group *wanted)
{
    struct http_group *group = &load->groups[load->group_count++];
    *group = *wanted;
    if (group->rate > 0)
        group->samples = calloc(HTTP_SAMPLES_MAX, sizeof *group->samples);
    for (unsigned i = 0; i < group->connections; i++) {
        struct http_conn *conn = &load->conns[load->conn_count++];
        conn->group = group;
        conn->fd = http_connect(load->port);
        bench_ok(conn->fd, "connect");
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = conn};
        bench_ok(epoll_ctl(load->poll, EPOLL_CTL_ADD, conn->fd, &event), "epoll_ctl");
    }
}

/* The n bytes of a body that have come now are those that were wanted. */
static inline void http_compare(const struct http_conn *conn, const char *bytes, size_t offset, size_t n)
{
    if (offset + n > conn->group->answer_len || memcmp(bytes, conn->group->answer + offset, n) != 0)
        bench_fail("another answer than was wanted");
}

static inline void http_read_head(struct http_conn *conn)
{
    static const char status[] = "HTTP/1.1 200";
    conn->head[conn->got] = '\0';
    const char *end = strstr(conn->head, "\r\n\r\n");
    if (!end && conn->got == HTTP_HEAD_MAX - 1)
        bench_fail("too long a head");
    if (!end)
        return;
    if (strncmp(conn->head, status, sizeof status - 1) != 0) {
        fprintf(stderr, "%.200s\n", conn->head);
        bench_fail("not 200");
    }
    conn->head_len = (size_t)(end - conn->head) + 4;
    http_compare(conn, conn->head + conn->head_len, 0, conn->got - conn->head_len);
}

static inline void http_answered(struct http_load *load, struct http_conn *conn)
{
    struct http_group *group = conn->group;
    conn->is_busy = false;
    if (group->rate > 0 && group->done < HTTP_SAMPLES_MAX) {
        uint64_t due_ns = load->begin_ns + conn->number * (1000000000 / group->rate);
        group->samples[group->done] = (uint32_t)((bench_now_ns() - due_ns) / 1000);
    }
    group->done++;
}

/* Reads all that has come. */
static inline void http_receive(struct http_load *load, struct http_conn *conn)
{
    static char bytes[1 << 18];
    for (;;) {
        bool is_head = conn->head_len == 0;
        size_t room = is_head ? HTTP_HEAD_MAX - 1 - conn->got : sizeof bytes;
        ssize_t n = recv(conn->fd, is_head ? conn->head + conn->got : bytes, room, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0 || !conn->is_busy)
            bench_fail(n == 0 ? "the service has closed" : n < 0 ? "recv" : "an answer that nobody asked for");
        if (!is_head)
            http_compare(conn, bytes, conn->got - conn->head_len, (size_t)n);
        conn->got += (size_t)n;
        if (is_head)
            http_read_head(conn);
        if (conn->head_len > 0 && conn->got == conn->head_len + conn->group->answer_len)
            http_answered(load, conn);
        if ((size_t)n < room && is_head == (conn->head_len == 0))
            return;   /* all that was there; edge-triggered epoll tells what comes later */
    }
}

/* Asks on every free connection for what is due. Returns how long until the next request falls due, in ns; 0: none does. */
static inline uint64_t http_ask_all(struct http_load *load, bool is_over)
{
    uint64_t now = bench_now_ns(), wait_ns = 0;
    for (unsigned i = 0; i < load->group_count; i++) {
        struct http_group *group = &load->groups[i];
        if (group->rate == 0 || is_over)
            continue;
        uint64_t interval_ns = 1000000000 / group->rate;
        group->due = (now - load->begin_ns) / interval_ns + 1;
        wait_ns = load->begin_ns + group->due * interval_ns - now;
    }
    for (unsigned i = 0; i < load->conn_count; i++) {
        struct http_conn *conn = &load->conns[i];
        bool is_due = conn->group->rate > 0 ? conn->group->asked < conn->group->due : !is_over;
        if (!conn->is_busy && is_due)
            http_ask(conn);
    }
    return wait_ns;
}

static inline bool http_is_busy(const struct http_load *load)
{
    for (unsigned i = 0; i < load->conn_count; i++) {
        if (load->conns[i].is_busy)
            return true;
    }
    return false;
}

/* Until the first group has `count` answers, or for so long (0: no such end); then what was asked is awaited. */
static inline void http_run(struct http_load *load, uint64_t count, uint64_t duration_ns)
{
    struct epoll_event events[HTTP_CONNS_MAX];
    load->begin_ns = bench_now_ns();
    for (unsigned i = 0; i < load->group_count; i++)
        load->groups[i].done = load->groups[i].asked = load->groups[i].due = 0;
    for (bool is_over = false;;) {
        is_over = is_over || (count > 0 && load->groups[0].done >= count) ||
                  (duration_ns > 0 && bench_now_ns() - load->begin_ns >= duration_ns);
        if (is_over && !http_is_busy(load))
            break;
        uint64_t wait_ns = http_ask_all(load, is_over);
        struct timespec wait = {.tv_sec = (time_t)(wait_ns / 1000000000), .tv_nsec = (long)(wait_ns % 1000000000)};
        int n = epoll_pwait2(load->poll, events, HTTP_CONNS_MAX, wait_ns > 0 ? &wait : NULL, NULL);
        for (int i = 0; i < n; i++) {
            struct http_conn *conn = events[i].data.ptr;
            if (conn->is_busy)
                http_send(conn);
            http_receive(load, conn);
        }
    }
    load->end_ns = bench_now_ns();
}

static inline char *http_random_bytes(size_t len)
{
    char *bytes = malloc(len);
    uint64_t state = 1;
    for (size_t i = 0; i < len; i++) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        bytes[i] = (char)(state >> 56);
    }
    return bytes;
}

static inline uint64_t http_hash(const char *bytes, size_t len)
{
    uint64_t hash = 14695981039346656037U;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)bytes[i]) * 1099511628211U;
    return hash;
}

static inline void http_write_file(const struct http_load *load, const char *name, const char *bytes, size_t len)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", load->folder, name);
    FILE *file = fopen(path, "w");
    if (!file || fwrite(bytes, 1, len, file) != len || fclose(file) != 0)
        bench_fail(path);
}

/* The service on one CPU and this process on another; a fixed number of requests of one closed group. The first tenth is not measured. */
static inline int http_throughput_main(struct http_load *load, const struct http_group *group, struct bench bench,
                                       uint64_t count, http_serve_fn *serve)
{
    http_start(load, serve, bench.variant, bench_cpu(0));
    bench_pin(bench_cpu(bench_cpus() - 1));
    http_add(load, group);
    count = bench.is_smoke ? 200 : count;
    http_run(load, count / 10, 0);
    uint64_t cpu_ns = http_cpu_ns(load);
    http_run(load, count, 0);
    cpu_ns = http_cpu_ns(load) - cpu_ns;
    double done = (double)load->groups[0].done;
    bench_metric("requests_per_s", done * 1e9 / (double)(load->end_ns - load->begin_ns));
    bench_metric("server_cpu_us", (double)cpu_ns / done / 1e3);
    bench_checksum(http_hash(group->answer, group->answer_len) * count);
    http_stop(load);
    return 0;
}

#endif
