import SystemPackage

#if canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#else
  import Glibc
#endif

/// The right of one process to write into a run folder, held until this is deinitialised or the process ends, however
/// it ends.
public struct RunLock: ~Copyable, Sendable {
  private let descriptor: Int32

  fileprivate init(descriptor: Int32) { self.descriptor = descriptor }

  deinit {
    // Closing releases the lock.
    _ = close(descriptor)
  }
}

extension RunFolder {
  /// Takes the right to write into this folder, so that two jobs cannot resume one run at the same time.
  ///
  /// File systems without locks are taken as they are.
  ///
  /// - Throws: `CheckpointError` if another process holds it; `FileError` if the folder cannot be opened.
  public func lock() throws -> RunLock {
    let descriptor = try check("open the folder", path) {
      path.withPlatformString { open($0, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
    }
    do {
      try check("lock", path) { flock(descriptor, LOCK_EX | LOCK_NB) }
    } catch let error as FileError where error.errno == .wouldBlock {
      _ = close(descriptor)
      throw CheckpointError(path, "another process is writing into this run; wait for it to end, or start a new run")
    } catch {
      // The file system has no locks: no reason to refuse to work on it.
    }
    return RunLock(descriptor: descriptor)
  }
}
