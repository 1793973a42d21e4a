/* test_buf_model.c — random sequences on bufs against plain arrays of bytes. */
#include <job/view.h>

#include "support/memory.h"

enum { BUFS = 6, MODEL_MAX = 1 << 17, STEPS = 20000 };

struct pair {
    struct job_buf *buf;
    size_t len;
    uint8_t *bytes;
};

static struct root root;
static struct job_arena *arena;
static struct pair pairs[BUFS];
static struct random rnd;

static void compare(const struct pair *pair)
{
    static uint8_t copy[MODEL_MAX];
    ck_assert(buf_is_valid(pair->buf));
    ck_assert_uint_eq(job_buf_len(pair->buf), pair->len);
    size_t done = 0, segments = 0;
    for (const struct job_buf *segment = pair->buf; segment; segment = job_buf_next(segment)) {
        memcpy(copy + done, job_buf_data(segment), job_buf_segment_len(segment));
        done += job_buf_segment_len(segment);
        segments++;
    }
    ck_assert_uint_eq(done, pair->len);
    ck_assert_uint_eq(segments, job_buf_segments(pair->buf));
    ck_assert_mem_eq(copy, pair->bytes, pair->len);
}

static size_t some_size(void)
{
    static const size_t scales[] = {2, 70, 600, 5000, 20000};
    return random_below(&rnd, scales[random_below(&rnd, 5)]);
}

static void forget(struct pair *pair)
{
    job_buf_free(&pair->buf);
    pair->len = 0;
}

static void step_alloc(struct pair *pair)
{
    struct job_buf_options options = {.headroom = some_size(), .page_aligned = random_below(&rnd, 8) == 0};
    forget(pair);
    ck_assert_ok(job_buf_alloc(arena, some_size(), random_below(&rnd, 2) ? &options : NULL, &pair->buf));
}

static void step_write(struct pair *pair)
{
    size_t n = some_size();
    if (pair->len + n > MODEL_MAX)
        return;
    for (size_t i = 0; i < n; i++)
        pair->bytes[pair->len + i] = (uint8_t)random_next(&rnd);
    ck_assert_ok(job_buf_write(pair->buf, pair->bytes + pair->len, n));
    pair->len += n;
}

static void step_extend(struct pair *pair)
{
    size_t room, n = some_size();
    uint8_t *at = job_buf_room(pair->buf, &room);
    if (n > room) {
        ck_assert_int_eq(job_buf_extend(pair->buf, n), -EINVAL);
        return;
    }
    if (pair->len + n > MODEL_MAX)
        return;
    for (size_t i = 0; i < n; i++)
        at[i] = pair->bytes[pair->len + i] = (uint8_t)(i * 7);
    ck_assert_ok(job_buf_extend(pair->buf, n));
    pair->len += n;
}

static void step_prepend(struct pair *pair)
{
    size_t n = some_size();
    if (pair->len + n > MODEL_MAX)
        return;
    uint8_t *at = job_buf_prepend(pair->buf, n);
    if (!at)
        return;
    memmove(pair->bytes + n, pair->bytes, pair->len);
    for (size_t i = 0; i < n; i++)
        at[i] = pair->bytes[i] = (uint8_t)(i * 11);
    pair->len += n;
}

static void step_consume(struct pair *pair)
{
    size_t n = random_below(&rnd, pair->len + 2);
    if (n > pair->len) {
        ck_assert_int_eq(job_buf_consume(&pair->buf, n), -EINVAL);
        return;
    }
    ck_assert_ok(job_buf_consume(&pair->buf, n));
    memmove(pair->bytes, pair->bytes + n, pair->len - n);
    pair->len -= n;
}

static void step_truncate(struct pair *pair)
{
    size_t n = random_below(&rnd, pair->len + 2);
    if (n > pair->len) {
        ck_assert_int_eq(job_buf_truncate(pair->buf, n), -EINVAL);
        return;
    }
    ck_assert_ok(job_buf_truncate(pair->buf, n));
    pair->len = n;
}

static void step_append(struct pair *to, struct pair *from)
{
    if (to == from || to->len + from->len > MODEL_MAX)
        return;
    ck_assert_ok(job_buf_append(to->buf, &from->buf));
    ck_assert_ptr_null(from->buf);
    memcpy(to->bytes + to->len, from->bytes, from->len);
    to->len += from->len;
    from->len = 0;
}

static void step_split(struct pair *from, struct pair *to)
{
    size_t n = random_below(&rnd, from->len + 1);
    if (to == from)
        return;
    forget(to);
    ck_assert_ok(job_buf_split(&from->buf, n, &to->buf));
    memcpy(to->bytes, from->bytes + n, from->len - n);
    to->len = from->len - n;
    from->len = n;
}

static void step_read(const struct pair *pair)
{
    static uint8_t copy[MODEL_MAX];
    size_t offset = random_below(&rnd, pair->len + 1), n = random_below(&rnd, pair->len - offset + 1);
    ck_assert_ok(job_buf_read(pair->buf, offset, copy, n));
    ck_assert_mem_eq(copy, pair->bytes + offset, n);
}

static void step_freeze(const struct pair *pair)
{
    ck_assert_ok(job_buf_freeze(pair->buf));
    ck_assert(job_buf_is_frozen(pair->buf));
}

static void step_thaw(const struct pair *pair)
{
    int err = job_buf_thaw(pair->buf);
    ck_assert(err == 0 || err == -EBUSY || err == -EPERM);
}

static void step_slice(const struct pair *from, struct pair *to)
{
    size_t offset = random_below(&rnd, from->len + 1), n = random_below(&rnd, from->len - offset + 1);
    if (to == from || !job_buf_is_frozen(from->buf))
        return;
    forget(to);
    ck_assert_ok(job_buf_slice(from->buf, offset, n, &to->buf));
    memcpy(to->bytes, from->bytes + offset, n);
    to->len = n;
}

static void release(void *arg, void *memory, size_t len)
{
    ck_assert_ptr_eq(arg, pairs);
    memset(memory, 0, len); /* who still reads it will notice */
    free(memory);
}

static void step_wrap(struct pair *pair)
{
    size_t n = some_size();
    uint8_t *memory = malloc(n + 1);
    forget(pair);
    for (size_t i = 0; i < n; i++)
        memory[i] = pair->bytes[i] = (uint8_t)random_next(&rnd);
    ck_assert_ok(job_buf_wrap(arena, memory, n, release, pairs, &pair->buf));
    pair->len = n;
}

static void step_find(const struct pair *pair)
{
    size_t at, from = random_below(&rnd, pair->len + 1);
    size_t n = random_below(&rnd, 4), place = random_below(&rnd, pair->len + 1);
    uint8_t needle[4] = {0};
    for (size_t i = 0; i < n && place + i < pair->len; i++)
        needle[i] = pair->bytes[place + i]; /* often something that is there */
    const uint8_t *hit = memmem(pair->bytes + from, pair->len - from, needle, n);
    ck_assert_int_eq(job_buf_find(pair->buf, from, needle, n, &at), hit ? 0 : -ENOENT);
    if (hit)
        ck_assert_uint_eq(at, (size_t)(hit - pair->bytes));
}

static void step(void)
{
    struct pair *a = &pairs[random_below(&rnd, BUFS)], *b = &pairs[random_below(&rnd, BUFS)];
    if (!a->buf) {
        step_alloc(a);
        return;
    }
    switch (random_below(&rnd, 20)) {
    case 0: step_alloc(a); break;
    case 1:
    case 2: step_write(a); break;
    case 3: step_extend(a); break;
    case 4: step_prepend(a); break;
    case 5: step_consume(a); break;
    case 6: step_truncate(a); break;
    case 7:
    case 8:
        if (b->buf)
            step_append(a, b);
        break;
    case 9: step_split(a, b); break;
    case 10: step_read(a); break;
    case 11:
    case 12: step_freeze(a); break;
    case 13: step_thaw(a); break;
    case 14:
    case 15:
    case 16: step_slice(a, b); break;
    case 17: step_wrap(a); break;
    case 18: step_find(a); break;
    default: ck_assert_ok(job_buf_flatten(&a->buf)); break;
    }
}

static void run(void)
{
    rnd = fixture_random("buf_model");
    for (unsigned i = 0; i < BUFS; i++)
        pairs[i] = (struct pair){.bytes = malloc(MODEL_MAX)};
    for (unsigned n = 0; n < STEPS; n++) {
        step();
        unsigned count = 0;
        for (unsigned i = 0; i < BUFS; i++) {
            if (pairs[i].buf && (n % 16 == 0))
                compare(&pairs[i]);
            count += pairs[i].buf != NULL;
        }
        ck_assert_uint_eq(load_relaxed(&root.bufs), count); /* one thread */
    }
    for (unsigned i = 0; i < BUFS; i++) {
        forget(&pairs[i]);
        free(pairs[i].bytes);
    }
}

START_TEST(random_sequences_agree_with_arrays_of_bytes)
{
    arena = memory_arena(memory_root(&root), 64 << 20);
    run();
    ck_assert_uint_eq(load_relaxed(&arena->out), 0); /* no cache: all is in the depots */
    memory_close(&root, arena);
}
END_TEST

START_TEST(random_sequences_agree_with_arrays_of_bytes_through_a_cache)
{
    struct root other_root;
    struct job_arena *other = memory_arena(memory_root(&other_root), 1 << 20);
    arena = memory_arena(memory_root(&root), 64 << 20);
    ck_assert_ok(cache_attach(arena));
    ck_assert_ok(cache_attach(other)); /* a second arena's cache on this thread is not mixed up with the first */
    run();
    cache_detach(other);
    cache_detach(arena);
    ck_assert_uint_eq(load_relaxed(&arena->out), 0); /* detached: nothing is left in a cache */
    memory_close(&other_root, other);
    memory_close(&root, arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("buf_model");
    TCase *tcase = tcase_create("buf_model");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, random_sequences_agree_with_arrays_of_bytes);
    tcase_add_test(tcase, random_sequences_agree_with_arrays_of_bytes_through_a_cache);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
