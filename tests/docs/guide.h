/* guide.h — what the programs of docs/guide have besides their blocks. It includes nothing, so that a page names every header it needs. */
#ifndef TESTS_DOCS_GUIDE_H
#define TESTS_DOCS_GUIDE_H

/* Ends the program when a call failed. */
void check(const char *what, int err);

#endif
