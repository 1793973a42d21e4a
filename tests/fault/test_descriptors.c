/* test_descriptors.c — no descriptor is left: whatever opens one says -EMFILE, from the call or by its callback, once, keeps none, and
 * works as soon as there are some again. Processes, workers, names and listeners that accept have tests of their own.
 */
#include <signal.h>
#include <sys/resource.h>
#include <sys/un.h>

#include "support/fixture.h"

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_timer home;             /* the handle of what is done with paths */
static int told;                          /* what the callback said; 1: nothing */
static unsigned tells;
static char address[64], path_address[128];

static void note(int status)
{
    told = status;
    tells++;
}

static void never(struct job_timer *timer)
{
    (void)timer;
}

/* Each opens one thing, waits for what is told, and closes it. */

static struct job_stream stream;

static void no_data(struct job_stream *s, struct job_buf **in)
{
    (void)s, (void)in;
}

static void connected(struct job_stream *s, int status)
{
    note(status);
    job_stream_close(s);
}

static int connects(const char *to)
{
    static const struct job_stream_events events = {.data = no_data, .connected = connected};
    int err = job_stream_connect(loop, &stream, to, NULL, &events);
    ck_assert_ok(job_loop_run(loop));
    return err;
}

static int connects_by_tcp(void)
{
    return connects(address);
}

static int connects_by_path(void)
{
    return connects(path_address);
}

static struct job_file file;

static void opened(struct job_file *f, int status)
{
    note(status);
    job_file_close(f, NULL);
}

static int opens_a_file(void)
{
    static const struct job_file_options options = {.path = {.name = "/proc/self/exe"}, .flags = O_RDONLY};
    int err = job_file_open(loop, &file, &options, opened);
    ck_assert_ok(job_loop_run(loop));
    return err;
}

static struct job_file_op op;

static void ended(struct job_file_op *o, int status, struct job_buf **buf)
{
    (void)o;
    note(status);
    if (status < 0)
        ck_assert_ptr_null(*buf);
    job_timer_close(&home, NULL);
}

static int goes_by_path(int (*begin)(void))
{
    ck_assert_ok(job_timer_open(loop, &home, never));
    int err = begin();
    if (err < 0)
        job_timer_close(&home, NULL);
    ck_assert_ok(job_loop_run(loop));
    return err;
}

static int begin_load(void)
{
    static const struct job_path path = {.name = "/proc/self/stat"};
    return job_path_load(&home.handle, &op, &path, 1 << 20, ended);
}

static int begin_list(void)
{
    static const struct job_path path = {.name = "/"};
    return job_path_list(&home.handle, &op, &path, ended);
}

static int loads(void)
{
    return goes_by_path(begin_load);
}

static int lists(void)
{
    return goes_by_path(begin_list);
}

static void accepted(struct job_listener *l, struct job_incoming *incoming)
{
    (void)l, (void)incoming;
}

static int listens(void)
{
    static struct job_listener listener;
    int err = job_listener_open(loop, &listener, NULL, accepted);
    if (err == 0)
        job_listener_close(&listener, NULL);
    ck_assert_ok(job_loop_run(loop));
    return err;
}

static void changed(struct job_watch *w, struct job_watch_entry *entry, const struct job_watch_event *event)
{
    (void)w, (void)entry, (void)event;
}

static int watches(void)
{
    static struct job_watch watch;
    int err = job_watch_open(loop, &watch, changed);
    if (err == 0)
        job_watch_close(&watch, NULL);
    ck_assert_ok(job_loop_run(loop));
    return err;
}

static void caught(struct job_signal *s, int number)
{
    (void)s, (void)number;
}

static int catches_signals(void)
{
    static struct job_signal handler;
    int err = job_signal_open(loop, &handler, (int[]){SIGUSR1}, 1, caught);
    if (err == 0)
        job_signal_close(&handler, NULL);
    ck_assert_ok(job_loop_run(loop));
    return err;
}

static int opens_a_loop(void)
{
    struct job_loop *other = NULL;
    int err = job_loop_open(runtime, &other, NULL);
    ck_assert_int_eq(job_loop_close(&other, 0), 0);
    return err;
}

static int opens_a_runtime(void)
{
    struct job_runtime *other = NULL;
    int err = job_runtime_open(&other, NULL);
    ck_assert_int_eq(job_runtime_close(&other), 0);
    return err;
}

static int shares_a_region(void)
{
    struct job_region *region = NULL;
    int err = job_region_open_with(runtime, &(struct job_region_options){.size = 4096, .is_shared = true}, &region);
    job_region_release(&region);
    return err;
}

static const struct opener {
    const char *name;
    int (*open)(void);
    bool is_told;                         /* by a callback as well, when the call has said 0 */
} openers[] = {
    {"connect by TCP", connects_by_tcp, true}, {"connect by path", connects_by_path, true},
    {"open a file", opens_a_file, true},       {"load a file", loads, true},
    {"list a directory", lists, true},         {"listen", listens, false},
    {"watch", watches, false},                 {"catch signals", catches_signals, false},
    {"open a loop", opens_a_loop, false},      {"open a runtime", opens_a_runtime, false},
    {"share a region", shares_a_region, false},
};

/* What the opener says, by its call or its callback. */
static int result_of(const struct opener *opener)
{
    told = 1;
    tells = 0;
    int err = opener->open();
    ck_assert_msg(tells == (opener->is_told && err == 0), "%s: the call said %d, the callback came %u times", opener->name, err, tells);
    return tells ? told : err;
}

static int hoard[64];
static unsigned hoarded;

static void leave(unsigned descriptors)
{
    static struct rlimit before;
    if (hoarded == 0 && descriptors == 0) {
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
        int highest = dup(0);
        struct rlimit low = {(rlim_t)highest + 8, before.rlim_max};
        close(highest);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
        while ((hoard[hoarded] = dup(0)) >= 0)
            ck_assert_uint_lt(++hoarded, 60);
    }
    while (descriptors-- > 0 && hoarded > 0)
        close(hoard[--hoarded]);
    if (hoarded == 0)
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static int listen_at(struct sockaddr *at, socklen_t len, int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, at, len), 0);
    ck_assert_int_eq(listen(fd, 64), 0);
    return fd;
}

START_TEST(without_a_descriptor_it_is_said_once_and_with_some_it_works)
{
    const struct opener *opener = &openers[_i];
    struct sockaddr_in tcp = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    socklen_t len = sizeof tcp;
    int name_len = snprintf(path.sun_path + 1, sizeof path.sun_path - 1, "test_descriptors-%d", (int)getpid());
    (void)snprintf(path_address, sizeof path_address, "unix:@%s", path.sun_path + 1);
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    int listeners[2] = {
        listen_at((struct sockaddr *)&tcp, sizeof tcp, AF_INET),
        listen_at((struct sockaddr *)&path, (socklen_t)(sizeof(sa_family_t) + 1) + (socklen_t)name_len, AF_UNIX),
    };
    ck_assert_int_eq(getsockname(listeners[0], (struct sockaddr *)&tcp, &len), 0);
    snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(tcp.sin_port));
    ck_assert_int_ge(result_of(opener), 0);   /* threads that it needs are there */
    int descriptors = fixture_descriptors();

    leave(0);
    for (unsigned i = 0; i < 20; i++)
        ck_assert_int_eq(result_of(opener), -EMFILE);
    while (hoarded > 0) {                     /* one free, two … : enough for a part of what it needs */
        int result = result_of(opener);
        ck_assert_msg(result == -EMFILE || result >= 0, "%s: %s", opener->name, job_strerror(result));
        leave(1);
    }

    ck_assert_int_ge(result_of(opener), 0);
    ck_assert_int_eq(fixture_descriptors(), descriptors);
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    fixture_close(runtime);
    close(listeners[0]);
    close(listeners[1]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("descriptors");
    TCase *tcase = tcase_create("descriptors");
    tcase_set_timeout(tcase, 10);
    tcase_add_loop_test(tcase, without_a_descriptor_it_is_said_once_and_with_some_it_works, 0,
                        sizeof openers / sizeof openers[0]);
    suite_add_tcase(suite, tcase);
    if (job_signals_block((int[]){SIGUSR1}, 1) < 0)
        return EXIT_FAILURE;
    return fixture_run(suite);
}
