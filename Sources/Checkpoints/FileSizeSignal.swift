#if canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#else
  import Glibc
#endif

/// Runs `body` such that growing a file past the process's limit (`ulimit -f`) fails with an error that can be
/// reported, where by default the signal SIGXFSZ would kill the process.
///
/// The signal is raised in the writing thread only, so blocking it there and taking it back is enough; no other
/// thread and no handler of the program is touched.
func blockingFileSizeSignal<Result>(_ body: () throws -> Result) rethrows -> Result {
  var blocked = sigset_t()
  var before = sigset_t()
  sigemptyset(&blocked)
  sigaddset(&blocked, SIGXFSZ)
  guard pthread_sigmask(SIG_BLOCK, &blocked, &before) == 0 else { return try body() }
  defer {
    if sigismember(&before, SIGXFSZ) != 1 {
      var pending = sigset_t()
      if sigpending(&pending) == 0 && sigismember(&pending, SIGXFSZ) == 1 {
        var taken: Int32 = 0
        _ = sigwait(&blocked, &taken)
      }
    }
    _ = pthread_sigmask(SIG_SETMASK, &before, nil)
  }
  return try body()
}
