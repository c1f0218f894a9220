internal import CKernels

// Timing a plan's parts in the process that runs it, for `freewheel benchmark plan` and for whoever tunes a network.

/// How long one oneDNN primitive of a plan takes, alone.
public struct PrimitiveTiming: Sendable, Hashable {
  /// Another algorithm for the same work.
  public struct Alternative: Sendable, Hashable {
    /// The convolution algorithm asked for.
    public let algorithm: ConvolutionAlgorithm
    /// oneDNN's name of the implementation.
    public let implementation: String
    /// Median over the repetitions.
    public let seconds: Double
  }

  /// What was timed.
  public let record: PrimitiveRecord
  /// Median over the repetitions.
  public let seconds: Double
  /// For convolutions: every algorithm that oneDNN has, each in the layouts it likes best (no copies counted).
  public let alternatives: [Alternative]

  /// The time of the fastest way to do this work; nothing for a reorder, which the best layouts would not need.
  public var bestSeconds: Double {
    if record.direction == .reorder { return 0 }
    return alternatives.map(\.seconds).reduce(seconds, min)
  }
}

/// How long one operation of a plan takes in the middle of whole steps.
public struct OperationTiming: Sendable, Hashable {
  /// The layer and what is done.
  public let label: String
  /// Whether oneDNN does it (else a loop of this module).
  public let isPrimitive: Bool
  /// Median over the repetitions.
  public let seconds: Double
  /// Smallest of the repetitions, for a machine that others use too.
  public let fastestSeconds: Double
}

extension Plan {
  /// Times oneDNN's own work on this network: every primitive of a training step made of nothing but primitives (and
  /// the few loops for which oneDNN has none), each alone, over and over on the same bytes, and the convolutions' other
  /// algorithms beside it.
  ///
  /// The plan itself runs some of that work in passes of its own, so this is done in a twin of the plan, with
  /// parameters, gradients and a batch of its own; the plan's are not touched.
  ///
  /// - Parameter repetitions: executions of each primitive, at least 1, after one that is not counted.
  /// - Returns: one entry a primitive, in the order of the step. The sum of `bestSeconds` is the floor that a whole
  ///   step is measured against.
  /// - Throws: ``PlanError``; ``OneDNNError``.
  public func timePrimitives(repetitions: Int) throws -> [PrimitiveTiming] {
    let twin = try Plan(model, batchSize: batchSize, options: options, usesFusedKernels: false)
    let arenas = try MemoryBlock(
      byteCount: MemoryBlock.byteCount(ofFloats: [2, twin.layout.count]), alignment: 4096,
      for: "parameters and gradients of the timed twin")
    return try withExtendedLifetime(arenas) {
      let parameters = arenas.address.bindMemory(to: Float.self, capacity: 2 * twin.layout.count)
      parameters.initialize(repeating: 0, count: 2 * twin.layout.count)
      try twin.initializeParameters(seed: 1, into: parameters)
      try twin.bind(parameters: parameters, gradients: parameters + twin.layout.count)
      if let base = twin.input.baseAddress { fw_uniform_fill(base, 0, twin.input.count, 1, 0, 1) }
      for index in 0..<batchSize { twin.labels[index] = Int32(index % classCount) }
      return try twin.timeOwnPrimitives(repetitions)
    }
  }

  private func timeOwnPrimitives(_ repetitions: Int) throws -> [PrimitiveTiming] {
    _ = try forward(step: 0, firstExample: 0)
    try backward { _ in }
    var timings: [PrimitiveTiming] = []
    for operation in program.forward + program.backward {
      guard let operation = operation as? PrimitiveOperation else { continue }
      let seconds = try Self.median(repetitions) { try operation.run(context) }
      var alternatives: [PrimitiveTiming.Alternative] = []
      if operation.record.direction != .reorder,
        let convolution = program.convolutions.first(where: { $0.label == operation.record.layer })
      {
        for kernel in ConvolutionKernel.allCases {
          let alternative = try convolution.alternative(kernel, operation.record.direction, program.stream) {
            try Self.median(repetitions, $0)
          }
          if let alternative { alternatives.append(alternative) }
        }
      }
      timings.append(
        PrimitiveTiming(record: operation.record, seconds: seconds, alternatives: alternatives))
    }
    return timings
  }

  /// Times every operation, ours and oneDNN's, in the middle of whole training steps.
  ///
  /// - Parameter repetitions: steps, at least 1, after one that is not counted.
  /// - Throws: ``PlanError`` unless arenas are bound; ``OneDNNError``. What the gradient arena holds is overwritten.
  public func timeOperations(repetitions: Int) throws -> [OperationTiming] {
    _ = try forward(step: 0, firstExample: 0)
    try backward { _ in }
    let operations = program.forward + program.backward
    var samples = [[Double]](repeating: [], count: operations.count)
    let clock = ContinuousClock()
    context.isTraining = true
    for _ in 0..<max(1, repetitions) {
      for (index, operation) in operations.enumerated() {
        let start = clock.now
        try operation.run(context)
        samples[index].append((clock.now - start).inSeconds)
      }
    }
    return zip(operations, samples).map { operation, times in
      OperationTiming(
        label: operation.label, isPrimitive: operation is PrimitiveOperation, seconds: Self.median(of: times),
        fastestSeconds: times.min() ?? 0)
    }
  }

  private static func median(_ repetitions: Int, _ body: () throws -> Void) throws -> Double {
    let clock = ContinuousClock()
    try body()
    var times: [Double] = []
    for _ in 0..<max(1, repetitions) {
      let start = clock.now
      try body()
      times.append((clock.now - start).inSeconds)
    }
    return median(of: times)
  }

  private static func median(of times: [Double]) -> Double {
    let sorted = times.sorted()
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  }
}

extension Duration {
  /// The duration in seconds.
  fileprivate var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}

extension CompiledConvolution {
  /// Builds the convolution's primitive of one direction with another algorithm, in memory of its own, and has it
  /// timed.
  /// - Returns: nil where oneDNN has no such implementation.
  fileprivate func alternative(
    _ kernel: ConvolutionKernel, _ direction: PrimitiveRecord.Direction, _ stream: Stream,
    time: (() throws -> Void) throws -> Double
  ) throws -> PrimitiveTiming.Alternative? {
    if direction == .reorder { return nil }
    let primitives = primitives
    let made = try ifImplemented { () throws(OneDNNError) in
      if direction == .forward { return try primitives.forward(kernel) }
      let forward = try primitives.forward(.direct)
      return direction == .backwardData
        ? try primitives.backwardData(kernel, hint: forward) : try primitives.backwardWeights(kernel, hint: forward)
    }
    guard let descriptor = made else { return nil }
    var tensors: [(argument: Argument, descriptor: MemoryDescriptor)]
    switch direction {
    case .forward:
      tensors = [
        (.source, descriptor.source), (.weights, descriptor.weights), (.destination, descriptor.destination),
      ]
    case .backwardData:
      tensors = [
        (.sourceGradient, descriptor.sourceGradient), (.weights, descriptor.weights),
        (.destinationGradient, descriptor.destinationGradient),
      ]
    default:
      tensors = [
        (.source, descriptor.source), (.weightsGradient, descriptor.weightsGradient),
        (.destinationGradient, descriptor.destinationGradient),
      ]
    }
    if primitives.shape.hasBias && direction != .backwardData {
      let bias = try MemoryDescriptor.plain([primitives.shape.outputChannels])
      tensors.append((direction == .forward ? .bias : .biasGradient, bias))
    }
    if !descriptor.scratchpad.isEmpty { tensors.append((.scratchpad, descriptor.scratchpad)) }

    var blocks: [MemoryBlock] = []
    var arguments: [(argument: Argument, memory: Memory)] = []
    for (argument, descriptor) in tensors {
      let block = try MemoryBlock(
        byteCount: descriptor.byteCount, alignment: 4096, for: "another algorithm for \(label)")
      blocks.append(block)
      // Values of ordinary size: zeros and denormals would be timed as something else.
      block.address.initializeMemory(as: Float.self, repeating: 0.125, count: descriptor.byteCount / 4)
      arguments.append((argument, try Memory(descriptor, primitives.engine, address: block.address)))
    }
    let primitive = try Primitive(descriptor, arguments)
    let seconds = try withExtendedLifetime(blocks) { try time { try primitive.execute(stream) } }
    return PrimitiveTiming.Alternative(
      algorithm: kernel == .winograd ? .winograd : .direct, implementation: try descriptor.implementation(),
      seconds: seconds)
  }
}
