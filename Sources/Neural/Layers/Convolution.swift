/// Two-dimensional convolution (cross-correlation, as everywhere in the field) with square kernels.
public struct Convolution: Layer, CompilableLayer, Activatable {
  /// Prefix of the parameters' names.
  public let name: String?
  /// Output channels.
  public let channels: Int
  /// Height and width of the kernel.
  public let kernel: Int
  /// Step of the kernel, in both directions.
  public let stride: Int
  /// Zeros added on every side.
  public let padding: Int
  /// Whether each output channel has a bias.
  public let hasBias: Bool
  /// Groups of channels that do not see each other; `channels` and the input's channels are multiples of it.
  public let groups: Int
  /// Initial values of the weights.
  public let initializer: Initializer
  /// Whether the weights get gradients; if not, those in the arena stay zero.
  public let isTrainable: Bool
  /// A ReLU behind it was fused into the primitive.
  var isRectified = false

  /// - Parameters:
  ///   - name: prefix of the parameters' names: `conv1` gives `conv1.weight` (OIHW) and `conv1.bias` (O).
  ///   - channels: output channels, at least 1.
  ///   - kernel: height and width of the kernel, at least 1.
  ///   - stride: step of the kernel, at least 1.
  ///   - padding: zeros added on every side, from 0 to kernel - 1.
  ///   - bias: whether each output channel has a bias.
  ///   - groups: groups of channels that do not see each other, at least 1.
  ///   - initializer: of the weights; a bias is uniform in ±1/√fan-in, as PyTorch's.
  ///   - trainable: whether weights and bias get gradients. Without, nothing is computed for them on the way back, and
  ///     they stay at their initial values.
  public init(
    _ name: String, channels: Int, kernel: Int, stride: Int = 1, padding: Int = 0, bias: Bool = true, groups: Int = 1,
    initializer: Initializer = .pyTorchDefault, trainable: Bool = true
  ) {
    self.name = name
    self.channels = channels
    self.kernel = kernel
    self.stride = stride
    self.padding = padding
    self.hasBias = bias
    self.groups = groups
    self.initializer = initializer
    self.isTrainable = trainable
  }

  /// `Convolution`.
  public var kind: String { "Convolution" }

  var geometry: WindowGeometry {
    WindowGeometry(kernel: [kernel, kernel], stride: [stride, stride], padding: [padding, padding])
  }

  /// (C, H, W) → (channels, ⌊(H + 2·padding - kernel)/stride⌋ + 1, likewise W).
  public func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] {
    guard channels >= 1, kernel >= 1, stride >= 1, padding >= 0, padding < kernel else {
      throw ShapeMismatch(
        expected: "channels, kernel and stride of at least 1 and a padding from 0 to kernel - 1"
          + " (the layer has channels \(channels), kernel \(kernel), stride \(stride), padding \(padding))")
    }
    guard groups >= 1, channels % groups == 0, let inputs = input.first, inputs % groups == 0 else {
      throw ShapeMismatch(
        expected: "a number of channels that its \(groups) groups divide (the layer makes \(channels) channels)")
    }
    return try windowedShape(input, channels: channels, geometry)
  }

  /// The weights, and the bias where there is one.
  public func parameters(input: [Int]) -> [ParameterSpecification] {
    guard let inputs = input.first, let name else { return [] }
    let fanIn = inputs / groups * kernel * kernel
    let weight = ParameterSpecification(
      name: "\(name).weight", shape: [channels, inputs / groups, kernel, kernel], fanIn: fanIn,
      initializer: initializer, isTrainable: isTrainable)
    let bias = ParameterSpecification(
      name: "\(name).bias", shape: [channels], fanIn: fanIn, isTrainable: isTrainable)
    return hasBias ? [weight, bias] : [weight]
  }

  func activated(by activation: Activation) -> (any CompilableLayer)? {
    if isRectified || activation != .relu { return nil }
    var copy = self
    copy.isRectified = true
    return copy
  }

  func compile(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value {
    let compilation = try ConvolutionCompilation(self, input, site, compiler)
    let output = try compilation.emitForward()
    compiler.onBackward { try compilation.emitBackward(output) }
    return output
  }
}

extension Convolution: CustomStringConvertible {
  /// What decides the arithmetic. Checkpoints are compared by it: what is at its default is left out, so that those of
  /// versions without it can be continued.
  public var description: String {
    "Convolution(name: \(name.debugDescription), channels: \(channels), kernel: \(kernel), stride: \(stride), "
      + "padding: \(padding), hasBias: \(hasBias), isRectified: \(isRectified)"
      + (groups == 1 ? "" : ", groups: \(groups)") + (isTrainable ? "" : ", isTrainable: false") + ")"
  }
}
