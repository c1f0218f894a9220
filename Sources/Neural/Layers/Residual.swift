/// Two branches that read the same input and whose outputs are added (He et al., "Deep Residual Learning", CVPR 2016).
///
/// ```swift
/// Residual {
///   Convolution("conv1", channels: 64, kernel: 3, padding: 1, bias: false)
///   BatchNorm("bn1")
///   ReLU()
///   Convolution("conv2", channels: 64, kernel: 3, padding: 1, bias: false)
///   BatchNorm("bn2")
/// } shortcut: {
///   Convolution("downsample.0", channels: 64, kernel: 1, bias: false)
///   BatchNorm("downsample.1")
/// }
/// ReLU()
/// ```
///
/// Without a shortcut the input itself is added; the body must then keep its shape. A normalisation at the end of the
/// body adds the shortcut, and applies an activation behind the block, in its own pass.
public struct Residual: Layer {
  /// The branch that computes.
  public let body: [any Layer]
  /// The other branch, such as a projection to another shape; empty for the input itself.
  public let shortcut: [any Layer]

  /// - Parameters:
  ///   - body: the layers of the branch that computes, first to last; at least one.
  ///   - shortcut: the layers of the other branch.
  public init(@LayerBuilder body: () -> [any Layer], @LayerBuilder shortcut: () -> [any Layer] = { [] }) {
    self.body = body()
    self.shortcut = shortcut()
  }

  /// `Residual`.
  public var kind: String { "Residual" }

  /// The shape that both branches make of the input.
  public func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] {
    guard !body.isEmpty else { throw ShapeMismatch(expected: "at least one layer in the body of the block") }
    let (computed, added) = (try Self.shape(behind: body, input), try Self.shape(behind: shortcut, input))
    guard computed == added else {
      func text(_ shape: [Int]) -> String { shape.map(String.init).joined(separator: " × ") }
      throw ShapeMismatch(
        expected: "one from which both branches make the same shape (the body makes \(text(computed)), the shortcut"
          + " \(text(added)); put a projection into the shortcut)")
    }
    return computed
  }

  /// The parameters of the body, then those of the shortcut.
  public func parameters(input: [Int]) -> [ParameterSpecification] {
    Self.parameters(of: body, input: input) + Self.parameters(of: shortcut, input: input)
  }

  private static func shape(behind layers: [any Layer], _ input: [Int]) throws(ShapeMismatch) -> [Int] {
    var shape = input
    for layer in layers { shape = try layer.outputShape(input: shape) }
    return shape
  }

  private static func parameters(of layers: [any Layer], input: [Int]) -> [ParameterSpecification] {
    var (shape, all): ([Int], [ParameterSpecification]) = (input, [])
    for layer in layers {
      all += layer.parameters(input: shape)
      guard let next = try? layer.outputShape(input: shape) else { break }
      shape = next
    }
    return all
  }
}

/// A residual block with its layers checked and numbered, as plans compile it.
struct CompilableResidual: CompilableLayer, Activatable {
  let declaration: Residual
  var body: [Node]
  var shortcut: [Node]
  /// What was behind the block and is applied to the sum.
  var activation: Activation?

  var kind: String { declaration.kind }
  func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] { try declaration.outputShape(input: input) }

  /// The last layer of the body, if that can add the shortcut.
  private var normalization: BatchNorm? {
    guard let last = body.last?.layer as? BatchNorm, last.activation == nil else { return nil }
    return last
  }

  func activated(by activation: Activation) -> (any CompilableLayer)? {
    guard self.activation == nil, let normalization, normalization.activated(by: activation) != nil else { return nil }
    var copy = self
    copy.activation = activation
    return copy
  }

  func compile(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value {
    let (forBody, forShortcut) = (input.alias(), input.alias())
    // Recorded first, so played last: by then both branches have left their gradients.
    if input.requiresGradient {
      compiler.onBackward {
        for branch in [forBody, forShortcut] { branch.gradients.forEach(input.receive) }
      }
    }
    if shortcut.isEmpty { forBody.bypass = forShortcut }
    // The shortcut comes first, so that the body's last pass can add it.
    let added = try compiler.compile(shortcut, forShortcut)
    if let normalization, let last = body.last {
      let computed = try compiler.compile(Array(body.dropLast()), forBody)
      return try normalization.compile(computed, adding: added, activation: activation, last.site, compiler)
    }
    if let last = body.last, let dropout = last.layer as? Pointwise, !dropout.rectifies {
      let computed = try compiler.compile(Array(body.dropLast()), forBody)
      return try dropout.compile(computed, adding: added, last.site, compiler)
    }
    return try Self.add(try compiler.compile(body, forBody), added, site, compiler)
  }

  private static func add(
    _ computed: Value, _ added: Value, _ site: LayerSite, _ compiler: PlanCompiler
  ) throws -> Value {
    let second = try compiler.reordered(added.tensor, to: computed.descriptor, layer: site.label)
    guard let addend = second.buffer else { return computed }
    let descriptor = computed.descriptor
    let target = computed.mayBeOverwritten ? computed.buffer : compiler.makeBuffer(descriptor)
    let output = Value(
      shape: computed.shape, descriptor: descriptor, buffer: target,
      requiresGradient: computed.requiresGradient || added.requiresGradient, mayBeOverwritten: true)
    compiler.emitAdd(computed.buffer, addend, to: target, descriptor, layer: site.label, of: "sum")
    compiler.onBackward {
      guard var gradient = try compiler.gradient(of: output, layer: site.label) else { return }
      // The body goes back first, and only reads; whoever gets the shortcut's gradient is the last to look at it.
      let mayBeOverwritten = gradient.mayBeOverwritten
      gradient.mayBeOverwritten = false
      if computed.requiresGradient { computed.receive(gradient) }
      gradient.mayBeOverwritten = mayBeOverwritten
      if added.requiresGradient { added.receive(gradient) }
    }
    return output
  }
}
