/* files.c — bodies of open files: what is read is what was written, in parts or whole, whatever is short, late or cancelled. */
#include <sys/mman.h>

#include "conform/conform.h"
#include "io/file.h"

enum { FILE_BYTES = 20000, REQUESTS = 6, ROUNDS_EACH = 3 };

struct request {
    struct job_file_op op;
    struct files *files;
    uint64_t offset;
    size_t len;
    unsigned rounds;
    bool is_write, is_cancelled;
};

struct files {
    struct scenario *scenario;
    struct job_file file;
    struct request requests[REQUESTS];
    unsigned idle, ends, starts, cancelled;
    bool is_closing, is_closed;
};

static void next(struct request *request);

static void closed(struct job_file *file)
{
    struct files *files = file->handle.data;
    must(files->scenario, files->ends == files->starts);
    files->is_closed = true;
}

static bool may_fail(const struct request *request, int status)
{
    const struct scenario *scenario = request->files->scenario;
    if (status == -ECANCELED)
        return request->is_cancelled || request->files->is_closing;
    return scenario->may_break && (status == -EIO || status == -ENOMEM || status == -ENOSPC);
}

/* Its bytes are of the pattern, whoever wrote them last. */
static void ended(struct job_file_op *op, int status, struct job_buf **buf)
{
    struct request *request = job_container_of(op, struct request, op);
    struct files *files = request->files;
    struct scenario *scenario = files->scenario;
    files->ends++;
    must(scenario, status == 0 || may_fail(request, status));
    must(scenario, op->count <= request->len);
    files->cancelled += status == -ECANCELED;
    if (request->len > 0) {
        uint64_t offset = request->offset;
        must(scenario, *buf);
        must(scenario, job_buf_len(*buf) == (request->is_write ? request->len : op->count));
        if (status == 0)
            must(scenario, op->count == request->len);
        verify(scenario, *buf, 1, &offset);
    }
    next(request);
}

static int start(struct request *request, struct job_buf **buf)
{
    struct files *files = request->files;
    switch (below(files->scenario, 4)) {
    case 0: {
        uint64_t offset = request->offset;
        request->is_write = true;
        *buf = make(files->scenario, 1, &offset, request->len);
        return job_file_write(&files->file, &request->op, buf, request->offset, ended);
    }
    case 1:
        request->len = 0;
        return job_file_sync(&files->file, &request->op, below(files->scenario, 2), ended);
    default: return job_file_read(&files->file, &request->op, buf, request->len, request->offset, ended);
    }
}

static void next(struct request *request)
{
    struct files *files = request->files;
    struct job_buf *buf = NULL;
    if (request->rounds-- == 0 || files->is_closing) {
        if (++files->idle == REQUESTS && !files->is_closing)
            job_file_close(&files->file, closed);
        return;
    }
    request->is_write = request->is_cancelled = false;
    request->len = 1 + below(files->scenario, 5000);
    request->offset = below(files->scenario, FILE_BYTES - 5001);
    must_ok(files->scenario, start(request, &buf));
    must(files->scenario, !buf);
    files->starts++;
    if (files->scenario->is_faulty && below(files->scenario, 6) == 0) {
        request->is_cancelled = true;
        must_ok(files->scenario, job_file_cancel(&request->op));
    }
}

static bool act(struct scenario *scenario)
{
    struct files *files = scenario->state;
    if (scenario->is_faulty && !files->is_closing && below(scenario, 40) == 0) {
        files->is_closing = true;
        job_file_close(&files->file, closed);
    }
    return !files->is_closed;
}

void files(struct scenario *scenario)
{
    static struct files files;
    static uint8_t bytes[FILE_BYTES];
    files = (struct files){.scenario = scenario};
    files.file.handle.data = &files;
    int fd = memfd_create("conform", MFD_CLOEXEC);
    must(scenario, fd >= 0);
    for (uint64_t offset = 0; offset < FILE_BYTES; offset++)
        bytes[offset] = pattern_byte(1, offset);
    must(scenario, pwrite(fd, bytes, FILE_BYTES, 0) == FILE_BYTES);
    must_ok(scenario, job_file_adopt(scenario->loop, &files.file, fd));
    files.file.job_flags |= FILE_RING_WRITES;
    for (unsigned i = 0; i < REQUESTS; i++) {
        files.requests[i].files = &files;
        files.requests[i].rounds = ROUNDS_EACH;
        next(&files.requests[i]);
    }
    run(scenario, &files, act);
    must(scenario, files.is_closed);
    tell(scenario, " starts=%u ends=%u cancelled=%u", files.starts, files.ends, files.cancelled);
}
