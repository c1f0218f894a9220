// What convolutions and dense layers have in common on the way back.
extension PlanCompiler {
  /// Zeroes the gradient where the fused ReLU had put out zero.
  func rectifyGradient(_ gradient: Value.Gradient, by output: Value, layer: String) throws -> Tensor {
    let descriptor = output.descriptor
    let (source, target) = try inPlace(gradient, as: descriptor, layer: layer)
    emitReLUBackward(output.buffer, source, to: target, descriptor, scale: 1, layer: layer, of: "ReLU backward")
    return Tensor(descriptor: descriptor, storage: .buffer(target))
  }

  /// Gradients of weights and bias, straight into the arena where the primitive can write the weights' layout.
  func emitBackwardWeights(
    _ descriptor: PrimitiveDescriptor, source: Tensor, gradient: Tensor, weights: CompiledParameter,
    bias: CompiledParameter?, layer: String
  ) throws {
    let source = try reordered(source, to: descriptor.source, layer: layer)
    let gradient = try reordered(gradient, to: descriptor.destinationGradient, layer: layer)
    let isDirect = descriptor.weightsGradient == weights.physical
    let target =
      isDirect
      ? weights.gradient
      : Tensor(
        descriptor: descriptor.weightsGradient, storage: .buffer(makeBuffer(descriptor.weightsGradient)))
    var arguments: [(argument: Argument, tensor: Tensor)] = [
      (.source, source), (.destinationGradient, gradient), (.weightsGradient, target),
    ]
    if let bias { arguments.append((.biasGradient, bias.gradient)) }
    try emit(descriptor, layer: layer, .backwardWeights, arguments)
    if !isDirect { try emitReorder(target, to: weights.gradient, layer: layer) }
  }

  /// Gradient of a layer's input.
  /// - Parameter weights: the weights in the arena, or a copy of them.
  func emitBackwardData(
    _ descriptor: PrimitiveDescriptor, gradient: Tensor, weights: Tensor, layer: String
  ) throws -> Value.Gradient {
    let gradient = try reordered(gradient, to: descriptor.destinationGradient, layer: layer)
    let weights = try reordered(weights, to: descriptor.weights, layer: layer)
    let result = Value.Gradient(
      descriptor: descriptor.sourceGradient, buffer: makeBuffer(descriptor.sourceGradient))
    try emit(
      descriptor, layer: layer, .backwardData,
      [(.destinationGradient, gradient), (.weights, weights), (.sourceGradient, result.tensor)])
    return result
  }
}
