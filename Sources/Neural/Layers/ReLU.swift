/// max(x, 0), element by element.
public struct ReLU: Layer, CompilableLayer, ActivationLayer {
  /// A ReLU.
  public init() {}

  /// `ReLU`.
  public var kind: String { "ReLU" }

  /// The shape of the input.
  public func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] { input }

  var activation: Activation { .relu }

  func compile(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value {
    try Pointwise(rectifies: true, dropProbability: 0).compile(input, site, compiler)
  }
}
