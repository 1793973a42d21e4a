/* hash_tree_sha256sum.c — what is installed everywhere. */
#include "hash_tree.h"

int main(int argc, char **argv)
{
    return hash_bench(argc, argv, "find %s -type f -print0 | xargs -0 sha256sum");
}
