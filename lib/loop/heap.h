/* heap.h — a heap of deadlines that needs no memory of its own. */
#ifndef JOB_LOOP_HEAP_H
#define JOB_LOOP_HEAP_H

#include "loop/deadline.h"

/* `first` is the root: the least by key_ns, then by order; NULL: empty. */
void heap_insert(struct deadline **first, struct deadline *deadline);
void heap_remove(struct deadline **first, struct deadline *deadline);

#endif
