/* test_listener.c — open, accept, what is not taken, running out of descriptors, close, and every refusal. */
#include <netinet/tcp.h>
#include <sys/resource.h>

#include "support/fixture.h"

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_listener listener;
static unsigned accepted_count, closed_count;
static int taken[64];

static void setup(void)
{
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    accepted_count = closed_count = 0;
}

static void teardown(void)
{
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    fixture_close(runtime);
}

static void closed(struct job_listener *l)
{
    ck_assert_ptr_eq(l, &listener);
    closed_count++;
}

static void leaves(struct job_listener *l, struct job_incoming *incoming)
{
    ck_assert_ptr_eq(incoming->listener, l);
    int one = 0;
    socklen_t len = sizeof one;
    ck_assert_int_eq(getsockopt(incoming->fd, IPPROTO_TCP, TCP_NODELAY, &one, &len), 0);
    ck_assert_int_ne(one, 0);
    ck_assert_int_ne(fcntl(incoming->fd, F_GETFD) & FD_CLOEXEC, 0);
    accepted_count++;
    job_listener_close(l, closed);
    job_listener_close(l, NULL);
    ck_assert_uint_eq(closed_count, 0);
}

START_TEST(what_the_callback_does_not_take_is_closed_and_close_inside_it_comes_later_and_once)
{
    int descriptors = fixture_descriptors();
    ck_assert_ok(job_listener_open(loop, &listener, NULL, leaves));
    int client = fixture_connect(job_listener_port(&listener));

    ck_assert_int_eq(job_loop_run(loop), 0);

    char byte;
    ck_assert_int_le(recv(client, &byte, 1, 0), 0);
    close(client);
    ck_assert_uint_eq(accepted_count, 1);
    ck_assert_uint_eq(closed_count, 1);
    ck_assert_int_eq(fixture_descriptors(), descriptors);
}
END_TEST

static void takes_descriptor(struct job_listener *l, struct job_incoming *incoming)
{
    taken[accepted_count++] = incoming->fd;
    incoming->fd = -1;
    if (accepted_count == 3)
        job_listener_close(l, closed);
}

START_TEST(a_descriptor_that_is_taken_stays_open)
{
    int clients[3];
    ck_assert_ok(job_listener_open(loop, &listener, &(struct job_listener_options){.address = "::1"}, takes_descriptor));
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(job_listener_port(&listener)),
                                   .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    for (int i = 0; i < 3; i++) {
        clients[i] = socket(AF_INET6, SOCK_STREAM, 0);
        ck_assert_int_eq(connect(clients[i], (struct sockaddr *)&address, sizeof address), 0);
    }

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(accepted_count, 3);
    for (int i = 0; i < 3; i++) {
        fixture_write(clients[i], "x", 1);
        char byte = 0;
        ck_assert_uint_eq(fixture_read(taken[i], &byte, 1), 1);
        close(taken[i]);
        close(clients[i]);
    }
}
END_TEST

static int hoard[64], hoarded;

/* Another thread's descriptors: no handle of the loop ever closes one. */
static void *frees_one_later(void *arg)
{
    (void)arg;
    for (;;) {
        struct job_loop_stats stats;
        job_loop_stats(loop, &stats);
        if (stats.completions > 0)   /* the first accept has failed */
            break;
        sched_yield();
    }
    close(hoard[--hoarded]);
    return NULL;
}

START_TEST(a_listener_without_descriptors_goes_on_when_somebody_else_frees_one)
{
    struct rlimit before, low;
    pthread_t thread;
    ck_assert_ok(job_listener_open(loop, &listener, NULL, leaves));
    int client = fixture_connect(job_listener_port(&listener));
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    int highest = dup(0);
    low = (struct rlimit){(rlim_t)highest + 8, before.rlim_max};
    close(highest);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    for (hoarded = 0; (hoard[hoarded] = dup(0)) >= 0; hoarded++)
        ck_assert_int_lt(hoarded, 60);
    ck_assert_int_eq(pthread_create(&thread, NULL, frees_one_later, NULL), 0);

    ck_assert_int_eq(job_loop_run(loop), 0);

    pthread_join(thread, NULL);
    ck_assert_uint_eq(accepted_count, 1);
    while (hoarded > 0)
        close(hoard[--hoarded]);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    close(client);
}
END_TEST

static unsigned warned_count;

static void counts_warnings(void *arg, enum job_log_level level, const char *text)
{
    (void)arg, (void)text;
    warned_count += level == JOB_LOG_WARNING;
}

enum { VISITORS = 40 };

static void turns_away(struct job_listener *l, struct job_incoming *incoming)
{
    (void)incoming;
    if (++accepted_count == VISITORS)
        job_listener_close(l, closed);
}

/* One descriptor is free: each connection that is turned away lets the next one in, and accepting pauses again. */
START_TEST(a_listener_at_the_limit_does_not_let_strangers_fill_the_log)
{
    struct job_runtime *other = NULL;
    struct job_loop *other_loop = NULL;
    struct rlimit before, low;
    int clients[VISITORS];
    warned_count = 0;
    ck_assert_ok(job_runtime_open(&other, &(struct job_runtime_options){.log = counts_warnings}));
    ck_assert_ok(job_loop_open(other, &other_loop, NULL));
    ck_assert_ok(job_listener_open(other_loop, &listener, NULL, turns_away));
    for (int i = 0; i < VISITORS; i++)
        clients[i] = fixture_connect(job_listener_port(&listener));
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    int highest = dup(0);
    low = (struct rlimit){(rlim_t)highest + 1, before.rlim_max};
    close(highest);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);

    ck_assert_int_eq(job_loop_run(other_loop), 0);

    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_uint_eq(accepted_count, VISITORS);
    ck_assert_uint_ge(warned_count, 1);
    ck_assert_uint_lt(warned_count, VISITORS / 4);   /* one every 10 s */
    for (int i = 0; i < VISITORS; i++)
        close(clients[i]);
    ck_assert_int_eq(job_loop_close(&other_loop, 0), 0);
    fixture_close(other);
}
END_TEST

START_TEST(bad_arguments_and_refusals_of_the_kernel_leave_nothing_open)
{
    int descriptors = fixture_descriptors();
    struct job_listener other = {0};
    ck_assert_int_eq(job_listener_open(NULL, &listener, NULL, leaves), -EINVAL);
    ck_assert_int_eq(job_listener_open(loop, NULL, NULL, leaves), -EINVAL);
    ck_assert_int_eq(job_listener_open(loop, &listener, NULL, NULL), -EINVAL);
    struct job_listener_options negative = {.backlog = -1};
    struct job_listener_options name = {.address = "localhost"}, foreign = {.address = "192.0.2.1"};
    ck_assert_int_eq(job_listener_open(loop, &listener, &negative, leaves), -EINVAL);
    ck_assert_int_eq(job_listener_open(loop, &listener, &name, leaves), -EINVAL);
    ck_assert_int_eq(job_listener_open(loop, &listener, &foreign, leaves), -EADDRNOTAVAIL);
    ck_assert_uint_eq(job_listener_port(NULL), 0);
    job_listener_close(NULL, closed);
    job_listener_close(&other, closed);
    ck_assert_int_eq(fixture_descriptors(), descriptors);

    ck_assert_ok(job_listener_open(loop, &listener, NULL, leaves));
    struct job_listener_options same = {.port = job_listener_port(&listener)};
    ck_assert_int_eq(job_listener_open(loop, &other, &same, leaves), -EADDRINUSE);
    ck_assert_int_eq(fixture_descriptors(), descriptors + 1);
    job_listener_close(&listener, closed);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(closed_count, 1);
    ck_assert_int_eq(fixture_descriptors(), descriptors);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("listener");
    TCase *tcase = tcase_create("listener");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, what_the_callback_does_not_take_is_closed_and_close_inside_it_comes_later_and_once);
    tcase_add_test(tcase, a_descriptor_that_is_taken_stays_open);
    tcase_add_test(tcase, a_listener_without_descriptors_goes_on_when_somebody_else_frees_one);
    tcase_add_test(tcase, a_listener_at_the_limit_does_not_let_strangers_fill_the_log);
    tcase_add_test(tcase, bad_arguments_and_refusals_of_the_kernel_leave_nothing_open);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
