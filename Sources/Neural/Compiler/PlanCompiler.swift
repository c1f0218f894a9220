internal import CKernels

/// Turns layers into operations.
///
/// A layer's `compile` emits its forward operations and records, on a tape, how to emit its backward ones. When all
/// layers are done the tape is played from the end: each entry reads the gradient of the value it made and sets that
/// of the value it took. Where a value has several readers, each reads an alias of it, and the gradients meet again.
final class PlanCompiler {
  let engine: Engine
  let batchSize: Int
  let options: PlanOptions
  /// Off: every operation for which oneDNN has a primitive is that primitive (the yardstick of the profiler).
  let usesFusedKernels: Bool
  /// Attributes of every primitive without a fused ReLU.
  let attributes: Attributes
  let rectifiedAttributes: Attributes

  private(set) var forward: [any Operation] = []
  private(set) var backward: [any Operation] = []
  /// After so many backward operations, all gradients at this arena offset and beyond are final.
  private(set) var marks: [(operationCount: Int, offset: Int)] = []
  /// From this forward operation on, parameters below this arena offset are read.
  private(set) var needs: [(operation: Int, end: Int)] = []
  private(set) var buffers: [Buffer] = []
  private(set) var parameters: [CompiledParameter] = []
  private(set) var parameterCount = 0
  private(set) var bindings: [Binding] = []
  private(set) var scratchByteCount = 0
  /// Convolutions, for the profiler's search among algorithms.
  var convolutions: [CompiledConvolution] = []
  /// Running statistics, in the order of the layers.
  private(set) var statistics: [CompiledStatistics] = []
  /// The layer whose outputs are the logits, which are single precision whatever the activations are.
  var logitsIndex: Int?

  private var tape: [() throws -> Void] = []
  private var isBackward = false
  private var time = 0

  /// A memory object and what its address will be.
  struct Binding {
    enum Place {
      case tensor(Tensor.Storage)
      case scratch
    }
    let memory: Memory
    let place: Place
  }

  /// A parameter with its place in the arenas.
  struct CompiledParameter {
    let specification: ParameterSpecification
    let physical: MemoryDescriptor
    /// The same shape in row-major order; may have more dimensions than the specification's (a dense layer behind a
    /// flattened image), but the same order of elements.
    let plain: MemoryDescriptor
    let offset: Int

    var value: Tensor { Tensor(descriptor: physical, storage: .parameters(offset: offset)) }
    var gradient: Tensor { Tensor(descriptor: physical, storage: .gradients(offset: offset)) }
  }

  init(engine: Engine, batchSize: Int, options: PlanOptions, usesFusedKernels: Bool) throws {
    self.engine = engine
    self.batchSize = batchSize
    self.options = options
    self.usesFusedKernels = usesFusedKernels
    attributes = try Attributes()
    rectifiedAttributes = try Attributes(rectified: true)
  }

  /// Precision of activations between layers; a convolution may compute in another, see ``ConvolutionRule``.
  var precision: Precision { options.precision }

  // MARK: - What layers call

  /// A buffer for a tensor of the given layout.
  func makeBuffer(_ descriptor: MemoryDescriptor, isPinned: Bool = false) -> Buffer {
    makeBuffer(byteCount: descriptor.byteCount, isPinned: isPinned)
  }

  /// A buffer of any content.
  func makeBuffer(byteCount: Int, isPinned: Bool) -> Buffer {
    let buffer = Buffer(byteCount: byteCount, isPinned: isPinned)
    buffers.append(buffer)
    return buffer
  }

  /// Gives a parameter the next place in the arenas.
  func makeParameter(
    _ specification: ParameterSpecification, physical: MemoryDescriptor
  ) throws -> CompiledParameter {
    let parameter = CompiledParameter(
      specification: specification, physical: physical, plain: try .plain(physical.shape), offset: parameterCount)
    // Tensors start on cache lines, so that no two of them share one.
    parameterCount += roundUp(physical.elementCount, to: 16)
    parameters.append(parameter)
    if needs.last?.operation == forward.count { needs.removeLast() }
    needs.append((forward.count, parameterCount))
    return parameter
  }

  /// Appends a primitive to the program under way.
  func emit(
    _ descriptor: PrimitiveDescriptor, layer: String, _ direction: PrimitiveRecord.Direction,
    _ arguments: [(argument: Argument, tensor: Tensor)]
  ) throws {
    var bound: [(argument: Argument, memory: Memory)] = []
    for (argument, tensor) in arguments {
      let memory = try Memory(tensor.descriptor, engine)
      bindings.append(Binding(memory: memory, place: .tensor(tensor.storage)))
      bound.append((argument, memory))
      tensor.buffer?.touch(at: time)
    }
    let scratchpad = descriptor.scratchpad
    if !scratchpad.isEmpty {
      let memory = try Memory(scratchpad, engine)
      scratchByteCount = max(scratchByteCount, scratchpad.byteCount)
      bindings.append(Binding(memory: memory, place: .scratch))
      bound.append((.scratchpad, memory))
    }
    let record = PrimitiveRecord(
      layer: layer, direction: direction, implementation: try descriptor.implementation())
    append(PrimitiveOperation(record, try Primitive(descriptor, bound)))
  }

  /// Appends a loop of our own, which touches the given buffers.
  /// - Parameter equivalents: the primitives that a plan made of nothing else would run for this work; none where
  ///   oneDNN has none, and where another operation names them.
  func emit(
    _ label: String, touching touched: [Buffer], equivalents: [Equivalent] = [],
    _ body: @escaping (RunContext) throws -> Void
  ) {
    for buffer in touched { buffer.touch(at: time) }
    append(KernelOperation(label, equivalents: equivalents, body))
  }

  /// The tensor in the wanted layout: itself, or a copy. Of another shape it is the same numbers in row-major order, as
  /// an image and its features are.
  func reordered(_ tensor: Tensor, to wanted: MemoryDescriptor, layer: String) throws -> Tensor {
    if tensor.descriptor == wanted { return tensor }
    if try tensor.descriptor.coincides(with: wanted) { return Tensor(descriptor: wanted, storage: tensor.storage) }
    let shape = tensor.descriptor.shape
    if shape != wanted.shape {
      let inOrder = try reordered(tensor, to: .plain(shape, wanted.precision), layer: layer)
      let reshaped = Tensor(descriptor: try .plain(wanted.shape, wanted.precision), storage: inOrder.storage)
      return try reordered(reshaped, to: wanted, layer: layer)
    }
    let copy = Tensor(descriptor: wanted, storage: .buffer(makeBuffer(wanted)))
    try emitReorder(tensor, to: copy, layer: layer)
    return copy
  }

  /// The tensor in the same layout and another precision: itself, or a copy.
  func converted(_ tensor: Tensor, to precision: Precision, layer: String) -> Tensor {
    guard tensor.descriptor.precision != precision, let source = tensor.buffer else { return tensor }
    let descriptor = tensor.descriptor.with(precision)
    let (target, count) = (makeBuffer(descriptor), descriptor.elementCount)
    emit("\(layer) conversion to \(precision.rawValue)", touching: [source, target]) { _ in
      switch precision {
      case .float32: fw_float32_from_bfloat16(source.halves, target.floats, count)
      case .bfloat16: fw_bfloat16_from_float32(source.floats, target.halves, count)
      }
    }
    return Tensor(descriptor: descriptor, storage: .buffer(target))
  }

  /// Copies a tensor into another layout, or another place.
  func emitReorder(_ source: Tensor, to destination: Tensor, layer: String) throws {
    let descriptor = try PrimitiveDescriptor.reorder(
      from: source.descriptor, to: destination.descriptor, attributes, engine)
    try emit(descriptor, layer: layer, .reorder, [(.source, source), (.destination, destination)])
  }

  /// Places for the running statistics of a normalisation.
  func makeStatistics(_ name: String, channels: Int) -> CompiledStatistics {
    let made = CompiledStatistics(name: name, channels: channels, compiler: self)
    statistics.append(made)
    return made
  }

  /// Emits layers one behind the other.
  func compile(_ nodes: [Node], _ input: Value) throws -> Value {
    var value = input
    for node in nodes { value = try node.layer.compile(value, node.site, self) }
    return value
  }

  /// Records how to emit the backward operations of what was just emitted.
  func onBackward(_ entry: @escaping () throws -> Void) { tape.append(entry) }

  /// To be called by a layer with parameters when its backward operations have all been emitted.
  func markFinished(from offset: Int) { marks.append((backward.count, offset)) }

  // MARK: - What the plan calls

  /// Emits all backward operations.
  func playTape() throws {
    isBackward = true
    while let entry = tape.popLast() { try entry() }
  }

  private func append(_ operation: any Operation) {
    if isBackward { backward.append(operation) } else { forward.append(operation) }
    time += 1
  }
}
