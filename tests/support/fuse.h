/* fuse.h — a file system whose server is a process of the test, by the protocol of /dev/fuse: one directory with one file.
 *
 * The server notes which thread each request comes from (the kernel says it with the request), so a test can tell who has waited for an
 * answer, without a clock. The file says that it has FUSE_SIZE bytes, and gives FUSE_LEN: as files of /proc that a container's host serves.
 */
#ifndef TESTS_SUPPORT_FUSE_H
#define TESTS_SUPPORT_FUSE_H

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FUSE_SIZE = 4096, FUSE_LEN = 1400, FUSE_CALLS = 64, FUSE_FILE = 2 };

/* Shared with the server. */
struct fuse_seen {
    pid_t loop;                        /* the thread that must not wait */
    unsigned calls[FUSE_CALLS];        /* by opcode: from whomever; each is counted before it is answered */
    unsigned from_loop[FUSE_CALLS];
    char bytes[FUSE_LEN];
};

static struct fuse_seen *fuse_seen;
static pid_t fuse_server;

static inline void fuse_answer(int fd, uint64_t unique, int err, const void *bytes, size_t len)
{
    char answer[sizeof(struct fuse_out_header) + FUSE_SIZE];
    struct fuse_out_header header = {.len = (uint32_t)(sizeof header + len), .error = err, .unique = unique};
    memcpy(answer, &header, sizeof header);
    memcpy(answer + sizeof header, bytes, len);
    if (write(fd, answer, header.len) < 0)
        return;   /* who asked has been interrupted */
}

static inline struct fuse_attr fuse_attributes(uint64_t inode)
{
    bool is_file = inode == FUSE_FILE;
    return (struct fuse_attr){
        .ino = inode, .mode = is_file ? S_IFREG | 0644 : S_IFDIR | 0755, .nlink = 1, .size = is_file ? FUSE_SIZE : 0};
}

static inline void fuse_answer_read(int fd, uint64_t unique, const struct fuse_read_in *wanted)
{
    size_t at = wanted->offset < FUSE_LEN ? (size_t)wanted->offset : FUSE_LEN;
    size_t len = FUSE_LEN - at < wanted->size ? FUSE_LEN - at : wanted->size;
    fuse_answer(fd, unique, 0, fuse_seen->bytes + at, len);
}

/* Names stay valid, attributes do not: whoever wants to be sure asks. */
static inline void fuse_serve(int fd, const struct fuse_in_header *in)
{
    struct fuse_init_out init = {.major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = 65536};
    struct fuse_entry_out entry = {
        .nodeid = FUSE_FILE, .generation = 1, .entry_valid = 1000, .attr = fuse_attributes(FUSE_FILE)};
    struct fuse_attr_out attributes = {.attr = fuse_attributes(in->nodeid)};
    struct fuse_open_out open_out = {.fh = 1, .open_flags = FOPEN_DIRECT_IO};
    switch (in->opcode) {
    case FUSE_INIT: fuse_answer(fd, in->unique, 0, &init, sizeof init); break;
    case FUSE_LOOKUP: fuse_answer(fd, in->unique, 0, &entry, sizeof entry); break;
    case FUSE_GETATTR: fuse_answer(fd, in->unique, 0, &attributes, sizeof attributes); break;
    case FUSE_OPEN: fuse_answer(fd, in->unique, 0, &open_out, sizeof open_out); break;
    case FUSE_READ: fuse_answer_read(fd, in->unique, (const struct fuse_read_in *)(const void *)(in + 1)); break;
    case FUSE_RELEASE:
    case FUSE_FLUSH: fuse_answer(fd, in->unique, 0, "", 0); break;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET: break;   /* these have no answer */
    default: fuse_answer(fd, in->unique, -ENOSYS, "", 0);
    }
}

static inline void fuse_count(const struct fuse_in_header *in)
{
    if (in->opcode >= FUSE_CALLS)
        return;
    fuse_seen->calls[in->opcode]++;
    fuse_seen->from_loop[in->opcode] += fuse_seen->loop > 0 && in->pid == (uint32_t)fuse_seen->loop;
}

static inline void fuse_run(int fd)
{
    static _Alignas(struct fuse_in_header) char in[1 << 18];
    const struct fuse_in_header *header = (const struct fuse_in_header *)(const void *)in;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    ssize_t n;
    while ((n = read(fd, in, sizeof in)) > 0 || errno == ENOENT || errno == EINTR) {   /* the former: who asked has gone */
        if (n <= 0)
            continue;
        fuse_count(header);
        fuse_serve(fd, header);
    }
    _exit(0);
}

static inline void fuse_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    (void)!write(fd, text, strlen(text));
    close(fd);
}

/* A process that is not root is, in a name space of its own. */
static inline bool fuse_own_mounts(void)
{
    char map[32];
    (void)snprintf(map, sizeof map, "0 %u 1", (unsigned)getuid());
    if (unshare(CLONE_NEWNS) < 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
            return false;
        fuse_write("/proc/self/setgroups", "deny");
        fuse_write("/proc/self/uid_map", map);
    }
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* Before the process has a second thread. False: it may not, or there is no FUSE here. */
static inline bool fuse_mount(const char *where)
{
    char options[96];
    int fd = fuse_own_mounts() ? open("/dev/fuse", O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return false;
    (void)snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=%u,group_id=%u", fd, (unsigned)getuid(),
                   (unsigned)getgid());
    if (mount("test", where, "fuse", 0, options) < 0)
        return false;
    fuse_seen = mmap(NULL, sizeof *fuse_seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    fuse_server = fork();
    if (fuse_server == 0)
        fuse_run(fd);
    close(fd);
    return true;
}

static inline void fuse_unmount(const char *where)
{
    (void)umount2(where, MNT_DETACH);
    (void)kill(fuse_server, SIGKILL);
    (void)waitpid(fuse_server, NULL, 0);
}

/* Requests for which the loop has waited. */
static inline unsigned fuse_asked_by_loop(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < FUSE_CALLS; i++) {
        if (fuse_seen->from_loop[i] > 0)
            fprintf(stderr, "the loop has waited for request %u\n", i);
        count += fuse_seen->from_loop[i];
    }
    return count;
}

#endif
