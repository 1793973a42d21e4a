/* news.c — what is posted to a topic: made once, shared by all who hear it, freed by the last one on whatever thread that is.
 *
 * Nothing in it changes after the post but the count of references, so readers need no lock. Views stay as they came: each reader that
 * wants to keep one slices it, which many threads may do at once.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "job/view.h"
#include "memory/arena.h"
#include "memory/owner.h"
#include "memory/region.h"
#include "message/topic.h"

static int check_item(const struct root *root, const struct job_item *item, struct charge *charge)
{
    if (item->kind == JOB_ITEM_REGION) {
        if (!item->region || region_root(item->region) != root)
            return -EINVAL;
        charge->region_bytes += job_region_size(item->region);
        return 0;
    }
    if (item->kind != JOB_ITEM_BUF || !item->buf || !*item->buf || (*item->buf)->slot->arena->root != root)
        return -EINVAL;
    owner_check(*item->buf);
    charge->bytes += job_buf_len(*item->buf);
    return job_buf_is_frozen(*item->buf) ? 0 : -EINVAL;
}

static bool stands_before(const struct job_post *post, unsigned index)
{
    for (unsigned i = 0; i < index; i++) {
        const struct job_item *one = &post->items[i], *other = &post->items[index];
        if (one->kind == JOB_ITEM_BUF && other->kind == JOB_ITEM_BUF && *one->buf == *other->buf)
            return true;
    }
    return false;
}

static int check(const struct root *root, const struct job_post *post, struct charge *charge)
{
    if (!post || (!post->bytes && post->len > 0) || (!post->items && post->count > 0) ||
        post->count > MESSAGE_ITEMS_MAX)
        return -EINVAL;
    if (post->len > TOTAL_BYTES_MAX)
        return -EMSGSIZE;
    *charge = (struct charge){.bytes = post->len};
    for (unsigned i = 0; i < post->count; i++) {
        int err = check_item(root, &post->items[i], charge);
        if (err < 0)
            return err;
        if (stands_before(post, i))
            return -EINVAL;
    }
    return 0;
}

static void *bytes_of(const struct job_news *news)
{
    return (void *)(uintptr_t)&news->items[news->count];
}

/* A reference to each region, a look at each view. */
static void note_items(struct job_news *news, const struct job_post *post)
{
    for (unsigned i = 0; i < post->count; i++) {
        const struct job_item *item = &post->items[i];
        if (item->kind == JOB_ITEM_BUF)
            news->items[i].view = *item->buf;
        else
            news->items[i].region = job_region_retain(item->region);
    }
}

int news_new(struct root *root, const struct job_post *post, struct job_news **out)
{
    struct charge charge;
    int err = check(root, post, &charge);
    if (err < 0)
        return err;
    bool is_big = post->len > NEWS_BYTES_INLINE;
    size_t size = sizeof(struct job_news) + post->count * sizeof(struct news_item) + (is_big ? 0 : post->len);
    struct job_news *news = alloc_zeroed(root, size);
    if (!news)
        return -ENOMEM;
    news->root = root;
    news->references = 1;
    news->count = post->count;
    news->charge = charge;
    news->len = post->len;
    size_t room;
    if (is_big && (err = job_buf_alloc(root->arena, post->len, NULL, &news->big)) < 0) {
        alloc_free(root, news);
        return err;
    }
    if (post->len > 0)
        memcpy(is_big ? job_buf_room(news->big, &room) : bytes_of(news), post->bytes, post->len);
    note_items(news, post);
    (void)fetch_add_relaxed(&root->news, 1);   /* ledger: orders nothing */
    *out = news;
    return 0;
}

void news_take_items(const struct job_post *post)
{
    for (unsigned i = 0; i < post->count; i++) {
        if (post->items[i].kind == JOB_ITEM_BUF)
            *post->items[i].buf = NULL;
    }
}

void news_abandon(struct job_news *news)
{
    for (unsigned i = 0; i < news->count; i++)
        news->items[i].view = NULL;
    news_release(news);
}

static bool is_last(struct job_news *news)
{
    return fetch_sub_acq_rel(&news->references, 1) == 1;   /* pairs with itself: the others' reads are over before the last one frees */
}

static void news_free(struct job_news *news)
{
    for (unsigned i = 0; i < news->count; i++) {
        job_buf_free(&news->items[i].view);
        job_region_release(&news->items[i].region);
    }
    job_buf_free(&news->big);
    (void)fetch_sub_relaxed(&news->root->news, 1);   /* ledger */
    alloc_free(news->root, news);
}

void news_release(struct job_news *news)
{
    if (is_last(news))
        news_free(news);
}

void news_drop(struct job_news *news, struct job_news **dead)
{
    if (!is_last(news))
        return;
    news->next = *dead;
    *dead = news;
}

void news_free_dead(struct job_news *dead)
{
    while (dead) {
        struct job_news *news = dead;
        dead = news->next;
        news_free(news);
    }
}

const void *job_news_bytes(const struct job_news *news, size_t *len)
{
    if (len)
        *len = news ? news->len : 0;
    if (!news)
        return NULL;
    return news->big ? job_buf_data(news->big) : bytes_of(news);
}

unsigned job_news_count(const struct job_news *news)
{
    return news ? news->count : 0;
}

const struct job_buf *job_news_view(const struct job_news *news, unsigned index)
{
    return index < job_news_count(news) ? news->items[index].view : NULL;
}

struct job_region *job_news_region(const struct job_news *news, unsigned index)
{
    return index < job_news_count(news) ? news->items[index].region : NULL;
}

const struct job_news *job_news_retain(const struct job_news *news)
{
    if (news)
        news_retain((struct job_news *)(uintptr_t)news);   /* only the count changes */
    return news;
}

void job_news_release(const struct job_news **pointer)
{
    const struct job_news *news = pointer ? *pointer : NULL;
    if (!news)
        return;
    *pointer = NULL;
    if (root_is_forked(news->root))   /* the bufs in it are not mapped here */
        return;
    news_release((struct job_news *)(uintptr_t)news);
}
