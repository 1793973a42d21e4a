/* maps.c — one line a mapping: start-end perms offset major:minor inode path. */
#include "maps.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool parse_line(char *line, struct map *map)
{
    int path = 0;
    line[strcspn(line, "\n")] = '\0';
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*4s %" SCNx64 " %*x:%*x %" SCNu64 " %n", &map->start, &map->end,
               &map->offset, &map->inode, &path) < 4)
        return false;
    map->path = path > 0 ? line + path : "";
    return true;
}

int maps_each(pid_t pid, bool (*visit)(const struct map *map, void *arg), void *arg)
{
    char name[64];
    (void)snprintf(name, sizeof name, "/proc/%d/maps", (int)pid);
    FILE *file = fopen(name, "re");
    if (!file)
        return errno == ENOENT ? -ESRCH : -errno;
    char *line = NULL;
    size_t room = 0;
    bool is_done = false;
    struct map map;
    while (!is_done && getline(&line, &room, file) > 0) {
        if (parse_line(line, &map))
            is_done = visit(&map, arg);
    }
    free(line);
    (void)fclose(file);   /* was only read; a process that ends meanwhile ends the file */
    return 0;
}
