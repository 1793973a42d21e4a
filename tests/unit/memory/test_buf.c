/* test_buf.c — what each function on bufs does, at its edges, and with bad input: an errno, nothing changed, nothing
 * lost. */
#include "memory/slot.h"
#include "support/memory.h"

enum { LIMIT_BYTES = 16 << 20 };

static struct root root;
static struct job_arena *arena;

static void set_up(void)
{
    arena = memory_arena(memory_root(&root), LIMIT_BYTES);
}

static void tear_down(void)
{
    memory_close(&root, arena);
}

static void assert_bytes(const struct job_buf *buf, const void *bytes, size_t len)
{
    uint8_t *copy = malloc(len + 1);
    ck_assert(buf_is_valid(buf));
    ck_assert_uint_eq(job_buf_len(buf), len);
    ck_assert_ok(job_buf_read(buf, 0, copy, len));
    ck_assert_mem_eq(copy, bytes, len);
    free(copy);
}

static struct job_buf *text(const char *bytes)
{
    struct job_buf *buf = NULL;
    ck_assert_ok(job_buf_alloc(arena, 16, NULL, &buf));
    ck_assert_ok(job_buf_write(buf, bytes, strlen(bytes)));
    return buf;
}

START_TEST(a_fresh_buf_has_the_room_that_was_asked_for)
{
    static const size_t rooms[] = {0,     1,      4095,   4096,    4097,          16384,
                                   65536, 262144, 262145, 1 << 20, (1 << 20) + 1, 5 << 20};
    for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++) {
        struct job_buf *buf = NULL;
        size_t room = 0;
        ck_assert_ok(job_buf_alloc(arena, rooms[i], NULL, &buf));
        ck_assert_ptr_nonnull(job_buf_room(buf, &room));
        ck_assert_uint_ge(room, rooms[i]);
        ck_assert_uint_eq(job_buf_len(buf), 0);
        ck_assert_uint_eq(job_buf_segments(buf), 1);
        ck_assert_ptr_null(job_buf_next(buf));
        ck_assert_ptr_eq(job_buf_arena(buf), arena);
        memset(job_buf_room(buf, NULL), 0x5A, rooms[i]);
        job_buf_free(&buf);
        ck_assert_ptr_null(buf);
    }
}
END_TEST

START_TEST(headroom_is_kept_for_every_size)
{
    for (size_t room = 1; room <= (3 << 20); room *= 3) {
        for (size_t headroom = 0; headroom <= 70000; headroom = headroom * 7 + 1) {
            struct job_buf *buf = NULL;
            size_t got;
            ck_assert_ok(job_buf_alloc(arena, room, &(struct job_buf_options){.headroom = headroom}, &buf));
            (void)job_buf_room(buf, &got);
            ck_assert_uint_ge(got, room);
            uint8_t *front = job_buf_prepend(buf, headroom);
            ck_assert_ptr_nonnull(front);
            memset(front, 1, headroom);
            ck_assert_uint_eq(job_buf_len(buf), headroom);
            job_buf_free(&buf);
        }
    }
}
END_TEST

START_TEST(page_aligned_data_begins_on_a_page_at_every_size)
{
    for (size_t room = 1; room <= (5 << 20); room = room * 4 + 1) {
        struct job_buf *buf = NULL;
        struct job_buf_options options = {.page_aligned = true};
        size_t got;
        ck_assert_ok(job_buf_alloc(arena, room, &options, &buf));
        ck_assert_uint_eq((uintptr_t)job_buf_room(buf, &got) % 4096, 0);
        ck_assert_uint_ge(got, room);
        ck_assert_ptr_null(job_buf_prepend(buf, 1));
        job_buf_free(&buf);
    }
}
END_TEST

START_TEST(data_of_neighbours_begins_in_different_cache_lines)
{
    struct job_buf *bufs[BUF_COLOURS];
    uint64_t lines = 0;
    for (unsigned i = 0; i < BUF_COLOURS; i++) {
        ck_assert_ok(job_buf_alloc(arena, 60000, NULL, &bufs[i]));
        lines |= UINT64_C(1) << ((uintptr_t)job_buf_room(bufs[i], NULL) % 4096 / 64);
    }
    ck_assert_int_eq(__builtin_popcountll(lines), BUF_COLOURS);
    for (unsigned i = 0; i < BUF_COLOURS; i++)
        job_buf_free(&bufs[i]);
}
END_TEST

START_TEST(alloc_refuses_bad_input_and_leaves_the_pointer)
{
    struct job_buf *none = NULL, *buf = (struct job_buf *)&none;
    ck_assert_int_eq(job_buf_alloc(NULL, 1, NULL, &buf), -EINVAL);
    ck_assert_int_eq(job_buf_alloc(arena, 1, NULL, NULL), -EINVAL);
    ck_assert_int_eq(job_buf_alloc(arena, ((size_t)1 << 30) + 1, NULL, &buf), -EINVAL);
    ck_assert_int_eq(job_buf_alloc(arena, SIZE_MAX, NULL, &buf), -EINVAL);
    ck_assert_int_eq(job_buf_alloc(arena, 1, &(struct job_buf_options){.headroom = SIZE_MAX}, &buf), -EINVAL);
    ck_assert_int_eq(job_buf_alloc(arena, (size_t)1 << 30, NULL, &buf), -ENOMEM); /* legal, but above the limit */
    ck_assert_int_eq(job_buf_alloc(arena, LIMIT_BYTES + 1, NULL, &buf), -ENOMEM);
    ck_assert_ptr_eq(buf, (struct job_buf *)&none);
    ck_assert_uint_eq(load_relaxed(&root.bufs), 0);
}
END_TEST

START_TEST(null_is_an_errno_or_nothing)
{
    struct job_buf *null = NULL, *buf = text("x"), *out = NULL;
    size_t room = 1;
    char byte;
    job_buf_free(NULL);
    job_buf_free(&null);
    ck_assert_uint_eq(job_buf_len(NULL), 0);
    ck_assert_uint_eq(job_buf_segments(NULL), 0);
    ck_assert_ptr_null(job_buf_next(NULL));
    ck_assert_ptr_null(job_buf_data(NULL));
    ck_assert_uint_eq(job_buf_segment_len(NULL), 0);
    ck_assert_ptr_null(job_buf_room(NULL, &room));
    ck_assert_uint_eq(room, 0);
    ck_assert_ptr_null(job_buf_room(NULL, NULL));
    ck_assert_ptr_null(job_buf_arena(NULL));
    ck_assert_ptr_null(job_buf_take(NULL));
    ck_assert_ptr_null(job_buf_take(&null));
    ck_assert_ptr_null(job_buf_prepend(NULL, 0));
    ck_assert_int_eq(job_buf_extend(NULL, 0), -EINVAL);
    ck_assert_int_eq(job_buf_write(NULL, "", 0), -EINVAL);
    ck_assert_int_eq(job_buf_write(buf, NULL, 1), -EINVAL);
    ck_assert_int_eq(job_buf_write(buf, NULL, 0), 0);
    ck_assert_int_eq(job_buf_read(NULL, 0, &byte, 0), -EINVAL);
    ck_assert_int_eq(job_buf_read(buf, 0, NULL, 1), -EINVAL);
    ck_assert_int_eq(job_buf_read(buf, 0, NULL, 0), 0);
    ck_assert_int_eq(job_buf_append(NULL, &buf), -EINVAL);
    ck_assert_int_eq(job_buf_append(buf, NULL), -EINVAL);
    ck_assert_int_eq(job_buf_append(buf, &null), -EINVAL);
    ck_assert_int_eq(job_buf_append(buf, &buf), -EINVAL);
    ck_assert_int_eq(job_buf_split(NULL, 0, &out), -EINVAL);
    ck_assert_int_eq(job_buf_split(&null, 0, &out), -EINVAL);
    ck_assert_int_eq(job_buf_split(&buf, 0, NULL), -EINVAL);
    ck_assert_int_eq(job_buf_consume(NULL, 0), -EINVAL);
    ck_assert_int_eq(job_buf_consume(&null, 0), -EINVAL);
    ck_assert_int_eq(job_buf_truncate(NULL, 0), -EINVAL);
    ck_assert_int_eq(job_buf_flatten(NULL), -EINVAL);
    ck_assert_int_eq(job_buf_flatten(&null), -EINVAL);
    job_buf_replace(NULL, &buf);
    job_buf_replace(&buf, NULL);
    job_buf_replace(&buf, &buf);
    assert_bytes(buf, "x", 1);
    job_buf_free(&buf);
}
END_TEST

START_TEST(one_byte_too_many_changes_nothing)
{
    struct job_buf *buf = text("four"), *rest = NULL;
    size_t room;
    char bytes[8];
    (void)job_buf_room(buf, &room);
    ck_assert_int_eq(job_buf_extend(buf, room + 1), -EINVAL);
    ck_assert_int_eq(job_buf_extend(buf, SIZE_MAX), -EINVAL);
    ck_assert_int_eq(job_buf_split(&buf, 5, &rest), -EINVAL);
    ck_assert_ptr_null(rest);
    ck_assert_int_eq(job_buf_consume(&buf, 5), -EINVAL);
    ck_assert_int_eq(job_buf_truncate(buf, 5), -EINVAL);
    ck_assert_int_eq(job_buf_read(buf, 0, bytes, 5), -EINVAL);
    ck_assert_int_eq(job_buf_read(buf, 5, bytes, 0), -EINVAL);
    ck_assert_int_eq(job_buf_read(buf, 2, bytes, SIZE_MAX), -EINVAL);
    ck_assert_int_eq(job_buf_read(buf, SIZE_MAX, bytes, 2), -EINVAL);
    ck_assert_ptr_null(job_buf_prepend(buf, 100000));
    ck_assert_ptr_null(job_buf_prepend(buf, SIZE_MAX));
    assert_bytes(buf, "four", 4);
    ck_assert_int_eq(job_buf_read(buf, 4, bytes, 0), 0);
    job_buf_free(&buf);
}
END_TEST

START_TEST(a_write_that_does_not_fit_in_memory_changes_nothing)
{
    static uint8_t large[LIMIT_BYTES];
    struct job_buf *buf = text("four");
    ck_assert_int_eq(job_buf_write(buf, large, sizeof large), -ENOMEM);
    assert_bytes(buf, "four", 4);
    ck_assert_uint_eq(job_buf_segments(buf), 1);
    job_buf_free(&buf);
}
END_TEST

START_TEST(bufs_of_another_arena_are_linked_and_of_another_runtime_refused)
{
    struct root other_root;
    struct job_arena *other = memory_arena(memory_root(&other_root), LIMIT_BYTES),
                     *sibling = memory_arena(&root, LIMIT_BYTES);
    struct job_buf *buf = text("a"), *foreign = memory_buf(other, 16, 3), *near = memory_buf(sibling, 4000, 3000);

    ck_assert_int_eq(job_buf_append(buf, &foreign), -EINVAL);
    ck_assert_ptr_nonnull(foreign);
    ck_assert_uint_eq(job_buf_len(foreign), 3);
    ck_assert_int_eq(job_buf_append(buf, &near), 0);
    ck_assert_ptr_null(near);
    ck_assert_uint_eq(job_buf_segments(buf), 2);
    ck_assert_uint_eq(job_buf_len(buf), 3001);

    job_buf_free(&buf);
    job_buf_free(&foreign);
    memory_close(&other_root, other);
    ck_assert_ok(arena_close(&sibling));
}
END_TEST

START_TEST(a_large_tail_is_linked_and_a_small_one_copied_and_counted)
{
    struct job_buf *buf = memory_buf(arena, 8000, 100), *small = memory_buf(arena, 4000, 50),
                   *large = memory_buf(arena, 4000, 3000);
    const void *at = job_buf_data(large);
    ck_assert_ok(job_buf_append(buf, &small));
    ck_assert_uint_eq(job_buf_segments(buf), 1);
    ck_assert_uint_eq(load_relaxed(&root.copied_bytes), 50);
    ck_assert_ok(job_buf_append(buf, &large));
    ck_assert_uint_eq(job_buf_segments(buf), 2);
    ck_assert_ptr_eq(job_buf_data(job_buf_next(buf)), at);
    ck_assert_uint_eq(load_relaxed(&root.copied_bytes), 50);
    ck_assert_uint_eq(load_relaxed(&root.bufs), 1);
    job_buf_free(&buf);
}
END_TEST

START_TEST(an_empty_tail_is_freed_whether_there_is_room_or_not)
{
    for (unsigned fill = 0; fill < 2; fill++) {
        struct job_buf *buf = memory_buf(arena, 100, 10), *empty = NULL;
        size_t room;
        (void)job_buf_room(buf, &room);
        if (fill)
            ck_assert_ok(job_buf_extend(buf, room));
        ck_assert_ok(job_buf_alloc(arena, 100, NULL, &empty));
        ck_assert_ok(job_buf_append(buf, &empty));
        ck_assert_ptr_null(empty);
        ck_assert_uint_eq(job_buf_segments(buf), 1);
        ck_assert_uint_eq(load_relaxed(&root.bufs), 1);
        job_buf_free(&buf);
        ck_assert_uint_eq(load_relaxed(&arena->out), 0); /* no thread holds a cache here */
    }
}
END_TEST

START_TEST(pieces_that_meet_again_grow_together_without_a_copy)
{
    struct job_buf *buf = memory_buf(arena, 16000, 9000), *middle = NULL, *end = NULL;
    const uint8_t *at = job_buf_data(buf);
    ck_assert_ok(job_buf_split(&buf, 3000, &middle));
    ck_assert_ok(job_buf_split(&middle, 3000, &end));
    ck_assert_uint_eq(load_relaxed(&root.bufs), 3);
    ck_assert_ok(job_buf_append(middle, &end));
    ck_assert_ok(job_buf_append(buf, &middle));
    ck_assert_uint_eq(job_buf_segments(buf), 1);
    ck_assert_ptr_eq(job_buf_data(buf), at);
    ck_assert_uint_eq(job_buf_len(buf), 9000);
    ck_assert(buf_is_alone(buf));
    ck_assert_uint_eq(load_relaxed(&root.copied_bytes), 0);
    job_buf_free(&buf);
}
END_TEST

START_TEST(a_piece_never_writes_into_its_neighbour)
{
    struct job_buf *buf = text("leftright"), *rest = NULL;
    size_t room = 1;
    ck_assert_ok(job_buf_split(&buf, 4, &rest));
    (void)job_buf_room(buf, &room);
    ck_assert_uint_eq(room, 0);
    ck_assert_ptr_null(job_buf_prepend(rest, 1));
    ck_assert_ok(job_buf_write(buf, "MORE", 4)); /* into a new segment */
    assert_bytes(buf, "leftMORE", 8);
    assert_bytes(rest, "right", 5);
    ck_assert_ok(job_buf_truncate(buf, 2));
    ck_assert_ok(job_buf_write(buf, "tt", 2)); /* its own room again */
    assert_bytes(rest, "right", 5);
    job_buf_free(&buf);
    assert_bytes(rest, "right", 5);
    job_buf_free(&rest);
}
END_TEST

enum { SEGMENTS = 4, SEGMENT_MAX = 2 };

/* A buf of segments with the given lengths, 0 … SEGMENT_MAX bytes each, all linked: each written full before the next
 * is appended. */
static struct job_buf *segmented(unsigned combination, unsigned count, uint8_t *bytes, size_t *len)
{
    struct job_buf *buf = NULL;
    *len = 0;
    for (unsigned i = 0; i < count; i++, combination /= SEGMENT_MAX + 1) {
        struct job_buf *one = NULL;
        size_t room;
        ck_assert_ok(job_buf_alloc(arena, 4000, NULL, &one));
        (void)job_buf_room(one, &room);
        ck_assert_ok(job_buf_extend(one, room));
        if (buf)
            ck_assert_ok(job_buf_append(buf, &one));
        else
            buf = one;
        /* Then the segment is cut to its length from both sides; only its last bytes stay. */
        size_t want = combination % (SEGMENT_MAX + 1);
        struct job_buf *last = buf->last;
        buf->total -= last->len - want;
        last->data += last->len - want;
        last->len = (uint32_t)want;
        for (size_t j = 0; j < want; j++, ++*len)
            bytes[*len] = last->data[j] = (uint8_t)(65 + *len);
    }
    ck_assert_uint_eq(job_buf_segments(buf), count);
    return buf;
}

static unsigned combinations(unsigned count)
{
    unsigned n = 1;
    while (count-- > 0)
        n *= SEGMENT_MAX + 1;
    return n;
}

START_TEST(split_and_join_at_every_place_of_every_small_buf)
{
    unsigned count = (unsigned)_i;
    for (unsigned c = 0; c < combinations(count); c++) {
        for (size_t n = 0; n <= SEGMENT_MAX * count; n++) {
            uint8_t bytes[SEGMENTS * SEGMENT_MAX];
            size_t len;
            struct job_buf *buf = segmented(c, count, bytes, &len), *rest = NULL;
            if (n > len) {
                ck_assert_int_eq(job_buf_split(&buf, n, &rest), -EINVAL);
                job_buf_free(&buf);
                continue;
            }
            ck_assert_ok(job_buf_split(&buf, n, &rest));
            assert_bytes(buf, bytes, n);
            assert_bytes(rest, bytes + n, len - n);
            ck_assert_uint_eq(load_relaxed(&root.bufs), 2);
            ck_assert_ok(job_buf_append(buf, &rest));
            assert_bytes(buf, bytes, len);
            job_buf_free(&buf);
            ck_assert_uint_eq(load_relaxed(&root.bufs), 0);
            ck_assert_uint_eq(load_relaxed(&arena->out), 0); /* no thread holds a cache here */
        }
    }
}
END_TEST

START_TEST(consume_and_truncate_at_every_place_of_every_small_buf)
{
    unsigned count = (unsigned)_i;
    for (unsigned c = 0; c < combinations(count); c++) {
        for (size_t n = 0; n <= SEGMENT_MAX * count; n++) {
            uint8_t bytes[SEGMENTS * SEGMENT_MAX];
            size_t len;
            struct job_buf *front = segmented(c, count, bytes, &len), *back = segmented(c, count, bytes, &len);
            ck_assert_int_eq(job_buf_consume(&front, n), n <= len ? 0 : -EINVAL);
            ck_assert_int_eq(job_buf_truncate(back, n), n <= len ? 0 : -EINVAL);
            if (n <= len) {
                assert_bytes(front, bytes + n, len - n);
                assert_bytes(back, bytes, n);
            }
            job_buf_free(&front);
            job_buf_free(&back);
            ck_assert_uint_eq(load_relaxed(&arena->out), 0); /* no thread holds a cache here */
        }
    }
}
END_TEST

START_TEST(read_and_flatten_of_every_small_buf)
{
    unsigned count = (unsigned)_i;
    for (unsigned c = 0; c < combinations(count); c++) {
        uint8_t bytes[SEGMENTS * SEGMENT_MAX], copy[SEGMENTS * SEGMENT_MAX];
        size_t len;
        struct job_buf *buf = segmented(c, count, bytes, &len);
        for (size_t offset = 0; offset <= len; offset++) {
            for (size_t part = 0; part <= len - offset; part++) {
                ck_assert_ok(job_buf_read(buf, offset, copy, part));
                ck_assert_mem_eq(copy, bytes + offset, part);
            }
        }
        uint64_t before = load_relaxed(&root.copied_bytes);
        ck_assert_ok(job_buf_flatten(&buf));
        ck_assert_uint_eq(job_buf_segments(buf), 1);
        ck_assert_uint_eq(load_relaxed(&root.copied_bytes) - before, count > 1 ? len : 0);
        assert_bytes(buf, bytes, len);
        job_buf_free(&buf);
    }
}
END_TEST

START_TEST(consume_gives_slots_back_as_it_goes)
{
    struct job_buf *buf = memory_buf(arena, 4000, 4000), *more = memory_buf(arena, 4000, 4000);
    ck_assert_ok(job_buf_append(buf, &more));
    uint64_t before = load_relaxed(&arena->out);
    ck_assert_ok(job_buf_consume(&buf, 4000));
    ck_assert_uint_lt(load_relaxed(&arena->out), before);
    ck_assert_uint_eq(job_buf_segments(buf), 1);
    ck_assert_ok(job_buf_consume(&buf, 4000));
    ck_assert_uint_eq(job_buf_len(buf), 0);
    ck_assert_ptr_nonnull(job_buf_data(buf));
    job_buf_free(&buf);
}
END_TEST

START_TEST(a_flatten_without_memory_changes_nothing)
{
    struct job_buf *buf = memory_buf(arena, 4000, 3000), *big = NULL;
    while (job_buf_alloc(arena, 1 << 20, NULL, &big) == 0) {
        size_t room;
        (void)job_buf_room(big, &room);
        ck_assert_ok(job_buf_extend(big, room));
        ck_assert_ok(job_buf_append(buf, &big));
    }
    size_t len = job_buf_len(buf), segments = job_buf_segments(buf);
    struct job_buf *before = buf;
    ck_assert_int_eq(job_buf_flatten(&buf), -ENOMEM);
    ck_assert_ptr_eq(buf, before);
    ck_assert_uint_eq(job_buf_len(buf), len);
    ck_assert_uint_eq(job_buf_segments(buf), segments);
    job_buf_free(&buf);
}
END_TEST

START_TEST(take_and_replace_move_the_pointer)
{
    struct job_buf *a = text("a"), *b = text("b"), *taken = job_buf_take(&a);
    ck_assert_ptr_null(a);
    job_buf_replace(&taken, &b);
    ck_assert_ptr_null(b);
    assert_bytes(taken, "b", 1);
    job_buf_replace(&taken, &a); /* with nothing */
    ck_assert_ptr_null(taken);
    ck_assert_uint_eq(load_relaxed(&root.bufs), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("buf");
    TCase *tcase = tcase_create("buf");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_fresh_buf_has_the_room_that_was_asked_for);
    tcase_add_test(tcase, headroom_is_kept_for_every_size);
    tcase_add_test(tcase, page_aligned_data_begins_on_a_page_at_every_size);
    tcase_add_test(tcase, data_of_neighbours_begins_in_different_cache_lines);
    tcase_add_test(tcase, alloc_refuses_bad_input_and_leaves_the_pointer);
    tcase_add_test(tcase, null_is_an_errno_or_nothing);
    tcase_add_test(tcase, one_byte_too_many_changes_nothing);
    tcase_add_test(tcase, a_write_that_does_not_fit_in_memory_changes_nothing);
    tcase_add_test(tcase, bufs_of_another_arena_are_linked_and_of_another_runtime_refused);
    tcase_add_test(tcase, a_large_tail_is_linked_and_a_small_one_copied_and_counted);
    tcase_add_test(tcase, an_empty_tail_is_freed_whether_there_is_room_or_not);
    tcase_add_test(tcase, pieces_that_meet_again_grow_together_without_a_copy);
    tcase_add_test(tcase, a_piece_never_writes_into_its_neighbour);
    tcase_add_loop_test(tcase, split_and_join_at_every_place_of_every_small_buf, 1, SEGMENTS + 1);
    tcase_add_loop_test(tcase, consume_and_truncate_at_every_place_of_every_small_buf, 1, SEGMENTS + 1);
    tcase_add_loop_test(tcase, read_and_flatten_of_every_small_buf, 1, SEGMENTS + 1);
    tcase_add_test(tcase, consume_gives_slots_back_as_it_goes);
    tcase_add_test(tcase, a_flatten_without_memory_changes_nothing);
    tcase_add_test(tcase, take_and_replace_move_the_pointer);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
