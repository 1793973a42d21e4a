/* gzload.c — load for gzpipe, with plain threads and blocking sockets: many clients at once, and pings beside them.
 *
 * Each client sends the file, says that this was all, and keeps what comes back in PREFIX.0, PREFIX.1, … A ping is a line to the second
 * port that comes back. Pings are sent by the clock and measured from the time for which they were planned: a ping that waits
 * behind a slow one counts its waiting, as a user would.
 *
 *     gzload [--clients N] [--seconds S] [--rate PINGS] --port N --ping-port N FILE PREFIX
 *
 * With --clients 0 it only pings, for S seconds. Prints "count p50 p90 p99 p99.9 max", in microseconds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 1 << 16, PINGS_MAX = 1 << 20, PING_BYTES = 16, SECOND_NS = 1000000000, LAST_PING_NS = SECOND_NS };
enum { PINGER_NICE = -15, CLIENT_NICE = 10 };

struct client {
    pthread_t sender, receiver;
    int fd, out;
    const char *file;
};

static uint16_t port, ping_port;
static atomic_bool is_loaded;   /* clients are at work */

static _Noreturn void die(const char *format, ...)
{
    int err = errno;
    va_list list;
    va_start(list, format);
    fputs("gzload: ", stderr);
    vfprintf(stderr, format, list);
    fprintf(stderr, ": %s\n", err ? strerror(err) : "it ended early");
    va_end(list);
    exit(EXIT_FAILURE);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static int connect_to(uint16_t to)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(to)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        die("connect to port %u", to);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return fd;
}

static void write_all(int fd, const char *bytes, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, bytes + done, len - done);
        if (n < 0)
            die("write");
        done += (size_t)n;
    }
}

/* The clients are the load, not the service: on one machine they must not take its CPU. The pinger must not wait for one. */
static void be_nice(int nice)
{
    (void)setpriority(PRIO_PROCESS, 0, nice);   /* of this thread; below 0 needs the privilege, and does without */
}

static void *send_file(void *arg)
{
    struct client *client = arg;
    be_nice(CLIENT_NICE);
    char bytes[CHUNK];
    ssize_t n;
    int fd = open(client->file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        die("%s", client->file);
    while ((n = read(fd, bytes, sizeof bytes)) > 0)
        write_all(client->fd, bytes, (size_t)n);
    if (n < 0)
        die("%s", client->file);
    close(fd);
    shutdown(client->fd, SHUT_WR);
    return NULL;
}

static void *receive_file(void *arg)
{
    struct client *client = arg;
    be_nice(CLIENT_NICE);
    char bytes[CHUNK];
    ssize_t n;
    while ((n = read(client->fd, bytes, sizeof bytes)) > 0)
        write_all(client->out, bytes, (size_t)n);
    if (n < 0)
        die("read an answer");
    return NULL;
}

static void start(struct client *client, const char *file, const char *prefix, unsigned number)
{
    char name[4096];
    snprintf(name, sizeof name, "%s.%u", prefix, number);
    client->file = file;
    client->fd = connect_to(port);
    client->out = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (client->out < 0)
        die("%s", name);
    if ((errno = pthread_create(&client->sender, NULL, send_file, client)) != 0 ||
        (errno = pthread_create(&client->receiver, NULL, receive_file, client)) != 0)
        die("thread");
}

/* Pings, each with the number by which its planned time is known. */
struct pings {
    int fd;
    uint64_t begin_ns, interval_ns, end_ns;   /* end_ns 0: until the clients are done */
    unsigned sent, received;
    size_t pending;                           /* bytes of an answer that is not whole yet */
    uint32_t *latencies_ns;                   /* cut at 4 s */
};

static uint64_t planned_ns(const struct pings *pings, unsigned number)
{
    return pings->begin_ns + number * pings->interval_ns;
}

static void receive_pings(struct pings *pings)
{
    char bytes[4096];
    ssize_t n = recv(pings->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    uint64_t now = now_ns();
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        errno = n == 0 ? 0 : errno;
        die("a ping");
    }
    for (pings->pending += n > 0 ? (size_t)n : 0; pings->pending >= PING_BYTES; pings->pending -= PING_BYTES) {
        uint64_t latency = now - planned_ns(pings, pings->received);
        pings->latencies_ns[pings->received++] = latency < UINT32_MAX ? (uint32_t)latency : UINT32_MAX;
    }
}

static void *ping(void *arg)
{
    struct pings *pings = arg;
    prctl(PR_SET_TIMERSLACK, 1UL);
    be_nice(PINGER_NICE);
    for (bool is_sending = true; is_sending || pings->received < pings->sent;) {
        uint64_t now = now_ns(), next = planned_ns(pings, pings->sent);
        is_sending = pings->sent < PINGS_MAX && (pings->end_ns ? next < pings->end_ns : atomic_load(&is_loaded));
        for (; is_sending && next <= now; next = planned_ns(pings, ++pings->sent)) {
            char line[PING_BYTES + 1];
            snprintf(line, sizeof line, "ping %010u\n", pings->sent);
            write_all(pings->fd, line, PING_BYTES);
            if (pings->sent + 1 == PINGS_MAX)
                is_sending = false;
        }
        uint64_t wait = is_sending ? next - now : LAST_PING_NS;
        struct timespec timeout = {.tv_sec = (time_t)(wait / SECOND_NS), .tv_nsec = (long)(wait % SECOND_NS)};
        struct pollfd readable = {.fd = pings->fd, .events = POLLIN};
        if (ppoll(&readable, 1, &timeout, NULL) > 0)
            receive_pings(pings);
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void print_latencies(struct pings *pings)
{
    static const double quantiles[] = {0.5, 0.9, 0.99, 0.999, 1};
    unsigned count = pings->received;
    qsort(pings->latencies_ns, count, sizeof *pings->latencies_ns, compare);
    printf("%u", count);
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles && count > 0; i++) {
        unsigned rank = (unsigned)(quantiles[i] * count + 0.999999);   /* the smallest that so many do not exceed */
        printf(" %.1f", pings->latencies_ns[rank > 0 ? rank - 1 : 0] / 1000.0);
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    static const struct option names[] = {{"port", 1, NULL, 'p'}, {"ping-port", 1, NULL, 'q'}, {"clients", 1, NULL, 'c'},
                                          {"seconds", 1, NULL, 's'}, {"rate", 1, NULL, 'r'}, {0}};
    unsigned count = 8, seconds = 2, rate = 1000;
    for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (option) {
        case 'p': port = (uint16_t)atoi(optarg); break;
        case 'q': ping_port = (uint16_t)atoi(optarg); break;
        case 'c': count = (unsigned)atoi(optarg); break;
        case 's': seconds = (unsigned)atoi(optarg); break;
        case 'r': rate = (unsigned)atoi(optarg); break;
        default: return 2;
        }
    }
    if (!ping_port || rate == 0 || (count > 0 && (!port || argc - optind != 2))) {
        fputs("usage: gzload [--clients N] [--seconds S] [--rate PINGS] --port N --ping-port N FILE PREFIX\n", stderr);
        return 2;
    }
    struct client *clients = calloc(count + 1, sizeof *clients);
    struct pings pings = {.fd = connect_to(ping_port), .interval_ns = SECOND_NS / rate};
    pings.latencies_ns = calloc(PINGS_MAX, sizeof *pings.latencies_ns);
    pthread_t pinger;
    if (!clients || !pings.latencies_ns)
        die("memory");
    atomic_store(&is_loaded, count > 0);
    for (unsigned i = 0; i < count; i++)
        start(&clients[i], argv[optind], argv[optind + 1], i);
    pings.begin_ns = now_ns();
    pings.end_ns = count > 0 ? 0 : pings.begin_ns + seconds * (uint64_t)SECOND_NS;
    if ((errno = pthread_create(&pinger, NULL, ping, &pings)) != 0)
        die("thread");
    for (unsigned i = 0; i < count; i++) {
        pthread_join(clients[i].sender, NULL);
        pthread_join(clients[i].receiver, NULL);
        close(clients[i].fd);
        if (close(clients[i].out) < 0)
            die("%s", argv[optind + 1]);
    }
    atomic_store(&is_loaded, false);
    pthread_join(pinger, NULL);
    print_latencies(&pings);
    free(pings.latencies_ns);
    free(clients);
    return 0;
}
