/* job.h — all of libjob. */
#ifndef JOB_H
#define JOB_H

#include <job/address.h>
#include <job/arena.h>
#include <job/buf.h>
#include <job/connection.h>
#include <job/file.h>
#include <job/handle.h>
#include <job/listener.h>
#include <job/loop.h>
#include <job/path.h>
#include <job/pool.h>
#include <job/port.h>
#include <job/process.h>
#include <job/reader.h>
#include <job/region.h>
#include <job/resolve.h>
#include <job/rpc.h>
#include <job/runtime.h>
#include <job/scope.h>
#include <job/signal.h>
#include <job/socket.h>
#include <job/stream.h>
#include <job/task.h>
#include <job/timer.h>
#include <job/topic.h>
#include <job/view.h>
#include <job/worker.h>
#include <job/watch.h>
#include <job/watchdog.h>
#include <job/writer.h>

#endif
