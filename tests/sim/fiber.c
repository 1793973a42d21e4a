/* fiber.c — the switch itself: what the calling convention lets a callee keep is pushed, the stack pointer exchanged, and popped. */
#include "sim/fiber.h"

#include <stddef.h>
#include <stdint.h>

#ifdef FIBER_UCONTEXT

void fiber_prepare(struct fiber_context *fiber, void *stack, void (*entry)(void))
{
    (void)getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = stack;
    fiber->context.uc_stack.ss_size = FIBER_STACK_BYTES;
    fiber->context.uc_link = NULL;
    makecontext(&fiber->context, entry, 0);
}

void fiber_switch(struct fiber_context *from, struct fiber_context *to)
{
    (void)swapcontext(&from->context, &to->context);
}

#else

void fiber_swap(void **from, void *to);

__asm__(".text\n"
        ".p2align 4\n"
        ".hidden fiber_swap\n"
        ".globl fiber_swap\n"
        ".type fiber_swap, @function\n"
        "fiber_swap:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size fiber_swap, .-fiber_swap\n");

void fiber_prepare(struct fiber_context *fiber, void *stack, void (*entry)(void))
{
    uintptr_t top = ((uintptr_t)stack + FIBER_STACK_BYTES) & ~(uintptr_t)15;
    void **words = (void **)top;
    *--words = 0;                        /* where entry would return to; also aligns the stack as a call does */
    *--words = (void *)(uintptr_t)entry; /* `ret` goes there */
    for (int i = 0; i < 6; i++)
        *--words = 0;
    fiber->stack_pointer = words;
}

void fiber_switch(struct fiber_context *from, struct fiber_context *to)
{
    fiber_swap(&from->stack_pointer, to->stack_pointer);
}

#endif
