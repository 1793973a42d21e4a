/* atomics_bare.c — the instruction and the system call alone. */
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "atomics.h"

static uint64_t cell;
static uint32_t word;
static struct atomics_plan plan;

static void take_turns(uint32_t mine)
{
    for (uint64_t i = 0; i < plan.count / 2; i++) {
        uint32_t value;
        while ((value = __atomic_load_n(&word, __ATOMIC_SEQ_CST)) % 2 != mine)
            (void)syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
        __atomic_store_n(&word, value + 1, __ATOMIC_SEQ_CST);
        (void)syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

static void *other(void *arg)
{
    (void)arg;
    take_turns(1);
    return NULL;
}

static void add_each(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        (void)__atomic_fetch_add(&cell, 3, __ATOMIC_SEQ_CST);
}

static uint64_t load_each(uint64_t count)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++)
        sum += __atomic_load_n(&cell, __ATOMIC_SEQ_CST);
    return sum;
}

int main(int argc, char **argv)
{
    uint64_t result = 0;
    plan = atomics_plan(argc, argv);
    if (plan.variant == ATOMICS_ADD) {
        add_each(plan.count);
        result = cell;
    } else if (plan.variant == ATOMICS_LOAD) {
        cell = 3;
        result = load_each(plan.count);
    } else {
        pthread_t thread;
        bench_ok(-pthread_create(&thread, NULL, other, NULL), "pthread_create");
        take_turns(0);
        (void)pthread_join(thread, NULL);
        result = word;
    }
    atomics_end(&plan, result);
    return 0;
}
