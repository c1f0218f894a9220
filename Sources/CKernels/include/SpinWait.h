#pragma once

#include <semaphore.h>
#include <time.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

/// Tells the processor that this is a spin-wait loop, so that it saves power and leaves execution slots to a sibling
/// thread.
static inline void fw_cpu_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

/// Asks the system to wake this thread when it wanted to be woken, and not, as it does to save power, 50 µs later.
static inline void fw_wake_on_time(void) {
#if defined(__linux__)
  (void)prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
#endif
}

/// Sleeps for a time below one second.
static inline void fw_nap(long nanoseconds) {
  struct timespec time = {0, nanoseconds};
  nanosleep(&time, 0);
}

/// Sleeps for a time below one second, or until the semaphore has been posted since this was last called. All posts
/// until now count as one.
static inline void fw_nap_until_posted(sem_t *semaphore, long nanoseconds) {
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_nsec += nanoseconds;
  if (end.tv_nsec >= 1000000000L) {
    end.tv_nsec -= 1000000000L;
    end.tv_sec += 1;
  }
  if (sem_timedwait(semaphore, &end) != 0) return;
  while (sem_trywait(semaphore) == 0) {
  }
}
