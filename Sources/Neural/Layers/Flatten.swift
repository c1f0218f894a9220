/// Channels, height and width become one dimension of features, in that order (PyTorch's `flatten(1)`).
///
/// No memory moves: the next dense layer takes the image in whatever layout it has.
public struct Flatten: Layer, CompilableLayer {
  /// A flatten layer.
  public init() {}

  /// `Flatten`.
  public var kind: String { "Flatten" }

  /// (C, H, W) → (C·H·W).
  public func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] { [input.reduce(1, *)] }

  func compile(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value {
    let output = Value(
      shape: [input.shape.reduce(1, *)], descriptor: input.descriptor, buffer: input.buffer,
      requiresGradient: input.requiresGradient, mayBeOverwritten: input.mayBeOverwritten)
    if input.requiresGradient {
      compiler.onBackward { output.gradients.forEach(input.receive) }
    }
    return output
  }
}
