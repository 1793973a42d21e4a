/* test_view.c — frozen bytes: who may share them, who may not write them, when they may be changed again; foreign memory and files. */
#include <job/view.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/bits.h"
#include "memory/slot.h"
#include "support/memory.h"

enum { LIMIT_BYTES = 16 << 20, KIB = 1024 };

static struct root root;
static struct job_arena *arena;

static void set_up(void)
{
    arena = memory_arena(memory_root(&root), LIMIT_BYTES);
}

static void tear_down(void)
{
    ck_assert_uint_eq(load_relaxed(&root.copied_bytes), 0); /* nothing here copies of its own accord */
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

static struct job_buf *view(const char *bytes)
{
    struct job_buf *buf = text(bytes);
    ck_assert_ok(job_buf_freeze(buf));
    return buf;
}

static struct job_buf *slice_of(const struct job_buf *view, size_t offset, size_t len)
{
    struct job_buf *slice = NULL;
    ck_assert_ok(job_buf_slice(view, offset, len, &slice));
    return slice;
}

/* Segments of 1 to 3 bytes; some of them in one slot. */
static struct job_buf *chain(unsigned segments, char *bytes)
{
    struct job_buf *all = NULL;
    size_t len = 0;
    for (unsigned i = 0; i < segments; i++) {
        char piece[4] = {(char)('a' + 3 * i), (char)('b' + 3 * i), (char)('c' + 3 * i)};
        piece[1 + i % 3] = '\0';
        struct job_buf *more = view(piece);
        memcpy(bytes + len, piece, strlen(piece));
        len += strlen(piece);
        if (all)
            ck_assert_ok(job_buf_append(all, &more));
        else
            all = more;
    }
    bytes[len] = '\0';
    ck_assert_uint_eq(job_buf_segments(all), segments);
    return all;
}

START_TEST(X21_frozen_bytes_have_no_room_and_are_written_by_nothing)
{
    struct job_buf *buf = text("hello");
    size_t room = 1;
    ck_assert(!job_buf_is_frozen(buf));
    ck_assert_ok(job_buf_freeze(buf));
    ck_assert_ok(job_buf_freeze(buf)); /* again: nothing happens */
    ck_assert(job_buf_is_frozen(buf));
    ck_assert_uint_eq(load_relaxed(&root.views), 1);

    ck_assert_ptr_nonnull(job_buf_room(buf, &room));
    ck_assert_uint_eq(room, 0);
    ck_assert_int_eq(job_buf_extend(buf, 1), -EINVAL);
    ck_assert_ptr_null(job_buf_prepend(buf, 1));
    ck_assert_ok(job_buf_consume(&buf, 1)); /* what it shows may shrink, and leaves no room behind */
    ck_assert_ok(job_buf_truncate(buf, 3));
    ck_assert_ptr_null(job_buf_prepend(buf, 1));
    ck_assert_int_eq(job_buf_extend(buf, 1), -EINVAL);
    assert_bytes(buf, "ell", 3);

    ck_assert_ok(job_buf_write(buf, "!", 1)); /* a segment of its own */
    ck_assert_uint_eq(job_buf_segments(buf), 2);
    ck_assert(!job_buf_is_frozen(buf));
    assert_bytes(buf, "ell!", 4);
    job_buf_free(&buf);
}
END_TEST

START_TEST(a_slice_shares_the_bytes_and_outlives_what_it_came_from)
{
    struct job_buf *whole = view("hello world");
    struct job_buf *world = slice_of(whole, 6, 5), *or = slice_of(world, 1, 2);

    ck_assert_ptr_eq(job_buf_data(world), (uint8_t *)job_buf_data(whole) + 6);
    ck_assert_ptr_eq(job_buf_data(or), (uint8_t *)job_buf_data(whole) + 7);
    ck_assert_uint_eq(load_relaxed(&root.views), 3);
    ck_assert_uint_eq(load_relaxed(&root.bufs), 3);
    job_buf_free(&whole);
    assert_bytes(world, "world", 5);
    job_buf_free(&world);
    assert_bytes(or, "or", 2);
    job_buf_free(&or);
}
END_TEST

START_TEST(every_slice_of_every_small_view_has_its_bytes)
{
    char bytes[64];
    struct job_buf *all = chain((unsigned)_i, bytes);
    size_t len = strlen(bytes);
    for (size_t from = 0; from <= len; from++) {
        for (size_t n = 0; n <= len - from; n++) {
            struct job_buf *slice = slice_of(all, from, n);
            ck_assert(job_buf_is_frozen(slice));
            assert_bytes(slice, bytes + from, n);
            job_buf_free(&slice);
        }
    }
    job_buf_free(&all);
}
END_TEST

START_TEST(split_of_a_view_gives_two_views_that_join_again)
{
    struct job_buf *left = view("hello world"), *right = NULL, *other = slice_of(left, 0, 11);
    ck_assert_ok(job_buf_split(&left, 5, &right));
    ck_assert(job_buf_is_frozen(left) && job_buf_is_frozen(right));
    ck_assert_uint_eq(load_relaxed(&root.views), 3);
    ck_assert_ok(job_buf_append(left, &right));
    ck_assert_uint_eq(job_buf_segments(left), 1);
    ck_assert_uint_eq(load_relaxed(&root.views), 2);
    assert_bytes(left, "hello world", 11);
    job_buf_free(&left);
    assert_bytes(other, "hello world", 11);
    job_buf_free(&other);
}
END_TEST

START_TEST(a_short_view_behind_much_room_is_linked_and_not_copied)
{
    struct job_buf *header = text("header: "), *body = view("b"), *slice = slice_of(body, 0, 1);
    ck_assert_ok(job_buf_append(header, &slice));
    ck_assert_uint_eq(job_buf_segments(header), 2);
    ck_assert_uint_eq(load_relaxed(&root.copied_bytes), 0);
    job_buf_free(&body);
    assert_bytes(header, "header: b", 9);
    job_buf_free(&header);
}
END_TEST

START_TEST(frozen_and_free_bytes_of_one_slot_do_not_grow_together)
{
    struct job_buf *left = text("hello world"), *right = NULL;
    ck_assert_ok(job_buf_split(&left, 5, &right));
    ck_assert_ok(job_buf_freeze(left));
    ck_assert_ok(job_buf_append(left, &right));
    ck_assert_uint_eq(job_buf_segments(left), 2);
    ck_assert(!job_buf_is_frozen(left));
    ck_assert_ok(job_buf_write(left, "!", 1)); /* into the room of the second */
    ck_assert_uint_eq(job_buf_segments(left), 2);
    assert_bytes(left, "hello world!", 12);
    job_buf_free(&left);
}
END_TEST

START_TEST(thaw_is_refused_while_another_has_a_piece_and_then_gives_all_room_back)
{
    struct job_buf *buf = view("hello"), *slice = slice_of(buf, 1, 2);
    size_t room, all;
    ck_assert_int_eq(job_buf_thaw(buf), -EBUSY);
    ck_assert_int_eq(job_buf_thaw(slice), -EBUSY);
    ck_assert(job_buf_is_frozen(buf));
    job_buf_free(&buf);
    ck_assert_ok(job_buf_thaw(slice)); /* whoever is left */
    ck_assert(!job_buf_is_frozen(slice));
    ck_assert_uint_eq(load_relaxed(&root.views), 0);
    uint8_t *at = job_buf_room(slice, &room);
    (void)slot_room(slice->slot, &all);
    ck_assert_uint_ge(room, all - 3);
    memset(at, 'x', room);
    memcpy(job_buf_data(slice), "LE", 2);
    ck_assert_ptr_nonnull(job_buf_prepend(slice, 1));
    memcpy(job_buf_data(slice), "-", 1);
    assert_bytes(slice, "-LE", 3);
    ck_assert_ok(job_buf_thaw(slice)); /* nothing is frozen: nothing to do */
    job_buf_free(&slice);
}
END_TEST

START_TEST(thaw_of_many_segments_is_all_or_nothing)
{
    char bytes[64];
    struct job_buf *all = chain(5, bytes), *last = slice_of(all, strlen(bytes) - 1, 1);
    ck_assert_int_eq(job_buf_thaw(all), -EBUSY);
    ck_assert(job_buf_is_frozen(all));
    job_buf_free(&last);
    ck_assert_ok(job_buf_thaw(all));
    ck_assert_uint_eq(load_relaxed(&root.views), 0);
    assert_bytes(all, bytes, strlen(bytes));
    job_buf_free(&all);
}
END_TEST

START_TEST(X10_slices_keep_their_place_when_their_parent_moves)
{
    struct job_buf *whole = view("hello world"), *a = slice_of(whole, 0, 5), *b = slice_of(whole, 6, 5), *moved = NULL;
    job_buf_replace(&moved, &whole);
    ck_assert_ptr_null(whole);
    ck_assert_ptr_eq(job_buf_data(b), (uint8_t *)job_buf_data(a) + 6);
    ck_assert_ptr_eq(job_buf_data(a), job_buf_data(moved));
    job_buf_free(&moved);
    job_buf_free(&a);
    job_buf_free(&b);
}
END_TEST

START_TEST(bad_input_is_refused_and_changes_nothing)
{
    struct job_buf *frozen = view("hello"), *loose = text("loose"), *none = NULL, *kept = frozen;
    ck_assert_int_eq(job_buf_freeze(NULL), -EINVAL);
    ck_assert_int_eq(job_buf_thaw(NULL), -EINVAL);
    ck_assert(!job_buf_is_frozen(NULL));
    ck_assert_int_eq(job_buf_slice(NULL, 0, 0, &none), -EINVAL);
    ck_assert_int_eq(job_buf_slice(frozen, 0, 1, NULL), -EINVAL);
    ck_assert_int_eq(job_buf_slice(frozen, 0, 6, &none), -EINVAL);
    ck_assert_int_eq(job_buf_slice(frozen, 6, 0, &none), -EINVAL);
    ck_assert_int_eq(job_buf_slice(frozen, 1, SIZE_MAX, &none), -EINVAL);
    ck_assert_int_eq(job_buf_slice(loose, 0, 1, &none), -EINVAL);
    ck_assert_int_eq(job_buf_wrap(NULL, "x", 1, NULL, NULL, &none), -EINVAL);
    ck_assert_int_eq(job_buf_wrap(arena, NULL, 1, NULL, NULL, &none), -EINVAL);
    ck_assert_int_eq(job_buf_wrap(arena, "x", 1, NULL, NULL, NULL), -EINVAL);
    ck_assert_int_eq(job_buf_wrap(arena, "x", SIZE_MAX, NULL, NULL, &none), -EINVAL);
    ck_assert_int_eq(job_buf_map(NULL, 0, 0, 1, &none), -EINVAL);
    ck_assert_int_eq(job_buf_map(arena, -1, 0, 1, &none), -EBADF);
    ck_assert_ptr_null(none);
    ck_assert_ok(job_buf_append(frozen, &loose));
    ck_assert_int_eq(job_buf_slice(frozen, 4, 3, &none), -EINVAL); /* the first part is frozen */
    ck_assert_uint_eq(load_relaxed(&root.views), 1);
    ck_assert_ptr_eq(frozen, kept);
    job_buf_free(&frozen);
}
END_TEST

static unsigned released;
static void *released_memory;
static size_t released_len;

static void release(void *arg, void *memory, size_t len)
{
    ck_assert_ptr_eq(arg, &released);
    released++;
    released_memory = memory;
    released_len = len;
}

START_TEST(foreign_memory_is_released_once_when_its_last_view_is_gone)
{
    static const char bytes[] = "a constant";
    struct job_buf *buf = NULL;
    struct job_arena_stats before, after;
    released = 0;
    job_arena_stats(arena, &before);
    ck_assert_ok(job_buf_wrap(arena, bytes, 10, release, &released, &buf));
    job_arena_stats(arena, &after);
    ck_assert_uint_eq(after.used_bytes, before.used_bytes);
    ck_assert_ptr_eq(job_buf_data(buf), bytes);
    ck_assert(job_buf_is_frozen(buf));
    ck_assert_int_eq(job_buf_thaw(buf), -EPERM);
    ck_assert_ptr_null(job_buf_prepend(buf, 1));
    ck_assert_uint_eq(load_relaxed(&root.wraps), 1);

    struct job_buf *slice = slice_of(buf, 2, 8), *rest = NULL;
    ck_assert_ok(job_buf_split(&buf, 3, &rest));
    job_buf_free(&buf);
    job_buf_free(&rest);
    ck_assert_uint_eq(released, 0);
    struct job_arena *kept = arena;
    ck_assert_int_eq(arena_close(&kept), -EBUSY);
    assert_bytes(slice, "constant", 8);
    job_buf_free(&slice);
    ck_assert_uint_eq(released, 1);
    ck_assert_ptr_eq(released_memory, bytes);
    ck_assert_uint_eq(released_len, 10);
}
END_TEST

START_TEST(foreign_memory_of_several_segments_is_released_as_one)
{
    size_t len = 3 * (size_t)FOREIGN_PIECE_BYTES + 1; /* never touched: no pages */
    uint8_t *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    memory[len - 1] = 'z';
    struct job_buf *buf = NULL;
    released = 0;
    ck_assert_ok(job_buf_wrap(arena, memory, len, release, &released, &buf));
    ck_assert_uint_eq(job_buf_segments(buf), 4);
    ck_assert_uint_eq(job_buf_len(buf), len);
    ck_assert(buf_is_valid(buf));
    struct job_buf *slice = slice_of(buf, len - 3, 3);
    job_buf_free(&buf);
    ck_assert_uint_eq(released, 0);
    assert_bytes(slice, "\0\0z", 3);
    job_buf_free(&slice);
    ck_assert_uint_eq(released, 1);
    ck_assert_uint_eq(released_len, len);
    (void)munmap(memory, len);
}
END_TEST

START_TEST(an_empty_wrap_is_an_empty_view_and_is_released)
{
    struct job_buf *buf = NULL;
    released = 0;
    ck_assert_ok(job_buf_wrap(arena, NULL, 0, release, &released, &buf));
    ck_assert_uint_eq(job_buf_len(buf), 0);
    struct job_buf *slice = slice_of(buf, 0, 0), *tail = text("tail");
    ck_assert_ok(job_buf_append(slice, &tail));
    assert_bytes(slice, "tail", 4);
    job_buf_free(&buf);
    job_buf_free(&slice);
    ck_assert_uint_eq(released, 1);
}
END_TEST

START_TEST(wrapping_works_at_the_arenas_limit)
{
    enum { ALL = LIMIT_BYTES >> 12 };
    static struct job_buf *full[ALL + 1];
    struct job_buf *buf = NULL;
    size_t count = 0;
    while (job_buf_alloc(arena, 1, NULL, &full[count]) == 0)
        count++;
    ck_assert_uint_eq(count, ALL);
    released = 0;
    ck_assert_ok(job_buf_wrap(arena, "outside", 7, release, &released, &buf));
    assert_bytes(buf, "outside", 7);
    ck_assert_int_eq(job_buf_write(buf, "!", 1), -ENOMEM); /* the segment behind it would be the arena's */
    assert_bytes(buf, "outside", 7);
    job_buf_free(&buf);
    ck_assert_uint_eq(released, 1);
    while (count > 0)
        job_buf_free(&full[--count]);
}
END_TEST

static void free_another(void *arg, void *memory, size_t len)
{
    (void)memory, (void)len;
    job_buf_free(arg);
}

START_TEST(a_release_may_free_bufs)
{
    struct job_buf *inner = view("inner"), *outer = NULL;
    ck_assert_ok(job_buf_wrap(arena, job_buf_data(inner), 5, free_another, &inner, &outer));
    job_buf_free(&outer);
    ck_assert_ptr_null(inner);
}
END_TEST

static int file_of(const void *bytes, size_t len)
{
    int fd = memfd_create("view", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
    return fd;
}

START_TEST(a_file_is_a_view_of_its_bytes_from_any_offset)
{
    enum { LEN = 300000 };
    static uint8_t bytes[LEN];
    for (size_t i = 0; i < LEN; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    int fd = file_of(bytes, LEN);
    static const size_t offsets[] = {0, 1, 4095, 4096, 65535, 65536, 65537, LEN - 1, LEN};
    for (size_t i = 0; i < ARRAY_COUNT(offsets); i++) {
        struct job_buf *buf = NULL;
        ck_assert_ok(job_buf_map(arena, fd, offsets[i], LEN - offsets[i], &buf));
        ck_assert(job_buf_is_frozen(buf));
        assert_bytes(buf, bytes + offsets[i], LEN - offsets[i]);
        job_buf_free(&buf);
    }
    struct job_buf *none = NULL;
    ck_assert_int_eq(job_buf_map(arena, fd, LEN, 1, &none), -EINVAL);
    ck_assert_int_eq(job_buf_map(arena, fd, UINT64_MAX, 1, &none), -EINVAL);
    ck_assert_int_eq(job_buf_map(arena, fd, LEN + 1, 0, &none), -EINVAL);
    close(fd);
}
END_TEST

START_TEST(a_mapped_file_may_be_closed_and_sealed)
{
    struct job_buf *buf = NULL;
    int fd = file_of("sealed", 6);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE), 0);
    ck_assert_ok(job_buf_map(arena, fd, 0, 6, &buf));
    close(fd);
    struct job_buf *slice = slice_of(buf, 1, 4);
    job_buf_free(&buf);
    assert_bytes(slice, "eale", 4);
    job_buf_free(&slice);
}
END_TEST

START_TEST(what_cannot_be_mapped_is_refused)
{
    struct job_buf *none = NULL;
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_eq(job_buf_map(arena, fds[0], 0, 1, &none), -EINVAL); /* it has no bytes to map */
    close(fds[0]);
    close(fds[1]);
    char name[64];
    int fd = file_of("x", 1);
    (void)snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    int write_only = open(name, O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(write_only, 0);
    ck_assert_int_eq(job_buf_map(arena, write_only, 0, 1, &none), -EACCES);
    ck_assert_ptr_null(none);
    close(write_only);
    close(fd);
}
END_TEST

/* The rule that job/view.h states: it is the user's to keep. */
START_TEST(who_reads_a_mapped_file_behind_its_new_end_gets_SIGBUS)
{
    struct job_buf *buf = NULL;
    static const char page[8192] = "bytes";
    int fd = file_of(page, sizeof page), status = 0;
    ck_assert_ok(job_buf_map(arena, fd, 0, sizeof page, &buf));
    ck_assert_int_eq(ftruncate(fd, 4096), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        char byte;
        (void)signal(SIGBUS, SIG_DFL);
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        if (job_buf_read(buf, 0, &byte, 1) < 0 || byte != 'b')
            _exit(1);
        (void)job_buf_read(buf, 4096, &byte, 1);
        _exit(2);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    job_buf_free(&buf); /* unmapping touches nothing */
    close(fd);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("view");
    TCase *tcase = tcase_create("view");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, X21_frozen_bytes_have_no_room_and_are_written_by_nothing);
    tcase_add_test(tcase, a_slice_shares_the_bytes_and_outlives_what_it_came_from);
    tcase_add_loop_test(tcase, every_slice_of_every_small_view_has_its_bytes, 1, 7);
    tcase_add_test(tcase, split_of_a_view_gives_two_views_that_join_again);
    tcase_add_test(tcase, a_short_view_behind_much_room_is_linked_and_not_copied);
    tcase_add_test(tcase, frozen_and_free_bytes_of_one_slot_do_not_grow_together);
    tcase_add_test(tcase, thaw_is_refused_while_another_has_a_piece_and_then_gives_all_room_back);
    tcase_add_test(tcase, thaw_of_many_segments_is_all_or_nothing);
    tcase_add_test(tcase, X10_slices_keep_their_place_when_their_parent_moves);
    tcase_add_test(tcase, bad_input_is_refused_and_changes_nothing);
    tcase_add_test(tcase, foreign_memory_is_released_once_when_its_last_view_is_gone);
    tcase_add_test(tcase, foreign_memory_of_several_segments_is_released_as_one);
    tcase_add_test(tcase, an_empty_wrap_is_an_empty_view_and_is_released);
    tcase_add_test(tcase, wrapping_works_at_the_arenas_limit);
    tcase_add_test(tcase, a_release_may_free_bufs);
    tcase_add_test(tcase, a_file_is_a_view_of_its_bytes_from_any_offset);
    tcase_add_test(tcase, a_mapped_file_may_be_closed_and_sealed);
    tcase_add_test(tcase, what_cannot_be_mapped_is_refused);
    tcase_add_test(tcase, who_reads_a_mapped_file_behind_its_new_end_gets_SIGBUS);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
