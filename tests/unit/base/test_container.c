/* test_container.c — limits as they are read from cgroup files, v1 and v2, in a directory of our own. */
#include "base/container.h"
#include "support/fixture.h"

#include <ftw.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

static char base[64];

static void set_up(void)
{
    snprintf(base, sizeof base, "/tmp/job-container-%d", (int)getpid());
    ck_assert_int_eq(mkdir(base, 0700), 0);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status, (void)type, (void)at;
    return remove(path);
}

static void tear_down(void)
{
    nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *path, const char *text)
{
    char full[PATH_MAX];
    snprintf(full, sizeof full, "%s%s", base, path);
    for (char *slash = strchr(full + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void put_v2(void)
{
    put("/proc/self/cgroup", "0::/service/worker\n");
    put("/proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/root rw\n"
                                "31 22 0:26 / /cg rw,nosuid shared:4 - cgroup2 cgroup2 rw\n");
}

static void put_v1(void)
{
    put("/proc/self/cgroup", "9:memory:/service\n4:cpu,cpuacct:/service\n1:name=systemd:/\n");
    put("/proc/self/mountinfo", "30 22 0:25 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
                                "31 22 0:26 / /cg/memory rw - cgroup cgroup rw,memory\n");
}

static size_t machine_memory(void)
{
    struct sysinfo info;
    ck_assert_int_eq(sysinfo(&info), 0);
    return (size_t)info.totalram * info.mem_unit;
}

START_TEST(without_cgroups_the_machine_is_the_limit)
{
    ck_assert_uint_eq(container_memory_below(base), machine_memory());
    ck_assert_uint_eq(container_quota_below(base).quota_us, 0);
}
END_TEST

START_TEST(v2_takes_the_smallest_of_all_levels)
{
    put_v2();
    put("/cg/service/worker/memory.max", "max\n");
    put("/cg/service/memory.max", "33554432\n");
    put("/cg/memory.max", "67108864\n");
    ck_assert_uint_eq(container_memory_below(base), 33554432);

    put("/cg/service/worker/memory.max", "16777216\n");
    ck_assert_uint_eq(container_memory_below(base), 16777216);
}
END_TEST

START_TEST(v2_max_at_every_level_is_no_limit)
{
    put_v2();
    put("/cg/service/worker/memory.max", "max\n");
    put("/cg/service/memory.max", "max\n");
    ck_assert_uint_eq(container_memory_below(base), machine_memory());
}
END_TEST

START_TEST(v2_a_path_that_is_not_visible_falls_back_to_the_mount)
{
    put_v2();
    put("/cg/memory.max", "8388608\n");
    ck_assert_uint_eq(container_memory_below(base), 8388608);
}
END_TEST

START_TEST(v2_the_tightest_quota_is_by_ratio_not_by_number)
{
    put_v2();
    put("/cg/service/worker/cpu.max", "150000 100000\n");
    put("/cg/service/cpu.max", "5000 10000\n");
    put("/cg/cpu.max", "max 100000\n");
    struct container_quota quota = container_quota_below(base);
    ck_assert_uint_eq(quota.quota_us, 5000);
    ck_assert_uint_eq(quota.period_us, 10000);
}
END_TEST

START_TEST(v1_memory_and_quota_come_from_their_own_hierarchies)
{
    put_v1();
    put("/cg/memory/service/memory.limit_in_bytes", "50331648\n");
    put("/cg/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("/cg/cpu/service/cpu.cfs_quota_us", "-1\n");
    put("/cg/cpu/service/cpu.cfs_period_us", "100000\n");
    put("/cg/cpu/cpu.cfs_quota_us", "20000\n");
    put("/cg/cpu/cpu.cfs_period_us", "50000\n");
    ck_assert_uint_eq(container_memory_below(base), 50331648);
    struct container_quota quota = container_quota_below(base);
    ck_assert_uint_eq(quota.quota_us, 20000);
    ck_assert_uint_eq(quota.period_us, 50000);
}
END_TEST

START_TEST(what_is_no_number_is_no_limit)
{
    static const char *const texts[] = {"", "\n", "none", "-", "max 0", "0\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        put_v2();
        put("/cg/service/memory.max", texts[i]);
        put("/cg/service/cpu.max", texts[i]);
        ck_assert_uint_eq(container_memory_below(base), machine_memory());
        ck_assert_uint_eq(container_quota_below(base).quota_us, 0);
    }
    put("/cg/service/cpu.max", "0 0\n");
    ck_assert_uint_eq(container_quota_below(base).quota_us, 0);
}
END_TEST

START_TEST(lines_that_make_no_sense_are_passed_over)
{
    put("/proc/self/cgroup", "\n:\nx\n0::\n");
    put("/proc/self/mountinfo", "\n - \n1 2 3\n31 22 0:26 / /cg rw - cgroup2 cgroup2 rw\n");
    put("/cg/memory.max", "12288\n");
    ck_assert_uint_eq(container_memory_below(base), 12288);
}
END_TEST

START_TEST(cpus_are_at_least_one_and_not_more_than_the_affinity)
{
    ck_assert_uint_ge(container_affinity_cpus(), 1);
    ck_assert_uint_ge(container_quota_cpus(container_quota()), 1);
    ck_assert_uint_eq(container_quota_cpus((struct container_quota){0}), UINT32_MAX);
    ck_assert_uint_eq(container_quota_cpus((struct container_quota){50000, 100000}), 1);
    ck_assert_uint_eq(container_quota_cpus((struct container_quota){199999, 100000}), 1);
    ck_assert_uint_eq(container_quota_cpus((struct container_quota){200000, 100000}), 2);
    ck_assert_uint_ge(container_memory(), 1U << 20);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("container");
    TCase *tcase = tcase_create("container");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, without_cgroups_the_machine_is_the_limit);
    tcase_add_test(tcase, v2_takes_the_smallest_of_all_levels);
    tcase_add_test(tcase, v2_max_at_every_level_is_no_limit);
    tcase_add_test(tcase, v2_a_path_that_is_not_visible_falls_back_to_the_mount);
    tcase_add_test(tcase, v2_the_tightest_quota_is_by_ratio_not_by_number);
    tcase_add_test(tcase, v1_memory_and_quota_come_from_their_own_hierarchies);
    tcase_add_test(tcase, what_is_no_number_is_no_limit);
    tcase_add_test(tcase, lines_that_make_no_sense_are_passed_over);
    tcase_add_test(tcase, cpus_are_at_least_one_and_not_more_than_the_affinity);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
