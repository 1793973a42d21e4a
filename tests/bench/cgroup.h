/* cgroup.h — a CPU quota for one child: a cgroup of our own below the one that we are in, v1 or v2, removed afterwards. */
#ifndef TESTS_BENCH_CGROUP_H
#define TESTS_BENCH_CGROUP_H

#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CGROUP_PERIOD_US = 100000 };   /* the kernel's default */

struct cgroup {
    char path[PATH_MAX];   /* empty: none */
};

static inline bool cgroup_write(const struct cgroup *group, const char *file, const char *text)
{
    char path[PATH_MAX + 64];
    (void)snprintf(path, sizeof path, "%s/%s", group->path, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = write(fd, text, strlen(text));
    (void)close(fd);
    return n == (ssize_t)strlen(text);
}

static inline bool cgroup_has_word(const char *list, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += len) {
        bool begins = at == list || at[-1] == ',' || at[-1] == ' ';
        bool ends = at[len] == '\0' || at[len] == ',' || at[len] == ' ' || at[len] == '\n';
        if (begins && ends)
            return true;
    }
    return false;
}

/* Where the hierarchy with the controller cpu is mounted: v1 if there is one, else v2. */
static inline bool cgroup_mount(char *point, size_t size, bool *is_v2)
{
    FILE *mounts = fopen("/proc/self/mounts", "re");
    char line[4096], where[1024], type[64], options[1024];
    bool is_found = false;
    while (mounts && fgets(line, sizeof line, mounts)) {
        if (sscanf(line, "%*s %1023s %63s %1023s", where, type, options) != 3)
            continue;
        bool is_v1 = strcmp(type, "cgroup") == 0 && cgroup_has_word(options, "cpu");
        if (!is_v1 && (is_found || strcmp(type, "cgroup2") != 0))
            continue;
        (void)snprintf(point, size, "%s", where);
        *is_v2 = !is_v1;
        is_found = true;
        if (is_v1)
            break;
    }
    if (mounts)
        (void)fclose(mounts);
    return is_found;
}

static inline bool cgroup_own_path(char *path, size_t size, bool is_v2)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    char line[4096];
    bool is_found = false;
    while (file && !is_found && fgets(line, sizeof line, file)) {
        char *controllers = strchr(line, ':');
        char *where = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!where)
            continue;
        *where++ = '\0';
        where[strcspn(where, "\n")] = '\0';
        is_found = is_v2 ? controllers[1] == '\0' : cgroup_has_word(controllers + 1, "cpu");
        if (is_found)
            (void)snprintf(path, size, "%s", strcmp(where, "/") == 0 ? "" : where);
    }
    if (file)
        (void)fclose(file);
    return is_found;
}

static inline void cgroup_close(struct cgroup *group)
{
    if (group->path[0] != '\0')
        (void)rmdir(group->path);   /* EBUSY while a process of it is not reaped */
    group->path[0] = '\0';
}

static inline bool cgroup_limit(const struct cgroup *group, bool is_v2, unsigned percent)
{
    char quota[64];
    unsigned quota_us = CGROUP_PERIOD_US / 100 * percent;
    if (is_v2) {
        (void)snprintf(quota, sizeof quota, "%u %u", quota_us, CGROUP_PERIOD_US);
        return cgroup_write(group, "cpu.max", quota);
    }
    char period[64];
    (void)snprintf(period, sizeof period, "%u", CGROUP_PERIOD_US);
    (void)snprintf(quota, sizeof quota, "%u", quota_us);
    return cgroup_write(group, "cpu.cfs_period_us", period) && cgroup_write(group, "cpu.cfs_quota_us", quota);
}

/* Skips the program where it cannot be made. `percent` of one CPU. */
static inline void cgroup_open(struct cgroup *group, unsigned percent)
{
    char point[1024], own[1024];
    bool is_v2 = false;
    group->path[0] = '\0';
    if (!cgroup_mount(point, sizeof point, &is_v2) || !cgroup_own_path(own, sizeof own, is_v2))
        bench_skip("no cgroup controller cpu is mounted");
    if (is_v2) {   /* harmless when it is on already */
        struct cgroup parent;
        (void)snprintf(parent.path, sizeof parent.path, "%s%s", point, own);
        (void)cgroup_write(&parent, "cgroup.subtree_control", "+cpu");
    }
    (void)snprintf(group->path, sizeof group->path, "%s%s/job-bench-%d", point, own, (int)getpid());
    if (mkdir(group->path, 0755) < 0) {
        group->path[0] = '\0';
        bench_skip("a cgroup cannot be made here");
    }
    if (!cgroup_limit(group, is_v2, percent)) {
        cgroup_close(group);
        bench_skip("a cgroup's CPU quota cannot be set here");
    }
}

/* The calling process goes into the group, with what it starts from now on. */
static inline bool cgroup_enter(const struct cgroup *group)
{
    return group->path[0] == '\0' || cgroup_write(group, "cgroup.procs", "0");
}

#endif
