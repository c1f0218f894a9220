// Where there are more ranks than cores, Open MPI gives the core away in every call that finds nothing to do
// (mpi_yield_when_idle). That is right for a thread that calls MPI until something is there. A thread that sleeps
// between its calls has given the core away already: if it yields besides, it gets the core back only when others have
// used up their time slices, milliseconds later, and what it should have passed on waits for that.
//
// Open MPI cannot be told so for one thread. So its sched_yield is this one, which the linker prefers to libc's.
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

static _Thread_local int keeps_core;

void cmpi_keep_core(void) { keeps_core = 1; }

int sched_yield(void) { return keeps_core ? 0 : (int)syscall(SYS_sched_yield); }
