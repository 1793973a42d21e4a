/* gzserve.c — a fuzz target: any bytes at all, from a client of gzserve, in pieces and at once.
 *
 * Whatever the bytes are: what comes back is a row of whole answers, the same statuses however the bytes were cut, and afterwards nothing
 * of the connection is left. The first byte chooses the cut; the others are sent. The files that are served are the corpus.
 */
#include "examples/gzserve_drive.h"

enum { LEN_MAX = 16384, STATUSES_MAX = 1 << 16, CPU_MAX = 2000 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static struct drive drive;

static void open_once(void)
{
    static const struct service_options options = {
        .root = FUZZ_ROOT,
        .workers = JOB_POOL_INLINE,
        .body_bytes_max = 8192,
        .cpu_max = CPU_MAX,
    };
    if (!drive.service.loop)
        drive_open(&drive, &options);
}

static void fail(const char *what)
{
    fprintf(stderr, "%s:\n%.*s\n", what, (int)drive.out_len, drive.out);
    abort();
}

/* The statuses of the answers but 100, as bytes of their own. Answers to HEAD have no body, which their heads do not tell: a body is
 * left out when what follows looks like an answer. */
static size_t statuses_of(char *statuses)
{
    const char *at = drive.out, *end = drive.out + drive.out_len;
    size_t count = 0;
    while (at < end) {
        const char *body = memmem(at, (size_t)(end - at), "\r\n\r\n", 4);
        int status = 0;
        if (!body || sscanf(at, "HTTP/1.1 %d ", &status) != 1)
            fail("this is not an answer");
        const char *length = memmem(at, (size_t)(body - at), "\r\nContent-Length: ", 18);
        size_t body_len = length ? strtoul(length + 18, NULL, 10) : 0;
        at = body + 4;
        if (at + 5 > end || memcmp(at, "HTTP/", 5) != 0)
            at = at < end ? at + body_len : at;
        if (at > end)
            fail("an answer is not whole");
        if (status != 100)
            statuses[count++] = (char)(status - 300);
    }
    return count;
}

static size_t play(const uint8_t *bytes, size_t len, size_t piece_len, char *statuses)
{
    drive.piece_len = piece_len;
    drive_run(&drive, (const char *)bytes, len);
    struct job_counts counts;
    job_runtime_counts(drive.service.runtime, &counts);
    if (drive.service.conn_count != 0 || drive.service.body_bytes != 0 || counts.tasks != 0)
        fail("something is left of the connection");
    return statuses_of(statuses);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static char whole[STATUSES_MAX], cut[STATUSES_MAX];
    open_once();
    if (len < 2 || len > LEN_MAX)
        return 0;
    size_t whole_count = play(bytes + 1, len - 1, 0, whole);
    size_t cut_count = play(bytes + 1, len - 1, 1 + bytes[0] % 31, cut);
    if (whole_count != cut_count || memcmp(whole, cut, whole_count) != 0)
        fail("cut in pieces, the same bytes are answered otherwise");
    return 0;
}
