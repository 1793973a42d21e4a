/* test_gzpipe.c — gzpipe as a process of its own: what is answered, when it stops reading, how it ends. */
#include "support/fixture.h"

#include <libdeflate.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { CLIENTS = 8, BYTES = 2 << 20, SLOW_BYTES_MAX = 64 << 20, PINGS_UNTIL_SETTLED = 300 };

struct service {
    pid_t pid;
    uint16_t port, ping_port;
};

static struct service service;

static void start(char *option)
{
    int ends[2];
    char line[128] = "";
    ck_assert_int_eq(pipe(ends), 0);
    service.pid = fork();
    ck_assert_int_ge(service.pid, 0);
    if (service.pid == 0) {
        char *arguments[] = {(char *)"gzpipe", option, NULL};
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execv(GZPIPE, arguments);
        _exit(127);
    }
    close(ends[1]);
    FILE *out = fdopen(ends[0], "r");
    ck_assert_ptr_nonnull(fgets(line, sizeof line, out));
    ck_assert_int_eq(sscanf(line, "port %hu, ping port %hu", &service.port, &service.ping_port), 2);
    fclose(out);
}

static void assert_ends_well(void)
{
    int status = -1;
    ck_assert_int_eq(waitpid(service.pid, &status, 0), service.pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "gzpipe: status %#x", (unsigned)status);
}

static void on_pool(void)
{
    start(NULL);
}

static void drain(void)
{
    ck_assert_int_eq(kill(service.pid, SIGTERM), 0);
    assert_ends_well();
}

/* Half of it compresses well, half not at all. */
static uint8_t *some_bytes(struct random *random, size_t len)
{
    uint8_t *bytes = malloc(len + 1);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i >> 16 & 1 ? random_next(random) : i % 64);
    return bytes;
}

struct bytes {
    uint8_t *at;
    size_t len;
};

static void receive_some(int fd, struct bytes *out, bool *has_ended)
{
    out->at = realloc(out->at, out->len + 65536);
    ssize_t n = recv(fd, out->at + out->len, 65536, MSG_DONTWAIT);
    if (n == 0)
        *has_ended = true;
    else if (n > 0)
        out->len += (size_t)n;
    else
        ck_assert_msg(errno == EAGAIN, "recv: %s", strerror(errno));
}

/* Sends what is left of `in` from *sent on, half-closes, and reads to the end meanwhile. */
static struct bytes exchange(int fd, const uint8_t *in, size_t len, size_t sent)
{
    struct bytes out = {0};
    bool has_ended = false;
    if (sent == len)
        shutdown(fd, SHUT_WR);
    while (!has_ended) {
        struct pollfd ready = {.fd = fd, .events = (short)(POLLIN | (sent < len ? POLLOUT : 0))};
        ck_assert_int_ge(poll(&ready, 1, -1), 0);
        if (ready.revents & POLLOUT) {
            ssize_t n = send(fd, in + sent, len - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
            sent += n > 0 ? (size_t)n : 0;
            if (sent == len)
                shutdown(fd, SHUT_WR);
        }
        if (ready.revents & (POLLIN | POLLHUP | POLLERR))
            receive_some(fd, &out, &has_ended);
    }
    close(fd);
    return out;
}

/* All members of a gzip file, one behind the other. */
static void assert_gunzips_to(const struct bytes *file, const uint8_t *wanted, size_t len)
{
    struct libdeflate_decompressor *decompressor = libdeflate_alloc_decompressor();
    uint8_t *out = malloc(len + 1);
    size_t used = 0, filled = 0;
    ck_assert_uint_gt(file->len, 0);
    while (used < file->len) {
        size_t in_len, out_len;
        enum libdeflate_result result = libdeflate_gzip_decompress_ex(
            decompressor, file->at + used, file->len - used, out + filled, len - filled, &in_len, &out_len);
        ck_assert_int_eq(result, LIBDEFLATE_SUCCESS);
        used += in_len;
        filled += out_len;
    }
    ck_assert_uint_eq(filled, len);
    ck_assert(memcmp(out, wanted, len) == 0);
    libdeflate_free_decompressor(decompressor);
    free(out);
}

static void assert_serves(size_t len)
{
    struct random random = fixture_random("gzpipe");
    uint8_t *in = some_bytes(&random, len);
    struct bytes out = exchange(fixture_connect(service.port), in, len, 0);
    assert_gunzips_to(&out, in, len);
    free(out.at);
    free(in);
}

static void *one_client(void *arg)
{
    (void)arg;
    assert_serves(BYTES);
    return NULL;
}

static void assert_serves_eight(void)
{
    pthread_t threads[CLIENTS];
    for (unsigned i = 0; i < CLIENTS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, one_client, NULL), 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
}

START_TEST(eight_clients_at_once_get_back_what_they_sent)
{
    assert_serves_eight();
}
END_TEST

START_TEST(an_inline_pool_answers_the_same)
{
    char option[] = "--inline";
    start(option);

    assert_serves_eight();
    assert_serves(0);

    drain();
}
END_TEST

START_TEST(nothing_and_one_byte_are_gzip_files_too)
{
    assert_serves(0);
    assert_serves(1);
}
END_TEST

START_TEST(answers_come_before_the_input_has_ended)
{
    uint8_t first = 0;
    int fd = fixture_connect(service.port);

    fixture_write(fd, "hello", 5);

    ck_assert_uint_eq(fixture_read(fd, &first, 1), 1);
    ck_assert_uint_eq(first, 0x1f);
    close(fd);
}
END_TEST

static void reset(int fd)
{
    struct linger at_once = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
}

START_TEST(clients_that_vanish_in_the_middle_hurt_nobody)
{
    struct random random = fixture_random("vanish");
    uint8_t *in = some_bytes(&random, BYTES);

    for (unsigned i = 0; i < 50; i++) {
        int fd = fixture_connect(service.port);
        fixture_write(fd, in, 1 + random_below(&random, 300000));
        i % 2 ? reset(fd) : (void)close(fd);
    }

    assert_serves_eight();
    free(in);
}
END_TEST

static void ping(int fd)
{
    char line[5];
    fixture_write(fd, "ping\n", 5);
    ck_assert_uint_eq(fixture_read(fd, line, 5), 5);
    ck_assert(memcmp(line, "ping\n", 5) == 0);
}

START_TEST(a_client_that_does_not_read_is_read_no_more)
{
    struct random random = fixture_random("slow");
    uint8_t *in = malloc(SLOW_BYTES_MAX);
    int fd = fixture_connect(service.port), pinger = fixture_connect(service.ping_port);
    size_t sent = 0;
    for (size_t i = 0; i < SLOW_BYTES_MAX; i += sizeof(uint64_t))
        memcpy(in + i, &(uint64_t){random_next(&random)}, sizeof(uint64_t));

    /* Pings are the clock: nothing is taken while so many of them are answered. */
    for (unsigned quiet = 0; quiet < PINGS_UNTIL_SETTLED && sent < SLOW_BYTES_MAX; quiet++) {
        ssize_t n = send(fd, in + sent, SLOW_BYTES_MAX - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            sent += (size_t)n;
            quiet = 0;
        }
        ping(pinger);
    }

    ck_assert_uint_lt(sent, SLOW_BYTES_MAX / 2);
    struct bytes out = exchange(fd, in, sent, sent);   /* and nothing is lost */
    assert_gunzips_to(&out, in, sent);
    close(pinger);
    free(out.at);
    free(in);
}
END_TEST

START_TEST(a_ping_is_answered_though_its_client_half_closes_at_once)
{
    char line[8];
    int fd = fixture_connect(service.ping_port);

    fixture_write(fd, "ping\n", 5);
    shutdown(fd, SHUT_WR);

    ck_assert_uint_eq(fixture_read(fd, line, sizeof line), 5);
    close(fd);
}
END_TEST

/* Waits until the service has seen a signal: then it listens no more. */
static void until_refused(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(service.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int err = 0; err != ECONNREFUSED;) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        err = connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? errno : 0;
        close(fd);
    }
}

START_TEST(sigterm_serves_who_is_here_and_exits)
{
    struct random random = fixture_random("drain");
    uint8_t *in = some_bytes(&random, BYTES), first;
    int fd = fixture_connect(service.port), pinger = fixture_connect(service.ping_port);
    ping(pinger);   /* both were accepted */
    fixture_write(fd, in, 100);
    ck_assert_int_eq(recv(fd, &first, 1, MSG_PEEK), 1);

    kill(service.pid, SIGTERM);
    until_refused();
    struct bytes out = exchange(fd, in, BYTES, 100);

    assert_gunzips_to(&out, in, BYTES);
    assert_ends_well();   /* though the pinger is still here */
    ck_assert_uint_eq(fixture_read(pinger, &first, 1), 0);
    close(pinger);
    free(out.at);
    free(in);
}
END_TEST

START_TEST(a_second_signal_ends_it_at_once)
{
    uint8_t first;
    int fd = fixture_connect(service.port);
    fixture_write(fd, "hello", 5);
    ck_assert_int_eq(recv(fd, &first, 1, MSG_PEEK), 1);

    kill(service.pid, SIGTERM);
    until_refused();
    kill(service.pid, SIGINT);

    assert_ends_well();
    close(fd);
}
END_TEST

START_TEST(who_neither_reads_nor_sends_does_not_keep_it_from_its_end)
{
    enum { LEN = 1 << 16 };
    char option[] = "--idle-timeout=1";
    struct random random = fixture_random("idle");
    uint8_t *in = malloc(LEN);
    start(option);
    int silent = fixture_connect(service.port), deaf = fixture_connect(service.port);
    struct timeval soon = {.tv_usec = 200000};   /* nothing was taken meanwhile */
    ck_assert_int_eq(setsockopt(deaf, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon), 0);
    for (unsigned refused = 0; refused < 2;) {   /* once may be a service that has not had a CPU for so long */
        for (size_t i = 0; i < LEN; i += sizeof(uint64_t))
            memcpy(in + i, &(uint64_t){random_next(&random)}, sizeof(uint64_t));
        refused = send(deaf, in, LEN, MSG_NOSIGNAL) < 0 ? refused + 1 : 0;
    }

    drain();

    close(silent);
    close(deaf);
    free(in);
}
END_TEST

START_TEST(numbers_that_are_none_are_refused)
{
    static const char *const wrong[] = {"--port=70000", "--port=-1", "--port=", "--port=8x", "--ping-port=65536", "--workers=0",
                                        "--workers=9999", "--idle-timeout=0", "--idle-timeout=1e3"};
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(STDERR_FILENO);
        execl(GZPIPE, "gzpipe", wrong[_i], NULL);
        _exit(127);
    }

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);

    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 2);
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
START_TEST(a_task_without_memory_closes_its_client_alone)
{
    uint8_t byte;
    struct rlimit before, none;
    int pinger = fixture_connect(service.ping_port);
    ping(pinger);
    ck_assert_int_eq(prlimit(service.pid, RLIMIT_DATA, NULL, &before), 0);
    none = (struct rlimit){.rlim_cur = 4096, .rlim_max = before.rlim_max};   /* it has more: it gets none (0 is no limit) */

    ck_assert_int_eq(prlimit(service.pid, RLIMIT_DATA, &none, NULL), 0);
    int fd = fixture_connect(service.port);
    fixture_write(fd, "hello", 5);
    ck_assert_int_eq(recv(fd, &byte, 1, 0), -1);   /* a reset: what it has must not look complete */
    ping(pinger);
    ck_assert_int_eq(prlimit(service.pid, RLIMIT_DATA, &before, NULL), 0);

    assert_serves(BYTES);
    close(fd);
    close(pinger);
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("gzpipe");
    TCase *answers = tcase_create("answers"), *ends = tcase_create("ends"), *other = tcase_create("inline");
    tcase_set_timeout(answers, 30);
    tcase_set_timeout(ends, 30);
    tcase_set_timeout(other, 30);
    tcase_add_checked_fixture(answers, on_pool, drain);
    tcase_add_test(answers, eight_clients_at_once_get_back_what_they_sent);
    tcase_add_test(answers, nothing_and_one_byte_are_gzip_files_too);
    tcase_add_test(answers, answers_come_before_the_input_has_ended);
    tcase_add_test(answers, clients_that_vanish_in_the_middle_hurt_nobody);
    tcase_add_test(answers, a_client_that_does_not_read_is_read_no_more);
    tcase_add_test(answers, a_ping_is_answered_though_its_client_half_closes_at_once);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    tcase_add_test(answers, a_task_without_memory_closes_its_client_alone);
#endif
    suite_add_tcase(suite, answers);
    tcase_add_checked_fixture(ends, on_pool, NULL);
    tcase_add_test(ends, sigterm_serves_who_is_here_and_exits);
    tcase_add_test(ends, a_second_signal_ends_it_at_once);
    suite_add_tcase(suite, ends);
    tcase_add_test(other, who_neither_reads_nor_sends_does_not_keep_it_from_its_end);
    tcase_add_loop_test(other, numbers_that_are_none_are_refused, 0, 9);
    tcase_add_test(other, an_inline_pool_answers_the_same);
    suite_add_tcase(suite, other);
    return fixture_run(suite);
}
