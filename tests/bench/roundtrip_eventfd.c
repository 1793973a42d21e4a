/* roundtrip_eventfd.c — the bare mechanism: two threads, two blocking eventfds. It cannot spin: both variants are one. */
#include <pthread.h>
#include <sys/eventfd.h>

#include "roundtrip.h"

static struct roundtrip trip;
static int ping;
static int pong;

static void *other(void *arg)
{
    eventfd_t count;
    (void)arg;
    roundtrip_pin(trip.cpu_there);
    for (uint64_t i = 0; i < trip.rounds; i++) {
        bench_ok(eventfd_read(ping, &count), "eventfd_read");
        trip.value = roundtrip_next(trip.value);
        bench_ok(eventfd_write(pong, 1), "eventfd_write");
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    eventfd_t count;
    trip = roundtrip_plan(argc, argv);
    bench_ok(ping = eventfd(0, EFD_CLOEXEC), "eventfd");
    bench_ok(pong = eventfd(0, EFD_CLOEXEC), "eventfd");
    bench_ok(-pthread_create(&thread, NULL, other, NULL), "pthread_create");
    roundtrip_pin(trip.cpu_here);
    while (roundtrip_mark(&trip)) {
        bench_ok(eventfd_write(ping, 1), "eventfd_write");
        bench_ok(eventfd_read(pong, &count), "eventfd_read");
    }
    (void)pthread_join(thread, NULL);
    roundtrip_end(&trip);
    return 0;
}
