/* file_read.h — the file that is read, where, how often, and what is printed.
 *
 * Each block of 4 KiB begins with its own number, so that ours and the bare program can see that they read what they asked for.
 */
#ifndef TESTS_BENCH_FILE_READ_H
#define TESTS_BENCH_FILE_READ_H

#include "bench.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BLOCK = 4096, READ_DEPTH = 32 };

struct file_read {
    const char *path;
    uint64_t blocks;       /* of the file */
    uint64_t reads;        /* that are counted; a tenth more come before */
    unsigned depth;
    bool is_direct;
};

static inline void file_read_make(const struct file_read *file)
{
    struct stat status;
    static uint64_t chunk[256 * READ_BLOCK / 8];
    if (stat(file->path, &status) == 0 && (uint64_t)status.st_size == file->blocks * READ_BLOCK)
        return;
    int fd = open(file->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bench_ok(fd, file->path);
    for (uint64_t block = 0; block < file->blocks; block += 256) {
        for (unsigned i = 0; i < 256; i++)
            chunk[i * (READ_BLOCK / 8)] = block + i;
        bench_ok(write(fd, chunk, sizeof chunk) == (ssize_t)sizeof chunk ? 0 : -1, file->path);
    }
    bench_ok(fsync(fd), file->path);
    close(fd);
}

/* So that all of it is in memory. */
static inline void file_read_warm(const struct file_read *file)
{
    static char bytes[1 << 20];
    int fd = open(file->path, O_RDONLY | O_CLOEXEC);
    bench_ok(fd, file->path);
    while (read(fd, bytes, sizeof bytes) > 0) {
    }
    close(fd);
}

static inline struct file_read file_read_begin(int argc, char **argv)
{
    struct bench bench = bench_begin(argc, argv);
    struct file_read file = {.path = "/var/tmp/job-bench-file", .blocks = 1 << 17, .depth = READ_DEPTH};
    file.is_direct = strncmp(bench.variant, "direct", 6) == 0;
    if (!file.is_direct && strncmp(bench.variant, "cached", 6) != 0)
        bench_fail("variants: direct direct_1 cached cached_1");
    if (strchr(bench.variant, '_'))
        file.depth = 1;
    file.reads = file.is_direct ? (file.depth == 1 ? 15000 : 100000) : 1500000;
    if (bench.is_smoke) {
        file.path = "/var/tmp/job-bench-file-smoke";
        file.blocks = 1 << 10;
        file.reads = 2000;
    }
    file_read_make(&file);
    if (!file.is_direct)
        file_read_warm(&file);
    int fd = file.is_direct ? open(file.path, O_RDONLY | O_DIRECT | O_CLOEXEC) : -1;
    if (file.is_direct && fd < 0)
        bench_skip("this file system has no O_DIRECT");
    if (fd >= 0)
        close(fd);
    return file;
}

static inline uint64_t file_read_next(uint64_t *state, const struct file_read *file)
{
    *state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17;
    return *state % file->blocks;
}

/* What ours and the bare program measure alike: from the last read that is not counted to the last one. */
struct file_read_clock {
    uint64_t done, begin_ns, begin_cpu_ns;
};

/* True: all have been read. */
static inline bool file_read_count(struct file_read_clock *clock, const struct file_read *file)
{
    if (clock->done++ == file->reads / 10) {
        clock->begin_ns = bench_now_ns();
        clock->begin_cpu_ns = bench_cpu_ns();
    }
    return clock->done > file->reads + file->reads / 10;
}

static inline void file_read_print(const struct file_read_clock *clock, const struct file_read *file)
{
    double ns = (double)(bench_now_ns() - clock->begin_ns), cpu_ns = (double)(bench_cpu_ns() - clock->begin_cpu_ns);
    bench_metric("iops", (double)file->reads / ns * 1e9);
    bench_metric("cpu_us", cpu_ns / 1e3 / (double)file->reads);
    bench_checksum(file->reads);
}

static inline void file_read_check(const void *bytes, long long len, uint64_t block)
{
    uint64_t number;
    memcpy(&number, bytes, sizeof number);
    if (len != READ_BLOCK || number != block)
        bench_fail("a read brought something else");
}

#endif
