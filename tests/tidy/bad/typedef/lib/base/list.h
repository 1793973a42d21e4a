/* list.h — hides that it is a struct. */
typedef struct list list_t;   /* refused */
typedef void visit_fn(struct list *list);
