/// Channels, height and width, or tokens and features, become one dimension of features, in that order (PyTorch's
/// `flatten(1)`).
///
/// No memory moves: the next dense layer takes the image in whatever layout it has.
public struct Flatten: Layer, CompilableLayer {
  /// A flatten layer.
  public init() {}

  /// `Flatten`.
  public var kind: String { "Flatten" }

  /// (C, H, W) → (C·H·W), or (tokens, features) → (tokens·features).
  public func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] { [input.reduce(1, *)] }

  func compile(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value {
    let shape = [input.shape.reduce(1, *)]
    var tensor = input.tensor
    if input.shape.count == 2 {
      // Of tokens the descriptor has a row each; from here on a row is an example.
      tensor = try compiler.reordered(
        tensor, to: .plain([compiler.batchSize] + shape, input.descriptor.precision), layer: site.label)
    }
    let buffer = tensor.buffer ?? input.buffer
    let output = Value(
      shape: shape, descriptor: tensor.descriptor, buffer: buffer, requiresGradient: input.requiresGradient,
      mayBeOverwritten: input.mayBeOverwritten || buffer !== input.buffer)
    if input.requiresGradient {
      compiler.onBackward { output.gradients.forEach(input.receive) }
    }
    return output
  }
}
