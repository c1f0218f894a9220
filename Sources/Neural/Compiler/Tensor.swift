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

/// What flows between two layers: the activations of a whole batch, and later their gradient.
final class Value {
  /// Shape of one example, as the layers see it. The descriptor may know more: behind a `Flatten` it still tells
  /// channels from positions, so that a dense layer can take a blocked source as it is.
  let shape: [Int]
  let descriptor: MemoryDescriptor
  let buffer: Buffer
  /// Whether some layer in front of this value has parameters.
  let requiresGradient: Bool
  /// Whether an operation may put its result in the same bytes: no backward pass reads this value, nor does the caller.
  let mayBeOverwritten: Bool
  /// Set while the tape is played back, by the one layer that took this value.
  var gradient: Gradient?
  /// Whether the layer that made this value can go back from a ``PooledGradient``; a pooling behind it then leaves that
  /// instead of `gradient`.
  var acceptsPooledGradient = false
  /// See `acceptsPooledGradient`.
  var pooledGradient: PooledGradient?
  /// The value is what a ReLU fused into a primitive put out.
  var isRectified = false
  /// The layer that set `gradient` has applied that ReLU's mask already.
  var gradientIsRectified = false

  struct Gradient {
    let descriptor: MemoryDescriptor
    let buffer: Buffer
    var tensor: Tensor { Tensor(descriptor: descriptor, storage: .buffer(buffer)) }
  }

  init(
    shape: [Int], descriptor: MemoryDescriptor, buffer: Buffer, requiresGradient: Bool, mayBeOverwritten: Bool
  ) {
    self.shape = shape
    self.descriptor = descriptor
    self.buffer = buffer
    self.requiresGradient = requiresGradient
    self.mayBeOverwritten = mayBeOverwritten
  }

  var tensor: Tensor { Tensor(descriptor: descriptor, storage: .buffer(buffer)) }
}

/// The gradient of what went into a max-pooling, not written out: it is zero but for one element a window.
struct PooledGradient {
  /// Gradient of the pooling's output.
  let gradient: Buffer
  /// The pooling's output; where `isRectified`, the gradient passes only where this is positive.
  let output: Buffer
  /// Which element of its window was the largest, a byte for each element of the output.
  let index: Buffer
  let isRectified: Bool
  /// Factor on the gradient: what a dropout behind the pooling multiplied the kept elements by.
  let scale: Float
}
