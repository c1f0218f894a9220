import Atomics
import Glibc

/// Ends a job that does not go on, and says why: a rank that was stopped, a host that is down or cut off, a phase that
/// never ends.
///
/// Each rank has a thread that does nothing but this, so it works when the thread that computes hangs in MPI or spins on
/// shared memory. Ranks of a node see each other's progress in shared memory. Between hosts the threads send each other
/// datagrams: every rank tells two monitors, rank zero and a rank on another host, and is answered by them. So there are
/// no more messages than ranks, and if a monitor is the one that stopped, the other finds out. MPI is not used.
///
/// A process that was stopped sends nothing; one that hangs goes on sending, but its progress stays where it is. Which
/// of the ranks that make no progress is to blame follows from their phases: those that wait for others are not.
public final class Watchdog: Sendable {
  /// The exit code of a process that ends its job for this reason: `EX_PROTOCOL` of sysexits.h.
  public static let exitCode: Int32 = 76

  /// Who a rank is, and where it can be reached.
  public struct Peer: Sendable, Equatable {
    /// Its number in the job.
    public var rank: Int
    /// The number of its node, and its own number on the node.
    public var node: Int, localRank: Int
    /// The name of its host.
    public var host: String
    /// Its process.
    public var process: Int32
    /// Where datagrams reach it; empty where none are needed.
    public var addresses: [HeartbeatAddress]

    /// Describes a rank.
    public init(
      rank: Int, node: Int, localRank: Int, host: String, process: Int32, addresses: [HeartbeatAddress] = []
    ) {
      (self.rank, self.node, self.localRank, self.host) = (rank, node, localRank, host)
      (self.process, self.addresses) = (process, addresses)
    }
  }

  /// What a watchdog needs to know.
  public struct Configuration: Sendable {
    /// Seconds within which a stalled job is ended; positive.
    public var timeout: Double
    /// This rank.
    public var rank: Int
    /// All ranks, in order.
    public var peers: [Peer]
    /// The records of this node's ranks; of this rank alone where memory cannot be shared.
    public var records: SharedRecords
    /// For datagrams; nil where all ranks share ``records``.
    public var socket: HeartbeatSocket?
    /// The same random number on all ranks of the job, and another one in every job.
    public var token: UInt64

    /// A configuration from its parts.
    public init(
      timeout: Double, rank: Int, peers: [Peer], records: SharedRecords, socket: HeartbeatSocket?, token: UInt64
    ) {
      (self.timeout, self.rank, self.peers) = (timeout, rank, peers)
      (self.records, self.socket, self.token) = (records, socket, token)
    }
  }

  private let stopFlag = ManagedAtomic<Bool>(false)
  /// Closing the writing end wakes the thread.
  private let pipe: (reading: Int32, writing: Int32)
  private let thread: pthread_t

  /// Starts watching.
  ///
  /// - Parameter lines: receives what is to be told to people, on the watchdog's thread.
  /// - Throws: ``MonitoringError`` where no thread can be had.
  public init(_ configuration: Configuration, say lines: @escaping @Sendable ([String]) -> Void)
    throws(MonitoringError)
  {
    var ends: (reading: Int32, writing: Int32) = (-1, -1)
    let opened = withUnsafeMutableBytes(of: &ends) { Glibc.pipe($0.bindMemory(to: Int32.self).baseAddress) }
    guard opened == 0 else { throw MonitoringError(call: "pipe", code: errno) }
    let loop = WatchLoop(configuration, wake: ends.reading, stopFlag: stopFlag, say: lines)
    // Signals are for the threads that expect them.
    var all = sigset_t()
    var before = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_SETMASK, &all, &before)
    var thread = pthread_t()
    let context = Unmanaged.passRetained(loop)
    let code = pthread_create(
      &thread, nil,
      { context in
        guard let context else { return nil }
        Unmanaged<WatchLoop>.fromOpaque(context).takeRetainedValue().run()
        return nil
      }, context.toOpaque())
    pthread_sigmask(SIG_SETMASK, &before, nil)
    guard code == 0 else {
      context.release()
      close(ends.reading)
      close(ends.writing)
      throw MonitoringError(call: "pthread_create", code: code)
    }
    self.thread = thread
    pipe = ends
  }

  /// Says goodbye to the other ranks and stops watching.
  deinit {
    stopFlag.store(true, ordering: .relaxed)
    close(pipe.writing)
    pthread_join(thread, nil)
    close(pipe.reading)
  }

  /// Writes lines to standard error at once, so that they do not mix with those of others.
  @Sendable public static func writeToStandardError(_ lines: [String]) {
    var rest = Array(lines.map { $0 + "\n" }.joined().utf8)[...]
    while !rest.isEmpty {
      let written = rest.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
      if written < 0 && errno == EINTR { continue }
      if written <= 0 { return }  // Nobody listens any more.
      rest = rest.dropFirst(written)
    }
  }
}
