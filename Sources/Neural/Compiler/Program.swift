/// What compiling leaves behind: the operations, the memory block, and the memory objects that follow the arenas.
final class Program {
  let engine: Engine
  let stream: Stream
  let forward: [any Operation]
  let backward: [any Operation]
  let marks: [(operationCount: Int, offset: Int)]
  let parameters: [PlanCompiler.CompiledParameter]
  let convolutions: [CompiledConvolution]
  let layout: ParameterLayout
  let classCount: Int
  let input: UnsafeMutableBufferPointer<Float>
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

    let inputDescriptor = try MemoryDescriptor.plain([batchSize] + model.input)
    let inputBuffer = compiler.makeBuffer(inputDescriptor, isPinned: true)
    let labelBuffer = compiler.makeLabelBuffer()
    var value = Value(
      shape: model.input, descriptor: inputDescriptor, buffer: inputBuffer, requiresGradient: false,
      mayBeOverwritten: false)
    for node in Fusion.apply(nodes, options: options) {
      value = try node.layer.compile(value, node.site, compiler)
    }
    classCount = value.shape[0]
    try SoftmaxCrossEntropy.compile(value, labels: labelBuffer, compiler)
    try compiler.playTape()

    forward = compiler.forward
    backward = compiler.backward
    marks = compiler.marks
    parameters = compiler.parameters
    convolutions = compiler.convolutions
    buffers = compiler.buffers
    layout = ParameterLayout(compiler.parameters, count: compiler.parameterCount)

    let activations = MemoryPlanner.assignOffsets(buffers, alignment: Self.bufferAlignment)
    let byteCount = activations + roundUp(compiler.scratchByteCount, to: Self.bufferAlignment)
    block = try MemoryBlock(
      byteCount: byteCount, alignment: Self.blockAlignment, for: "a plan for batches of \(batchSize) examples")
    block.address.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
    for buffer in buffers { buffer.place(in: block.address) }
    input = UnsafeMutableBufferPointer(start: inputBuffer.floats, count: inputDescriptor.floatCount)
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

  func bind(parameters: UnsafeMutablePointer<Float>) throws(OneDNNError) {
    for binding in parameterBindings { try binding.memory.setAddress(parameters + binding.offset) }
  }

  func bind(gradients: UnsafeMutablePointer<Float>) throws(OneDNNError) {
    for binding in gradientBindings { try binding.memory.setAddress(gradients + binding.offset) }
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
        physicalCount: parameter.physical.floatCount, fanIn: parameter.specification.fanIn)
    }
    self.init(tensors: tensors, count: count)
  }
}
