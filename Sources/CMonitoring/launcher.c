#define _GNU_SOURCE
#include "CMonitoring.h"

#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int is_kept(int file, const struct pollfd *kept, int count) {
  for (int i = 0; i < count; i++) {
    if (kept[i].fd == file) return 1;
  }
  return 0;
}

void fw_kill_after(const int *processes, int count, unsigned seconds) {
  struct pollfd targets[FW_KILL_LIMIT];
  int found = 0;
  for (int i = 0; i < count && found < FW_KILL_LIMIT; i++) {
    // A descriptor rather than the number, which may be that of another process by then. Linux 5.3 and newer; without
    // it nothing is done.
    const int target = (int)syscall(SYS_pidfd_open, processes[i], 0);
    if (target >= 0) targets[found++] = (struct pollfd){target, POLLIN, 0};
  }
  if (found == 0 || fork() != 0) return;

  setsid();
  struct rlimit files;
  long limit = 65536;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < (rlim_t)limit) limit = (long)files.rlim_cur;
  for (int file = 0; file < limit; file++) {
    if (!is_kept(file, targets, found)) close(file);
  }
  const long deadline = milliseconds() + 1000 * (long)seconds;
  for (;;) {
    // A process that has ended is looked at no more: poll passes over negative descriptors.
    int left = 0;
    for (int i = 0; i < found; i++) {
      if (targets[i].revents) targets[i].fd = -1;
      if (targets[i].fd >= 0) left++;
    }
    const long rest = deadline - milliseconds();
    if (left == 0) _exit(0);
    if (rest <= 0) break;
    poll(targets, (nfds_t)found, (int)rest);
  }
  for (int i = 0; i < found; i++) {
    if (targets[i].fd >= 0) syscall(SYS_pidfd_send_signal, targets[i].fd, SIGKILL, NULL, 0);
  }
  _exit(0);
}
