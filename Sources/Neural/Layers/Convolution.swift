/// Two-dimensional convolution (cross-correlation, as everywhere in the field) with square kernels.
public struct Convolution: Layer, CompilableLayer, Rectifiable {
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
  /// A ReLU behind it was fused into the primitive.
  var isRectified = false

  /// - Parameters:
  ///   - name: prefix of the parameters' names: `conv1` gives `conv1.weight` (OIHW) and `conv1.bias` (O).
  ///   - channels: output channels, at least 1.
  ///   - kernel: height and width of the kernel, at least 1.
  ///   - stride: step of the kernel, at least 1.
  ///   - padding: zeros added on every side, from 0 to kernel - 1.
  ///   - bias: whether each output channel has a bias.
  public init(_ name: String, channels: Int, kernel: Int, stride: Int = 1, padding: Int = 0, bias: Bool = true) {
    self.name = name
    self.channels = channels
    self.kernel = kernel
    self.stride = stride
    self.padding = padding
    self.hasBias = bias
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
    return try windowedShape(input, channels: channels, geometry)
  }

  /// The weights, and the bias where there is one.
  public func parameters(input: [Int]) -> [ParameterSpecification] {
    guard let inputs = input.first, let name else { return [] }
    let fanIn = inputs * kernel * kernel
    let weight = ParameterSpecification(
      name: "\(name).weight", shape: [channels, inputs, kernel, kernel], fanIn: fanIn)
    return hasBias ? [weight, ParameterSpecification(name: "\(name).bias", shape: [channels], fanIn: fanIn)] : [weight]
  }

  func rectified() -> (any CompilableLayer)? {
    if isRectified { return nil }
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
