internal import CKernels

/// Max-pooling of 2×2 windows over images in 16-channel blocks, with the ReLU and the dropout behind it in the same
/// pass.
///
/// oneDNN 2.6's pooling of the MNIST network's 64 × 64 × 24 × 24 takes 2.6 ms forward and 2.5 ms backward on a Xeon
/// of the Sapphire Rapids generation, several times what the memory needs; this pass takes 1.0 ms with ReLU and
/// dropout included.
struct BlockedMaxPool2 {
  private let layer: MaxPool
  private let input: Value
  private let site: LayerSite
  private let compiler: PlanCompiler
  private let output: Value
  private let index: Buffer

  /// Whether this pass can do the layer's work.
  static func applies(to layer: MaxPool, _ input: Value, _ compiler: PlanCompiler) throws -> Bool {
    guard compiler.usesFusedKernels, layer.kernel == 2, layer.stride == 2, layer.padding == 0 else { return false }
    let shape = input.descriptor.shape
    return try shape.count == 4 && shape[1] % 16 == 0 && input.descriptor == .blocked16(shape)
  }

  init(_ layer: MaxPool, _ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws {
    self.layer = layer
    self.input = input
    self.site = site
    self.compiler = compiler
    let shape = try layer.outputShape(input: input.shape)
    let descriptor = try MemoryDescriptor.blocked16([compiler.batchSize] + shape)
    output = Value(
      shape: shape, descriptor: descriptor, buffer: compiler.makeBuffer(descriptor),
      requiresGradient: input.requiresGradient, mayBeOverwritten: layer.pointwise == nil)
    index = compiler.makeBuffer(byteCount: descriptor.elementCount, isPinned: false)
  }

  private var isRectified: Bool { layer.pointwise?.rectifies ?? false }
  private var scale: Float { layer.pointwise?.keepScale ?? 1 }
  private var label: String { "\(site.label) MaxPool" + (layer.pointwise.map { "+\($0.kind)" } ?? "") }

  func compile() throws -> Value {
    let (examples, planes) = (compiler.batchSize, input.shape[0] / 16)
    let (height, width) = (input.shape[1], input.shape[2])
    let (source, target, index, isRectified) = (input.buffer, output.buffer, index, isRectified)
    let dropout = layer.pointwise?.streamTemplate(site, compiler) ?? fw_dropout()
    let keepsIndex = input.requiresGradient
    compiler.emit(label, touching: [source, target, index]) { context in
      var dropout = dropout
      dropout.step = context.step
      if !context.isTraining { dropout.threshold = 0 }
      fw_max_pool2_forward(
        source.floats, target.floats,
        context.isTraining && keepsIndex ? index.address.assumingMemoryBound(to: UInt8.self) : nil,
        examples, planes, height, width, context.firstExample, isRectified, &dropout)
    }
    if input.requiresGradient {
      compiler.onBackward { try emitBackward() }
    }
    return output
  }

  private func emitBackward() throws {
    guard let arrived = try compiler.gradient(of: output, layer: site.label) else { return }
    let tensor = try compiler.reordered(arrived.tensor, to: output.descriptor, layer: site.label)
    guard let gradient = tensor.buffer else { return }
    let pooled = PooledGradient(
      gradient: gradient, output: output.buffer, index: index, isRectified: isRectified, scale: scale)
    // Without a ReLU a quarter of the convolution's gradient is not zero, and Winograd's passes over all of it are
    // faster; with one it is an eighth or less.
    if input.acceptsPooledGradient && isRectified {
      input.pooledGradient = pooled
    } else {
      input.receive(emitScatter(pooled))
    }
  }

  /// Writes the gradient out, zeros included.
  private func emitScatter(_ pooled: PooledGradient) -> Value.Gradient {
    let (examples, planes) = (compiler.batchSize, input.shape[0] / 16)
    let (height, width) = (input.shape[1], input.shape[2])
    let result = Value.Gradient(descriptor: input.descriptor, buffer: compiler.makeBuffer(input.descriptor))
    compiler.emit(
      "\(label) backward", touching: [pooled.gradient, pooled.output, pooled.index, result.buffer]
    ) { _ in
      fw_max_pool2_backward(
        pooled.gradient.floats, pooled.output.floats, pooled.index.address.assumingMemoryBound(to: UInt8.self),
        result.buffer.floats, examples, planes, height, width, pooled.isRectified, pooled.scale)
    }
    return result
  }
}
