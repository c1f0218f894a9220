import Glibc

/// The progress records of the ranks of a node.
///
/// A POSIX shared memory object of a few kilobytes rather than an MPI window: a watchdog looks at the records of others
/// to the very end of the process, also when MPI is stuck or has been finalised. The memory is never unmapped; its name
/// is removed as soon as all ranks have it, so nothing stays behind in /dev/shm.
public struct SharedRecords: @unchecked Sendable {
  // Sound: the memory lives as long as the process, and all that is in it is reached through atomics.
  let base: UnsafeMutableRawPointer
  /// How many records there are.
  public let count: Int
  /// Whether other processes see them.
  public let isShared: Bool

  /// Records that only this process sees.
  public init(privateCount count: Int = 1) {
    let byteCount = max(count, 1) * ProgressRecord.byteCount
    base = .allocate(byteCount: byteCount, alignment: 128)
    base.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
    (self.count, isShared) = (max(count, 1), false)
  }

  /// Makes records for `count` ranks under `name`, for other ranks of the node to open: on one rank of each node.
  ///
  /// - Throws: ``MonitoringError``, as where /dev/shm is full or missing.
  public init(creating name: String, count: Int) throws(MonitoringError) {
    try self.init(name, flags: O_RDWR | O_CREAT | O_EXCL, count: count)
  }

  /// Opens what another rank of the node has made.
  ///
  /// - Throws: ``MonitoringError``.
  public init(opening name: String, count: Int) throws(MonitoringError) {
    try self.init(name, flags: O_RDWR, count: count)
  }

  private init(_ name: String, flags: Int32, count: Int) throws(MonitoringError) {
    let byteCount = count * ProgressRecord.byteCount
    let file = shm_open(name, flags, 0o600)
    guard file >= 0 else { throw MonitoringError(call: "shm_open \(name)", code: errno) }
    defer { close(file) }
    if flags & O_CREAT != 0 {
      // Allocated, not just made long: a write to memory without room behind it would end the process by SIGBUS.
      let code = posix_fallocate(file, 0, byteCount)
      guard code == 0 else {
        shm_unlink(name)
        throw MonitoringError(call: "posix_fallocate", code: code)
      }
    }
    guard let memory = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0), memory != MAP_FAILED else {
      throw MonitoringError(call: "mmap", code: errno)
    }
    base = memory
    self.count = count
    isShared = true
  }

  /// Removes the name; who has the memory keeps it.
  public static func remove(_ name: String) { shm_unlink(name) }

  subscript(index: Int) -> ProgressRecord { ProgressRecord(base + index * ProgressRecord.byteCount) }
}

/// A system call that failed. Nothing in a run depends on what it was for, so it becomes a note.
public struct MonitoringError: Error, CustomStringConvertible {
  let call: String
  let code: Int32

  /// `shm_open …: No space left on device`
  public var description: String { "\(call): \(String(cString: strerror(code)))" }
}
