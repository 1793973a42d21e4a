/* test_worker.c — the life of a worker as its parent sees it: events in order, exit codes, stop, limits, and what others can ask. */
#include <limits.h>
#include <signal.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "support/fixture.h"

/* One worker and what its parent was told. */
struct told {
    struct job_worker worker;
    unsigned online, messages, errors, exits, closed, left, stuck, writable;
    const char *left_what;
    unsigned left_count;
    unsigned messages_at_exit, messages_at_online;
    int code, err;
    char text[128];
    uint64_t value;                       /* of the last message, if it has 8 bytes */
    const void *running;
    void (*then)(struct told *told);      /* at each message */
};

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct told w;

static void on_online(struct job_worker *worker)
{
    struct told *told = job_container_of(worker, struct told, worker);
    told->online++;
    told->messages_at_online = told->messages;
}

static void on_message(struct job_worker *worker, struct job_message *message)
{
    struct told *told = job_container_of(worker, struct told, worker);
    size_t len;
    const void *bytes = job_message_bytes(message, &len);
    if (len == sizeof told->value)
        memcpy(&told->value, bytes, len);
    told->messages++;
    if (told->then)
        told->then(told);
}

static void on_error(struct job_worker *worker, int err, const char *text)
{
    struct told *told = job_container_of(worker, struct told, worker);
    ck_assert_uint_eq(told->exits, 0);
    told->errors++;
    told->err = err;
    snprintf(told->text, sizeof told->text, "%s", text);
}

static void on_stuck(struct job_worker *worker, const void *function)
{
    struct told *told = job_container_of(worker, struct told, worker);
    told->stuck++;
    told->running = function;
}

static void on_writable(struct job_worker *worker)
{
    job_container_of(worker, struct told, worker)->writable++;
}

static void on_exit_code(struct job_worker *worker, int code)
{
    struct told *told = job_container_of(worker, struct told, worker);
    ck_assert_uint_eq(told->closed, 0);
    told->exits++;
    told->code = code;
    told->messages_at_exit = told->messages;
}

static void on_closed(struct job_worker *worker)
{
    struct told *told = job_container_of(worker, struct told, worker);
    ck_assert_uint_eq(told->exits, 1);
    told->closed++;
}

static void on_left(struct job_worker *worker, const struct job_hung *first, unsigned count)
{
    struct told *told = job_container_of(worker, struct told, worker);
    ck_assert_uint_eq(told->exits, 1);
    ck_assert_uint_eq(told->closed, 0);
    told->left++;
    told->left_what = first->what;
    told->left_count = count;
}

static const struct job_worker_events events = {
    .online = on_online, .message = on_message,     .writable = on_writable, .error = on_error,
    .stuck = on_stuck,   .exit = on_exit_code, .closed = on_closed, .left = on_left,
};

static void setup(void)
{
    memset(&w, 0, sizeof w);
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
}

static void teardown(void)
{
    struct job_counts counts;
    ck_assert_ok(job_loop_close(&loop, 0));
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.ends, 0);
    ck_assert_uint_eq(job_worker_list(runtime, NULL, 0), 0);
    fixture_close(runtime);
}

static void open_worker(struct told *told, job_worker_main_fn *main, const struct job_worker_options *options)
{
    ck_assert_ok(job_worker_open(loop, &told->worker, main, options, &events));
}

static void run_to_end(struct told *told)
{
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(told->exits, 1);
    ck_assert_uint_eq(told->closed, 1);
}

static void post_value(struct job_inside *inside, uint64_t value)
{
    ck_assert_ok(job_inside_post(inside, &(struct job_post){.bytes = &value, .len = sizeof value}));
}

static void ends_at_once(struct job_inside *inside, struct job_message *start)
{
    (void)inside, (void)start;
}

static void posts_two(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    post_value(inside, 1);
    post_value(inside, 2);
}

static void hears(struct job_inside *inside, struct job_message *message)
{
    uint64_t value = 0;
    size_t len;
    const void *bytes = job_message_bytes(message, &len);
    if (len == sizeof value)
        memcpy(&value, bytes, len);
    post_value(inside, value + 1);
}

static const struct job_inside_events hearing = {.message = hears};

static void listens(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    ck_assert_ok(job_inside_listen(inside, &hearing));
}

static void says_and_listens(struct job_inside *inside, struct job_message *start)
{
    listens(inside, start);
    post_value(inside, 0);
}

START_TEST(W02_online_comes_once_and_before_the_first_message)
{
    unsigned rounds = fixture_rounds("SPAWNS", 1000);
    for (unsigned i = 0; i < rounds; i++) {
        memset(&w, 0, sizeof w);
        open_worker(&w, posts_two, NULL);
        run_to_end(&w);
        ck_assert_uint_eq(w.online, 1);
        ck_assert_uint_eq(w.messages_at_online, 0);
        ck_assert_uint_eq(w.messages, 2);
        ck_assert_uint_eq(w.messages_at_exit, 2);
        ck_assert_int_eq(w.code, 0);
    }
}
END_TEST

static int exit_with;

static void exits(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    listens(inside, NULL);
    post_value(inside, 7);
    job_inside_exit(inside, exit_with);
    job_inside_exit(inside, exit_with + 1);   /* the first one counts */
}

START_TEST(W05_exit_ends_only_the_worker_and_its_code_arrives)
{
    static const int codes[] = {0, 1, 7, 42, 255};
    for (unsigned i = 0; i < 5; i++) {
        memset(&w, 0, sizeof w);
        exit_with = codes[i];
        open_worker(&w, exits, NULL);
        run_to_end(&w);
        ck_assert_int_eq(w.code, codes[i]);
        ck_assert_uint_eq(w.messages_at_exit, 1);
        ck_assert_uint_eq(w.errors, 0);
    }
}
END_TEST

static void fails(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    listens(inside, NULL);
    job_inside_fail(inside, -EDOM, "the sum is wrong");
    job_inside_fail(inside, -ERANGE, "again");
}

static struct job_timer late;

static void fails_late(struct job_timer *timer)
{
    (void)timer;
    job_inside_fail(job_inside_current(), -EDOM, "the sum is wrong");
}

static void fails_from_a_timer(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    ck_assert_ok(job_timer_open(job_inside_loop(inside), &late, fails_late));
    ck_assert_ok(job_timer_start(&late, 100000));
}

START_TEST(W06_a_failure_is_told_with_its_text_and_then_exit_1)
{
    job_worker_main_fn *const mains[] = {fails, fails_from_a_timer};
    for (unsigned i = 0; i < 2; i++) {
        memset(&w, 0, sizeof w);
        open_worker(&w, mains[i], NULL);
        run_to_end(&w);
        ck_assert_uint_eq(w.errors, 1);
        ck_assert_int_eq(w.err, -EDOM);
        ck_assert_str_eq(w.text, "the sum is wrong");
        ck_assert_int_eq(w.code, 1);
    }
}
END_TEST

START_TEST(W07_a_failure_that_nobody_listens_to_fails_the_parent)
{
    struct job_runtime *quiet = NULL;
    struct job_loop *parent = NULL;
    struct job_worker worker;
    ck_assert_ok(job_runtime_open(&quiet, NULL));   /* it says so in the log */
    ck_assert_ok(job_loop_open(quiet, &parent, NULL));
    ck_assert_ok(job_worker_open(parent, &worker, fails, NULL, NULL));
    ck_assert_int_eq(job_loop_run(parent), -EDOM);
    ck_assert_int_eq(job_loop_run(parent), 0);
    ck_assert_ok(job_loop_close(&parent, 0));
    fixture_close(quiet);
}
END_TEST

static void hears_or_fails(struct job_inside *inside, struct job_message *message)
{
    size_t len;
    (void)job_message_bytes(message, &len);
    if (len == 1)
        job_inside_fail(inside, -EDOM, "one byte");
    else
        hears(inside, message);
}

static const struct job_inside_events frail = {.message = hears_or_fails};

static void listens_frailly(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    ck_assert_ok(job_inside_listen(inside, &frail));
}

static struct told three[3];

static void one_has_died(struct job_worker *worker, int code)
{
    on_exit_code(worker, code);
    if (worker != &three[1].worker)
        return;
    for (unsigned i = 0; i < 3; i += 2) {
        uint64_t value = 10 * i;
        ck_assert_ok(job_worker_post(&three[i].worker, &(struct job_post){.bytes = &value, .len = sizeof value}));
    }
}

static void stop_it(struct told *told)
{
    ck_assert_ok(job_worker_stop(&told->worker));
}

START_TEST(W08_a_failing_callback_ends_its_worker_alone)
{
    struct job_worker_events some = events;
    some.exit = one_has_died;
    memset(three, 0, sizeof three);
    for (unsigned i = 0; i < 3; i++) {
        three[i].then = stop_it;
        ck_assert_ok(job_worker_open(loop, &three[i].worker, listens_frailly, NULL, &some));
    }
    ck_assert_ok(job_worker_post(&three[1].worker, &(struct job_post){.bytes = "x", .len = 1}));
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(three[1].errors, 1);
    ck_assert_uint_eq(three[0].value, 1);
    ck_assert_uint_eq(three[2].value, 21);
    ck_assert_uint_eq(three[0].errors + three[2].errors, 0);
}
END_TEST

static uint64_t shared_id;

static void *terminate(void *arg)
{
    (void)arg;
    int err;
    while ((err = job_worker_stop_by_id(runtime, shared_id)) == 0)
        sched_yield();
    ck_assert_int_eq(err, -ESRCH);
    return NULL;
}

START_TEST(W11_two_who_stop_it_at_once_end_it_once)
{
    pthread_t threads[2];
    open_worker(&w, listens, NULL);
    shared_id = job_worker_id(&w.worker);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, terminate, NULL), 0);
    run_to_end(&w);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(w.code, 1);
    ck_assert_int_eq(job_worker_stop(&w.worker), -ESRCH);
    ck_assert_int_eq(job_worker_stop_by_id(runtime, shared_id), -ESRCH);
    ck_assert_int_eq(job_worker_stop(NULL), -EINVAL);
}
END_TEST

/* A worker with a worker that counts in a region. */
static struct job_region *counter;
static struct job_worker nested;

static void count(struct job_timer *timer)
{
    (void)job_region_add32(counter, 0, 1, NULL);
    ck_assert_ok(job_timer_start(timer, 0));
}

static struct job_timer counting;

static void counts(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    ck_assert_ok(job_timer_open(job_inside_loop(inside), &counting, count));
    ck_assert_ok(job_timer_start(&counting, 0));
}

static void nested_is_online(struct job_worker *worker)
{
    (void)worker;
    post_value(job_inside_current(), 1);
}

static void nested_exits(struct job_worker *worker, int code)
{
    (void)worker;
    (void)job_region_store32(counter, 4, 1 + (uint32_t)code);
}

static const struct job_worker_events nested_events = {.online = nested_is_online, .exit = nested_exits};

static void nests(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    ck_assert_ok(job_worker_open(job_inside_loop(inside), &nested, counts, NULL, &nested_events));
}

START_TEST(W13_stopping_a_worker_stops_its_workers_first)
{
    uint32_t before = 0, after = 0, was_told = 0;
    ck_assert_ok(job_region_open(runtime, 64, &counter));
    w.then = stop_it;
    open_worker(&w, nests, NULL);
    run_to_end(&w);
    ck_assert_ok(job_region_load32(counter, 4, &was_told));
    ck_assert_uint_eq(was_told, 2);   /* exit 1, before its parent's */
    ck_assert_ok(job_region_load32(counter, 0, &before));
    usleep(2000);
    ck_assert_ok(job_region_load32(counter, 0, &after));
    ck_assert_uint_eq(before, after);
    job_region_release(&counter);
}
END_TEST

START_TEST(W14_ids_are_unique_and_never_used_again)
{
    uint64_t last = 0;
    struct job_worker_stats stats;
    for (unsigned i = 0; i < fixture_rounds("IDS", 200); i++) {
        memset(&w, 0, sizeof w);
        open_worker(&w, ends_at_once, NULL);
        uint64_t id = job_worker_id(&w.worker);
        ck_assert_uint_gt(id, last);
        last = id;
        run_to_end(&w);
        ck_assert_int_eq(job_worker_stats(runtime, id, &stats), -ESRCH);
        ck_assert_int_eq(job_worker_post_to(runtime, id, &(struct job_post){0}), -ESRCH);
    }
    ck_assert_int_eq(job_worker_stats(runtime, 0, &stats), -ESRCH);
}
END_TEST

static size_t stack_bytes, guard_bytes;
static char comm[32];
static cpu_set_t cpus;
static int nice_value;

static void looks_at_itself(struct job_inside *inside, struct job_message *start)
{
    char path[64];
    pthread_attr_t attributes;
    (void)inside, (void)start;
    snprintf(path, sizeof path, "/proc/self/task/%d/comm", (int)syscall(SYS_gettid));
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(fgets(comm, sizeof comm, file));
    fclose(file);
    ck_assert_int_eq(pthread_getattr_np(pthread_self(), &attributes), 0);
    pthread_attr_getstacksize(&attributes, &stack_bytes);
    pthread_attr_getguardsize(&attributes, &guard_bytes);
    pthread_attr_destroy(&attributes);
    ck_assert_int_eq(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    nice_value = getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
}

START_TEST(W15_W16_J10_J11_name_stack_nice_and_affinity_are_those_asked_for)
{
    cpu_set_t mine;
    uint64_t mask = 0;
    ck_assert_int_eq(sched_getaffinity(0, sizeof mine, &mine), 0);
    for (size_t i = 0; i < 64 && mask == 0; i++)
        mask = CPU_ISSET(i, &mine) ? UINT64_C(1) << i : 0;
    struct job_worker_options options = {
        .name = "a-name-longer-than-15", .stack_bytes = 300001, .nice = 3, .affinity = &mask, .affinity_words = 1};
    open_worker(&w, looks_at_itself, &options);
    run_to_end(&w);
    ck_assert_str_eq(comm, "a-name-longer-t\n");
    ck_assert_uint_ge(stack_bytes, 300001);
    if (FIXTURE_SLOWER == 1)   /* a sanitizer adds its own */
        ck_assert_uint_le(stack_bytes, 320000);
    ck_assert_uint_gt(guard_bytes, 0);
    ck_assert_int_eq(CPU_COUNT(&cpus), 1);
    ck_assert_int_eq(nice_value, getpriority(PRIO_PROCESS, 0) + 3);
    options = (struct job_worker_options){.stack_bytes = 100};
    ck_assert_int_eq(job_worker_open(loop, &w.worker, ends_at_once, &options, &events), -EINVAL);
    options = (struct job_worker_options){.nice = 20};
    ck_assert_int_eq(job_worker_open(loop, &w.worker, ends_at_once, &options, &events), -EINVAL);
    options = (struct job_worker_options){.memory_limit_bytes = 4096};
    ck_assert_int_eq(job_worker_open(loop, &w.worker, ends_at_once, &options, &events), -EINVAL);
    ck_assert_int_eq(job_worker_open(NULL, &w.worker, ends_at_once, NULL, &events), -EINVAL);
    ck_assert_int_eq(job_worker_open(loop, &w.worker, NULL, NULL, &events), -EINVAL);
}
END_TEST

static int recurse(int depth)
{
    volatile char more[4096];
    more[0] = (char)depth;
    return depth > 1000000 ? more[0] : recurse(depth + 1) + more[0];
}

static void overflows(struct job_inside *inside, struct job_message *start)
{
    (void)inside, (void)start;
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGSEGV, SIG_DFL);
    _exit(recurse(0) & 1);
}

START_TEST(W16_a_stack_that_overflows_meets_its_guard_page)
{
    pid_t child = fork();
    if (child == 0) {
        struct job_runtime *own = NULL;
        struct job_loop *parent = NULL;
        struct job_worker_options options = {.stack_bytes = 65536};
        if (job_runtime_open(&own, NULL) < 0 || job_loop_open(own, &parent, NULL) < 0 ||
            job_worker_open(parent, &w.worker, overflows, &options, &events) < 0)
            _exit(2);
        (void)job_loop_run(parent);
        _exit(3);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSIGNALED(status) || WEXITSTATUS(status) == 1, "status %x", (unsigned)status);   /* ASan ends by itself */
}
END_TEST

enum { LIMIT = 16 << 20 };

static void allocates(struct job_inside *inside, struct job_message *start)
{
    struct job_buf *bufs[64] = {0};
    uint64_t got = 0;
    (void)start;
    for (unsigned i = 0; i < 64; i++) {
        int err = job_buf_alloc(job_inside_arena(inside), 1000000, NULL, &bufs[i]);
        if (err == 0)
            got++;
        else
            ck_assert_int_eq(err, -ENOMEM);
    }
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &bufs[0]};
    struct job_post post = {.bytes = &got, .len = sizeof got, .items = &item, .count = 1};
    ck_assert_ok(job_inside_post(inside, &post));
    for (unsigned i = 0; i < 64; i++)
        job_buf_free(&bufs[i]);
}

static struct job_buf *survivor;

static void takes_buf(struct job_worker *worker, struct job_message *message)
{
    on_message(worker, message);
    survivor = job_message_take_buf(message, 0);
}

START_TEST(W17_X15_a_memory_limit_is_the_workers_own_and_its_bufs_outlive_it)
{
    struct job_worker_events taking = events;
    struct job_worker_options options = {.memory_limit_bytes = LIMIT};
    taking.message = takes_buf;
    for (unsigned i = 0; i < 3; i++) {   /* also in an arena that is used again */
        memset(&w, 0, sizeof w);
        ck_assert_ok(job_worker_open(loop, &w.worker, allocates, &options, &taking));
        run_to_end(&w);
        ck_assert_uint_ge(w.value, 8);
        ck_assert_uint_le(w.value, 16);
        ck_assert_ptr_nonnull(survivor);
        memset(job_buf_room(survivor, NULL), 1, 1000);
        job_buf_free(&survivor);
    }
    struct job_buf *buf = NULL;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 1000000, NULL, &buf));   /* others are not concerned */
    job_buf_free(&buf);
}
END_TEST

START_TEST(W19_a_start_message_that_cannot_be_sent_starts_no_thread)
{
    struct job_counts before, after;
    struct job_buf *buf = NULL, *none = NULL;
    int descriptors = fixture_descriptors();
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 100, NULL, &buf));
    struct job_item items[] = {{.kind = JOB_ITEM_BUF, .buf = &buf}, {.kind = JOB_ITEM_BUF, .buf = &none}};
    struct job_worker_options options = {.start = {.items = items, .count = 2}};
    job_runtime_counts(runtime, &before);
    ck_assert_int_eq(job_worker_open(loop, &w.worker, ends_at_once, &options, &events), -EINVAL);
    job_runtime_counts(runtime, &after);
    ck_assert_uint_eq(after.threads, before.threads);
    ck_assert_uint_eq(after.handles, before.handles);
    ck_assert_int_eq(fixture_descriptors(), descriptors);
    ck_assert_ptr_nonnull(buf);
    ck_assert_uint_eq(w.exits + w.closed, 0);
    options.start.count = 1;
    ck_assert_ok(job_worker_open(loop, &w.worker, ends_at_once, &options, &events));
    ck_assert_ptr_null(buf);
    run_to_end(&w);
}
END_TEST

START_TEST(sizes_that_round_up_to_nothing_are_refused)
{
    struct job_worker_options stack = {.stack_bytes = SIZE_MAX}, memory = {.memory_limit_bytes = SIZE_MAX};
    ck_assert_int_eq(job_worker_open(loop, &w.worker, ends_at_once, &stack, &events), -EINVAL);
    ck_assert_int_eq(job_worker_open(loop, &w.worker, ends_at_once, &memory, &events), -EINVAL);
    memory.memory_limit_bytes = SIZE_MAX / 2;   /* more than an arena can be */
    ck_assert_int_eq(job_worker_open(loop, &w.worker, ends_at_once, &memory, &events), -EINVAL);
}
END_TEST

START_TEST(W21_without_descriptors_open_is_refused_and_others_go_on)
{
    enum { MANY = 64 };
    static struct told many[MANY];
    struct rlimit limit, few;
    unsigned open = 0, refused = 0;
    memset(many, 0, sizeof many);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few = limit;
    few.rlim_cur = (rlim_t)fixture_descriptors() + 20;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    for (unsigned i = 0; i < MANY; i++) {
        int err = job_worker_open(loop, &many[i].worker, listens, NULL, &events);
        ck_assert(err == 0 || err == -EMFILE || err == -ENFILE || err == -ENOMEM || err == -EAGAIN);
        open += err == 0;
        refused += err < 0;
    }
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_uint_gt(open, 0);
    ck_assert_uint_gt(refused, 0);
    ck_assert_uint_eq(job_worker_list(runtime, NULL, 0), open);
    for (unsigned i = 0; i < MANY; i++)
        job_worker_close(&many[i].worker);
    ck_assert_int_eq(job_loop_run(loop), 0);
}
END_TEST

START_TEST(W29_an_unreferenced_worker_lets_its_parents_loop_return)
{
    open_worker(&w, listens, NULL);
    job_handle_unref(&w.worker.handle);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(w.exits, 0);
    job_handle_ref(&w.worker.handle);
    ck_assert(job_handle_has_ref(&w.worker.handle));
    ck_assert_ok(job_worker_stop(&w.worker));
    run_to_end(&w);
}
END_TEST

static sigset_t blocked;

static void looks_at_signals(struct job_inside *inside, struct job_message *start)
{
    (void)inside, (void)start;
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
}

START_TEST(W30_W31_a_worker_blocks_signals_and_changes_nothing_of_the_process)
{
    sigset_t before, after;
    char directory[2][PATH_MAX];
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    mode_t mask = umask(022);
    umask(mask);
    ck_assert_ptr_nonnull(getcwd(directory[0], PATH_MAX));
    open_worker(&w, looks_at_signals, NULL);
    run_to_end(&w);
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    static const int numbers[] = {SIGTERM, SIGINT, SIGUSR1, SIGCHLD, SIGPIPE, SIGALRM};
    for (unsigned i = 0; i < 6; i++) {
        ck_assert(sigismember(&blocked, numbers[i]));
        ck_assert_int_eq(sigismember(&before, numbers[i]), sigismember(&after, numbers[i]));
    }
    ck_assert_ptr_nonnull(getcwd(directory[1], PATH_MAX));
    ck_assert_str_eq(directory[0], directory[1]);
    mode_t mask_after = umask(022);
    umask(mask_after);
    ck_assert_uint_eq(mask, mask_after);
}
END_TEST

static void posts_to_itself(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    uint64_t err = (uint64_t)-job_worker_post_to(runtime, job_inside_id(inside), &(struct job_post){0});
    post_value(inside, err);
}

START_TEST(W34_any_thread_posts_to_a_worker_by_its_id)
{
    uint64_t value = 41;
    open_worker(&w, listens, NULL);
    w.then = stop_it;
    struct job_post post = {.bytes = &value, .len = sizeof value};
    ck_assert_ok(job_worker_post_to(runtime, job_worker_id(&w.worker), &post));
    run_to_end(&w);
    ck_assert_uint_eq(w.value, 42);
    memset(&w, 0, sizeof w);
    open_worker(&w, posts_to_itself, NULL);
    run_to_end(&w);
    ck_assert_uint_eq(w.value, EINVAL);
    ck_assert_int_eq(job_worker_post_to(runtime, 1000000, &post), -ESRCH);
    ck_assert_int_eq(job_worker_post_to(NULL, 1, &post), -EINVAL);
}
END_TEST

static struct job_rpc served;                    /* the worker's */
static struct job_rpc asking;
static struct job_rpc_call asked[2];
static int statuses[2];
static unsigned dones;
static atomic_uint handled;

static void on_asked(struct job_rpc *rpc, struct job_message *call)
{
    size_t len;
    job_message_bytes(call, &len);
    handled++;
    if (len > 0)
        job_inside_exit(job_inside_current(), 3);   /* without an answer */
    else
        ck_assert_ok(job_rpc_answer(rpc, &call, -EIO, NULL));
}

static const struct job_rpc_events serving = {.call = on_asked};

static void gets_an_end(struct job_inside *inside, struct job_message *message)
{
    struct job_end *end = job_message_take_end(message, 0);
    ck_assert_ok(job_rpc_open(job_inside_loop(inside), &served, &end, NULL, &serving));
}

static const struct job_inside_events getting = {.message = gets_an_end};

static void waits_for_an_end(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    ck_assert_ok(job_inside_listen(inside, &getting));
}

static void on_answered(struct job_rpc_call *call, int status, struct job_message *answer)
{
    unsigned index = (unsigned)(call - asked);
    ck_assert((answer != NULL) == (index == 0));
    statuses[index] = status;
    dones++;
    if (index == 0) {
        ck_assert_uint_eq(handled, 1);   /* its handler has run, and has failed */
        ck_assert_ok(job_rpc_call(&asking, &asked[1], &(struct job_post){.bytes = "x", .len = 1}, 0));
    }
}

static const struct job_rpc_events asks = {0};

/* The other errors: -EINVAL and -ESRCH are job_worker_post_to()'s, -ETIMEDOUT and -ENOSYS are seen in test_rpc.c. */
START_TEST(W34_a_call_to_a_worker_by_its_id_ends_when_its_handler_has_run_or_the_worker_has_ended)
{
    struct job_end *ours = NULL, *theirs = NULL;
    struct job_item item = {.kind = JOB_ITEM_END, .end = &theirs};
    struct job_post post = {.items = &item, .count = 1};
    asked[0].done = asked[1].done = on_answered;
    open_worker(&w, waits_for_an_end, NULL);
    ck_assert_ok(job_channel_open(runtime, &ours, &theirs, NULL));
    ck_assert_int_eq(job_worker_post_to(runtime, 1000000, &post), -ESRCH);
    ck_assert_ok(job_worker_post_to(runtime, job_worker_id(&w.worker), &post));
    ck_assert_ok(job_rpc_open(loop, &asking, &ours, NULL, &asks));
    ck_assert_ok(job_rpc_call(&asking, &asked[0], NULL, 0));

    run_to_end(&w);

    ck_assert_uint_eq(dones, 2);
    ck_assert_int_eq(statuses[0], -EIO);
    ck_assert_int_eq(statuses[1], -EOWNERDEAD);
    ck_assert_int_eq(w.code, 3);
}
END_TEST

START_TEST(a_forked_child_has_no_workers)
{
    struct job_worker_stats stats;
    struct job_post post = {.bytes = "x", .len = 1};
    open_worker(&w, listens, NULL);
    uint64_t id = job_worker_id(&w.worker);
    pid_t child = fork();
    if (child == 0) {
        alarm(10);
        bool is_right = job_worker_stop_by_id(runtime, id) == -EPERM &&
                        job_worker_post_to(runtime, id, &post) == -EPERM &&
                        job_worker_stats(runtime, id, &stats) == -EPERM && job_worker_list(runtime, NULL, 0) == 0;
        _exit(is_right ? 0 : 1);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    job_worker_close(&w.worker);
    run_to_end(&w);
}
END_TEST

static void stops_when_full(struct told *told)
{
    (void)told;
}

static void blocks_until_told(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    uint32_t value = 0;
    post_value(inside, 1);
    while (value == 0) {   /* a callback that does not return */
        ck_assert_ok(job_region_load32(counter, 0, &value));
        sched_yield();
    }
}

START_TEST(P25_a_full_queue_does_not_hold_up_a_stop)
{
    unsigned accepted = 0;
    ck_assert_ok(job_region_open(runtime, 64, &counter));
    w.then = stops_when_full;
    open_worker(&w, blocks_until_told, &(struct job_worker_options){.channel = {.messages_max = 8}});
    while (job_worker_post(&w.worker, &(struct job_post){0}) == 0)
        accepted++;
    ck_assert_uint_le(accepted, 8);
    ck_assert_ok(job_worker_stop(&w.worker));
    ck_assert_ok(job_region_store32(counter, 0, 1));
    run_to_end(&w);
    ck_assert_int_eq(w.code, 1);
    job_region_release(&counter);
}
END_TEST

static void free_it(struct job_worker *worker, const void *function)
{
    on_stuck(worker, function);
    ck_assert_ok(job_region_store32(counter, 0, 1));
}

START_TEST(O04_a_worker_that_does_not_return_is_reported_stuck_with_its_function)
{
    struct job_worker_events stuck = events;
    struct job_runtime *quiet = NULL;
    struct job_loop *parent = NULL;
    stuck.stuck = free_it;
    ck_assert_ok(job_runtime_open(&quiet, NULL));   /* it says so in the log */
    ck_assert_ok(job_loop_open(quiet, &parent, NULL));
    ck_assert_ok(job_region_open(runtime, 64, &counter));
    w.then = stop_it;
    struct job_worker_options options = {.stop_timeout_ns = 20000000, .name = "hangs"};
    ck_assert_ok(job_worker_open(parent, &w.worker, blocks_until_told, &options, &stuck));
    ck_assert_int_eq(job_loop_run(parent), 0);   /* does not wait for it any more */
    ck_assert_uint_eq(w.stuck, 1);
    ck_assert_ptr_eq(w.running, (const void *)(uintptr_t)blocks_until_told);
    ck_assert_ok(job_loop_close(&parent, 0));    /* does, up to its deadline */
    ck_assert_uint_eq(w.exits, 1);
    ck_assert_uint_eq(w.closed, 1);
    ck_assert_int_eq(w.code, 1);
    job_region_release(&counter);
    fixture_close(quiet);
}
END_TEST

/* What hangs leaves a runtime that cannot be closed, so these run in a child, which says by its exit code what it saw: 0, or the number of
 * the line that was not true. */
#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                                    \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

static void in_a_child(void (*body)(void))
{
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        alarm(20);
        body();
        _exit(0);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

/* A task in a thread of the runtime's that reads from a pipe in which nobody writes; what a user would free in `closed`. */
struct reading {
    struct job_timer timer;
    struct job_task task;
    int fds[2];
    atomic_uint has_begun, has_ended;
    unsigned char byte;
};

static struct reading *reading;

static void reads_the_pipe(struct job_task *task)
{
    struct reading *mine = job_container_of(task, struct reading, task);
    atomic_store(&mine->has_begun, 1);
    (void)!read(mine->fds[0], &mine->byte, 1);
    atomic_store(&mine->has_ended, 1);
}

static void is_through(struct job_task *task, int status)
{
    (void)task, (void)status;
}

static void never(struct job_timer *timer)
{
    (void)timer;
}

static void reads_a_pipe(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    MUST(job_timer_open(job_inside_loop(inside), &reading->timer, never) == 0);
    MUST(job_task_init(&reading->task, job_runtime_calls(runtime), reads_the_pipe, is_through) == 0);
    MUST(job_submit(job_runtime_calls(runtime), &reading->task, &reading->timer.handle) == 0);
    while (!atomic_load(&reading->has_begun))
        sched_yield();
    post_value(inside, 1);
    MUST(job_inside_listen(inside, &hearing) == 0);
}

static void open_reading(void)
{
    memset(&w, 0, sizeof w);
    reading = calloc(1, sizeof *reading);
    MUST(reading && pipe(reading->fds) == 0);
    MUST(job_runtime_open(&runtime, NULL) == 0);   /* quiet: it says so in the log */
    MUST(job_loop_open(runtime, &loop, NULL) == 0);
    w.then = stop_it;
}

/* The call returns at last: it writes where it was told to, and nobody may have freed that. */
static void let_it_end(void)
{
    MUST(write(reading->fds[1], "x", 1) == 1);
    while (!atomic_load(&reading->has_ended))
        sched_yield();
    MUST(reading->byte == 'x');
    MUST(job_runtime_close(&runtime) == -EBUSY);
}

static void leaves_a_call_behind(void)
{
    open_reading();
    struct job_worker_options options = {.stop_timeout_ns = 20000000, .memory_limit_bytes = LIMIT};
    MUST(job_worker_open(loop, &w.worker, reads_a_pipe, &options, &events) == 0);
    MUST(job_loop_run(loop) == 0);
    MUST(w.stuck <= 1);
    while (w.left == 0 && w.closed == 0)   /* reported stuck in between, it does not keep the loop alive */
        MUST(job_loop_run(loop) == 0);
    MUST(w.exits == 1 && w.code == 1);
    MUST(w.left == 1 && w.closed == 0);
    MUST(strcmp(w.left_what, "timer") == 0 && w.left_count == 1);
    MUST(job_worker_stop(&w.worker) == -ESRCH);
    memset(&w.worker, 0xff, sizeof w.worker);   /* ours again */
    MUST(job_loop_close(&loop, 0) == -ETIMEDOUT);
    let_it_end();
}

START_TEST(what_has_not_ended_is_told_as_left_and_never_as_closed)
{
    in_a_child(leaves_a_call_behind);
}
END_TEST

static unsigned hung_workers;

static void counts_hung(void *arg, const struct job_hung *hung)
{
    (void)arg;
    hung_workers += strcmp(hung->what, "worker") == 0;
}

static struct told inner;

static void nests_the_reader(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    inner.then = stop_it;
    struct job_worker_options options = {.stop_timeout_ns = 10000000};
    MUST(job_worker_open(job_inside_loop(inside), &inner.worker, reads_a_pipe, &options, &events) == 0);
}

static void leaves_a_call_behind_below(void)
{
    open_reading();
    w.then = NULL;
    MUST(job_loop_close(&loop, 0) == 0);
    MUST(job_loop_open(runtime, &loop, &(struct job_loop_options){.hung = counts_hung}) == 0);
    MUST(job_worker_open(loop, &w.worker, nests_the_reader, NULL, &events) == 0);
    MUST(job_loop_run(loop) == 0);
    MUST(inner.exits == 1 && inner.left == 1 && inner.closed == 0);
    MUST(w.exits == 1 && w.left == 1 && w.closed == 0);
    MUST(strcmp(w.left_what, "worker") == 0);
    MUST(hung_workers == 1);
    let_it_end();
}

START_TEST(what_a_worker_of_a_worker_leaves_is_left_by_both)
{
    in_a_child(leaves_a_call_behind_below);
}
END_TEST

static void hangs_for_ever(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    post_value(inside, 1);
    for (;;)
        pause();
}

static void close_it(struct told *told)
{
    job_worker_close(&told->worker);
}

static void waits_within_bounds(void (*how)(struct told *told))
{
    open_reading();
    w.then = how;
    struct job_worker_options options = {.stop_timeout_ns = 10000000, .name = "hangs"};
    MUST(job_worker_open(loop, &w.worker, hangs_for_ever, &options, &events) == 0);
    MUST(job_loop_run(loop) == 0);
    MUST(w.stuck == 1 && w.exits == 0);
    MUST(job_loop_run(loop) == 0);
    MUST(job_loop_close(&loop, 10000000) == -ETIMEDOUT);
    MUST(w.stuck == 1);
    MUST(w.exits + w.closed + w.left == 0);
    MUST(job_runtime_close(&runtime) == -EBUSY);
}

static void waits_for_one_that_was_closed(void)
{
    waits_within_bounds(close_it);
}

static void waits_for_one_that_was_stopped(void)
{
    waits_within_bounds(stop_it);
}

START_TEST(a_stuck_worker_is_told_once_and_holds_up_neither_run_nor_close)
{
    in_a_child(waits_for_one_that_was_closed);
    in_a_child(waits_for_one_that_was_stopped);
}
END_TEST

static void ends_too_slowly(void)
{
    open_reading();
    w.then = NULL;
    struct job_worker_options options = {.stop_timeout_ns = 1};   /* over before its loop has begun to close */
    MUST(job_worker_open(loop, &w.worker, posts_two, &options, &events) == 0);
    MUST(job_loop_run(loop) == 0);
    MUST(w.messages == 2 && w.exits == 1 && w.left == 1 && w.closed == 0);
}

static bool post_is_stopping;   /* behind job_inside_exit() */

static void runs_until_it_is_asked_to_stop(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    MUST(!job_inside_is_stopping(inside));
    post_value(inside, 1);
    while (!job_inside_is_stopping(inside))
        sched_yield();
}

static void says_that_it_ends(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    job_inside_exit(inside, 0);
    post_is_stopping = job_inside_is_stopping(inside);
}

START_TEST(a_callback_that_goes_on_for_long_can_see_that_its_worker_shall_end)
{
    w.then = stop_it;
    open_worker(&w, runs_until_it_is_asked_to_stop, NULL);
    run_to_end(&w);
    ck_assert_uint_eq(w.stuck, 0);
    memset(&w, 0, sizeof w);
    open_worker(&w, says_that_it_ends, NULL);
    run_to_end(&w);
    ck_assert(post_is_stopping);
    ck_assert(!job_inside_is_stopping(NULL));
}
END_TEST

START_TEST(a_loop_that_was_not_closed_in_time_does_not_hide_its_end_from_the_parent)
{
    in_a_child(ends_too_slowly);
}
END_TEST

static uint64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static void burns(struct job_inside *inside, struct job_message *message)
{
    uint64_t until = now_ns(CLOCK_THREAD_CPUTIME_ID) + 50000000;
    while (now_ns(CLOCK_THREAD_CPUTIME_ID) < until) {
    }
    hears(inside, message);
}

static const struct job_inside_events burning = {.message = burns};

static void listens_and_burns(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    ck_assert_ok(job_inside_listen(inside, &burning));
    post_value(inside, 0);
}

static struct job_worker_stats before_burning, after_burning;

static void look(struct told *told)
{
    uint64_t id = job_worker_id(&told->worker);
    if (told->messages == 1) {
        usleep(20000);   /* it sleeps meanwhile */
        ck_assert_ok(job_worker_stats(runtime, id, &before_burning));
        ck_assert_ok(job_worker_post(&told->worker, &(struct job_post){0}));
        return;
    }
    ck_assert_ok(job_worker_stats(runtime, id, &after_burning));
    ck_assert_ok(job_worker_stop(&told->worker));
}

START_TEST(O01_O02_O03_time_and_memory_of_a_worker_can_be_read_while_it_lives)
{
    uint64_t ids[2];
    open_worker(&w, listens_and_burns, &(struct job_worker_options){.memory_limit_bytes = LIMIT, .name = "burner"});
    w.then = look;
    ck_assert_uint_eq(job_worker_list(runtime, ids, 2), 1);
    ck_assert_uint_eq(ids[0], job_worker_id(&w.worker));
    run_to_end(&w);
    ck_assert_str_eq(before_burning.name, "burner");
    ck_assert_uint_gt(before_burning.idle_ns, 0);
    ck_assert_uint_ge(after_burning.cpu_ns - before_burning.cpu_ns, 50000000);
    ck_assert_uint_ge(after_burning.active_ns - before_burning.active_ns, 50000000);
    ck_assert_uint_ge(after_burning.idle_ns, before_burning.idle_ns);
    ck_assert_uint_eq(after_burning.memory_limit_bytes, LIMIT);
    ck_assert_int_eq(job_worker_stats(runtime, ids[0], &after_burning), -ESRCH);
}
END_TEST

START_TEST(closing_the_parents_loop_stops_its_workers)
{
    struct job_loop *parent = NULL;
    ck_assert_ok(job_loop_open(runtime, &parent, NULL));
    ck_assert_ok(job_worker_open(parent, &w.worker, listens, NULL, &events));
    ck_assert_ok(job_loop_close(&parent, 0));
    ck_assert_uint_eq(w.exits, 1);
    ck_assert_uint_eq(w.closed, 1);
    ck_assert_int_eq(w.code, 1);
}
END_TEST

START_TEST(what_was_sent_to_a_worker_before_it_listens_is_not_lost)
{
    uint64_t value = 5;
    struct job_post post = {.bytes = &value, .len = sizeof value};
    open_worker(&w, says_and_listens, NULL);
    for (unsigned i = 0; i < 10; i++)
        ck_assert_ok(job_worker_post(&w.worker, &post));
    ck_assert_ok(job_worker_stats(runtime, job_worker_id(&w.worker), &before_burning));
    while (w.messages < 11) {
        job_loop_stop(loop);
        ck_assert_int_eq(job_loop_run(loop), 1);
    }
    job_worker_close(&w.worker);
    run_to_end(&w);
    ck_assert_uint_eq(w.value, 6);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker");
    TCase *tcase = tcase_create("worker");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, W02_online_comes_once_and_before_the_first_message);
    tcase_add_test(tcase, W05_exit_ends_only_the_worker_and_its_code_arrives);
    tcase_add_test(tcase, W06_a_failure_is_told_with_its_text_and_then_exit_1);
    tcase_add_test(tcase, W07_a_failure_that_nobody_listens_to_fails_the_parent);
    tcase_add_test(tcase, W08_a_failing_callback_ends_its_worker_alone);
    tcase_add_test(tcase, W11_two_who_stop_it_at_once_end_it_once);
    tcase_add_test(tcase, W13_stopping_a_worker_stops_its_workers_first);
    tcase_add_test(tcase, W14_ids_are_unique_and_never_used_again);
    tcase_add_test(tcase, W15_W16_J10_J11_name_stack_nice_and_affinity_are_those_asked_for);
    tcase_add_test(tcase, W16_a_stack_that_overflows_meets_its_guard_page);
    tcase_add_test(tcase, W17_X15_a_memory_limit_is_the_workers_own_and_its_bufs_outlive_it);
    tcase_add_test(tcase, W19_a_start_message_that_cannot_be_sent_starts_no_thread);
    tcase_add_test(tcase, sizes_that_round_up_to_nothing_are_refused);
    tcase_add_test(tcase, W21_without_descriptors_open_is_refused_and_others_go_on);
    tcase_add_test(tcase, W29_an_unreferenced_worker_lets_its_parents_loop_return);
    tcase_add_test(tcase, W30_W31_a_worker_blocks_signals_and_changes_nothing_of_the_process);
    tcase_add_test(tcase, W34_any_thread_posts_to_a_worker_by_its_id);
    tcase_add_test(tcase, W34_a_call_to_a_worker_by_its_id_ends_when_its_handler_has_run_or_the_worker_has_ended);
    tcase_add_test(tcase, a_forked_child_has_no_workers);
    tcase_add_test(tcase, P25_a_full_queue_does_not_hold_up_a_stop);
    tcase_add_test(tcase, O04_a_worker_that_does_not_return_is_reported_stuck_with_its_function);
    tcase_add_test(tcase, what_has_not_ended_is_told_as_left_and_never_as_closed);
    tcase_add_test(tcase, what_a_worker_of_a_worker_leaves_is_left_by_both);
    tcase_add_test(tcase, a_stuck_worker_is_told_once_and_holds_up_neither_run_nor_close);
    tcase_add_test(tcase, a_callback_that_goes_on_for_long_can_see_that_its_worker_shall_end);
    tcase_add_test(tcase, a_loop_that_was_not_closed_in_time_does_not_hide_its_end_from_the_parent);
    tcase_add_test(tcase, O01_O02_O03_time_and_memory_of_a_worker_can_be_read_while_it_lives);
    tcase_add_test(tcase, closing_the_parents_loop_stops_its_workers);
    tcase_add_test(tcase, what_was_sent_to_a_worker_before_it_listens_is_not_lost);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
