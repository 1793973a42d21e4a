/* test_resolve.c — names become addresses on threads: answers, errors, time-out, cancel, close, and how many at a time.
 *
 * The linker puts __wrap_getaddrinfo() in front of the real one: hosts that begin with "fake-" answer as the test wants, all others are
 * looked up by libc.
 */
#include <netdb.h>
#include <sched.h>
#include <semaphore.h>

#include "base/atomic.h"
#include "base/limits.h"
#include "loop/loop.h"
#include "support/fixture.h"

#pragma GCC diagnostic ignored "-Wmissing-prototypes" /* the linker calls it by name */

enum { MANY = 4 * NAMES_THREADS };

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_timer home;   /* what requests belong to; never armed */
static struct job_resolve resolve;
static int status_seen;
static size_t count_seen;
static unsigned ends, closes;
static struct job_address first, second;
static sem_t gate;
static uint32_t inside, inside_max, asked;
static int fake_error;

static struct addrinfo *fake_list(unsigned count, int family)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct addrinfo *list = NULL;
    address.sin_addr.s_addr = htonl(0x01020304);
    for (unsigned i = 0; i < count; i++) {
        struct addrinfo *one = calloc(1, sizeof *one);
        *one = (struct addrinfo){.ai_family = family, .ai_addrlen = sizeof address, .ai_next = list};
        one->ai_addr = malloc(sizeof address);   /* as libc: freed with the list */
        memcpy(one->ai_addr, &address, sizeof address);
        ((struct sockaddr_in *)(void *)one->ai_addr)->sin_port = htons((uint16_t)(count - i));
        one->ai_addr->sa_family = (sa_family_t)family;
        list = one;
    }
    return list;
}

static void fake_waits(void)
{
    uint32_t now = fetch_add_relaxed(&inside, 1) + 1;
    uint32_t most = load_relaxed(&inside_max);
    while (now > most && !cas_relaxed(&inside_max, &most, now)) {
    }
    ck_assert_int_eq(sem_wait(&gate), 0);
    (void)fetch_sub_relaxed(&inside, 1);
}

int __real_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found);
void __real_freeaddrinfo(struct addrinfo *list);

int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    (void)fetch_add_relaxed(&asked, 1);
    if (!host || strncmp(host, "fake-", 5) != 0)
        return __real_getaddrinfo(host, service, hints, found);
    if (strcmp(host, "fake-slow") == 0)
        fake_waits();
    if (strcmp(host, "fake-error") == 0) {
        errno = EMFILE;
        return fake_error;
    }
    if (strcmp(host, "fake-odd") == 0)
        *found = fake_list(3, AF_APPLETALK);
    else
        *found = fake_list(strcmp(host, "fake-many") == 0 ? 200 : 1, AF_INET);
    return 0;
}

void __wrap_freeaddrinfo(struct addrinfo *list)
{
    if (list && (list->ai_addr == (struct sockaddr *)(list + 1)))
        __real_freeaddrinfo(list);   /* libc's: one block each */
    else
        for (struct addrinfo *next; list; list = next) {
            next = list->ai_next;
            free(list->ai_addr);
            free(list);
        }
}

static void never(struct job_timer *timer)
{
    (void)timer;
    ck_abort_msg("fired");
}

static void setup(void)
{
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_timer_open(loop, &home, never));
    memset(&resolve, 0, sizeof resolve);
    sem_init(&gate, 0, 0);
    status_seen = 1;
    ends = closes = 0;
    inside = inside_max = asked = 0;
}

static void teardown(void)
{
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    fixture_close(runtime);
}

static void ended(struct job_resolve *of, int status, const struct job_address *addresses, size_t count)
{
    (void)of;
    ck_assert_uint_eq(closes, 0);
    ck_assert(status == 0 ? addresses && count > 0 : !addresses && count == 0);
    status_seen = status;
    count_seen = count;
    ends++;
    if (count > 0)
        first = addresses[0];
    if (count > 1)
        second = addresses[1];
}

static void home_closed(struct job_timer *timer)
{
    (void)timer;
    closes++;
}

static int ask(const char *host, const char *service)
{
    struct job_resolve_options options = {.host = host, .service = service};
    return job_resolve_start(&home.handle, &resolve, &options, ended);
}

static void run(void)
{
    ck_assert_int_eq(job_loop_run(loop), 0);
}

/* Until so many fakes wait at the gate. */
static void wait_inside(uint32_t count)
{
    while (load_relaxed(&inside) != count)
        (void)sched_yield();
}

static void let_go(unsigned count)
{
    for (; count > 0; count--)
        sem_post(&gate);
}

START_TEST(a_name_of_this_machine_becomes_addresses_that_can_be_parsed)
{
    struct sockaddr_storage address;
    socklen_t len;
    struct job_resolve_options options = {.host = "localhost", .service = "8080", .family = AF_INET};
    ck_assert_ok(job_resolve_start(&home.handle, &resolve, &options, ended));
    ck_assert_uint_eq(ends, 0);
    run();
    ck_assert_int_eq(status_seen, 0);
    ck_assert_str_eq(first.text, "127.0.0.1:8080");
    ck_assert_ok(job_address_parse(first.text, &address, &len));

    ck_assert_ok(ask(NULL, "81"));   /* idle again */
    run();
    ck_assert_int_eq(status_seen, 0);
    ck_assert(strcmp(first.text, "127.0.0.1:81") == 0 || strcmp(first.text, "[::1]:81") == 0);

    options = (struct job_resolve_options){.service = "82", .family = AF_INET, .is_passive = true};
    ck_assert_ok(job_resolve_start(&home.handle, &resolve, &options, ended));
    run();
    ck_assert_str_eq(first.text, "0.0.0.0:82");
}
END_TEST

START_TEST(a_numeric_address_needs_no_thread)
{
    struct job_counts before, after;
    job_runtime_counts(runtime, &before);
    const char *const texts[][2] = {{"10.1.2.3", "10.1.2.3:443"}, {"2001:db8::1", "[2001:db8::1]:443"}};
    for (int i = 0; i < 2; i++) {
        ck_assert_ok(ask(texts[i][0], "443"));
        ck_assert_uint_eq(ends, (unsigned)i);   /* not inside the call */
        run();
        ck_assert_int_eq(status_seen, 0);
        ck_assert_uint_eq(count_seen, 1);
        ck_assert_str_eq(first.text, texts[i][1]);
    }
    job_runtime_counts(runtime, &after);
    ck_assert_uint_eq(asked, 0);
    ck_assert_uint_eq(after.threads, before.threads);
    ck_assert_uint_eq(after.allocations, before.allocations);
}
END_TEST

START_TEST(each_error_has_its_errno)
{
    static const struct { int error, status; } errors[] = {
        {EAI_NONAME, -ENOENT}, {EAI_NODATA, -EADDRNOTAVAIL}, {EAI_ADDRFAMILY, -EADDRNOTAVAIL},
        {EAI_SERVICE, -EPROTONOSUPPORT}, {EAI_AGAIN, -EHOSTUNREACH}, {EAI_FAIL, -EREMOTEIO},
        {EAI_FAMILY, -EAFNOSUPPORT}, {EAI_MEMORY, -ENOMEM}, {EAI_SYSTEM, -EMFILE}, {EAI_BADFLAGS, -EINVAL},
    };
    for (unsigned i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        fake_error = errors[i].error;
        ck_assert_ok(ask("fake-error", "80"));
        run();
        ck_assert_uint_eq(ends, i + 1);
        ck_assert_int_eq(status_seen, errors[i].status);
    }
    ck_assert_ok(ask("fake-odd", "80"));   /* answers that are no addresses of ours */
    run();
    ck_assert_int_eq(status_seen, -EADDRNOTAVAIL);
}
END_TEST

START_TEST(what_libc_refuses_is_told)
{
    struct job_resolve_options options = {.host = "::1", .service = "80", .family = AF_INET};
    ck_assert_ok(job_resolve_start(&home.handle, &resolve, &options, ended));
    run();
    ck_assert_int_eq(status_seen, -EADDRNOTAVAIL);

    ck_assert_ok(ask("localhost", "no-such-service"));
    run();
    ck_assert_int_eq(status_seen, -EPROTONOSUPPORT);

    ck_assert_ok(ask("no such host", "80"));   /* never sent to anybody */
    run();
    ck_assert_int_lt(status_seen, 0);
}
END_TEST

START_TEST(a_service_has_a_name)
{
    if (!getservbyname("http", "tcp"))
        return;   /* this machine has no list of services */
    struct job_resolve_options options = {.host = "127.0.0.1", .service = "http"};
    ck_assert_ok(job_resolve_start(&home.handle, &resolve, &options, ended));
    run();
    ck_assert_int_eq(status_seen, 0);
    ck_assert_str_eq(first.text, "127.0.0.1:80");
}
END_TEST

START_TEST(more_addresses_than_anybody_tries_are_cut_and_keep_their_order)
{
    ck_assert_ok(ask("fake-many", "1"));
    run();
    ck_assert_uint_eq(count_seen, NAMES_ADDRESSES_MAX);
    ck_assert_str_eq(first.text, "1.2.3.4:1");
    ck_assert_str_eq(second.text, "1.2.3.4:2");
}
END_TEST

static void ended_by_time(struct job_resolve *of, int status, const struct job_address *addresses, size_t count)
{
    ended(of, status, addresses, count);
    memset(of, 0xEE, sizeof *of);   /* the memory is ours */
    ck_assert_uint_eq(load_relaxed(&inside), 1);
    let_go(1);
}

START_TEST(a_time_out_is_told_while_the_thread_is_still_at_it)
{
    struct job_resolve_options options = {.host = "fake-slow", .service = "80", .timeout_ns = 1000000};
    ck_assert_ok(job_resolve_start(&home.handle, &resolve, &options, ended_by_time));
    wait_inside(1);
    run();
    ck_assert_int_eq(status_seen, -ETIMEDOUT);
    ck_assert_uint_eq(ends, 1);
    job_timer_close(&home, home_closed);
    run();
    ck_assert_uint_eq(closes, 1);
    ck_assert_uint_eq(load_relaxed(&inside), 0);   /* `closed` has waited for it */
}
END_TEST

START_TEST(a_request_that_is_cancelled_ends_at_once)
{
    ck_assert_int_eq(job_resolve_cancel(&resolve), -ENOENT);
    ck_assert_int_eq(job_resolve_cancel(NULL), -EINVAL);
    ck_assert_ok(ask("fake-slow", "80"));
    wait_inside(1);
    ck_assert_ok(job_resolve_cancel(&resolve));
    ck_assert_ok(job_resolve_cancel(&resolve));
    ck_assert_uint_eq(ends, 0);
    ck_assert_int_eq(ask("localhost", "80"), -EBUSY);
    let_go(1);
    run();
    ck_assert_uint_eq(ends, 1);
    ck_assert_int_eq(status_seen, -ECANCELED);

    ck_assert_ok(ask("1.2.3.4", "80"));
    ck_assert_ok(job_resolve_cancel(&resolve));   /* it has its answer already */
    run();
    ck_assert_uint_eq(ends, 2);
    ck_assert_int_eq(status_seen, 0);
}
END_TEST

static uint64_t clock_now(void)
{
    return loop->root->now_ns();
}

static uint64_t due_ns;

static void cancels_what_is_due(struct job_timer *timer)
{
    ck_assert_uint_ge(loop->now_ns, due_ns);   /* the time-out is of this round too */
    ck_assert_uint_eq(ends, 0);
    ck_assert_ok(job_resolve_cancel(&resolve));
    job_timer_close(timer, NULL);
    let_go(1);
}

START_TEST(a_request_that_is_cancelled_when_its_time_is_over_ends_once_and_as_cancelled)
{
    struct job_timer timer;
    struct job_resolve_options options = {.host = "fake-slow", .service = "80", .timeout_ns = 2000000};
    ck_assert_ok(job_timer_open(loop, &timer, cancels_what_is_due));
    ck_assert_ok(job_timer_start(&timer, 1000000));   /* due before the request */
    ck_assert_ok(job_resolve_start(&home.handle, &resolve, &options, ended));
    due_ns = clock_now() + options.timeout_ns;
    wait_inside(1);
    while (clock_now() < due_ns) {
    }

    run();

    ck_assert_uint_eq(ends, 1);
    ck_assert_int_eq(status_seen, -ECANCELED);
}
END_TEST

static unsigned cancelled, found;

static void one_of_many(struct job_resolve *of, int status, const struct job_address *addresses, size_t count)
{
    ended(of, status, addresses, count);
    ck_assert(status == 0 || status == -ECANCELED);
    cancelled += status == -ECANCELED;
    found += status == 0;
}

static void ask_many(struct job_resolve *many, unsigned count)
{
    cancelled = found = 0;
    struct job_resolve_options options = {.host = "fake-slow", .service = "80"};
    for (unsigned i = 0; i < count; i++)
        ck_assert_ok(job_resolve_start(&home.handle, &many[i], &options, one_of_many));
}

START_TEST(closing_the_handle_cancels_what_waits_and_awaits_what_runs)
{
    static struct job_resolve many[MANY];
    ask_many(many, MANY);
    wait_inside(NAMES_THREADS);
    job_timer_close(&home, home_closed);
    ck_assert_int_eq(ask("localhost", "80"), -ECANCELED);
    let_go(MANY);
    run();
    ck_assert_uint_eq(closes, 1);
    ck_assert_uint_eq(ends, MANY);
    ck_assert_uint_eq(found, NAMES_THREADS);
    ck_assert_uint_eq(cancelled, MANY - NAMES_THREADS);
}
END_TEST

static void file_ended(struct job_file_op *op, int status, struct job_buf **buf)
{
    (void)op, (void)buf;
    ck_assert_int_eq(status, -ENOENT);
    let_go(MANY);
}

START_TEST(names_that_nobody_answers_take_no_thread_from_files)
{
    static struct job_resolve many[MANY];
    static struct job_file_op op;
    struct job_path path = {.name = "/no/such/file"};
    ask_many(many, MANY);
    wait_inside(NAMES_THREADS);
    ck_assert_ok(job_path_unlink(&home.handle, &op, &path, false, file_ended));   /* by a thread */
    run();
    ck_assert_uint_eq(found, MANY);
    ck_assert_uint_eq(inside_max, NAMES_THREADS);
}
END_TEST

START_TEST(more_than_may_wait_are_refused_and_nothing_is_lost)
{
    static struct job_resolve many[CALLS_QUEUED_MAX + NAMES_THREADS + 1];
    struct job_resolve_options options = {.host = "fake-slow", .service = "80"};
    unsigned count = 0;
    int err = 0;
    ask_many(many, NAMES_THREADS);
    wait_inside(NAMES_THREADS);
    for (count = NAMES_THREADS; err == 0 && count < sizeof many / sizeof many[0]; count += err == 0)
        err = job_resolve_start(&home.handle, &many[count], &options, one_of_many);
    ck_assert_int_eq(err, -EAGAIN);
    ck_assert_uint_eq(count, CALLS_QUEUED_MAX + NAMES_THREADS);
    ck_assert_int_eq(job_resolve_cancel(&many[count]), -ENOENT);
    let_go(count);
    run();
    ck_assert_uint_eq(ends, count);
    ck_assert_uint_eq(found, count);
}
END_TEST

START_TEST(bad_arguments_change_nothing)
{
    char long_host[300], long_service[40];
    memset(long_host, 'a', sizeof long_host);
    long_host[256] = '\0';
    memset(long_service, '1', sizeof long_service);
    long_service[33] = '\0';
    struct job_resolve_options options = {.host = "localhost", .service = "80"};
    ck_assert_int_eq(job_resolve_start(NULL, &resolve, &options, ended), -EINVAL);
    ck_assert_int_eq(job_resolve_start(&home.handle, NULL, &options, ended), -EINVAL);
    ck_assert_int_eq(job_resolve_start(&home.handle, &resolve, NULL, ended), -EINVAL);
    ck_assert_int_eq(job_resolve_start(&home.handle, &resolve, &options, NULL), -EINVAL);
    ck_assert_int_eq(job_resolve_start(&(struct job_handle){0}, &resolve, &options, ended), -EINVAL);
    ck_assert_int_eq(ask("localhost", NULL), -EINVAL);
    ck_assert_int_eq(ask("localhost", ""), -EINVAL);
    ck_assert_int_eq(ask("", "80"), -EINVAL);
    ck_assert_int_eq(ask(long_host, "80"), -EINVAL);
    ck_assert_int_eq(ask("localhost", long_service), -EINVAL);
    ck_assert_int_eq(ask("localhost", "65536"), -EINVAL);
    ck_assert_int_eq(ask("localhost", "99999999999999999999999"), -EINVAL);
    static const char *const no_ports[] = {" 80", "+80", "-80", "\t80", "\n80", " 65616", "+65616", "-65456"};
    for (unsigned i = 0; i < sizeof no_ports / sizeof no_ports[0]; i++)
        ck_assert_int_eq(ask("localhost", no_ports[i]), -EINVAL);
    options.family = AF_UNIX;
    ck_assert_int_eq(job_resolve_start(&home.handle, &resolve, &options, ended), -EINVAL);
    run();
    ck_assert_uint_eq(ends, 0);
    ck_assert_uint_eq(asked, 0);
}
END_TEST

/* Requests that are asked, cancelled and let go at random, at last closed: each ends once. */
enum { SLOTS = 12, STEPS = 3000 };

static struct job_resolve slots[SLOTS];
static bool is_waiting[SLOTS];
static unsigned steps_left, started;
static struct random dice;

static void slot_ended(struct job_resolve *of, int status, const struct job_address *addresses, size_t count)
{
    size_t i = (size_t)(of - slots);
    ck_assert(is_waiting[i]);
    ck_assert(status == 0 || status == -ECANCELED || status == -ETIMEDOUT);
    is_waiting[i] = false;
    ended(of, status, addresses, count);
    memset(of, 0, sizeof *of);
}

static void step(struct job_timer *timer)
{
    static const char *const hosts[] = {"fake-slow", "fake-slow", "fake-one", "1.2.3.4", "fake-many"};
    size_t i = random_below(&dice, SLOTS);
    let_go((unsigned)random_below(&dice, 3));
    if (steps_left-- == 0) {
        job_timer_close(timer, home_closed);
        let_go(STEPS);
        return;
    }
    if (is_waiting[i]) {
        if (random_below(&dice, 2))
            ck_assert_ok(job_resolve_cancel(&slots[i]));
    } else {
        struct job_resolve_options options = {.host = hosts[random_below(&dice, 5)], .service = "80"};
        if (random_below(&dice, 4) == 0)
            options.timeout_ns = 1 + random_below(&dice, 200000);
        ck_assert_ok(job_resolve_start(&timer->handle, &slots[i], &options, slot_ended));
        is_waiting[i] = true;
        started++;
    }
    ck_assert_ok(job_timer_start(timer, random_below(&dice, 30000)));
}

START_TEST(each_request_ends_once_whatever_happens_meanwhile)
{
    static struct job_timer timer;
    dice = fixture_random("each_request_ends_once_whatever_happens_meanwhile");
    steps_left = fixture_rounds("STEPS", STEPS);
    started = 0;
    memset(slots, 0, sizeof slots);
    memset(is_waiting, 0, sizeof is_waiting);
    ck_assert_ok(job_timer_open(loop, &timer, step));
    ck_assert_ok(job_timer_start(&timer, 0));
    run();
    ck_assert_uint_eq(closes, 1);
    ck_assert_uint_eq(ends, started);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resolve");
    TCase *tcase = tcase_create("resolve");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, a_name_of_this_machine_becomes_addresses_that_can_be_parsed);
    tcase_add_test(tcase, a_numeric_address_needs_no_thread);
    tcase_add_test(tcase, each_error_has_its_errno);
    tcase_add_test(tcase, what_libc_refuses_is_told);
    tcase_add_test(tcase, a_service_has_a_name);
    tcase_add_test(tcase, more_addresses_than_anybody_tries_are_cut_and_keep_their_order);
    tcase_add_test(tcase, a_time_out_is_told_while_the_thread_is_still_at_it);
    tcase_add_test(tcase, a_request_that_is_cancelled_ends_at_once);
    tcase_add_test(tcase, a_request_that_is_cancelled_when_its_time_is_over_ends_once_and_as_cancelled);
    tcase_add_test(tcase, closing_the_handle_cancels_what_waits_and_awaits_what_runs);
    tcase_add_test(tcase, names_that_nobody_answers_take_no_thread_from_files);
    tcase_add_test(tcase, more_than_may_wait_are_refused_and_nothing_is_lost);
    tcase_add_test(tcase, bad_arguments_change_nothing);
    tcase_add_test(tcase, each_request_ends_once_whatever_happens_meanwhile);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
