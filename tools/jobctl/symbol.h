/* symbol.h — the name of a function in another process, from the symbol table of the file that is mapped there. */
#ifndef JOBCTL_SYMBOL_H
#define JOBCTL_SYMBOL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct symbol {
    uint64_t address;
    char name[96];       /* "" when the file has none for it */
    char module[96];     /* the mapped file's name without its folders; "" when the address is in no file */
    uint64_t offset;     /* from the beginning of the function, or of the file when it has no name */
};

enum { SYMBOL_READS_MAX = 1 << 18 };   /* a second; twice what 64 functions take in tables of 2^20 symbols */

/* What all searches of a report may still read. Whoever finds nothing left has the module and the offset alone. */
struct symbol_budget {
    unsigned reads;
};

/* Fills in what can be found; the rest stays empty. */
void symbol_find(pid_t pid, uint64_t address, struct symbol_budget *budget, struct symbol *symbol);

/* The same in a file that is open already, for the byte at this offset. False: no function there, or not such a file. */
bool symbol_in_file(int fd, uint64_t file_offset, struct symbol_budget *budget, struct symbol *symbol);

#endif
