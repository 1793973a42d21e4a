/* gzserve_drive.h — gzserve in this process, driven through a socket pair: bytes in, cut as one likes, bytes out.
 *
 * The loop runs in the test's own thread. A call that puts itself off to the next turn plays the client: it sends the next piece when
 * the service has taken the one before, and reads all that comes. So the service sees exactly these cuts, and nothing depends on time.
 */
#ifndef TESTS_EXAMPLES_GZSERVE_DRIVE_H
#define TESTS_EXAMPLES_GZSERVE_DRIVE_H

#include "conn.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct drive {
    struct service service;
    struct job_call turn;
    int fd;
    const char *bytes;
    size_t len, sent, piece_len;   /* 0: all at once */
    size_t first_len;              /* else the first piece is so long, and the second is the rest */
    const char *awaited;           /* if not NULL: in the answers, before the second piece is sent */
    bool stays_open;               /* the client never says that this was all */
    bool has_shut;
    char *out;                     /* what was answered, with a NUL behind it */
    size_t out_len, out_room;
};

static inline void drive_fail(const char *what, int err)
{
    fprintf(stderr, "gzserve_drive: %s: %s\n", what, job_strerror(err));
    abort();
}

static inline void drive_open(struct drive *drive, const struct service_options *options)
{
    const char *what = "";
    memset(drive, 0, sizeof *drive);
    int err = service_open(&drive->service, options, &what);
    if (err < 0)
        drive_fail(what, err);
    job_handle_unref(&drive->service.listener.handle);   /* the loop ends with the connection */
}

static inline void drive_close(struct drive *drive)
{
    int err = service_close(&drive->service);
    if (err < 0)
        drive_fail("close", err);
    free(drive->out);
}

static inline void drive_read(struct drive *drive)
{
    for (;;) {
        if (drive->out_room - drive->out_len < 65536) {
            drive->out_room = drive->out_room * 2 + 131072;
            drive->out = realloc(drive->out, drive->out_room);
        }
        ssize_t n = recv(drive->fd, drive->out + drive->out_len, drive->out_room - drive->out_len - 1, MSG_DONTWAIT);
        if (n <= 0)
            break;
        drive->out_len += (size_t)n;
    }
    drive->out[drive->out_len] = '\0';
}

static inline size_t drive_piece(const struct drive *drive)
{
    size_t left = drive->len - drive->sent;
    size_t piece = drive->piece_len > 0 ? drive->piece_len : left;
    if (drive->first_len > 0 && drive->sent == 0)
        piece = drive->first_len;
    return piece < left ? piece : left;
}

static inline void drive_send(struct drive *drive)
{
    int unread = 0;
    (void)ioctl(drive->fd, SIOCOUTQ, &unread);
    if (unread > 0 || (drive->awaited && drive->sent > 0 && !(drive->out && strstr(drive->out, drive->awaited))))
        return;
    if (drive->sent < drive->len) {
        ssize_t n = send(drive->fd, drive->bytes + drive->sent, drive_piece(drive), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0)
            drive->sent += (size_t)n;
        else if (errno != EAGAIN)
            drive->sent = drive->len;   /* it does not listen any more */
    } else if (!drive->stays_open && !drive->has_shut) {
        drive->has_shut = true;
        shutdown(drive->fd, SHUT_WR);
    }
}

static inline void drive_turn(struct job_call *call)
{
    struct drive *drive = job_container_of(call, struct drive, turn);
    drive_send(drive);
    drive_read(drive);
    if (drive->service.conn_count > 0)
        (void)job_loop_defer(drive->service.loop, call);
}

/* Plays one connection to its end; the answers are in drive->out. */
static inline void drive_run(struct drive *drive, const char *bytes, size_t len)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        drive_fail("socketpair", -errno);
    drive->fd = ends[0];
    drive->bytes = bytes;
    drive->len = len;
    drive->sent = drive->out_len = 0;
    drive->has_shut = false;
    int err = conn_adopt(&drive->service, ends[1]);
    if (err < 0)
        drive_fail("adopt", err);
    drive->turn = (struct job_call){.run = drive_turn};
    err = job_loop_call(drive->service.loop, &drive->turn);
    if (err == 0)
        err = job_loop_run(drive->service.loop);
    if (err < 0)
        drive_fail("run", err);
    drive_read(drive);
    close(drive->fd);
}

#endif
