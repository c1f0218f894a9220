/// max(x, 0), element by element.
public struct ReLU: Layer, CompilableLayer {
  /// A ReLU.
  public init() {}

  /// `ReLU`.
  public var kind: String { "ReLU" }

  /// The shape of the input.
  public func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] { input }

  func compile(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value {
    try Pointwise(rectifies: true, dropProbability: 0).compile(input, site, compiler)
  }
}
