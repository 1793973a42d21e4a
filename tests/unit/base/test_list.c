/* test_list.c — walks over a list: in order, each node once, also when the body takes nodes out. */
#include "base/list.h"
#include "support/fixture.h"

#include <string.h>

enum { NODES = 4 };

struct letter {
    char text;
    struct list node;
};

static void fill(struct list *head, struct letter *letters)
{
    list_init(head);
    for (unsigned i = 0; i < NODES; i++) {
        letters[i].text = (char)('a' + i);
        list_init(&letters[i].node);
        list_push_back(head, &letters[i].node);
    }
}

static void read_letters(const struct list *head, char *text)
{
    list_each(node, head)
        *text++ = container_of(node, struct letter, node)->text;
    *text = 0;
}

START_TEST(a_walk_meets_each_node_once_in_order)
{
    struct list head;
    struct letter letters[NODES];
    char text[NODES + 1];

    fill(&head, letters);

    read_letters(&head, text);
    ck_assert_str_eq(text, "abcd");
    ck_assert_uint_eq(list_count(&head), NODES);
}
END_TEST

START_TEST(a_walk_over_an_empty_list_meets_none)
{
    struct list head;
    list_init(&head);

    list_each(node, &head)
        ck_abort_msg("a node");
    list_each_safe(node, &head)
        ck_abort_msg("a node");

    ck_assert_uint_eq(list_count(&head), 0);
}
END_TEST

START_TEST(the_body_of_a_safe_walk_takes_out_any_choice_of_nodes)
{
    for (unsigned choice = 0; choice < 1U << NODES; choice++) {
        struct list head;
        struct letter letters[NODES];
        char text[NODES + 1], met[NODES + 1], *end = met;
        fill(&head, letters);

        list_each_safe(node, &head) {
            struct letter *letter = container_of(node, struct letter, node);
            *end++ = letter->text;
            if (choice >> (letter->text - 'a') & 1) {
                list_remove(node);
                memset(letter, 0xFF, sizeof *letter);   /* its memory is somebody else's */
            }
        }
        *end = 0;

        ck_assert_str_eq(met, "abcd");
        read_letters(&head, text);
        for (unsigned i = 0; i < NODES; i++)
            ck_assert_int_eq(strchr(text, (int)('a' + i)) == NULL, (int)(choice >> i & 1));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("list");
    TCase *tcase = tcase_create("list");
    tcase_add_test(tcase, a_walk_meets_each_node_once_in_order);
    tcase_add_test(tcase, a_walk_over_an_empty_list_meets_none);
    tcase_add_test(tcase, the_body_of_a_safe_walk_takes_out_any_choice_of_nodes);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
