/// The mean of each window; zeros that pad the image do not count.
public struct AveragePool: Layer, CompilableLayer {
  /// Height and width of the window.
  public let kernel: Int
  /// Step from window to window, in both directions.
  public let stride: Int
  /// Rows and columns added on every side; they do not count.
  public let padding: Int

  /// - Parameters:
  ///   - kernel: height and width of the window, at least 1.
  ///   - stride: step from window to window; nil: as the window.
  ///   - padding: rows and columns added on every side, at most half the window. As PyTorch's `AvgPool2d` with
  ///     `count_include_pad=False`.
  public init(_ kernel: Int, stride: Int? = nil, padding: Int = 0) {
    self.kernel = kernel
    self.stride = stride ?? kernel
    self.padding = padding
  }

  /// `AveragePool`.
  public var kind: String { "AveragePool" }

  /// (C, H, W) → (C, ⌊(H + 2·padding - kernel)/stride⌋ + 1, likewise W).
  public func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] {
    guard kernel >= 1, stride >= 1, padding >= 0, padding <= kernel / 2 else {
      throw ShapeMismatch(
        expected: "a window and stride of at least 1 and a padding from 0 to half the window"
          + " (the layer has window \(kernel), stride \(stride), padding \(padding))")
    }
    return try windowedShape(input, channels: nil, geometry)
  }

  private var geometry: WindowGeometry {
    WindowGeometry(kernel: [kernel, kernel], stride: [stride, stride], padding: [padding, padding])
  }

  func compile(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value {
    try AveragePooling.compile(
      input, shape: try windowedShape(input.shape, channels: nil, geometry), geometry, site, compiler)
  }
}

/// The mean over height and width of each channel (PyTorch's `AdaptiveAvgPool2d(1)` and `flatten(1)`).
public struct GlobalAveragePool: Layer, CompilableLayer {
  /// A global average pooling.
  public init() {}

  /// `GlobalAveragePool`.
  public var kind: String { "GlobalAveragePool" }

  /// (C, H, W) → (C).
  public func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] {
    guard input.count == 3 else { throw ShapeMismatch(expected: "3 dimensions: channels, height, width") }
    return [input[0]]
  }

  func compile(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value {
    let size = Array(input.shape[1...])
    return try AveragePooling.compile(
      input, shape: [input.shape[0]], WindowGeometry(kernel: size, stride: size, padding: [0, 0]), site, compiler)
  }
}

/// The oneDNN primitive of both.
private enum AveragePooling {
  /// - Parameter shape: of an example of the output as layers see it, with or without its height and width.
  static func compile(
    _ input: Value, shape: [Int], _ geometry: WindowGeometry, _ site: LayerSite, _ compiler: PlanCompiler
  ) throws -> Value {
    let pooled = try windowedShape(input.shape, channels: nil, geometry)
    let precision = input.descriptor.precision
    let descriptor = try PrimitiveDescriptor.averagePoolingForward(
      source: input.descriptor, destination: .any([compiler.batchSize] + pooled, precision), geometry,
      compiler.attributes, compiler.engine)
    let destination = descriptor.destination
    let output = Value(
      shape: shape, descriptor: destination, buffer: compiler.makeBuffer(destination),
      requiresGradient: input.requiresGradient, mayBeOverwritten: true)
    try compiler.emit(
      descriptor, layer: site.label, .forward, [(.source, input.tensor), (.destination, output.tensor)])
    guard input.requiresGradient else { return output }
    compiler.onBackward {
      guard let arrived = try compiler.gradient(of: output, layer: site.label) else { return }
      let gradient = try compiler.reordered(arrived.tensor, to: destination, layer: site.label)
      let backward = try PrimitiveDescriptor.averagePoolingBackward(
        sourceGradient: input.descriptor, destinationGradient: destination, geometry, hint: descriptor,
        compiler.attributes, compiler.engine)
      let result = Value.Gradient(
        descriptor: backward.sourceGradient, buffer: compiler.makeBuffer(backward.sourceGradient))
      try compiler.emit(
        backward, layer: site.label, .backwardData,
        [(.destinationGradient, gradient), (.sourceGradient, result.tensor)])
      input.receive(result)
    }
    return output
  }
}
