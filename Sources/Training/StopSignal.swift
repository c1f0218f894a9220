import Glibc
import Synchronization

/// Set by the thread that waits for signals, read once a step. One flag for the process, because signals are the process's.
private let stopFlag = Atomic<Bool>(false)

/// SIGTERM, SIGINT and SIGUSR1 ask a run to save and stop: what schedulers and `mpirun` send before they kill.
enum StopSignal {
  /// Exit code of a run that stopped on request after saving: `EX_TEMPFAIL` of sysexits.h, "try again".
  static let exitCode: Int32 = 75

  /// A stop was asked for. Relaxed: the flag carries no other data with it.
  static var isRequested: Bool { stopFlag.load(ordering: .relaxed) }

  /// From now on the three signals set the flag instead of ending the process.
  ///
  /// The computing thread must never run a signal handler: some of oneDNN's generated kernels keep data where the stack pointer
  /// points or use that register otherwise, and the frame that the kernel pushes for a handler then overwrites memory. So the
  /// signals are blocked in this thread, and a thread made for it waits for them. MPI's own threads, which exist already and do not
  /// block them, may be handed one as well; a handler that only stores to a lock-free atomic serves them. SIGPIPE is ignored: a reader
  /// of our output that goes away must not end the run.
  static func install() {
    stopFlag.store(false, ordering: .relaxed)
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { _ in stopFlag.store(true, ordering: .relaxed) }
    action.sa_flags = SA_RESTART | Int32(SA_ONSTACK)
    var signals = sigset_t()
    sigemptyset(&signals)
    for signal in [SIGTERM, SIGINT, SIGUSR1] {
      sigaction(signal, &action, nil)
      sigaddset(&signals, signal)
    }
    signal(SIGPIPE, SIG_IGN)
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    var thread = pthread_t()
    let result = pthread_create(
      &thread, nil,
      { _ in
        var signals = sigset_t()
        sigemptyset(&signals)
        for signal in [SIGTERM, SIGINT, SIGUSR1] { sigaddset(&signals, signal) }
        var received: Int32 = 0
        while true {
          if sigwait(&signals, &received) == 0 { stopFlag.store(true, ordering: .relaxed) }
        }
      }, nil)
    // Without a thread to wait for them, the signals must reach this one: better a rare accident than a deaf run.
    if result == 0 { pthread_detach(thread) } else { pthread_sigmask(SIG_UNBLOCK, &signals, nil) }
  }
}
