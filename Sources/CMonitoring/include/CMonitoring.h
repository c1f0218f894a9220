// What Swift cannot call: fork.
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

#endif
