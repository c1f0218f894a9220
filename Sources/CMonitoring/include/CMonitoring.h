// What Swift cannot call: fork, and calls that glibc hides.
#ifndef CMONITORING_H
#define CMONITORING_H

/// fw_kill_after looks after so many processes at most.
enum { FW_KILL_LIMIT = 1024 };

/// Sees to it that `count` processes end, also after this one has: a child of this process kills those that have not
/// ended within `seconds`.
///
/// The child has no file of this process open, so nobody who waits for the end of its output waits for the child. Only
/// calls that are safe after a fork in a process with threads are made.
void fw_kill_after(const int *processes, int count, unsigned seconds);

/// Whether this process may read the memory of another, as MPI does to copy large messages within a host at once (CMA):
/// reads one byte at `address` there. 0, or the error's number.
int fw_read_memory(int process, unsigned long address);

#endif
