internal import CMPI
import Glibc

/// Why memory cannot be shared between the ranks of a node. Thrown on every rank of the node.
public enum SharedWindowError: CollectiveError, CustomStringConvertible {
  /// The folder that holds shared memory has less room than the window needs.
  case tooSmall(folder: String, host: String, freeBytes: Int, neededBytes: Int, node: Ranks)
  /// The folder that holds shared memory cannot be asked for its room.
  case noFolder(folder: String, host: String, reason: String, node: Ranks)
  /// A size that no memory can have.
  case badSize(byteCount: Int, rank: Int, node: Ranks)

  /// The ranks of the node, all of which throw the error.
  public struct Ranks: Sendable {
    /// How many they are.
    public let count: Int
    /// The first of them, by its rank in the world.
    public let first: Int
  }

  /// The number of ranks of the node.
  public var participantCount: Int { node.count }

  /// The first rank of the node.
  public var reportingRank: Int { node.first }

  private var node: Ranks {
    switch self {
    case .tooSmall(_, _, _, _, let node), .noFolder(_, _, _, let node), .badSize(_, _, let node): node
    }
  }

  /// One line: what is there, what is needed, what to do.
  public var description: String {
    switch self {
    case .tooSmall(let folder, let host, let freeBytes, let neededBytes, let node):
      "\(folder) on \(host) has \(mebibytes(freeBytes, up: false)) MiB free, but the memory that \(node.count) ranks "
        + "share needs \(mebibytes(neededBytes, up: true)) MiB: enlarge it (in a container, --shm-size) or use an "
        + "exchange without shared memory"
    case .noFolder(let folder, let host, let reason, _):
      "\(folder) on \(host), where MPI puts shared memory, cannot be used (\(reason)): mount a tmpfs there or use an "
        + "exchange without shared memory"
    case .badSize(let byteCount, let rank, _):
      "a shared window of \(byteCount) bytes was asked for by rank \(rank) of the node: sizes are 0 or more and their "
        + "sum must fit in memory"
    }
  }

  private func mebibytes(_ bytes: Int, up: Bool) -> Int {
    bytes / 1_048_576 + (up && bytes % 1_048_576 != 0 ? 1 : 0)
  }
}

/// Memory that all ranks of a node read and write directly: one segment per rank, each on pages of its own.
///
/// Each segment begins on a page (so on a multiple of 64 bytes) and is zero at first. The segments belong to MPI and
/// stay where they are until `free` or `MPIRuntime.finalize`, whichever comes first; the object may end before. What
/// one rank writes another may read only after they have synchronised: with `Communicator.barrier`, or with atomics in
/// the window, the writer releasing and the reader acquiring.
public final class SharedWindow {
  /// The number of segments: the ranks of the node.
  public let segmentCount: Int

  private let segments: [UnsafeMutableRawBufferPointer]
  private let serial: Int

  /// Allocates `byteCount` bytes for this rank and maps every other rank's segment. Collective over `node`, which must
  /// be a communicator of one node (`splitByNode`). Ranks may ask for different sizes, also for none.
  ///
  /// The folder in which MPI puts the memory is asked for its free space first: writing to a mapping that has no room
  /// behind it ends the process with SIGBUS. All pages are written here, each by its owner, so room found free now
  /// stays ours, and on a machine with several memory controllers each segment lies next to its owner.
  ///
  /// - Throws: `SharedWindowError` on every rank of the node; `MPIError`.
  public init(node: Communicator, byteCount: Int) throws {
    let pageSize = max(64, Int(sysconf(Int32(_SC_PAGESIZE))))
    let byteCounts = try node.allGather(byteCount)
    let ranks = SharedWindowError.Ranks(count: node.size, first: try node.worldRank(of: 0))
    let limit = Int.max / 4 / node.size - 2 * pageSize
    if let rank = byteCounts.firstIndex(where: { $0 < 0 || $0 > limit }) {
      throw SharedWindowError.badSize(byteCount: byteCounts[rank], rank: rank, node: ranks)
    }
    // MPI aligns segments to nothing in particular; a page more leaves room to begin on one.
    let allocated = byteCounts.map { ($0 + pageSize - 1) / pageSize * pageSize + pageSize }
    // A rank alone on its node is given ordinary memory.
    if node.size > 1 { try SharedWindow.requireRoom(forBytes: allocated.reduce(0, +), node: node, ranks: ranks) }

    var window: MPI_Win?
    try check(cmpi_window_create(node.handle, allocated[node.rank], &window))
    guard let window else {
      throw MPIError(call: "MPI_Win_allocate_shared", code: MPI_ERR_WIN, message: "no window was made")
    }
    serial = MPIRuntime.adopt(.window(Handle(value: window)))
    segmentCount = node.size
    segments = try byteCounts.indices.map { rank in
      try SharedWindow.segment(of: rank, byteCount: byteCounts[rank], window: window, pageSize: pageSize)
    }
    _ = segments[node.rank].initializeMemory(as: UInt8.self, repeating: 0)
    try node.barrier()
  }

  /// The memory of a rank of the node, as this process sees it. Valid until `free` or `MPIRuntime.finalize`.
  /// - Precondition: `rank` is in `0..<segmentCount`.
  public func segment(of rank: Int) -> UnsafeMutableRawBufferPointer { segments[rank] }

  /// Gives the memory back before the end of the program. Collective over the node; afterwards no segment may be
  /// touched. Without this the memory lives until `MPIRuntime.finalize`.
  /// - Throws: `MPIError`.
  public func free() throws { try MPIRuntime.free(serial: serial) }

  /// Where MPI puts the memory of windows on this machine: `/dev/shm` unless configured otherwise (with Open MPI by
  /// `--mca osc_sm_backing_directory`).
  public static var folder: String { text(capacity: 4096, cmpi_window_folder) }

  /// Room to leave for each rank: MPI's messages within a node go through the same folder. Open MPI maps 4 MiB a rank
  /// there and fills them as messages come, so that they are not all part of what is used now.
  private static let messageBufferBytes = 4 << 20

  private static func requireRoom(forBytes bytes: Int, node: Communicator, ranks: SharedWindowError.Ranks) throws {
    let folder = SharedWindow.folder
    let free = cmpi_free_bytes(folder)
    let reason = free < 0 ? String(cString: strerror(errno)) : ""
    let leastFree = try node.allReduceMin(free)
    let needed = bytes + node.size * messageBufferBytes
    if leastFree < 0 {
      throw SharedWindowError.noFolder(folder: folder, host: MPIRuntime.hostName, reason: reason, node: ranks)
    }
    if leastFree < needed {
      throw SharedWindowError.tooSmall(
        folder: folder, host: MPIRuntime.hostName, freeBytes: leastFree, neededBytes: needed, node: ranks)
    }
  }

  private static func segment(
    of rank: Int, byteCount: Int, window: MPI_Win, pageSize: Int
  ) throws -> UnsafeMutableRawBufferPointer {
    var base: UnsafeMutableRawPointer?
    var size = 0
    try check(cmpi_window_segment(window, Int32(rank), &base, &size))
    // Every process maps the window at the start of a page, so all find the same first whole page in a segment.
    guard let start = base?.alignedUp(toMultipleOf: pageSize), let base, start + byteCount <= base + size else {
      throw MPIError(
        call: "MPI_Win_shared_query", code: MPI_ERR_SIZE,
        message: "the segment of rank \(rank) has \(size) bytes, too few for \(byteCount) on pages of their own")
    }
    return UnsafeMutableRawBufferPointer(start: start, count: byteCount)
  }
}
