/// Which algorithm the convolutions use.
public enum ConvolutionAlgorithm: String, Sendable, Hashable, CaseIterable, Codable {
  /// Per layer and direction, by ``ConvolutionRule``: a rule of shapes and, in bfloat16, of the kind of processor;
  /// never of a measurement.
  case auto
  /// The definition's sums, in oneDNN's generated kernels.
  case direct
  /// Winograd's F(4×4, 3×3) wherever oneDNN has it, else direct.
  case winograd
}

/// What a plan can be told beside the network and the batch size.
public struct PlanOptions: Sendable, Hashable {
  /// Algorithm of the convolutions.
  public var convolution: ConvolutionAlgorithm
  /// Factor on every dropout probability, 0 … 1; 0 turns dropout off.
  public var dropoutScale: Double
  /// ε of label smoothing, in 0 ..< 1: the target is (1-ε)·one-hot + ε/classes.
  public var labelSmoothing: Double
  /// Key of the dropout streams.
  public var seed: UInt64
  /// Precision of activations and of the weights that primitives read; see ``Precision/bfloat16`` for the exception.
  public var precision: Precision

  /// - Parameters: as the properties of the same names.
  public init(
    convolution: ConvolutionAlgorithm = .auto, dropoutScale: Double = 1, labelSmoothing: Double = 0, seed: UInt64 = 0,
    precision: Precision = .float32
  ) {
    self.convolution = convolution
    self.dropoutScale = dropoutScale
    self.labelSmoothing = labelSmoothing
    self.seed = seed
    self.precision = precision
  }

  func validate() throws(PlanError) {
    guard dropoutScale >= 0 && dropoutScale <= 1 else {
      throw .value(name: "dropoutScale", received: "\(dropoutScale)", expected: "a number from 0 to 1")
    }
    guard labelSmoothing >= 0 && labelSmoothing < 1 else {
      throw .value(
        name: "labelSmoothing", received: "\(labelSmoothing)", expected: "a number of at least 0 and below 1")
    }
  }
}
