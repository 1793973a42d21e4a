/* flows.c — a body of writer and reader: a file is written and read from front to back, with pauses, stops, and a close at any time. */
#include <sys/mman.h>

#include "conform/conform.h"
#include "io/file.h"

enum { BYTES = 60000, PIECE_MAX = 3000, ROUNDS = 3 };

struct flows {
    struct scenario *scenario;
    struct job_file file;
    struct job_writer writer;
    struct job_reader reader;
    uint64_t queued, written;    /* of the pattern, in this round; what is known to be in the file */
    uint64_t told;
    unsigned rounds, ends, starts, cancelled;
    bool is_writing, is_fed, is_stopped, is_closing, is_closed;
    bool is_cut, was_cut;        /* the file is shorter than it was; at some time while it was read */
};

static void next(struct flows *flows);

static void closed(struct job_file *file)
{
    struct flows *flows = file->handle.data;
    must(flows->scenario, flows->ends == flows->starts);
    flows->is_closed = true;
}

static void ended(struct flows *flows, int status)
{
    const struct scenario *scenario = flows->scenario;
    bool may_be_cancelled = flows->is_stopped || flows->is_closing;
    flows->ends++;
    flows->cancelled += status == -ECANCELED;
    must(flows->scenario, status == 0 || (status == -ECANCELED ? may_be_cancelled : scenario->may_break));
    flows->is_writing = flows->is_fed = false;
    next(flows);
}

static void feed(struct flows *flows)
{
    struct scenario *scenario = flows->scenario;
    while (flows->queued < BYTES) {
        uint64_t offset = flows->queued;
        size_t len = 1 + below(scenario, PIECE_MAX);
        len = len < BYTES - offset ? len : (size_t)(BYTES - offset);
        struct job_buf *buf = make(scenario, 1, &offset, len);
        int err = job_writer_write(&flows->writer, &buf);
        must(scenario, (err == 0 && !buf) || (err == -EAGAIN && buf));
        job_buf_free(&buf);
        must(scenario, job_writer_queued(&flows->writer) < 2 * PIECE_MAX);
        if (err < 0)
            return;
        flows->queued += len;
        if (below(scenario, 4) == 0)
            return;   /* the rest comes while this is being written */
    }
    flows->is_fed = true;
    must_ok(scenario, job_writer_finish(&flows->writer, below(scenario, 2)));
}

static void writable(struct job_writer *writer)
{
    feed(writer->data);
}

static void write_end(struct job_writer *writer, int status, struct job_buf **rest)
{
    struct flows *flows = writer->data;
    struct scenario *scenario = flows->scenario;
    uint64_t at = job_writer_written(writer);
    if (status == 0)
        must(scenario, at == flows->queued && !*rest);
    must(scenario, at + job_buf_len(*rest) == flows->queued);
    flows->written = at > flows->written ? at : flows->written;
    if (*rest)
        verify(scenario, *rest, 1, &at);
    ended(flows, status);
}

static void data(struct job_reader *reader, struct job_buf **in)
{
    struct flows *flows = reader->data;
    struct scenario *scenario = flows->scenario;
    must(scenario, !flows->is_stopped && !flows->is_closing && !job_reader_is_paused(reader));
    verify(scenario, *in, 1, &flows->told);
    if (below(scenario, 3) == 0)
        job_reader_pause(reader);
}

static void read_end(struct job_reader *reader, int status)
{
    struct flows *flows = reader->data;
    must(flows->scenario, flows->told == job_reader_told(reader));
    if (status == 0 && !flows->was_cut)
        must(flows->scenario, flows->told >= flows->written);
    ended(flows, status);
}

static const struct job_writer_events writer_events = {writable, write_end};
static const struct job_reader_events reader_events = {data, read_end};

/* A write of all, then a read of all, and again. */
static void next(struct flows *flows)
{
    struct scenario *scenario = flows->scenario;
    if (flows->is_closing)
        return;
    if (flows->rounds == 2 * ROUNDS) {
        flows->is_closing = true;
        job_file_close(&flows->file, closed);
        return;
    }
    flows->is_stopped = false;
    flows->starts++;
    if (flows->rounds++ % 2 == 0) {
        flows->queued = 0;
        flows->is_writing = true;
        must_ok(scenario, job_writer_start(&flows->writer, &flows->file,
                                           &(struct job_writer_options){.limit_bytes = PIECE_MAX}, &writer_events));
        feed(flows);
        return;
    }
    flows->told = 0;
    flows->was_cut = flows->is_cut;
    struct job_reader_options options = {.depth = 1 + below(scenario, JOB_READER_DEPTH_MAX)};
    options.chunk_bytes = 500 + below(scenario, PIECE_MAX);
    must_ok(scenario, job_reader_start(&flows->reader, &flows->file, &options, &reader_events));
}

static void stop(struct flows *flows)
{
    flows->is_stopped = true;
    if (flows->is_writing)
        job_writer_stop(&flows->writer);
    else
        job_reader_stop(&flows->reader);
}

/* Somebody truncates the file, and writes it anew: a read is short, and one behind it is not. */
static void cut_or_mend(struct flows *flows)
{
    static uint8_t bytes[BYTES];
    int fd = job_file_descriptor(&flows->file);
    flows->is_cut = !flows->is_cut;
    flows->was_cut = true;
    if (flows->is_cut) {
        unsigned size = (unsigned)lseek(fd, 0, SEEK_END);
        must(flows->scenario, ftruncate(fd, below(flows->scenario, size + 1)) == 0);
        return;
    }
    for (uint64_t offset = 0; offset < BYTES; offset++)
        bytes[offset] = pattern_byte(1, offset);
    must(flows->scenario, pwrite(fd, bytes, BYTES, 0) == BYTES);
}

static bool act(struct scenario *scenario)
{
    struct flows *flows = scenario->state;
    if (flows->is_closed)
        return false;
    job_reader_resume(&flows->reader);
    if (flows->is_writing && !flows->is_fed && !flows->is_stopped && !flows->is_closing)
        feed(flows);
    if (!scenario->is_faulty || flows->is_closing)
        return true;
    if (flows->is_cut || (!flows->is_writing && below(scenario, 10) == 0)) {
        cut_or_mend(flows);
    } else if (below(scenario, 30) == 0) {
        stop(flows);
    } else if (below(scenario, 60) == 0) {
        flows->is_closing = true;
        job_file_close(&flows->file, closed);
    }
    return true;
}

void flows(struct scenario *scenario)
{
    static struct flows flows;
    flows = (struct flows){.scenario = scenario};
    flows.file.handle.data = flows.reader.data = flows.writer.data = &flows;
    int fd = memfd_create("conform", MFD_CLOEXEC);
    must(scenario, fd >= 0);
    must_ok(scenario, job_file_adopt(scenario->loop, &flows.file, fd));
    flows.file.job_flags |= FILE_RING_WRITES;
    next(&flows);
    run(scenario, &flows, act);
    must(scenario, flows.is_closed);
    tell(scenario, " starts=%u ends=%u cancelled=%u", flows.starts, flows.ends, flows.cancelled);
    tell(scenario, " told=%llu", (unsigned long long)flows.told);
}
