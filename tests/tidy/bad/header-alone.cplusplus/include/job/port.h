/* port.h — is no C++. */
struct job_port {
    int class;   /* refused */
};
