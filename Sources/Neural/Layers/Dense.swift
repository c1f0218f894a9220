/// A fully connected layer: y = W x + b, with W of shape out × in.
public struct Dense: Layer, CompilableLayer, Rectifiable {
  /// Prefix of the parameters' names.
  public let name: String?
  /// Output features.
  public let features: Int
  /// Whether each output has a bias.
  public let hasBias: Bool
  /// A ReLU behind it was fused into the primitive.
  var isRectified = false

  /// - Parameters:
  ///   - name: prefix of the parameters' names: `fc1` gives `fc1.weight` (out × in) and `fc1.bias` (out).
  ///   - features: output features, at least 1.
  ///   - bias: whether each output has a bias.
  public init(_ name: String, _ features: Int, bias: Bool = true) {
    self.name = name
    self.features = features
    self.hasBias = bias
  }

  /// `Dense`.
  public var kind: String { "Dense" }

  /// (in) → (features).
  public func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] {
    guard features >= 1 else { throw ShapeMismatch(expected: "at least 1 output feature (the layer has \(features))") }
    guard input.count == 1 else { throw ShapeMismatch(expected: "1 dimension: features (put Flatten() before it)") }
    return [features]
  }

  /// The weights, and the bias where there is one.
  public func parameters(input: [Int]) -> [ParameterSpecification] {
    guard let name, input.count == 1 else { return [] }
    let weight = ParameterSpecification(name: "\(name).weight", shape: [features, input[0]], fanIn: input[0])
    return hasBias
      ? [weight, ParameterSpecification(name: "\(name).bias", shape: [features], fanIn: input[0])] : [weight]
  }

  func rectified() -> (any CompilableLayer)? {
    if isRectified { return nil }
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

  init(_ layer: Dense, _ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws {
    self.layer = layer
    self.input = input
    self.site = site
    self.compiler = compiler
    let sourceShape = input.descriptor.shape
    let weightsShape = [layer.features] + sourceShape.dropFirst()
    self.weightsShape = weightsShape
    let destinationShape = [compiler.batchSize, layer.features]
    let bias: MemoryDescriptor? = layer.hasBias ? try .plain([layer.features]) : nil
    let attributes = layer.isRectified ? compiler.rectifiedAttributes : compiler.attributes
    func make(_ source: MemoryDescriptor) throws(OneDNNError) -> PrimitiveDescriptor {
      try .innerProductForward(
        source: source, weights: .any(weightsShape), bias: bias, destination: .any(destinationShape), attributes,
        compiler.engine)
    }
    forward = try compiler.preferringLayoutsAtHand { () throws(OneDNNError) in
      try make(input.descriptor)
    } free: { () throws(OneDNNError) in
      try make(.any(sourceShape))
    }
    source = try compiler.reordered(input.tensor, to: forward.source, layer: site.label)
    let specifications = layer.parameters(input: input.shape)
    weights = try compiler.makeParameter(specifications[0], physical: forward.weights)
    self.bias =
      layer.hasBias ? try compiler.makeParameter(specifications[1], physical: .plain([layer.features])) : nil
  }

  func emitForward() throws -> Value {
    let descriptor = forward.destination
    let output = Value(
      shape: [layer.features], descriptor: descriptor, buffer: compiler.makeBuffer(descriptor),
      requiresGradient: true, mayBeOverwritten: !layer.isRectified)
    output.isRectified = layer.isRectified
    var arguments: [(argument: Argument, tensor: Tensor)] = [
      (.source, source), (.weights, weights.value), (.destination, output.tensor),
    ]
    if let bias { arguments.append((.bias, bias.value)) }
    try compiler.emit(forward, layer: site.label, .forward, arguments)
    return output
  }

  func emitBackward(_ output: Value) throws {
    guard let arrived = output.gradient else { return }
    var gradient = arrived.tensor
    if layer.isRectified && !output.gradientIsRectified {
      gradient = try compiler.rectifyGradient(gradient, by: output, layer: site.label)
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
    let (source, physical) = (source.descriptor, weights.physical)
    let descriptor = try compiler.preferringLayoutsAtHand { () throws(OneDNNError) in
      try make(source, physical, gradient.descriptor)
    } free: { () throws(OneDNNError) in
      try make(.any(source.shape), .any(weightsShape), .any(gradient.descriptor.shape))
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
    let physical = weights.physical
    let descriptor = try compiler.preferringLayoutsAtHand { () throws(OneDNNError) in
      try make(sourceDescriptor, physical, gradient.descriptor)
    } free: { () throws(OneDNNError) in
      try make(.any(sourceDescriptor.shape), .any(weightsShape), .any(gradient.descriptor.shape))
    }
    input.gradient = try compiler.emitBackwardData(
      descriptor, gradient: gradient, weights: weights, layer: site.label)
  }
}
