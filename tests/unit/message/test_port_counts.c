/* test_port_counts.c — how much waits at a port and at its peer, as the port tells it. */
#include "support/fixture.h"

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_end *ends[2];
static struct job_port port;

static void on_message(struct job_port *receiver, struct job_message *message)
{
    (void)message;
    job_port_close(receiver);
}

static const struct job_port_events events = {.message = on_message};

static void setup(void)
{
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], NULL));
    ck_assert_ok(job_port_open(loop, &port, &ends[0], &events));
}

static void teardown(void)
{
    job_end_close(&ends[1]);
    ck_assert_ok(job_loop_close(&loop, 0));
    fixture_close(runtime);
}

static void assert_queued(unsigned messages, size_t bytes)
{
    unsigned has;
    size_t len;
    job_port_queued(&port, &has, &len);
    ck_assert_uint_eq(has, messages);
    ck_assert_uint_eq(len, bytes);
}

static void assert_unread(unsigned messages, size_t bytes)
{
    unsigned has;
    size_t len;
    job_port_unread(&port, &has, &len);
    ck_assert_uint_eq(has, messages);
    ck_assert_uint_eq(len, bytes);
}

START_TEST(what_waits_here_and_what_waits_there_are_counted_apart)
{
    assert_queued(0, 0);
    assert_unread(0, 0);

    ck_assert_ok(job_end_post(ends[1], &(struct job_post){.bytes = "ab", .len = 2}));
    for (int i = 0; i < 3; i++)
        ck_assert_ok(job_port_post(&port, &(struct job_post){.bytes = "12345", .len = 5}));

    assert_queued(1, 2);
    assert_unread(3, 15);
}
END_TEST

START_TEST(any_pointer_may_be_null)
{
    unsigned messages = 7;
    size_t bytes = 7;
    ck_assert_ok(job_port_post(&port, &(struct job_post){.bytes = "ab", .len = 2}));

    job_port_unread(&port, &messages, NULL);
    job_port_unread(&port, NULL, &bytes);
    job_port_unread(&port, NULL, NULL);
    job_port_queued(&port, NULL, NULL);

    ck_assert_uint_eq(messages, 1);
    ck_assert_uint_eq(bytes, 2);
}
END_TEST

START_TEST(a_port_without_an_end_has_nothing)
{
    struct job_port none = {0};
    unsigned messages = 7;
    size_t bytes = 7;

    job_port_queued(&none, &messages, &bytes);
    ck_assert_uint_eq(messages, 0);
    ck_assert_uint_eq(bytes, 0);
    messages = 7;
    job_port_unread(NULL, &messages, &bytes);
    ck_assert_uint_eq(messages, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("port counts");
    TCase *tcase = tcase_create("counts");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, what_waits_here_and_what_waits_there_are_counted_apart);
    tcase_add_test(tcase, any_pointer_may_be_null);
    tcase_add_test(tcase, a_port_without_an_end_has_nothing);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
