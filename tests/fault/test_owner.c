/* test_owner.c — what checked builds say of a user who kept a copy of what was given away: the names of both, and where. And of one who
 * makes another task of what a pool has.
 *
 * Each misuse runs in a child whose standard error is read. What is found by the owner word is found in all checked builds; a write
 * through a kept address at once only under ASan, elsewhere when the slot comes back.
 */
#include <semaphore.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/annotate.h"
#include "memory/buf.h"
#include "support/fixture.h"

#ifdef JOB_ASAN
enum { HAS_ASAN = 1 };
#else
enum { HAS_ASAN = 0 };
#endif

typedef void misuse_fn(struct job_runtime *runtime, int which);

static char told[65536];

/* What the child says before it ends; it must not end by itself. */
static void provoke(misuse_fn *misuse, int which)
{
    int fds[2], status = 0;
    size_t len = 0;
    ck_assert_int_eq(pipe(fds), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        (void)dup2(fds[1], STDERR_FILENO);
        misuse(fixture_runtime(), which);
        _exit(0);
    }
    close(fds[1]);
    for (ssize_t n; (n = read(fds[0], told + len, sizeof told - 1 - len)) > 0;)
        len += (size_t)n;
    told[len] = '\0';
    close(fds[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(!WIFEXITED(status) || WEXITSTATUS(status) != 0, "misuse %d was not found; it said: %s", which, told);
}

static void assert_told(const char *words)
{
    ck_assert_msg(strstr(told, words) != NULL, "\"%s\" is not in: %s", words, told);
}

static struct job_buf *text(struct job_runtime *runtime, const char *bytes)
{
    struct job_buf *buf = NULL;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 100, NULL, &buf));
    ck_assert_ok(job_buf_write(buf, bytes, strlen(bytes)));
    return buf;
}

static void nothing(struct job_task *task)
{
    (void)task;
}

static const char *const users[] = {"job_buf_append", "job_buf_append",  "job_buf_split",    "job_buf_consume",
                                    "job_buf_free",   "job_buf_write",   "job_buf_extend",   "job_buf_prepend",
                                    "job_buf_room",   "job_buf_flatten", "job_buf_truncate", "job_task_give"};

static void use(struct job_runtime *runtime, struct job_buf *kept, int which)
{
    struct job_buf *other = text(runtime, "other"), *rest = NULL;
    struct job_task task = {0};
    switch (which) {
    case 0: (void)job_buf_append(kept, &other); break;
    case 1: (void)job_buf_append(other, &kept); break;
    case 2: (void)job_buf_split(&kept, 1, &rest); break;
    case 3: (void)job_buf_consume(&kept, 1); break;
    case 4: job_buf_free(&kept); break;
    case 5: (void)job_buf_write(kept, "x", 1); break;
    case 6: (void)job_buf_extend(kept, 1); break;
    case 7: (void)job_buf_prepend(kept, 1); break;
    case 8: (void)job_buf_room(kept, NULL); break;
    case 9: (void)job_buf_flatten(&kept); break;
    case 10: (void)job_buf_truncate(kept, 1); break;
    default:
        ck_assert_ok(job_task_init(&task, NULL, nothing, NULL));
        (void)job_task_give(&task, &kept);
        break;
    }
}

static void use_of_a_tasks(struct job_runtime *runtime, int which)
{
    struct job_buf *buf = text(runtime, "given"), *kept = buf;
    struct job_task task = {0};
    ck_assert_ok(job_task_init(&task, NULL, nothing, NULL));
    ck_assert_ok(job_task_give(&task, &buf));
    use(runtime, kept, which);
}

static void use_of_a_free_one(struct job_runtime *runtime, int which)
{
    struct job_buf *buf = text(runtime, "free"), *kept = buf;
    struct job_buf *other = text(runtime, "its slot must not be taken for the other buf");
    job_buf_free(&buf);
    job_buf_free(&other);
    use(runtime, kept, which);
}

static void use_of_a_part(struct job_runtime *runtime, int which)
{
    struct job_buf *buf = text(runtime, "first"), *tail = NULL;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 100000, NULL, &tail));
    ck_assert_ok(job_buf_extend(tail, 90000));
    ck_assert_ok(job_buf_append(buf, &tail));
    use(runtime, job_buf_next(buf), which);
}

enum { MORE_THAN_A_SOCKET_HOLDS = 1 << 20 };

static struct job_stream stream;

static void ignores(struct job_stream *s, struct job_buf **in)
{
    (void)s;
    (void)in;
}

static const struct job_stream_events silent = {.data = ignores};

static struct job_loop *open_stream(struct job_runtime *runtime, int *peer, const struct job_stream_events *events)
{
    struct job_loop *loop = NULL;
    int fds[2];
    ck_assert_ok(job_loop_open(runtime, &loop, &(struct job_loop_options){.receive_slots = 2}));
    fixture_pair(fds);
    ck_assert_ok(job_stream_adopt(loop, &stream, fds[1], events));
    *peer = fds[0];
    return loop;
}

static void stop_at_once(struct job_call *call)
{
    job_loop_stop(job_loop_current());
    (void)call;
}

/* Nobody reads: what the socket does not hold of the first stays in flight, and the second waits behind it. */
static struct job_buf *send_two(struct job_runtime *runtime, bool first)
{
    int peer;
    struct job_loop *loop = open_stream(runtime, &peer, &silent);
    struct job_call call = {.run = stop_at_once};
    struct job_buf *one = NULL, *two = text(runtime, "waits");
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), MORE_THAN_A_SOCKET_HOLDS, NULL, &one));
    ck_assert_ok(job_buf_extend(one, MORE_THAN_A_SOCKET_HOLDS));
    struct job_buf *kept = first ? one : two;
    ck_assert_ok(job_stream_send(&stream, &one));
    ck_assert_ok(job_loop_call(loop, &call));
    (void)job_loop_run(loop);
    ck_assert_ok(job_stream_send(&stream, &two));
    return kept;
}

static void use_of_one_in_flight(struct job_runtime *runtime, int which)
{
    use(runtime, send_two(runtime, true), which);
}

static void use_of_a_queued_one(struct job_runtime *runtime, int which)
{
    use(runtime, send_two(runtime, false), which);
}

static void send_again(struct job_runtime *runtime, int which)
{
    struct job_buf *kept = send_two(runtime, which == 0);
    (void)job_stream_send(&stream, &kept);
}

enum { USERS = sizeof users / sizeof users[0] };

static void assert_all_users_are_named(misuse_fn *misuse, const char *owner)
{
    char words[256];
    for (int which = 0; which < USERS; which++) {
        provoke(misuse, which);
        (void)snprintf(words, sizeof words, "belongs to %s, used by code in %s()", owner, users[which]);
        assert_told(words);
        assert_told("generation 1");
    }
}

START_TEST(use_of_a_buf_that_was_given_to_a_task_names_both)
{
    assert_all_users_are_named(use_of_a_tasks, "a task");
}
END_TEST

START_TEST(use_of_a_buf_that_is_being_sent_names_both)
{
    assert_all_users_are_named(use_of_one_in_flight, "an op in flight");
    assert_all_users_are_named(use_of_a_queued_one, "a send queue");
}
END_TEST

START_TEST(sending_the_same_buf_twice_names_both)
{
    provoke(send_again, 0);
    assert_told("belongs to an op in flight, used by code in job_stream_send()");
    provoke(send_again, 1);
    assert_told("belongs to a send queue, used by code in job_stream_send()");
}
END_TEST

START_TEST(use_of_a_part_of_a_buf_names_both)
{
    assert_all_users_are_named(use_of_a_part, "the buf before it");
}
END_TEST

START_TEST(use_after_free_and_a_second_free_are_named)
{
    assert_all_users_are_named(use_of_a_free_one, "nobody (it is free)");
}
END_TEST

static void asks_where_the_bytes_are(struct job_runtime *runtime, int which)
{
    (void)which;
    struct job_buf *buf = text(runtime, "free"), *kept = buf;
    job_buf_free(&buf);
    (void)job_buf_data(kept);
}

START_TEST(a_free_buf_tells_no_address)
{
    provoke(asks_where_the_bytes_are, 0);
    assert_told("belongs to nobody (it is free), used by code in job_buf_data()");
}
END_TEST

static void writes_after_free(struct job_runtime *runtime, int which)
{
    struct job_buf *buf = text(runtime, "free");
    char *bytes = job_buf_data(buf);
    job_buf_free(&buf);
    bytes[which] = 'x';
    (void)text(runtime, "takes the slot again");
}

START_TEST(a_write_through_an_address_that_was_kept_over_a_free_is_found)
{
    for (int at = -1; at < 100; at += 100) {
        provoke(writes_after_free, at);
        assert_told(HAS_ASAN ? "use-after-poison" : "generation 1 belongs to nobody (it is free), written to by code");
    }
}
END_TEST

/* Through the address that job_buf_data() gives of a view. */
static void writes_frozen_bytes(struct job_runtime *runtime, int which)
{
    struct job_buf *buf = text(runtime, "frozen"), *slice = NULL;
    ck_assert_ok(job_buf_freeze(buf));
    ck_assert_ok(job_buf_slice(buf, 1, 3, &slice));
    *(char *)job_buf_data(slice) = 'x';
    job_buf_free(&slice);
    if (which == 0)
        job_buf_free(&buf);
    else
        (void)job_buf_thaw(buf);
}

START_TEST(a_write_to_frozen_bytes_is_found_when_they_are_freed_or_thawed)
{
    for (int which = 0; which < 2; which++) {
        provoke(writes_frozen_bytes, which);
        assert_told("generation 1 was frozen, and written to by code; found in ");
        assert_told(which == 0 ? "slot_put()" : "job_buf_thaw()");
    }
}
END_TEST

static void slices_a_given_view(struct job_runtime *runtime, int which)
{
    struct job_buf *buf = text(runtime, "frozen"), *kept = buf, *slice = NULL;
    struct job_task task = {0};
    (void)which;
    ck_assert_ok(job_buf_freeze(buf));
    ck_assert_ok(job_task_init(&task, NULL, nothing, NULL));
    ck_assert_ok(job_task_give(&task, &buf));
    (void)job_buf_slice(kept, 0, 1, &slice);
}

START_TEST(a_slice_of_a_view_that_was_given_away_names_both)
{
    provoke(slices_a_given_view, 0);
    assert_told("belongs to a task, used by code in job_buf_slice()");
}
END_TEST

static char *kept_bytes;

static void keeps_address(struct job_stream *s, struct job_buf **in)
{
    (void)s;
    kept_bytes = job_buf_data(*in);
    job_loop_stop(s->handle.job_loop);
}

/* The slot of the first receive is lent again, and then written to. */
static void writes_into_a_lent_slot(struct job_runtime *runtime, int which)
{
    static const struct job_stream_events events = {.data = keeps_address};
    static char chunk[8192];   /* too much for copybreak */
    int peer;
    struct job_loop *loop = open_stream(runtime, &peer, &events);
    fixture_write(peer, chunk, sizeof chunk);
    (void)job_loop_run(loop);
    char *bytes = kept_bytes;
    struct job_call call = {.run = stop_at_once};
    ck_assert_ok(job_loop_call(loop, &call));
    (void)job_loop_run(loop);
    bytes[which] = 'x';
    for (int i = 0; i < 4; i++) {
        fixture_write(peer, chunk, sizeof chunk);
        (void)job_loop_run(loop);
    }
}

START_TEST(a_write_into_a_slot_that_is_lent_to_the_kernel_is_found)
{
    static const int places[] = {-1, 9000};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        provoke(writes_into_a_lent_slot, places[i]);
        assert_told(HAS_ASAN ? "use-after-poison" : "belongs to the kernel, written to by code; found in ring_buffers_take()");
    }
}
END_TEST

#ifdef JOB_ASAN
/* Through the address that was kept, while somebody else owns the bytes. */
static void writes_after_giving(struct job_runtime *runtime, int which)
{
    struct job_buf *buf;
    struct job_task task = {0};
    char *bytes;
    if (which < 2) {
        bytes = (char *)job_buf_data(send_two(runtime, which == 0)) + 8;
    } else {
        buf = text(runtime, "0123456789abcdef");
        bytes = (char *)job_buf_data(buf) + 8;
        ck_assert_ok(job_task_init(&task, NULL, nothing, NULL));
        ck_assert_ok(job_task_give(&task, &buf));
    }
    *bytes = 'x';
}

START_TEST(a_write_through_an_address_that_was_kept_over_a_send_is_found)
{
    for (int which = 0; which < 3; which++) {
        provoke(writes_after_giving, which);
        assert_told("use-after-poison");
    }
}
END_TEST
#endif

static sem_t begun;

static void never_ends(struct job_task *task)
{
    (void)task;
    sem_post(&begun);
    for (;;)
        pause();
}

static void init_what_is_not_idle(struct job_runtime *runtime, int which)
{
    static struct job_task tasks[2];
    struct job_pool *pool = NULL;
    sem_init(&begun, 0, 0);
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 1}));
    for (int i = 0; i < 2; i++) {
        memset(&tasks[i], 0xA5, sizeof tasks[i]);   /* whatever it held before */
        ck_assert_ok(job_task_init(&tasks[i], pool, never_ends, NULL));
        ck_assert_ok(job_submit(pool, &tasks[i], NULL));
        if (i == 0)
            sem_wait(&begun);
    }
    (void)job_task_init(&tasks[which], pool, never_ends, NULL);
}

START_TEST(a_task_that_is_not_idle_is_not_made_another_one)
{
    provoke(init_what_is_not_idle, 0);
    assert_told("is running, made another one by code in job_task_init()");
    provoke(init_what_is_not_idle, 1);
    assert_told("is queued, made another one by code in job_task_init()");
}
END_TEST

int main(void)
{
#ifndef JOB_CHECKED
    return 77;
#endif
    Suite *suite = suite_create("owner");
    TCase *tc = tcase_create("owner");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, use_of_a_buf_that_was_given_to_a_task_names_both);
    tcase_add_test(tc, use_of_a_buf_that_is_being_sent_names_both);
    tcase_add_test(tc, sending_the_same_buf_twice_names_both);
    tcase_add_test(tc, a_task_that_is_not_idle_is_not_made_another_one);
    tcase_add_test(tc, use_of_a_part_of_a_buf_names_both);
    tcase_add_test(tc, use_after_free_and_a_second_free_are_named);
    tcase_add_test(tc, a_write_to_frozen_bytes_is_found_when_they_are_freed_or_thawed);
    tcase_add_test(tc, a_slice_of_a_view_that_was_given_away_names_both);
    tcase_add_test(tc, a_free_buf_tells_no_address);
    tcase_add_test(tc, a_write_through_an_address_that_was_kept_over_a_free_is_found);
    tcase_add_test(tc, a_write_into_a_slot_that_is_lent_to_the_kernel_is_found);
#ifdef JOB_ASAN
    tcase_add_test(tc, a_write_through_an_address_that_was_kept_over_a_send_is_found);
#endif
    suite_add_tcase(suite, tc);
    return fixture_run(suite);
}
