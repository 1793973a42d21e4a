/* orphan.c — children that outlive their handles, and must still be waited for some time: else each remains as a zombie.
 *
 * Nobody is told of their end, so nobody waits for it either: they are looked at when another process is started and when the runtime
 * closes. At any time there are no more zombies than have ended since the last start.
 */
#include <errno.h>

#include "base/alloc.h"
#include "base/root.h"
#include "base/sys.h"
#include "io/process.h"

struct orphan *orphan_new(struct root *root)
{
    struct orphan *orphan = alloc_zeroed(root, sizeof *orphan);
    if (orphan)
        list_init(&orphan->node);
    return orphan;
}

void orphan_add(struct root *root, struct orphan *orphan, int pidfd)
{
    orphan->pidfd = pidfd;
    (void)pthread_mutex_lock(&root->orphans_lock);
    list_push_back(&root->orphans, &orphan->node);
    (void)pthread_mutex_unlock(&root->orphans_lock);
}

static void forget(struct root *root, struct orphan *orphan)
{
    list_remove(&orphan->node);
    (void)sys_close(orphan->pidfd);
    alloc_free(root, orphan);
}

void orphans_reap(struct root *root)
{
    struct job_process_exit exit;
    (void)pthread_mutex_lock(&root->orphans_lock);
    list_each_safe(node, &root->orphans) {
        struct orphan *orphan = container_of(node, struct orphan, node);
        if (process_reap(orphan->pidfd, &exit) != 0)
            forget(root, orphan);
    }
    (void)pthread_mutex_unlock(&root->orphans_lock);
}

void orphans_close(struct root *root)
{
    orphans_reap(root);
    while (!list_is_empty(&root->orphans))   /* they run on: init will wait for them when we have ended */
        forget(root, container_of(root->orphans.next, struct orphan, node));
}
