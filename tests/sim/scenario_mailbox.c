/* scenario_mailbox.c — posters against an owner that sleeps, wakes by itself and goes: each mail once and in order, nobody sleeps beside
 * mail, and nobody touches a mailbox or a mail that is gone.
 */
#include <string.h>

#include "sim/world.h"

enum { POSTERS_MAX = 3, MAILS_MAX = 3, GONE = 0x5a };

struct letter {
    struct job_mail mail;
    unsigned poster, number;
};

static struct bell bell;
static struct letter letters[POSTERS_MAX][MAILS_MAX];
static unsigned posters, mails, received, next_number[POSTERS_MAX];

static void deliver(struct job_mail *mail)
{
    struct letter *letter = container_of(mail, struct letter, mail);
    assert(letter->number == next_number[letter->poster]);
    next_number[letter->poster]++;
    received++;
    memset(letter, GONE, sizeof *letter);   /* its owner may free it now */
}

static void owner(void *arg)
{
    (void)arg;
    while (received < posters * mails) {
        struct job_mail *mail = bell_receive(&bell);
        while (mail) {
            struct job_mail *next = mail->job_next;
            mail->job_deliver(mail);
            mail = next;
        }
    }
    bell_leave(&bell);
    memset(&bell.mailbox, GONE, sizeof bell.mailbox);
}

static void poster(void *arg)
{
    struct letter *mine = arg;
    for (unsigned i = 0; i < mails; i++)
        mailbox_post(&bell.mailbox, &mine[i].mail);
}

static void chain_poster(void *arg)
{
    struct letter *mine = arg;
    for (unsigned i = 0; i < mails; i++)
        mine[i].mail.job_next = i + 1 < mails ? &mine[i + 1].mail : NULL;
    mailbox_post_chain(&bell.mailbox, &mine[0].mail, &mine[mails - 1].mail);
}

static void set_up(unsigned poster_count, unsigned mail_count, bool has_chain)
{
    posters = poster_count;
    mails = mail_count;
    received = 0;
    bell_init(&bell);
    sim_label(&bell.mailbox, sizeof bell.mailbox, "mailbox");
    sim_spawn(owner, NULL);
    for (unsigned i = 0; i < posters; i++) {
        next_number[i] = 0;
        for (unsigned j = 0; j < mails; j++)
            letters[i][j] = (struct letter){.mail.job_deliver = deliver, .poster = i, .number = j};
        sim_spawn(has_chain && i == 0 ? chain_poster : poster, letters[i]);
    }
}

static void two_posters(void)
{
    set_up(2, 2, false);
}

static void with_a_chain(void)
{
    set_up(3, 2, true);
}

static void one_poster(void)
{
    set_up(1, 2, false);
    bell.false_alarms = 0;
}

static void check(void)
{
    assert(received == posters * mails);
    const unsigned char *bytes = (const unsigned char *)&bell.mailbox;
    for (size_t i = 0; i < sizeof bell.mailbox; i++)
        assert(bytes[i] == GONE);
}

static const char *const marks[] = {"mailbox_poster_wakes", "mailbox_owner_sleeps", "mailbox_wake_owed", NULL};
static const char *const marks_small[] = {"mailbox_poster_wakes", "mailbox_owner_sleeps", NULL};

int main(int argc, char **argv)
{
    static const struct sim_scenario scenarios[] = {
        {"no_mail_is_lost_between_two_posters_and_a_sleeper", two_posters, check, 30, 0, marks},
        {"chains_and_single_mails_keep_their_order", with_a_chain, check, 40, 0, marks},
        {"no_mail_is_lost_in_any_small_schedule", one_poster, check, 0, 5, marks_small},
    };
    return sim_main(argc, argv, scenarios, ARRAY_COUNT(scenarios));
}
