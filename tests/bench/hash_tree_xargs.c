/* hash_tree_xargs.c — the plain loop, two processes at a time. Large files: one each; small ones: many, so that both are busy. */
#include "hash_tree.h"

int main(int argc, char **argv)
{
    bool is_large = argc > 2 && strcmp(argv[2], "large") == 0;
    return hash_bench(argc, argv, is_large ? "find %s -type f -print0 | xargs -0 -P2 -n1 \"$SELF\" --files"
                                           : "find %s -type f -print0 | xargs -0 -P2 -n500 \"$SELF\" --files");
}
