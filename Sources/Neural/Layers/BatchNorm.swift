/// Batch normalisation (Ioffe and Szegedy 2015): per channel, (x - mean) / √(variance + ε) · weight + bias.
///
/// In training mean and variance are those of the batch (of this rank's, or of all ranks', see
/// ``Plan/poolStatistics(_:)``) and the running statistics follow them; in evaluation they are the running ones. Images
/// are normalised per channel over examples, height and width; features and tokens per feature.
public struct BatchNorm: Layer, CompilableLayer, Activatable {
  /// Prefix of the parameters' names.
  public let name: String?
  /// Added to the variance.
  public let epsilon: Double
  /// Part of the running statistics that each batch replaces, as PyTorch's `momentum`.
  public let momentum: Double
  /// Initial value of the weight: 1, or 0 to have a residual block start as the identity (Goyal et al. 2017).
  public let initialWeight: Double
  /// What was behind the layer and is applied in the same pass.
  var activation: Activation?

  /// - Parameters:
  ///   - name: prefix of the names: `bn1` gives `bn1.weight` and `bn1.bias` (channels each), `bn1.running_mean` and
  ///     `bn1.running_var`.
  ///   - epsilon: added to the variance.
  ///   - momentum: part of the running statistics that each batch replaces, above 0 and at most 1.
  ///   - initialWeight: initial value of the weight.
  public init(_ name: String, epsilon: Double = 1e-5, momentum: Double = 0.1, initialWeight: Double = 1) {
    self.name = name
    self.epsilon = epsilon
    self.momentum = momentum
    self.initialWeight = initialWeight
  }

  /// `BatchNorm`.
  public var kind: String { "BatchNorm" }

  /// The shape of the input.
  public func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] {
    guard epsilon > 0, epsilon.isFinite, momentum > 0, momentum <= 1, initialWeight.isFinite else {
      throw ShapeMismatch(
        expected: "an epsilon above 0, a momentum above 0 and at most 1 and a finite initial weight (the layer has"
          + " epsilon \(epsilon), momentum \(momentum), initial weight \(initialWeight))")
    }
    return input
  }

  /// Weight and bias.
  public func parameters(input: [Int]) -> [ParameterSpecification] {
    guard let name, let channels = channels(input) else { return [] }
    return [
      ParameterSpecification(
        name: "\(name).weight", shape: [channels], fanIn: 1, initializer: .constant(initialWeight)),
      ParameterSpecification(name: "\(name).bias", shape: [channels], fanIn: 1, initializer: .zeros),
    ]
  }

  /// Channels come first in images, last in tokens.
  private func channels(_ input: [Int]) -> Int? { input.count == 2 ? input.last : input.first }

  func activated(by activation: Activation) -> (any CompilableLayer)? {
    guard self.activation == nil, activation.kernel != nil else { return nil }
    var copy = self
    copy.activation = activation
    return copy
  }

  func compile(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value {
    try compile(input, adding: nil, activation: activation, site, compiler)
  }

  /// - Parameter added: what the normalised values are added to before the activation: the other branch of a block.
  func compile(
    _ input: Value, adding added: Value?, activation: Activation?, _ site: LayerSite, _ compiler: PlanCompiler
  ) throws -> Value {
    let compilation = try BatchNormCompilation(
      self, input, adding: added, activation: activation, site, compiler)
    let output = try compilation.emitForward()
    compiler.onBackward { try compilation.emitBackward(output) }
    return output
  }
}
