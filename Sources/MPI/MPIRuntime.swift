internal import CMPI
import Synchronization

/// MPI in this process: initialised once, finalised once.
public enum MPIRuntime {
  /// How MPI may be called from several threads.
  public enum ThreadLevel: Int, Sendable, Comparable {
    /// By one thread only, the only one of the process.
    case single
    /// By the thread that initialised MPI only.
    case funneled
    /// By any thread, one at a time.
    case serialized
    /// By any threads at once.
    case multiple

    /// Orders from the least to the most permissive.
    public static func < (a: ThreadLevel, b: ThreadLevel) -> Bool { a.rawValue < b.rawValue }
  }

  /// Initialises MPI, for calls from several threads where the library can, with errors that are returned and thrown
  /// rather than fatal. Does nothing when this was done before. Without mpirun the process is the only rank of its job.
  ///
  /// - Throws: `MPIError` when MPI cannot be initialised, or has been finalised already.
  public static func initialize() throws {
    try state.withLock { state in
      guard !state.isInitialized else { return }
      var owner: Int32 = 0
      var level: Int32 = 0
      TCPDefaults.apply()
      try check(cmpi_initialize(&owner, &level))
      var copy: MPI_Comm?
      try check(cmpi_comm_duplicate(cmpi_world(), &copy))
      state.errorCommunicator = copy.map { Handle(value: $0) }
      state.ownsLibrary = owner == 1
      state.threadLevel = threadLevel(code: level)
      state.isInitialized = true
    }
  }

  /// Frees every communicator and window that is still there, in the order of their creation, and finalises MPI.
  /// Collective over all ranks. Afterwards no communicator may be used and the memory of windows is gone. Does nothing
  /// unless MPI is initialised.
  public static func finalize() {
    finalize(freeingHandles: true)
  }

  /// Has `body` called before MPI ends, by `finalize` and on the way out of an error: for a thread that calls MPI, which
  /// must end first. Not called where the whole job is aborted.
  ///
  /// - Returns: for ``forget(beforeFinalize:)``.
  public static func beforeFinalize(_ body: @escaping @Sendable () -> Void) -> Int {
    state.withLock { state in
      state.nextSerial += 1
      state.lastCalls.append((state.nextSerial, body))
      return state.nextSerial
    }
  }

  /// Has a body of ``beforeFinalize(_:)`` not called.
  public static func forget(beforeFinalize serial: Int) {
    state.withLock { state in state.lastCalls.removeAll { $0.serial == serial } }
  }

  /// Whether MPI can be called: true between `initialize` and `finalize`.
  public static var isInitialized: Bool {
    state.withLock { $0.isInitialized } && cmpi_is_running() != 0
  }

  /// From now on the calling thread keeps its core in calls to MPI that find nothing to do, also where there are more
  /// ranks than cores: for a thread that sleeps between its calls.
  public static func keepCore() { cmpi_keep_core() }

  /// What the MPI library has granted; `.single` before `initialize`. Whoever calls MPI from a second thread
  /// asks here whether it may; the exchange between nodes does.
  public static var threadLevel: ThreadLevel { state.withLock { $0.threadLevel } }

  /// This host's name as MPI knows it.
  public static var hostName: String {
    let name = text(capacity: 1024) { buffer, capacity in
      if cmpi_is_running() != 0 { _ = cmpi_host_name(buffer, capacity) }
    }
    return name.isEmpty ? "unknown host" : name
  }

  /// Ends all ranks of the job at once; `code` becomes the exit code of mpirun.
  public static func abort(code: Int32) -> Never {
    cmpi_abort(code)
  }

  // MARK: Within the library

  /// Ends MPI. On the way out of an error ranks may own different handles, and freeing, which is collective, could
  /// hang: the handles are then left to the end of the process.
  static func finalize(freeingHandles: Bool) {
    // Outside the lock: a body may wait for a thread that asks this object something.
    let lastCalls = state.withLock { state in
      defer { state.lastCalls = [] }
      return state.lastCalls
    }
    for call in lastCalls { call.body() }
    let (owned, error, ownsLibrary): ([OwnedHandle], Handle<MPI_Comm>?, Bool) = state.withLock { state in
      guard state.isInitialized else { return ([], nil, false) }
      state.isInitialized = false
      defer { state.owned = [] }
      return (state.owned, state.errorCommunicator, state.ownsLibrary)
    }
    guard cmpi_is_running() != 0 else { return }
    // Nobody is left to act on an error here, and the process is about to end.
    if freeingHandles {
      for handle in owned { _ = handle.kind.free() }
      if let error { _ = cmpi_comm_free(error.value) }
    }
    if ownsLibrary { _ = cmpi_finalize() }
  }

  /// A communicator of all ranks on which nothing but the handling of uncaught errors ever happens.
  static var errorCommunicator: MPI_Comm? { state.withLock { $0.errorCommunicator }?.value }

  /// Remembers a handle until it is freed, at the latest by `finalize`.
  ///
  /// Handles are not freed where the Swift object that holds them ends: freeing is collective, and a rank whose stack
  /// unwinds because of an error would wait for ranks that know nothing of it.
  static func adopt(_ kind: OwnedHandle.Kind) -> Int {
    state.withLock { state in
      state.nextSerial += 1
      state.owned.append(OwnedHandle(serial: state.nextSerial, kind: kind))
      return state.nextSerial
    }
  }

  /// Frees one handle now, unless that has happened. Collective over the ranks that share it.
  static func free(serial: Int) throws {
    let handle: OwnedHandle? = state.withLock { state in
      guard state.isInitialized, let index = state.owned.firstIndex(where: { $0.serial == serial }) else { return nil }
      return state.owned.remove(at: index)
    }
    if let handle { try check(handle.kind.free()) }
  }

  private static func threadLevel(code: Int32) -> ThreadLevel {
    if code >= cmpi_thread_multiple() { return .multiple }
    if code >= cmpi_thread_serialized() { return .serialized }
    return code >= cmpi_thread_funneled() ? .funneled : .single
  }

  private struct State: Sendable {
    var isInitialized = false
    var ownsLibrary = false
    var threadLevel = ThreadLevel.single
    var errorCommunicator: Handle<MPI_Comm>?
    var owned: [OwnedHandle] = []
    var lastCalls: [(serial: Int, body: @Sendable () -> Void)] = []
    var nextSerial = 0
  }

  private static let state = Mutex(State())
}

/// An MPI handle that may be kept where any thread can reach it.
///
/// Sound because a handle is a name, not memory of ours: only MPI looks behind it, and MPI has its own rules about
/// threads, which the owner of the communicator or window keeps.
struct Handle<Value>: @unchecked Sendable {
  let value: Value
}

/// A handle that must be freed before MPI is finalised.
struct OwnedHandle: Sendable {
  enum Kind: Sendable {
    case communicator(Handle<MPI_Comm>)
    case window(Handle<MPI_Win>)

    func free() -> cmpi_result {
      switch self {
      case .communicator(let handle): cmpi_comm_free(handle.value)
      case .window(let handle): cmpi_window_free(handle.value)
      }
    }
  }

  let serial: Int
  let kind: Kind
}
