/* hash_tree_single.c — the plain loop, one process at a time. */
#include "hash_tree.h"

int main(int argc, char **argv)
{
    return hash_bench(argc, argv, "find %s -type f -print0 | xargs -0 \"$SELF\" --files");
}
