/* ring_refusal.c — io_uring can be missing for three reasons that look alike; this tells them apart.
 *
 * kernel.io_uring_disabled (sysctl) and a seccomp filter both say EPERM; a filter may also say ENOSYS, which an old kernel says as well.
 */
#include "engine/ring_refusal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/utsname.h>

static int disabled_by_sysctl(void)
{
    int value = 0;
    FILE *file = fopen("/proc/sys/kernel/io_uring_disabled", "re");
    if (!file)
        return 0;
    if (fscanf(file, "%d", &value) != 1)
        value = 0;
    (void)fclose(file);
    return value;
}

static bool kernel_is_below_floor(const char *release)
{
    int major = 0, minor = 0;
    return sscanf(release, "%d.%d", &major, &minor) == 2 && (major < 6 || (major == 6 && minor < 1));
}

int ring_refusal(struct root *root, int err)
{
    struct utsname name = {0};
    (void)uname(&name);
    int disabled = disabled_by_sysctl();
    if ((err == -ENOSYS || err == -EINVAL) && kernel_is_below_floor(name.release)) {
        log_write(&root->log, JOB_LOG_ERROR, "io_uring: kernel %s is older than 6.1: run a newer kernel", name.release);
        return -ENOSYS;
    }
    if (err == -EPERM && disabled > 0) {
        log_write(&root->log, JOB_LOG_ERROR,
                  "io_uring: forbidden by kernel.io_uring_disabled=%d: set it to 0, or to 1 and run in its group", disabled);
        return -EPERM;
    }
    if (err == -EPERM || err == -ENOSYS) {
        log_write(&root->log, JOB_LOG_ERROR,
                  "io_uring: forbidden by a seccomp filter, as in default containers: allow io_uring_setup, io_uring_enter and "
                  "io_uring_register in its profile");
        return err;
    }
    if (err == -EINVAL) {
        log_write(&root->log, JOB_LOG_ERROR, "io_uring: kernel %s lacks features of 6.1: run a newer kernel", name.release);
        return -ENOSYS;
    }
    log_write(&root->log, JOB_LOG_ERROR, "io_uring: %s", job_strerror(err));
    return err;
}
