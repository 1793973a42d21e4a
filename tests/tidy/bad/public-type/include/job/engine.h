/* engine.h — a type that makes every user include liburing. */
struct job_engine {
    struct io_uring *ring;   /* refused */
    struct ck_stack *stack;  /* refused */
};
