/* table.c — cells are kept until the last is there, since only then are the widths known. */
#include "table.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

static void add(struct table_text *table, char *cell)
{
    if (table->count == table->room) {
        size_t room = table->room ? 2 * table->room : 64;
        char **cells = realloc(table->cells, room * sizeof *cells);
        if (!cells) {
            table->has_failed = true;
            free(cell);
            return;
        }
        table->cells = cells;
        table->room = room;
    }
    table->cells[table->count++] = cell;
}

void table_cell(struct table_text *table, const char *format, ...)
{
    char *cell = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&cell, format, arguments) < 0)
        cell = NULL;
    va_end(arguments);
    if (cell)
        add(table, cell);
    else
        table->has_failed = true;
}

void table_number_if(struct table_text *table, bool is_known, uint64_t number)
{
    if (is_known)
        table_cell(table, "%" PRIu64, number);
    else
        table_cell(table, "-");
}

void table_open(struct table_text *table, const char *const *headings)
{
    *table = (struct table_text){0};
    for (; headings[table->columns] && table->columns < TABLE_COLUMNS_MAX; table->columns++) {
        const char *heading = headings[table->columns];
        table->is_right[table->columns] = heading[0] == '>';
        table_cell(table, "%s", heading + table->is_right[table->columns]);
    }
}

static void print_row(const struct table_text *table, size_t first, const size_t *widths, FILE *file)
{
    size_t owed = 0;   /* spaces before the next cell: none are printed at a line's end */
    for (unsigned i = 0; i < table->columns; i++) {
        const char *cell = table->cells[first + i];
        size_t padding = widths[i] - text_width(cell);
        owed += table->is_right[i] ? padding : 0;
        if (*cell) {
            (void)fprintf(file, "%*s%s", (int)owed, "", cell);
            owed = 0;
        }
        owed += (table->is_right[i] ? 0 : padding) + 2;
    }
    (void)fputc('\n', file);   /* the stream's error is looked at once, at the end of main */
}

bool table_print(struct table_text *table, const char *indent, FILE *file)
{
    size_t widths[TABLE_COLUMNS_MAX] = {0};
    bool is_complete = !table->has_failed && table->count % table->columns == 0;
    for (size_t i = 0; is_complete && i < table->count; i++) {
        size_t width = text_width(table->cells[i]), *column = &widths[i % table->columns];
        *column = width > *column ? width : *column;
    }
    for (size_t i = 0; is_complete && i < table->count; i += table->columns) {
        (void)fputs(indent, file);
        print_row(table, i, widths, file);
    }
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i]);
    free(table->cells);
    *table = (struct table_text){0};
    return is_complete;
}
