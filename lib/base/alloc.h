/* alloc.h — memory that is not a buf: zeroed and counted. Tests put a failing one in front by the linker (tests/fault).
 *
 * After open the fast paths allocate nothing; the count proves it. Every function returns NULL when there is none.
 */
#ifndef JOB_BASE_ALLOC_H
#define JOB_BASE_ALLOC_H

#include <stddef.h>

struct root;

void *alloc_zeroed(struct root *root, size_t bytes);
void *alloc_lines(struct root *root, size_t bytes);   /* zeroed, aligned to a cache line */
void alloc_free(struct root *root, void *memory);     /* NULL is fine */

#endif
