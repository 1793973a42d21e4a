/* buf.h — bytes with exactly one owner, in one or more linked segments.
 *
 * A `struct job_buf *` names the whole: all functions that take one take all of its segments. Functions that take ownership
 * take `struct job_buf **`, store NULL there on success and change nothing on failure. An empty buf is legal everywhere.
 *
 *      segment 1                      segment 2
 *      [headroom|bytes......|room] -> [headroom|bytes...|room]      next leads from one to the other
 *
 * A buf is used by one thread at a time: the one that owns it. Any thread may free it. NULL is harmless in every function: what returns
 * an errno says -EINVAL, what looks finds nothing (0 or NULL), what frees does nothing.
 */
#ifndef JOB_BUF_H
#define JOB_BUF_H

#include <job/arena.h>

JOB_BEGIN_DECLS

struct job_buf;

struct job_buf_options {
    size_t headroom;        /* bytes that job_buf_prepend() can rely on; 0: what the slot leaves, often 64 or more, perhaps none */
    bool page_aligned;      /* data starts on a page and there is no headroom: for O_DIRECT */
};

/**
 * Allocates an empty buf with room for at least `room` contiguous bytes. Sizes up to 1 MiB come from slots of 4, 16, 64, 256
 * and 1024 KiB; larger ones from a run of adjacent chunks.
 *
 * @param options  NULL or {0}: defaults
 * @param buf      receives it; the caller owns it
 * @return 0, or -ENOMEM: the arena's limit is reached (a limit of ours, never the system's) or, above 1 MiB, no adjacent chunks are free;
 *         -EINVAL: room or headroom is above 1 GiB, or arena or buf is NULL; *buf is unchanged on error
 * Thread: any. Does not block on a loop thread; elsewhere it may touch fresh memory.
 */
JOB_API int job_buf_alloc(struct job_arena *arena, size_t room, const struct job_buf_options *options,
                          struct job_buf **buf);

/** Gives a buf and all its segments back to its arena; *buf becomes NULL. NULL in *buf is allowed. Wakes a loop that starves
 * for memory. Thread: any that owns it. */
JOB_API void job_buf_free(struct job_buf **buf);

/** Bytes in all segments. O(1). Thread: owner. */
JOB_API size_t job_buf_len(const struct job_buf *buf);

/** Number of segments, at least 1. O(1). Thread: owner. */
JOB_API size_t job_buf_segments(const struct job_buf *buf);

/** The next segment for reading its bytes, or NULL. What it returns is part of the buf: it must not be freed or given alone.
 * Thread: owner. */
JOB_API struct job_buf *job_buf_next(const struct job_buf *segment);

/** The bytes of one segment: valid until the buf is given away or freed. NULL only for NULL. Thread: owner. */
JOB_API void *job_buf_data(const struct job_buf *segment);

/** How many bytes job_buf_data() points at. Thread: owner. */
JOB_API size_t job_buf_segment_len(const struct job_buf *segment);

/** The free room behind the last byte of the last segment: where to write next. *len receives its size, perhaps 0; len may be NULL.
 * Room that another piece of the same slot owns is not counted. Thread: owner. */
JOB_API void *job_buf_room(const struct job_buf *buf, size_t *len);

/** Declares that the first `len` bytes of job_buf_room() were written. @return 0, or -EINVAL: more than there is room.
 * Thread: owner. */
JOB_API int job_buf_extend(struct job_buf *buf, size_t len);

/** Makes room for `len` bytes in front of the first segment's bytes, for a header; they are part of the buf afterwards and to
 * be written. @return their address, or NULL: the headroom is smaller (nothing changed). Thread: owner. */
JOB_API void *job_buf_prepend(struct job_buf *buf, size_t len);

/** Copies bytes behind the last one, into the room and then into new segments of the buf's arena. All or nothing.
 * @return 0, or -ENOMEM (nothing changed). Thread: owner. */
JOB_API int job_buf_write(struct job_buf *buf, const void *bytes, size_t len);

/** Copies `len` bytes from `offset` out of the buf. @return 0, or -EINVAL: it has fewer. Thread: owner. */
JOB_API int job_buf_read(const struct job_buf *buf, size_t offset, void *bytes, size_t len);

/**
 * Looks for `len` bytes in a buf, across its segments.
 *
 * @param from  the offset to begin at
 * @param at    receives the offset of the first place. On -ENOENT, where to go on when more bytes have been appended: no place begins
 *              before. NULL: it is not wanted
 * @return 0; -ENOENT: they are not in it; -EINVAL: `from` is behind the end, or buf is NULL, or bytes is and len is not 0
 * Thread: owner. Takes as long as memchr(3) for the first of the bytes, and a comparison wherever that is found: for needles of some bytes.
 */
JOB_API int job_buf_find(const struct job_buf *buf, size_t from, const void *bytes, size_t len, size_t *at);

/**
 * `len` contiguous bytes from `offset`, to be read: in the buf if they lie in one segment, else copied to `scratch`.
 *
 * @param scratch  room for `len` bytes; NULL: nothing is copied
 * @return their address, valid until the buf is changed, given away or freed; NULL: the buf has fewer, or they lie in several segments and
 *         there is no scratch
 * Thread: owner.
 */
JOB_API const void *job_buf_peek(const struct job_buf *buf, size_t offset, size_t len, void *scratch);

/**
 * Links *tail behind buf; no byte of a large tail is copied. Adjacent pieces of one slot grow together again; a first segment of
 * the tail that is shorter than an eighth of buf's room is copied there, so that small pieces do not pin large slots (the runtime
 * counts such bytes as copied).
 *
 * @param tail  *tail becomes NULL on success; an empty one is freed
 * @return 0, or -EINVAL: one is NULL, both are the same, or their arenas belong to different runtimes; -EOVERFLOW: too many segments
 * Thread: owner of both.
 */
JOB_API int job_buf_append(struct job_buf *buf, struct job_buf **tail);

/**
 * Splits in O(segments): *buf keeps the first n bytes, *rest receives the others. A slot that is cut is shared by two pieces;
 * it is free when both are. Spare room stays with the rest. n may be 0 or the whole length: one side is then empty.
 *
 * @return 0, or -EINVAL: n is above the length; -ENOMEM: no memory for the second piece; nothing changed on error
 * Thread: owner; afterwards both pieces may live on different threads.
 */
JOB_API int job_buf_split(struct job_buf **buf, size_t n, struct job_buf **rest);

/** Removes the first n bytes. Segments that become empty go back, the last one stays; *buf is then the first that is left.
 * @return 0, or -EINVAL: fewer bytes, nothing changed. Thread: owner. */
JOB_API int job_buf_consume(struct job_buf **buf, size_t n);

/** Cuts to the first n bytes. Segments behind go back. @return 0, or -EINVAL: fewer bytes. Thread: owner. */
JOB_API int job_buf_truncate(struct job_buf *buf, size_t n);

/**
 * Makes it `len` bytes long: cuts it, or puts zeros behind its last byte, into the room and then into a new segment. All or nothing.
 *
 * @return 0, or -EINVAL: buf is NULL; -ENOMEM (nothing changed)
 * Thread: owner.
 */
JOB_API int job_buf_resize(struct job_buf *buf, size_t len);

/**
 * Makes one contiguous segment of all. Copies (and counts the bytes) unless there is one segment already. What was copied is not frozen.
 *
 * @param buf  replaced by the flat one on success
 * @return 0, or -ENOMEM, also above 1 GiB; -EINVAL: buf or *buf is NULL; nothing changed
 * Thread: owner.
 */
JOB_API int job_buf_flatten(struct job_buf **buf);

/** Frees what *slot holds (NULL is fine) and moves *with there; *with becomes NULL. Thread: owner of both. */
JOB_API void job_buf_replace(struct job_buf **slot, struct job_buf **with);

/** Takes what *slot holds and leaves NULL there. Thread: owner. */
JOB_API struct job_buf *job_buf_take(struct job_buf **slot);

/** The arena that a buf came from. Thread: owner. */
JOB_API struct job_arena *job_buf_arena(const struct job_buf *buf);

JOB_END_DECLS

#endif
