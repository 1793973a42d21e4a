/* live.c — starts the service, runs jobctl in a directory of its own, and has jq judge what it says. */
#include "live.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { OUTPUT_MAX = 1 << 20 };

static char directory[64];

struct service service;
const char *name_inside;

void start(const char *mode, const char *argument)
{
    int in[2], out[2];
    char text[64] = "";
    ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    service.pid = fork();
    if (service.pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        execl(SERVICE, SERVICE, mode, argument ? argument : "service", name_inside, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    service.input = in[1];
    size_t len = 0;
    while (len < sizeof text - 1 && !strchr(text, '\n')) {
        ssize_t n = read(out[0], text + len, sizeof text - 1 - len);
        ck_assert_msg(n > 0, "the service ended before it was ready");
        len += (size_t)n;
        text[len] = '\0';
    }
    close(out[0]);
    service.told = atoi(text + strlen("ready "));
}

void stop(void)
{
    if (service.pid <= 0)
        return;
    close(service.input);
    kill(service.pid, SIGKILL);
    waitpid(service.pid, NULL, 0);
    service.pid = 0;
}

static void set_up(void)
{
    name_inside = NULL;
    snprintf(directory, sizeof directory, "/tmp/test_jobctl.%*s", 6, "");   /* a run that was killed may have left its own */
    memset(strchr(directory, ' '), 'X', 6);                                 /* what mkdtemp(3) wants */
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chmod(directory, 0755), 0);
}

static void tear_down(void)
{
    char command[128];
    stop();
    snprintf(command, sizeof command, "rm -r %s", directory);
    ck_assert_int_eq(system(command), 0);
}

int run(const char *format, ...)
{
    char command[1024], line[1200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    snprintf(line, sizeof line, "cd %s && %s >out 2>err", directory, command);
    int status = system(line);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) < 126, "%s ended with %#x", command, (unsigned)status);
    return WEXITSTATUS(status);
}

const char *text_of(const char *file)
{
    static char text[OUTPUT_MAX];
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, file);
    FILE *stream = fopen(path, "re");
    ck_assert_ptr_nonnull(stream);
    text[fread(text, 1, sizeof text - 1, stream)] = '\0';
    fclose(stream);
    return text;
}

bool says(const char *file, const char *what)
{
    return strstr(text_of(file), what) != NULL;
}

bool holds(const char *filter)
{
    char command[2048];
    snprintf(command, sizeof command, "cd %s && jq -e '%s' out >jq 2>&1", directory, filter);
    int status = system(command);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    ck_assert_msg(code == 0 || code == 1 || code == 4, "jq: %s\n%s", filter, text_of("jq"));
    return code == 0;   /* 1: false or null, 4: what it is about is not there */
}

void until(const char *view, const char *filter)
{
    do
        ck_assert_int_eq(run("%s %s %d --json", JOBCTL, view, (int)service.told), 0);
    while (!holds(filter));
}

void stat_until(const char *filter)
{
    until("stat", filter);
}

TCase *live_tcase(const char *name)
{
    TCase *tcase = tcase_create(name);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 40);   /* each look is a shell, jobctl and jq: on a busy machine a second */
    return tcase;
}
