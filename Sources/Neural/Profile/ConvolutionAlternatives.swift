extension CompiledConvolution {
  /// Times the convolution's work of one direction by every algorithm that oneDNN has for it, each in memory of its own
  /// and in the layouts that it likes best.
  func alternatives(
    _ direction: PrimitiveRecord.Direction, _ repetitions: Int, _ clock: ProfileClock, on stream: Stream
  ) throws -> [PrimitiveTiming.Alternative] {
    try ConvolutionKernel.allCases.compactMap { kernel in
      guard let primitive = try primitive(kernel, direction) else { return nil }
      return PrimitiveTiming.Alternative(
        algorithm: kernel == .winograd ? .winograd : .direct, implementation: primitive.implementation,
        seconds: try primitive.time(repetitions, clock, on: stream))
    }
  }

  /// - Returns: nil where oneDNN has no such implementation.
  private func primitive(
    _ kernel: ConvolutionKernel, _ direction: PrimitiveRecord.Direction
  ) throws -> TimedPrimitive? {
    let primitives = primitives
    let made = try ifImplemented { () throws(OneDNNError) in
      if direction == .forward { return try primitives.forward(kernel) }
      let forward = try primitives.forward(.direct)
      return direction == .backwardData
        ? try primitives.backwardData(kernel, hint: forward) : try primitives.backwardWeights(kernel, hint: forward)
    }
    guard let descriptor = made else { return nil }
    var operands: [TimedPrimitive.Operand]
    switch direction {
    case .forward:
      operands = [
        .init(.source, descriptor: descriptor.source), .init(.weights, descriptor: descriptor.weights),
        .init(.destination, descriptor: descriptor.destination),
      ]
    case .backwardData:
      operands = [
        .init(.sourceGradient, descriptor: descriptor.sourceGradient),
        .init(.weights, descriptor: descriptor.weights),
        .init(.destinationGradient, descriptor: descriptor.destinationGradient),
      ]
    default:
      operands = [
        .init(.source, descriptor: descriptor.source),
        .init(.weightsGradient, descriptor: descriptor.weightsGradient),
        .init(.destinationGradient, descriptor: descriptor.destinationGradient),
      ]
    }
    if primitives.shape.hasBias && direction != .backwardData {
      let bias = try MemoryDescriptor.plain([primitives.shape.outputChannels])
      operands.append(.init(direction == .forward ? .bias : .biasGradient, descriptor: bias))
    }
    return try TimedPrimitive(descriptor, operands, primitives.engine, for: "another algorithm for \(label)")
  }
}
