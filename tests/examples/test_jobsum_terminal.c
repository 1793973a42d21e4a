/* test_jobsum_terminal.c — what jobsum shows on a terminal, and what stays there: how far it is, then whole lines, also after Ctrl-C.
 *
 * The terminal is a pseudo one, of which this program is the screen.
 */
#include "support/fixture.h"

#include <ctype.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>

/* Progress is shown each 0.1 s, and no machine hashes 3 GiB/s. What is interrupted must go on longest; what is hashed to the end costs. */
enum { LARGE_MIB = 2048, WHOLE_MIB = 1024, UNSHOWN_MIB = 512, ENDLESS_MIB = 1 << 20, SMALL_FILES = 5 };
enum { LINES_MAX = 64, LINE_MAX_BYTES = 1024, WATCHDOG_MS = 60000 };

/* What a line looks like while it is written over and over: \r goes back, ESC [ K erases. */
struct screen {
    char line[LINE_MAX_BYTES];
    size_t len, column;
    char lines[LINES_MAX][LINE_MAX_BYTES];   /* that are complete */
    unsigned count;
    unsigned shown;                          /* progress lines that were seen */
    bool has_left;                           /* one of them said how long it takes */
    char escape[8];
    size_t escape_len;
};

static char directory[64];
static struct screen screen;

static void setup(void)
{
    char command[256];
    (void)snprintf(directory, sizeof directory, "/tmp/test_jobsum.%*s", 6, "");
    memset(strchr(directory, ' '), 'X', 6);   /* what mkdtemp(3) wants */
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
    (void)snprintf(command, sizeof command, "mkdir d && for i in 1 2 3 4 5; do echo $i >d/$i; done && truncate -s %dM large", LARGE_MIB);
    ck_assert_int_eq(system(command), 0);
    screen = (struct screen){0};
}

static void teardown(void)
{
    char command[128];
    ck_assert_int_eq(chdir("/"), 0);
    (void)snprintf(command, sizeof command, "rm -rf %s", directory);
    ck_assert_int_eq(system(command), 0);
}

/* "12 files, 3.4 MiB, 5.6 GiB/s, 7 s left" */
static void note_progress(struct screen *at)
{
    unsigned long long files;
    double done, rate, left;
    char unit[8], rate_unit[8];
    at->line[at->len] = '\0';
    int found = sscanf(at->line, "%llu files, %lf %7[KMGTiB], %lf %7[KMGTiB]/s, %lf s left", &files, &done, unit, &rate, rate_unit, &left);
    at->shown += found >= 5;
    at->has_left = at->has_left || found == 6;
}

static void put(struct screen *at, char c)
{
    if (at->escape_len > 0 || c == '\033') {
        at->escape[at->escape_len++] = c;
        ck_assert_uint_lt(at->escape_len, sizeof at->escape);
        if (!isalpha((unsigned char)c))
            return;
        ck_assert_mem_eq(at->escape, "\033[K", 3);
        at->escape_len = 0;
        note_progress(at);
        at->len = at->column;
    } else if (c == '\r') {
        at->column = 0;
    } else if (c == '\n') {
        ck_assert_uint_lt(at->count, LINES_MAX);
        memcpy(at->lines[at->count], at->line, at->len);
        at->lines[at->count++][at->len] = '\0';
        at->len = at->column = 0;
    } else {
        ck_assert_uint_lt(at->column + 1, LINE_MAX_BYTES);
        at->line[at->column++] = c;
        at->len = at->column > at->len ? at->column : at->len;
    }
}

/* The master end of a terminal; whoever opens the name is at the other one. */
static int open_terminal(char *name, size_t size)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_ge(terminal, 0);
    ck_assert_int_eq(grantpt(terminal) | unlockpt(terminal), 0);
    ck_assert_int_eq(ptsname_r(terminal, name, size), 0);
    return terminal;
}

/* jobsum d large, in a session of its own, so that the terminal's Ctrl-C is its. */
static pid_t start(const char *name)
{
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid > 0)
        return pid;
    struct termios modes;
    int fd = setsid() < 0 ? -1 : open(name, O_RDWR);
    if (fd < 0 || ioctl(fd, TIOCSCTTY, 0) < 0 || tcgetattr(fd, &modes) < 0)
        _exit(99);
    modes.c_lflag &= ~(tcflag_t)ECHO;   /* the ^C itself is not what we look at */
    (void)tcsetattr(fd, TCSANOW, &modes);
    (void)dup2(fd, 0), (void)dup2(fd, 1), (void)dup2(fd, 2);
    (void)signal(SIGINT, SIG_DFL);
    execl(JOBSUM, "jobsum", "d", "large", (char *)NULL);
    _exit(98);
}

static void cut_large(long mib)
{
    ck_assert_int_eq(truncate("large", mib << 20), 0);
}

/* Looks at the screen until the program has gone, or the lines of the small files and progress are shown and that is enough. */
static void look(int terminal, bool is_progress_enough)
{
    char bytes[4096];
    for (;;) {
        struct pollfd ready = {.fd = terminal, .events = POLLIN};
        ck_assert_int_gt(poll(&ready, 1, WATCHDOG_MS), 0);
        ssize_t n = read(terminal, bytes, sizeof bytes);
        if (n <= 0)
            return;   /* EIO: nobody has the other end any more */
        for (ssize_t i = 0; i < n; i++)
            put(&screen, bytes[i]);
        if (is_progress_enough && screen.shown > 0 && screen.count >= SMALL_FILES)
            return;
    }
}

static void check_lines(unsigned count)
{
    ck_assert_uint_eq(screen.len, 0);   /* nothing is left of a line that has no end */
    ck_assert_uint_eq(screen.count, count);
    for (unsigned i = 0; i < count; i++) {
        ck_assert_uint_eq(strspn(screen.lines[i], "0123456789abcdef"), 64);
        ck_assert_mem_eq(screen.lines[i] + 64, i < SMALL_FILES ? "  d/" : "  large", 4);
    }
}

START_TEST(a_terminal_shows_files_bytes_rate_and_time_and_keeps_only_lines)
{
    char name[128];
    int status, terminal = open_terminal(name, sizeof name);
    cut_large(WHOLE_MIB);
    pid_t pid = start(name);

    look(terminal, false);

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_gt(screen.shown, 0);
    ck_assert(screen.has_left);
    check_lines(SMALL_FILES + 1);
    close(terminal);
}
END_TEST

START_TEST(ctrl_c_leaves_no_part_of_a_line)
{
    char name[128];
    int status, terminal = open_terminal(name, sizeof name);
    cut_large(ENDLESS_MIB);   /* it is not through before we look */
    pid_t pid = start(name);
    look(terminal, true);

    ck_assert_int_eq(write(terminal, "\003", 1), 1);
    look(terminal, false);

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), SIGINT);
    check_lines(SMALL_FILES);
    close(terminal);
}
END_TEST

START_TEST(a_pipe_is_shown_no_progress)
{
    char bytes[1024];
    size_t len = 0;
    cut_large(UNSHOWN_MIB);
    FILE *out = popen(JOBSUM " large 2>&1 >/dev/null", "r");
    ck_assert_ptr_nonnull(out);

    len = fread(bytes, 1, sizeof bytes, out);

    ck_assert_int_eq(pclose(out), 0);
    ck_assert_uint_eq(len, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jobsum on a terminal");
    TCase *tcase = tcase_create("jobsum on a terminal");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 90);
    tcase_add_test(tcase, a_terminal_shows_files_bytes_rate_and_time_and_keeps_only_lines);
    tcase_add_test(tcase, ctrl_c_leaves_no_part_of_a_line);
    tcase_add_test(tcase, a_pipe_is_shown_no_progress);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
