/* message.c — what a message carries: checked as a whole, then moved; taken out by who receives; dropped if nobody does.
 *
 * The poster's pointers become NULL just before the message is in the queue, and only a queue that is closed by then makes it put them
 * back: behind that step they may lie in memory that the receiver has freed. An end in a message could reach a queue that is its own,
 * directly or through ends that travel in each other's queues: nobody could ever take such a ring out. Therefore each box knows the box in
 * which its owner travels, all of them change under one lock of the runtime, and an end is refused when its own box is found on the way up
 * from the box that it would go into.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bits.h"
#include "base/sys.h"
#include "io/connection.h"
#include "memory/arena.h"
#include "memory/owner.h"
#include "memory/region.h"
#include "message/box.h"
#include "message/charge.h"
#include "message/end.h"

static int check_item(const struct job_item *item, const struct box *to, const struct box *own, struct charge *charge)
{
    switch (item->kind) {
    case JOB_ITEM_BUF:
        if (!item->buf || !*item->buf || (*item->buf)->slot->arena->root != to->root)
            return -EINVAL;
        owner_check(*item->buf);
        charge->bytes += job_buf_len(*item->buf);
        return 0;
    case JOB_ITEM_REGION:
        if (!item->region || region_root(item->region) != to->root)
            return -EINVAL;
        charge->region_bytes += job_region_size(item->region);
        return 0;
    case JOB_ITEM_END:
        if (!item->end || !*item->end || (*item->end)->root != to->root || (*item->end)->in == own)
            return -EINVAL;
        return 0;
    case JOB_ITEM_SENDER:
        if (!item->sender || !*item->sender || (*item->sender)->root != to->root)
            return -EINVAL;
        return (*item->sender)->is_waiting ? -EBUSY : 0;
    case JOB_ITEM_FD:
        if (!item->fd)
            return -EINVAL;
        return fcntl(*item->fd, F_GETFD) < 0 ? -EBADF : 0;
    case JOB_ITEM_CONNECTION:
        if (!item->connection || !*item->connection || (*item->connection)->root != to->root)
            return -EINVAL;
        charge->bytes += job_connection_waiting(*item->connection);
        return 0;
    case JOB_ITEM_NONE:
        break;
    }
    return -EINVAL;
}

/* The thing itself, of which a message may have one; a region may stand there as often as one likes. */
static struct item thing_of(const struct job_item *item)
{
    struct item thing = {.kind = item->kind, .fd = -1};
    switch (item->kind) {
    case JOB_ITEM_BUF:
        thing.what = *item->buf;
        break;
    case JOB_ITEM_REGION:
        thing.what = item->region;
        break;
    case JOB_ITEM_END:
        thing.what = *item->end;
        break;
    case JOB_ITEM_SENDER:
        thing.what = *item->sender;
        break;
    case JOB_ITEM_FD:
        thing.fd = *item->fd;
        break;
    case JOB_ITEM_CONNECTION:
        thing.what = *item->connection;
        break;
    case JOB_ITEM_NONE:
        break;
    }
    return thing;
}

static bool stands_before(const struct job_post *post, unsigned index)
{
    struct item thing = thing_of(&post->items[index]);
    if (thing.kind == JOB_ITEM_REGION)
        return false;
    for (unsigned i = 0; i < index; i++) {
        struct item other = thing_of(&post->items[i]);
        if (other.kind == thing.kind && other.what == thing.what && other.fd == thing.fd)
            return true;
    }
    return false;
}

int post_check(const struct job_post *post, const struct box *to, const struct box *own, uint64_t *room)
{
    if (!post || (!post->bytes && post->len > 0) || (!post->items && post->count > 0) ||
        post->count > MESSAGE_ITEMS_MAX)
        return -EINVAL;
    if (post->len > TOTAL_BYTES_MAX)
        return -EMSGSIZE;
    struct charge charge = {.bytes = post->len};
    for (unsigned i = 0; i < post->count; i++) {
        int err = check_item(&post->items[i], to, own, &charge);
        if (err < 0)
            return err;
        if (stands_before(post, i))
            return -EINVAL;
    }
    *room = charge_within(&charge, to->inbox.limit_bytes);
    return 0;
}

/* Would the owner of `box` travel inside itself? Under root->travel. */
static bool is_inside(const struct box *box, const struct box *to)
{
    for (; to; to = to->carrier) {
        if (to == box)
            return true;
    }
    return false;
}

static void set_carriers(struct job_message *message, struct box *carrier)
{
    for (unsigned i = 0; i < message->count; i++) {
        if (message->items[i].kind == JOB_ITEM_END)
            ((struct job_end *)message->items[i].what)->in->carrier = carrier;
    }
}

static bool has_ends(const struct job_message *message)
{
    for (unsigned i = 0; i < message->count; i++) {
        if (message->items[i].kind == JOB_ITEM_END)
            return true;
    }
    return false;
}

static int begin_travel(struct job_message *message)
{
    struct root *root = message->box->root;
    int err = 0;
    (void)pthread_mutex_lock(&root->travel);
    for (unsigned i = 0; i < message->count; i++) {
        if (message->items[i].kind == JOB_ITEM_END &&
            is_inside(((struct job_end *)message->items[i].what)->in, message->box))
            err = -EDEADLK;
    }
    if (err == 0)
        set_carriers(message, message->box);
    (void)pthread_mutex_unlock(&root->travel);
    return err;
}

void message_arrived(struct job_message *message)
{
    if (message->count == 0 || !has_ends(message))
        return;
    struct root *root = message->box->root;
    (void)pthread_mutex_lock(&root->travel);
    set_carriers(message, NULL);
    (void)pthread_mutex_unlock(&root->travel);
}

static void free_outside(struct job_message *message)
{
    if (message->big)
        job_buf_free(&message->big);
    if (message->count > MESSAGE_ITEMS_INLINE)
        alloc_free(message->box->root, message->items);
    message->items = NULL;
    message->count = 0;
}

/* Room for bytes and items: those that do not fit live elsewhere. */
static int make_room(struct job_message *message, const struct job_post *post, bool is_stamped)
{
    size_t inside = post->count > 0 && post->count <= MESSAGE_ITEMS_INLINE ? post->count * sizeof(struct item) : 0;
    if (is_stamped)
        inside += sizeof(struct stamp);
    message->big = NULL;
    message->items = (struct item *)(void *)(message_room(message) + MESSAGE_ROOM - inside);
    message->count = (uint16_t)post->count;
    message->len = (uint32_t)post->len;
    if (post->count > MESSAGE_ITEMS_INLINE &&
        !(message->items = alloc_zeroed(message->box->root, post->count * sizeof(struct item))))
        return -ENOMEM;
    if (post->len <= MESSAGE_ROOM - inside)
        return 0;
    int err = job_buf_alloc(message->box->arena, post->len, NULL, &message->big);
    if (err < 0)
        free_outside(message);
    return err;
}

int message_fill(struct job_message *message, const struct job_post *post, const struct stamp *stamp)
{
    message->kind = (uint8_t)(stamp ? stamp->kind : MESSAGE_PLAIN);
    message->current = NULL;
    int err = make_room(message, post, stamp);
    if (err < 0)
        return err;
    if (stamp)
        *message_stamp(message) = *stamp;
    size_t room;
    if (post->len > 0)
        memcpy(message->big ? job_buf_room(message->big, &room) : message_room(message), post->bytes, post->len);
    for (unsigned i = 0; i < post->count; i++)
        message->items[i] = thing_of(&post->items[i]);
    if (has_ends(message) && (err = begin_travel(message)) < 0) {
        free_outside(message);
        return err;
    }
    for (unsigned i = 0; i < post->count; i++) {
        if (message->items[i].kind == JOB_ITEM_REGION)
            (void)job_region_retain(message->items[i].what);
        if (message->items[i].kind == JOB_ITEM_BUF)
            owner_pass(message->items[i].what, BUF_CODE, BUF_MESSAGE);
    }
    return 0;
}

void message_unfill(struct job_message *message)
{
    message_arrived(message);
    for (unsigned i = 0; i < message->count; i++) {
        struct job_region *region = message->items[i].what;
        if (message->items[i].kind == JOB_ITEM_REGION)
            job_region_release(&region);
        if (message->items[i].kind == JOB_ITEM_BUF)
            owner_pass(message->items[i].what, BUF_MESSAGE, BUF_CODE);
    }
    free_outside(message);
}

/* What the poster's pointers hold: nothing, or what is in `message`. */
static void set_pointers(const struct job_post *post, const struct job_message *message)
{
    for (unsigned i = 0; i < post->count; i++) {
        const struct job_item *to = &post->items[i];
        void *what = message ? message->items[i].what : NULL;
        switch (to->kind) {
        case JOB_ITEM_BUF:
            *to->buf = what;
            break;
        case JOB_ITEM_END:
            *to->end = what;
            break;
        case JOB_ITEM_SENDER:
            *to->sender = what;
            break;
        case JOB_ITEM_FD:
            *to->fd = message ? message->items[i].fd : -1;
            break;
        case JOB_ITEM_CONNECTION:
            *to->connection = what;
            break;
        case JOB_ITEM_REGION:
        case JOB_ITEM_NONE:
            break;
        }
    }
}

void post_clear(const struct job_post *post)
{
    set_pointers(post, NULL);
}

void post_restore(const struct job_post *post, const struct job_message *message)
{
    set_pointers(post, message);
}

static void drop_item(struct item *item, struct job_end **ends)
{
    struct job_buf *buf = item->what;
    struct job_region *region = item->what;
    struct job_sender *sender = item->what;
    struct job_end *end = item->what;
    struct job_connection *connection = item->what;
    switch (item->kind) {
    case JOB_ITEM_BUF:
        owner_pass(buf, BUF_MESSAGE, BUF_CODE);
        job_buf_free(&buf);
        break;
    case JOB_ITEM_REGION:
        job_region_release(&region);
        break;
    case JOB_ITEM_END:
        end->next = *ends;
        *ends = end;
        break;
    case JOB_ITEM_SENDER:
        job_sender_close(&sender);
        break;
    case JOB_ITEM_FD:
        (void)sys_close(item->fd);   /* nobody is left who could be told */
        break;
    case JOB_ITEM_CONNECTION:
        job_connection_close(&connection);
        break;
    case JOB_ITEM_NONE:
        break;
    }
    item->kind = JOB_ITEM_NONE;
}

void message_clear(struct job_message *message, struct job_end **ends)
{
    for (unsigned i = 0; i < message->count; i++)
        drop_item(&message->items[i], ends);
    if (message->big || message->count > 0)
        free_outside(message);
}

const void *job_message_bytes(const struct job_message *message, size_t *len)
{
    if (len)
        *len = message ? message->len : 0;
    if (!message)
        return NULL;
    return message->big ? job_buf_data(message->big) : message_room(message);
}

unsigned job_message_count(const struct job_message *message)
{
    return message ? message->count : 0;
}

enum job_item_kind job_message_kind(const struct job_message *message, unsigned index)
{
    return message && index < message->count ? message->items[index].kind : JOB_ITEM_NONE;
}

/* The item is out; NULL: it is of another kind, or out already. */
static void *take(struct job_message *message, unsigned index, enum job_item_kind kind)
{
    if (job_message_kind(message, index) != kind)
        return NULL;
    message->items[index].kind = JOB_ITEM_NONE;
    return message->items[index].what;
}

struct job_buf *job_message_take_buf(struct job_message *message, unsigned index)
{
    struct job_buf *buf = take(message, index, JOB_ITEM_BUF);
    owner_pass(buf, BUF_MESSAGE, BUF_CODE);
    return buf;
}

struct job_region *job_message_take_region(struct job_message *message, unsigned index)
{
    return take(message, index, JOB_ITEM_REGION);
}

struct job_end *job_message_take_end(struct job_message *message, unsigned index)
{
    return take(message, index, JOB_ITEM_END);
}

struct job_sender *job_message_take_sender(struct job_message *message, unsigned index)
{
    return take(message, index, JOB_ITEM_SENDER);
}

struct job_connection *job_message_take_connection(struct job_message *message, unsigned index)
{
    return take(message, index, JOB_ITEM_CONNECTION);
}

int job_message_take_fd(struct job_message *message, unsigned index)
{
    if (job_message_kind(message, index) != JOB_ITEM_FD)
        return -1;
    message->items[index].kind = JOB_ITEM_NONE;
    return message->items[index].fd;
}
