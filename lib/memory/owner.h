/* owner.h — who owns a buf, and how checked builds name a user who does not.
 *
 * The pointer that was given away is NULL, so what is left to do wrong is to keep a copy of it, or of the address of its bytes. Checked
 * builds note each hand-over in the descriptor: whoever then uses the copy is stopped with the names of both, owner and user. The bytes
 * are guarded besides: what code has written into a free or lent slot is found when the slot comes back. Other builds note nothing; a
 * whole buf is then always code's. In a program that has ASan, what is not code's is poisoned in every build (the kernel does not mind).
 */
#ifndef JOB_MEMORY_OWNER_H
#define JOB_MEMORY_OWNER_H

#include "base/annotate.h"
#include "memory/slot.h"

/* The bytes of a buf are not code's any more, or are again. Whoever owns it; NULL is allowed. */
void owner_poison(const struct job_buf *buf, bool is_given);
void owner_poison_piece(const struct job_buf *segment, bool is_given);

#ifdef JOB_CHECKED
void owner_expect(const struct job_buf *buf, enum buf_owner user, const char *function);
void owner_expect_live(const struct job_buf *segment, const char *function);
void owner_move(struct job_buf *buf, enum buf_owner from, enum buf_owner to, const char *function);
void owner_seal(const struct job_buf *segment);
void owner_unseal(struct slot *slot, const char *function);
void owner_lend(struct slot *slot);
void owner_unlend(struct slot *slot);
void owner_verify(const struct slot *slot, size_t from, size_t to, const char *function);

/* Code uses a whole buf: it must own it. The first one is in every build; the second one costs other builds nothing and lets NULL pass. */
#define owner_check(buf) owner_expect((buf), BUF_CODE, __func__)
#define owner_check_slow(buf) owner_expect((buf), BUF_CODE, __func__)

/* Code looks at a segment: its descriptor must not be free. */
#define owner_check_live(segment) owner_expect_live((segment), __func__)

/* A hand-over. Nothing when `to` owns it already; NULL is allowed. Whoever owns it. */
#define owner_pass(buf, from, to) owner_move((buf), (from), (to), __func__)

/* The bytes of a piece become frozen; they are as they were when they became that, and are frozen no more. Of slots with one piece. */
#define owner_freeze(segment) owner_seal((segment))
#define owner_check_frozen(slot) owner_unseal((slot), __func__)

/* Bytes `from` to `to` of a free or lent slot are as they were when it became that. */
#define owner_check_untouched(slot, from, to) owner_verify((slot), (from), (to), __func__)
#else
#define owner_check(buf) assert((buf)->owner == BUF_CODE)
#define owner_check_slow(buf) ((void)(buf))
#define owner_check_live(segment) ((void)(segment))
#define owner_pass(buf, from, to) (annotate_has_asan() ? owner_poison((buf), (to) != BUF_CODE) : (void)(buf))
#define owner_freeze(segment) ((void)(segment))
#define owner_check_frozen(slot) ((void)(slot))
#define owner_lend(slot) annotate_poison((slot)->memory, (slot)->size)   /* to the kernel: a slot without pieces */
#define owner_unlend(slot) annotate_unpoison((slot)->memory, (slot)->size)
#define owner_check_untouched(slot, from, to) ((void)(slot), (void)(from), (void)(to))
#endif

#endif
