/* test_port.c — opens, and never closes. */
#include <job/job.h>

int main(void)
{
    job_port_open();
    return 0;
}
