/* buffer.h — one of two. */
