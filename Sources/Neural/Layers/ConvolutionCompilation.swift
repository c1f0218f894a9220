/// The logical side of a convolution: all that the choice of an algorithm may depend on.
struct ConvolutionShape: Hashable {
  let batch: Int
  let inputChannels: Int
  let outputChannels: Int
  let inputSize: [Int]
  let outputSize: [Int]
  let geometry: WindowGeometry
  let hasBias: Bool
  let isRectified: Bool
  var groups = 1
  /// Of source and destination, and of the weights that the primitives read.
  var precision = Precision.float32

  /// One grey or three colour channels: too few to be worth blocking.
  var hasImageSource: Bool { inputChannels <= 3 }
  var sourceShape: [Int] { [batch, inputChannels] + inputSize }
  /// Groups come first where there are several, so that all else divides by them.
  var weightsShape: [Int] {
    let grouped = [outputChannels / groups, inputChannels / groups] + geometry.kernel
    return groups == 1 ? grouped : [groups] + grouped
  }
  var destinationShape: [Int] { [batch, outputChannels] + outputSize }
}

/// Primitive descriptors of a convolution, for any algorithm and with layouts given or left open.
struct ConvolutionPrimitives {
  let shape: ConvolutionShape
  let engine: Engine
  private let attributes: Attributes
  private let rectifiedAttributes: Attributes
  private let bias: MemoryDescriptor?
  private let anySource: MemoryDescriptor
  private let anyWeights: MemoryDescriptor
  /// Gradients of weights are single precision.
  private let anyWeightsGradient: MemoryDescriptor
  private let anyDestination: MemoryDescriptor
  /// What the source is when nothing is said: an image of few channels comes as it is, in NCHW. oneDNN has a kernel for
  /// that, and no copy is needed.
  private let freeSource: MemoryDescriptor

  init(_ shape: ConvolutionShape, _ compiler: PlanCompiler) throws(OneDNNError) {
    self.shape = shape
    engine = compiler.engine
    attributes = compiler.attributes
    rectifiedAttributes = compiler.rectifiedAttributes
    bias = shape.hasBias ? try .plain([shape.outputChannels]) : nil
    anySource = try .any(shape.sourceShape, shape.precision)
    anyWeights = try .any(shape.weightsShape, shape.precision)
    anyWeightsGradient = try .any(shape.weightsShape)
    anyDestination = try .any(shape.destinationShape, shape.precision)
    freeSource = shape.hasImageSource ? try .plain(shape.sourceShape, shape.precision) : anySource
  }

  func forward(
    _ kernel: ConvolutionKernel, source: MemoryDescriptor? = nil, destination: MemoryDescriptor? = nil
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    try .convolutionForward(
      kernel, source: source ?? freeSource, weights: anyWeights, bias: bias,
      destination: destination ?? anyDestination,
      shape.geometry, shape.isRectified ? rectifiedAttributes : attributes, engine)
  }

  /// With 16 channels on both sides blocks of 16 channels are channels-last as well, and for that oneDNN has another
  /// kernel. 64 × 16 × 32 × 32 on one core of a Zen 4: 2.75 ms against 3.51 ms in single precision, 1.41 against 1.54
  /// in bfloat16.
  /// - Returns: nil for other shapes, and where oneDNN has no such kernel.
  func forwardOf16Channels(_ kernel: ConvolutionKernel) throws(OneDNNError) -> PrimitiveDescriptor? {
    guard kernel == .direct, shape.inputChannels == 16, shape.outputChannels == 16, shape.groups == 1,
      shape.geometry.stride == [1, 1]
    else { return nil }
    let (source, destination): (MemoryDescriptor, MemoryDescriptor) = (
      try .channelsLast(shape.sourceShape, shape.precision), try .channelsLast(shape.destinationShape, shape.precision)
    )
    let made = try ifImplemented { () throws(OneDNNError) in
      try forward(kernel, source: source, destination: destination)
    }
    guard let made, try made.implementation().hasPrefix("brgconv:") else { return nil }
    return made
  }

  func backwardData(
    _ kernel: ConvolutionKernel, weights: MemoryDescriptor? = nil, destinationGradient: MemoryDescriptor? = nil,
    hint: PrimitiveDescriptor
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    try .convolutionBackwardData(
      kernel, sourceGradient: anySource, weights: weights ?? anyWeights,
      destinationGradient: destinationGradient ?? anyDestination, shape.geometry, hint: hint, attributes, engine)
  }

  func backwardWeights(
    _ kernel: ConvolutionKernel, source: MemoryDescriptor? = nil, weightsGradient: MemoryDescriptor? = nil,
    destinationGradient: MemoryDescriptor? = nil, hint: PrimitiveDescriptor
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    try .convolutionBackwardWeights(
      kernel, source: source ?? freeSource, weightsGradient: weightsGradient ?? anyWeightsGradient, biasGradient: bias,
      destinationGradient: destinationGradient ?? anyDestination, shape.geometry, hint: hint, attributes, engine)
  }

  /// The first algorithm of the list for which oneDNN has an implementation.
  func firstAvailable(
    _ kernels: [ConvolutionKernel], _ make: (ConvolutionKernel) throws(OneDNNError) -> PrimitiveDescriptor
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    for kernel in kernels.dropLast() {
      if let made = try ifImplemented({ () throws(OneDNNError) in try make(kernel) }) { return made }
    }
    return try make(kernels.last ?? .direct)
  }
}

/// A convolution that a plan runs, for the profiler.
struct CompiledConvolution {
  let label: String
  let primitives: ConvolutionPrimitives
}

/// A convolution on its way into a plan.
final class ConvolutionCompilation {
  private let layer: Convolution
  private let input: Value
  private let site: LayerSite
  private let compiler: PlanCompiler
  private let primitives: ConvolutionPrimitives
  private let forward: PrimitiveDescriptor
  /// What came in, in the layout and precision of the forward pass.
  private let source: Tensor
  private let weights: PlanCompiler.CompiledParameter
  private let bias: PlanCompiler.CompiledParameter?

  private var shape: ConvolutionShape { primitives.shape }

  init(_ layer: Convolution, _ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws {
    self.layer = layer
    self.input = input
    self.site = site
    self.compiler = compiler
    let output = try layer.outputShape(input: input.shape)
    var shape = ConvolutionShape(
      batch: compiler.batchSize, inputChannels: input.shape[0], outputChannels: layer.channels,
      inputSize: Array(input.shape[1...]), outputSize: Array(output[1...]), geometry: layer.geometry,
      hasBias: layer.hasBias, isRectified: layer.isRectified, groups: layer.groups, precision: compiler.precision)
    if ConvolutionRule.widens(shape, compiler.options.convolution) { shape.precision = .float32 }
    let primitives = try ConvolutionPrimitives(shape, compiler)
    self.primitives = primitives
    let kernels = ConvolutionRule.kernels(compiler.options.convolution, shape, .forward)
    let given = compiler.converted(input.tensor, to: shape.precision, layer: site.label)
    let (atHand, hasImageSource) = (given.descriptor, shape.hasImageSource)
    let forward = try primitives.firstAvailable(kernels) { kernel throws(OneDNNError) in
      if let special = try primitives.forwardOf16Channels(kernel) { return special }
      return try compiler.preferringLayoutsAtHand { () throws(OneDNNError) in
        try primitives.forward(kernel, source: hasImageSource ? atHand : nil)
      } free: { () throws(OneDNNError) in
        try primitives.forward(kernel)
      }
    }
    source = try compiler.reordered(given, to: forward.source, layer: site.label)
    let specifications = layer.parameters(input: input.shape)
    self.forward = forward
    // In single precision the arena has the layout that the forward pass reads. In bfloat16 every pass reads a copy,
    // and it is the gradients that are written as they come.
    let physical =
      shape.precision == .float32
      ? forward.weights : try primitives.backwardWeights(.direct, hint: forward).weightsGradient
    weights = try compiler.makeParameter(specifications[0], physical: physical)
    bias =
      layer.hasBias
      ? try compiler.makeParameter(specifications[1], physical: .plain([layer.channels])) : nil
    compiler.convolutions.append(
      CompiledConvolution(label: site.label, primitives: primitives))
  }

  func emitForward() throws -> Value {
    let computed = Tensor(
      descriptor: forward.destination, storage: .buffer(compiler.makeBuffer(forward.destination)))
    var arguments: [(argument: Argument, tensor: Tensor)] = [
      (.source, source),
      (.weights, try compiler.reordered(weights.value, to: forward.weights, layer: site.label)),
      (.destination, computed),
    ]
    if let bias { arguments.append((.bias, bias.value)) }
    try compiler.emit(forward, layer: site.label, .forward, arguments)

    let stored = compiler.converted(computed, to: compiler.precision, layer: site.label)
    guard let buffer = stored.buffer else { return input }
    // A fused ReLU's mask is read off the stored output on the way back.
    let output = Value(
      shape: [shape.outputChannels] + shape.outputSize, descriptor: stored.descriptor, buffer: buffer,
      requiresGradient: layer.isTrainable || input.requiresGradient, mayBeOverwritten: !layer.isRectified)
    output.acceptsPooledGradient =
      try layer.isTrainable && shape.precision == compiler.precision
      && PooledConvolutionBackward.applies(
        shape, source: source.descriptor, output: stored.descriptor, compiler)
    output.isRectified = layer.isRectified
    return output
  }

  func emitBackward(_ output: Value) throws {
    guard output.requiresGradient else {
      // Nothing is trained up to here; all gradients from here on are final all the same.
      compiler.markFinished(from: weights.offset)
      return
    }
    if let pooled = output.pooledGradient {
      try PooledConvolutionBackward.emit(
        pooled, shape, input: input, source: source, weights: weights, bias: bias, layer: site.label, compiler)
      compiler.markFinished(from: weights.offset)
      return
    }
    guard let arrived = try compiler.gradient(of: output, layer: site.label) else { return }
    var gradient = arrived.tensor
    if layer.isRectified && !output.gradientIsRectified {
      gradient = try compiler.rectifyGradient(arrived, by: output, layer: site.label)
    }
    gradient = compiler.converted(gradient, to: shape.precision, layer: site.label)
    if layer.isTrainable { try emitBackwardWeights(gradient) }
    if input.requiresGradient { try emitBackwardData(gradient) }
    compiler.markFinished(from: weights.offset)
  }

  private func emitBackwardWeights(_ gradient: Tensor) throws {
    let (primitives, source, physical, forward) = (primitives, source, weights.physical, forward)
    let kernels = ConvolutionRule.kernels(compiler.options.convolution, shape, .backwardWeights)
    let descriptor = try primitives.firstAvailable(kernels) { kernel throws(OneDNNError) in
      try compiler.preferringLayoutsAtHand { () throws(OneDNNError) in
        try primitives.backwardWeights(
          kernel, source: source.descriptor, weightsGradient: physical, destinationGradient: gradient.descriptor,
          hint: forward)
      } free: { () throws(OneDNNError) in
        try primitives.backwardWeights(kernel, hint: forward)
      }
    }
    try compiler.emitBackwardWeights(
      descriptor, source: source, gradient: gradient, weights: weights, bias: bias, layer: site.label)
  }

  private func emitBackwardData(_ gradient: Tensor) throws {
    let (primitives, forward) = (primitives, forward)
    // Weights that are copied into bfloat16 anyway are copied into the layout that suits best.
    let physical: MemoryDescriptor? = shape.precision == .float32 ? weights.physical : nil
    let kernels = ConvolutionRule.kernels(compiler.options.convolution, shape, .backwardData)
    let descriptor = try primitives.firstAvailable(kernels) { kernel throws(OneDNNError) in
      try compiler.preferringLayoutsAtHand { () throws(OneDNNError) in
        try primitives.backwardData(
          kernel, weights: physical, destinationGradient: gradient.descriptor, hint: forward)
      } free: { () throws(OneDNNError) in
        try primitives.backwardData(kernel, hint: forward)
      }
    }
    let result = try compiler.emitBackwardData(
      descriptor, gradient: gradient, weights: weights.value, layer: site.label)
    let stored = compiler.converted(result.tensor, to: compiler.precision, layer: site.label)
    input.receive(Value.Gradient(descriptor: stored.descriptor, buffer: stored.buffer ?? result.buffer))
  }
}
