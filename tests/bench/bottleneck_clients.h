/* bottleneck_clients.h — clients that have a service compress text without end, and check every byte that comes back.
 *
 * One process, CLIENTS connections. It keeps the answers and unpacks them when the measurement is over, so that checking costs the
 * service nothing. Each client sends one text over and over, from a place of its own; so any byte lost, doubled or out of order shows.
 */
#ifndef TESTS_BENCH_BOTTLENECK_CLIENTS_H
#define TESTS_BENCH_BOTTLENECK_CLIENTS_H

#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS = 8, TEXT_BYTES = 1000003, PIECE_BYTES = 65536 };   /* a prime: no period of the service's meets it */

/* Shared with the process that measures. */
struct clients_shared {
    uint64_t sent;       /* bytes that the service has taken */
    uint32_t is_over;    /* send no more, take the rest, check */
};

struct client {
    int fd;
    size_t at, sent;
    unsigned char *answer;
    size_t len, capacity;
    bool is_shut, has_ended;
};

static inline int bench_connect(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        perror("connect");
        exit(1);
    }
    return fd;
}

/* Words of a small vocabulary: gzip makes about a third of it, as of prose. */
static void clients_text(char *text)
{
    uint64_t state = 1;
    for (size_t at = 0; at < TEXT_BYTES;) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        uint64_t word = (state >> 33) % 4096;
        unsigned len = 3 + (unsigned)(word % 7);
        for (unsigned i = 0; i < len && at < TEXT_BYTES; i++)
            text[at++] = (char)('a' + (word * 2654435761U >> (3 * i)) % 26);
        if (at < TEXT_BYTES)
            text[at++] = ' ';
    }
}

static void client_send(struct client *client, const char *text, struct clients_shared *shared)
{
    if (__atomic_load_n(&shared->is_over, __ATOMIC_RELAXED)) {
        if (!client->is_shut)
            bench_ok(shutdown(client->fd, SHUT_WR), "clients: shutdown");
        client->is_shut = true;
        return;
    }
    size_t len = TEXT_BYTES - client->at < PIECE_BYTES ? TEXT_BYTES - client->at : PIECE_BYTES;
    ssize_t n = send(client->fd, text + client->at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    bench_ok(n, "clients: send");
    client->at = (client->at + (size_t)n) % TEXT_BYTES;
    client->sent += (size_t)n;
    __atomic_store_n(&shared->sent, shared->sent + (uint64_t)n, __ATOMIC_RELAXED);   /* one writer */
}

static void client_receive(struct client *client)
{
    if (client->capacity - client->len < PIECE_BYTES) {
        client->capacity = client->capacity * 2 + PIECE_BYTES;
        client->answer = realloc(client->answer, client->capacity);
        if (!client->answer)
            bench_fail("clients: no memory");
    }
    ssize_t n = recv(client->fd, client->answer + client->len, client->capacity - client->len, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    bench_ok(n, "clients: receive");
    client->has_ended = n == 0;
    client->len += (size_t)n;
}

static void clients_drive(struct client *clients, const char *text, struct clients_shared *shared)
{
    unsigned ended = 0;
    while (ended < CLIENTS) {
        struct pollfd polls[CLIENTS];
        for (unsigned i = 0; i < CLIENTS; i++)
            polls[i] = (struct pollfd){.fd = clients[i].has_ended ? -1 : clients[i].fd,
                                       .events = (short)(POLLIN | (clients[i].is_shut ? 0 : POLLOUT))};
        bench_ok(poll(polls, CLIENTS, 100), "clients: poll");   /* sees is_over */
        bool is_over = __atomic_load_n(&shared->is_over, __ATOMIC_RELAXED) != 0;
        for (unsigned i = 0; i < CLIENTS; i++) {
            if (polls[i].revents & (POLLIN | POLLHUP | POLLERR))
                client_receive(&clients[i]);
            if ((polls[i].revents & POLLOUT) || (is_over && !clients[i].is_shut))
                client_send(&clients[i], text, shared);
            if (clients[i].has_ended && polls[i].fd >= 0)
                ended++;
        }
    }
}

/* What the answer unpacks to must be what was sent, all of it and in order. */
static void client_check(const struct client *client, const char *text, size_t start)
{
    struct libdeflate_decompressor *decompressor = libdeflate_alloc_decompressor();
    static unsigned char plain[1 << 24];
    size_t at = start, packed = 0, got = 0;
    while (packed < client->len) {
        size_t in, out;
        enum libdeflate_result result = libdeflate_gzip_decompress_ex(
            decompressor, client->answer + packed, client->len - packed, plain, sizeof plain, &in, &out);
        if (result != LIBDEFLATE_SUCCESS)
            bench_fail("clients: an answer is no gzip file");
        for (size_t done = 0; done < out;) {
            size_t len = out - done < TEXT_BYTES - at ? out - done : TEXT_BYTES - at;
            if (memcmp(plain + done, text + at, len) != 0)
                bench_fail("clients: an answer is not what was sent");
            done += len;
            at = (at + len) % TEXT_BYTES;
        }
        packed += in;
        got += out;
    }
    libdeflate_free_decompressor(decompressor);
    if (got != client->sent)
        bench_fail("clients: bytes are missing");
}

/* The process: drives until shared->is_over, checks, and exits; 0: all is as it must be. */
static void clients_run(uint16_t port, struct clients_shared *shared)
{
    static char text[TEXT_BYTES];
    struct client clients[CLIENTS] = {{0}};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    clients_text(text);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i].fd = bench_connect(port);
        clients[i].at = i * (TEXT_BYTES / CLIENTS);
    }
    clients_drive(clients, text, shared);
    for (unsigned i = 0; i < CLIENTS; i++)
        client_check(&clients[i], text, i * (TEXT_BYTES / CLIENTS));
    exit(0);
}

#endif
