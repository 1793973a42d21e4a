/* message_roundtrip_job.c — a message to a port on another loop, and its answer: two threads, a loop and a port each. */
#include <job/job.h>
#include <pthread.h>

#include "roundtrip.h"

struct side {
    struct job_port port;
    struct job_loop *loop;
    struct job_end *end;
};

static struct job_runtime *runtime;
static struct roundtrip trip;
static struct side here, there;

static void send_value(struct side *from)
{
    bench_ok(job_port_post(&from->port, &(struct job_post){.bytes = &trip.value, .len = sizeof trip.value}), "post");
}

static void receive_value(struct job_message *message)
{
    memcpy(&trip.value, job_message_bytes(message, NULL), sizeof trip.value);
}

static void arrived_there(struct job_port *port, struct job_message *message)
{
    (void)port;
    receive_value(message);
    trip.value = roundtrip_next(trip.value);
    send_value(&there);
}

static void next_round(void)
{
    if (roundtrip_mark(&trip))
        send_value(&here);
    else
        job_port_close(&here.port);
}

static void arrived_here(struct job_port *port, struct job_message *message)
{
    (void)port;
    receive_value(message);
    next_round();
}

static const struct job_port_events events_there = {.message = arrived_there}, events_here = {.message = arrived_here};

static void open_side(struct side *side, const struct job_port_events *events)
{
    const struct job_loop_options options = {.no_spin = !trip.is_spun};
    bench_ok(job_loop_open(runtime, &side->loop, &options), "job_loop_open");
    bench_ok(job_port_open(side->loop, &side->port, &side->end, events), "job_port_open");
}

static void *other(void *arg)
{
    roundtrip_pin(trip.cpu_there);
    bench_ok(job_loop_run(there.loop), "job_loop_run");   /* until the other end is closed */
    bench_ok(job_loop_close(&there.loop, 0), "job_loop_close");
    return arg;
}

static void begin(struct job_call *call)
{
    (void)call;
    next_round();
}

int main(int argc, char **argv)
{
    pthread_t thread;
    struct job_call call = {.run = begin};
    trip = roundtrip_plan(argc, argv);
    if (trip.cpu_here == trip.cpu_there)
        roundtrip_pin(trip.cpu_here);   /* before all: the library sees that there is one CPU, where spinning cannot pay */
    bench_ok(job_runtime_open(&runtime, NULL), "job_runtime_open");
    bench_ok(job_channel_open(runtime, &here.end, &there.end, NULL), "job_channel_open");
    /* Before the threads have a CPU each: a loop that is opened where there is one does not look before it sleeps. */
    open_side(&here, &events_here);
    open_side(&there, &events_there);
    bench_ok(-pthread_create(&thread, NULL, other, NULL), "pthread_create");
    roundtrip_pin(trip.cpu_here);
    bench_ok(job_loop_call(here.loop, &call), "job_loop_call");
    bench_ok(job_loop_run(here.loop), "job_loop_run");
    (void)pthread_join(thread, NULL);
    roundtrip_end(&trip);
    bench_ok(job_loop_close(&here.loop, 0), "job_loop_close");
    bench_ok(job_runtime_close(&runtime), "job_runtime_close");
    return 0;
}
