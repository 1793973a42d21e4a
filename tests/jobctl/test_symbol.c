/* test_symbol.c — names of functions from a file's symbol table, also from one that is broken or made to take for ever. */
#include "tries.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "symbol.h"

/* A function to be found by name in this program's own symbol table. */
void __attribute__((noinline)) function_to_be_found(void);
void __attribute__((noinline)) function_to_be_found(void)
{
    __asm__ volatile("" ::: "memory");
}

START_TEST(a_function_of_this_program_is_found_by_its_address)
{
    struct symbol_budget budget = {SYMBOL_READS_MAX};
    struct symbol symbol;

    symbol_find(getpid(), (uint64_t)(uintptr_t)function_to_be_found, &budget, &symbol);

    ck_assert_str_eq(symbol.name, "function_to_be_found");
    ck_assert_uint_eq(symbol.offset, 0);
    ck_assert_ptr_nonnull(strstr(symbol.module, "jobctl_symbol"));
    symbol_find(getpid(), (uint64_t)(uintptr_t)&symbol, &budget, &symbol);   /* the stack: no file */
    ck_assert_str_eq(symbol.name, "");
    symbol_find(getpid(), 1, &budget, &symbol);
    ck_assert_str_eq(symbol.module, "");
}
END_TEST

struct small_elf {
    Elf64_Ehdr header;
    Elf64_Phdr segments[2];
    Elf64_Shdr sections[3];
    Elf64_Sym symbols[3];
    char strings[32];
};

static struct small_elf make_elf(void)
{
    const uint8_t own_order = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
    struct small_elf elf = {.strings = "\0first\0second"};
    elf.header = (Elf64_Ehdr){
        .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, own_order},
        .e_phoff = offsetof(struct small_elf, segments),
        .e_phnum = 2,
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_shoff = offsetof(struct small_elf, sections),
        .e_shnum = 3,
        .e_shentsize = sizeof(Elf64_Shdr),
    };
    elf.segments[0].p_type = PT_NOTE;
    elf.segments[1] = (Elf64_Phdr){.p_type = PT_LOAD, .p_vaddr = 0x1000, .p_filesz = sizeof elf};
    elf.sections[1] = (Elf64_Shdr){
        .sh_type = SHT_SYMTAB,
        .sh_offset = offsetof(struct small_elf, symbols),
        .sh_size = sizeof elf.symbols,
        .sh_entsize = sizeof(Elf64_Sym),
        .sh_link = 2,
    };
    elf.sections[2] = (Elf64_Shdr){
        .sh_type = SHT_STRTAB,
        .sh_offset = offsetof(struct small_elf, strings),
        .sh_size = sizeof elf.strings,
    };
    elf.symbols[1] = (Elf64_Sym){.st_name = 1, .st_info = STT_OBJECT, .st_shndx = 1, .st_value = 0x1010, .st_size = 8};
    elf.symbols[2] = (Elf64_Sym){.st_name = 7, .st_info = STT_FUNC, .st_shndx = 1, .st_value = 0x1010, .st_size = 16};
    return elf;
}

static bool find_in(int fd, const struct small_elf *elf, size_t size, struct symbol *symbol)
{
    *symbol = (struct symbol){0};
    ck_assert(ftruncate(fd, (off_t)size) == 0);
    ck_assert(pwrite(fd, elf, size, 0) == (ssize_t)size);
    struct symbol_budget budget = {SYMBOL_READS_MAX};
    return symbol_in_file(fd, 0x18, &budget, symbol);
}

/* 60000 tables over the same bytes, each as large as one may be: 6 * 10^10 symbols in a file of a few blocks. */
START_TEST(a_file_of_many_symbol_tables_is_read_up_to_a_bound_that_all_searches_share)
{
    enum { SECTIONS = 60000, SYMBOLS = 1 << 20, AT = 8 << 20 };
    static Elf64_Shdr sections[SECTIONS];
    struct symbol_budget budget = {SYMBOL_READS_MAX};
    struct symbol symbol = {0};
    struct small_elf elf = make_elf();
    elf.header.e_shnum = SECTIONS;
    elf.header.e_shoff = sizeof elf;
    for (unsigned i = 0; i < SECTIONS; i++)
        sections[i] = (Elf64_Shdr){.sh_type = SHT_SYMTAB, .sh_offset = AT, .sh_size = SYMBOLS * sizeof(Elf64_Sym),
                                   .sh_entsize = sizeof(Elf64_Sym)};
    int fd = memfd_create("elf", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, &elf, sizeof elf), (ssize_t)sizeof elf);
    ck_assert_int_eq(write(fd, sections, sizeof sections), (ssize_t)sizeof sections);
    ck_assert_int_eq(ftruncate(fd, AT + SYMBOLS * (off_t)sizeof(Elf64_Sym)), 0);

    ck_assert(!symbol_in_file(fd, 0x18, &budget, &symbol));

    ck_assert_uint_eq(budget.reads, 0);
    elf = make_elf();
    ck_assert_int_eq(pwrite(fd, &elf, sizeof elf, 0), (ssize_t)sizeof elf);
    ck_assert(!symbol_in_file(fd, 0x18, &budget, &symbol));   /* the next search has nothing left */
    budget.reads = SYMBOL_READS_MAX;
    ck_assert(symbol_in_file(fd, 0x18, &budget, &symbol));
    ck_assert_str_eq(symbol.name, "second");
    close(fd);
}
END_TEST

START_TEST(a_broken_symbol_table_is_survived)
{
    struct small_elf elf = make_elf();
    struct symbol symbol;
    struct random random = fixture_random("symbol_table");
    unsigned found = 0;
    int fd = memfd_create("elf", MFD_CLOEXEC);
    ck_assert(find_in(fd, &elf, sizeof elf, &symbol));
    ck_assert_str_eq(symbol.name, "second");
    ck_assert_uint_eq(symbol.offset, 8);
    for (size_t size = 0; size < sizeof elf - sizeof elf.strings; size++)
        ck_assert(!find_in(fd, &elf, size, &symbol));

    for (unsigned i = 0; i < 20000; i++) {
        elf = make_elf();
        uint8_t *raw = (uint8_t *)&elf;
        for (unsigned count = 1 + (unsigned)random_below(&random, 4); count > 0; count--) {
            size_t at = random_below(&random, sizeof elf - 8);
            if (random_below(&random, 2))
                raw[at] = (uint8_t)(raw[at] ^ (1U << random_below(&random, 8)));
            else
                memcpy(raw + (at & ~(size_t)3), &nasty[random_below(&random, NASTY)], 4);
        }
        found += find_in(fd, &elf, sizeof elf, &symbol);
        ck_assert(memchr(symbol.name, '\0', sizeof symbol.name));
    }

    close(fd);
    ck_assert_uint_gt(found, 1000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jobctl/symbol");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_function_of_this_program_is_found_by_its_address);
    tcase_add_test(tcase, a_broken_symbol_table_is_survived);
    tcase_add_test(tcase, a_file_of_many_symbol_tables_is_read_up_to_a_bound_that_all_searches_share);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
