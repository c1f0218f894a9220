// The primitives themselves, each in memory of its own.
extension Equivalent {
  /// Builds the primitive, ready to be timed.
  /// - Returns: nil where oneDNN has no implementation for this layout and precision.
  func primitive(_ engine: Engine) throws -> TimedPrimitive? {
    let work = work
    let made = try ifImplemented { () throws(OneDNNError) in try Builder(engine: engine).build(work) }
    guard let (descriptor, operands) = made else { return nil }
    return try TimedPrimitive(descriptor, operands, engine, for: "the \(name) of \(layer), to be timed")
  }

  private struct Builder {
    typealias Operand = TimedPrimitive.Operand
    typealias Made = (descriptor: PrimitiveDescriptor, operands: [Operand])

    let engine: Engine
    private let attributes: Attributes

    init(engine: Engine) throws(OneDNNError) {
      self.engine = engine
      attributes = try Attributes()
    }

    func build(_ work: Work) throws(OneDNNError) -> Made {
      switch work {
      case .batchNormalization(let data, let isRectified): return try batchNormalization(data, isRectified)
      case .batchNormalizationBackward(let data, let isRectified):
        return try batchNormalizationBackward(data, isRectified)
      case .layerNormalization(let data): return try layerNormalization(data)
      case .layerNormalizationBackward(let data): return try layerNormalizationBackward(data)
      case .sum(let data, let isRectified):
        // A plan would overwrite an addend, as ours do.
        let descriptor = try PrimitiveDescriptor.sum(
          data, isRectified ? try Attributes(rectified: true) : attributes, engine)
        return (
          descriptor,
          [Operand(.source, .destination, descriptor: data), Operand(.secondSource, descriptor: data)]
        )
      case .activation(let activation, let data):
        let descriptor = try PrimitiveDescriptor.activationForward(activation, data, attributes, engine)
        // A ReLU in place, as its mask is read off the output; the others' way back reads the input.
        return (
          descriptor,
          activation == .relu
            ? [Operand(.source, .destination, descriptor: data)]
            : [Operand(.source, descriptor: data), Operand(.destination, descriptor: data)]
        )
      case .activationBackward(let activation, let data): return try activationBackward(activation, data)
      case .matrixProduct(let source, let weights, let destination):
        let descriptor = try PrimitiveDescriptor.matrixProduct(source, weights, destination, attributes, engine)
        return (
          descriptor,
          [
            Operand(.source, descriptor: source), Operand(.weights, descriptor: weights),
            Operand(.destination, descriptor: destination),
          ]
        )
      case .softmax(let data):
        return (
          try .softmaxForward(data, attributes, engine),
          [Operand(.source, descriptor: data), Operand(.destination, descriptor: data)]
        )
      case .softmaxBackward(let data):
        let forward = try PrimitiveDescriptor.softmaxForward(data, attributes, engine)
        return (
          try .softmaxBackward(data, hint: forward, attributes, engine),
          [
            Operand(.destination, descriptor: data), Operand(.destinationGradient, descriptor: data),
            Operand(.sourceGradient, descriptor: data),
          ]
        )
      }
    }

    private func batchNormalization(_ data: MemoryDescriptor, _ isRectified: Bool) throws(OneDNNError) -> Made {
      let descriptor = try PrimitiveDescriptor.batchNormalizationForward(
        data, isRectified: isRectified, attributes, engine)
      return (
        descriptor,
        [
          Operand(.source, descriptor: data), Operand(.destination, descriptor: data),
          Operand(.workspace, descriptor: descriptor.workspace),
        ] + (try statistics(rows: data.shape[1], features: data.shape[1]))
      )
    }

    private func batchNormalizationBackward(
      _ data: MemoryDescriptor, _ isRectified: Bool
    ) throws(OneDNNError) -> Made {
      let forward = try PrimitiveDescriptor.batchNormalizationForward(
        data, isRectified: isRectified, attributes, engine)
      let descriptor = try PrimitiveDescriptor.batchNormalizationBackward(
        data, isRectified: isRectified, hint: forward, attributes, engine)
      let channels = data.shape[1]
      return (
        descriptor,
        [
          Operand(.source, descriptor: data), Operand(.destinationGradient, descriptor: data),
          Operand(.sourceGradient, descriptor: data), Operand(.workspace, descriptor: descriptor.workspace),
          Operand(.scaleShiftGradient, descriptor: try .plain([2, channels])),
        ] + (try statistics(rows: channels, features: channels))
      )
    }

    private func layerNormalization(_ data: MemoryDescriptor) throws(OneDNNError) -> Made {
      let (rows, features) = (data.shape[0], data.shape[1])
      return (
        try .layerNormalizationForward(data, statistics: .plain([rows]), attributes, engine),
        [Operand(.source, descriptor: data), Operand(.destination, descriptor: data)]
          + (try statistics(rows: rows, features: features))
      )
    }

    private func layerNormalizationBackward(_ data: MemoryDescriptor) throws(OneDNNError) -> Made {
      let (rows, features) = (data.shape[0], data.shape[1])
      let forward = try PrimitiveDescriptor.layerNormalizationForward(
        data, statistics: .plain([rows]), attributes, engine)
      return (
        try .layerNormalizationBackward(data, statistics: .plain([rows]), hint: forward, attributes, engine),
        [
          Operand(.source, descriptor: data), Operand(.destinationGradient, descriptor: data),
          Operand(.sourceGradient, descriptor: data),
          Operand(.scaleShiftGradient, descriptor: try .plain([2, features])),
        ] + (try statistics(rows: rows, features: features))
      )
    }

    /// Means and variances, and weights with biases, all single precision.
    private func statistics(rows: Int, features: Int) throws(OneDNNError) -> [Operand] {
      [
        Operand(.mean, descriptor: try .plain([rows])), Operand(.variance, descriptor: try .plain([rows])),
        Operand(.scaleShift, descriptor: try .plain([2, features])),
      ]
    }

    private func activationBackward(
      _ activation: Activation, _ data: MemoryDescriptor
    ) throws(OneDNNError) -> Made {
      let forward = try PrimitiveDescriptor.activationForward(activation, data, attributes, engine)
      let descriptor = try PrimitiveDescriptor.activationBackward(
        activation, data, hint: forward, attributes, engine)
      // In place where that leaves the numbers as they are: otherwise they would shrink from one repetition to the
      // next.
      return (
        descriptor,
        activation == .relu
          ? [
            Operand(.destination, descriptor: data),
            Operand(.destinationGradient, .sourceGradient, descriptor: data),
          ]
          : [
            Operand(.source, descriptor: data), Operand(.destinationGradient, descriptor: data),
            Operand(.sourceGradient, descriptor: data),
          ]
      )
    }
  }
}
