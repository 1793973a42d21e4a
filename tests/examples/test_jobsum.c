/* test_jobsum.c — jobsum beside sha256sum: the same lines, messages and exit status on generated names, arguments and check files; and what
 * only jobsum does: trees, a bound on memory, a clean end by a signal.
 *
 * SEED= repeats, COUNT= runs more: COUNT=10000 build/dev/tests/examples/example_jobsum
 */
#include "support/fixture.h"

#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { FILES = 12, TEXT_MAX = 1 << 20, ARGUMENTS_MAX = 12 };

extern char **environ;

struct answer {
    char *out, *err;
    size_t out_len, err_len;
    int status;
    long rss_kib;
};

static char directory[64], input[128];
static char *names[FILES + 2];

static void put_file(const char *path, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
        ck_abort_msg("%s: %s", path, strerror(errno));
    close(fd);
}

static void setup(void)
{
    (void)snprintf(directory, sizeof directory, "/tmp/test_jobsum.%*s", 6, "");
    memset(strchr(directory, ' '), 'X', 6);   /* what mkdtemp(3) wants */
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
    (void)snprintf(input, sizeof input, "%s.in", directory);
    put_file(input, "", 0);
}

static void teardown(void)
{
    char command[512];
    ck_assert_int_eq(chdir("/"), 0);
    (void)snprintf(command, sizeof command, "rm -rf %s %s %s.out %s.err", directory, input, directory, directory);
    ck_assert_int_eq(system(command), 0);
}

static char *contents(const char *path, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    struct stat status;
    ck_assert_int_eq(fstat(fd, &status), 0);
    char *text = malloc((size_t)status.st_size + 1);
    *len = (size_t)read(fd, text, (size_t)status.st_size);
    text[*len] = '\0';
    close(fd);
    return text;
}

static pid_t start_to(int fd, const char *program, char **arguments)
{
    char out[128], err[128];
    pid_t pid;
    posix_spawn_file_actions_t actions;
    (void)snprintf(out, sizeof out, "%s.out", directory);
    (void)snprintf(err, sizeof err, "%s.err", directory);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, err, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd >= 0)
        posix_spawn_file_actions_adddup2(&actions, fd, 1);
    ck_assert_int_eq(posix_spawnp(&pid, program, &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

static pid_t start(const char *program, char **arguments)
{
    return start_to(-1, program, arguments);
}

static void finish(pid_t pid, struct answer *answer)
{
    char path[128];
    struct rusage usage;
    ck_assert_int_eq(wait4(pid, &answer->status, 0, &usage), pid);
    answer->rss_kib = usage.ru_maxrss;
    (void)snprintf(path, sizeof path, "%s.out", directory);
    answer->out = contents(path, &answer->out_len);
    (void)snprintf(path, sizeof path, "%s.err", directory);
    answer->err = contents(path, &answer->err_len);
}

static void answer_free(struct answer *answer)
{
    free(answer->out);
    free(answer->err);
}

/* The programs' own names differ. */
static void rename_in(char *text, const char *from, const char *to)
{
    char *copy = strdup(text), *at = copy, *end = text;
    size_t len = strlen(from);
    for (char *found; (found = strstr(at, from)); at = found + len)
        end += sprintf(end, "%.*s%s", (int)(found - at), at, to);
    strcpy(end, at);
    free(copy);
}

/* They are freed. */
static bool is_same(struct answer *theirs, struct answer *ours)
{
    rename_in(theirs->err, "sha256sum", "jobsum");
    bool is_same = theirs->status == ours->status && theirs->out_len == ours->out_len &&
                   memcmp(theirs->out, ours->out, ours->out_len) == 0 && strcmp(theirs->err, ours->err) == 0;
    if (!is_same) {
        fprintf(stderr, "theirs: status %#x\n%s%s\n", (unsigned)theirs->status, theirs->out, theirs->err);
        fprintf(stderr, "ours: status %#x\n%s%s\n", (unsigned)ours->status, ours->out, ours->err);
    }
    answer_free(theirs);
    answer_free(ours);
    return is_same;
}

/* `fd`: standard output, or -1. */
static bool agrees_to(int fd, char **arguments)
{
    struct answer theirs, ours;
    arguments[0] = (char *)"sha256sum";
    finish(start_to(fd, "sha256sum", arguments), &theirs);
    arguments[0] = (char *)"jobsum";
    finish(start_to(fd, JOBSUM, arguments), &ours);
    if (is_same(&theirs, &ours))
        return true;
    for (char **argument = arguments; *argument; argument++)
        fprintf(stderr, "  argument: %s\n", *argument);
    return false;
}

static bool agrees(char **arguments)
{
    return agrees_to(-1, arguments);
}

/* "$0" in the command is the program. */
static bool agrees_in_shell(const char *command)
{
    struct answer theirs, ours;
    char *arguments[] = {(char *)"sh", (char *)"-c", (char *)(uintptr_t)command, (char *)"sha256sum", NULL};
    finish(start("sh", arguments), &theirs);
    arguments[3] = (char *)JOBSUM;
    finish(start("sh", arguments), &ours);
    if (is_same(&theirs, &ours))
        return true;
    fprintf(stderr, "  command: %s\n", command);
    return false;
}

static char *odd_name(struct random *random)
{
    static const char letters[] = "abcXYZ019._-+ \n\\\r\t'\"$*()=#:é";
    char name[40];
    size_t len = 1 + random_below(random, 10);
    for (size_t i = 0; i < len; i++)
        name[i] = letters[random_below(random, random_below(random, 3) ? 13 : sizeof letters - 1)];
    name[len] = '\0';
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || name[0] == '-')
        name[0] = 'n';
    return strdup(name);
}

/* Some files of all kinds of sizes, one that nobody may read, and a name that is not there. */
static void make_files(struct random *random)
{
    static const size_t sizes[] = {0, 1, 55, 64, 4096, 65537, 258047, 258048, 258049, 600000};
    static uint8_t bytes[600000];
    for (unsigned i = 0; i < FILES; i++) {
        names[i] = odd_name(random);
        for (size_t k = 0; k < sizeof bytes; k += 97)
            bytes[k] = (uint8_t)random_next(random);
        put_file(names[i], bytes, sizes[random_below(random, sizeof sizes / sizeof sizes[0])]);
    }
    names[FILES] = odd_name(random);
    names[FILES + 1] = strdup("-");
}

static char *any_name(struct random *random)
{
    return names[random_below(random, FILES + 2)];
}

static size_t real_line(struct random *random, char *line)
{
    static char *arguments[4];
    struct answer answer;
    static const char *const modes[] = {"-t", "-b", "--tag"};
    arguments[0] = (char *)"sha256sum";
    arguments[1] = (char *)(uintptr_t)modes[random_below(random, 3)];
    arguments[2] = names[random_below(random, FILES)];
    finish(start("sha256sum", arguments), &answer);
    size_t len = answer.out_len;
    memcpy(line, answer.out, len);
    answer_free(&answer);
    return len;
}

/* Changes, cuts or doubles a byte: some lines stay good, most become odd. */
static size_t spoil(struct random *random, char *line, size_t len)
{
    if (len < 2)
        return len;
    size_t at = random_below(random, random_below(random, 2) ? len - 1 : (len < 70 ? len - 1 : 70));
    switch (random_below(random, 6)) {
    case 0: line[at] = " *\\=()#aF0\t\r"[random_below(random, 12)]; return len;
    case 1: memmove(line + at, line + at + 1, len - at - 1); return len - 1;
    case 2: memmove(line + at + 1, line + at, len - at); return len + 1;
    case 3: line[len - 1] = '\r'; line[len] = '\n'; return len + 1;
    case 4: return len - 1;
    default: line[random_below(random, 60)] = 'f'; return len;
    }
}

static void make_check(struct random *random, const char *path)
{
    static char text[TEXT_MAX];
    size_t len = 0;
    unsigned lines = (unsigned)random_below(random, 7);
    for (unsigned i = 0; i < lines; i++) {
        char *line = text + len;
        size_t line_len = real_line(random, line);
        unsigned times = (unsigned)random_below(random, 3);
        while (times-- > 0)
            line_len = spoil(random, line, line_len);
        len += line_len;
        if (random_below(random, 6) == 0)
            text[len++] = '\n';
    }
    put_file(path, text, len);
}

static void one_round(struct random *random)
{
    static const char *const check_options[] = {
        "--quiet", "--status", "--strict", "--ignore-missing", "-w", "--warn", "-b", "--tag"};
    static const char *const sum_options[] = {
        "-b", "-t", "-z", "--tag", "--quiet", "--strict", "-w", "--status", "--ignore-missing"};
    char *arguments[ARGUMENTS_MAX + 1] = {NULL};
    unsigned count = 1;
    bool is_check = random_below(random, 2);
    if (is_check)
        arguments[count++] = (char *)"-c";
    while (random_below(random, 3) == 0 && count < 5) {
        bool may_be_wrong = random_below(random, 8) == 0;   /* options that do not go together */
        unsigned options = is_check ? (may_be_wrong ? 8 : 6) : (may_be_wrong ? 9 : 4);
        unsigned option = (unsigned)random_below(random, options);
        arguments[count++] = (char *)(uintptr_t)(is_check ? check_options[option] : sum_options[option]);
    }
    if (is_check) {
        make_check(random, "check 1");
        make_check(random, input);
        unsigned files = (unsigned)random_below(random, 3);
        for (unsigned i = 0; i < files; i++) {
            char *const choices[] = {(char *)"check 1", (char *)"-", names[FILES], names[0]};
            arguments[count++] = choices[random_below(random, 4)];
        }
    } else {
        put_file(input, "standard input", random_below(random, 15));
        unsigned files = (unsigned)random_below(random, 6);
        for (unsigned i = 0; i < files; i++)
            arguments[count++] = any_name(random);
    }
    if (!agrees(arguments))
        ck_abort_msg("they differ");
}

START_TEST(it_agrees_with_sha256sum)
{
    struct random random = fixture_random("jobsum");
    unsigned rounds = fixture_rounds("COUNT", 60);
    ck_assert_int_eq(setenv("LC_ALL", "C", 1), 0);
    for (unsigned i = 0; i < rounds; i++) {
        if (i % 20 == 0) {
            ck_assert_int_eq(system("rm -rf ./* ./.[!.]*"), 0);
            make_files(&random);
        }
        one_round(&random);
    }
}
END_TEST

START_TEST(what_cannot_be_read_is_told_as_sha256sum_does)
{
    char *directories[] = {NULL, (char *)"-c", (char *)"list", NULL};
    char *checks[] = {NULL, (char *)"-c", (char *)"d", NULL};
    char *special[] = {NULL, (char *)"/dev/null", (char *)"/proc/self/mounts", (char *)"/proc/self/mem", NULL};
    ck_assert_int_eq(mkdir("d", 0700), 0);
    put_file("list", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  d\n", 68);

    ck_assert(agrees(directories));
    ck_assert(agrees(checks));
    ck_assert(agrees(special));
}
END_TEST

START_TEST(a_directory_stands_for_the_files_beneath_it)
{
    struct answer ours, theirs;
    char *arguments[] = {(char *)"jobsum", (char *)"d", (char *)"z", (char *)"d/", NULL};
    char *find[] = {(char *)"sh", (char *)"-c",
                    (char *)"find d -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum; sha256sum z; "
                            "find d/ -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum",
                    NULL};
    ck_assert_int_eq(system("mkdir -p d/b/c d/e; echo 1 >d/b/c/1; echo 2 >d/b/2; echo 3 >d/a; echo 4 >'d/e/x y';"
                            "echo 5 >z; ln -s ../z d/link; ln -s ../d d/loop; mkfifo d/fifo; mkdir d/empty"), 0);

    finish(start(JOBSUM, arguments), &ours);
    finish(start("sh", find), &theirs);

    ck_assert_int_eq(ours.status, 0);
    ck_assert_str_eq(ours.out, theirs.out);
    ck_assert_str_eq(ours.err, "");
    answer_free(&ours);
    answer_free(&theirs);
}
END_TEST

START_TEST(memory_has_a_bound_whatever_the_files)
{
    struct answer answer;
    char *arguments[] = {(char *)"jobsum", (char *)"--memory", (char *)"8M", (char *)"d", NULL};
    ck_assert_int_eq(system("mkdir d; for i in 1 2 3 4 5 6 7 8 9 10; do truncate -s 20M d/$i; done"), 0);

    finish(start(JOBSUM, arguments), &answer);

    ck_assert_int_eq(answer.status, 0);
    ck_assert_str_eq(answer.err, "");
    if (FIXTURE_SLOWER == 1)   /* a sanitizer has memory of its own */
        ck_assert_int_lt(answer.rss_kib, 40 << 10);
    answer_free(&answer);
}
END_TEST

/* What sha256sum says of all files beneath d, in order. */
static void sum_by_find(struct answer *answer)
{
    char *find[] = {(char *)"sh", (char *)"-c", (char *)"find d -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum", NULL};
    finish(start("sh", find), answer);
}

/* Directories in directories, each with many files, of which some are too large to be loaded whole. */
static void make_tree(unsigned depth)
{
    static uint8_t bytes[300000];
    char path[512] = "d";
    for (unsigned level = 0; level < depth; level++) {
        size_t len = strlen(path);
        ck_assert_int_eq(mkdir(path, 0700), 0);
        for (unsigned i = 0; i < 40; i++) {
            memset(bytes, (int)(level * 40 + i), sizeof bytes);
            (void)snprintf(path + len, sizeof path - len, "/f%u", i);
            put_file(path, bytes, i % 10 == 9 ? sizeof bytes : i * 1500);
            (void)snprintf(path + len, sizeof path - len, "/s%u", i);
            if (i % 4 == 0) {
                ck_assert_int_eq(mkdir(path, 0700), 0);
                (void)strcat(path, "/x");
                put_file(path, "x", 1);
            }
        }
        (void)snprintf(path + len, sizeof path - len, "/m");   /* among those: some are listed ahead of it, some behind */
    }
}

static void forget_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    (void)fsync(fd);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
}

static void assert_sums_with(const char *limits, const struct answer *theirs)
{
    struct answer ours;
    char command[256];
    char *arguments[] = {(char *)"sh", (char *)"-c", command, (char *)JOBSUM, NULL};
    (void)snprintf(command, sizeof command, "ulimit -n 20; exec \"$0\" %s d", limits);
    finish(start("sh", arguments), &ours);
    ck_assert_str_eq(ours.err, "");
    ck_assert_int_eq(ours.status, 0);
    ck_assert_uint_eq(ours.out_len, theirs->out_len);
    ck_assert_mem_eq(ours.out, theirs->out, ours.out_len);
    answer_free(&ours);
}

/* 20 descriptors are a dozen for files; 8 MiB are four chunks. Each waits for what others give back, and nobody is told an error. */
START_TEST(few_descriptors_and_little_memory_make_it_slower_and_no_more)
{
    enum { DEPTH = 4, FORGOTTEN = 40 };
    struct answer theirs, ours;
    char path[128] = "d";
    char *check[] = {(char *)"sh", (char *)"-c",
                     (char *)"ulimit -n 20; exec \"$0\" --memory 8M --quiet -c list list list", (char *)JOBSUM, NULL};
    make_tree(DEPTH);
    sum_by_find(&theirs);
    put_file("list", theirs.out, theirs.out_len);

    assert_sums_with("", &theirs);
    assert_sums_with("--memory 8M", &theirs);
    for (unsigned level = 0; level < DEPTH; level++) {   /* some come from the disk, by other ways */
        size_t len = strlen(path);
        for (unsigned i = 1; i < FORGOTTEN; i += 2) {
            (void)snprintf(path + len, sizeof path - len, "/f%u", i);
            forget_file(path);
        }
        (void)snprintf(path + len, sizeof path - len, "/m");
    }
    assert_sums_with("--memory 8M", &theirs);
    finish(start("sh", check), &ours);
    ck_assert_str_eq(ours.err, "");
    ck_assert_str_eq(ours.out, "");
    ck_assert_int_eq(ours.status, 0);
    answer_free(&ours);
    answer_free(&theirs);
}
END_TEST

START_TEST(a_signal_leaves_whole_lines)
{
    struct answer answer;
    char *arguments[] = {(char *)"jobsum", (char *)"d", (char *)"fifo", NULL};
    ck_assert_int_eq(system("mkdir d; mkfifo fifo; for i in 1 2 3; do echo $i >d/$i; done"), 0);
    pid_t pid = start(JOBSUM, arguments);
    int fifo = open("fifo", O_WRONLY | O_CLOEXEC);   /* returns when it has begun to read */
    ck_assert_int_ge(fifo, 0);

    ck_assert_int_eq(kill(pid, SIGINT), 0);
    finish(pid, &answer);
    close(fifo);

    ck_assert(WIFSIGNALED(answer.status));
    ck_assert_int_eq(WTERMSIG(answer.status), SIGINT);
    ck_assert(answer.out_len == 0 || answer.out[answer.out_len - 1] == '\n');
    ck_assert_str_eq(answer.err, "");
    answer_free(&answer);
}
END_TEST

static const char *const letters[] = {"'", "\r", "a", " ", "\"", "\xc3\xa9", "\xff", "~", "!", "=", "\\", "{", "#", "@", ":"};

/* `digits` counts through all names of so many letters; a negative one: any of up to 9. */
static char *quotable_name(struct random *random, long digits, unsigned len)
{
    enum { LETTERS = sizeof letters / sizeof letters[0] };
    char name[64] = "no/";
    if (digits < 0)
        len = 4 + (unsigned)random_below(random, 6);
    for (unsigned i = 0; i < len; i++, digits /= LETTERS)
        (void)strcat(name, letters[digits < 0 ? random_below(random, LETTERS) : (unsigned)digits % LETTERS]);
    return strdup(name[3] == '{' || random_below(random, 2) ? name + 3 : name);
}

static void compare_names(struct random *random, unsigned len, long count)
{
    char **arguments = calloc((size_t)count + 3, sizeof *arguments);
    arguments[1] = (char *)"--";
    for (long i = 0; i < count; i++)
        arguments[2 + i] = quotable_name(random, len > 0 ? i : -1, len);
    if (!agrees(arguments))
        ck_abort_msg("they differ");
    for (long i = 0; i < count; i++)
        free(arguments[2 + i]);
    free(arguments);
}

/* None of the files is there: each name stands in a message. All names of up to three letters, and some longer ones. */
START_TEST(names_are_quoted_as_by_sha256sum)
{
    static const char *const locales[] = {"C", "C.UTF-8"};
    struct random random = fixture_random("jobsum");
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(setenv("LC_ALL", locales[i], 1), 0);
        compare_names(&random, 1, 15);
        compare_names(&random, 2, 15 * 15);
        compare_names(&random, 3, 15 * 15 * 15);
        compare_names(&random, 0, fixture_rounds("COUNT", 2000));
    }
}
END_TEST

START_TEST(what_is_closed_stays_closed_and_what_cannot_be_written_counts)
{
    static const char *const commands[] = {
        "\"$0\" <&-", "\"$0\" - - <&-", "\"$0\" z - y <&-", "\"$0\" -c <&-", "\"$0\" -c list - <&-", "\"$0\" z <&-",
        "\"$0\" z >&-", "\"$0\" z no >&-", "\"$0\" no >&-", "\"$0\" -c list >&-", "\"$0\" -c --status list >&-",
        "\"$0\" no 2>&-", "\"$0\" z 2>&-", "\"$0\" -c -w odd 2>&-", "\"$0\" -c -w odd 2>/dev/full", "\"$0\" -c --status odd 2>&-",
        "\"$0\" z - <&- >&-", "\"$0\" z - <&- 2>&-", "\"$0\" z no >&- 2>&-", "\"$0\" z - no <&- >&- 2>&-",
        "\"$0\" z >/dev/full", "\"$0\" z no y >/dev/full", "\"$0\" -c list >/dev/full",
        "\"$0\" --help >&-", "\"$0\" --version >&-",
    };
    put_file("z", "z", 1);
    put_file("y", "y", 1);
    ck_assert_int_eq(system("sha256sum z y >list; (cat list; echo odd) >odd"), 0);
    put_file(input, "standard input", 14);

    for (unsigned i = 0; i < sizeof commands / sizeof commands[0]; i++)
        ck_assert(agrees_in_shell(commands[i]));
}
END_TEST

START_TEST(a_broken_pipe_ends_it_by_a_signal_that_is_not_ignored)
{
    char *arguments[] = {NULL, (char *)"z", (char *)"no", NULL};
    int fds[2];
    put_file("z", "z", 1);
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    close(fds[0]);

    ck_assert_ptr_ne(signal(SIGPIPE, SIG_IGN), SIG_ERR);
    ck_assert(agrees_to(fds[1], arguments));
    arguments[2] = NULL;   /* a message that comes after the line may be lost */
    ck_assert_ptr_ne(signal(SIGPIPE, SIG_DFL), SIG_ERR);
    ck_assert(agrees_to(fds[1], arguments));
}
END_TEST

START_TEST(options_are_shortened_as_those_of_sha256sum)
{
    static const char *const options[] = {"--t", "--s", "--te", "--ta", "--z", "--q", "--w", "--i", "--st", "--zero=1", "-q"};
    put_file("z", "z", 1);
    for (unsigned i = 0; i < sizeof options / sizeof options[0]; i++) {
        char *arguments[] = {NULL, (char *)(uintptr_t)options[i], (char *)"z", NULL};
        ck_assert(agrees(arguments));
    }
}
END_TEST

START_TEST(it_says_its_version)
{
    struct answer answer;
    char *arguments[] = {(char *)"jobsum", (char *)"--version", NULL};

    finish(start(JOBSUM, arguments), &answer);

    char want[64];
    (void)snprintf(want, sizeof want, "jobsum (libjob) %d.%d.%d\n", JOB_VERSION_MAJOR, JOB_VERSION_MINOR, JOB_VERSION_PATCH);
    ck_assert_int_eq(answer.status, 0);
    ck_assert_str_eq(answer.out, want);
    answer_free(&answer);
}
END_TEST

/* Two lines that are none, `odd` bytes each, before lines that are; the last has no end. */
static void compare_long_lines(size_t odd)
{
    static char text[1 << 20];
    char *arguments[] = {NULL, (char *)"-c", (char *)"-w", (char *)"list", NULL};
    size_t len = 0, line_len;
    char *line = contents("line", &line_len);
    for (unsigned i = 0; i < 2; i++) {
        memset(text + len, 'x', odd);
        len += odd;
        text[len++] = '\n';
        memcpy(text + len, line, line_len);
        len += line_len;
    }
    memset(text + len, 'y', odd);
    put_file("list", text, len + odd);
    free(line);
    ck_assert(agrees(arguments));
}

/* Longer than what is read at a time, or ending just there: 60000 bytes. */
START_TEST(lines_of_checksums_may_be_long)
{
    put_file("z", "z", 1);
    ck_assert_int_eq(system("sha256sum z >line"), 0);
    for (size_t odd = 59998; odd < 60003; odd++)
        compare_long_lines(odd);
    compare_long_lines(200000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jobsum");
    TCase *tcase = tcase_create("jobsum");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, getenv("COUNT") ? 3600 : 60);
    tcase_add_test(tcase, it_agrees_with_sha256sum);
    tcase_add_test(tcase, what_cannot_be_read_is_told_as_sha256sum_does);
    tcase_add_test(tcase, a_directory_stands_for_the_files_beneath_it);
    tcase_add_test(tcase, memory_has_a_bound_whatever_the_files);
    tcase_add_test(tcase, few_descriptors_and_little_memory_make_it_slower_and_no_more);
    tcase_add_test(tcase, a_signal_leaves_whole_lines);
    tcase_add_test(tcase, names_are_quoted_as_by_sha256sum);
    tcase_add_test(tcase, what_is_closed_stays_closed_and_what_cannot_be_written_counts);
    tcase_add_test(tcase, a_broken_pipe_ends_it_by_a_signal_that_is_not_ignored);
    tcase_add_test(tcase, options_are_shortened_as_those_of_sha256sum);
    tcase_add_test(tcase, it_says_its_version);
    tcase_add_test(tcase, lines_of_checksums_may_be_long);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
