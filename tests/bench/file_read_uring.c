/* file_read_uring.c — bare liburing, with the flags of our ring: as few instructions a read as there can be. */
#include "file_read.h"

#include <liburing.h>

static uint64_t state = 88172645463325252U;
static uint64_t blocks[READ_DEPTH];
static void *bytes[READ_DEPTH];

static void start(struct io_uring *ring, const struct file_read *file, int fd, unsigned i)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    blocks[i] = file_read_next(&state, file);
    io_uring_prep_read(sqe, fd, bytes[i], READ_BLOCK, blocks[i] * READ_BLOCK);
    sqe->user_data = i;
}

int main(int argc, char **argv)
{
    struct file_read file = file_read_begin(argc, argv);
    struct file_read_clock clock = {0};
    struct io_uring ring;
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    int fd = open(file.path, O_RDONLY | O_CLOEXEC | (file.is_direct ? O_DIRECT : 0));
    bench_ok(fd, file.path);
    bench_ok(io_uring_queue_init_params(2 * READ_DEPTH, &ring, &params), "ring");
    for (unsigned i = 0; i < file.depth; i++) {
        bytes[i] = aligned_alloc(READ_BLOCK, READ_BLOCK);
        start(&ring, &file, fd, i);
    }
    for (;;) {
        struct io_uring_cqe *cqe;
        unsigned head, count = 0;
        bench_ok(io_uring_submit_and_wait(&ring, 1), "enter");
        io_uring_for_each_cqe(&ring, head, cqe) {
            unsigned i = (unsigned)cqe->user_data;
            file_read_check(bytes[i], cqe->res, blocks[i]);
            if (file_read_count(&clock, &file)) {
                file_read_print(&clock, &file);
                io_uring_queue_exit(&ring);
                return 0;
            }
            start(&ring, &file, fd, i);
            count++;
        }
        io_uring_cq_advance(&ring, count);
    }
}
