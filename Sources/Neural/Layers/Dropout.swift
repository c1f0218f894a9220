/// In training, each element is zero with probability p, else divided by 1-p; in evaluation nothing happens.
///
/// Which elements are dropped is a function of (seed, step, example, layer, element) and of nothing else: neither of
/// the rank that computes the example nor of its position in the batch. p is rounded to a multiple of 1/65536.
public struct Dropout: Layer, CompilableLayer {
  /// Probability of an element to be dropped, in 0 ..< 1.
  public let probability: Double

  /// - Parameter probability: of an element to be dropped, in 0 ..< 1; checked when the plan is built.
  public init(_ probability: Double) { self.probability = probability }

  /// `Dropout`.
  public var kind: String { "Dropout" }

  /// The shape of the input.
  public func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] { input }

  func check(_ description: String) throws(PlanError) { try Self.check(probability, description) }

  /// Refuses what is not a probability of dropping elements.
  static func check(_ probability: Double, _ description: String) throws(PlanError) {
    guard probability >= 0 && probability < 1 else {
      throw .value(
        name: "\(description): probability", received: "\(probability)", expected: "a number of at least 0 and below 1")
    }
  }

  func compile(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value {
    try Pointwise(rectifies: false, dropProbability: probability * compiler.options.dropoutScale)
      .compile(input, site, compiler)
  }
}
