internal import CKernels

/// Multiplies by a constant, such as the factor on the logits of some networks.
public struct Scale: Layer, CompilableLayer {
  /// The constant.
  public let factor: Double

  /// - Parameter factor: the constant; finite.
  public init(_ factor: Double) { self.factor = factor }

  /// `Scale`.
  public var kind: String { "Scale" }

  /// The shape of the input.
  public func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] {
    guard factor.isFinite else { throw ShapeMismatch(expected: "a finite factor (the layer has \(factor))") }
    return input
  }

  func compile(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value {
    let descriptor = input.descriptor
    let target = input.mayBeOverwritten ? input.buffer : compiler.makeBuffer(descriptor)
    let output = Value(
      shape: input.shape, descriptor: descriptor, buffer: target, requiresGradient: input.requiresGradient,
      mayBeOverwritten: true)
    emit(input.buffer, to: target, descriptor, label: "\(site.label)", compiler)
    if input.requiresGradient {
      compiler.onBackward {
        guard let gradient = try compiler.gradient(of: output, layer: site.label) else { return }
        let result =
          gradient.mayBeOverwritten ? gradient.buffer : compiler.makeBuffer(gradient.descriptor)
        emit(gradient.buffer, to: result, gradient.descriptor, label: "\(site.label) backward", compiler)
        input.receive(Value.Gradient(descriptor: gradient.descriptor, buffer: result))
      }
    }
    return output
  }

  private func emit(
    _ source: Buffer, to target: Buffer, _ descriptor: MemoryDescriptor, label: String, _ compiler: PlanCompiler
  ) {
    let (count, storage, factor) = (descriptor.elementCount, descriptor.precision.storage, Float(factor))
    compiler.emit(label, touching: [source, target]) { _ in
      fw_tensor_scale(storage, source.address, factor, target.address, count)
    }
  }
}
