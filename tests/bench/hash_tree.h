/* hash_tree.h — what is hashed, the plain loop that we are compared with, and how a run is reported.
 *
 * Each side is a command as a user would type it, from the walk over the tree to the last line; its lines are added up in no order.
 */
#ifndef TESTS_BENCH_HASH_TREE_H
#define TESTS_BENCH_HASH_TREE_H

#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HASH_FILES = 4, HASH_LINE_MAX = 8192 };

/* The EVP loop in plain C, over the files of an argument list: what xargs runs. Two of them share a pipe: what is written at a time is
 * whole lines, and no more than a pipe takes as a whole. */
static inline int hash_files(int argc, char **argv)
{
    static char lines[1 << 16];
    size_t pending = 0;
    (void)setvbuf(stdout, lines, _IOFBF, sizeof lines);
    static unsigned char bytes[262144];
    unsigned char digest[32];
    EVP_MD *sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    for (int i = 2; i < argc; i++) {
        int fd = open(argv[i], O_RDONLY | O_CLOEXEC);
        bench_ok(fd, argv[i]);
        ssize_t n;
        EVP_DigestInit_ex(context, sha256, NULL);
        while ((n = read(fd, bytes, sizeof bytes)) > 0)
            EVP_DigestUpdate(context, bytes, (size_t)n);
        close(fd);
        EVP_DigestFinal_ex(context, digest, NULL);
        size_t len = 2 * sizeof digest + strlen(argv[i]) + 3;
        if (pending + len > PIPE_BUF)
            fflush(stdout), pending = 0;
        pending += len;
        for (unsigned k = 0; k < sizeof digest; k++)
            printf("%02x", digest[k]);
        printf("  %s\n", argv[i]);
    }
    return 0;
}

static inline void hash_make_large(const char *directory, size_t bytes)
{
    char path[256];
    uint64_t word = 88172645463325252U;
    static uint64_t block[8192];
    (void)mkdir(directory, 0700);
    for (unsigned i = 0; i < HASH_FILES; i++) {
        (void)snprintf(path, sizeof path, "%s/%u", directory, i);
        struct stat status;
        if (stat(path, &status) == 0 && (size_t)status.st_size == bytes)
            continue;
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        bench_ok(fd, path);
        for (size_t done = 0; done < bytes; done += sizeof block) {
            for (unsigned k = 0; k < 8192; k++) {
                word ^= word << 13, word ^= word >> 7, word ^= word << 17;
                block[k] = word;
            }
            bench_ok(write(fd, block, sizeof block), path);
        }
        close(fd);
    }
}

/* What is hashed: many small files, or few large ones; in memory, since each program reads all of it before. */
static inline const char *hash_tree(struct bench bench)
{
    if (strcmp(bench.variant, "include") == 0)
        return bench.is_smoke ? "/usr/include/linux" : "/usr/include";
    if (strcmp(bench.variant, "large") != 0)
        bench_fail("variants: include large");
    const char *directory = bench.is_smoke ? "/tmp/job-bench-hash-smoke" : "/tmp/job-bench-hash";
    hash_make_large(directory, bench.is_smoke ? 1 << 20 : 96 << 20);
    return directory;
}

static inline uint64_t hash_run(const char *command)
{
    char line[HASH_LINE_MAX];
    uint64_t sum = 0;
    FILE *out = popen(command, "r");
    if (!out)
        bench_fail("popen");
    while (fgets(line, sizeof line, out)) {
        uint64_t hash = 14695981039346656037U;
        for (const char *c = line; *c; c++)
            hash = (hash ^ (unsigned char)*c) * 1099511628211U;
        sum += hash;
    }
    bench_ok(pclose(out) == 0 ? 0 : -1, command);
    return sum;
}

static inline double ms_of(const struct timeval *time)
{
    return (double)time->tv_sec * 1e3 + (double)time->tv_usec / 1e3;
}

/* `command` has one %s, the tree. */
static inline int hash_bench(int argc, char **argv, const char *command)
{
    if (argc > 2 && strcmp(argv[1], "--files") == 0)
        return hash_files(argc, argv);
    struct bench bench = bench_begin(argc, argv);
    char self[1024], text[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    bench_ok(len, "/proc/self/exe");
    self[len] = '\0';
    (void)setenv("SELF", self, 1);
    (void)snprintf(text, sizeof text, command, hash_tree(bench));
    struct rusage before, after;
    (void)hash_run(text);
    (void)getrusage(RUSAGE_CHILDREN, &before);
    uint64_t begin = bench_now_ns();
    uint64_t sum = hash_run(text);
    double ms = (double)(bench_now_ns() - begin) / 1e6;
    (void)getrusage(RUSAGE_CHILDREN, &after);
    double cpu_ms = ms_of(&after.ru_utime) + ms_of(&after.ru_stime) - ms_of(&before.ru_utime) - ms_of(&before.ru_stime);
    bench_metric("ms", ms);
    bench_metric("cpu_ms", cpu_ms);
    bench_checksum(sum);
    return 0;
}

#endif
