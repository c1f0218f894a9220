internal import CKernels

/// A ReLU, a dropout, or both, in one pass over memory: what those layers become.
struct Pointwise: CompilableLayer {
  let rectifies: Bool
  let dropProbability: Double

  var kind: String { rectifies ? (dropProbability > 0 ? "ReLU+Dropout" : "ReLU") : "Dropout" }

  func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] { input }

  /// Of 65536 equally likely draws, so many drop an element.
  var dropThreshold: UInt32 { UInt32((dropProbability * 65536).rounded()) }
  /// Makes up, in the mean, for what is dropped: exact for the threshold used.
  var keepScale: Float { Float(65536 / (65536 - Double(dropThreshold))) }

  func compile(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value {
    // Streams are counted per example, so an example's elements must lie together.
    var source = input.tensor
    if dropThreshold > 0 && !input.descriptor.hasContiguousExamples {
      source = try compiler.reordered(
        source, to: .plain(input.descriptor.shape, input.descriptor.precision), layer: site.label)
    }
    let isCopy = source.buffer !== input.buffer
    let descriptor = source.descriptor
    guard let sourceBuffer = source.buffer else { return input }
    let buffer = isCopy || input.mayBeOverwritten ? sourceBuffer : compiler.makeBuffer(descriptor)
    // Where a ReLU is part of it the stored output tells the mask (a dropped or negative element is zero and has no
    // gradient either way), so nothing may overwrite the output. A dropout alone draws its mask again.
    let output = Value(
      shape: input.shape, descriptor: descriptor, buffer: buffer, requiresGradient: input.requiresGradient,
      mayBeOverwritten: !rectifies)

    emitForward(from: sourceBuffer, to: output, site, compiler)
    if input.requiresGradient {
      compiler.onBackward { try emitBackward(input, output, site, compiler) }
    }
    return output
  }

  private func emitForward(from source: Buffer, to output: Value, _ site: LayerSite, _ compiler: PlanCompiler) {
    let (count, examples) = (output.descriptor.elementCount, compiler.batchSize)
    let (rectifies, threshold) = (rectifies, dropThreshold)
    let (storage, byteCount) = (output.descriptor.precision.storage, output.descriptor.byteCount)
    let target = output.buffer
    let dropout = streamTemplate(site, compiler)
    let equivalents = rectifies ? [Equivalent(site.label, .activation(.relu, output.descriptor))] : []
    compiler.emit("\(site.label) \(kind)", touching: [source, target], equivalents: equivalents) { context in
      if threshold > 0 && context.isTraining {
        var dropout = dropout
        dropout.step = context.step
        if rectifies && storage == FW_FLOAT32 {
          return fw_dropout_forward(
            source.floats, target.floats, examples, count / examples, context.firstExample, true, &dropout)
        }
        if rectifies { fw_tensor_relu(storage, source.address, target.address, count) }
        let rectified = rectifies ? target : source
        fw_dropout_add(
          storage, rectified.address, nil, target.address, examples, count / examples, context.firstExample, &dropout)
      } else if rectifies {
        fw_tensor_relu(storage, source.address, target.address, count)
      } else if source !== target {
        target.address.copyMemory(from: source.address, byteCount: byteCount)
      }
    }
  }

  private func emitBackward(
    _ input: Value, _ output: Value, _ site: LayerSite, _ compiler: PlanCompiler
  ) throws {
    guard let arrived = try compiler.gradient(of: output, layer: site.label) else { return }
    // Mask and gradient must agree in layout.
    let descriptor = output.descriptor
    let (source, target) = try compiler.inPlace(arrived, as: descriptor, layer: site.label)
    if rectifies {
      compiler.emitReLUBackward(
        output.buffer, source, to: target, descriptor, scale: keepScale, layer: site.label, of: "\(kind) backward")
    } else if dropThreshold > 0 {
      emitDropout(from: source, to: target, descriptor, "\(site.label) \(kind) backward", site, compiler)
    }
    input.receive(Value.Gradient(descriptor: descriptor, buffer: target))
  }

  private func emitDropout(
    from source: Buffer, to target: Buffer, _ descriptor: MemoryDescriptor, _ label: String, _ site: LayerSite,
    _ compiler: PlanCompiler
  ) {
    let (count, examples) = (descriptor.elementCount, compiler.batchSize)
    let (storage, dropout) = (descriptor.precision.storage, streamTemplate(site, compiler))
    compiler.emit(label, touching: [source, target]) { context in
      var dropout = dropout
      dropout.step = context.step
      fw_dropout_add(
        storage, source.address, nil, target.address, examples, count / examples, context.firstExample, &dropout)
    }
  }

  /// A dropout whose output is added to the other branch of a residual block.
  func compile(_ input: Value, adding added: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value {
    // Streams are counted per example, so an example's elements must lie together.
    let wanted: MemoryDescriptor =
      input.descriptor.hasContiguousExamples
      ? input.descriptor : try .plain(input.descriptor.shape, input.descriptor.precision)
    let source = try compiler.reordered(input.tensor, to: wanted, layer: site.label)
    let second = try compiler.reordered(added.tensor, to: wanted, layer: site.label)
    guard let sourceBuffer = source.buffer, let addend = second.buffer else { return input }
    let isFree = sourceBuffer !== input.buffer || input.mayBeOverwritten
    let target = isFree ? sourceBuffer : compiler.makeBuffer(wanted)
    let output = Value(
      shape: input.shape, descriptor: wanted, buffer: target,
      requiresGradient: input.requiresGradient || added.requiresGradient, mayBeOverwritten: true)
    let (count, examples, storage) = (wanted.elementCount, compiler.batchSize, wanted.precision.storage)
    let dropout = streamTemplate(site, compiler)
    let equivalent = Equivalent(site.label, .sum(wanted, isRectified: false))
    compiler.emit(
      "\(site.label) Dropout and sum", touching: [sourceBuffer, addend, target], equivalents: [equivalent]
    ) { context in
      guard context.isTraining else {
        return fw_tensor_add(storage, sourceBuffer.address, addend.address, target.address, count)
      }
      var dropout = dropout
      dropout.step = context.step
      fw_dropout_add(
        storage, sourceBuffer.address, addend.address, target.address, examples, count / examples,
        context.firstExample, &dropout)
    }
    compiler.onBackward {
      guard let gradient = try compiler.gradient(of: output, layer: site.label) else { return }
      if input.requiresGradient {
        // The gradient goes past the body unchanged, so the masked one gets bytes of its own.
        let target = compiler.makeBuffer(gradient.descriptor)
        emitDropout(
          from: gradient.buffer, to: target, gradient.descriptor, "\(site.label) Dropout backward", site, compiler)
        input.receive(Value.Gradient(descriptor: gradient.descriptor, buffer: target))
      }
      if added.requiresGradient { added.receive(gradient) }
    }
    return output
  }

  /// Everything of the stream's key that is known beforehand.
  func streamTemplate(_ site: LayerSite, _ compiler: PlanCompiler) -> fw_dropout {
    fw_dropout(
      seed: compiler.options.seed, step: 0, layer: UInt32(truncatingIfNeeded: site.index), threshold: dropThreshold,
      scale: keepScale)
  }
}
