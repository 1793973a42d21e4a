/* roundtrip_spinfutex.c — the bare mechanism at its best: looks at the word for 20 us, then sleeps on it; who hands over makes a system
 * call only for a sleeper. */
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "roundtrip.h"

enum { HERE, THERE, ASLEEP = 2 };   /* whose turn it is; ASLEEP beside it: the other one sleeps */

static struct roundtrip trip;
static uint32_t turn = HERE;

static bool is_turn_of(uint32_t who)
{
    return (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) & THERE) == who;
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("" ::: "memory");
#endif
}

static void hand_over(uint32_t to)
{
    if (__atomic_exchange_n(&turn, to, __ATOMIC_ACQ_REL) & ASLEEP)
        (void)syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void await(uint32_t mine)
{
    uint32_t theirs = !mine;
    uint64_t begin = bench_now_ns();
    do {
        for (int i = 0; i < 16; i++) {
            if (is_turn_of(mine))
                return;
            relax();
        }
    } while (bench_now_ns() - begin < ROUNDTRIP_SPIN_NS);
    if (!__atomic_compare_exchange_n(&turn, &theirs, theirs | ASLEEP, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return;
    while (!is_turn_of(mine))
        (void)syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, theirs | ASLEEP, NULL, NULL, 0);
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
