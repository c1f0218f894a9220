internal import CKernels

// Gradients where several meet, or where one must be changed in place.
extension PlanCompiler {
  /// The gradient of a value, once all its readers have left theirs: the only one, or their sum. It has the value's
  /// shape and precision; its layout may be another.
  /// - Returns: nil where no reader left any.
  func gradient(of value: Value, layer: String) throws -> Value.Gradient? {
    guard let sum = try sumOfGradients(of: value, layer: layer) else { return nil }
    let (shape, precision) = (value.descriptor.shape, value.descriptor.precision)
    if sum.descriptor.shape == shape && sum.descriptor.precision == precision { return sum }
    return try reordered(sum, to: .plain(shape, precision), layer: layer)
  }

  /// The same in the value's own layout, for loops that know no other.
  func alignedGradient(of value: Value, layer: String) throws -> Value.Gradient? {
    try gradient(of: value, layer: layer).map { try reordered($0, to: value.descriptor, layer: layer) }
  }

  private func reordered(
    _ gradient: Value.Gradient, to wanted: MemoryDescriptor, layer: String
  ) throws -> Value.Gradient {
    let buffer = try reordered(gradient.tensor, to: wanted, layer: layer).buffer ?? gradient.buffer
    return Value.Gradient(
      descriptor: wanted, buffer: buffer, mayBeOverwritten: gradient.mayBeOverwritten || buffer !== gradient.buffer)
  }

  private func sumOfGradients(of value: Value, layer: String) throws -> Value.Gradient? {
    guard var sum = value.gradients.first else { return nil }
    for other in value.gradients.dropFirst() {
      let added = try reordered(other.tensor, to: sum.descriptor, layer: layer)
      guard let addend = added.buffer else { continue }
      let (descriptor, first) = (sum.descriptor, sum.buffer)
      // Of two buffers, one that nobody else reads takes the sum.
      let target: Buffer
      if sum.mayBeOverwritten {
        target = first
      } else if other.mayBeOverwritten || addend !== other.buffer {
        target = addend
      } else {
        target = makeBuffer(descriptor)
      }
      emitAdd(first, addend, to: target, descriptor, layer: layer, of: "sum of gradients")
      sum = Value.Gradient(descriptor: descriptor, buffer: target)
    }
    return sum
  }

  /// The gradient in the wanted layout, and bytes for a gradient of that layout computed from it, element by element:
  /// its own where they may be changed.
  func inPlace(
    _ gradient: Value.Gradient, as wanted: MemoryDescriptor, layer: String
  ) throws -> (source: Buffer, target: Buffer) {
    let aligned = try reordered(gradient.tensor, to: wanted, layer: layer).buffer ?? gradient.buffer
    let isFree = aligned !== gradient.buffer || gradient.mayBeOverwritten
    return (aligned, isFree ? aligned : makeBuffer(wanted))
  }

  /// target = first + second, of one layout; target may be one of them.
  func emitAdd(
    _ first: Buffer, _ second: Buffer, to target: Buffer, _ descriptor: MemoryDescriptor, layer: String, of what: String
  ) {
    let (count, storage) = (descriptor.elementCount, descriptor.precision.storage)
    let equivalent = Equivalent(layer, .sum(descriptor, isRectified: false))
    emit("\(layer) \(what)", touching: [first, second, target], equivalents: [equivalent]) { _ in
      fw_tensor_add(storage, first.address, second.address, target.address, count)
    }
  }

  /// target = gradient · scale where a ReLU had put out more than zero, else zero.
  func emitReLUBackward(
    _ output: Buffer, _ gradient: Buffer, to target: Buffer, _ descriptor: MemoryDescriptor, scale: Float,
    layer: String, of what: String
  ) {
    let (count, storage) = (descriptor.elementCount, descriptor.precision.storage)
    let equivalent = Equivalent(layer, .activationBackward(.relu, descriptor))
    emit("\(layer) \(what)", touching: [output, gradient, target], equivalents: [equivalent]) { _ in
      fw_tensor_relu_backward(storage, output.address, gradient.address, scale, target.address, count)
    }
  }
}
