internal import CKernels

/// How a parameter starts, by the field's names.
///
/// Fan-in is the number of inputs that an output is a sum over, fan-out the number of outputs that an input goes into.
public enum Initializer: Sendable, Hashable {
  /// Uniform in ±1/√fan-in: what PyTorch's layers do (Kaiming-uniform with a = √5), weights and biases alike.
  case pyTorchDefault
  /// Uniform in ±√(6/fan-in): Kaiming-uniform for ReLU (He et al. 2015, eq. 10, variance 2/fan-in).
  case kaimingUniform
  /// Normal, standard deviation √(2/fan-in) (He et al. 2015).
  case kaimingNormal
  /// Normal, standard deviation √(2/fan-out): keeps the size of gradients (He et al. 2015, eq. 14).
  case kaimingNormalFanOut
  /// Uniform in ±√(6/(fan-in + fan-out)) (Glorot and Bengio 2010, eq. 16).
  case xavierUniform
  /// Normal, standard deviation √(2/(fan-in + fan-out)) (Glorot and Bengio 2010).
  case xavierNormal
  /// Uniform in ±bound.
  case uniform(bound: Double)
  /// Normal with mean 0.
  case normal(standardDeviation: Double)
  /// Normal with mean 0, drawn again beyond two standard deviations (that of the whole, not of what is left).
  case truncatedNormal(standardDeviation: Double)
  /// The same number everywhere.
  case constant(Double)
  /// For a convolution: output channel i passes input channel i on unchanged, as far as there are input channels; what
  /// is left starts as ``pyTorchDefault``.
  case dirac

  /// All zero.
  public static let zeros = Initializer.constant(0)
  /// All one.
  public static let ones = Initializer.constant(1)
}

extension Initializer {
  /// Whether there are such values.
  var isPossible: Bool {
    switch self {
    case .uniform(let size), .normal(let size), .truncatedNormal(let size): size >= 0 && size.isFinite
    case .constant(let value): value.isFinite
    default: true
    }
  }

  /// Writes the initial values of a tensor in canonical order.
  func fill(_ values: UnsafeMutablePointer<Float>, of tensor: ParameterTensor, stream: UInt32, seed: UInt64) {
    let (count, fanIn) = (tensor.elementCount, Double(tensor.fanIn))
    // What one output is of, times the outputs that share an input.
    let fanOut = tensor.shape.count > 1 ? fanIn * Double(tensor.shape[0]) / Double(tensor.shape[1]) : fanIn
    func uniform(_ bound: Double) { fw_uniform_fill(values, 0, count, seed, stream, Float(bound)) }
    func normal(_ deviation: Double, truncated: Bool = false) {
      fw_normal_fill(values, count, seed, stream, deviation, truncated)
    }
    switch self {
    case .pyTorchDefault, .dirac: uniform(1 / fanIn.squareRoot())
    case .kaimingUniform: uniform((6 / fanIn).squareRoot())
    case .kaimingNormal: normal((2 / fanIn).squareRoot())
    case .kaimingNormalFanOut: normal((2 / fanOut).squareRoot())
    case .xavierUniform: uniform((6 / (fanIn + fanOut)).squareRoot())
    case .xavierNormal: normal((2 / (fanIn + fanOut)).squareRoot())
    case .uniform(let bound): uniform(bound)
    case .normal(let deviation): normal(deviation)
    case .truncatedNormal(let deviation): normal(deviation, truncated: true)
    case .constant(let value): values.update(repeating: Float(value), count: count)
    }
    if self == .dirac { Self.passOn(values, tensor.shape) }
  }

  /// Makes the first output channels of a convolution copies of the input channels.
  private static func passOn(_ values: UnsafeMutablePointer<Float>, _ shape: [Int]) {
    guard shape.count == 4 else { return }
    let area = shape[2] * shape[3]
    let centre = shape[2] / 2 * shape[3] + shape[3] / 2
    for channel in 0..<min(shape[0], shape[1]) {
      let filter = values + channel * shape[1] * area
      filter.update(repeating: 0, count: shape[1] * area)
      filter[channel * area + centre] = 1
    }
  }
}
