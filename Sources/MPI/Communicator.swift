internal import CMPI

/// A group of ranks that exchange messages, and this process's place in it.
///
/// Not `Sendable`: one thread at a time may use a communicator. A thread that communicates while others do needs a
/// communicator of its own (`duplicate`) and `MPIRuntime.threadLevel == .multiple`.
///
/// Every method but the properties is collective: all ranks of the communicator must call it, in the same order. A
/// method that throws `MPIError` on one rank leaves the others where they are; code that can fail on one rank alone
/// belongs into `agree`.
public final class Communicator {
  /// This process's number in the group, from 0.
  public let rank: Int
  /// The number of ranks in the group.
  public let size: Int

  /// The most elements that one MPI call handles, at most 2³¹-1; buffers with more are handled in several calls. Must
  /// be the same on every rank. Only tests have a reason to change it.
  public var largestPiece = 1 << 28

  let handle: MPI_Comm
  /// Counts, offsets and requests for the collectives, so that none of them allocates. Owned by this object.
  let scratch: UnsafeMutablePointer<cmpi_scratch>
  /// Under which the runtime keeps the handle; nil for the world, which is never freed.
  private let serial: Int?

  /// All ranks of the job.
  /// - Throws: `MPIError` when MPI is not initialised.
  public static func world() throws -> Communicator {
    try Communicator(handle: cmpi_world(), serial: nil)
  }

  /// One communicator for each distinct `color` (0 or above), ranks ordered by `key`, then by their rank here: for
  /// programs that divide their ranks in other ways than by node. Training does not.
  /// - Throws: `MPIError`, also when a number does not fit 32 bits.
  public func split(color: Int, key: Int) throws -> Communicator {
    guard let narrowColor = Int32(exactly: color), let narrowKey = Int32(exactly: key), color >= 0 else {
      throw MPIError(
        call: "MPI_Comm_split", code: MPI_ERR_ARG,
        message: "color \(color) must be in 0...\(Int32.max), and key \(key) must fit 32 bits")
    }
    var part: MPI_Comm?
    try check(cmpi_comm_split(handle, narrowColor, narrowKey, &part))
    return try Communicator(adopting: part, call: "MPI_Comm_split")
  }

  /// The same ranks with message traffic of their own: for a library that must not meet its caller's messages, or for
  /// a second thread, where `MPIRuntime.threadLevel` is `.multiple`.
  /// - Throws: `MPIError`.
  public func duplicate() throws -> Communicator {
    var copy: MPI_Comm?
    try check(cmpi_comm_duplicate(handle, &copy))
    return try Communicator(adopting: copy, call: "MPI_Comm_dup")
  }

  /// Frees the communicator before the end of the program; it must not be used again. Collective. Without this it is
  /// freed by `MPIRuntime.finalize`: not when the object ends, because one rank alone may be unwinding from an error.
  /// Does nothing for the world, and the second time.
  /// - Throws: `MPIError`.
  public func free() throws {
    if let serial { try MPIRuntime.free(serial: serial) }
  }

  /// Returns when all ranks have called it.
  /// - Throws: `MPIError`.
  public func barrier() throws {
    try check(cmpi_barrier(handle))
  }

  /// Whether all ranks have called this within `milliseconds`. After a false the communicator must not be used again.
  func barrier(withinMilliseconds milliseconds: Int) throws -> Bool {
    var arrived: Int32 = 0
    try check(cmpi_barrier_within(handle, milliseconds, &arrived))
    return arrived != 0
  }

  /// The rank in the world of the rank `rank` of this communicator.
  func worldRank(of rank: Int) throws -> Int {
    var worldRank: Int32 = 0
    try check(cmpi_world_rank(handle, Int32(truncatingIfNeeded: rank), &worldRank))
    return Int(worldRank)
  }

  /// A communicator over a handle that something else frees.
  init(handle: MPI_Comm, serial: Int?) throws {
    guard MPIRuntime.isInitialized else {
      throw MPIError(
        call: "MPI_Comm_rank", code: MPI_ERR_OTHER,
        message: "MPI is not running: call MPIRuntime.initialize() first, and nothing after finalize()")
    }
    var rank: Int32 = 0
    var size: Int32 = 0
    try check(cmpi_comm_identity(handle, &rank, &size))
    guard let scratch = cmpi_scratch_create(size) else {
      throw MPIError(call: "MPI_Comm_size", code: MPI_ERR_NO_MEM, message: "no memory for the counts of \(size) ranks")
    }
    self.handle = handle
    self.serial = serial
    self.scratch = scratch
    self.rank = Int(rank)
    self.size = Int(size)
  }

  convenience init(adopting handle: MPI_Comm?, call: String) throws {
    guard let handle else {
      throw MPIError(call: call, code: MPI_ERR_COMM, message: "no communicator was made")
    }
    try self.init(handle: handle, serial: MPIRuntime.adopt(.communicator(Handle(value: handle))))
  }

  deinit { cmpi_scratch_destroy(scratch) }
}
