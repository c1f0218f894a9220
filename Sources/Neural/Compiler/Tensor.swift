/// A stretch of the plan's memory block that some operations write and later ones read. The address is known once the
/// whole plan has been compiled; the plan owns the bytes.
final class Buffer {
  let byteCount: Int
  /// First and last operation that touches it, counted over forward and backward; the bytes are free outside.
  private(set) var lifetime: ClosedRange<Int>?
  /// Keeps its bytes for itself: what the caller fills, and what outlives a step.
  let isPinned: Bool
  fileprivate(set) var offset = 0
  private var base: UnsafeMutableRawPointer?

  init(byteCount: Int, isPinned: Bool = false) {
    self.byteCount = byteCount
    self.isPinned = isPinned
  }

  func touch(at time: Int) {
    lifetime = lifetime.map { min($0.lowerBound, time)...max($0.upperBound, time) } ?? time...time
  }

  func place(in block: UnsafeMutableRawPointer) { base = block + offset }

  /// The plan places every buffer before it runs an operation, so there is always a base by then.
  var address: UnsafeMutableRawPointer { base.unsafelyUnwrapped }
  var floats: UnsafeMutablePointer<Float> { address.assumingMemoryBound(to: Float.self) }
  /// The bit patterns of bfloat16 numbers.
  var halves: UnsafeMutablePointer<UInt16> { address.assumingMemoryBound(to: UInt16.self) }
  var doubles: UnsafeMutablePointer<Double> { address.assumingMemoryBound(to: Double.self) }
  var bytes: UnsafeMutablePointer<UInt8> { address.assumingMemoryBound(to: UInt8.self) }
}

/// Lays buffers out in one block: the largest first, each at the lowest offset at which no buffer lies that is alive at
/// the same time.
enum MemoryPlanner {
  /// Assigns the offsets, multiples of `alignment`.
  /// - Returns: bytes of the block.
  static func assignOffsets(_ buffers: [Buffer], alignment: Int) -> Int {
    var placed: [Buffer] = []
    var total = 0
    for buffer in buffers.sorted(by: { $0.byteCount > $1.byteCount }) {
      guard buffer.isPinned || buffer.lifetime != nil else { continue }
      let neighbours = placed.filter { overlaps($0, buffer) }.sorted { $0.offset < $1.offset }
      var offset = 0
      for neighbour in neighbours {
        if offset + buffer.byteCount <= neighbour.offset { break }
        offset = max(offset, roundUp(neighbour.offset + neighbour.byteCount, to: alignment))
      }
      buffer.offset = offset
      placed.append(buffer)
      total = max(total, offset + buffer.byteCount)
    }
    return roundUp(total, to: alignment)
  }

  private static func overlaps(_ first: Buffer, _ second: Buffer) -> Bool {
    if first.isPinned || second.isPinned { return true }
    guard let one = first.lifetime, let other = second.lifetime else { return false }
    return one.overlaps(other)
  }
}

/// `value` rounded up to a multiple of `unit`.
func roundUp(_ value: Int, to unit: Int) -> Int { (value + unit - 1) / unit * unit }

/// A layout and where its bytes are.
struct Tensor {
  enum Storage {
    /// In the plan's own memory.
    case buffer(Buffer)
    /// At an offset, in floats, of the parameter arena that the caller has bound.
    case parameters(offset: Int)
    /// At an offset, in floats, of the gradient arena that the caller has bound.
    case gradients(offset: Int)
  }

  let descriptor: MemoryDescriptor
  let storage: Storage

  var buffer: Buffer? {
    if case .buffer(let buffer) = storage { return buffer }
    return nil
  }
}
