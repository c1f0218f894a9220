/// A fully connected layer: y = W x + b, with W of shape out × in; of tokens, to each alike.
public struct Dense: Layer, CompilableLayer, Activatable {
  /// Prefix of the parameters' names.
  public let name: String?
  /// Output features.
  public let features: Int
  /// Whether each output has a bias.
  public let hasBias: Bool
  /// Initial values of the weights.
  public let initializer: Initializer
  /// Initial values of the bias.
  public let biasInitializer: Initializer
  /// A ReLU behind it was fused into the primitive.
  var isRectified = false
  /// The parameters' full names, where they are not the usual ones.
  var parameterNames: (weight: String, bias: String)?

  /// - Parameters:
  ///   - name: prefix of the parameters' names: `fc1` gives `fc1.weight` (out × in) and `fc1.bias` (out).
  ///   - features: output features, at least 1.
  ///   - bias: whether each output has a bias.
  ///   - initializer: of the weights.
  ///   - biasInitializer: of the bias.
  public init(
    _ name: String, _ features: Int, bias: Bool = true, initializer: Initializer = .pyTorchDefault,
    biasInitializer: Initializer = .pyTorchDefault
  ) {
    self.name = name
    self.features = features
    self.hasBias = bias
    self.initializer = initializer
    self.biasInitializer = biasInitializer
  }

  /// A layer whose parameters are called otherwise.
  init(
    weightName: String, biasName: String, features: Int, initializer: Initializer, biasInitializer: Initializer
  ) {
    self.init(weightName, features, initializer: initializer, biasInitializer: biasInitializer)
    parameterNames = (weightName, biasName)
  }

  /// `Dense`.
  public var kind: String { "Dense" }

  /// (in) → (features), or (tokens, in) → (tokens, features).
  public func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] {
    guard features >= 1 else { throw ShapeMismatch(expected: "at least 1 output feature (the layer has \(features))") }
    guard input.count == 1 || input.count == 2 else {
      throw ShapeMismatch(expected: "1 dimension: features (put Flatten() before it), or 2: tokens, features")
    }
    return input.dropLast() + [features]
  }

  /// The weights, and the bias where there is one.
  public func parameters(input: [Int]) -> [ParameterSpecification] {
    guard let name, let inputs = input.last else { return [] }
    let weight = ParameterSpecification(
      name: parameterNames?.weight ?? "\(name).weight", shape: [features, inputs], fanIn: inputs, initializer: initializer)
    let bias = ParameterSpecification(
      name: parameterNames?.bias ?? "\(name).bias", shape: [features], fanIn: inputs, initializer: biasInitializer)
    return hasBias ? [weight, bias] : [weight]
  }

  func activated(by activation: Activation) -> (any CompilableLayer)? {
    if isRectified || activation != .relu { return nil }
    var copy = self
    copy.isRectified = true
    return copy
  }

  func compile(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value {
    let compilation = try DenseCompilation(self, input, site, compiler)
    let output = try compilation.emitForward()
    compiler.onBackward { try compilation.emitBackward(output) }
    return output
  }
}

/// A dense layer on its way into a plan.
///
/// The source may still have channels, height and width in whatever order of memory the layer before left them. The
/// weights then get a layout to match, and no activation is copied.
private final class DenseCompilation {
  private let layer: Dense
  private let input: Value
  private let site: LayerSite
  private let compiler: PlanCompiler
  private let forward: PrimitiveDescriptor
  private let source: Tensor
  private let weights: PlanCompiler.CompiledParameter
  private let bias: PlanCompiler.CompiledParameter?
  private let weightsShape: [Int]
  /// The weights as the forward pass reads them: those in the arena, or in bfloat16 a copy.
  private var readWeights: Tensor

  init(_ layer: Dense, _ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws {
    self.layer = layer
    self.input = input
    self.site = site
    self.compiler = compiler
    let sourceShape = input.descriptor.shape
    let weightsShape = [layer.features] + sourceShape.dropFirst()
    self.weightsShape = weightsShape
    // Of tokens, each is a row; what reads them wants rows in order.
    let isOfTokens = input.shape.count == 2
    let precision = compiler.precision
    let destinationShape = [sourceShape[0], layer.features]
    let destination: MemoryDescriptor =
      isOfTokens
      ? try .plain(destinationShape, precision)
      : try .any(destinationShape, site.index == compiler.logitsIndex ? .float32 : precision)
    let bias: MemoryDescriptor? = layer.hasBias ? try .plain([layer.features]) : nil
    let attributes = layer.isRectified ? compiler.rectifiedAttributes : compiler.attributes
    func make(_ source: MemoryDescriptor) throws(OneDNNError) -> PrimitiveDescriptor {
      try .innerProductForward(
        source: source, weights: .any(weightsShape, precision), bias: bias, destination: destination, attributes,
        compiler.engine)
    }
    forward = try compiler.preferringLayoutsAtHand { () throws(OneDNNError) in
      try make(input.descriptor)
    } free: { () throws(OneDNNError) in
      try make(.any(sourceShape, precision))
    }
    source = try compiler.reordered(input.tensor, to: forward.source, layer: site.label)
    let specifications = layer.parameters(input: input.shape)
    // Where primitives read copies in bfloat16, the arena has the layout in which the gradients come.
    var physical = forward.weights
    if precision != .float32 {
      physical = try PrimitiveDescriptor.innerProductBackwardWeights(
        source: forward.source, weightsGradient: .any(weightsShape), biasGradient: bias,
        destinationGradient: .any(destinationShape, precision), hint: forward, compiler.attributes, compiler.engine
      ).weightsGradient
    }
    weights = try compiler.makeParameter(specifications[0], physical: physical)
    readWeights = weights.value
    self.bias =
      layer.hasBias ? try compiler.makeParameter(specifications[1], physical: .plain([layer.features])) : nil
  }

  func emitForward() throws -> Value {
    let descriptor = forward.destination
    let output = Value(
      shape: input.shape.dropLast() + [layer.features], descriptor: descriptor, buffer: compiler.makeBuffer(descriptor),
      requiresGradient: true, mayBeOverwritten: !layer.isRectified)
    output.isRectified = layer.isRectified
    readWeights = try compiler.reordered(weights.value, to: forward.weights, layer: site.label)
    var arguments: [(argument: Argument, tensor: Tensor)] = [
      (.source, source), (.weights, readWeights), (.destination, output.tensor),
    ]
    if let bias { arguments.append((.bias, bias.value)) }
    try compiler.emit(forward, layer: site.label, .forward, arguments)
    return output
  }

  func emitBackward(_ output: Value) throws {
    guard let arrived = try compiler.gradient(of: output, layer: site.label) else { return }
    var gradient = arrived.tensor
    if layer.isRectified && !output.gradientIsRectified {
      gradient = try compiler.rectifyGradient(arrived, by: output, layer: site.label)
    }
    if gradient.descriptor.precision != compiler.precision {
      // The loss leaves single precision.
      gradient = try compiler.reordered(
        gradient, to: gradient.descriptor.with(compiler.precision), layer: site.label)
    }
    try emitBackwardWeights(gradient)
    if input.requiresGradient { try emitBackwardData(gradient) }
    compiler.markFinished(from: weights.offset)
  }

  private func emitBackwardWeights(_ gradient: Tensor) throws {
    let (compiler, forward, weightsShape) = (compiler, forward, weightsShape)
    let bias: MemoryDescriptor? = layer.hasBias ? try .plain([layer.features]) : nil
    func make(
      _ source: MemoryDescriptor, _ weights: MemoryDescriptor, _ gradient: MemoryDescriptor
    ) throws(OneDNNError) -> PrimitiveDescriptor {
      try .innerProductBackwardWeights(
        source: source, weightsGradient: weights, biasGradient: bias, destinationGradient: gradient, hint: forward,
        compiler.attributes, compiler.engine)
    }
    let (source, physical, precision) = (source.descriptor, weights.physical, compiler.precision)
    let descriptor = try compiler.preferringLayoutsAtHand { () throws(OneDNNError) in
      try make(source, physical, gradient.descriptor)
    } free: { () throws(OneDNNError) in
      try make(.any(source.shape, precision), .any(weightsShape), .any(gradient.descriptor.shape, precision))
    }
    try compiler.emitBackwardWeights(
      descriptor, source: self.source, gradient: gradient, weights: weights, bias: self.bias, layer: site.label)
  }

  private func emitBackwardData(_ gradient: Tensor) throws {
    let (compiler, forward, weightsShape) = (compiler, forward, weightsShape)
    let sourceDescriptor = source.descriptor
    func make(
      _ source: MemoryDescriptor, _ weights: MemoryDescriptor, _ gradient: MemoryDescriptor
    ) throws(OneDNNError) -> PrimitiveDescriptor {
      try .innerProductBackwardData(
        sourceGradient: source, weights: weights, destinationGradient: gradient, hint: forward, compiler.attributes,
        compiler.engine)
    }
    let precision = compiler.precision
    let physical = readWeights.descriptor
    let descriptor = try compiler.preferringLayoutsAtHand { () throws(OneDNNError) in
      try make(sourceDescriptor, physical, gradient.descriptor)
    } free: { () throws(OneDNNError) in
      try make(
        .any(sourceDescriptor.shape, precision), .any(weightsShape, precision),
        .any(gradient.descriptor.shape, precision))
    }
    input.receive(
      try compiler.emitBackwardData(descriptor, gradient: gradient, weights: readWeights, layer: site.label))
  }
}

extension Dense: CustomStringConvertible {
  /// What decides the arithmetic: checkpoints are compared by it.
  public var description: String {
    "Dense(name: \(name.debugDescription), features: \(features), hasBias: \(hasBias), isRectified: \(isRectified))"
  }
}
