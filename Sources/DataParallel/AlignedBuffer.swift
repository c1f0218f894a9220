import Glibc

/// A zero-filled array of floats on a 64-byte boundary, freed with its owner.
///
/// The memory belongs to this object alone; whoever holds one of its pointers must keep the object alive.
public final class AlignedBuffer {
  /// The first element.
  public let pointer: UnsafeMutablePointer<Float>
  /// The number of floats.
  public let count: Int

  /// Allocates `count` floats; `what` names them in the error.
  ///
  /// - Throws: ``DataParallelError/outOfMemory(byteCount:what:)``.
  public init(count: Int, for what: String) throws {
    let byteCount = max(count, 1) * MemoryLayout<Float>.stride
    var memory: UnsafeMutableRawPointer?
    guard posix_memalign(&memory, 64, byteCount) == 0, let memory else {
      throw DataParallelError.outOfMemory(byteCount: byteCount, what: what)
    }
    memset(memory, 0, byteCount)
    pointer = memory.bindMemory(to: Float.self, capacity: max(count, 1))
    self.count = count
  }

  deinit { free(pointer) }
}
