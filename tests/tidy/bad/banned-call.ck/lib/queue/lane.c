/* lane.c — the parts of Concurrency Kit that wait for each other, or have known bugs. */
#include <ck_fifo.h>     /* refused */
#include <ck_epoch.h>    /* refused */
#include <ck_ring.h>

static void use(struct lane *lane)
{
    ck_ring_enqueue_mpsc(&lane->ring, lane->slots, lane);        /* refused */
    ck_ring_enqueue_mpmc(&lane->ring, lane->slots, lane);        /* refused */
    ck_ring_dequeue_mpmc(&lane->ring, lane->slots, &lane->p);    /* refused */
    ck_ring_repair(&lane->ring);                                 /* refused */
    ck_ring_valid(&lane->ring);                                  /* refused */
    ck_stack_batch_pop_mpmc(&lane->stack);                       /* refused */
    ck_hp_register(&lane->hp, NULL, NULL);                       /* refused */
    ck_ring_enqueue_spmc(&lane->ring, lane->slots, lane);
    ck_ring_dequeue_spmc(&lane->ring, lane->slots, &lane->p);
    ck_stack_batch_pop_upmc(&lane->stack);
}
