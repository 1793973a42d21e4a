/* test_ring_files.c — requests to files that the ring engine hands over by fours (docs/decisions/011): they do not keep a turn.
 *
 * On the fake kernel each read ends by -EAGAIN or -EINTR as soon as it is submitted, and is made again, as kernel 6.1 does it for a
 * file that says O_NONBLOCK and can only block. On a real one they are just read.
 */
#include "engine/ring.h"

#include "base/sys.h"
#include "memory/arena.h"
#include "queue/mailbox.h"
#include "support/fixture.h"
#ifdef TEST_FAKE_KERNEL
#include "testkit/fake_kernel.h"
enum { IS_FAKE = 1 };
#else
enum { IS_FAKE = 0 };
#endif

enum { ENTRIES = 8, BATCH = 8, TURNS = 10, BYTES = 16 };

static struct root root;
static struct job_arena *arena;
static struct mailbox mailbox;
static struct engine *engine;
static unsigned ended, read_whole;

static void no_wake(struct mailbox *unused)
{
    (void)unused;
}

static void setup(void)
{
#ifdef TEST_FAKE_KERNEL
    fake_kernel_start(&(struct fake_options){.seed = 1, .faults = {.transient = 1000}, .is_real_time = true});
#endif
    root = (struct root){.log = {.hook = fixture_log}, .pid = getpid(), .now_ns = sys_clock_monotonic_ns};
    mailbox_init(&mailbox, no_wake);
    ck_assert_ok(arena_open(&root, &arena, &(struct job_arena_options){.limit_bytes = 1 << 21}));
    struct engine_options options = {.arena = arena, .mailbox = &mailbox, .entries = ENTRIES, .receive_slots = 4};
    ck_assert_ok(engine_ring.open(&root, &options, &engine));
}

static void teardown(void)
{
    ck_assert_uint_eq(engine_ring.close(engine), 0);
    ck_assert_ok(arena_close(&arena));
}

static void on_completed(struct op *op, const struct completion *completion)
{
    (void)op;
    ended += !completion->more;
    read_whole += completion->res == BYTES;
}

static void turn(void)
{
    struct completion ready[BATCH];
    int count = engine_ring.wait(engine, root.now_ns() + 1000000, ready, BATCH);
    ck_assert_int_ge(count, 0);
    for (int i = 0; i < count; i++) {
        op_delivered(&ready[i]);
        ready[i].op->completed(ready[i].op, &ready[i]);
    }
}

START_TEST(reads_that_end_at_once_and_are_made_again_do_not_keep_the_turn)
{
    static struct op ops[SUBMIT_DISK];
    static char bytes[SUBMIT_DISK][BYTES];
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    turn();   /* it runs: what is started now is submitted by fours */
    for (int i = 0; i < SUBMIT_DISK; i++) {
        ops[i] = (struct op){.completed = on_completed, .kind = OP_READ_AT, .fd = fd};
        ops[i].read.bytes = bytes[i];
        ops[i].read.len = BYTES;
        ck_assert_ok(engine_ring.start(engine, &ops[i]));
    }

    for (int i = 0; i < TURNS || (!IS_FAKE && read_whole == 0); i++)
        turn();   /* each of which comes back */

    for (int i = 0; i < SUBMIT_DISK; i++)
        engine_ring.cancel(engine, &ops[i]);
    for (int i = 0; engine->in_flight > 0; i++) {
        ck_assert_int_lt(i, 5000);
        turn();
    }
    ck_assert_uint_eq(ended, SUBMIT_DISK);
    if (IS_FAKE)
        ck_assert_uint_eq(read_whole, 0);
    close(fd);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ring, files");
    TCase *tcase = tcase_create("ring, files");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 10);
    tcase_add_test(tcase, reads_that_end_at_once_and_are_made_again_do_not_keep_the_turn);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
