internal import CKernels

// Timing a plan's parts in the process that runs it, for `freewheel benchmark plan` and for whoever tunes a network.

/// How long one oneDNN primitive takes, alone.
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
  /// Where the plan has a kernel of its own for this work, and the primitive is what oneDNN has for it: what it
  /// computes, such as `batch norm+ReLU`. Nil for a primitive that computes a layer itself.
  public let equivalent: String?
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
  /// Times oneDNN's own work on this network: every primitive of a training step made of nothing but primitives, each
  /// alone, over and over on the same bytes, and the convolutions' other algorithms beside it.
  ///
  /// The plan itself runs some of that work in kernels of its own, so this is done in a twin of the plan, with
  /// parameters, gradients and a batch of its own; the plan's are not touched. Where the twin has such a kernel too, as
  /// for normalisations, sums, activations and attention, the primitives that oneDNN has for the same work stand for it
  /// (``PrimitiveTiming/equivalent``), in the plan's layouts and precision. What oneDNN has no primitive for counts
  /// nothing: dropout, the loss, tokens and their positions, factors.
  ///
  /// - Parameters:
  ///   - repetitions: executions of each primitive, at least 1, after one that is not counted.
  ///   - clock: what times are taken with.
  /// - Returns: one entry a primitive, in the order of the step. The sum of `bestSeconds` is the floor that a whole
  ///   step is measured against.
  /// - Throws: ``PlanError``; ``OneDNNError``.
  public func timePrimitives(repetitions: Int, clock: ProfileClock = .wall) throws -> [PrimitiveTiming] {
    let twin = try Plan(model, batchSize: batchSize, options: options, usesFusedKernels: false)
    let arenas = try MemoryBlock(
      byteCount: MemoryBlock.byteCount(ofFloats: [2, twin.layout.count]), alignment: 4096,
      for: "parameters and gradients of the timed twin")
    return try withExtendedLifetime(arenas) {
      let parameters = arenas.address.bindMemory(to: Float.self, capacity: 2 * twin.layout.count)
      parameters.initialize(repeating: 0, count: 2 * twin.layout.count)
      try twin.initializeParameters(seed: 1, into: parameters)
      try twin.bind(parameters: parameters, gradients: parameters + twin.layout.count)
      let inputCount = twin.inputBytes.count / options.precision.byteCount
      try twin.fillInput(
        [Float](unsafeUninitializedCapacity: inputCount) { values, count in
          if let base = values.baseAddress { fw_uniform_fill(base, 0, inputCount, 1, 0, 1) }
          count = inputCount
        })
      for index in 0..<batchSize { twin.labels[index] = Int32(index % classCount) }
      return try twin.timeOwnPrimitives(repetitions, clock)
    }
  }

  private func timeOwnPrimitives(_ repetitions: Int, _ clock: ProfileClock) throws -> [PrimitiveTiming] {
    _ = try forward(step: 0, firstExample: 0)
    try backward { _ in }
    var timings: [PrimitiveTiming] = []
    for (operations, direction) in [
      (program.forward, PrimitiveRecord.Direction.forward), (program.backward, .backwardData),
    ] {
      for operation in operations {
        if let operation = operation as? PrimitiveOperation {
          timings.append(try time(operation, repetitions, clock))
        } else if let operation = operation as? KernelOperation {
          timings += try operation.equivalents.compactMap { try time($0, direction, repetitions, clock) }
        }
      }
    }
    return timings
  }

  /// A primitive on the bytes that it has in the plan, and its alternatives.
  private func time(
    _ operation: PrimitiveOperation, _ repetitions: Int, _ clock: ProfileClock
  ) throws -> PrimitiveTiming {
    let record = operation.record
    let seconds = try clock.median(of: repetitions) { try operation.run(context) }
    let convolution =
      record.direction == .reorder ? nil : program.convolutions.first { $0.label == record.layer }
    return PrimitiveTiming(
      record: record, equivalent: nil, seconds: seconds,
      alternatives: try convolution?.alternatives(record.direction, repetitions, clock, on: program.stream) ?? [])
  }

  /// What stands for a kernel of our own; nil where oneDNN does not implement it for the layout.
  private func time(
    _ equivalent: Equivalent, _ direction: PrimitiveRecord.Direction, _ repetitions: Int, _ clock: ProfileClock
  ) throws -> PrimitiveTiming? {
    guard let primitive = try equivalent.primitive(program.engine) else { return nil }
    return PrimitiveTiming(
      record: PrimitiveRecord(
        layer: equivalent.layer, direction: direction, implementation: primitive.implementation),
      equivalent: equivalent.name, seconds: try primitive.time(repetitions, clock, on: program.stream),
      alternatives: [])
  }

  /// Times every operation, ours and oneDNN's, in the middle of whole training steps.
  ///
  /// - Parameters:
  ///   - repetitions: steps, at least 1, after one that is not counted.
  ///   - clock: what times are taken with.
  /// - Throws: ``PlanError`` unless arenas are bound; ``OneDNNError``. What the gradient arena holds is overwritten.
  public func timeOperations(repetitions: Int, clock: ProfileClock = .wall) throws -> [OperationTiming] {
    _ = try forward(step: 0, firstExample: 0)
    try backward { _ in }
    let operations = program.forward + program.backward
    var samples = [[Double]](repeating: [], count: operations.count)
    context.isTraining = true
    for _ in 0..<max(1, repetitions) {
      for (index, operation) in operations.enumerated() {
        let start = clock.seconds
        try operation.run(context)
        samples[index].append(clock.seconds - start)
      }
    }
    return zip(operations, samples).map { operation, times in
      OperationTiming(
        label: operation.label, isPrimitive: operation is PrimitiveOperation, seconds: median(of: times),
        fastestSeconds: times.min() ?? 0)
    }
  }
}
