// submit_tbb.cc — the same with oneTBB: task_arena::enqueue() from outside; each task counts itself as its completion.
//
// Less than what the others do: nothing is delivered to the submitter, it only sees a counter grow.
#include <atomic>
#include <memory>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>
#include <thread>
#include <vector>

#include "submit.h"

namespace {

struct alignas(64) Counter {
    std::atomic<uint64_t> ran{0};
};

void submit_all(oneapi::tbb::task_arena &arena, Counter &counter, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        while (i - counter.ran.load(std::memory_order_acquire) >= SUBMIT_WINDOW)
            std::this_thread::yield();
        arena.enqueue([&counter] { counter.ran.fetch_add(1, std::memory_order_release); });
    }
    while (counter.ran.load(std::memory_order_acquire) < count)
        std::this_thread::yield();
}

}   // namespace

int main(int argc, char **argv)
{
    struct submit plan = submit_plan(argc, argv);
    oneapi::tbb::global_control control(oneapi::tbb::global_control::max_allowed_parallelism, plan.workers + 1);
    oneapi::tbb::task_arena arena(static_cast<int>(plan.workers), 0);   // all places are for workers, none for submitters
    std::vector<Counter> counters(plan.submitters);
    Counter warm;
    submit_all(arena, warm, 1000);   // the workers are up
    submit_begin(&plan);
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < plan.submitters; i++)
        threads.emplace_back([&arena, &plan, &counter = counters[i]] { submit_all(arena, counter, plan.each); });
    uint64_t ran = 0;
    for (unsigned i = 0; i < plan.submitters; i++) {
        threads[i].join();
        ran += counters[i].ran.load();
    }
    submit_end(&plan, ran);
    return 0;
}
