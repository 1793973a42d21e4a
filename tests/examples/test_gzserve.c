/* test_gzserve.c — gzserve as a process of its own: many clients, a full pool, too little memory, clients that dawdle, and its end. */
#include "support/fixture.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { CLIENTS = 32, OPTIONS_MAX = 32, BODY_LEN = 1 << 20 };

struct service {
    pid_t pid;
    uint16_t port;
};

static struct service service;
static unsigned without;                              /* standard descriptors that it is started without, a bit each */
static rlim_t descriptors;                            /* how many it may have; 0: as many as we */
static char root[] = "/tmp/gzserve.XX" "XX" "XX";   /* mkdtemp() */

/* No busy machine, on which a pool of nice 19 may get hardly any CPU, is so late. */
static const char *const patient[] = {"--head-timeout", "600", "--body-timeout", "600", "--idle-timeout", "600",
                                      "--send-timeout", "600", "--queue-timeout", "600", NULL};

/* Options up to NULL; of each the last counts, so a test of a time-out gives it. */
static void start(const char *option, ...)
{
    int ends[2];
    char line[64] = "";
    char *arguments[OPTIONS_MAX + 1] = {(char *)"gzserve", (char *)"--root", root, (char *)"--listen", (char *)"127.0.0.1:0"};
    unsigned count = 5;
    va_list list;
    for (const char *const *at = patient; *at; at++)
        arguments[count++] = (char *)(uintptr_t)*at;
    va_start(list, option);
    for (; option; option = va_arg(list, const char *)) {
        ck_assert_uint_lt(count, OPTIONS_MAX);
        arguments[count++] = (char *)option;
    }
    va_end(list);
    ck_assert_int_eq(pipe(ends), 0);
    service.pid = fork();
    ck_assert_int_ge(service.pid, 0);
    if (service.pid == 0) {
        if (descriptors > 0)
            (void)setrlimit(RLIMIT_NOFILE, &(struct rlimit){descriptors, descriptors});
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        for (int i = 0; i < 3; i++) {
            if (without & 1U << i)
                close(i);
        }
        execv(GZSERVE, arguments);
        _exit(127);
    }
    close(ends[1]);
    FILE *out = fdopen(ends[0], "r");
    ck_assert_ptr_nonnull(fgets(line, sizeof line, out));
    ck_assert_int_eq(sscanf(line, "port %hu", &service.port), 1);
    fclose(out);
}

static void assert_ends_well(void)
{
    int status = -1;
    ck_assert_int_eq(waitpid(service.pid, &status, 0), service.pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "gzserve: status %#x", (unsigned)status);
}

static void drain(void)
{
    ck_assert_int_eq(kill(service.pid, SIGTERM), 0);
    assert_ends_well();
}

static int client(void)
{
    return fixture_connect(service.port);
}

static void ask(int fd, const char *request)
{
    fixture_write(fd, request, strlen(request));
}

#define GET(target) "GET " target " HTTP/1.1\r\nHost: a\r\n\r\n"

/* Reads one answer with a length. Returns its status, 0: the connection has ended or was reset. *body, if wanted, is to be freed. */
static int receive(int fd, char **body, size_t *body_len)
{
    char head[2048];
    size_t len = 0;
    int status = 0;
    while (len < 4 || memcmp(head + len - 4, "\r\n\r\n", 4) != 0) {
        ck_assert_uint_lt(len, sizeof head - 1);
        if (recv(fd, head + len, 1, 0) <= 0)
            return 0;
        len++;
    }
    head[len] = '\0';
    ck_assert_int_eq(sscanf(head, "HTTP/1.1 %d ", &status), 1);
    const char *length = strstr(head, "Content-Length:");
    size_t wanted = length ? strtoul(length + 16, NULL, 10) : 0, got = 0;
    char *bytes = malloc(wanted + 1);
    for (ssize_t n; got < wanted && (n = recv(fd, bytes + got, wanted - got, 0)) > 0;)
        got += (size_t)n;
    ck_assert_uint_eq(got, wanted);
    bytes[got] = '\0';
    if (body_len)
        *body_len = got;
    if (body)
        *body = bytes;
    else
        free(bytes);
    return status;
}

static void assert_answer(int fd, int status, const char *wanted)
{
    char *body = NULL;
    ck_assert_int_eq(receive(fd, &body, NULL), status);
    ck_assert_str_eq(body, wanted);
    free(body);
}

/* True: the service has closed; nothing more was sent. */
static bool has_closed(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

/* Connects and asks once more as long as the service has given up before it was asked: its options allow that, and we may be too late.
 * Returns the status; *fd is open. */
static int ask_in_time(const char *request, int *fd)
{
    int status;
    for (;;) {
        *fd = client();
        (void)send(*fd, request, strlen(request), MSG_NOSIGNAL);
        if ((status = receive(*fd, NULL, NULL)) != 0)
            return status;
        close(*fd);
    }
}

static uint64_t figure(const char *name)
{
    char *page = NULL;
    int fd = client();
    ask(fd, GET("/stats"));
    ck_assert_int_eq(receive(fd, &page, NULL), 200);
    char wanted[64];
    (void)snprintf(wanted, sizeof wanted, "\n%s ", name);
    const char *line = strstr(page, wanted);
    ck_assert_ptr_nonnull(line);
    uint64_t value = strtoull(line + strlen(wanted), NULL, 10);
    free(page);
    close(fd);
    return value;
}

START_TEST(tasks_that_finish_out_of_order_are_answered_in_order)
{
    start("--workers", "2", NULL);
    int fd = client();

    ask(fd, GET("/cpu?n=1000000") GET("/fast") GET("/cpu?n=10") "POST /xor?k=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
            GET("/nothing") GET("/cpu?n=100"));

    assert_answer(fd, 200, "78498\n");
    assert_answer(fd, 200, "fast\n");
    assert_answer(fd, 200, "4\n");
    assert_answer(fd, 200, "`cb");
    assert_answer(fd, 404, "Not Found\n");
    assert_answer(fd, 200, "25\n");
    close(fd);
    drain();
}
END_TEST

START_TEST(more_requests_in_a_row_than_it_takes_at_once_are_all_answered)
{
    enum { COUNT = 2000 };
    start("--workers", "2", "--queue", "4", NULL);
    int fd = client();
    for (unsigned i = 0; i < COUNT; i++)
        ask(fd, i % 2 ? GET("/cpu?n=100") : GET("/fast"));

    for (unsigned i = 0; i < COUNT; i++)
        assert_answer(fd, 200, i % 2 ? "25\n" : "fast\n");

    close(fd);
    drain();
}
END_TEST

START_TEST(a_full_pool_answers_everybody_and_fast_meanwhile)
{
    int fds[CLIENTS];
    start("--workers", "1", "--queue", "2", NULL);
    int fast = client();
    do {   /* until it was full: it may be faster than we */
        for (unsigned i = 0; i < CLIENTS; i++)
            ask(fds[i] = client(), GET("/cpu?n=50000"));

        for (unsigned i = 0; i < 10; i++) {
            ask(fast, GET("/fast"));
            assert_answer(fast, 200, "fast\n");
        }

        for (unsigned i = 0; i < CLIENTS; i++) {
            assert_answer(fds[i], 200, "5133\n");
            close(fds[i]);
        }
    } while (figure("gzserve_pool_tasks_refused_total") == 0);
    close(fast);
    drain();
}
END_TEST

START_TEST(a_pool_that_cannot_keep_up_says_503_to_some_and_answers_all)
{
    enum { COUNT = 100 };
    unsigned served = 0, refused = 0;
    int fds[COUNT];
#ifdef JOB_SMALL   /* with a queue of four tasks the others wait in their sockets, which nobody counts */
    bool must_refuse = false;
#else
    bool must_refuse = true;
#endif
    start("--workers", "1", "--queue-timeout", "0.05", NULL);
    do {   /* until there was one of each: which, is a matter of time */
        for (unsigned i = 0; i < COUNT; i++)
            ask(fds[i] = client(), GET("/cpu?n=100000"));

        for (unsigned i = 0; i < COUNT; i++) {
            int status = receive(fds[i], NULL, NULL);
            ck_assert_msg(status == 200 || status == 503, "status %d", status);
            served += status == 200;
            refused += status == 503;
            close(fds[i]);
        }
    } while (served == 0 || (must_refuse && refused == 0));
    drain();
}
END_TEST

static atomic_uint served, short_of_memory;

static void *post_a_mebibyte(void *arg)
{
    char head[] = "POST /xor?k=90 HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n", *body = NULL;
    char *bytes = malloc(BODY_LEN);
    size_t len = 0;
    memset(bytes, 'x', BODY_LEN);
    for (unsigned round = 0; round < 4; round++) {
        int fd = client();
        (void)send(fd, head, strlen(head), MSG_NOSIGNAL);
        for (size_t sent = 0; sent < BODY_LEN;) {   /* a refusal may come in the middle */
            ssize_t n = send(fd, bytes + sent, BODY_LEN - sent, MSG_NOSIGNAL);
            if (n <= 0)
                break;
            sent += (size_t)n;
        }
        int status = receive(fd, &body, &len);
        ck_assert_msg(status == 200 || status == 503, "status %d", status);
        if (status == 200) {
            ck_assert_uint_eq(len, BODY_LEN);
            ck_assert(body[0] == ('x' ^ 90) && memcmp(body, body + 1, len - 1) == 0);
        }
        atomic_fetch_add(status == 200 ? &served : &short_of_memory, 1);
        free(body);
        close(fd);
    }
    free(bytes);
    return arg;
}

START_TEST(with_too_little_memory_everybody_is_served_or_told_503)
{
    pthread_t threads[CLIENTS];
    start("--memory", "33554432", "--workers", "2", NULL);

    for (unsigned i = 0; i < CLIENTS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, post_a_mebibyte, NULL), 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);

    ck_assert_uint_eq(atomic_load(&served) + atomic_load(&short_of_memory), CLIENTS * 4);
    ck_assert_uint_gt(atomic_load(&served), 0);
    while (figure("gzserve_body_bytes") > 0)   /* an answer that was received may not be known to be sent */
        ;
    drain();
}
END_TEST

START_TEST(a_body_that_is_only_promised_takes_no_memory_from_others)
{
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
    char line[sizeof interim] = "";
    start("--memory", "67108864", NULL);
    int promises = client(), fd = client();
    ask(promises, "POST /gzip HTTP/1.1\r\nHost: a\r\nContent-Length: 16777216\r\nExpect: 100-continue\r\n\r\n");
    ck_assert_uint_eq(fixture_read(promises, line, sizeof interim - 1), sizeof interim - 1);
    ck_assert_str_eq(line, interim);   /* it has seen the promise, and would have room */

    ask(fd, "POST /xor?k=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_answer(fd, 200, "`cb");
    ask(promises, "abc");
    uint64_t taken;
    while ((taken = figure("gzserve_body_bytes")) == 0)
        ;

    ck_assert_uint_le(taken, 4096);
    close(promises);
    close(fd);
    drain();
}
END_TEST

START_TEST(a_body_of_one_byte_is_charged_with_its_slot)
{
    enum { LEAST = 3500 };   /* of a slot of 4096 bytes, some are the headroom */
    int fds[CLIENTS];
    start("--memory", "67108864", NULL);

    for (unsigned i = 0; i < CLIENTS; i++)
        ask(fds[i] = client(), "POST /gzip HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na");
    while (figure("gzserve_body_bytes") < CLIENTS * LEAST)
        ;

    for (unsigned i = 0; i < CLIENTS; i++) {
        ask(fds[i], "b");   /* it lies behind the first, and costs nothing */
        ck_assert_int_eq(receive(fds[i], NULL, NULL), 200);
        close(fds[i]);
    }
    while (figure("gzserve_body_bytes") > 0)
        ;
    drain();
}
END_TEST

START_TEST(a_body_that_comes_steadily_and_too_slowly_hears_408)
{
    char piece[16384] = "";
    start("--body-timeout", "0.3", "--body-rate", "1073741824", NULL);
    int fd = client(), status = 0;
    struct pollfd answer = {.fd = fd, .events = POLLIN};
    ask(fd, "POST /gzip HTTP/1.1\r\nHost: a\r\nContent-Length: 16777216\r\n\r\n");

    for (unsigned i = 0; i < 1024 && poll(&answer, 1, 10) == 0; i++)   /* each in time, and bytes enough */
        (void)send(fd, piece, sizeof piece, MSG_NOSIGNAL);
    status = receive(fd, NULL, NULL);

    ck_assert_int_eq(status, 408);
    close(fd);
    drain();
}
END_TEST

START_TEST(who_takes_too_long_for_a_head_or_a_body_hears_408)
{
    start("--head-timeout", "0.1", "--body-timeout", "0.1", NULL);
    int head, body, silent = client(), second;

    ck_assert_int_eq(ask_in_time("GET /fast HTTP/1.1\r\nHo", &head), 408);
    ck_assert_int_eq(ask_in_time("POST /gzip HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc", &body), 408);
    ck_assert_int_eq(ask_in_time(GET("/fast") "G", &second), 200);
    ck_assert_int_eq(receive(second, NULL, NULL), 408);
    ck_assert(has_closed(head) && has_closed(body) && has_closed(second));
    ck_assert(has_closed(silent));   /* it has asked for nothing */
    close(head);
    close(body);
    close(second);
    close(silent);
    drain();
}
END_TEST

START_TEST(a_head_that_comes_byte_by_byte_does_not_put_its_time_off)
{
    start("--head-timeout", "0.3", NULL);
    int status = 0;

    while (status == 0) {   /* 0: we came with the first too late */
        int fd = client();
        struct pollfd answer = {.fd = fd, .events = POLLIN};
        (void)send(fd, "GET /fast HTTP/1.1\r\nX:", 22, MSG_NOSIGNAL);
        while (poll(&answer, 1, 10) == 0)
            (void)send(fd, "x", 1, MSG_NOSIGNAL);
        status = receive(fd, NULL, NULL);
        close(fd);
    }

    ck_assert_int_eq(status, 408);
    drain();
}
END_TEST

START_TEST(who_is_idle_for_too_long_is_closed_without_a_word)
{
    start("--idle-timeout", "0.1", NULL);
    int fd = client();
    ask(fd, GET("/fast"));

    assert_answer(fd, 200, "fast\n");

    ck_assert(has_closed(fd));
    close(fd);
    drain();
}
END_TEST

START_TEST(who_waits_for_the_pool_is_not_idle)
{
    start("--idle-timeout", "0.05", "--workers", "1", NULL);   /* of the first request it is the head's time that counts */
    int fd = client();
    ask(fd, GET("/cpu?n=1000000"));

    assert_answer(fd, 200, "78498\n");

    close(fd);
    drain();
}
END_TEST

static void make_large_file(void)
{
    char path[64], block[4096];
    (void)snprintf(path, sizeof path, "%s/large", root);
    FILE *file = fopen(path, "w");
    for (unsigned i = 0; i < 16384; i++) {
        memset(block, (int)i, sizeof block);
        ck_assert_uint_eq(fwrite(block, sizeof block, 1, file), 1);
    }
    ck_assert_int_eq(fclose(file), 0);
}

START_TEST(who_does_not_take_a_large_answer_holds_little_and_is_reset)
{
    start("--send-timeout", "0.5", NULL);
    make_large_file();
    int fd = client();
    ask(fd, GET("/large"));
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    ck_assert_int_eq(poll(&readable, 1, -1), 1);

    do
        ck_assert_uint_lt(figure("gzserve_memory_used_bytes"), 32 << 20);   /* with the ring and the caches; the file has 64 MiB */
    while (figure("gzserve_answers_cut_off_total") == 0 || figure("gzserve_connections_open") > 1);   /* the one that asks */
    close(fd);
    drain();
}
END_TEST

START_TEST(a_large_file_of_which_a_part_is_missing_is_cut_off)
{
    char path[64], byte[65536];
    start(NULL);
    make_large_file();
    (void)snprintf(path, sizeof path, "%s/large", root);
    int fd = client();
    ask(fd, GET("/large"));
    ck_assert_int_eq(recv(fd, byte, 1, MSG_PEEK), 1);

    ck_assert_int_eq(truncate(path, 4096), 0);
    size_t len = 0;
    ssize_t n;
    while ((n = recv(fd, byte, sizeof byte, 0)) > 0)
        len += (size_t)n;

    ck_assert_uint_lt(len, 64 << 20);
    ck_assert(n < 0 && errno == ECONNRESET);   /* an end of file would look like all of it, to HTTP/1.0 at least */
    close(fd);
    drain();
}
END_TEST

static char head[2048];   /* of the last answer to head_of() */

/* Named large0, large1 and so on, without a block on the disk. */
static void make_large_files(unsigned count, off_t len)
{
    char path[64];
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(path, sizeof path, "%s/large%u", root, i);
        int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        ck_assert_int_eq(ftruncate(fd, len), 0);
        close(fd);
    }
}

/* Asks for the head of an answer: its status. */
static int head_of(int fd, const char *target)
{
    char request[2048];
    size_t len = 0;
    int status = 0;
    (void)snprintf(request, sizeof request, "HEAD %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
    ask(fd, request);
    while (len < 4 || memcmp(head + len - 4, "\r\n\r\n", 4) != 0) {
        ck_assert_uint_lt(len, sizeof head - 1);
        ck_assert_int_eq(recv(fd, head + len++, 1, 0), 1);
    }
    head[len] = '\0';
    ck_assert_int_eq(sscanf(head, "HTTP/1.1 %d ", &status), 1);
    return status;
}

/* A file of six bytes, changed so many seconds ago: the status for its first byte, if it has not changed since. */
static int status_of_part(int fd, const char *name, time_t age, unsigned dates)
{
    char path[64], request[512], date[64] = "", *body = NULL;
    (void)snprintf(path, sizeof path, "%s%s", root, name);
    FILE *file = fopen(path, "w");
    ck_assert(file && fputs("hello\n", file) >= 0 && fclose(file) == 0);
    struct timespec changed = {.tv_sec = time(NULL) - age};
    ck_assert_int_eq(utimensat(AT_FDCWD, path, (struct timespec[]){changed, changed}, 0), 0);
    ck_assert_int_eq(head_of(fd, name), 200);
    ck_assert_int_eq(sscanf(strstr(head, "Last-Modified: "), "Last-Modified: %63[^\r]", date), 1);
    int len = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\nRange: bytes=0-0\r\n", name);
    for (unsigned i = 0; i < dates; i++)
        len += snprintf(request + len, sizeof request - (size_t)len, "If-Range: %s\r\n", date);
    strcat(request, "\r\n");
    ask(fd, request);
    int status = receive(fd, &body, NULL);
    ck_assert_str_eq(body, status == 206 ? "h" : "hello\n");
    free(body);
    return status;
}

START_TEST(a_part_of_a_version_that_may_still_change_within_its_second_is_not_sent)
{
    start(NULL);
    int fd = client();

    ck_assert_int_eq(status_of_part(fd, "/old", 10, 1), 206);
    ck_assert_int_eq(status_of_part(fd, "/young", -100, 1), 200);   /* as if its second were not over when we ask */
    ck_assert_int_eq(status_of_part(fd, "/any", -100, 0), 206);     /* nothing is said of other parts */
    ck_assert_int_eq(status_of_part(fd, "/twice", 10, 2), 200);

    close(fd);
    drain();
}
END_TEST

START_TEST(a_file_of_many_names_is_opened_once)
{
    char target[1024] = "";
    descriptors = 64;
    start(NULL);
    make_large_files(1, 1 << 20);
    int fd = client();

    for (unsigned i = 0; i < 100; i++) {
        static const char *const parts[] = {"/", "/.", "/x/..", "/%2e", "/", "/%78/%2e%2E", "/.."};
        strcat(target, parts[i % 7]);
        char name[1100];
        (void)snprintf(name, sizeof name, "%s/large%%30", target);
        ck_assert_int_eq(head_of(fd, name), 200);
    }

    ck_assert_uint_eq(figure("gzserve_files_open"), 1);
    ck_assert_uint_eq(figure("gzserve_file_cache_files"), 1);
    close(fd);
    drain();
}
END_TEST

START_TEST(who_asks_for_many_large_files_leaves_descriptors_for_others)
{
    char name[32];
    descriptors = 64;
    start(NULL);
    make_large_files(100, 1 << 20);
    int fd = client();

    for (unsigned i = 0; i < 200; i++) {
        (void)snprintf(name, sizeof name, "/large%u", i % 100);
        ck_assert_int_eq(head_of(fd, name), 200);
    }

    ck_assert_uint_eq(figure("gzserve_files_open"), 16);   /* a quarter */
    close(fd);
    drain();
}
END_TEST

/* Descriptors of the service's that are large files. */
static unsigned large_files_open(void)
{
    char path[64], target[128];
    unsigned count = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)service.pid);
    DIR *directory = opendir(path);
    ck_assert_ptr_nonnull(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        ssize_t len = readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1);
        target[len > 0 ? len : 0] = '\0';
        count += strstr(target, "/large") != NULL;
    }
    closedir(directory);
    return count;
}

START_TEST(files_that_are_being_sent_are_counted_as_well)
{
    char requests[512], request[64];
    int fds[4];
    unsigned whole = 0;
    descriptors = 64;
    start("--send-timeout", "120", NULL);   /* three wait until another has been served */
    make_large_files(32, 16 << 20);

    for (unsigned i = 0; i < 4; i++) {
        strcpy(requests, "");
        for (unsigned j = 0; j < 8; j++) {
            (void)snprintf(request, sizeof request, "GET /large%u HTTP/1.1\r\nHost: a\r\n\r\n", i * 8 + j);
            strcat(requests, request);
        }
        ask(fds[i] = client(), requests);   /* at once: behind an answer that nobody takes no request is read */
    }
    while (figure("gzserve_answers_total{status=\"5xx\"}") < 16)   /* twice as many as it may open; nobody takes any */
        ;

    ck_assert_uint_eq(figure("gzserve_files_open"), 16);
    ck_assert_uint_eq(large_files_open(), 16);
    for (unsigned i = 0; i < 4; i++) {
        char *body = NULL;
        whole += receive(fds[i], &body, NULL) == 200;
        free(body);
        close(fds[i]);
    }
    ck_assert_uint_gt(whole, 0);
    while (figure("gzserve_connections_open") > 1)
        ;
    int fd = client();
    for (unsigned i = 0; i < 32; i++) {
        (void)snprintf(request, sizeof request, "/large%u", i);
        ck_assert_int_eq(head_of(fd, request), 200);
    }
    close(fd);
    drain();
}
END_TEST

START_TEST(many_who_ask_at_once_for_many_files_are_all_answered)
{
    enum { ASKS = 8 };   /* of each client: as many as are served at once */
    char requests[1024], request[64];
    int fds[24];
    unsigned count = sizeof fds / sizeof *fds;
    descriptors = 64;
    start(NULL);
    make_large_files(count * ASKS, 1000);   /* these lie in memory: none keeps a descriptor */

    for (unsigned i = 0; i < count; i++) {
        strcpy(requests, "");
        for (unsigned j = 0; j < ASKS; j++) {
            (void)snprintf(request, sizeof request, "GET /large%u HTTP/1.1\r\nHost: a\r\n\r\n", i * ASKS + j);
            strcat(requests, request);
        }
        ask(fds[i] = client(), requests);
    }

    for (unsigned i = 0; i < count; i++) {
        for (unsigned j = 0; j < ASKS; j++)
            ck_assert_int_eq(receive(fds[i], NULL, NULL), 200);
        close(fds[i]);
    }
    drain();
}
END_TEST

START_TEST(a_redirect_says_where_to_however_long_the_name)
{
    char name[256], path[300], target[1024] = "//";
    unsigned moved = 0;
    start(NULL);
    int fd = client();
    memset(name, 0xff, 160);
    for (unsigned i = 0; i < 160; i++)
        strcat(target, "%ff");

    for (unsigned i = 0; i < 40; i++) {   /* it is 482 to 521 bytes long */
        strcpy(name + 160 + i, "");
        (void)snprintf(path, sizeof path, "%s/%s", root, name);
        ck_assert_int_eq(mkdir(path, 0700), 0);
        int status = head_of(fd, target);
        const char *location = strstr(head, "\r\nLocation: /%FF");
        bool is_whole = location && location[strcspn(location + 2, "\r") + 1] == '/';
        ck_assert_msg(is_whole ? status == 301 : status == 414, "%u: %s", i, head);
        moved += status == 301;
        name[160 + i] = 'x';
        strcat(target, "x");
    }

    ck_assert(moved > 0 && moved < 40);
    close(fd);
    drain();
}
END_TEST

START_TEST(without_standard_input_and_error_no_file_and_no_client_takes_their_place)
{
    char path[64], target[64];
    without = 1U << STDIN_FILENO | 1U << STDERR_FILENO;
    start(NULL);
    make_large_files(4, 1 << 20);
    int fds[4];

    for (unsigned i = 0; i < 4; i++) {
        (void)snprintf(path, sizeof path, "/large%u", i);
        ck_assert_int_eq(head_of(fds[i] = client(), path), 200);
    }

    for (int i = 0; i < 3; i += 2) {
        (void)snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)service.pid, i);
        ssize_t len = readlink(path, target, sizeof target);
        ck_assert(len == (ssize_t)strlen("/dev/null") && memcmp(target, "/dev/null", (size_t)len) == 0);
    }
    for (unsigned i = 0; i < 4; i++)
        close(fds[i]);
    drain();
}
END_TEST

START_TEST(clients_that_vanish_hurt_nobody)
{
    struct random random = fixture_random("vanish");
    static const char bytes[] = GET("/cpu?n=20000") "POST /gzip HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                                "5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n" GET("/large");
    struct linger at_once = {.l_onoff = 1};
    start("--workers", "1", NULL);
    make_large_file();

    for (unsigned i = 0; i < 200; i++) {
        int fd = client();
        fixture_write(fd, bytes, 1 + random_below(&random, sizeof bytes - 1));
        if (i % 2)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(fd);
    }

    while (figure("gzserve_connections_open") > 1)
        ;
    ck_assert_uint_eq(figure("gzserve_body_bytes"), 0);
    drain();
}
END_TEST

START_TEST(sigterm_answers_who_has_asked_and_exits)
{
    start("--workers", "1", NULL);
    int busy = client(), idle = client(), half = client();
    ask(idle, GET("/fast"));
    assert_answer(idle, 200, "fast\n");
    ask(half, "POST /gzip HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
    ask(busy, GET("/cpu?n=1000000"));
    while (figure("gzserve_body_bytes") == 0 || figure("gzserve_pool_tasks_open") == 0)
        ;

    kill(service.pid, SIGTERM);

    ck_assert(has_closed(idle));
    assert_answer(busy, 200, "78498\n");
    ck_assert(has_closed(busy));
    ask(half, "lo");
    ck_assert_int_eq(receive(half, NULL, NULL), 200);
    ck_assert(has_closed(half));
    close(busy);
    close(half);
    assert_ends_well();
    close(idle);
}
END_TEST

START_TEST(a_second_signal_ends_it_at_once)
{
    start("--workers", "1", NULL);
    int idle = client(), half = client();
    ask(idle, GET("/fast"));
    assert_answer(idle, 200, "fast\n");
    ask(half, "GET /fa");
    while (figure("gzserve_connections_open") < 3)
        ;

    kill(service.pid, SIGTERM);
    ck_assert(has_closed(idle));   /* it has seen the first */
    kill(service.pid, SIGINT);

    assert_ends_well();
    close(half);
    close(idle);
}
END_TEST

START_TEST(more_connections_than_allowed_wait_until_one_ends)
{
    start("--connections", "2", NULL);
    int first = client(), second = client();
    ask(first, GET("/fast"));
    assert_answer(first, 200, "fast\n");
    ask(second, GET("/fast"));
    assert_answer(second, 200, "fast\n");

    int third = client();   /* the kernel has taken it */
    ask(third, GET("/fast"));
    ask(first, GET("/fast"));
    assert_answer(first, 200, "fast\n");
    ck_assert_int_eq(recv(third, &(char){0}, 1, MSG_DONTWAIT), -1);
    close(first);
    assert_answer(third, 200, "fast\n");

    close(second);
    close(third);
    drain();
}
END_TEST

static void make_root(void)
{
    strcpy(root, "/tmp/gzserve.XX" "XX" "XX");
    ck_assert_ptr_nonnull(mkdtemp(root));
}

static void remove_root(void)
{
    DIR *directory = opendir(root);
    ck_assert_ptr_nonnull(directory);
    for (struct dirent *entry; (entry = readdir(directory));)
        (void)unlinkat(dirfd(directory), entry->d_name, entry->d_type == DT_DIR ? AT_REMOVEDIR : 0);   /* not "..": it is not empty */
    closedir(directory);
    ck_assert_int_eq(rmdir(root), 0);
}

int main(void)
{
    Suite *suite = suite_create("gzserve");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 60);
    tcase_add_checked_fixture(all, make_root, remove_root);
    tcase_add_test(all, tasks_that_finish_out_of_order_are_answered_in_order);
    tcase_add_test(all, more_requests_in_a_row_than_it_takes_at_once_are_all_answered);
    tcase_add_test(all, a_full_pool_answers_everybody_and_fast_meanwhile);
    tcase_add_test(all, a_pool_that_cannot_keep_up_says_503_to_some_and_answers_all);
    tcase_add_test(all, with_too_little_memory_everybody_is_served_or_told_503);
    tcase_add_test(all, a_body_that_is_only_promised_takes_no_memory_from_others);
    tcase_add_test(all, a_body_of_one_byte_is_charged_with_its_slot);
    tcase_add_test(all, a_body_that_comes_steadily_and_too_slowly_hears_408);
    tcase_add_test(all, who_takes_too_long_for_a_head_or_a_body_hears_408);
    tcase_add_test(all, a_head_that_comes_byte_by_byte_does_not_put_its_time_off);
    tcase_add_test(all, who_is_idle_for_too_long_is_closed_without_a_word);
    tcase_add_test(all, who_waits_for_the_pool_is_not_idle);
    tcase_add_test(all, who_does_not_take_a_large_answer_holds_little_and_is_reset);
    tcase_add_test(all, a_large_file_of_which_a_part_is_missing_is_cut_off);
    tcase_add_test(all, a_part_of_a_version_that_may_still_change_within_its_second_is_not_sent);
    tcase_add_test(all, a_file_of_many_names_is_opened_once);
    tcase_add_test(all, who_asks_for_many_large_files_leaves_descriptors_for_others);
    tcase_add_test(all, files_that_are_being_sent_are_counted_as_well);
    tcase_add_test(all, many_who_ask_at_once_for_many_files_are_all_answered);
    tcase_add_test(all, a_redirect_says_where_to_however_long_the_name);
    tcase_add_test(all, without_standard_input_and_error_no_file_and_no_client_takes_their_place);
    tcase_add_test(all, clients_that_vanish_hurt_nobody);
    tcase_add_test(all, sigterm_answers_who_has_asked_and_exits);
    tcase_add_test(all, a_second_signal_ends_it_at_once);
    tcase_add_test(all, more_connections_than_allowed_wait_until_one_ends);
    suite_add_tcase(suite, all);
    return fixture_run(suite);
}
