/// The largest element of each window.
public struct MaxPool: Layer, CompilableLayer {
  /// Height and width of the window.
  public let kernel: Int
  /// Step from window to window, in both directions.
  public let stride: Int
  /// Rows and columns added on every side; they never win.
  public let padding: Int
  /// A ReLU, with or without a dropout, that was behind it and was fused.
  var pointwise: Pointwise?

  /// - Parameters:
  ///   - kernel: height and width of the window, at least 1.
  ///   - stride: step from window to window; nil: as the window, so that windows neither overlap nor leave gaps.
  ///   - padding: rows and columns added on every side, at most half the window.
  public init(_ kernel: Int, stride: Int? = nil, padding: Int = 0) {
    self.kernel = kernel
    self.stride = stride ?? kernel
    self.padding = padding
  }

  /// `MaxPool`.
  public var kind: String { "MaxPool" }

  private var geometry: WindowGeometry {
    WindowGeometry(kernel: [kernel, kernel], stride: [stride, stride], padding: [padding, padding])
  }

  /// (C, H, W) → (C, ⌊(H + 2·padding - kernel)/stride⌋ + 1, likewise W).
  public func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] {
    guard kernel >= 1, stride >= 1, padding >= 0, padding <= kernel / 2 else {
      throw ShapeMismatch(
        expected: "a window and stride of at least 1 and a padding from 0 to half the window"
          + " (the layer has window \(kernel), stride \(stride), padding \(padding))")
    }
    return try windowedShape(input, channels: nil, geometry)
  }

  func compile(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value {
    if try BlockedMaxPool2.applies(to: self, input, compiler) {
      return try BlockedMaxPool2(self, input, site, compiler).compile()
    }
    let pooled =
      try WindowMaxPool.applies(to: self, input, compiler)
      ? WindowMaxPool.compile(self, input, site, compiler) : compilePrimitive(input, site, compiler)
    return try pointwise?.compile(pooled, site, compiler) ?? pooled
  }

  private func compilePrimitive(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value {
    let shape = [compiler.batchSize] + (try windowedShape(input.shape, channels: nil, geometry))
    let descriptor = try PrimitiveDescriptor.maxPoolingForward(
      source: input.descriptor, destination: .any(shape, input.descriptor.precision), geometry, compiler.attributes,
      compiler.engine)
    let destination = descriptor.destination
    let output = Value(
      shape: Array(shape.dropFirst()), descriptor: destination, buffer: compiler.makeBuffer(destination),
      requiresGradient: input.requiresGradient, mayBeOverwritten: true)
    var arguments: [(argument: Argument, tensor: Tensor)] = [
      (.source, input.tensor), (.destination, output.tensor),
    ]
    // Where in its window each largest element was.
    let workspace = descriptor.workspace
    var kept: Tensor?
    if !workspace.isEmpty {
      let tensor = Tensor(descriptor: workspace, storage: .buffer(compiler.makeBuffer(workspace)))
      arguments.append((.workspace, tensor))
      kept = tensor
    }
    try compiler.emit(descriptor, layer: site.label, .forward, arguments)
    if input.requiresGradient {
      compiler.onBackward { [kept] in
        try emitBackward(input, output, workspace: kept, hint: descriptor, site, compiler)
      }
    }
    return output
  }

  private func emitBackward(
    _ input: Value, _ output: Value, workspace: Tensor?, hint: PrimitiveDescriptor, _ site: LayerSite,
    _ compiler: PlanCompiler
  ) throws {
    guard let arrived = try compiler.gradient(of: output, layer: site.label) else { return }
    let gradient = try compiler.reordered(arrived.tensor, to: output.descriptor, layer: site.label)
    let descriptor = try PrimitiveDescriptor.maxPoolingBackward(
      sourceGradient: input.descriptor, destinationGradient: gradient.descriptor, geometry, hint: hint,
      compiler.attributes, compiler.engine)
    let result = Value.Gradient(
      descriptor: descriptor.sourceGradient, buffer: compiler.makeBuffer(descriptor.sourceGradient))
    var arguments: [(argument: Argument, tensor: Tensor)] = [
      (.destinationGradient, gradient), (.sourceGradient, result.tensor),
    ]
    if let workspace { arguments.append((.workspace, workspace)) }
    try compiler.emit(descriptor, layer: site.label, .backwardData, arguments)
    input.receive(result)
  }
}

/// Shape behind a window that slides over an image.
func windowedShape(
  _ input: [Int], channels: Int?, _ geometry: WindowGeometry
) throws(ShapeMismatch) -> [Int] {
  guard input.count == 3 else {
    throw ShapeMismatch(expected: "3 dimensions: channels, height, width")
  }
  var output = [channels ?? input[0]]
  for axis in 0..<2 {
    let size = input[axis + 1] + 2 * geometry.padding[axis]
    guard size >= geometry.kernel[axis] else {
      throw ShapeMismatch(
        expected: "a height and width of at least \(geometry.kernel[axis] - 2 * geometry.padding[axis])"
          + " (window \(geometry.kernel[axis]), padding \(geometry.padding[axis]))")
    }
    output.append((size - geometry.kernel[axis]) / geometry.stride[axis] + 1)
  }
  return output
}
