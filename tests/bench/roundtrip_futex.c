/* roundtrip_futex.c — the bare mechanism: two threads and a futex word that says whose turn it is. It sleeps at once in both variants. */
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "roundtrip.h"

enum { HERE, THERE };

static struct roundtrip trip;
static uint32_t turn = HERE;

static void hand_over(uint32_t to)
{
    __atomic_store_n(&turn, to, __ATOMIC_RELEASE);
    (void)syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void await(uint32_t mine)
{
    while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != mine)
        (void)syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, !mine, NULL, NULL, 0);
}

static void *other(void *arg)
{
    (void)arg;
    roundtrip_pin(trip.cpu_there);
    for (uint64_t i = 0; i < trip.rounds; i++) {
        await(THERE);
        trip.value = roundtrip_next(trip.value);
        hand_over(HERE);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    trip = roundtrip_plan(argc, argv);
    bench_ok(-pthread_create(&thread, NULL, other, NULL), "pthread_create");
    roundtrip_pin(trip.cpu_here);
    while (roundtrip_mark(&trip)) {
        hand_over(THERE);
        await(HERE);
    }
    (void)pthread_join(thread, NULL);
    roundtrip_end(&trip);
    return 0;
}
