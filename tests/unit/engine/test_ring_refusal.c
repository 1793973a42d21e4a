/* test_ring_refusal.c — when there is no ring the log names the cause and the cure: each cause is made, in a process of its own.
 *
 * Seccomp filters are real. The sysctl and the kernel's name are not ours to change, so this program answers for fopen() and uname().
 */
#include "engine/ring_refusal.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "engine/engine.h"
#include "memory/arena.h"
#include "queue/mailbox.h"
#include "support/fixture.h"

static const char *sysctl_text, *release_text;
static char logged[1024];

FILE *fopen(const char *path, const char *mode)
{
    if (strcmp(path, "/proc/sys/kernel/io_uring_disabled") == 0)
        return sysctl_text ? fmemopen((void *)(uintptr_t)sysctl_text, strlen(sysctl_text), "r") : NULL;
    int fd = open(path, mode[0] == 'r' ? O_RDONLY | O_CLOEXEC : O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    return fd < 0 ? NULL : fdopen(fd, mode[0] == 'r' ? "r" : "w");
}

int uname(struct utsname *name)
{
    int rc = (int)syscall(SYS_uname, name);
    if (release_text)
        (void)snprintf(name->release, sizeof name->release, "%s", release_text);
    return rc;
}

static void keep_log(void *arg, enum job_log_level level, const char *text)
{
    (void)arg;
    ck_assert_int_eq(level, JOB_LOG_ERROR);
    (void)snprintf(logged, sizeof logged, "%s", text);
}

static struct root root;

static void setup(void)
{
    root = (struct root){.log = {.hook = keep_log}, .pid = getpid()};
}

static void must_say(const char *cause, const char *cure)
{
    ck_assert_msg(strstr(logged, cause) != NULL, "\"%s\" does not say \"%s\"", logged, cause);
    ck_assert_msg(strstr(logged, cure) != NULL, "\"%s\" does not say \"%s\"", logged, cure);
}

/* From here on this process is refused io_uring_setup with `err`, as by the profile of a container. */
static void filter(unsigned err)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void no_wake(struct mailbox *mailbox)
{
    (void)mailbox;
}

/* Opens an engine, which fails: the result, with nothing left behind. */
static int open_engine(void)
{
    struct job_arena *arena = NULL;
    struct mailbox mailbox;
    struct engine *engine = NULL;
    mailbox_init(&mailbox, no_wake);
    ck_assert_ok(arena_open(&root, &arena, &(struct job_arena_options){.limit_bytes = 1 << 21}));
    int descriptors = fixture_descriptors();
    struct engine_options options = {.arena = arena, .mailbox = &mailbox, .entries = 8, .receive_slots = 4};
    int err = engine_ring.open(&root, &options, &engine);
    ck_assert_ptr_null(engine);
    ck_assert_int_eq(fixture_descriptors(), descriptors);
    ck_assert_uint_eq(load_relaxed(&root.fds), 0);   /* a count */
    ck_assert_ok(arena_close(&arena));
    return err;
}

START_TEST(a_seccomp_filter_that_says_eperm_is_named)
{
    filter(EPERM);

    ck_assert_int_eq(open_engine(), -EPERM);

    must_say("seccomp", "allow io_uring_setup");
}
END_TEST

START_TEST(a_seccomp_filter_that_says_enosys_is_named)
{
    release_text = "6.12.1-new";
    filter(ENOSYS);

    ck_assert_int_eq(open_engine(), -ENOSYS);

    must_say("seccomp", "allow io_uring_setup");
}
END_TEST

START_TEST(the_sysctl_is_named_with_its_value)
{
    sysctl_text = "2\n";
    filter(EPERM);

    ck_assert_int_eq(open_engine(), -EPERM);

    must_say("kernel.io_uring_disabled=2", "set it to 0");
}
END_TEST

START_TEST(a_sysctl_of_zero_is_not_the_cause)
{
    sysctl_text = "0\n";

    ck_assert_int_eq(ring_refusal(&root, -EPERM), -EPERM);

    must_say("seccomp", "profile");
}
END_TEST

START_TEST(a_kernel_without_it_is_named)
{
    static const struct { const char *release; int err; } olds[] = {
        {"4.19.0-27-amd64", -ENOSYS}, {"5.15.167", -EINVAL}, {"6.0.12", -EINVAL}};
    for (size_t i = 0; i < sizeof olds / sizeof olds[0]; i++) {
        release_text = olds[i].release;

        ck_assert_int_eq(ring_refusal(&root, olds[i].err), -ENOSYS);

        must_say(olds[i].release, "run a newer kernel");
        must_say("older than 6.1", "run a newer kernel");
    }
}
END_TEST

START_TEST(a_new_kernel_that_lacks_a_feature_is_not_called_old)
{
    release_text = "6.1.0-odd";

    ck_assert_int_eq(ring_refusal(&root, -EINVAL), -ENOSYS);

    must_say("6.1.0-odd lacks features", "run a newer kernel");
}
END_TEST

START_TEST(a_lack_of_resources_stays_what_it_is)
{
    ck_assert_int_eq(ring_refusal(&root, -ENOMEM), -ENOMEM);
    must_say("io_uring", job_strerror(-ENOMEM));
    ck_assert_int_eq(ring_refusal(&root, -EMFILE), -EMFILE);
    must_say("io_uring", job_strerror(-EMFILE));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ring_refusal");
    TCase *tcase = tcase_create("ring_refusal");   /* each test in a process of its own: filters cannot be taken back */
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, a_seccomp_filter_that_says_eperm_is_named);
    tcase_add_test(tcase, a_seccomp_filter_that_says_enosys_is_named);
    tcase_add_test(tcase, the_sysctl_is_named_with_its_value);
    tcase_add_test(tcase, a_sysctl_of_zero_is_not_the_cause);
    tcase_add_test(tcase, a_kernel_without_it_is_named);
    tcase_add_test(tcase, a_new_kernel_that_lacks_a_feature_is_not_called_old);
    tcase_add_test(tcase, a_lack_of_resources_stays_what_it_is);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
