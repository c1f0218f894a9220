internal import CKernels

/// Layer normalisation (Ba, Kiros and Hinton 2016): per example or token, (x - mean) / √(variance + ε) · weight + bias
/// over its features.
public struct LayerNorm: Layer, CompilableLayer {
  /// Prefix of the parameters' names.
  public let name: String?
  /// Added to the variance.
  public let epsilon: Double

  /// - Parameters:
  ///   - name: prefix of the parameters' names: `norm1` gives `norm1.weight` and `norm1.bias` (features each).
  ///   - epsilon: added to the variance; above 0.
  public init(_ name: String, epsilon: Double = 1e-5) {
    self.name = name
    self.epsilon = epsilon
  }

  /// `LayerNorm`.
  public var kind: String { "LayerNorm" }

  /// The shape of the input: (features) or (tokens, features).
  public func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] {
    guard epsilon > 0, epsilon.isFinite else {
      throw ShapeMismatch(expected: "an epsilon above 0 (the layer has \(epsilon))")
    }
    guard input.count <= 2 else { throw ShapeMismatch(expected: "1 dimension: features, or 2: tokens, features") }
    return input
  }

  /// Weight and bias.
  public func parameters(input: [Int]) -> [ParameterSpecification] {
    guard let name, let features = input.last else { return [] }
    return [
      ParameterSpecification(name: "\(name).weight", shape: [features], fanIn: 1, initializer: .ones),
      ParameterSpecification(name: "\(name).bias", shape: [features], fanIn: 1, initializer: .zeros),
    ]
  }

  func compile(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value {
    let features = input.shape[input.shape.count - 1]
    let rows = compiler.batchSize * input.shape.dropLast().reduce(1, *)
    let precision = input.descriptor.precision
    let descriptor = try MemoryDescriptor.plain([rows, features], precision)
    let aligned = try compiler.rows(input, site)
    let specifications = parameters(input: input.shape)
    let weight = try compiler.makeParameter(specifications[0], physical: .plain([features]))
    let bias = try compiler.makeParameter(specifications[1], physical: .plain([features]))
    // A mean and an inverse deviation a row.
    let moments = compiler.makeBuffer(byteCount: 2 * rows * MemoryLayout<Float>.stride, isPinned: false)
    let output = Value(
      shape: input.shape, descriptor: descriptor, buffer: compiler.makeBuffer(descriptor), requiresGradient: true,
      mayBeOverwritten: true)
    let (target, storage, epsilon) = (output.buffer, precision.storage, Float(epsilon))
    let equivalent = Equivalent(site.label, .layerNormalization(descriptor))
    compiler.emit(
      "\(site.label) forward", touching: [aligned, moments, target], equivalents: [equivalent]
    ) { context in
      fw_layer_norm_forward(
        storage, rows, features, aligned.address, context.parameters + weight.offset,
        context.parameters + bias.offset, epsilon, target.address, moments.floats, moments.floats + rows)
    }
    compiler.onBackward {
      guard let arrived = try compiler.gradient(of: output, layer: site.label) else { return }
      let (gradient, result) = try compiler.inPlace(arrived, as: descriptor, layer: site.label)
      // What goes past the block that begins here is added in the same pass.
      let bypass = input.takeBypassGradient(as: descriptor)?.buffer
      let touched = [aligned, moments, gradient, result] + (bypass.map { [$0] } ?? [])
      var equivalents = [Equivalent(site.label, .layerNormalizationBackward(descriptor))]
      if bypass != nil { equivalents.append(Equivalent(site.label, .sum(descriptor, isRectified: false))) }
      compiler.emit("\(site.label) backward", touching: touched, equivalents: equivalents) { context in
        fw_layer_norm_backward(
          storage, rows, features, aligned.address, context.parameters + weight.offset, moments.floats,
          moments.floats + rows, gradient.address, bypass?.address, result.address,
          context.gradients + weight.offset, context.gradients + bias.offset)
      }
      compiler.markFinished(from: weight.offset)
      if input.requiresGradient { input.receive(Value.Gradient(descriptor: descriptor, buffer: result)) }
    }
    return output
  }
}

extension PlanCompiler {
  /// The value as a matrix in row-major order: a row for each token or, without tokens, for each example.
  func rows(_ value: Value, _ site: LayerSite) throws -> Buffer {
    let shape = [batchSize * value.shape.dropLast().reduce(1, *), value.shape.last ?? 1]
    let wanted = try MemoryDescriptor.plain(shape, value.descriptor.precision)
    if value.descriptor == wanted { return value.buffer }
    // Behind a global pooling, say, the descriptor still has height and width, of 1 each.
    let plain = try MemoryDescriptor.plain(value.descriptor.shape, value.descriptor.precision)
    return try reordered(value.tensor, to: plain, layer: site.label).buffer ?? value.buffer
  }
}
