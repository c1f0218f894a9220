/// What compiling leaves behind: the operations, the memory block, and the memory objects that follow the arenas.
final class Program {
  let engine: Engine
  let stream: Stream
  let forward: [any Operation]
  let backward: [any Operation]
  let marks: [(operationCount: Int, offset: Int)]
  let needs: [(operation: Int, end: Int)]
  let parameters: [PlanCompiler.CompiledParameter]
  let convolutions: [CompiledConvolution]
  let layout: ParameterLayout
  let classCount: Int
  let statistics: [CompiledStatistics]
  /// What the loss reads, batch × classes.
  let logits: Buffer
  /// The logits of the last forward pass, which later operations leave alone.
  let keptLogits: Buffer
  let input: UnsafeMutableRawBufferPointer
  let labels: UnsafeMutableBufferPointer<Int32>

  /// Holds every buffer and the scratch space.
  let block: MemoryBlock
  private let buffers: [Buffer]
  private let parameterBindings: [ArenaBinding]
  private let gradientBindings: [ArenaBinding]

  /// A memory object whose address is an offset, in floats, from that of an arena.
  private typealias ArenaBinding = (memory: Memory, offset: Int)

  /// Two mebibytes, the size of a huge page: activations are walked from end to end.
  private static let blockAlignment = 1 << 21
  private static let bufferAlignment = 4096

  init(_ model: Sequential, batchSize: Int, options: PlanOptions, usesFusedKernels: Bool = true) throws {
    try options.validate()
    let nodes = try ModelCheck.nodes(of: model, batchSize: batchSize)
    let engine = try Engine()
    self.engine = engine
    stream = try Stream(engine)
    let compiler = try PlanCompiler(
      engine: engine, batchSize: batchSize, options: options, usesFusedKernels: usesFusedKernels)

    guard options.precision != .bfloat16 || Precision.hasBFloat16Kernels else {
      throw PlanError.value(
        name: "precision", received: "bfloat16",
        expected: "float32, on a processor for which oneDNN has no bfloat16 kernels (they need AVX-512)")
    }
    let inputDescriptor = try MemoryDescriptor.plain([batchSize] + model.input, options.precision)
    let inputBuffer = compiler.makeBuffer(inputDescriptor, isPinned: true)
    let labelBuffer = compiler.makeLabelBuffer()
    let batch = Value(
      shape: model.input, descriptor: inputDescriptor, buffer: inputBuffer, requiresGradient: false,
      mayBeOverwritten: false)
    let fused = Fusion.apply(nodes, options: options)
    compiler.logitsIndex = Self.logitsIndex(of: fused)
    let outputs = try compiler.compile(fused, batch)
    classCount = outputs.shape[0]
    (logits, keptLogits) = try SoftmaxCrossEntropy.compile(outputs, labels: labelBuffer, compiler)
    try compiler.playTape()

    forward = compiler.forward
    backward = compiler.backward
    marks = compiler.marks
    needs = compiler.needs
    parameters = compiler.parameters
    convolutions = compiler.convolutions
    statistics = compiler.statistics
    buffers = compiler.buffers
    layout = ParameterLayout(compiler.parameters, count: compiler.parameterCount)

    let activations = MemoryPlanner.assignOffsets(buffers, alignment: Self.bufferAlignment)
    let byteCount = activations + roundUp(compiler.scratchByteCount, to: Self.bufferAlignment)
    block = try MemoryBlock(
      byteCount: byteCount, alignment: Self.blockAlignment, for: "a plan for batches of \(batchSize) examples")
    block.address.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
    for buffer in buffers { buffer.place(in: block.address) }
    for statistics in statistics { statistics.reset() }
    input = UnsafeMutableRawBufferPointer(start: inputBuffer.address, count: inputDescriptor.byteCount)
    labels = UnsafeMutableBufferPointer(
      start: labelBuffer.address.bindMemory(to: Int32.self, capacity: batchSize), count: batchSize)

    var (parameterBindings, gradientBindings): ([ArenaBinding], [ArenaBinding]) = ([], [])
    for binding in compiler.bindings {
      switch binding.place {
      case .scratch: try binding.memory.setAddress(block.address + activations)
      case .tensor(.buffer(let buffer)): try binding.memory.setAddress(buffer.address)
      case .tensor(.parameters(let offset)): parameterBindings.append((binding.memory, offset))
      case .tensor(.gradients(let offset)): gradientBindings.append((binding.memory, offset))
      }
    }
    self.parameterBindings = parameterBindings
    self.gradientBindings = gradientBindings
  }

  /// The last dense layer, if nothing but a factor comes behind it.
  private static func logitsIndex(of nodes: [Node]) -> Int? {
    let last = nodes.last { !($0.layer is Scale) }
    return last?.layer is Dense ? last?.site.index : nil
  }

  func bind(parameters: UnsafeMutablePointer<Float>) throws(OneDNNError) {
    for binding in parameterBindings { try binding.memory.setAddress(parameters + binding.offset) }
  }

  /// By index, as this is called between the batches of a step: in a debug build, iterating over an array allocates.
  func bind(gradients: UnsafeMutablePointer<Float>) throws(OneDNNError) {
    for index in 0..<gradientBindings.count {
      try gradientBindings[index].memory.setAddress(gradients + gradientBindings[index].offset)
    }
  }
}

extension PlanCompiler {
  /// Room for one label an example; its lifetime is the plan's.
  func makeLabelBuffer() -> Buffer { makeBuffer(byteCount: batchSize * MemoryLayout<Int32>.stride, isPinned: true) }
}

extension ParameterLayout {
  init(_ parameters: [PlanCompiler.CompiledParameter], count: Int) {
    let tensors = parameters.map { parameter in
      ParameterTensor(
        name: parameter.specification.name, shape: parameter.specification.shape,
        physicalFormat: parameter.physical.formatName, offset: parameter.offset,
        physicalCount: parameter.physical.elementCount, fanIn: parameter.specification.fanIn,
        initializer: parameter.specification.initializer, isTrainable: parameter.specification.isTrainable)
    }
    self.init(tensors: tensors, count: count)
  }
}
