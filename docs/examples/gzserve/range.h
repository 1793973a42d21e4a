/* range.h — which part of a file is asked for, and dates as HTTP writes them. */
#ifndef GZSERVE_RANGE_H
#define GZSERVE_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum range_kind { RANGE_NONE, RANGE_PART, RANGE_UNSATISFIABLE };

/* Reads the value of a Range header for a file of `size` bytes. RANGE_NONE: not one single range of bytes, which is to be ignored. */
enum range_kind range_parse(const char *value, uint64_t size, uint64_t *offset, uint64_t *len);

enum { DATE_SIZE = 32 };

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
void date_format(time_t time, char date[static DATE_SIZE]);

/* All three forms that HTTP has had. False: none of them. */
bool date_parse(const char *date, time_t *time);

#endif
