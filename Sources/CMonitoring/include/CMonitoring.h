// What Swift cannot call: fork.
#ifndef CMONITORING_H
#define CMONITORING_H

/// Sees to it that `process` ends after this process has: a child of this process kills it, unless it ends within
/// `seconds`.
///
/// The child has no file of this process open, so nobody who waits for the end of its output waits for the child. Only
/// calls that are safe after a fork in a process with threads are made.
void fw_kill_after(int process, unsigned seconds);

#endif
