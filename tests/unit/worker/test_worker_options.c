/* test_worker_options.c — what a worker is given: name, stack, limits, its start message; and what others can ask about it. */
#include <limits.h>
#include <signal.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "memory/arena.h"
#include "workers.h"

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
    volatile char more[1024];   /* no step is as long as a page */
    more[0] = (char)depth;
    return depth > 1000000 ? more[0] : recurse(depth + 1) + more[0];
}

static const char *guard_begins, *guard_ends;

/* On a stack of its own. */
static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    const char *at = info->si_addr;
    _exit(at >= guard_begins && at < guard_ends ? 42 : 4);
}

static void overflows(struct job_inside *inside, struct job_message *start)
{
    static char other_stack[65536];
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    stack_t on_other_stack = {.ss_sp = other_stack, .ss_size = sizeof other_stack};
    struct rlimit none = {0, 0};
    pthread_attr_t attributes;
    void *lowest;
    size_t size, guard;
    (void)inside, (void)start;
    setrlimit(RLIMIT_CORE, &none);
    if (pthread_getattr_np(pthread_self(), &attributes) != 0 || sigaltstack(&on_other_stack, NULL) != 0)
        _exit(5);
    pthread_attr_getstack(&attributes, &lowest, &size);
    pthread_attr_getguardsize(&attributes, &guard);
    guard_ends = lowest;
    guard_begins = guard_ends - guard;
    sigaction(SIGSEGV, &action, NULL);
    sigset_t faults;
    sigemptyset(&faults);
    sigaddset(&faults, SIGSEGV);
    pthread_sigmask(SIG_UNBLOCK, &faults, NULL);
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
    bool is_found = WIFEXITED(status) && WEXITSTATUS(status) == 42;
    bool is_ended_by_sanitizer = FIXTURE_SLOWER > 1 && (WIFSIGNALED(status) || WEXITSTATUS(status) == 1);
    ck_assert_msg(is_found || is_ended_by_sanitizer, "status %x", (unsigned)status);
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

static void fills_its_arena(struct job_inside *inside, struct job_message *start)
{
    struct job_buf *bufs[64] = {0};
    unsigned count = 0;
    (void)start;
    while (count < 64 && job_buf_alloc(job_inside_arena(inside), 1000000, NULL, &bufs[count]) == 0)
        count++;
    post_value(inside, count);
    while (count > 0)
        job_buf_free(&bufs[--count]);
}

static unsigned spare_arenas(void)
{
    unsigned count = 0;
    for (struct job_arena *at = ((struct root *)runtime)->spare_arenas; at; at = at->next_spare)
        count++;
    return count;
}

static void runs_with(size_t limit)
{
    struct job_worker_options options = {.memory_limit_bytes = limit};
    memset(&w, 0, sizeof w);
    open_worker(&w, fills_its_arena, &options);
    run_to_end(&w);
    ck_assert_uint_le(w.value, limit >> 20);
    ck_assert_uint_ge(w.value, (limit >> 20) - 1);   /* its ring and its cache */
}

START_TEST(workers_that_follow_each_other_share_an_arena_whatever_their_limits)
{
    for (unsigned i = 0; i < 100; i++)
        runs_with((9 << 20) + i * 37 % 100 * 4096);   /* up and down */
    ck_assert_uint_eq(spare_arenas(), 1);
    runs_with(40 << 20);   /* more addresses than that one has */
    ck_assert_uint_eq(spare_arenas(), 2);
    for (unsigned i = 0; i < 10; i++)
        runs_with((size_t)(i % 2 ? 48 : 3) << 20);
    ck_assert_uint_eq(spare_arenas(), 2);
}
END_TEST

static size_t range_of(const struct job_arena *arena)
{
    return (size_t)arena->chunk_count << CHUNK_BITS;
}

START_TEST(a_small_worker_keeps_no_large_one_from_its_arena)
{
    runs_with(40 << 20);
    runs_with(3 << 20);   /* opens one of its own */
    ck_assert_uint_eq(spare_arenas(), 2);
    struct job_arena *small = ((struct root *)runtime)->spare_arenas;
    ck_assert_uint_lt(range_of(small), 16 << 20);
    runs_with(33 << 20);
    runs_with(3 << 20);
    ck_assert_uint_eq(spare_arenas(), 2);
}
END_TEST

/* Its range is twice that, but there are addresses for no more than the limit. The next one of that limit gets it again. */
START_TEST(a_worker_for_whose_range_there_are_no_addresses_gets_those_of_its_limit)
{
    struct rlimit before, low;
    size_t pages = 0, limit = (size_t)513 << 20;
    struct job_worker_options options = {.memory_limit_bytes = limit};
    if (FIXTURE_SLOWER > 1)
        return;   /* a sanitizer has most of the addresses */
    runs_with(3 << 20);   /* what the first worker brings with it is there */
    FILE *file = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%zu", &pages), 1);
    fclose(file);
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
    low = (struct rlimit){pages * 4096 + ((size_t)800 << 20), before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &low), 0);

    for (unsigned i = 0; i < 3; i++) {
        memset(&w, 0, sizeof w);
        open_worker(&w, ends_at_once, &options);
        run_to_end(&w);
    }

    ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
    ck_assert_uint_eq(spare_arenas(), 2);
    ck_assert_uint_lt(range_of(((struct root *)runtime)->spare_arenas), (size_t)600 << 20);
}
END_TEST

START_TEST(a_worker_gets_no_arena_whose_pages_are_just_going)
{
    runs_with(LIMIT);
    struct job_arena *leaving = ((struct root *)runtime)->spare_arenas;
    arena_lock(&leaving->trimming);
    memset(&w, 0, sizeof w);
    open_worker(&w, ends_at_once, &(struct job_worker_options){.memory_limit_bytes = LIMIT});
    run_to_end(&w);
    arena_unlock(&leaving->trimming);
    ck_assert_uint_eq(spare_arenas(), 2);
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

static int refused_with;

static void opens_on_no_cpu(struct job_call *call)
{
    (void)call;
    uint64_t none = 0;
    struct job_worker_options options = {.affinity = &none, .affinity_words = 1, .memory_limit_bytes = 1 << 20};
    refused_with = job_worker_open(loop, &w.worker, ends_at_once, &options, &events);
}

START_TEST(a_worker_whose_thread_is_refused_in_a_callback_leaves_no_loop)
{
    int descriptors = fixture_descriptors();
    struct job_counts before, after;
    job_runtime_counts(runtime, &before);
    for (unsigned round = 0; round < 3; round++) {
        struct job_call call = {.run = opens_on_no_cpu};
        ck_assert_ok(job_loop_call(loop, &call));
        ck_assert_int_eq(job_loop_run(loop), 0);
        ck_assert_int_eq(refused_with, -EINVAL);   /* no CPU is in the mask */
    }
    job_runtime_counts(runtime, &after);
    ck_assert_int_eq(fixture_descriptors(), descriptors);
    ck_assert_uint_eq(after.threads, before.threads);
    open_worker(&w, ends_at_once, &(struct job_worker_options){.memory_limit_bytes = 1 << 20});   /* in the same arena */
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

static unsigned answers;

static void counts_answers(struct told *told)
{
    ck_assert_uint_eq(told->value, 8);   /* one more than it was sent */
    answers++;
    ck_assert_ok(job_worker_stop(&told->worker));
}

START_TEST(W21_without_descriptors_open_is_refused_and_others_go_on)
{
    enum { MANY = 64 };
    static struct told many[MANY];
    static const uint64_t seven = 7;
    struct rlimit limit, few;
    struct job_counts before, after;
    unsigned open = 0, refused = 0;
    int descriptors = fixture_descriptors();
    memset(many, 0, sizeof many);
    open_worker(&w, ends_at_once, NULL);   /* the helper runs from here on */
    run_to_end(&w);
    job_runtime_counts(runtime, &before);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few = limit;
    few.rlim_cur = (rlim_t)descriptors + 20;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    for (unsigned i = 0; i < MANY; i++) {
        int full = fixture_descriptors();
        int err = job_worker_open(loop, &many[i].worker, listens, NULL, &events);
        ck_assert(err == 0 || err == -EMFILE || err == -ENFILE || err == -ENOMEM || err == -EAGAIN);
        if (err < 0)
            ck_assert_int_eq(fixture_descriptors(), full);   /* of what was begun nothing is left */
        many[i].then = counts_answers;
        if (err == 0)
            ck_assert_ok(job_worker_post(&many[i].worker, &(struct job_post){.bytes = &seven, .len = sizeof seven}));
        open += err == 0;
        refused += err < 0;
    }
    answers = 0;
    ck_assert_uint_gt(open, 0);
    ck_assert_uint_gt(refused, 0);
    ck_assert_uint_eq(job_worker_list(runtime, NULL, 0), open);
    ck_assert_int_eq(job_loop_run(loop), 0);   /* still without descriptors */
    ck_assert_uint_eq(answers, open);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(fixture_descriptors(), descriptors);
    job_runtime_counts(runtime, &after);
    ck_assert_uint_eq(after.threads, before.threads);
    ck_assert_uint_eq(after.handles, before.handles);
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

START_TEST(W29_an_unreferenced_worker_that_is_stopped_tells_its_exit_before_the_loop_returns)
{
    for (unsigned by_id = 0; by_id < 2; by_id++) {
        memset(&w, 0, sizeof w);
        open_worker(&w, listens, NULL);
        job_handle_unref(&w.worker.handle);
        ck_assert_ok(by_id ? job_worker_stop_by_id(runtime, job_worker_id(&w.worker)) : job_worker_stop(&w.worker));
        run_to_end(&w);
        ck_assert_int_eq(w.code, 1);
    }
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
    ck_assert(!sigismember(&blocked, SIGSEGV));   /* nobody would hear of a fault */
    ck_assert_ptr_nonnull(getcwd(directory[1], PATH_MAX));
    ck_assert_str_eq(directory[0], directory[1]);
    mode_t mask_after = umask(022);
    umask(mask_after);
    ck_assert_uint_eq(mask, mask_after);
}
END_TEST

static atomic_uint laps, may_end;
static atomic_int taken_by;

static void runs_in_circles(struct job_inside *inside, struct job_message *start)
{
    (void)inside, (void)start;
    while (!atomic_load(&may_end)) {
        atomic_fetch_add(&laps, 1);
        sched_yield();
    }
}

static void on_signal(int number)
{
    (void)number;
    atomic_store(&taken_by, (int)syscall(SYS_gettid));
}

static bool is_pending(int number)
{
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, number);
}

/* The only thread of the user's blocks it, so no other one may take it: what the library has started blocks it as well. */
START_TEST(W31_a_signal_of_the_process_waits_for_a_thread_of_the_users_own)
{
    static const int numbers[] = {SIGTERM, SIGUSR1};
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t set, before;
    sigemptyset(&set);
    for (unsigned i = 0; i < 2; i++) {
        sigaction(numbers[i], &action, NULL);
        sigaddset(&set, numbers[i]);
    }
    open_worker(&w, runs_in_circles, NULL);
    pthread_sigmask(SIG_BLOCK, &set, &before);
    for (unsigned i = 0; i < 2; i++) {
        atomic_store(&taken_by, 0);
        ck_assert_int_eq(kill(getpid(), numbers[i]), 0);
        for (unsigned seen = atomic_load(&laps); atomic_load(&laps) - seen < 100;)
            sched_yield();
        ck_assert(is_pending(numbers[i]));
        ck_assert_int_eq(atomic_load(&taken_by), 0);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        ck_assert_int_eq(atomic_load(&taken_by), (int)syscall(SYS_gettid));
        pthread_sigmask(SIG_BLOCK, &set, NULL);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    atomic_store(&may_end, 1);
    run_to_end(&w);
}
END_TEST

static uint64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

enum { BURN_NS = 50000000, SLEEP_US = 20000, HELD_BYTES = 1000000, UNREAD = 3, UNREAD_BYTES = 100 };

static atomic_uint may_go_on;
static struct job_buf *held;
static int burner_tid;

static void tell_own_clock(struct job_inside *inside)
{
    post_value(inside, now_ns(CLOCK_THREAD_CPUTIME_ID));
}

static void burn(uint64_t for_ns)
{
    uint64_t until = now_ns(CLOCK_THREAD_CPUTIME_ID) + for_ns;
    while (now_ns(CLOCK_THREAD_CPUTIME_ID) < until) {
    }
}

static void burns(struct job_inside *inside, struct job_message *message)
{
    (void)message;
    if (atomic_load(&may_go_on))   /* those that waited */
        return;
    tell_own_clock(inside);
    burn(BURN_NS);
    ck_assert_ok(job_buf_alloc(job_inside_arena(inside), HELD_BYTES, NULL, &held));
    tell_own_clock(inside);
    while (!atomic_load(&may_go_on))
        sched_yield();
    job_buf_free(&held);
}

static void listens_and_burns(struct job_inside *inside, struct job_message *start)
{
    static const struct job_inside_events burning = {.message = burns};
    (void)start;
    burner_tid = (int)syscall(SYS_gettid);
    ck_assert_ok(job_inside_listen(inside, &burning));
    tell_own_clock(inside);
}

static struct job_worker_stats stats_of(const struct told *told)
{
    struct job_worker_stats stats;
    ck_assert_ok(job_worker_stats(runtime, job_worker_id(&told->worker), &stats));
    return stats;
}

static bool is_asleep(int tid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    const char *name_ends = strrchr(text, ')');
    return name_ends && name_ends[2] == 'S';
}

/* It has nothing to do: once it sleeps in its first wait, all time that passes is idle time. */
static void look_at_its_sleep(const struct told *told)
{
    struct job_worker_stats begin, end;
    while (stats_of(told).waits == 0 || !is_asleep(burner_tid))
        sched_yield();

    uint64_t from_ns = now_ns(CLOCK_MONOTONIC);
    begin = stats_of(told);
    usleep(SLEEP_US);
    end = stats_of(told);
    uint64_t passed_ns = now_ns(CLOCK_MONOTONIC) - from_ns;
    ck_assert_uint_ge(end.idle_ns - begin.idle_ns, SLEEP_US * UINT64_C(1000));
    ck_assert_uint_le(end.idle_ns - begin.idle_ns, passed_ns);
    ck_assert_uint_eq(end.active_ns, begin.active_ns);
    ck_assert_uint_le(end.idle_ns + end.active_ns, from_ns + passed_ns - end.started_ns);
}

/* It hangs in its callback, with one buf. */
static void look_at_what_waits_for_it(struct told *told, const struct job_worker_stats *before)
{
    static const char bytes[UNREAD_BYTES];
    struct job_worker_stats one = stats_of(told);
    ck_assert_uint_ge(one.memory_used_bytes, before->memory_used_bytes + HELD_BYTES);
    ck_assert_uint_le(one.memory_used_bytes, LIMIT);
    for (unsigned i = 0; i < UNREAD; i++)
        ck_assert_ok(job_worker_post(&told->worker, &(struct job_post){.bytes = bytes, .len = sizeof bytes}));
    struct job_worker_stats other = stats_of(told);
    ck_assert_uint_eq(other.queued_messages - one.queued_messages, UNREAD);
    ck_assert_uint_eq(other.queued_bytes - one.queued_bytes, UNREAD * UNREAD_BYTES);
    ck_assert(!other.is_stopping);
    ck_assert_ok(job_worker_stop(&told->worker));
    ck_assert(stats_of(told).is_stopping);
    atomic_store(&may_go_on, 1);
}

static struct job_worker_stats before_burning;
static uint64_t clock_at_start;

/* The worker says at each message what its own clock says: what can be read from here lies between. */
static void look(struct told *told)
{
    if (told->messages == 1) {
        clock_at_start = told->value;
        look_at_its_sleep(told);
        burn(BURN_NS);   /* this thread's time is not the worker's */
        before_burning = stats_of(told);
        ck_assert_uint_ge(before_burning.cpu_ns, clock_at_start);
        ck_assert_ok(job_worker_post(&told->worker, &(struct job_post){0}));
    } else if (told->messages == 2) {
        ck_assert_uint_le(before_burning.cpu_ns, told->value);
    } else {
        struct job_worker_stats after = stats_of(told);
        ck_assert_uint_ge(after.cpu_ns, told->value);
        ck_assert_uint_ge(after.cpu_ns - before_burning.cpu_ns, BURN_NS);
        ck_assert_uint_ge(after.active_ns - before_burning.active_ns, BURN_NS);
        ck_assert_uint_ge(after.idle_ns, before_burning.idle_ns);
        look_at_what_waits_for_it(told, &before_burning);
    }
}

START_TEST(O01_O02_O03_time_and_memory_of_a_worker_can_be_read_while_it_lives)
{
    uint64_t ids[2];
    open_worker(&w, listens_and_burns, &(struct job_worker_options){.memory_limit_bytes = LIMIT, .name = "burner"});
    w.then = look;
    ck_assert_uint_eq(job_worker_list(runtime, ids, 2), 1);
    ck_assert_uint_eq(ids[0], job_worker_id(&w.worker));
    run_to_end(&w);
    ck_assert_uint_eq(w.messages, 3);
    ck_assert_str_eq(before_burning.name, "burner");
    ck_assert_uint_eq(before_burning.memory_limit_bytes, LIMIT);
    ck_assert_int_eq(job_worker_stats(runtime, ids[0], &before_burning), -ESRCH);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker options");
    TCase *tcase = tcase_create("worker options");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, W15_W16_J10_J11_name_stack_nice_and_affinity_are_those_asked_for);
    tcase_add_test(tcase, W16_a_stack_that_overflows_meets_its_guard_page);
    tcase_add_test(tcase, W17_X15_a_memory_limit_is_the_workers_own_and_its_bufs_outlive_it);
    tcase_add_test(tcase, workers_that_follow_each_other_share_an_arena_whatever_their_limits);
    tcase_add_test(tcase, a_small_worker_keeps_no_large_one_from_its_arena);
    tcase_add_test(tcase, a_worker_for_whose_range_there_are_no_addresses_gets_those_of_its_limit);
    tcase_add_test(tcase, a_worker_gets_no_arena_whose_pages_are_just_going);
    tcase_add_test(tcase, W19_a_start_message_that_cannot_be_sent_starts_no_thread);
    tcase_add_test(tcase, a_worker_whose_thread_is_refused_in_a_callback_leaves_no_loop);
    tcase_add_test(tcase, sizes_that_round_up_to_nothing_are_refused);
    tcase_add_test(tcase, W21_without_descriptors_open_is_refused_and_others_go_on);
    tcase_add_test(tcase, W29_an_unreferenced_worker_lets_its_parents_loop_return);
    tcase_add_test(tcase, W29_an_unreferenced_worker_that_is_stopped_tells_its_exit_before_the_loop_returns);
    tcase_add_test(tcase, W30_W31_a_worker_blocks_signals_and_changes_nothing_of_the_process);
    tcase_add_test(tcase, W31_a_signal_of_the_process_waits_for_a_thread_of_the_users_own);
    tcase_add_test(tcase, O01_O02_O03_time_and_memory_of_a_worker_can_be_read_while_it_lives);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
