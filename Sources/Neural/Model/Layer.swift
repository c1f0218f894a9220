/// One layer of a network: what it is called, what shape it makes of what shape, and which parameters it has.
///
/// Shapes are those of one example; the batch is the plan's business. The layers of this module are the ones a ``Plan``
/// can compile; a type from elsewhere is refused when the plan is built.
public protocol Layer: Sendable {
  /// The kind of layer, for messages: `Convolution`.
  var kind: String { get }
  /// The prefix of the parameters' names, such as `conv1`; nil for a layer without parameters.
  var name: String? { get }
  /// The shape of the output for an input of shape `input`.
  /// - Throws: ``ShapeMismatch`` where the layer cannot take such an input.
  func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int]
  /// The parameters, in the order in which PyTorch's module of the same kind would list them.
  func parameters(input: [Int]) -> [ParameterSpecification]
}

extension Layer {
  /// No parameters, hence no name.
  public var name: String? { nil }
  /// None.
  public func parameters(input: [Int]) -> [ParameterSpecification] { [] }
}

/// A parameter tensor as a layer asks for it.
public struct ParameterSpecification: Sendable, Hashable {
  /// Full name, such as `conv1.weight`.
  public let name: String
  /// Canonical shape: OIHW for convolutions, out × in for dense layers.
  public let shape: [Int]
  /// Inputs that one output element is a sum over.
  public let fanIn: Int
  /// Initial values.
  public let initializer: Initializer
  /// Whether it gets gradients.
  public let isTrainable: Bool

  /// - Parameters: as the properties of the same names.
  public init(
    name: String, shape: [Int], fanIn: Int, initializer: Initializer = .pyTorchDefault, isTrainable: Bool = true
  ) {
    self.name = name
    self.shape = shape
    self.fanIn = fanIn
    self.initializer = initializer
    self.isTrainable = isTrainable
  }
}

/// Why a layer cannot take an input: the half of a ``PlanError`` that the layer knows.
public struct ShapeMismatch: Error, Sendable, Hashable {
  /// What the layer expects, in words.
  public let expected: String

  /// - Parameter expected: what the layer expects, in words, such as "3 numbers: channels, height, width".
  public init(expected: String) { self.expected = expected }
}
