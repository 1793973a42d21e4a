/* table.h — rows of texts, printed in columns. */
#ifndef JOBCTL_TABLE_H
#define JOBCTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { TABLE_COLUMNS_MAX = 16 };

struct table_text {
    unsigned columns;
    bool is_right[TABLE_COLUMNS_MAX];   /* figures stand below each other by their ends */
    char **cells;
    size_t count, room;
    bool has_failed;                    /* memory was short: what is printed would be a lie, so nothing is */
};

/* Headings, NULL at the end; one that begins with '>' stands right, with its column. */
void table_open(struct table_text *table, const char *const *headings);
void table_cell(struct table_text *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

void table_number_if(struct table_text *table, bool is_known, uint64_t number);   /* else "-" */

/* Prints each row with `indent` before it, and frees the table. False: memory was short. */
bool table_print(struct table_text *table, const char *indent, FILE *file);

#endif
