/* fixture.h — what tests of the whole library share: a runtime that must be empty again, a seed that is printed, a watchdog.
 *
 * Header only: each test is one program.
 */
#ifndef TESTS_SUPPORT_FIXTURE_H
#define TESTS_SUPPORT_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <job/job.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "support/assertions.h"

#define ck_assert_ok(call)                                                                                             \
    do {                                                                                                               \
        int ck_result = (call);                                                                                        \
        ck_assert_msg(ck_result >= 0, "%s: %s", #call, job_strerror(ck_result));                                       \
    } while (0)

static inline void fixture_log(void *arg, enum job_log_level level, const char *text)
{
    (void)arg;
    if (level <= JOB_LOG_ERROR || getenv("TEST_VERBOSE"))
        fprintf(stderr, "log %d: %s\n", (int)level, text);
}

static inline struct job_runtime *fixture_runtime(void)
{
    struct job_runtime *runtime = NULL;
    ck_assert_ok(job_runtime_open(&runtime, &(struct job_runtime_options){.name = "test", .log = fixture_log}));
    return runtime;
}

/* Everything must have ended: the library's own ledger says so. */
static inline void fixture_close(struct job_runtime *runtime)
{
    struct job_counts counts;
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.bufs, 0);
    ck_assert_uint_eq(counts.views, 0);
    ck_assert_uint_eq(counts.wraps, 0);
    ck_assert_uint_eq(counts.tasks, 0);
    ck_assert_uint_eq(counts.handles, 0);
    ck_assert_uint_eq(counts.regions, 0);
    ck_assert_int_eq(job_runtime_close(&runtime), 0);
    ck_assert_ptr_null(runtime);
}

/* A call that ends the run. */
static inline void fixture_stop(struct job_call *call)
{
    (void)call;
    job_loop_stop(job_loop_current());
}

/* Some turns, also when nothing keeps the loop alive. */
static inline void fixture_turns(struct job_loop *loop, unsigned count)
{
    while (count-- > 0) {
        struct job_call call = {.run = fixture_stop};
        ck_assert_ok(job_loop_call(loop, &call));
        ck_assert_int_eq(job_loop_run(loop), 1);
    }
}

/* A small fast generator; every random test prints its seed and takes SEED from the environment. */
struct random {
    uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
    uint64_t z = (random->state += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static inline uint64_t random_below(struct random *random, uint64_t bound)
{
    return random_next(random) % bound;
}

static inline struct random fixture_random(const char *test)
{
    const char *text = getenv("SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL) * 1000003U + (uint64_t)getpid();
    fprintf(stderr, "%s: SEED=%llu\n", test, (unsigned long long)seed);
    return (struct random){seed};
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { FIXTURE_SLOWER = 10 };
#else
enum { FIXTURE_SLOWER = 1 };
#endif

/* How often a long test repeats itself: under a sanitizer a tenth, since each time costs there ten times as much. The environment
 * variable `name` says it exactly. */
static inline unsigned fixture_rounds(const char *name, unsigned rounds)
{
    const char *text = getenv(name);
    return text ? (unsigned)atoi(text) : (rounds + FIXTURE_SLOWER - 1) / FIXTURE_SLOWER;
}

/* Between two looks at what another thread is to do: for (unsigned looks = 0; !is_done; fixture_pause(&looks)). After many looks a short
 * sleep, and not a yield, by which a thread waits for all others of a busy machine each time. The watchdog is check's time-out. */
static inline void fixture_pause(unsigned *looks)
{
    if (++*looks % 256 == 0)
        (void)usleep(1);
    else
        job_cpu_relax();
}

static inline int fixture_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 4096; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static inline void fixture_write(int fd, const void *bytes, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = send(fd, (const char *)bytes + done, len - done, MSG_NOSIGNAL);
        ck_assert_msg(n > 0, "send: %s", strerror(errno));
        done += (size_t)n;
    }
}

static inline size_t fixture_read(int fd, void *bytes, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = recv(fd, (char *)bytes + done, len - done, 0);
        ck_assert_msg(n >= 0, "recv: %s", strerror(errno));
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return done;
}

static inline void fixture_pair(int fds[2])
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

static inline int fixture_connect(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_msg(connect(fd, (struct sockaddr *)&address, sizeof address) == 0, "connect: %s", strerror(errno));
    return fd;
}

/* A connected pair of TCP sockets. */
static inline void fixture_tcp_pair(int fds[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    fds[0] = fixture_connect(ntohs(address.sin_port));
    fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(fds[1], 0);
    close(listener);
}

/* Closes a TCP socket by a reset. */
static inline void fixture_reset(int fd)
{
    static const struct linger at_once = {.l_onoff = 1};
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(fd);
}

static inline int fixture_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
