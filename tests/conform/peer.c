/* peer.c — the other end of a connection: a plain non-blocking socket, and the pattern that both ends know. */
#include "conform/conform.h"

enum { PEER_CHUNK = 20000 };

void peer_open(struct peer *peer, int fd, uint64_t key, uint64_t to_send)
{
    *peer = (struct peer){.fd = fd, .key = key, .key_received = key, .to_send = to_send};
    ck_assert_int_eq(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
}

static void peer_send(struct scenario *scenario, struct peer *peer)
{
    uint8_t bytes[PEER_CHUNK];
    uint64_t left = peer->to_send - peer->sent;
    size_t most = below(scenario, 3) ? PEER_CHUNK : 40;
    size_t len = 1 + below(scenario, (unsigned)most);
    if (len > left)
        len = (size_t)left;
    for (size_t i = 0; i < len; i++)
        bytes[i] = pattern_byte(peer->key, peer->sent + i);
    ssize_t n = send(peer->fd, bytes, len, MSG_NOSIGNAL);
    if (n > 0)
        peer->sent += (uint64_t)n;
    else if (errno != EAGAIN)
        peer->is_broken = true;
}

static void peer_receive(struct scenario *scenario, struct peer *peer)
{
    uint8_t bytes[PEER_CHUNK];
    ssize_t n = recv(peer->fd, bytes, 1 + below(scenario, PEER_CHUNK), 0);
    for (ssize_t i = 0; i < n; i++)
        must(scenario, bytes[i] == pattern_byte(peer->key_received, peer->received + (uint64_t)i));
    if (n > 0)
        peer->received += (uint64_t)n;
    else if (n == 0)
        peer->has_end = true;
    else if (errno != EAGAIN)
        peer->is_broken = true;
}

void peer_act(struct scenario *scenario, struct peer *peer)
{
    if (peer->fd < 0 || peer->is_broken)
        return;
    for (unsigned i = below(scenario, 4); i > 0 && peer->sent < peer->to_send && !peer->is_broken; i--)
        peer_send(scenario, peer);
    if (peer->sent == peer->to_send && !peer->is_shut && !peer->keeps_open) {
        peer->is_shut = true;
        (void)shutdown(peer->fd, SHUT_WR);   /* ENOTCONN: we were closed */
    }
    for (unsigned i = below(scenario, 4); i > 0 && !peer->has_end && !peer->is_broken; i--)
        peer_receive(scenario, peer);
}

bool peer_is_done(const struct peer *peer)
{
    return peer->fd < 0 || peer->is_broken || (peer->has_end && peer->is_shut);
}

void peer_close(struct peer *peer)
{
    if (peer->fd >= 0)
        close(peer->fd);
    peer->fd = -1;
}

void verify(struct scenario *scenario, const struct job_buf *buf, uint64_t key, uint64_t *offset)
{
    for (const struct job_buf *segment = buf; segment; segment = job_buf_next(segment)) {
        const uint8_t *bytes = job_buf_data(segment);
        for (size_t i = 0; i < job_buf_segment_len(segment); i++)
            must(scenario, bytes[i] == pattern_byte(key, *offset + i));
        *offset += job_buf_segment_len(segment);
    }
}

struct job_buf *make(struct scenario *scenario, uint64_t key, uint64_t *offset, size_t len)
{
    struct job_buf *buf = NULL;
    size_t room;
    must_ok(scenario, job_buf_alloc(job_runtime_arena(scenario->runtime), len, NULL, &buf));
    uint8_t *bytes = job_buf_room(buf, &room);
    must(scenario, room >= len);
    for (size_t i = 0; i < len; i++)
        bytes[i] = pattern_byte(key, *offset + i);
    must_ok(scenario, job_buf_extend(buf, len));
    *offset += len;
    return buf;
}
