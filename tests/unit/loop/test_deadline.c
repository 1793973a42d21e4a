/* test_deadline.c — deadlines against a model: an array that is searched. */
#include "loop/loop.h"
#include "support/fixture.h"

enum { NODES = 40, STEPS = 20000 };

struct node {
    struct deadline deadline;
    uint64_t at_ns;              /* the model; 0: not set */
    unsigned passes;
};

static struct job_loop loop;
static struct node nodes[NODES];
static struct random dice;

static uint64_t model_next(void)
{
    uint64_t next = UINT64_MAX;
    for (int i = 0; i < NODES; i++)
        next = nodes[i].at_ns && nodes[i].at_ns < next ? nodes[i].at_ns : next;
    return next;
}

static void passed(struct deadline *deadline)
{
    struct node *node = container_of(deadline, struct node, deadline);
    ck_assert_uint_ne(node->at_ns, 0);
    ck_assert_uint_le(node->at_ns, loop.now_ns);        /* never early */
    ck_assert_uint_eq(node->at_ns, model_next());       /* in order */
    ck_assert_uint_eq(deadline->at_ns, 0);
    node->at_ns = 0;
    node->passes++;
    if (random_below(&dice, 3) == 0) {
        node->at_ns = loop.now_ns + 1 + random_below(&dice, 50);
        deadline_set(&loop, deadline, node->at_ns);
    }
}

static void setup(void)
{
    memset(&loop, 0, sizeof loop);
    memset(nodes, 0, sizeof nodes);
    loop.now_ns = 1000;
    wheel_init(&loop.deadlines, loop.now_ns);
    for (int i = 0; i < NODES; i++)
        nodes[i].deadline.passed = passed;
}

static void set(struct node *node, uint64_t at_ns)
{
    node->at_ns = at_ns;
    deadline_set(&loop, &node->deadline, at_ns);
}

START_TEST(each_passes_once_in_order_and_never_early_whatever_is_moved_and_cleared)
{
    dice = fixture_random("deadlines");
    for (int step = 0; step < STEPS; step++) {
        struct node *node = &nodes[random_below(&dice, NODES)];
        switch (random_below(&dice, 4)) {
        case 0:
            node->at_ns = 0;
            deadline_clear(&loop, &node->deadline);
            break;
        case 1:
            loop.now_ns += random_below(&dice, 20);
            deadlines_fire(&loop);
            for (unsigned turns = 0; model_next() <= loop.now_ns && turns < NODES; turns++)   /* a JOB_SMALL turn does a few */
                deadlines_fire(&loop);
            ck_assert_uint_gt(model_next(), loop.now_ns);
            break;
        default: set(node, loop.now_ns + random_below(&dice, 200)); break;
        }
        ck_assert_uint_eq(deadlines_next_ns(&loop), model_next());
    }
    ck_assert_uint_gt(nodes[0].passes, 10);
    for (int i = 0; i < NODES; i++)
        deadline_clear(&loop, &nodes[i].deadline);
    ck_assert_uint_eq(deadlines_next_ns(&loop), UINT64_MAX);
}
END_TEST

static void sets_itself_at_once(struct deadline *deadline)
{
    struct node *node = container_of(deadline, struct node, deadline);
    node->passes++;
    deadline_set(&loop, deadline, loop.now_ns);
}

START_TEST(one_that_is_always_due_comes_once_a_round)
{
    nodes[0].deadline.passed = sets_itself_at_once;
    set(&nodes[0], loop.now_ns);

    deadlines_fire(&loop);

    ck_assert_uint_eq(nodes[0].passes, 1);
    ck_assert_uint_eq(deadlines_next_ns(&loop), loop.now_ns + 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("deadline");
    TCase *tcase = tcase_create("deadline");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, each_passes_once_in_order_and_never_early_whatever_is_moved_and_cleared);
    tcase_add_test(tcase, one_that_is_always_due_comes_once_a_round);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
