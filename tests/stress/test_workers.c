/* test_workers.c — workers that are stopped at any moment while everything goes on: receives, timers, reads of a file, tasks, waits, nested
 * workers, ends that travel. Nothing is left: no descriptor, no buf, no thread, and memory does not grow.
 */
#include <sched.h>
#include <stdatomic.h>

#include "support/fixture.h"

enum {
    STREAMS = 8, TIMERS = 4, TASKS = 4, READS = 4, FILE_BYTES = 1 << 20, READ_BYTES = 65536,
    GROWTH_ROUNDS = 4, GROWTH_MAX_KIB = 2048
};

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_pool *pool;
static struct job_region *region;
static int file_fd;

struct told {
    struct job_worker worker;
    unsigned exits, closed, ends;
    struct random random, of_thread;
};

/* What a worker has; its thread's alone. */
struct busy {
    struct job_stream streams[STREAMS];
    int peers[STREAMS];
    struct job_timer timers[TIMERS];
    struct job_task tasks[TASKS];
    struct job_file file;
    struct job_file_op reads[READS];
    unsigned reads_open;                   /* each that was begun ends once, before the worker does */
    struct job_region_waiter waiter;
    struct job_worker nested;
    unsigned closed;
};

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    (void)stream, (void)in;
}

static const struct job_stream_events stream_events = {.data = on_data};

static void fired(struct job_timer *timer)
{
    struct busy *busy = timer->handle.data;
    for (unsigned i = 0; i < STREAMS; i++)
        (void)!write(busy->peers[i], "some bytes", 10);
    (void)job_timer_start(timer, 20000);
}

static void work(struct job_task *task)
{
    for (unsigned i = 0; i < 10000 && !job_task_is_cancelled(task); i++)
        job_cpu_relax();
}

static void worked(struct job_task *task, int status)
{
    struct busy *busy = task->data;
    if (status == 0)
        (void)job_submit(pool, task, &busy->timers[0].handle);   /* refused once it is closing */
}

static void has_read(struct job_file_op *op, int status, struct job_buf **buf);

static void read_on(struct busy *busy, struct job_file_op *op)
{
    struct job_buf *buf = NULL;
    if (job_buf_alloc(job_runtime_arena(runtime), READ_BYTES, NULL, &buf) < 0)
        return;
    uint64_t offset = (uint64_t)(op - busy->reads) * (FILE_BYTES / READS);
    op->data = busy;
    if (job_file_read(&busy->file, op, &buf, READ_BYTES, offset, has_read) == 0)   /* refused once it is closing */
        busy->reads_open++;
    job_buf_free(&buf);
}

static void has_read(struct job_file_op *op, int status, struct job_buf **buf)
{
    struct busy *busy = op->data;
    ck_assert_uint_gt(busy->reads_open, 0);
    busy->reads_open--;
    ck_assert(status == 0 || status == -ECANCELED);
    if (status == 0)
        ck_assert_uint_eq(job_buf_len(*buf), READ_BYTES);
    read_on(busy, op);
}

static void woken(struct job_region_waiter *waiter, int status)
{
    (void)status;
    (void)job_region_waiter_wait32(waiter, region, 0, 0, -1);
}

static void rests(struct job_inside *inside, struct job_message *start)
{
    static const struct job_inside_events nothing = {0};
    (void)start;
    ck_assert_ok(job_inside_listen(inside, &nothing));
}

/* Ends travel to the parent and back while the stop may come. */
static void echoes(struct job_inside *inside, struct job_message *message)
{
    struct job_end *end = job_message_take_end(message, 0);
    struct job_item item = {.kind = JOB_ITEM_END, .end = &end};
    if (end && job_inside_post(inside, &(struct job_post){.items = &item, .count = 1}) < 0)
        job_end_close(&end);
}

static const struct job_inside_events echoing = {.message = echoes};

static void is_busy(struct job_inside *inside, struct job_message *start)
{
    struct busy *busy;
    memcpy(&busy, job_message_bytes(start, NULL), sizeof busy);
    struct job_loop *own = job_inside_loop(inside);
    for (unsigned i = 0; i < STREAMS; i++) {
        int fds[2];
        fixture_pair(fds);
        ck_assert_ok(job_stream_adopt(own, &busy->streams[i], fds[0], &stream_events));
        busy->peers[i] = fds[1];
    }
    for (unsigned i = 0; i < TIMERS; i++) {
        busy->timers[i].handle.data = busy;
        ck_assert_ok(job_timer_open(own, &busy->timers[i], fired));
        ck_assert_ok(job_timer_start(&busy->timers[i], 10000));
    }
    for (unsigned i = 0; i < TASKS; i++) {
        ck_assert_ok(job_task_init(&busy->tasks[i], pool, work, worked));
        busy->tasks[i].data = busy;
        ck_assert_ok(job_submit(pool, &busy->tasks[i], &busy->timers[0].handle));
    }
    ck_assert_ok(job_file_adopt(own, &busy->file, fcntl(file_fd, F_DUPFD_CLOEXEC, 0)));
    for (unsigned i = 0; i < READS; i++)
        read_on(busy, &busy->reads[i]);
    ck_assert_ok(job_region_waiter_open(own, &busy->waiter, woken));
    (void)job_region_waiter_wait32(&busy->waiter, region, 0, 0, -1);
    ck_assert_ok(job_worker_open(own, &busy->nested, rests, NULL, NULL));
    ck_assert_ok(job_inside_listen(inside, &echoing));
}

static void send_end(struct told *told, struct job_end **end)
{
    struct job_item item = {.kind = JOB_ITEM_END, .end = end};
    (void)job_worker_post(&told->worker, &(struct job_post){.items = &item, .count = 1});
    job_end_close(end);   /* when it was refused */
}

static void on_online(struct job_worker *worker)
{
    struct told *told = job_container_of(worker, struct told, worker);
    struct job_end *a = NULL, *b = NULL;
    ck_assert_ok(job_channel_open(runtime, &a, &b, NULL));
    ck_assert_ok(job_end_post(a, &(struct job_post){.bytes = "hello", .len = 5}));
    send_end(told, &a);
    send_end(told, &b);
    (void)job_region_notify(region, 0, 1);
}

static void on_message(struct job_worker *worker, struct job_message *message)
{
    struct told *told = job_container_of(worker, struct told, worker);
    struct job_end *end = job_message_take_end(message, 0);
    told->ends++;
    if (random_below(&told->random, 8) == 0)
        (void)job_worker_stop(worker);
    send_end(told, &end);
}

static void on_exit_code(struct job_worker *worker, int code)
{
    (void)code;
    job_container_of(worker, struct told, worker)->exits++;
}

static void on_closed(struct job_worker *worker)
{
    job_container_of(worker, struct told, worker)->closed++;
}

static const struct job_worker_events events = {
    .online = on_online, .message = on_message, .exit = on_exit_code, .closed = on_closed};

static void *stop_soon(void *arg)
{
    struct told *told = arg;
    for (uint64_t n = random_below(&told->of_thread, 5000); n > 0; n--)   /* some 0.1 ms; a yield may take that much by itself */
        job_cpu_relax();
    (void)job_worker_stop_by_id(runtime, job_worker_id(&told->worker));
    return NULL;
}

static void setup(void)
{
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_pool_open(runtime, &pool, NULL));
    ck_assert_ok(job_region_open(runtime, 64, &region));
}

static void teardown(void)
{
    job_region_release(&region);
    ck_assert_ok(job_loop_close(&loop, 0));
    ck_assert_ok(job_pool_close(&pool));
    struct job_counts counts;
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.ends, 0);
    fixture_close(runtime);
}

START_TEST(W12_P22_a_stop_at_any_moment_leaves_nothing)
{
    struct random random = fixture_random("W12");
    unsigned rounds = fixture_rounds("STOPS", 100);
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    file_fd = fileno(file);
    ck_assert_int_eq(ftruncate(file_fd, FILE_BYTES), 0);
    int before = fixture_descriptors();
    for (unsigned round = 0; round < rounds; round++) {
        static struct busy busy;
        struct told told = {.random = {random_next(&random)}, .of_thread = {random_next(&random)}};
        struct busy *address = &busy;
        pthread_t thread;
        memset(&busy, 0, sizeof busy);
        memset(busy.peers, -1, sizeof busy.peers);
        struct job_worker_options options = {.start = {.bytes = &address, .len = sizeof address}};
        ck_assert_ok(job_worker_open(loop, &told.worker, is_busy, &options, &events));
        bool by_thread = random_below(&random, 2) == 0;
        if (by_thread)
            ck_assert_int_eq(pthread_create(&thread, NULL, stop_soon, &told), 0);
        ck_assert_int_eq(job_loop_run(loop), 0);
        if (by_thread)
            pthread_join(thread, NULL);
        ck_assert_uint_eq(told.exits, 1);
        ck_assert_uint_eq(told.closed, 1);
        ck_assert_uint_eq(busy.reads_open, 0);
        for (unsigned i = 0; i < STREAMS; i++) {
            if (busy.peers[i] >= 0)
                close(busy.peers[i]);
        }
        struct job_counts counts;
        job_runtime_counts(runtime, &counts);
        ck_assert_uint_eq(counts.bufs, 0);
        ck_assert_uint_eq(counts.ends, 0);
        ck_assert_uint_eq(counts.handles, 0);
        ck_assert_uint_eq(counts.tasks, 0);
    }
    ck_assert_int_eq(fixture_descriptors(), before);
    fclose(file);
}
END_TEST

static long resident_kib(void)
{
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%ld %ld", &pages, &resident), 2);
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* In KiB. */
static long growth_of_starts_and_stops(unsigned cycles)
{
    long before = resident_kib();
    for (unsigned i = 0; i < cycles; i++) {
        struct told told = {.random = {i}};
        ck_assert_ok(job_worker_open(loop, &told.worker, rests, NULL, &events));
        ck_assert_ok(job_worker_stop(&told.worker));
        ck_assert_int_eq(job_loop_run(loop), 0);
        ck_assert_uint_eq(told.closed, 1);
    }
    return resident_kib() - before;
}

/* What is lost with each worker is lost in each round of them. A thread that is still on its way out when the next one starts costs another
 * stack and another heap of malloc's, but these are kept for the next ones: not in each. */
START_TEST(starts_and_stops_do_not_make_the_process_larger)
{
    unsigned cycles = fixture_rounds("CYCLES", 300);
    bool is_bounded = false;
    (void)growth_of_starts_and_stops(cycles);
    for (unsigned round = 0; round < GROWTH_ROUNDS && !is_bounded; round++)
        is_bounded = growth_of_starts_and_stops(cycles) <= GROWTH_MAX_KIB || FIXTURE_SLOWER > 1;   /* a sanitizer keeps what was freed */
    ck_assert(is_bounded);
}
END_TEST

/* Each sends to each, by id. */
enum { ALL = 7 };
static struct told all[ALL];
static uint64_t ids[ALL];
static unsigned ended;

static void counts_and_ends(struct job_inside *inside, struct job_message *message)
{
    uintptr_t count = (uintptr_t)job_inside_data(inside) + 1;
    (void)message;
    job_inside_set_data(inside, (void *)count);
    if (count == ALL)   /* one from the parent, one from each other */
        job_inside_exit(inside, 50 + (int)count);
}

static void tells_all(struct job_inside *inside, struct job_message *message)
{
    static const struct job_inside_events counting = {.message = counts_and_ends};
    (void)message;
    for (unsigned i = 0; i < ALL; i++) {
        if (ids[i] != job_inside_id(inside))
            ck_assert_ok(job_worker_post_to(runtime, ids[i], &(struct job_post){.bytes = "x", .len = 1}));
    }
    ck_assert_ok(job_inside_listen(inside, &counting));
    counts_and_ends(inside, message);
}

static void ended_with(struct job_worker *worker, int code)
{
    (void)worker;
    ck_assert_int_eq(code, 50 + ALL);
    ended++;
}

static void awaits_go(struct job_inside *inside, struct job_message *start)
{
    struct job_end *end = job_message_take_end(start, 0);
    struct job_message *go = NULL;
    (void)inside;
    while (job_end_receive(end, &go, 0) != 0)
        sched_yield();
    job_message_free(&go);
    job_end_close(&end);
    tells_all(inside, NULL);
}

START_TEST(W34_seven_workers_send_to_each_other_by_id)
{
    static const struct job_worker_events some = {.exit = ended_with};
    struct job_end *go[ALL];
    ended = 0;
    for (unsigned i = 0; i < ALL; i++) {
        struct job_end *theirs = NULL;
        ck_assert_ok(job_channel_open(runtime, &go[i], &theirs, NULL));
        struct job_item item = {.kind = JOB_ITEM_END, .end = &theirs};
        struct job_worker_options options = {.start = {.items = &item, .count = 1}};
        ck_assert_ok(job_worker_open(loop, &all[i].worker, awaits_go, &options, &some));
        ids[i] = job_worker_id(&all[i].worker);
    }
    for (unsigned i = 0; i < ALL; i++)
        ck_assert_ok(job_end_post(go[i], &(struct job_post){0}));
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(ended, ALL);
    for (unsigned i = 0; i < ALL; i++)
        job_end_close(&go[i]);
}
END_TEST

/* The ids are consecutive, so a stranger can know the next one. */
static atomic_bool is_over;
static atomic_uint strange_starts;

static void *posts_to_whoever_comes(void *arg)
{
    (void)arg;
    while (!is_over) {
        uint64_t known[8];
        size_t count = job_worker_list(runtime, known, 8);
        for (size_t i = 0; i < count && i < 8; i++)
            (void)job_worker_post_to(runtime, known[i], &(struct job_post){.bytes = "stranger", .len = 8});
    }
    return NULL;
}

static void looks_at_its_start(struct job_inside *inside, struct job_message *start)
{
    size_t len;
    (void)inside;
    if (memcmp(job_message_bytes(start, &len), "start", 5) != 0 || len != 5)
        strange_starts++;
}

START_TEST(a_worker_is_known_to_others_only_behind_its_start_message)
{
    static struct job_worker worker;
    struct job_buf *none = NULL;
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &none};
    struct job_worker_options good = {.start = {.bytes = "start", .len = 5}};
    struct job_worker_options bad = {.start = {.items = &item, .count = 1}};
    pthread_t stranger;
    is_over = false;
    ck_assert_int_eq(pthread_create(&stranger, NULL, posts_to_whoever_comes, NULL), 0);
    for (unsigned i = 0; i < 500; i++) {
        ck_assert_int_eq(job_worker_open(loop, &worker, looks_at_its_start, &bad, NULL), -EINVAL);
        ck_assert_ok(job_worker_open(loop, &worker, looks_at_its_start, &good, NULL));
        ck_assert_int_eq(job_loop_run(loop), 0);
    }
    is_over = true;
    pthread_join(stranger, NULL);
    ck_assert_uint_eq(strange_starts, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("workers");
    TCase *tcase = tcase_create("workers");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, W12_P22_a_stop_at_any_moment_leaves_nothing);
    tcase_add_test(tcase, starts_and_stops_do_not_make_the_process_larger);
    tcase_add_test(tcase, a_worker_is_known_to_others_only_behind_its_start_message);
    tcase_add_test(tcase, W34_seven_workers_send_to_each_other_by_id);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
