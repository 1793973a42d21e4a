/* replay.c — runs a fuzz target without libFuzzer: each file of the corpus, then so many mutations of them.
 *
 *     TARGET FOLDER [COUNT]      SEED= repeats a run
 *
 * For every compiler and in every suite. It is no search, only a check that what was found stays mended.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LEN_MAX = 16384, FILES_MAX = 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

struct input {
    uint8_t *bytes;
    size_t len;
};

static struct input inputs[FILES_MAX];
static size_t input_count;
static uint64_t state;

static uint64_t next_random(uint64_t bound)
{
    uint64_t z = (state += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return (z ^ (z >> 31)) % bound;
}

static void load(const char *folder)
{
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir)) != NULL && input_count < FILES_MAX;) {
        char path[4096];
        struct input *input = &inputs[input_count];
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (!file)
            continue;
        input->bytes = malloc(LEN_MAX);
        input->len = fread(input->bytes, 1, LEN_MAX, file);
        input_count += input->len > 0;
        fclose(file);
    }
    if (dir)
        closedir(dir);
}

/* A part of one behind a part of another, and some bytes changed, left out or doubled. */
static size_t mutate(uint8_t *out)
{
    const struct input *first = &inputs[next_random(input_count)], *second = &inputs[next_random(input_count)];
    size_t head = 1 + next_random(first->len), skip = next_random(second->len), len = head;
    memcpy(out, first->bytes, head);
    for (size_t i = skip; i < second->len && len < LEN_MAX; i++)
        out[len++] = second->bytes[i];
    for (uint64_t changes = next_random(4); changes > 0 && len > 1; changes--) {
        size_t at = next_random(len);
        switch (next_random(3)) {
        case 0: out[at] = (uint8_t)next_random(256); break;
        case 1: memmove(out + at, out + at + 1, --len - at); break;
        default: out[at] = out[next_random(len)]; break;
        }
    }
    return len;
}

int main(int argc, char **argv)
{
    static uint8_t bytes[LEN_MAX];
    const char *seed = getenv("SEED");
    state = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL) * 1000003U + (uint64_t)getpid();
    printf("SEED=%llu\n", (unsigned long long)state);
    fflush(stdout);
    if (argc < 2)
        return 2;
    load(argv[1]);
    if (input_count == 0) {
        fprintf(stderr, "%s: no corpus\n", argv[1]);
        return 1;
    }
    for (size_t i = 0; i < input_count; i++)
        (void)LLVMFuzzerTestOneInput(inputs[i].bytes, inputs[i].len);
    long count = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
    for (long i = 0; i < count; i++)
        (void)LLVMFuzzerTestOneInput(bytes, mutate(bytes));
    printf("%zu inputs, %ld mutations\n", input_count, count);
    for (size_t i = 0; i < input_count; i++)
        free(inputs[i].bytes);
    return 0;
}
