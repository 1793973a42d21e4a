/* buffer_ring.h — a ring of buffers that the kernel takes received bytes from, by liburing 2.3. */
#ifndef TESTS_BENCH_BUFFER_RING_H
#define TESTS_BENCH_BUFFER_RING_H

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { CACHE_LINE_BYTES = 64 };

struct buffer_ring {
    struct io_uring_buf_ring *shared;
    unsigned char *bytes;
    unsigned count, size;
};

static inline unsigned char *buffer_ring_at(const struct buffer_ring *buffers, unsigned id)
{
    return buffers->bytes + (size_t)id * buffers->size;
}

static inline void buffer_ring_put(struct buffer_ring *buffers, unsigned id)
{
    io_uring_buf_ring_add(buffers->shared, buffer_ring_at(buffers, id), buffers->size, (unsigned short)id,
                          io_uring_buf_ring_mask(buffers->count), 0);
    io_uring_buf_ring_advance(buffers->shared, 1);
}

/* 0 or a negative errno. `count` is a power of two; `size` better not, else all begin in one set of the cache. */
static inline int buffer_ring_open(struct buffer_ring *buffers, struct io_uring *ring, unsigned count, unsigned size)
{
    *buffers = (struct buffer_ring){.count = count, .size = size};
    buffers->bytes = malloc((size_t)count * size);
    size_t bytes = count * sizeof(struct io_uring_buf);
    buffers->shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!buffers->bytes || buffers->shared == MAP_FAILED)
        return -ENOMEM;
    struct io_uring_buf_reg reg = {.ring_addr = (uint64_t)(uintptr_t)buffers->shared, .ring_entries = count, .bgid = 0};
    int err = io_uring_register_buf_ring(ring, &reg, 0);
    if (err < 0)
        return err;
    io_uring_buf_ring_init(buffers->shared);
    for (unsigned id = 0; id < count; id++)
        buffer_ring_put(buffers, id);
    return 0;
}

#endif
