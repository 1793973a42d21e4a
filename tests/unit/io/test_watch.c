/* test_watch.c — events of files and directories: whose they are, renames, what is removed, what is lost, and close in each state. */
#include <dirent.h>
#include <limits.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "support/fixture.h"

enum {
    EVENTS_MAX = 64,
    MANY = 60,       /* as many as may wait with tiny bounds */
    FLOOD = 40000,   /* more than the kernel queues */
};

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_watch watch;
static struct job_watch_entry entry, second, third;
static sem_t slow_gate;
static struct job_timer patience;
static unsigned slow_adds;
static struct job_path path = {.name = "."};
static char directory[64];
static int status_seen;
static unsigned adds, events_count, closes, stop_after;
static const char *stop_at;
static struct { struct job_watch_entry *entry; uint32_t mask, cookie; char name[32]; } seen[EVENTS_MAX];

int __real_inotify_add_watch(int fd, const char *name, uint32_t mask);
int __wrap_inotify_add_watch(int fd, const char *name, uint32_t mask);
int __wrap_inotify_add_watch(int fd, const char *name, uint32_t mask)
{
    if (strcmp(name, "slow") == 0)
        sem_wait(&slow_gate);
    return __real_inotify_add_watch(fd, name, mask);
}

static void hears_nothing(struct job_timer *timer)
{
    (void)timer;
    ck_abort_msg("%u events were told, and %u are to come", events_count, stop_after);
}

static void setup(void)
{
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_timer_open(loop, &patience, hears_nothing));
    (void)snprintf(directory, sizeof directory, "/tmp/test_watch.%*s", 6, "");
    memset(strchr(directory, ' '), 'X', 6);   /* what mkdtemp(3) wants */
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
    memset(&watch, 0, sizeof watch);
    memset(&entry, 0, sizeof entry);
    memset(&second, 0, sizeof second);
    memset(&third, 0, sizeof third);
    slow_adds = 0;
    memset(seen, 0, sizeof seen);
    path = (struct job_path){.name = "."};
    status_seen = 1;
    adds = events_count = closes = 0;
    stop_after = UINT_MAX;
    stop_at = NULL;
}

static void teardown(void)
{
    char command[128];
    struct job_counts counts;
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.fds, 0);
    fixture_close(runtime);
    ck_assert_int_eq(chdir("/"), 0);
    (void)snprintf(command, sizeof command, "rm -rf %s", directory);
    ck_assert_int_eq(system(command), 0);
}

static void closed(struct job_watch *of)
{
    ck_assert_ptr_eq(of, &watch);
    closes++;
}

static void changed(struct job_watch *of, struct job_watch_entry *whose, const struct job_watch_event *event)
{
    ck_assert_ptr_eq(of, &watch);
    ck_assert_uint_eq(closes, 0);
    if (events_count < EVENTS_MAX) {
        seen[events_count].entry = whose;
        seen[events_count].mask = event->mask;
        seen[events_count].cookie = event->cookie;
        (void)snprintf(seen[events_count].name, sizeof seen[0].name, "%s", event->name ? event->name : "");
    }
    events_count++;
    if (events_count == stop_after || (stop_at && event->name && strcmp(event->name, stop_at) == 0))
        job_loop_stop(loop);
}

static void added(struct job_watch_entry *of, int status)
{
    (void)of;
    status_seen = status;
    adds++;
    job_loop_stop(loop);
}

static void add(struct job_watch_entry *of, const char *name, uint32_t events)
{
    path.name = name;
    ck_assert_ok(job_watch_add(&watch, of, &path, events, added));
    unsigned before = adds;
    while (adds == before)
        ck_assert_int_eq(job_loop_run(loop), 1);
}

static void open_and_add(uint32_t events)
{
    ck_assert_ok(job_watch_open(loop, &watch, changed));
    add(&entry, ".", events);
    ck_assert_int_eq(status_seen, 0);
}

/* Until so many events have been told, in all. */
static void run_until(unsigned count)
{
    stop_after = count;
    ck_assert_ok(job_timer_start(&patience, 20000000000U));
    while (events_count < count)
        ck_assert_int_eq(job_loop_run(loop), 1);
    job_timer_stop(&patience);
}

static void close_and_run(void)
{
    job_watch_close(&watch, closed);
    job_watch_close(&watch, NULL);
    ck_assert_uint_eq(closes, 0);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(closes, 1);
}

static void touch(const char *name)
{
    int fd = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

static void expect(unsigned at, struct job_watch_entry *whose, uint32_t mask, const char *name)
{
    ck_assert_ptr_eq(seen[at].entry, whose);
    ck_assert_uint_eq(seen[at].mask, mask);
    ck_assert_str_eq(seen[at].name, name);
}

START_TEST(what_happens_in_a_directory_is_told_by_name_and_in_order)
{
    open_and_add(IN_CREATE | IN_DELETE | IN_CLOSE_WRITE);
    touch("file");
    ck_assert_int_eq(mkdir("sub", 0700), 0);
    ck_assert_int_eq(unlink("file"), 0);
    touch("sub/below");   /* not told */
    ck_assert_int_eq(unlink("sub/below") | rmdir("sub"), 0);
    run_until(5);
    expect(0, &entry, IN_CREATE, "file");
    expect(1, &entry, IN_CLOSE_WRITE, "file");
    expect(2, &entry, IN_CREATE | IN_ISDIR, "sub");
    expect(3, &entry, IN_DELETE, "file");
    expect(4, &entry, IN_DELETE | IN_ISDIR, "sub");
    close_and_run();
    ck_assert_uint_eq(events_count, 5);
}
END_TEST

START_TEST(both_ends_of_a_rename_have_one_cookie)
{
    ck_assert_int_eq(mkdir("a", 0700) | mkdir("b", 0700), 0);
    ck_assert_ok(job_watch_open(loop, &watch, changed));
    add(&entry, "a", IN_MOVE);
    add(&second, "b", IN_MOVE);
    touch("a/one");
    touch("a/two");
    ck_assert_int_eq(rename("a/one", "a/1"), 0);
    ck_assert_int_eq(rename("a/two", "b/2"), 0);
    ck_assert_int_eq(rename("b/2", "away"), 0);   /* the other end is nobody's */
    run_until(5);
    expect(0, &entry, IN_MOVED_FROM, "one");
    expect(1, &entry, IN_MOVED_TO, "1");
    expect(2, &entry, IN_MOVED_FROM, "two");
    expect(3, &second, IN_MOVED_TO, "2");
    expect(4, &second, IN_MOVED_FROM, "2");
    ck_assert_uint_ne(seen[0].cookie, 0);
    ck_assert_uint_eq(seen[0].cookie, seen[1].cookie);
    ck_assert_uint_eq(seen[2].cookie, seen[3].cookie);
    ck_assert_uint_ne(seen[0].cookie, seen[2].cookie);
    ck_assert_uint_ne(seen[3].cookie, seen[4].cookie);
    close_and_run();
}
END_TEST

START_TEST(an_entry_that_is_removed_from_the_disk_ends_by_ignored)
{
    touch("file");
    ck_assert_ok(job_watch_open(loop, &watch, changed));
    for (unsigned round = 0; round < 3; round++) {   /* its memory is ours again */
        events_count = 0;
        touch("file");
        add(&entry, "file", IN_DELETE_SELF);
        ck_assert_int_eq(status_seen, 0);
        ck_assert_int_eq(unlink("file"), 0);
        run_until(2);
        expect(0, &entry, IN_DELETE_SELF, "");
        expect(1, &entry, IN_IGNORED, "");
        ck_assert_int_eq(job_watch_remove(&entry), -ENOENT);
    }
    add(&entry, ".", IN_CREATE | IN_ONESHOT);
    events_count = 0;
    touch("once");
    touch("twice");
    run_until(2);
    expect(0, &entry, IN_CREATE, "once");
    expect(1, &entry, IN_IGNORED, "");
    close_and_run();
    ck_assert_uint_eq(events_count, 2);
}
END_TEST

static unsigned overflows;

static void counts_overflows(struct job_watch *of, struct job_watch_entry *whose, const struct job_watch_event *event)
{
    (void)of;
    ck_assert((whose == NULL) == ((event->mask & IN_Q_OVERFLOW) != 0));
    if (event->mask & IN_Q_OVERFLOW) {
        overflows++;
        job_loop_stop(loop);
    }
}

START_TEST(events_that_were_lost_are_told_without_an_entry)
{
    FILE *limit = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
    unsigned max = 0;
    ck_assert(limit && fscanf(limit, "%u", &max) == 1 && fclose(limit) == 0);
    if (max >= FLOOD)
        return;   /* a system that queues more */
    ck_assert_ok(job_watch_open(loop, &watch, counts_overflows));
    add(&entry, ".", IN_ATTRIB);
    touch("a");
    touch("b");
    for (unsigned i = 0; i < FLOOD; i++)
        ck_assert_int_eq(chmod(i % 2 ? "a" : "b", 0600), 0);
    while (overflows == 0)
        ck_assert_int_eq(job_loop_run(loop), 1);
    ck_assert_uint_eq(overflows, 1);
    close_and_run();
}
END_TEST

/* The kernel knows of an entry: its descriptor's information says so. */
static void wait_until_added_in_the_kernel(unsigned count)
{
    char name[64], line[256];
    unsigned found = 0;
    (void)snprintf(name, sizeof name, "/proc/self/fdinfo/%d", watch.job_fd);
    while (found < count) {
        found = 0;
        FILE *file = fopen(name, "re");
        ck_assert_ptr_nonnull(file);
        while (fgets(line, sizeof line, file))
            found += strncmp(line, "inotify wd:", 11) == 0;
        (void)fclose(file);
        (void)sched_yield();
    }
}

static void added_before_events(struct job_watch_entry *of, int status)
{
    (void)of;
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(events_count, 0);
    adds++;
    touch("late");
}

START_TEST(an_event_that_is_faster_than_added_waits_for_it)
{
    ck_assert_ok(job_watch_open(loop, &watch, changed));
    ck_assert_ok(job_watch_add(&watch, &entry, &path, IN_CREATE, added_before_events));
    wait_until_added_in_the_kernel(1);
    touch("early");
    touch("earlier");
    stop_at = "late";   /* that comes also if the others are lost */
    ck_assert_int_eq(job_loop_run(loop), 1);
    ck_assert_uint_eq(adds, 1);
    expect(0, &entry, IN_CREATE, "early");
    expect(1, &entry, IN_CREATE, "earlier");
    expect(2, &entry, IN_CREATE, "late");
    close_and_run();
}
END_TEST

static void added_and_cancelled(struct job_watch_entry *of, int status)
{
    ck_assert_int_eq(status, -ECANCELED);
    ck_assert_uint_eq(closes, 0);
    memset(of, 0, sizeof *of);   /* ours */
    adds++;
    if (!job_handle_is_closing(&watch.handle))
        job_loop_stop(loop);
}

START_TEST(one_that_is_removed_before_it_was_added_tells_nothing)
{
    ck_assert_ok(job_watch_open(loop, &watch, changed));
    ck_assert_int_eq(job_watch_remove(&entry), -ENOENT);
    ck_assert_ok(job_watch_add(&watch, &entry, &path, IN_CREATE, added_and_cancelled));
    ck_assert_int_eq(job_watch_add(&watch, &entry, &path, IN_CREATE, added), -EBUSY);
    wait_until_added_in_the_kernel(1);
    touch("lost");
    ck_assert_ok(job_watch_remove(&entry));
    ck_assert_ok(job_watch_remove(&entry));
    ck_assert_int_eq(job_loop_run(loop), 1);
    ck_assert_uint_eq(adds, 1);
    add(&second, ".", IN_CREATE);
    ck_assert_int_eq(status_seen, 0);   /* the kernel has let the first one go */
    ck_assert_uint_eq(events_count, 0);
    close_and_run();
}
END_TEST

static void added_slowly(struct job_watch_entry *of, int status)
{
    ck_assert_ptr_eq(of, &third);
    ck_assert_ok(status);
    slow_adds++;
}

/* `third` is under way from here on, and on a file system that hangs. */
static void add_slowly(void)
{
    ck_assert_int_eq(mkdir("slow", 0700), 0);
    sem_init(&slow_gate, 0, 0);
    ck_assert_ok(job_watch_add(&watch, &third, &(struct job_path){.name = "slow"}, IN_CREATE, added_slowly));
}

/* It is through, and hears of its own; of those before it nothing is left that would be told. */
static void add_at_last(void)
{
    unsigned before = events_count;
    sem_post(&slow_gate);
    wait_until_added_in_the_kernel(2);
    touch("slow/later");
    run_until(before + 1);
    ck_assert_uint_eq(slow_adds, 1);
    expect(before, &third, IN_CREATE, "later");
    close_and_run();
    sem_destroy(&slow_gate);
}

START_TEST(one_that_is_removed_holds_up_nobody_while_a_slow_one_is_added)
{
    ck_assert_int_eq(mkdir("told", 0700), 0);
    open_and_add(IN_CREATE);
    add(&second, "told", IN_CREATE);
    add_slowly();
    ck_assert_ok(job_watch_remove(&entry));
    touch("told/a");

    run_until(1);

    expect(0, &second, IN_CREATE, "a");
    ck_assert_uint_eq(slow_adds, 0);
    add_at_last();
}
END_TEST

START_TEST(one_that_is_added_and_removed_behind_a_slow_one_holds_up_nobody)
{
    ck_assert_int_eq(mkdir("told", 0700), 0);
    ck_assert_ok(job_watch_open(loop, &watch, changed));
    add_slowly();
    add(&entry, ".", IN_CREATE);
    add(&second, "told", IN_CREATE);
    ck_assert_ok(job_watch_remove(&entry));
    ck_assert_ok(job_watch_add(&watch, &entry, &path, IN_CREATE, added_and_cancelled));
    ck_assert_ok(job_watch_remove(&entry));   /* it may be too late for the thread */
    while (adds < 3)
        ck_assert_int_eq(job_loop_run(loop), 1);
    touch("told/a");

    run_until(1);

    expect(0, &second, IN_CREATE, "a");
    ck_assert_uint_eq(slow_adds, 0);
    add_at_last();
}
END_TEST

START_TEST(one_that_is_removed_tells_nothing_more)
{
    open_and_add(IN_CREATE);
    touch("lost");
    ck_assert_ok(job_watch_remove(&entry));
    ck_assert_int_eq(job_watch_remove(&entry), -ENOENT);
    add(&entry, ".", IN_CREATE);
    touch("told");
    run_until(1);
    expect(0, &entry, IN_CREATE, "told");
    close_and_run();
}
END_TEST

static void removes(struct job_watch *of, struct job_watch_entry *whose, const struct job_watch_event *event)
{
    changed(of, whose, event);
    ck_assert_ok(job_watch_remove(whose));
}

START_TEST(a_callback_may_remove_its_entry)
{
    ck_assert_ok(job_watch_open(loop, &watch, removes));
    add(&entry, ".", IN_CREATE);
    touch("a");
    touch("b");
    run_until(1);
    close_and_run();
    ck_assert_uint_eq(events_count, 1);
}
END_TEST

static void closes_at_once(struct job_watch *of, struct job_watch_entry *whose, const struct job_watch_event *event)
{
    changed(of, whose, event);
    job_watch_close(of, closed);
}

START_TEST(a_callback_may_close_the_watch)
{
    ck_assert_ok(job_watch_open(loop, &watch, closes_at_once));
    add(&entry, ".", IN_CREATE);
    touch("a");
    touch("b");
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(events_count, 1);
    ck_assert_uint_eq(closes, 1);
}
END_TEST

static void closes_when_added(struct job_watch_entry *of, int status)
{
    (void)of;
    ck_assert_int_eq(status, 0);
    adds++;
    job_watch_close(&watch, closed);
}

START_TEST(added_may_close_the_watch_though_events_wait)
{
    ck_assert_ok(job_watch_open(loop, &watch, changed));
    ck_assert_ok(job_watch_add(&watch, &entry, &path, IN_CREATE, closes_when_added));
    wait_until_added_in_the_kernel(1);
    touch("early");
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(events_count, 0);
    ck_assert_uint_eq(closes, 1);
}
END_TEST

START_TEST(closing_tells_those_that_are_not_added_yet)
{
    ck_assert_ok(job_watch_open(loop, &watch, changed));
    ck_assert_ok(job_watch_add(&watch, &entry, &path, IN_CREATE, added_and_cancelled));
    job_watch_close(&watch, closed);
    ck_assert_int_eq(job_watch_add(&watch, &second, &path, IN_CREATE, added), -ECANCELED);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(adds, 1);
    ck_assert_uint_eq(closes, 1);
}
END_TEST

START_TEST(an_entry_can_be_used_anew_after_its_watch_was_closed)
{
    for (unsigned round = 0; round < 2; round++) {
        closes = 0;
        open_and_add(IN_CREATE);
        close_and_run();
    }
}
END_TEST

START_TEST(the_loop_closes_a_watch_that_is_open)
{
    open_and_add(IN_CREATE);
    touch("file");   /* and see teardown() */
}
END_TEST

START_TEST(why_a_path_cannot_be_watched_is_told)
{
    touch("file");
    ck_assert_ok(job_watch_open(loop, &watch, changed));
    add(&entry, "missing", IN_CREATE);
    ck_assert_int_eq(status_seen, -ENOENT);
    add(&entry, "file", IN_CREATE | IN_ONLYDIR);
    ck_assert_int_eq(status_seen, -ENOTDIR);
    add(&entry, "file/x", IN_CREATE);
    ck_assert_int_eq(status_seen, -ENOTDIR);
    add(&entry, "file", IN_MODIFY);
    ck_assert_int_eq(status_seen, 0);
    ck_assert_int_eq(link("file", "same"), 0);
    add(&second, "same", IN_ATTRIB);   /* the same file: the first entry's events stay as they are */
    ck_assert_int_eq(status_seen, -EEXIST);
    close_and_run();
}
END_TEST

static void opened(struct job_file *file, int status)
{
    (void)file;
    ck_assert_int_eq(status, 0);
    job_loop_stop(loop);
}

START_TEST(a_path_may_begin_at_a_directory)
{
    static struct job_file base;
    ck_assert_int_eq(mkdir("a", 0700) | mkdir("a/b", 0700), 0);
    struct job_file_options options = {.path = {.name = "a"}, .flags = O_PATH | O_DIRECTORY};
    ck_assert_ok(job_file_open(loop, &base, &options, opened));
    ck_assert_int_eq(job_loop_run(loop), 1);
    ck_assert_ok(job_watch_open(loop, &watch, changed));
    path.directory = &base;
    add(&entry, "b", IN_CREATE);
    ck_assert_int_eq(status_seen, 0);
    touch("a/b/c");
    run_until(1);
    expect(0, &entry, IN_CREATE, "c");
    job_file_close(&base, NULL);
    close_and_run();
}
END_TEST

static struct job_watch_entry many[MANY];
static unsigned told[MANY];

static void one_of_many(struct job_watch *of, struct job_watch_entry *whose, const struct job_watch_event *event)
{
    (void)of;
    size_t i = (size_t)(whose - many);
    ck_assert_uint_lt(i, MANY);
    ck_assert_int_eq(atoi(event->name), (int)i);
    told[i]++;
    events_count++;
    if (events_count == MANY)
        job_watch_close(&watch, closed);
}

static void many_added(struct job_watch_entry *of, int status)
{
    char name[32];
    ck_assert_int_eq(status, 0);
    (void)snprintf(name, sizeof name, "%d/%d", (int)(of - many), (int)(of - many));
    touch(name);
}

START_TEST(of_many_entries_each_has_its_own_events)
{
    static char names[MANY][8];
    static struct job_path paths[MANY];
    ck_assert_ok(job_watch_open(loop, &watch, one_of_many));
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(names[i], sizeof names[i], "%u", i);
        ck_assert_int_eq(mkdir(names[i], 0700), 0);
        paths[i].name = names[i];
        ck_assert_ok(job_watch_add(&watch, &many[i], &paths[i], IN_CREATE, many_added));
    }
    ck_assert_int_eq(job_loop_run(loop), 0);
    for (unsigned i = 0; i < MANY; i++)
        ck_assert_uint_eq(told[i], 1);
}
END_TEST

START_TEST(bad_arguments_change_nothing)
{
    struct job_path resolving = {.name = ".", .resolve = 1}, nameless = {0};
    int descriptors = fixture_descriptors();
    ck_assert_int_eq(job_watch_open(NULL, &watch, changed), -EINVAL);
    ck_assert_int_eq(job_watch_open(loop, NULL, changed), -EINVAL);
    ck_assert_int_eq(job_watch_open(loop, &watch, NULL), -EINVAL);
    ck_assert_int_eq(job_watch_add(&watch, &entry, &path, IN_CREATE, added), -EINVAL);   /* not open */
    ck_assert_int_eq(fixture_descriptors(), descriptors);
    ck_assert_ok(job_watch_open(loop, &watch, changed));
    ck_assert_int_eq(job_watch_add(NULL, &entry, &path, IN_CREATE, added), -EINVAL);
    ck_assert_int_eq(job_watch_add(&watch, NULL, &path, IN_CREATE, added), -EINVAL);
    ck_assert_int_eq(job_watch_add(&watch, &entry, NULL, IN_CREATE, added), -EINVAL);
    ck_assert_int_eq(job_watch_add(&watch, &entry, &path, IN_CREATE, NULL), -EINVAL);
    ck_assert_int_eq(job_watch_add(&watch, &entry, &path, 0, added), -EINVAL);
    ck_assert_int_eq(job_watch_add(&watch, &entry, &path, IN_ONLYDIR, added), -EINVAL);
    ck_assert_int_eq(job_watch_add(&watch, &entry, &path, IN_CREATE | IN_MASK_ADD, added), -EINVAL);
    ck_assert_int_eq(job_watch_add(&watch, &entry, &resolving, IN_CREATE, added), -EINVAL);
    ck_assert_int_eq(job_watch_add(&watch, &entry, &nameless, IN_CREATE, added), -EINVAL);
    ck_assert_int_eq(job_watch_remove(NULL), -EINVAL);
    ck_assert_int_eq(job_watch_remove(&entry), -ENOENT);
    job_watch_close(NULL, closed);
    close_and_run();
    ck_assert_uint_eq(adds, 0);
}
END_TEST

/* Files that come and go, entries that are added and removed, at random: each entry hears of its own directory alone. */
enum { DIRECTORIES = 6, STEPS = 3000 };

static struct job_watch_entry entries[DIRECTORIES];
static enum { IDLE, ADDING, WATCHED } states[DIRECTORIES];
static struct random dice;
static unsigned steps_left, storm_adds, storm_added;

static void storm_changed(struct job_watch *of, struct job_watch_entry *whose, const struct job_watch_event *event)
{
    size_t i = (size_t)(whose - entries);
    ck_assert_ptr_eq(of, &watch);
    ck_assert_uint_eq(states[i], WATCHED);
    events_count++;
    if (event->mask & IN_IGNORED)
        states[i] = IDLE;
    else if (event->name)
        ck_assert_int_eq(event->name[0], (char)('a' + i));
}

static void storm_has_added(struct job_watch_entry *of, int status)
{
    size_t i = (size_t)(of - entries);
    ck_assert_uint_eq(states[i], ADDING);
    ck_assert(status == 0 || status == -ENOENT || status == -ECANCELED || status == -EEXIST);
    states[i] = status == 0 ? WATCHED : IDLE;
    storm_added++;
}

static void storm_step(struct job_timer *timer)
{
    static const char *const names[DIRECTORIES] = {"a", "b", "c", "d", "e", "f"};
    static struct job_path paths[DIRECTORIES];
    size_t i = random_below(&dice, DIRECTORIES);
    char file[8] = {names[i][0], '/', names[i][0], (char)('0' + random_below(&dice, 4))};
    steps_left -= steps_left > 0;
    if (steps_left == 0 && events_count > 0) {   /* the thread that adds may have had no CPU until now */
        job_timer_close(timer, NULL);
        job_watch_close(&watch, closed);
        return;
    }
    switch (random_below(&dice, 5)) {
    case 0:
        paths[i] = (struct job_path){.name = names[i]};
        if (states[i] == IDLE) {
            states[i] = ADDING;
            storm_adds++;
            ck_assert_ok(job_watch_add(&watch, &entries[i], &paths[i], IN_ALL_EVENTS, storm_has_added));
        } else if (random_below(&dice, 2)) {
            ck_assert_ok(job_watch_remove(&entries[i]));
            states[i] = states[i] == WATCHED ? IDLE : ADDING;
        }
        break;
    case 1: (void)mkdir(names[i], 0700); break;
    case 2: (void)rmdir(names[i]); break;
    case 3: (void)unlink(file); break;
    default: {
        int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        if (fd >= 0)
            close(fd);
    }
    }
    ck_assert_ok(job_timer_start(timer, random_below(&dice, 20000)));
}

START_TEST(each_entry_hears_of_its_own_directory_alone)
{
    static struct job_timer timer;
    dice = fixture_random("each_entry_hears_of_its_own_directory_alone");
    steps_left = fixture_rounds("STEPS", STEPS);
    ck_assert_ok(job_watch_open(loop, &watch, storm_changed));
    ck_assert_ok(job_timer_open(loop, &timer, storm_step));
    ck_assert_ok(job_timer_start(&timer, 0));
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(closes, 1);
    ck_assert_uint_eq(storm_added, storm_adds);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("watch");
    TCase *tcase = tcase_create("watch");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, what_happens_in_a_directory_is_told_by_name_and_in_order);
    tcase_add_test(tcase, both_ends_of_a_rename_have_one_cookie);
    tcase_add_test(tcase, an_entry_that_is_removed_from_the_disk_ends_by_ignored);
    tcase_add_test(tcase, events_that_were_lost_are_told_without_an_entry);
    tcase_add_test(tcase, an_event_that_is_faster_than_added_waits_for_it);
    tcase_add_test(tcase, one_that_is_removed_before_it_was_added_tells_nothing);
    tcase_add_test(tcase, one_that_is_removed_tells_nothing_more);
    tcase_add_test(tcase, one_that_is_removed_holds_up_nobody_while_a_slow_one_is_added);
    tcase_add_test(tcase, one_that_is_added_and_removed_behind_a_slow_one_holds_up_nobody);
    tcase_add_test(tcase, a_callback_may_remove_its_entry);
    tcase_add_test(tcase, a_callback_may_close_the_watch);
    tcase_add_test(tcase, added_may_close_the_watch_though_events_wait);
    tcase_add_test(tcase, closing_tells_those_that_are_not_added_yet);
    tcase_add_test(tcase, an_entry_can_be_used_anew_after_its_watch_was_closed);
    tcase_add_test(tcase, the_loop_closes_a_watch_that_is_open);
    tcase_add_test(tcase, why_a_path_cannot_be_watched_is_told);
    tcase_add_test(tcase, a_path_may_begin_at_a_directory);
    tcase_add_test(tcase, of_many_entries_each_has_its_own_events);
    tcase_add_test(tcase, bad_arguments_change_nothing);
    tcase_add_test(tcase, each_entry_hears_of_its_own_directory_alone);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
