/* What a worker process asks of the kernel; prctl is variadic, which Swift cannot call. */
#include "host.h"
#ifdef __linux__
#include <signal.h>
#include <sys/prctl.h>

void host_die_with_parent(void) {
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}
#else
void host_die_with_parent(void) {}
#endif
