import Glibc

/// Nanoseconds of the clock that all processes of a host share and nobody sets.
@inline(__always)
public func monotonicNanoseconds() -> Int {
  var time = timespec()
  // Cannot fail: Linux has this clock, and the address is valid.
  clock_gettime(CLOCK_MONOTONIC, &time)
  return time.tv_sec * 1_000_000_000 + time.tv_nsec
}
