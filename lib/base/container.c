/* container.c — reads limits from /proc and the cgroup file systems; whatever cannot be read is no limit.
 *
 * A cgroup file lies at MOUNT/PATH/FILE, MOUNT from /proc/self/mountinfo, PATH from /proc/self/cgroup. In a container the path may
 * name a group that is not visible; then MOUNT itself is ours. Limits of ancestors bind as well, so all levels are read.
 */
#include "base/container.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/bits.h"

enum { LINE_BYTES = 4096, LEVELS_MAX = 64 };

/* Reads a small file; false when there is none. */
static bool read_text(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t len = fread(text, 1, size - 1, file);
    text[len] = '\0';
    (void)fclose(file);
    return true;
}

static FILE *open_below(const char *root, const char *path)
{
    char full[PATH_MAX];
    (void)snprintf(full, sizeof full, "%s%s", root, path);
    return fopen(full, "re");
}

/* Our path in the hierarchy of `controller` ("" for v2). */
static bool group_path(const char *root, const char *controller, char *path, size_t size)
{
    FILE *file = open_below(root, "/proc/self/cgroup");
    if (!file)
        return false;
    char line[LINE_BYTES];
    bool is_found = false;
    while (!is_found && fgets(line, sizeof line, file)) {
        char *names = strchr(line, ':');
        char *where = names ? strchr(names + 1, ':') : NULL;
        if (!where)
            continue;
        *where++ = '\0';
        where[strcspn(where, "\n")] = '\0';
        bool is_ours = names[1] == '\0' && controller[0] == '\0';
        char *rest = names + 1;
        for (char *name; controller[0] && (name = strsep(&rest, ","));)
            is_ours = is_ours || strcmp(name, controller) == 0;
        if (is_ours) {
            is_found = true;
            (void)snprintf(path, size, "%s", where);
        }
    }
    (void)fclose(file);
    return is_found;
}

/* Where that hierarchy is mounted. */
static bool mount_point(const char *root, const char *controller, char *point, size_t size)
{
    FILE *file = open_below(root, "/proc/self/mountinfo");
    if (!file)
        return false;
    char line[LINE_BYTES], where[PATH_MAX], options[LINE_BYTES], type[64];
    bool is_found = false;
    while (!is_found && fgets(line, sizeof line, file)) {
        char *tail = strstr(line, " - ");
        if (!tail || sscanf(line, "%*s %*s %*s %*s %4095s", where) != 1 ||
            sscanf(tail, " - %63s %*s %4095s", type, options) != 2)
            continue;
        if (controller[0] == '\0') {
            is_found = strcmp(type, "cgroup2") == 0;
        } else if (strcmp(type, "cgroup") == 0) {
            char *rest = options;
            for (char *name; (name = strsep(&rest, ","));)
                is_found = is_found || strcmp(name, controller) == 0;
        }
    }
    (void)fclose(file);
    if (is_found)
        (void)snprintf(point, size, "%s", where);
    return is_found;
}

/* Calls `look` with each level's text of a file, from our group up to the mount point. */
static void each_level(const char *root, const char *controller, const char *file,
                       void (*look)(const char *text, void *arg), void *arg)
{
    char point[PATH_MAX], path[PATH_MAX], full[3 * PATH_MAX + 256], text[256];
    if (!group_path(root, controller, path, sizeof path) || !mount_point(root, controller, point, sizeof point))
        return;
    for (int level = 0; level < LEVELS_MAX; level++) {
        (void)snprintf(full, sizeof full, "%s%s%s/%s", root, point, path, file);
        if (read_text(full, text, sizeof text))
            look(text, arg);
        char *slash = strrchr(path, '/');
        if (!slash || path[0] == '\0')
            return;
        *slash = '\0';
    }
}

static void look_at_memory(const char *text, void *arg)
{
    size_t *least = arg;
    char *end;
    unsigned long long bytes = strtoull(text, &end, 10);
    if (end != text && bytes > 0)   /* "max" is no number */
        *least = min_size(*least, bytes);
}

size_t container_memory_below(const char *root)
{
    struct sysinfo info;
    size_t least = SIZE_MAX;
    if (sysinfo(&info) == 0)
        least = (size_t)info.totalram * info.mem_unit;
    each_level(root, "", "memory.max", look_at_memory, &least);
    each_level(root, "memory", "memory.limit_in_bytes", look_at_memory, &least);
    return least;
}

size_t container_memory(void)
{
    return container_memory_below("");
}

static void keep_tighter(struct container_quota *tightest, uint64_t quota_us, uint64_t period_us)
{
    if (quota_us == 0 || period_us == 0)
        return;
    if (tightest->quota_us == 0 || quota_us * tightest->period_us < tightest->quota_us * period_us)
        *tightest = (struct container_quota){quota_us, period_us};
}

static void look_at_cpu_max(const char *text, void *arg)
{
    unsigned long long quota, period;
    if (sscanf(text, "%llu %llu", &quota, &period) == 2)   /* "max 100000" does not match */
        keep_tighter(arg, quota, period);
}

/* v1 has two files a level; the period is read where the quota was found. */
struct v1_level {
    struct container_quota tightest;
    uint64_t quotas[LEVELS_MAX];
    unsigned count, next;
};

static void look_at_v1_quota(const char *text, void *arg)
{
    struct v1_level *levels = arg;
    long long quota = strtoll(text, NULL, 10);
    if (levels->count < LEVELS_MAX)
        levels->quotas[levels->count++] = quota > 0 ? (uint64_t)quota : 0;
}

static void look_at_v1_period(const char *text, void *arg)
{
    struct v1_level *levels = arg;
    if (levels->next < levels->count)
        keep_tighter(&levels->tightest, levels->quotas[levels->next++], strtoull(text, NULL, 10));
}

struct container_quota container_quota_below(const char *root)
{
    struct container_quota tightest = {0};
    struct v1_level levels = {0};
    each_level(root, "", "cpu.max", look_at_cpu_max, &tightest);
    each_level(root, "cpu", "cpu.cfs_quota_us", look_at_v1_quota, &levels);
    each_level(root, "cpu", "cpu.cfs_period_us", look_at_v1_period, &levels);
    keep_tighter(&tightest, levels.tightest.quota_us, levels.tightest.period_us);
    return tightest;
}

struct container_quota container_quota(void)
{
    return container_quota_below("");
}

unsigned container_affinity_cpus(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return (unsigned)CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);   /* more CPUs than a fixed mask can say */
    return online > 0 ? (unsigned)online : 1;
}

uint32_t container_quota_cpus(struct container_quota quota)
{
    if (quota.quota_us == 0 || quota.quota_us / quota.period_us >= UINT32_MAX)
        return UINT32_MAX;
    uint32_t cpus = (uint32_t)(quota.quota_us / quota.period_us);
    return cpus > 0 ? cpus : 1;
}
