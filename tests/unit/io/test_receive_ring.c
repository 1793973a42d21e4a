/* test_receive_ring.c — the receive ring of a loop: how many slots it lends, and when it lends more. */
#include "support/fixture.h"

enum { TALKERS = 8, SLOTS = 2, ROUNDS = 8 };

static struct job_loop *loop;
static struct job_stream streams[TALKERS];
static int peers[TALKERS];
static unsigned heard;

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    (void)stream;
    (void)in;
    if (++heard == TALKERS)
        job_loop_stop(loop);
}

static uint64_t starved(void)
{
    struct job_loop_stats stats;
    job_loop_stats(loop, &stats);
    return stats.starved;
}

/* All have sent before the loop looks. */
static void all_talk(void)
{
    heard = 0;
    for (unsigned i = 0; i < TALKERS; i++)
        fixture_write(peers[i], "hello", 5);
    ck_assert_int_eq(job_loop_run(loop), 1);
}

static struct job_runtime *open_talkers(void)
{
    static const struct job_stream_events events = {.data = on_data};
    struct job_runtime *runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, &(struct job_loop_options){.receive_slots = SLOTS}));
    for (unsigned i = 0; i < TALKERS; i++) {
        int fds[2];
        fixture_pair(fds);
        peers[i] = fds[0];
        ck_assert_ok(job_stream_adopt(loop, &streams[i], fds[1], &events));
    }
    return runtime;
}

static void close_talkers(struct job_runtime *runtime)
{
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    for (unsigned i = 0; i < TALKERS; i++)
        close(peers[i]);
    fixture_close(runtime);
}

START_TEST(a_ring_too_small_for_those_who_talk_at_once_grows)
{
    struct job_runtime *runtime = open_talkers();

    for (unsigned round = 0; round < ROUNDS; round++)
        all_talk();
    uint64_t before = starved();
    ck_assert_uint_gt(before, 0);
    for (unsigned round = 0; round < ROUNDS; round++)
        all_talk();

    ck_assert_uint_eq(starved(), before);
    close_talkers(runtime);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("receive ring");
    TCase *growth = tcase_create("growth");
    tcase_add_test(growth, a_ring_too_small_for_those_who_talk_at_once_grows);
    suite_add_tcase(suite, growth);
    return fixture_run(suite);
}
