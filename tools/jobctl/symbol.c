/* symbol.c — reads just as much ELF as a name needs, and believes none of it.
 *
 * Everything is read by pread(2) into memory of our own and of fixed size: a file that is changed or cut meanwhile is a short read, never a
 * fault. No address of the target is computed: the mapping says at which offset of the file the function lies, the segments say which
 * virtual address that is, and symbols are compared with it. A file may have 65535 tables over the same bytes, so all searches of a report
 * share a budget of reads.
 */
#include "symbol.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "maps.h"
#include "text.h"

enum { SYMBOLS_MAX = 1 << 20, SYMBOLS_BATCH = 512 };

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
enum { OWN_ORDER = ELFDATA2LSB };
#else
enum { OWN_ORDER = ELFDATA2MSB };
#endif

struct file {
    int fd;
    struct symbol_budget *budget;
};

static bool read_at(const struct file *file, uint64_t offset, void *memory, size_t size)
{
    if (file->budget->reads == 0)
        return false;
    file->budget->reads--;
    return offset <= INT64_MAX - size && pread(file->fd, memory, size, (off_t)offset) == (ssize_t)size;
}

static bool read_header(const struct file *file, Elf64_Ehdr *header)
{
    return read_at(file, 0, header, sizeof *header) && memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 &&
           header->e_ident[EI_CLASS] == ELFCLASS64 && header->e_ident[EI_DATA] == OWN_ORDER &&
           header->e_phentsize == sizeof(Elf64_Phdr) && header->e_shentsize == sizeof(Elf64_Shdr);
}

/* From an offset in the file to the address that its symbols speak of. Sums may wrap: then nothing is found there. */
static bool find_virtual(const struct file *file, const Elf64_Ehdr *header, uint64_t file_offset, uint64_t *virtual)
{
    for (unsigned i = 0; i < header->e_phnum; i++) {
        Elf64_Phdr segment;
        if (!read_at(file, header->e_phoff + i * sizeof segment, &segment, sizeof segment))
            return false;
        if (segment.p_type != PT_LOAD || file_offset < segment.p_offset ||
            file_offset - segment.p_offset >= segment.p_filesz)
            continue;
        *virtual = file_offset - segment.p_offset + segment.p_vaddr;
        return true;
    }
    return false;
}

static bool read_section(const struct file *file, const Elf64_Ehdr *header, unsigned index, Elf64_Shdr *section)
{
    return index < header->e_shnum &&
           read_at(file, header->e_shoff + index * sizeof *section, section, sizeof *section);
}

static bool is_function_around(const Elf64_Sym *symbol, uint64_t virtual)
{
    return ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && symbol->st_shndx != SHN_UNDEF && virtual >= symbol->st_value &&
           virtual - symbol->st_value < (symbol->st_size ? symbol->st_size : 1);
}

static bool find_in_table(const struct file *file, const Elf64_Shdr *table, uint64_t virtual, Elf64_Sym *found)
{
    static Elf64_Sym batch[SYMBOLS_BATCH];   /* one thread; too large for a stack frame */
    uint64_t count = table->sh_size / sizeof *batch;
    if (table->sh_entsize != sizeof *batch || count > SYMBOLS_MAX)
        return false;
    for (uint64_t done = 0; done < count; done += SYMBOLS_BATCH) {
        size_t now = count - done < SYMBOLS_BATCH ? (size_t)(count - done) : SYMBOLS_BATCH;
        if (!read_at(file, table->sh_offset + done * sizeof *batch, batch, now * sizeof *batch))
            return false;
        for (size_t i = 0; i < now; i++) {
            if (is_function_around(&batch[i], virtual)) {
                *found = batch[i];
                return true;
            }
        }
    }
    return false;
}

static bool read_symbol_name(const struct file *file, const Elf64_Ehdr *header, const Elf64_Shdr *table, uint32_t at,
                             struct symbol *symbol)
{
    Elf64_Shdr strings;
    char raw[sizeof symbol->name] = "";
    if (!read_section(file, header, table->sh_link, &strings) || strings.sh_type != SHT_STRTAB ||
        at >= strings.sh_size || strings.sh_offset > INT64_MAX - (uint64_t)at)
        return false;
    uint64_t left = strings.sh_size - at;
    if (pread(file->fd, raw, left < sizeof raw ? (size_t)left : sizeof raw, (off_t)(strings.sh_offset + at)) <= 0)
        return false;
    text_clean(raw, sizeof raw, symbol->name, sizeof symbol->name);
    return symbol->name[0] != '\0';
}

bool symbol_in_file(int fd, uint64_t file_offset, struct symbol_budget *budget, struct symbol *symbol)
{
    const struct file opened = {fd, budget}, *file = &opened;
    Elf64_Ehdr header;
    uint64_t virtual = 0;
    if (!read_header(file, &header) || !find_virtual(file, &header, file_offset, &virtual))
        return false;
    static const uint32_t kinds[] = {SHT_SYMTAB, SHT_DYNSYM};   /* the first has static functions too, but may be stripped */
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        for (unsigned j = 0; j < header.e_shnum; j++) {
            Elf64_Shdr table;
            Elf64_Sym found;
            if (!read_section(file, &header, j, &table))
                return false;
            if (table.sh_type != kinds[i] || !find_in_table(file, &table, virtual, &found))
                continue;
            symbol->offset = virtual - found.st_value;
            return read_symbol_name(file, &header, &table, found.st_name, symbol);
        }
    }
    return false;
}

struct search {
    pid_t pid;
    struct symbol *symbol;
    uint64_t file_offset, inode;
    char path[4096];
};

static bool note_mapping(const struct map *map, void *arg)
{
    struct search *search = arg;
    struct symbol *symbol = search->symbol;
    if (symbol->address < map->start || symbol->address >= map->end)
        return false;
    if (map->path[0] != '/')
        return true;
    const char *name = strrchr(map->path, '/') + 1;
    text_clean(name, strlen(name), symbol->module, sizeof symbol->module);
    search->file_offset = symbol->offset = symbol->address - map->start + map->offset;
    search->inode = map->inode;
    (void)snprintf(search->path, sizeof search->path, "/proc/%d/root%s", (int)search->pid, map->path);
    return true;
}

/* The regular file with that inode, looked at before it is opened: a path of somebody else may name a pipe or a device by now. */
static int open_mapped(const char *path, uint64_t inode)
{
    char again[64];
    struct stat status;
    int handle = open(path, O_PATH | O_CLOEXEC);
    if (handle < 0)
        return -1;
    int fd = -1;
    if (fstat(handle, &status) == 0 && S_ISREG(status.st_mode) && status.st_ino == inode) {
        (void)snprintf(again, sizeof again, "/proc/self/fd/%d", handle);
        fd = open(again, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    }
    (void)close(handle);
    return fd;
}

void symbol_find(pid_t pid, uint64_t address, struct symbol_budget *budget, struct symbol *symbol)
{
    struct search search = {.pid = pid, .symbol = symbol};
    *symbol = (struct symbol){.address = address};
    if (maps_each(pid, note_mapping, &search) < 0 || !search.path[0])
        return;
    char program[64];
    (void)snprintf(program, sizeof program, "/proc/%d/exe", (int)pid);   /* finds it also when it was replaced on disk */
    int fd = open_mapped(program, search.inode);
    if (fd < 0)
        fd = open_mapped(search.path, search.inode);
    if (fd < 0)
        return;
    (void)symbol_in_file(fd, search.file_offset, budget, symbol);
    (void)close(fd);
}
