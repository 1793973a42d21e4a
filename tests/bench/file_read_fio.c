/* file_read_fio.c — fio's io_uring engine at the same depth, with as little of its own accounting as it can be told to do. */
#include "file_read.h"

/* The first number behind a key of fio's JSON: that of reads comes before that of writes. */
static double number_of(const char *text, const char *key)
{
    char quoted[64];
    (void)snprintf(quoted, sizeof quoted, "\"%s\" : ", key);
    const char *at = strstr(text, quoted);
    if (!at)
        bench_fail("fio says something that we do not understand");
    return strtod(at + strlen(quoted), NULL);
}

int main(int argc, char **argv)
{
    struct file_read file = file_read_begin(argc, argv);
    static char command[1024], text[1 << 20];
    if (system("command -v fio >/dev/null") != 0)
        bench_skip("no fio: run tools/setup --bench");
    (void)snprintf(command, sizeof command,
                   "fio --name=read --ioengine=io_uring --rw=randread --bs=%d --iodepth=%u --direct=%d --filename=%s --readonly "
                   "--size=%llu --number_ios=%llu --io_size=1T --norandommap --randrepeat=0 --gtod_reduce=1 --invalidate=0 "
                   "--allow_file_create=0 --thread --output-format=json 2>/dev/null",
                   READ_BLOCK, file.depth, file.is_direct, file.path, (unsigned long long)(file.blocks * READ_BLOCK),
                   (unsigned long long)file.reads);
    FILE *out = popen(command, "r");
    if (!out)
        bench_fail("popen");
    size_t len = fread(text, 1, sizeof text - 1, out);
    text[len] = '\0';
    bench_ok(pclose(out) == 0 ? 0 : -1, command);
    const char *reads = strstr(text, "\"read\" : {");
    if (!reads)
        bench_fail("fio says nothing of reads");
    double ms = number_of(reads, "runtime"), busy = number_of(text, "usr_cpu") + number_of(text, "sys_cpu");
    bench_metric("iops", number_of(reads, "iops"));
    bench_metric("cpu_us", ms * busy / 100 * 1e3 / (double)file.reads);
    bench_checksum((uint64_t)number_of(reads, "total_ios"));
    return 0;
}
