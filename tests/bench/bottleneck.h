/* bottleneck.h — measures how soon a service answers pings while clients have it compress.
 *
 * Three processes: the service (perhaps in a cgroup with a CPU quota), the clients (bottleneck_clients.h), and this one, which sends pings
 * and is never late itself: nice -15 where that is allowed. First an open loop, 1000 pings a second, each timed from when it was due, so
 * that a service that stalls cannot hide by being asked less. Then a closed loop: the next ping when the last has come back.
 *
 * A service prints "port N, ping port M" and serves until SIGTERM.
 *
 * "occupied" tells what is the machine's share: nobody compresses, but on each CPU a process of the least priority turns round and round.
 * On a virtual machine that alone makes a ping late, since the host takes busy CPUs away for milliseconds.
 */
#ifndef TESTS_BENCH_BOTTLENECK_H
#define TESTS_BENCH_BOTTLENECK_H

#include "bottleneck_clients.h"
#include "cgroup.h"

#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { PING_NICE = -15, PERIOD_NS = 1000000, WARM_NS = 300000000, PINGS_MAX = 8192 };
enum { SPINNER_NICE = 19, SPINNERS_MAX = 64 };

struct ping {
    uint64_t number, filler;
};

static struct bottleneck {
    unsigned pings;              /* of the open loop */
    uint64_t closed_ns;
    unsigned quota_percent;      /* 0: none */
    bool is_loaded, is_inline, is_occupied;
    struct cgroup group;
    pid_t spinners[SPINNERS_MAX];
    unsigned spinner_count;
    struct clients_shared *shared;
    uint32_t latencies_ns[PINGS_MAX];
    uint64_t checksum;
} bottleneck;

static struct ping ping_of(uint64_t number)
{
    return (struct ping){number, ~number * 0x9e3779b97f4a7c15U};
}

static void ping_check(const struct ping *ping, uint64_t number)
{
    struct ping expected = ping_of(number);
    if (memcmp(ping, &expected, sizeof expected) != 0)
        bench_fail("bottleneck: a ping came back changed or out of order");
    bottleneck.checksum += ping->filler ^ ping->number << 1;
}

static void note_latency(uint64_t number, uint64_t due_ns)
{
    uint64_t took = bench_now_ns() - due_ns;
    bottleneck.latencies_ns[number] = took < UINT32_MAX ? (uint32_t)took : UINT32_MAX;
}

/* What has arrived: whole pings; half a one waits for its rest. */
static unsigned receive_pings(int fd, uint64_t first, uint64_t begin_ns)
{
    static unsigned char bytes[sizeof(struct ping) * 256];
    static size_t have;
    unsigned count = 0;
    ssize_t n = recv(fd, bytes + have, sizeof bytes - have, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n <= 0)
        bench_fail("bottleneck: the service has gone");
    have += (size_t)n;
    for (; (count + 1) * sizeof(struct ping) <= have; count++) {
        struct ping ping;
        memcpy(&ping, bytes + count * sizeof ping, sizeof ping);
        ping_check(&ping, first + count);
        note_latency(first + count, begin_ns + (first + count) * PERIOD_NS);
    }
    have -= count * sizeof(struct ping);
    memmove(bytes, bytes + count * sizeof(struct ping), have);
    return count;
}

static void open_loop(int fd)
{
    uint64_t begin = bench_now_ns(), sent = 0, answered = 0;
    while (answered < bottleneck.pings) {
        uint64_t now = bench_now_ns(), due = begin + sent * PERIOD_NS;
        if (sent < bottleneck.pings && now >= due) {
            struct ping ping = ping_of(sent);
            bench_ok(send(fd, &ping, sizeof ping, MSG_NOSIGNAL), "bottleneck: send");
            sent++;
            continue;
        }
        uint64_t wait = sent < bottleneck.pings ? due - now : 10000000000U;
        struct timespec timeout = {.tv_sec = (time_t)(wait / 1000000000U), .tv_nsec = (long)(wait % 1000000000U)};
        struct pollfd poll = {.fd = fd, .events = POLLIN};
        int ready = ppoll(&poll, 1, &timeout, NULL);
        bench_ok(ready, "bottleneck: poll");
        if (ready > 0)
            answered += receive_pings(fd, answered, begin);
        else if (sent == bottleneck.pings)
            bench_fail("bottleneck: pings are not answered");
    }
}

/* Pings a second. */
static double closed_loop(int fd)
{
    uint64_t begin = bench_now_ns(), now = begin, count = 0;
    uint64_t checksum = bottleneck.checksum;
    for (; now - begin < bottleneck.closed_ns; now = bench_now_ns()) {
        struct ping ping = ping_of(count), back;
        bench_ok(send(fd, &ping, sizeof ping, MSG_NOSIGNAL), "bottleneck: send");
        if (recv(fd, &back, sizeof back, MSG_WAITALL) != sizeof back)
            bench_fail("bottleneck: the service has gone");
        ping_check(&back, count++);
    }
    bottleneck.checksum = checksum;   /* how many these were differs */
    return (double)count * 1e9 / (double)(now - begin);
}

static int connect_pings(uint16_t port)
{
    int fd = bench_connect(port), one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)prctl(PR_SET_TIMERSLACK, 1UL);
    if (setpriority(PRIO_PROCESS, 0, PING_NICE) < 0)
        fprintf(stderr, "bottleneck: nice %d is not allowed: this process may be late itself\n", PING_NICE);
    return fd;
}

struct service {
    pid_t pid;
    unsigned port, ping_port;
};

static struct service start_service(void (*serve)(bool is_inline))
{
    struct service service = {0};
    int fds[2];
    bench_ok(pipe(fds), "bottleneck: pipe");
    service.pid = fork();
    bench_ok(service.pid, "bottleneck: fork");
    if (service.pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!cgroup_enter(&bottleneck.group))
            bench_fail("bottleneck: the cgroup does not take the service");
        (void)dup2(fds[1], STDOUT_FILENO);
        (void)close(fds[0]);
        (void)close(fds[1]);
        serve(bottleneck.is_inline);
        exit(1);
    }
    (void)close(fds[1]);
    FILE *told = fdopen(fds[0], "r");
    if (!told || fscanf(told, "port %u, ping port %u", &service.port, &service.ping_port) != 2) {
        (void)waitpid(service.pid, NULL, 0);
        cgroup_close(&bottleneck.group);
        bench_fail("bottleneck: the service did not start");
    }
    (void)fclose(told);
    return service;
}

static pid_t start_clients(uint16_t port)
{
    size_t bytes = sizeof *bottleneck.shared;
    bottleneck.shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (bottleneck.shared == MAP_FAILED)
        bench_fail("bottleneck: no memory");
    if (!bottleneck.is_loaded)
        return 0;
    pid_t pid = fork();
    bench_ok(pid, "bottleneck: fork");
    if (pid == 0)
        clients_run(port, bottleneck.shared);
    return pid;
}

static void spin(void)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    bench_ok(setpriority(PRIO_PROCESS, 0, SPINNER_NICE), "bottleneck: nice");
    for (;;)
        __asm__ volatile("");
}

static void occupy(void)
{
    for (unsigned i = 0; bottleneck.is_occupied && i < bench_cpus() && i < SPINNERS_MAX; i++) {
        pid_t pid = fork();
        bench_ok(pid, "bottleneck: fork");
        if (pid == 0)
            spin();
        bottleneck.spinners[bottleneck.spinner_count++] = pid;
    }
}

static void occupy_no_more(void)
{
    for (unsigned i = 0; i < bottleneck.spinner_count; i++) {
        (void)kill(bottleneck.spinners[i], SIGKILL);
        (void)waitpid(bottleneck.spinners[i], NULL, 0);
    }
}

static bool ended_well(pid_t pid)
{
    int status;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool choose(struct bench bench)
{
    static const struct {
        const char *name;
        bool is_loaded, is_inline, is_occupied;
        unsigned quota_percent;
    } variants[] = {
        {"loaded", true, false, false, 0},
        {"unloaded", false, false, false, 0},
        {"occupied", false, false, true, 0},
        {"inline", true, true, false, 0},
        {"quota-1.0", true, false, false, 100},
        {"quota-1.0-unloaded", false, false, false, 100},
        {"quota-0.5", true, false, false, 50},
        {"quota-0.5-unloaded", false, false, false, 50},
    };
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
        if (strcmp(variants[i].name, bench.variant) != 0)
            continue;
        bottleneck.is_loaded = variants[i].is_loaded;
        bottleneck.is_inline = variants[i].is_inline;
        bottleneck.is_occupied = variants[i].is_occupied;
        bottleneck.quota_percent = variants[i].quota_percent;
        bottleneck.pings = bench.is_smoke ? 200 : 4000;
        bottleneck.closed_ns = bench.is_smoke ? 100000000 : 1000000000;
        return true;
    }
    return false;
}

static void print_latencies(void)
{
    bench_sort(bottleneck.latencies_ns, bottleneck.pings);
    bench_metric("p50_ms", bench_percentile(bottleneck.latencies_ns, bottleneck.pings, 50) / 1e6);
    bench_metric("p99_ms", bench_percentile(bottleneck.latencies_ns, bottleneck.pings, 99) / 1e6);
    bench_metric("p999_ms", bench_percentile(bottleneck.latencies_ns, bottleneck.pings, 99.9) / 1e6);
}

static int bottleneck_main(int argc, char **argv, void (*serve)(bool is_inline))
{
    if (!choose(bench_begin(argc, argv)))
        bench_fail("bottleneck: no such variant");
    if (bottleneck.quota_percent)
        cgroup_open(&bottleneck.group, bottleneck.quota_percent);
    struct service service = start_service(serve);
    pid_t clients = start_clients((uint16_t)service.port);
    occupy();
    int fd = connect_pings((uint16_t)service.ping_port);
    struct timespec warm = {.tv_nsec = WARM_NS};
    (void)nanosleep(&warm, NULL);
    uint64_t begin = bench_now_ns(), sent = __atomic_load_n(&bottleneck.shared->sent, __ATOMIC_RELAXED);
    open_loop(fd);
    double closed = closed_loop(fd);
    double compressed = (double)(__atomic_load_n(&bottleneck.shared->sent, __ATOMIC_RELAXED) - sent);
    double seconds = (double)(bench_now_ns() - begin) / 1e9;
    __atomic_store_n(&bottleneck.shared->is_over, 1, __ATOMIC_RELAXED);
    (void)close(fd);
    occupy_no_more();
    bool is_right = clients == 0 || ended_well(clients);
    (void)kill(service.pid, SIGTERM);
    is_right = ended_well(service.pid) && is_right;
    cgroup_close(&bottleneck.group);
    if (!is_right)
        bench_fail("bottleneck: the clients or the service did not end well");
    print_latencies();
    bench_metric("closed_pings_per_s", closed);
    if (bottleneck.is_loaded)
        bench_metric("compressed_MB_per_s", compressed / 1e6 / seconds);
    bench_checksum(bottleneck.checksum);
    return 0;
}

#endif
