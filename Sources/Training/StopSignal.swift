import Glibc
import Synchronization

/// Set by the signal handler, read once a step. One flag for the process, because signals are the process's.
private let stopFlag = Atomic<Bool>(false)

/// SIGTERM, SIGINT and SIGUSR1 ask a run to save and stop: what schedulers and `mpirun` send before they kill.
enum StopSignal {
  /// Exit code of a run that stopped on request after saving: `EX_TEMPFAIL` of sysexits.h, "try again".
  static let exitCode: Int32 = 75

  /// A stop was asked for. Relaxed: the flag carries no other data with it.
  static var isRequested: Bool { stopFlag.load(ordering: .relaxed) }

  /// Handles the three signals from now on.
  ///
  /// The handler only stores to a lock-free atomic, which is safe at any moment; the flag is touched here first so that its lazy
  /// initialisation never happens inside the handler.
  static func install() {
    stopFlag.store(false, ordering: .relaxed)
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { _ in stopFlag.store(true, ordering: .relaxed) }
    action.sa_flags = SA_RESTART
    for signal in [SIGTERM, SIGINT, SIGUSR1] { sigaction(signal, &action, nil) }
    // A reader of our output that goes away must not end the run.
    signal(SIGPIPE, SIG_IGN)
  }
}
