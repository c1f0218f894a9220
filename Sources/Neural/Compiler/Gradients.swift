internal import CKernels

// Gradients where several meet, or where one must be changed in place.
extension PlanCompiler {
  /// The gradient of a value, once all its readers have left theirs: the only one, or their sum.
  /// - Returns: nil where no reader left any.
  func gradient(of value: Value, layer: String) throws -> Value.Gradient? {
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
      emitAdd(first, addend, to: target, descriptor, label: "\(layer) sum of gradients")
      sum = Value.Gradient(descriptor: descriptor, buffer: target)
    }
    return sum
  }

  /// The gradient in the wanted layout, in bytes that may be changed.
  func changeable(_ gradient: Value.Gradient, as wanted: MemoryDescriptor, layer: String) throws -> Buffer {
    if gradient.descriptor == wanted && gradient.mayBeOverwritten { return gradient.buffer }
    let copy = Tensor(descriptor: wanted, storage: .buffer(makeBuffer(wanted)))
    try emitReorder(gradient.tensor, to: copy, layer: layer)
    return copy.buffer ?? gradient.buffer
  }

  /// target = first + second, of one layout; target may be one of them.
  func emitAdd(_ first: Buffer, _ second: Buffer, to target: Buffer, _ descriptor: MemoryDescriptor, label: String) {
    let (count, storage) = (descriptor.elementCount, descriptor.precision.storage)
    emit(label, touching: [first, second, target]) { _ in
      fw_sum(storage, first.address, second.address, target.address, count)
    }
  }

  /// Zeroes the gradient, in place, where a ReLU had put out zero, and multiplies the rest by `scale`.
  func emitReLUBackward(
    _ output: Buffer, _ gradient: Buffer, _ descriptor: MemoryDescriptor, scale: Float, label: String
  ) {
    let (count, storage) = (descriptor.elementCount, descriptor.precision.storage)
    emit(label, touching: [output, gradient]) { _ in
      fw_rectify_backward(storage, output.address, gradient.address, count, scale)
    }
  }
}
