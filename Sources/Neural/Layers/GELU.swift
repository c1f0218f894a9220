/// The Gaussian error linear unit, u·Φ(u), element by element (Hendrycks and Gimpel 2016).
public struct GELU: Layer, CompilableLayer, ActivationLayer {
  /// How Φ, the distribution function of the normal distribution, is computed.
  public enum Approximation: String, Sendable, Hashable {
    /// By the error function.
    case none
    /// By a hyperbolic tangent of a cubic.
    case tanh
  }

  /// How Φ is computed.
  public let approximation: Approximation

  /// - Parameter approximation: how Φ is computed; as PyTorch's `GELU(approximate=…)`.
  public init(approximation: Approximation = .none) { self.approximation = approximation }

  /// `GELU`.
  public var kind: String { "GELU" }

  /// The shape of the input.
  public func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] { input }

  var activation: Activation { approximation == .tanh ? .geluTanh : .gelu }

  func compile(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value {
    try SmoothActivation(activation: activation, dropout: nil).compile(input, site, compiler)
  }
}

/// The sigmoid linear unit, u / (1 + exp(-u)), element by element; also known as swish.
public struct SiLU: Layer, CompilableLayer, ActivationLayer {
  /// A SiLU.
  public init() {}

  /// `SiLU`.
  public var kind: String { "SiLU" }

  /// The shape of the input.
  public func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] { input }

  var activation: Activation { .silu }

  func compile(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value {
    try SmoothActivation(activation: .silu, dropout: nil).compile(input, site, compiler)
  }
}
