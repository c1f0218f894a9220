internal import Glibc

/// What times are taken with.
public enum ProfileClock: String, Sendable, Hashable, CaseIterable {
  /// Time as it passes.
  case wall
  /// Time for which the calling thread ran. On a machine with other work, wall-clock time counts what the others did in
  /// between, of long operations far more than of short ones; this does not. It sees one thread only, and not what it
  /// waits for.
  case processor

  /// Seconds since a time that does not change while the process, or for ``processor`` the thread, lives.
  public var seconds: Double {
    var time = timespec()
    // Neither call can fail: both clocks exist on Linux, and the address is valid.
    clock_gettime(self == .wall ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }

  /// Median of the seconds that `repetitions` executions take, at least one, after one that is not counted.
  func median(of repetitions: Int, _ body: () throws -> Void) rethrows -> Double {
    try body()
    var times: [Double] = []
    for _ in 0..<max(1, repetitions) {
      let start = seconds
      try body()
      times.append(seconds - start)
    }
    return Neural.median(of: times)
  }
}

/// The middle of the values, of which there is at least one.
func median(of values: [Double]) -> Double {
  let sorted = values.sorted()
  return (sorted[sorted.count / 2] + sorted[(sorted.count - 1) / 2]) / 2
}
