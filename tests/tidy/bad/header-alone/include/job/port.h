/* port.h — relies on what its includer has included before. */
struct job_port_options {
    size_t limit_bytes;   /* refused */
};
