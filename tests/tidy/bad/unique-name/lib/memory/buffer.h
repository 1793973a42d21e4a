/* buffer.h — the other. */
