/* hash_tree_job.c — jobsum: loop, pool, and a window of files. */
#include "hash_tree.h"

int main(int argc, char **argv)
{
    return hash_bench(argc, argv, JOBSUM " %s");
}
