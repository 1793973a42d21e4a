/* fiber.h — a stack that one thread can switch to and from: by hand on x86-64 (a few ns), by ucontext elsewhere. */
#ifndef TESTS_SIM_FIBER_H
#define TESTS_SIM_FIBER_H

#if !defined(__x86_64__) || defined(SIM_UCONTEXT)
#define FIBER_UCONTEXT 1
#include <ucontext.h>
#endif

enum { FIBER_STACK_BYTES = 64 * 1024 };

struct fiber_context {
#ifdef FIBER_UCONTEXT
    ucontext_t context;
#else
    void *stack_pointer;
#endif
};

/* The next switch to it calls entry() on that stack; entry never returns. */
void fiber_prepare(struct fiber_context *fiber, void *stack, void (*entry)(void));

void fiber_switch(struct fiber_context *from, struct fiber_context *to);

#endif
