/// A primitive in memory of its own, to be timed alone.
final class TimedPrimitive {
  /// One tensor, as one argument or, for what is computed in place, as several.
  struct Operand {
    let arguments: [Argument]
    let descriptor: MemoryDescriptor

    init(_ arguments: Argument..., descriptor: MemoryDescriptor) {
      self.arguments = arguments
      self.descriptor = descriptor
    }
  }

  /// oneDNN's name of the implementation.
  let implementation: String
  private let primitive: Primitive
  private let blocks: [MemoryBlock]

  /// - Parameter operands: all arguments but the scratchpad, which is added where there is one.
  init(_ descriptor: PrimitiveDescriptor, _ operands: [Operand], _ engine: Engine, for purpose: String) throws {
    var blocks: [MemoryBlock] = []
    var arguments: [(argument: Argument, memory: Memory)] = []
    for operand in operands + [Operand(.scratchpad, descriptor: descriptor.scratchpad)] {
      let tensor = operand.descriptor
      if tensor.isEmpty { continue }
      let block = try MemoryBlock(byteCount: tensor.byteCount, alignment: 4096, for: purpose)
      Self.fill(block, tensor.precision)
      let memory = try Memory(tensor, engine, address: block.address)
      arguments += operand.arguments.map { ($0, memory) }
      blocks.append(block)
    }
    self.blocks = blocks
    primitive = try Primitive(descriptor, arguments)
    implementation = try descriptor.implementation()
  }

  /// Seconds of an execution, over and over on the same bytes; median of the repetitions.
  func time(_ repetitions: Int, _ clock: ProfileClock, on stream: Stream) throws -> Double {
    try clock.median(of: repetitions) { try primitive.execute(stream) }
  }

  /// Positive numbers of ordinary size: denormals would be timed as something else, and variances are positive.
  private static func fill(_ block: MemoryBlock, _ precision: Precision) {
    let period = 1024
    let numbers = (0..<period).map { index in 0.125 + Float(index * 37 % 61) / 64 }
    func copy(_ pattern: UnsafeRawBufferPointer) {
      guard let base = pattern.baseAddress else { return }
      for offset in stride(from: 0, to: block.byteCount, by: pattern.count) {
        (block.address + offset).copyMemory(from: base, byteCount: min(pattern.count, block.byteCount - offset))
      }
    }
    switch precision {
    case .float32: numbers.withUnsafeBytes(copy)
    case .bfloat16: numbers.map { UInt16(truncatingIfNeeded: $0.bitPattern >> 16) }.withUnsafeBytes(copy)
    }
  }
}
