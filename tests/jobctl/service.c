/* service.c — a small service for jobctl to look at. It gets into the state that its first argument names, writes "ready" and a process
 * number, and ends when its standard input ends: a test that dies leaves nothing behind.
 */
#include <job/job.h>

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
    };
    static const struct { const char *mode; void (*run)(void); } others[] = {
        {"two", two_runtimes}, {"fork", forked},          {"zombie", zombie}, {"shrinking", shrinking},
        {"v2", other_version}, {"closed", closed_descriptor},
    };
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
