/* options.h — the command line. */
#ifndef GZSERVE_OPTIONS_H
#define GZSERVE_OPTIONS_H

#include "service.h"

/* Reads the command line; the texts in `options` are of argv. False: it was wrong, and the usage was printed. */
bool options_parse(struct service_options *options, int argc, char **argv);

#endif
