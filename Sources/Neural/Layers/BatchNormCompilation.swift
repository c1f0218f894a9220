internal import CKernels

extension Activation {
  /// How the normalisation's kernels call it; nil for what they do not have.
  var kernel: fw_activation? {
    switch self {
    case .relu: FW_RELU
    case .geluTanh: FW_GELU_TANH
    case .silu: FW_SILU
    case .gelu: nil
    }
  }
}

/// A batch normalisation on its way into a plan, with the sum of a residual block and the activation behind it.
///
/// oneDNN's primitive has the ReLU but neither the sum nor two gradients to add up, and no way to use the statistics of
/// several ranks; a pass over memory for each would cost more than the normalisation itself.
final class BatchNormCompilation {
  private let layer: BatchNorm
  private let input: Value
  private let added: Value?
  private let activation: fw_activation
  private let activationBehind: Activation?
  private let site: LayerSite
  private let compiler: PlanCompiler
  private let channels: Int
  private let layout: fw_image_layout
  private let source: Tensor
  private let weight: PlanCompiler.CompiledParameter
  private let bias: PlanCompiler.CompiledParameter
  private let statistics: CompiledStatistics
  /// Sums and sums of squares of the batch, and how many elements a channel they are of.
  private let sums: Buffer
  /// Mean, 1/√(variance + ε), scale and shift: four rows of `stride` floats.
  private let moments: Buffer
  private let stride: Int

  private var descriptor: MemoryDescriptor { source.descriptor }
  private var storage: fw_storage { descriptor.precision.storage }

  init(
    _ layer: BatchNorm, _ input: Value, adding added: Value?, activation: Activation?, _ site: LayerSite,
    _ compiler: PlanCompiler
  ) throws {
    self.layer = layer
    self.input = input
    self.added = added
    self.activation = activation?.kernel ?? FW_IDENTITY
    activationBehind = activation
    self.site = site
    self.compiler = compiler
    var tensor = input.tensor
    if input.shape.count == 1 && tensor.descriptor.shape.dropFirst(2).contains(where: { $0 > 1 }) {
      // Behind a flattened image the descriptor still has its channels; it is features that are normalised.
      tensor = try compiler.reordered(
        tensor, to: .plain([compiler.batchSize] + input.shape, tensor.descriptor.precision), layer: site.label)
    }
    (source, layout) = try compiler.inImageLayout(tensor, layer: site.label)
    channels = layout.channels
    guard layout.examples * layout.area > 1 else {
      throw PlanError.model(
        "\(site.label): a batch of one example with one value a channel has no variance to normalise by; choose a"
          + " larger batch (--batch-size)")
    }
    let specifications = layer.parameters(input: input.shape)
    weight = try compiler.makeParameter(specifications[0], physical: .plain([channels]))
    bias = try compiler.makeParameter(specifications[1], physical: .plain([channels]))
    statistics = compiler.makeStatistics(layer.name ?? site.label, channels: channels)
    sums = compiler.makeBuffer(byteCount: (2 * channels + 1) * MemoryLayout<Double>.stride, isPinned: false)
    stride = fw_channel_count(channels)
    moments = compiler.makeBuffer(byteCount: 4 * stride * MemoryLayout<Float>.stride, isPinned: false)
  }

  func emitForward() throws -> Value {
    guard let x = source.buffer else { return input }
    emitStatistics(of: x)
    let residual = try added.map { try compiler.reordered($0.tensor, to: descriptor, layer: site.label) }?.buffer
    let output = Value(
      shape: input.shape, descriptor: descriptor, buffer: compiler.makeBuffer(descriptor), requiresGradient: true,
      mayBeOverwritten: !(added != nil && activation == FW_RELU))
    let (y, moments, stride, storage, activation) = (output.buffer, moments, stride, storage, activation)
    let touched = [x, moments, y] + (residual.map { [$0] } ?? [])
    let equivalents = Equivalent.batchNormalization(
      descriptor, addsResidual: added != nil, activationBehind, layer: site.label)
    compiler.emit("\(site.label) apply", touching: touched, equivalents: equivalents) { [layout] _ in
      var layout = layout
      fw_batch_norm_apply(
        &layout, storage, x.address, moments.floats + 2 * stride, moments.floats + 3 * stride, residual?.address,
        activation, y.address)
    }
    return output
  }

  /// Mean and variance, of the batch or the running ones, and what follows from them per channel.
  private func emitStatistics(of x: Buffer) {
    let (channels, stride, storage, epsilon) = (channels, stride, storage, layer.epsilon)
    let momentum = layer.momentum
    let (sums, moments, statistics, weight, bias) = (sums, moments, statistics, weight.offset, bias.offset)
    let ownCount = Double(layout.examples * layout.area)
    compiler.emit("\(site.label) statistics", touching: [x, sums, moments]) { [layout] context in
      let (gamma, beta) = (context.parameters + weight, context.parameters + bias)
      let (mean, rstd) = (moments.floats, moments.floats + stride)
      let (scale, shift) = (moments.floats + 2 * stride, moments.floats + 3 * stride)
      if context.statistics == .running {
        return fw_batch_norm_evaluation_channels(
          channels, statistics.runningMean, statistics.runningVariance, gamma, beta, epsilon, scale, shift)
      }
      var layout = layout
      fw_batch_norm_statistics(&layout, storage, x.address, mean, sums.doubles)
      sums.doubles[2 * channels] = ownCount
      if let sumOverRanks = context.sumOverRanks { try sumOverRanks(sums.doubles, 2 * channels + 1) }
      let count = sums.doubles[2 * channels]
      fw_batch_norm_channels(channels, count, sums.doubles, gamma, beta, epsilon, mean, rstd, scale, shift)
      if context.statistics == .batch {
        fw_batch_norm_update_running(
          channels, count, sums.doubles, momentum, statistics.runningMean, statistics.runningVariance)
      } else {
        for index in 0...(2 * channels) { statistics.accumulated.doubles[index] += sums.doubles[index] }
      }
    }
  }

  func emitBackward(_ output: Value) throws {
    guard let x = source.buffer else { return }
    // Two readers of the output leave two gradients; this pass adds them itself.
    let first: Value.Gradient
    let second: Value.Gradient?
    switch output.gradients.count {
    case 0: return
    case 1, 2:
      first = try aligned(output.gradients[0])
      second = try output.gradients.dropFirst().first.map(aligned)
    default:
      guard let sum = try compiler.gradient(of: output, layer: site.label) else { return }
      (first, second) = (try aligned(sum), nil)
    }
    // The gradient in front of the activation is written only where it cannot be had from what is there.
    let isComputed = second != nil || (activation != FW_IDENTITY && (added != nil || activation != FW_RELU))
    let masks = !isComputed && activation == FW_RELU
    let inner: Value.Gradient
    if !isComputed || first.mayBeOverwritten {
      inner = first
    } else if let second, second.mayBeOverwritten {
      inner = second
    } else {
      inner = Value.Gradient(descriptor: descriptor, buffer: compiler.makeBuffer(descriptor))
    }
    let factors = compiler.makeBuffer(byteCount: 2 * stride * MemoryLayout<Float>.stride, isPinned: false)
    try emitReduce(
      x, first.buffer, second?.buffer, inner: isComputed ? inner.buffer : nil, other: other(output), factors)
    compiler.markFinished(from: weight.offset)
    if input.requiresGradient {
      let isTaken = added?.requiresGradient == true
      let target =
        isTaken || !inner.mayBeOverwritten
        ? Value.Gradient(descriptor: descriptor, buffer: compiler.makeBuffer(descriptor)) : inner
      emitApply(x, inner.buffer, masks: masks, factors, to: target.buffer)
      input.receive(target)
    }
    if let added, added.requiresGradient { added.receive(inner) }
  }

  private func aligned(_ gradient: Value.Gradient) throws -> Value.Gradient {
    if gradient.descriptor == descriptor { return gradient }
    let buffer = try compiler.reordered(gradient.tensor, to: descriptor, layer: site.label).buffer ?? gradient.buffer
    return Value.Gradient(
      descriptor: descriptor, buffer: buffer,
      mayBeOverwritten: buffer !== gradient.buffer || gradient.mayBeOverwritten)
  }

  /// What the kernels read besides the input where there was a residual: the output's signs, or the residual again.
  private func other(_ output: Value) throws -> Buffer? {
    guard let added, activation != FW_IDENTITY else { return nil }
    if activation == FW_RELU { return output.buffer }
    return try compiler.reordered(added.tensor, to: descriptor, layer: site.label).buffer
  }

  private func emitReduce(
    _ x: Buffer, _ first: Buffer, _ second: Buffer?, inner: Buffer?, other: Buffer?, _ factors: Buffer
  ) throws {
    let (channels, stride, storage, activation) = (channels, stride, storage, activation)
    let (sums, moments, weight, bias) = (sums, moments, weight.offset, bias.offset)
    let touched = [x, first, sums, moments, factors] + [second, inner, other].compactMap { $0 }
    let equivalents = Equivalent.batchNormalizationBackward(
      descriptor, addsGradients: second != nil, addsResidual: added != nil, activationBehind, layer: site.label)
    compiler.emit("\(site.label) backward sums", touching: touched, equivalents: equivalents) { [layout] context in
      var layout = layout
      var source = fw_batch_norm_input(
        x: x.address, mean: moments.floats, scale: moments.floats + 2 * stride, shift: moments.floats + 3 * stride,
        activation: activation, other: other?.address)
      let count = sums.doubles[2 * channels]
      fw_batch_norm_backward_reduce(
        &layout, storage, &source, first.address, second?.address, inner?.address, sums.doubles)
      let rstd = moments.floats + stride
      fw_batch_norm_parameter_gradients(
        channels, sums.doubles, rstd, context.gradients + weight, context.gradients + bias)
      if let sumOverRanks = context.sumOverRanks { try sumOverRanks(sums.doubles, 2 * channels) }
      fw_batch_norm_backward_channels(
        channels, count, sums.doubles, moments.floats, rstd, moments.floats + 2 * stride, factors.floats,
        factors.floats + stride)
    }
  }

  private func emitApply(_ x: Buffer, _ gradient: Buffer, masks: Bool, _ factors: Buffer, to target: Buffer) {
    let (stride, storage, activation, moments) = (stride, storage, activation, moments)
    compiler.emit("\(site.label) backward apply", touching: [x, gradient, moments, factors, target]) { [layout] _ in
      var layout = layout
      var source = fw_batch_norm_input(
        x: x.address, mean: moments.floats, scale: moments.floats + 2 * stride, shift: moments.floats + 3 * stride,
        activation: activation, other: nil)
      fw_batch_norm_backward_apply(
        &layout, storage, &source, gradient.address, masks, factors.floats, factors.floats + stride, target.address)
    }
  }
}
