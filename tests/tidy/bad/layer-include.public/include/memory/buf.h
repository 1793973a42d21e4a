/* buf.h — so that the sample compiles. */
