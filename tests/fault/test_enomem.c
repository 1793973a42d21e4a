/* test_enomem.c — the n-th request for memory fails, for every n: an errno, nothing leaked, everything as before.
 *
 * The linker puts the functions below in front of those by which the library gets memory (see tests/CMakeLists.txt).
 */
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "base/root.h"
#include "support/fixture.h"

#pragma GCC diagnostic ignored "-Wmissing-prototypes" /* the linker calls them by name */

static atomic_bool is_armed;
static unsigned asked, fails_at;
static _Atomic pthread_t tester;   /* whose requests fail */
static struct job_runtime *runtime;

static bool fails(void)
{
    return is_armed && pthread_equal(pthread_self(), tester) &&
           ++asked == fails_at; /* the library's threads are spared */
}

void *__real_alloc_zeroed(struct root *root, size_t bytes);
void *__real_alloc_lines(struct root *root, size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
int __real_sys_reserve(size_t bytes, void **address);
int __real_sys_reserve_small(size_t bytes, void **address);
int __real_sys_memfd_shared(const char *name, size_t bytes, int *fd, void **address);
int __real_sys_eventfd(void);
int __real_sys_fork_guard(atomic_u32 **guard);

void *__wrap_alloc_zeroed(struct root *root, size_t bytes)
{
    return fails() ? NULL : __real_alloc_zeroed(root, bytes);
}

void *__wrap_alloc_lines(struct root *root, size_t bytes)
{
    return fails() ? NULL : __real_alloc_lines(root, bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return fails() ? NULL : __real_calloc(count, bytes);
}

int __wrap_sys_reserve(size_t bytes, void **address)
{
    return fails() ? -ENOMEM : __real_sys_reserve(bytes, address);
}

int __wrap_sys_reserve_small(size_t bytes, void **address)
{
    return fails() ? -ENOMEM : __real_sys_reserve_small(bytes, address);
}

int __wrap_sys_memfd_shared(const char *name, size_t bytes, int *fd, void **address)
{
    return fails() ? -ENOMEM : __real_sys_memfd_shared(name, bytes, fd, address);
}

int __wrap_sys_eventfd(void)
{
    return fails() ? -EMFILE : __real_sys_eventfd();
}

int __wrap_sys_fork_guard(atomic_u32 **guard)
{
    return fails() ? -ENOMEM : __real_sys_fork_guard(guard);
}

static void disarm(void)
{
    is_armed = false;
}

/* Each does its work, undoes it, and returns the first error it met, with nothing left behind. */

static int open_runtime(void)
{
    struct job_runtime *another = NULL;
    int err = job_runtime_open(&another, &(struct job_runtime_options){.memory_limit_bytes = 1 << 20});
    disarm();
    ck_assert(err == 0 || another == NULL);
    ck_assert_ok(job_runtime_close(&another));
    return err;
}

static int open_arena(void)
{
    struct job_arena *arena = NULL;
    int err = job_arena_open(runtime, &arena, &(struct job_arena_options){.limit_bytes = 1 << 20});
    disarm();
    ck_assert(err == 0 || arena == NULL);
    ck_assert_ok(job_arena_close(&arena));
    return err;
}

static int open_region(void)
{
    struct job_region *region = NULL;
    int err = job_region_open(runtime, 100, &region);
    disarm();
    ck_assert(err == 0 || region == NULL);
    job_region_release(&region);
    return err;
}

static int open_pool(void)
{
    struct job_pool *pool = NULL;
    uint64_t mask = 1;
    struct job_pool_options options = {.workers = 1, .affinity = &mask, .affinity_words = 1};
    int err = job_pool_open(runtime, &pool, &options);
    disarm();
    ck_assert(err == 0 || pool == NULL);
    ck_assert_ok(job_pool_close(&pool));
    return err;
}

static int run_loop(void)
{
    struct job_loop *loop = NULL;
    int err = job_loop_open(runtime, &loop, NULL);
    if (err == 0)
        err = job_loop_run(loop);
    disarm();
    ck_assert_ok(job_loop_close(&loop, 0));
    return err;
}

static int close_loop(void)
{
    struct job_loop *loop = NULL;
    disarm();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    is_armed = true;
    int err = job_loop_close(&loop, 0);
    disarm();
    ck_assert(err == 0 || loop != NULL); /* nothing was lost: it is closed the next time */
    ck_assert_ok(job_loop_close(&loop, 0));
    return err;
}

static bool is_closed;

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    (void)in;
    job_stream_close(stream);
}

static void on_end(struct job_stream *stream, int status)
{
    (void)status;
    job_stream_close(stream);
}

static void on_closed(struct job_stream *stream)
{
    (void)stream;
    is_closed = true;
}

static const struct job_stream_events events = {.data = on_data, .end = on_end, .closed = on_closed};

static int serve_stream(void)
{
    struct job_loop *loop = NULL;
    struct job_stream stream = {0};
    int fds[2], err;
    disarm();
    fixture_pair(fds);
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    is_armed = true;
    is_closed = false;
    err = job_stream_adopt(loop, &stream, fds[1], &events);
    if (err < 0) {
        close(fds[1]);
        is_closed = true;
    }
    fixture_write(fds[0], "x", 1);
    int ran = job_loop_run(loop);
    disarm();
    ck_assert_ok(job_loop_close(&loop, 0));
    ck_assert(is_closed);
    close(fds[0]);
    return err < 0 ? err : ran;
}

static unsigned dones;

static void on_done(struct job_rpc_call *call, int status, struct job_message *answer)
{
    (void)call, (void)status, (void)answer;
    dones++;
}

static void on_call(struct job_rpc *rpc, struct job_message *call)
{
    if (job_rpc_answer(rpc, &call, 0, NULL) < 0)
        job_rpc_close(rpc);   /* the caller is told */
    else
        ck_assert_ptr_null(call);
}

static void on_rpc_closed(struct job_rpc *rpc)
{
    (void)rpc;
}

static const struct job_rpc_events answers = {.call = on_call, .closed = on_rpc_closed};
static const struct job_rpc_events asks = {.closed = on_rpc_closed};

static int call_and_answer(void)
{
    struct job_loop *loop = NULL;
    struct job_end *ends[2] = {NULL, NULL};
    struct job_rpc rpcs[2] = {0};
    struct job_rpc_call call = {.done = on_done};
    bool is_asked = false;
    disarm();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    dones = 0;
    is_armed = true;
    int err = job_channel_open(runtime, &ends[0], &ends[1], NULL);
    if (err == 0)
        err = job_rpc_open(loop, &rpcs[0], &ends[0], NULL, &asks);
    if (err == 0)
        err = job_rpc_open(loop, &rpcs[1], &ends[1], NULL, &answers);
    if (err == 0)
        err = job_rpc_call(&rpcs[0], &call, NULL, 0);
    is_asked = err == 0;
    job_handle_unref(&rpcs[1].handle);
    int ran = is_asked ? job_loop_run(loop) : 0;
    disarm();
    job_end_close(&ends[0]);
    job_end_close(&ends[1]);
    ck_assert_ok(job_loop_close(&loop, 0));
    ck_assert_uint_eq(dones, is_asked);
    return err < 0 ? err : ran;
}

/* More items than fit into a message, and more bytes: nothing moves, or all of it. */
static int post_many_items(void)
{
    enum { ITEMS = 12 };
    static const char bytes[5000] = {0};
    struct job_end *ends[2] = {NULL, NULL};
    struct job_buf *bufs[ITEMS] = {NULL};
    struct job_item items[ITEMS];
    struct job_message *message = NULL;
    disarm();
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], NULL));
    for (unsigned i = 0; i < ITEMS; i++) {
        ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 100, NULL, &bufs[i]));
        ck_assert_ok(job_buf_write(bufs[i], &i, sizeof i));
        items[i] = (struct job_item){.kind = JOB_ITEM_BUF, .buf = &bufs[i]};
    }
    is_armed = true;
    int err = job_end_post(ends[0], &(struct job_post){bytes, sizeof bytes, items, ITEMS});
    disarm();
    ck_assert_int_eq(job_end_receive(ends[1], &message, 0), err == 0 ? 0 : -EAGAIN);
    for (unsigned i = 0; i < ITEMS; i++) {
        unsigned number = ITEMS;
        ck_assert_int_eq(err == 0, bufs[i] == NULL);
        struct job_buf *buf = err == 0 ? job_message_take_buf(message, i) : bufs[i];
        ck_assert_ok(job_buf_read(buf, 0, &number, sizeof number));
        ck_assert_uint_eq(number, i);
        job_buf_free(&buf);
    }
    job_message_free(&message);
    job_end_close(&ends[0]);
    job_end_close(&ends[1]);
    return err;
}

static atomic_uint starts;
static unsigned exits;

static void counts_start(struct job_inside *inside, struct job_message *start)
{
    struct job_buf *buf = job_message_take_buf(start, 0);
    (void)inside;
    ck_assert_ptr_nonnull(buf);
    job_buf_free(&buf);
    atomic_fetch_add(&starts, 1);
}

static void counts_exit(struct job_worker *worker, int code)
{
    (void)worker, (void)code;
    exits++;
}

/* In a runtime of its own, which keeps the arena of a worker for the next one. */
static int open_worker(void)
{
    static const struct job_worker_events worker_events = {.exit = counts_exit};
    struct job_runtime *own = NULL;
    struct job_loop *loop = NULL;
    struct job_worker worker;
    struct job_buf *buf = NULL;
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};
    uint64_t mask = 1;
    struct job_worker_options options = {.memory_limit_bytes = 1 << 20, .affinity = &mask, .affinity_words = 1,
                                         .start = {.items = &item, .count = 1}};
    disarm();
    ck_assert_ok(job_runtime_open(&own, &(struct job_runtime_options){.memory_limit_bytes = 1 << 24}));
    ck_assert_ok(job_loop_open(own, &loop, &(struct job_loop_options){.receive_slots = 4}));
    ck_assert_ok(job_buf_alloc(job_runtime_arena(own), 100, NULL, &buf));
    atomic_store(&starts, 0);
    exits = 0;
    is_armed = true;
    int err = job_worker_open(loop, &worker, counts_start, &options, &worker_events);
    disarm();
    ck_assert_int_eq(err == 0, buf == NULL);   /* what it was to start with is still ours */
    ck_assert_uint_le(job_worker_list(own, NULL, 0), err == 0);   /* it may have ended already */
    ck_assert_ok(job_loop_run(loop));
    ck_assert_uint_eq(exits, err == 0);
    ck_assert_uint_eq(atomic_load(&starts), err == 0);
    job_buf_free(&buf);
    ck_assert_ok(job_loop_close(&loop, 0));
    ck_assert_ok(job_runtime_close(&own));
    return err;
}

static struct job_signal hearing;
static unsigned worker_closes, worker_lefts;

static void never_heard(struct job_signal *signal, int number)
{
    (void)signal, (void)number;
}

static void arms_its_own_end(struct job_inside *inside, struct job_message *start)
{
    const int number = SIGUSR1;
    sigset_t set;
    (void)start;
    sigemptyset(&set);
    sigaddset(&set, number);
    ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    ck_assert_ok(job_signal_open(job_inside_loop(inside), &hearing, &number, 1, never_heard));
    tester = pthread_self();
    is_armed = true;
    job_inside_exit(inside, 0);
}

static void counts_closed(struct job_worker *worker)
{
    (void)worker;
    worker_closes++;
}

static void counts_left(struct job_worker *worker, const struct job_hung *first, unsigned count)
{
    (void)worker, (void)first, (void)count;
    worker_lefts++;
}

/* From the end of its function on a worker asks for nothing that it could not close without: else others would find its handles, whose
 * memory is gone. */
static int end_worker(void)
{
    static const struct job_worker_events worker_events = {
        .exit = counts_exit, .closed = counts_closed, .left = counts_left};
    struct job_runtime *own = NULL;
    struct job_loop *loop = NULL;
    struct job_worker worker;
    disarm();
    ck_assert_ok(job_runtime_open(&own, &(struct job_runtime_options){.memory_limit_bytes = 1 << 24}));
    ck_assert_ok(job_loop_open(own, &loop, &(struct job_loop_options){.receive_slots = 4}));
    worker_closes = worker_lefts = 0;
    ck_assert_ok(job_worker_open(loop, &worker, arms_its_own_end, &(struct job_worker_options){0}, &worker_events));
    ck_assert_ok(job_loop_run(loop));
    disarm();
    tester = pthread_self();
    ck_assert_uint_eq(worker_closes, 1);
    ck_assert_uint_eq(worker_lefts, 0);
    ck_assert_ok(job_loop_close(&loop, 0));
    ck_assert_ok(job_runtime_close(&own));
    return 0;
}

static unsigned moved;

static void on_detached(struct job_stream *stream, struct job_connection **connection)
{
    (void)stream, (void)connection;
    moved++;
}

static const struct job_stream_events stays = {.data = on_data, .closed = on_closed};

/* A stream that could not be detached goes on. */
static int detach_a_stream(void)
{
    struct job_loop *loop = NULL;
    struct job_stream stream;
    int fds[2];
    disarm();
    fixture_pair(fds);
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_stream_adopt(loop, &stream, fds[1], &stays));
    is_closed = false;
    moved = 0;
    is_armed = true;
    int err = job_stream_detach(&stream, on_detached);
    disarm();
    fixture_write(fds[0], "x", 1);   /* closes it in `data`, unless it leaves */
    ck_assert_ok(job_loop_run(loop));
    ck_assert(is_closed);
    ck_assert_uint_eq(moved, err == 0);
    ck_assert_ok(job_loop_close(&loop, 0));
    close(fds[0]);
    return err;
}

static unsigned heard;

static void on_news(struct job_subscriber *subscriber, const struct job_news *news)
{
    (void)news;
    heard++;
    job_subscriber_close(subscriber);
}

static const struct job_subscriber_events hears = {.message = on_news};

/* What is posted is longer than what fits into the news itself. */
static int post_to_a_topic(void)
{
    static const char bytes[5000] = {0};
    struct job_loop *loop = NULL;
    struct job_topic *topic = NULL;
    struct job_subscriber subscriber = {0};
    struct job_buf *view = NULL;
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &view};
    disarm();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 100, NULL, &view));
    ck_assert_ok(job_buf_freeze(view));
    heard = 0;
    is_armed = true;
    int err = job_topic_open(runtime, "fault", &topic);
    if (err == 0)
        err = job_subscriber_open(loop, &subscriber, topic, NULL, &hears);
    if (err == 0)
        err = job_topic_post(topic, &(struct job_post){bytes, sizeof bytes, &item, 1}, NULL);
    ck_assert_int_eq(err == 0, view == NULL);
    int ran = err == 0 ? job_loop_run(loop) : 0;
    disarm();
    job_buf_free(&view);
    job_topic_close(&topic);
    ck_assert_ok(job_loop_close(&loop, 0));
    ck_assert_uint_eq(heard, err == 0 && ran == 0);
    return err < 0 ? err : ran;
}

static int split_and_write(void)
{
    struct job_buf *buf = NULL, *rest = NULL;
    int err = job_buf_alloc(job_runtime_arena(runtime), 100, NULL, &buf);
    if (err == 0)
        err = job_buf_write(buf, "0123456789", 10);
    if (err == 0)
        err = job_buf_split(&buf, 5, &rest);
    if (err == 0)
        err = job_buf_write(buf, "abc", 3);
    if (err == 0)
        err = job_buf_append(buf, &rest);
    if (err == 0)
        err = job_buf_flatten(&buf);
    disarm();
    char bytes[13];
    size_t len = job_buf_len(buf) < sizeof bytes ? job_buf_len(buf) : sizeof bytes;
    ck_assert_ok(job_buf_read(buf, 0, bytes, len));
    ck_assert(err < 0 ? memcmp(bytes, "0123456789", len) == 0 : memcmp(bytes, "01234abc56789", 13) == 0);
    job_buf_free(&buf);
    job_buf_free(&rest);
    return err;
}

static unsigned released;

static void release(void *arg, void *memory, size_t len)
{
    (void)arg, (void)memory, (void)len;
    released++;
}

static int wrap_and_slice(void)
{
    struct job_buf *view = NULL, *slice = NULL, *rest = NULL;
    released = 0;
    int err = job_buf_wrap(job_runtime_arena(runtime), "0123456789", 10, release, NULL, &view);
    bool is_wrapped = err == 0;
    if (err == 0)
        err = job_buf_slice(view, 2, 5, &slice);
    if (err == 0)
        err = job_buf_split(&slice, 2, &rest);
    disarm();
    ck_assert_uint_eq(released, 0);
    ck_assert_uint_eq(job_buf_len(view), is_wrapped ? 10 : 0);
    job_buf_free(&rest);
    job_buf_free(&slice);
    job_buf_free(&view);
    ck_assert_uint_eq(released, is_wrapped); /* once; never when it was refused */
    return err;
}

static int map_a_file(void)
{
    struct job_buf *view = NULL;
    int fd = memfd_create("mapped", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, 100), 0);
    int err = job_buf_map(job_runtime_arena(runtime), fd, 0, 100, &view);
    disarm();
    ck_assert_uint_eq(job_buf_len(view), err == 0 ? 100 : 0);
    job_buf_free(&view);
    close(fd);
    return err;
}

static void resolved(struct job_resolve *resolve, int status, const struct job_address *addresses, size_t count)
{
    (void)addresses, (void)count;
    *(int *)resolve->data = status;
}

static void never(struct job_timer *timer)
{
    (void)timer;
}

/* In a runtime of its own, since a thread for names stays until that closes. */
static int resolve_name(void)
{
    struct job_runtime *own = NULL;
    struct job_loop *loop = NULL;
    struct job_timer home = {0};
    int status = -ENOMEM;
    struct job_resolve resolve = {.data = &status};
    struct job_resolve_options options = {.host = "127.0.0.1", .service = "1"};
    disarm();
    ck_assert_ok(job_runtime_open(&own, &(struct job_runtime_options){.memory_limit_bytes = 1 << 22}));
    ck_assert_ok(job_loop_open(own, &loop, &(struct job_loop_options){.receive_slots = 4}));
    ck_assert_ok(job_timer_open(loop, &home, never));
    is_armed = true;
    int err = job_resolve_start(&home.handle, &resolve, &options, resolved);
    disarm();
    ck_assert_ok(job_loop_run(loop));
    ck_assert_ok(job_loop_close(&loop, 0));
    ck_assert_ok(job_runtime_close(&own));
    return err < 0 ? err : status;
}

static void child_started(struct job_process *process, int status)
{
    *(int *)process->handle.data = status;
    job_process_close(process, NULL);
}

/* In a runtime of its own, since a thread for calls stays until that closes. */
static int start_process(void)
{
    struct job_runtime *own = NULL;
    struct job_loop *loop = NULL;
    int status = -ENOMEM;
    struct job_stream output = {0};
    struct job_process process = {.handle.data = &status};
    struct job_process_options options = {
        .program = "true", .stdio[1] = {.how = JOB_STDIO_STREAM, .stream = &output, .events = &events}};
    disarm();
    ck_assert_ok(job_runtime_open(&own, &(struct job_runtime_options){.memory_limit_bytes = 1 << 22}));
    ck_assert_ok(job_loop_open(own, &loop, &(struct job_loop_options){.receive_slots = 4}));
    is_armed = true;
    int err = job_process_open(loop, &process, &options, child_started, NULL);
    disarm();
    ck_assert_ok(job_loop_run(loop));
    ck_assert_ok(job_loop_close(&loop, 0));
    ck_assert_ok(job_runtime_close(&own));
    return err < 0 ? err : status;
}

static void never_changed(struct job_watch *watch, struct job_watch_entry *entry, const struct job_watch_event *event)
{
    (void)watch, (void)entry, (void)event;
}

/* As above: a thread closes its descriptor, or, when none can be had, the loop. */
static int open_watch(void)
{
    struct job_runtime *own = NULL;
    struct job_loop *loop = NULL;
    struct job_watch watch = {0};
    disarm();
    ck_assert_ok(job_runtime_open(&own, &(struct job_runtime_options){.memory_limit_bytes = 1 << 22}));
    ck_assert_ok(job_loop_open(own, &loop, &(struct job_loop_options){.receive_slots = 4}));
    is_armed = true;
    int err = job_watch_open(loop, &watch, never_changed);
    job_watch_close(&watch, NULL);
    int ran = job_loop_run(loop);
    disarm();
    ck_assert_ok(job_loop_close(&loop, 0));
    ck_assert_ok(job_runtime_close(&own));
    return err < 0 ? err : ran;
}

static const struct {
    const char *name;
    int (*run)(void);
    unsigned least;      /* requests that it makes: the test reaches what it is for */
    bool can_do_without; /* of some: it goes on, with a copy more or less */
} scenarios[] = {
    {"open_runtime", open_runtime, 5, false}, {"open_arena", open_arena, 4, false},
    {"open_region", open_region, 1, false},   {"open_pool", open_pool, 3, true},
    {"run_loop", run_loop, 5, false},         {"close_loop", close_loop, 1, false},
    {"call_and_answer", call_and_answer, 6, true},
    {"post_to_a_topic", post_to_a_topic, 3, true},
    {"detach_a_stream", detach_a_stream, 1, false},
    {"serve_stream", serve_stream, 1, true},  {"split_and_write", split_and_write, 1, false},
    {"wrap_and_slice", wrap_and_slice, 3, false}, {"map_a_file", map_a_file, 1, false},
    {"resolve_name", resolve_name, 2, true}, {"start_process", start_process, 3, true},
    {"open_watch", open_watch, 3, true},
    {"post_many_items", post_many_items, 1, false}, {"open_worker", open_worker, 8, true},
    {"end_worker", end_worker, 0, true},
};

START_TEST(the_nth_request_for_memory_fails_and_nothing_is_lost)
{
    struct job_counts before, after;
    struct job_buf *first = NULL;
    tester = pthread_self();
    runtime = fixture_runtime();
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 1, NULL, &first)); /* the helper runs from here on */
    job_buf_free(&first);
    job_runtime_counts(runtime, &before);
    int descriptors = fixture_descriptors();
    unsigned n = 0;
    int err;
    do {
        asked = 0;
        fails_at = ++n;
        is_armed = true;
        err = scenarios[_i].run();
        disarm();
        job_runtime_counts(runtime, &after);
        bool is_refused = err == -ENOMEM || err == -EMFILE;
        bool is_told = err == 0 ? asked < n || scenarios[_i].can_do_without : is_refused;
        ck_assert_msg(is_told, "%s, request %u: %s", scenarios[_i].name, n, job_strerror(err));
        ck_assert_msg(after.allocations == before.allocations, "%s, request %u: %d blocks leaked", scenarios[_i].name,
                      n, (int)(after.allocations - before.allocations));
        ck_assert_uint_eq(after.bufs + after.views + after.wraps, 0);
        ck_assert_uint_eq(after.regions + after.tasks + after.handles + after.fds, 0);
        ck_assert_uint_eq(after.threads, before.threads);
        ck_assert_int_eq(fixture_descriptors(), descriptors);
    } while (asked >= n);
    ck_assert_uint_gt(n, scenarios[_i].least);
    fixture_close(runtime);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("enomem");
    TCase *tcase = tcase_create("enomem");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, the_nth_request_for_memory_fails_and_nothing_is_lost, 0,
                        sizeof scenarios / sizeof scenarios[0]);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
