/* service.c — a small service for jobctl to look at. It gets into the state that its first argument names, writes "ready" and a process
 * number, and ends when its standard input ends: a test that dies leaves nothing behind.
 */
#include <job/job.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REQUIRE(call)                                                                                                  \
    do {                                                                                                               \
        int result = (call);                                                                                           \
        if (result < 0) {                                                                                              \
            fprintf(stderr, "service: %s: %s\n", #call, job_strerror(result));                                         \
            exit(3);                                                                                                   \
        }                                                                                                              \
    } while (0)

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_pool *pool;
static struct job_timer first, idle;
static struct job_task tasks[8];
static pthread_mutex_t never = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t locked;
static atomic_uint turns;   /* loops that do nothing else must not be left out */

static void ready(void)
{
    char line[32];
    int len = snprintf(line, sizeof line, "ready %d\n", (int)getpid());
    (void)!write(STDOUT_FILENO, line, (size_t)len);
}

static void wait_for_end(void)
{
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    _exit(0);   /* nothing is closed in order: the states shown here do not end */
}

static void *watch_input(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&never);
    pthread_barrier_wait(&locked);
    wait_for_end();
    return NULL;
}

static void __attribute__((noinline)) spin_for_ever(struct job_timer *timer)
{
    (void)timer;
    ready();
    for (;;)
        turns++;
}

static void __attribute__((noinline)) lock_for_ever(struct job_timer *timer)
{
    (void)timer;
    ready();
    pthread_mutex_lock(&never);
}

static void __attribute__((noinline)) task_for_ever(struct job_task *task)
{
    (void)task;
    ready();
    for (;;)
        turns++;
}

static void task_quick(struct job_task *task)
{
    (void)task;
}

static void __attribute__((noinline)) done_for_ever(struct job_task *task, int status)
{
    (void)task;
    (void)status;
    ready();
    for (;;)
        turns++;
}

static void submit(job_task_run_fn *run, job_task_done_fn *done, struct job_handle *handle, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        REQUIRE(job_task_init(&tasks[i], pool, run, done));
        REQUIRE(job_submit(pool, &tasks[i], handle));
    }
}

static void start_long_task(struct job_timer *timer)
{
    submit(task_for_ever, NULL, &timer->handle, 1);
}

static void start_many_tasks(struct job_timer *timer)
{
    submit(task_for_ever, NULL, &timer->handle, 7);   /* two run, five wait */
}

static atomic_bool is_other_queued;

/* From when the other one waits as well. */
static void task_of_20_ms(struct job_task *task)
{
    struct timespec begin, now;
    (void)task;
    while (!is_other_queued) {
    }
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - begin.tv_sec) * 1000000000 + now.tv_nsec - begin.tv_nsec < 20000000);
}

/* Three pools more, each in its own state: one is full, one may shed, in one a task had to wait. */
static void start_in_four_pools(struct job_timer *timer)
{
    static struct job_pool *full, *late, *single;
    static struct job_task few[16], lone[2], many[4], pair[2];
    start_many_tasks(timer);
    REQUIRE(job_pool_open(runtime, &full, &(struct job_pool_options){.workers = 1, .name = "full", .queue_limit = 4}));
    struct job_pool_options sheds = {.workers = 1, .name = "late", .shed_target_ns = 1000000,
                                     .shed_interval_ns = 3600000000000};   /* none of these four, however slow the machine */
    REQUIRE(job_pool_open(runtime, &late, &sheds));
    int err = 0;
    for (unsigned i = 0; err == 0; i++) {
        REQUIRE(job_task_init(&few[i], full, task_for_ever, NULL));
        err = job_submit(full, &few[i], &timer->handle);
    }
    for (unsigned i = 0; i < 2; i++) {
        REQUIRE(job_task_init(&lone[i], full, task_for_ever, NULL));
        REQUIRE(job_submit(full, &lone[i], NULL));
    }
    for (unsigned i = 0; i < 4; i++) {
        REQUIRE(job_task_init(&many[i], late, i < 3 ? task_quick : task_for_ever, NULL));
        REQUIRE(job_submit(late, &many[i], NULL));
    }
    REQUIRE(job_pool_open(runtime, &single, &(struct job_pool_options){.workers = 1, .name = "single"}));
    for (unsigned i = 0; i < 2; i++) {
        REQUIRE(job_task_init(&pair[i], single, i == 0 ? task_of_20_ms : task_for_ever, NULL));
        REQUIRE(job_submit(single, &pair[i], &timer->handle));
    }
    is_other_queued = true;
}

static void start_long_task_and_stop(struct job_timer *timer)
{
    start_long_task(timer);
    while (turns == 0) {   /* as in close_pool() */
    }
    job_loop_stop(loop);
}

static void start_task_with_done(struct job_timer *timer)
{
    submit(task_quick, done_for_ever, &timer->handle, 1);
}

static void start_task_without_handle(struct job_timer *timer)
{
    (void)timer;
    submit(task_quick, done_for_ever, NULL, 1);
}

static void __attribute__((noinline)) close_pool(struct job_timer *timer)
{
    submit(task_for_ever, NULL, &timer->handle, 1);
    while (turns == 0) {   /* a task that has not begun would be cancelled, and nothing waited for */
    }
    (void)job_pool_close(&pool);
}

static void say_ready(struct job_timer *timer)
{
    (void)timer;
    ready();
}

static void open_all(const char *name)
{
    struct job_runtime_options options = {.name = name, .memory_limit_bytes = 64 << 20};
    REQUIRE(job_runtime_open(&runtime, &options));
    REQUIRE(job_loop_open(runtime, &loop, &(struct job_loop_options){.name = "main", .receive_slots = 4}));
    REQUIRE(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 2, .name = "work", .queue_limit = 8}));
}

/* Three workers: one sleeps, one runs for ever, one opens a worker of its own and hears what waits for it. */
static struct job_worker workers[4];
static struct job_port port;
static struct job_end *far_end;
static atomic_uint online;

static void hear_nothing(struct job_inside *inside, struct job_message *message)
{
    (void)inside, (void)message;
}

static void hear(struct job_inside *inside)
{
    static const struct job_inside_events events = {.message = hear_nothing};
    REQUIRE(job_inside_listen(inside, &events));
}

static void sleeps(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    hear(inside);
    online++;
}

static void __attribute__((noinline)) runs_for_ever(struct job_inside *inside, struct job_message *start)
{
    (void)inside, (void)start;
    online++;
    for (;;)
        turns++;
}

static void nests(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    hear(inside);
    struct job_worker_options options = {.name = "inner"};
    REQUIRE(job_worker_open(job_inside_loop(inside), &workers[3], sleeps, &options, NULL));
    online++;
}

static void post(unsigned worker, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        REQUIRE(job_worker_post(&workers[worker], &(struct job_post){.bytes = "0123456789", .len = 10}));
}

static void open_workers(const char *name)
{
    struct job_worker_options options = {.name = name, .memory_limit_bytes = 8 << 20, .channel = {.messages_max = 16}};
    REQUIRE(job_worker_open(loop, &workers[0], sleeps, &options, NULL));
    options = (struct job_worker_options){.name = "runs", .channel = {.messages_max = 32, .bytes_max = 4096},
                                          .stop_timeout_ns = 10000000};
    REQUIRE(job_worker_open(loop, &workers[1], runs_for_ever, &options, NULL));
    REQUIRE(job_worker_open(loop, &workers[2], nests, &(struct job_worker_options){.name = "outer"}, NULL));
    post(0, 3);
    post(1, 7);
    while (online < 4) {   /* what waits for them is theirs */
    }
}

static const char *first_name = "sleeps";

static void ready_with_workers(struct job_timer *timer)
{
    (void)timer;
    open_workers(first_name);
    ready();
}

/* An arena that has one buf out, and has refused two for which it has no room. */
static void refuse_bufs(struct job_timer *timer)
{
    struct job_arena *arena;
    struct job_buf *buf = NULL, *none = NULL;
    REQUIRE(job_arena_open(runtime, &arena, &(struct job_arena_options){.limit_bytes = 1 << 20, .name = "narrow"}));
    REQUIRE(job_buf_alloc(arena, 1000, NULL, &buf));
    for (unsigned i = 0; i < 2; i++)
        REQUIRE(job_buf_alloc(arena, 2 << 20, NULL, &none) == -ENOMEM ? 0 : -EINVAL);
    say_ready(timer);
}

/* All records of arenas are taken. */
static void hide_arenas(struct job_timer *timer)
{
    struct job_arena *arena;
    for (unsigned i = 0; i < 40; i++)
        REQUIRE(job_arena_open(runtime, &arena, &(struct job_arena_options){.limit_bytes = 4096}));
    ready_with_workers(timer);
}

static void stop_a_worker(struct job_timer *timer)
{
    ready_with_workers(timer);
    REQUIRE(job_worker_stop(&workers[1]));
}

static void take(struct job_port *from, struct job_message *message)
{
    (void)from, (void)message;
}

/* A channel with one end on the loop and one in nobody's hands, into which the first has posted. */
static void open_channel(struct job_timer *timer)
{
    static const struct job_port_events events = {.message = take};
    struct job_end *end = NULL;
    struct job_channel_options options = {.messages_max = 4, .bytes_max = 1000, .name = first_name};
    (void)timer;
    REQUIRE(job_channel_open(runtime, &end, &far_end, &options));
    for (unsigned i = 0; i < 2; i++)
        REQUIRE(job_end_post(far_end, &(struct job_post){.bytes = "abc", .len = 3}));
    REQUIRE(job_port_open(loop, &port, &end, &events));
    while (job_port_post(&port, &(struct job_post){.bytes = "0123456789", .len = 10}) == 0) {
    }
    ready();
}

/* Five calls: one is answered, one too late, one canceled, and two stay open; the other side holds what it has not answered. */
static struct job_rpc asks, answers;
static struct job_rpc_call calls[5];
static struct job_message *held[5];
static bool is_late;   /* the call that times out has */

/* A busy machine may be so slow that it times out before it is heard. */
static void answer_too_late(void)
{
    if (!is_late || !held[1])
        return;
    REQUIRE(job_rpc_answer(&answers, &held[1], 0, NULL));
    ready();
}

static void hear_call(struct job_rpc *rpc, struct job_message *call)
{
    unsigned number = *(const unsigned char *)job_message_bytes(call, NULL);
    held[number] = call;
    if (number == 0)
        REQUIRE(job_rpc_answer(rpc, &held[0], 0, NULL));
    answer_too_late();
}

static void call_is_done(struct job_rpc_call *call, int status, struct job_message *answer)
{
    (void)call, (void)answer;
    is_late |= status == -ETIMEDOUT;
    answer_too_late();
}

static void call_around(struct job_timer *timer)
{
    static const struct job_rpc_events asking = {.call = NULL}, answering = {.call = hear_call};
    struct job_rpc_options options = {.name = first_name, .calls_max = 8, .overdue_ns = 50000000};
    struct job_end *ends[2] = {NULL, NULL};
    (void)timer;
    REQUIRE(job_channel_open(runtime, &ends[0], &ends[1], NULL));
    REQUIRE(job_rpc_open(loop, &asks, &ends[0], &options, &asking));
    REQUIRE(job_rpc_open(loop, &answers, &ends[1], &(struct job_rpc_options){.name = "answers"}, &answering));
    for (unsigned char i = 0; i < 5; i++) {
        calls[i].done = call_is_done;
        REQUIRE(job_rpc_call(&asks, &calls[i], &(struct job_post){.bytes = &i, .len = 1}, i == 1 ? 5000000 : 0));
    }
    job_rpc_cancel(&calls[2]);
}

/* Five posts to three subscribers that take two each, one of each policy; and a topic that has ended. */
static struct job_subscriber subscribers[3];
static struct job_topic *topic, *over;

static void hear_news(struct job_subscriber *subscriber, const struct job_news *news)
{
    (void)subscriber, (void)news;
}

static void post_news(struct job_timer *timer)
{
    static const struct job_subscriber_events events = {.message = hear_news};
    (void)timer;
    REQUIRE(job_topic_open(runtime, first_name, &topic));
    REQUIRE(job_topic_open(runtime, "over", &over));
    for (int i = 0; i < 3; i++) {
        struct job_subscriber_options options = {
            .messages_max = 2, .bytes_max = 5000, .policy = (enum job_topic_policy)i};
        REQUIRE(job_subscriber_open(loop, &subscribers[i], topic, &options, &events));
    }
    for (unsigned i = 0; i < 5; i++)
        REQUIRE(job_topic_post(topic, &(struct job_post){.bytes = "news", .len = 4}, NULL));
    job_topic_end(over);
}

static void news_are_heard(struct job_timer *timer)
{
    post_news(timer);
    ready();
}

static void news_wait(struct job_timer *timer)
{
    post_news(timer);
    lock_for_ever(timer);
}

static void nests_nothing(struct job_inside *inside, struct job_message *start)
{
    (void)inside, (void)start;
}

static struct job_worker brief[2];

/* Workers that come and go all the time. */
static void comes_and_goes(struct job_worker *worker)
{
    static const struct job_worker_events events = {.closed = comes_and_goes};
    struct job_worker_options options = {.memory_limit_bytes = 1 << 20};
    REQUIRE(job_worker_open(loop, worker, nests_nothing, &options, &events));
}

static void come_and_go(struct job_timer *timer)
{
    (void)timer;
    comes_and_goes(&brief[0]);
    comes_and_goes(&brief[1]);
    ready();
}

static void ignore(struct job_stream *stream, struct job_buf **in)
{
    (void)stream, (void)in;
}

/* So that the loop has lent its receive slots. */
static void receive_from_nobody(void)
{
    static const struct job_stream_events events = {.data = ignore};
    static struct job_stream stream;
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    REQUIRE(job_stream_adopt(loop, &stream, pair[0], &events));
}

/* Calls `fired` on the loop; another timer keeps it going. */
static void run_with(const char *name, void (*fired)(struct job_timer *))
{
    open_all(name);
    receive_from_nobody();
    REQUIRE(job_timer_open(loop, &first, fired));
    REQUIRE(job_timer_open(loop, &idle, say_ready));
    REQUIRE(job_timer_start(&first, 0));
    REQUIRE(job_timer_start(&idle, 86400000000000U));
    REQUIRE(job_loop_run(loop));
    (void)job_loop_close(&loop, 3600000000000U);   /* drain: what was started does not end */
}

static void two_runtimes(void)
{
    struct job_runtime *other = NULL;
    struct job_loop *other_loop = NULL;
    REQUIRE(job_runtime_open(&other, &(struct job_runtime_options){.name = "second", .memory_limit_bytes = 32 << 20}));
    REQUIRE(job_loop_open(other, &other_loop, &(struct job_loop_options){.name = "aside", .receive_slots = 4}));
    run_with("first", say_ready);
}

/* The child only has what fork left it; its number is what "ready" tells. */
static void forked(void)
{
    open_all("parent");
    if (fork() == 0)
        ready();
    wait_for_end();
}

static void zombie(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    siginfo_t info;
    waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
    printf("ready %d\n", (int)child);
    fflush(stdout);
    wait_for_end();
}

/* pthread_join() returns while the kernel is still about to end the thread: its memory has gone by then, and its state is none yet. */
static void await_end_of_first_thread(void)
{
    char text[64] = "";
    while (!strstr(text, ") Z ")) {
        FILE *file = fopen("/proc/self/stat", "re");
        text[file ? fread(text, 1, sizeof text - 1, file) : 0] = '\0';
        if (file)
            (void)fclose(file);   /* was only read */
    }
}

static void *lives_on(void *first)
{
    REQUIRE(-pthread_join(*(pthread_t *)first, NULL));
    await_end_of_first_thread();
    open_all("headless");
    ready();
    wait_for_end();
    return NULL;
}

/* Its first thread is gone, the others run. */
static void headless(void)
{
    static pthread_t first;
    pthread_t thread;
    first = pthread_self();
    REQUIRE(-pthread_create(&thread, NULL, lives_on, &first));
    pthread_exit(NULL);
}

/* What a process that wants to harm jobctl may map under the name. */
static char *map_memfd(const char *name, size_t size, int *fd)
{
    *fd = (int)syscall(SYS_memfd_create, name, 3U /* CLOEXEC, ALLOW_SEALING */);
    REQUIRE(*fd < 0 ? -1 : 0);
    REQUIRE(ftruncate(*fd, (off_t)size));
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    REQUIRE(memory == MAP_FAILED ? -1 : 0);
    return memory;
}

static void seal(int fd)
{
    REQUIRE(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
}

static void shrinking(void)
{
    int fd;
    memcpy(map_memfd("job.stats.v1", 1 << 16, &fd), "JOBSTATS\1\0\0\0\0\0\0\0", 16);
    ready();
    for (;;) {
        (void)!ftruncate(fd, 0);
        (void)!ftruncate(fd, 1 << 16);
    }
}

static void random_segment(unsigned seed)
{
    int fd;
    size_t size = 1 << 16;
    unsigned char *memory = (unsigned char *)map_memfd("job.stats.v1", size, &fd);
    srandom(seed);
    for (size_t i = 0; i < size; i++)
        memory[i] = (unsigned char)(random() >> 5);
    memcpy(memory, "JOBSTATS\1\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0", 24);   /* version 1.0, 64 KiB */
    memory[38] = memory[39] = 0;   /* a count of tables that is not hopeless */
    seal(fd);
    ready();
    wait_for_end();
}

static void other_version(void)
{
    int fd;
    memcpy(map_memfd("job.stats.v2", 4096, &fd), "JOBSTATS\2\0\0\0\7\0\0\0", 16);
    seal(fd);
    ready();
    wait_for_end();
}

static void closed_descriptor(void)
{
    int fd;
    (void)map_memfd("job.stats.v1", 4096, &fd);
    seal(fd);
    close(fd);
    ready();
    wait_for_end();
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "idle";
    pthread_t watcher;
    static const struct { const char *mode; void (*fired)(struct job_timer *); } loops[] = {
        {"idle", say_ready},        {"loop-spins", spin_for_ever},         {"loop-locks", lock_for_ever},
        {"task", start_long_task},  {"tasks", start_many_tasks},           {"done", start_task_with_done},
        {"close-pool", close_pool}, {"done-alone", start_task_without_handle},
        {"workers", ready_with_workers}, {"hidden", hide_arenas}, {"narrow", refuse_bufs}, {"stuck", stop_a_worker},
        {"channel", open_channel}, {"brief", come_and_go},
        {"pools", start_in_four_pools}, {"drain", start_long_task_and_stop},
        {"calls", call_around}, {"news", news_are_heard}, {"news-wait", news_wait},
    };
    static const struct { const char *mode; void (*run)(void); } others[] = {
        {"two", two_runtimes}, {"fork", forked},          {"zombie", zombie}, {"shrinking", shrinking},
        {"v2", other_version}, {"closed", closed_descriptor},
        {"headless", headless},
    };
    if (argc > 3)
        first_name = argv[3];
    pthread_barrier_init(&locked, NULL, 2);
    if (strcmp(mode, "fork") != 0 && strcmp(mode, "zombie") != 0) {
        pthread_create(&watcher, NULL, watch_input, NULL);
        pthread_barrier_wait(&locked);
    }
    for (size_t i = 0; i < sizeof loops / sizeof loops[0]; i++) {
        if (strcmp(mode, loops[i].mode) == 0)
            run_with(argc > 2 ? argv[2] : "service", loops[i].fired);
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (strcmp(mode, others[i].mode) == 0)
            others[i].run();
    }
    if (strcmp(mode, "random") == 0)
        random_segment((unsigned)strtoul(argv[2], NULL, 10));
    if (strcmp(mode, "untraceable") == 0) {
        open_all("private");
        prctl(PR_SET_DUMPABLE, 0);
    }
    ready();   /* "none", and the last */
    wait_for_end();
}
