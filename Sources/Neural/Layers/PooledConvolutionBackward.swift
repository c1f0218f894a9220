internal import CKernels

/// The way back through a convolution behind which only a 2×2 max-pooling looks: both gradients in one pass over the
/// elements of its output gradient that are not zero, which are a quarter at most.
enum PooledConvolutionBackward {
  /// Whether the pass can do this convolution's work, and should: the rule is one of shapes and layouts alone.
  static func applies(
    _ shape: ConvolutionShape, source: MemoryDescriptor, output: MemoryDescriptor, _ compiler: PlanCompiler
  ) throws -> Bool {
    // Who asks for an algorithm gets it in all directions.
    guard compiler.usesFusedKernels, compiler.options.convolution == .auto else { return false }
    let (geometry, kernel) = (shape.geometry, shape.geometry.kernel[0])
    guard [1, 3, 5].contains(kernel), geometry.kernel == [kernel, kernel], geometry.stride == [1, 1],
      !shape.isRectified, shape.groups == 1, shape.inputChannels % 16 == 0, shape.outputChannels % 16 == 0
    else { return false }
    // The pooling's pass works on the same blocks; without them it hands on a whole gradient.
    return try source == .blocked16(shape.sourceShape, shape.precision)
      && output == .blocked16(shape.destinationShape, shape.precision)
  }

  static func emit(
    _ pooled: PooledGradient, _ shape: ConvolutionShape, input: Value, source: Tensor,
    weights: PlanCompiler.CompiledParameter, bias: PlanCompiler.CompiledParameter?, layer: String,
    _ compiler: PlanCompiler
  ) throws {
    // The pass is one of single precision: in bfloat16 its source is converted, and so is its result.
    guard let sourceBuffer = compiler.converted(source, to: .float32, layer: layer).buffer else { return }
    let needsInputGradient = input.requiresGradient
    let order = try MemoryDescriptor.channelsLast(shape.weightsShape)
    let weightsGradient = Tensor(descriptor: order, storage: .buffer(compiler.makeBuffer(order)))
    let biasOrder = try MemoryDescriptor.plain([shape.outputChannels])
    let biasGradient = Tensor(descriptor: biasOrder, storage: .buffer(compiler.makeBuffer(biasOrder)))
    let orderedWeights = try compiler.reordered(weights.value, to: order, layer: layer)
    let singlePrecision = source.descriptor.with(.float32)
    let result = Tensor(
      descriptor: singlePrecision, storage: .buffer(compiler.makeBuffer(singlePrecision)))

    var kernelShape = fw_pooled_convolution(
      examples: shape.batch, in_channels: shape.inputChannels, out_channels: shape.outputChannels,
      height: shape.inputSize[0], width: shape.inputSize[1], kernel: shape.geometry.kernel[0],
      padding: shape.geometry.padding[0])
    let workspace = compiler.makeBuffer(
      byteCount: fw_pooled_convolution_workspace(&kernelShape) * MemoryLayout<Float>.stride, isPinned: false)
    guard let weightsBuffer = orderedWeights.buffer, let weightsTarget = weightsGradient.buffer,
      let biasTarget = biasGradient.buffer, let resultBuffer = result.buffer
    else { return }
    let isRectified = input.isRectified && source.descriptor == input.descriptor
    var touched = [
      pooled.gradient, pooled.output, pooled.index, sourceBuffer, weightsBuffer, weightsTarget, biasTarget, workspace,
    ]
    if needsInputGradient { touched.append(resultBuffer) }
    compiler.emit("\(layer) backward, from the pooling", touching: touched) { [kernelShape] _ in
      var kernelShape = kernelShape
      fw_pooled_convolution_backward(
        &kernelShape, pooled.gradient.floats, pooled.output.floats,
        pooled.index.address.assumingMemoryBound(to: UInt8.self), pooled.isRectified, pooled.scale,
        sourceBuffer.floats, weightsBuffer.floats, weightsTarget.floats, biasTarget.floats,
        needsInputGradient ? resultBuffer.floats : nil, isRectified, workspace.floats)
    }
    try compiler.emitReorder(weightsGradient, to: weights.gradient, layer: layer)
    if let bias { try compiler.emitReorder(biasGradient, to: bias.gradient, layer: layer) }
    if needsInputGradient {
      let gradient = compiler.converted(result, to: source.descriptor.precision, layer: layer)
      input.receive(Value.Gradient(descriptor: source.descriptor, buffer: gradient.buffer ?? resultBuffer))
      input.gradientIsRectified = isRectified
    }
  }
}
