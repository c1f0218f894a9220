import Glibc
import Synchronization

/// Set by the thread that waits for signals, read once a step. One flag for the process, because signals are the
/// process's.
private let stopFlag = Atomic<Bool>(false)

/// SIGTERM, SIGINT and SIGUSR1 ask a run to save and stop: what schedulers and `mpirun` send before they kill.
enum StopSignal {
  /// Exit code of a run that stopped on request after saving: `EX_TEMPFAIL` of sysexits.h, "try again".
  static let exitCode: Int32 = 75

  /// A stop was asked for. Relaxed: the flag carries no other data with it.
  static var isRequested: Bool { stopFlag.load(ordering: .relaxed) }

  /// From now on the three signals set the flag instead of ending the process; a second SIGINT ends it. To be called
  /// before any other thread exists, MPI's among them, for threads inherit what is blocked.
  ///
  /// The computing thread must never run a signal handler: some of oneDNN's generated kernels use the stack pointer
  /// in ways of their own, and the frame that the operating system pushes for a handler then overwrites memory. So
  /// the signals are blocked everywhere, and a thread made for it waits for them. SIGPIPE is ignored: a reader of our
  /// output that goes away must not end the run.
  static func install() {
    stopFlag.store(false, ordering: .relaxed)
    var signals = waitedFor
    // A background job of a shell without job control is started with SIGINT ignored; ignored signals cannot be
    // waited for.
    for signal in [SIGTERM, SIGINT, SIGUSR1] { _ = Glibc.signal(signal, SIG_DFL) }
    _ = signal(SIGPIPE, SIG_IGN)
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    var thread = pthread_t()
    let result = pthread_create(
      &thread, nil,
      { _ in
        var signals = StopSignal.waitedFor
        var received: Int32 = 0
        var interrupts = 0
        while true {
          guard sigwait(&signals, &received) == 0 else { continue }
          if received == SIGINT { interrupts += 1 }
          if interrupts > 1 { _exit(128 + SIGINT) }
          stopFlag.store(true, ordering: .relaxed)
        }
      }, nil)
    // Without a thread to wait for them, the signals keep their ordinary effect of ending the process.
    if result == 0 { pthread_detach(thread) } else { pthread_sigmask(SIG_UNBLOCK, &signals, nil) }
  }

  private static var waitedFor: sigset_t {
    var signals = sigset_t()
    sigemptyset(&signals)
    for signal in [SIGTERM, SIGINT, SIGUSR1] { sigaddset(&signals, signal) }
    return signals
  }
}
