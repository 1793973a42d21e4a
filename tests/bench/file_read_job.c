/* file_read_job.c — job_file_read(), each request started anew in its own `done`, with the same buf. */
#include "file_read.h"

#include <job/job.h>

static struct file_read file_read;
static struct file_read_clock clock_of_reads;
static uint64_t state = 88172645463325252U;
static struct job_file file;
static struct job_loop *loop;

struct request {
    struct job_file_op op;
    uint64_t block;
};

static struct request requests[READ_DEPTH];

static void was_read(struct job_file_op *op, int status, struct job_buf **buf);

static void next(struct request *request, struct job_buf **buf)
{
    request->block = file_read_next(&state, &file_read);
    bench_ok(job_file_read(&file, &request->op, buf, READ_BLOCK, request->block * READ_BLOCK, was_read), "read");
}

static void was_read(struct job_file_op *op, int status, struct job_buf **buf)
{
    struct request *request = job_container_of(op, struct request, op);
    if (status == -ECANCELED)
        return;
    bench_ok(status, "read");
    file_read_check(job_buf_data(*buf), (long long)op->count, request->block);
    if (file_read_count(&clock_of_reads, &file_read)) {
        job_loop_stop(loop);
        return;
    }
    (void)job_buf_truncate(*buf, 0);
    next(request, buf);
}

static void opened(struct job_file *of, int status)
{
    (void)of;
    bench_ok(status, "open");
    for (unsigned i = 0; i < file_read.depth; i++) {
        struct job_buf *none = NULL;
        next(&requests[i], &none);
    }
}

int main(int argc, char **argv)
{
    struct job_runtime *runtime = NULL;
    file_read = file_read_begin(argc, argv);
    struct job_file_options options = {
        .path = {.name = file_read.path}, .flags = O_RDONLY | (file_read.is_direct ? O_DIRECT : 0)};
    bench_ok(job_runtime_open(&runtime, NULL), "runtime");
    bench_ok(job_loop_open(runtime, &loop, NULL), "loop");
    bench_ok(job_file_open(loop, &file, &options, opened), "open");
    bench_ok(job_loop_run(loop), "run");
    file_read_print(&clock_of_reads, &file_read);
    bench_ok(job_loop_close(&loop, 0), "loop");
    bench_ok(job_runtime_close(&runtime), "runtime");
    return 0;
}
