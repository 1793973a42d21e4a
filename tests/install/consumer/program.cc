// program.cc — a program in C++ alone: the same service as consumer.c, with an object of its own around the handles.
#include <cstdio>
#include <job/job.h>

namespace {

struct service {
    job_pool *pool = nullptr;
    job_timer timer{};
    job_task task{};
    int status_seen = 0;
};

void done(job_task *task, int status)
{
    auto *self = static_cast<service *>(task->data);
    self->status_seen = status;
    job_timer_close(&self->timer, nullptr);
}

void fired(job_timer *timer)
{
    service *self = job_container_of(timer, service, timer);
    if (job_submit(self->pool, &self->task, &timer->handle) < 0)
        job_timer_close(timer, nullptr);
}

}  // namespace

int main()
{
    service self;
    job_runtime *runtime = nullptr;
    job_loop *loop = nullptr;
    job_runtime_options options{};

    options.name = "consumer";
    if (job_runtime_open(&runtime, &options) < 0 || job_loop_open(runtime, &loop, nullptr) < 0 ||
        job_pool_open(runtime, &self.pool, nullptr) < 0 ||
        job_task_init(&self.task, self.pool, [](job_task *task) { job_task_set_status(task, 42); }, done) < 0 ||
        job_timer_open(loop, &self.timer, fired) < 0 || job_timer_start(&self.timer, 0) < 0)
        return 1;
    self.task.data = &self;
    if (job_loop_run(loop) < 0 || job_loop_close(&loop, 0) < 0 || job_pool_close(&self.pool) < 0)
        return 1;
    std::printf("libjob %s: %s\n", job_version(), self.status_seen == 42 ? "a task came back" : "no task came back");
    return self.status_seen != 42 || job_runtime_close(&runtime) < 0;
}
