internal import CKernels

/// Cuts an image into square patches and maps each to a token (Dosovitskiy et al. 2020): a convolution whose stride is
/// its kernel.
public struct PatchEmbedding: Layer, CompilableLayer {
  /// Prefix of the parameters' names.
  public let name: String?
  /// Features of a token.
  public let features: Int
  /// Height and width of a patch.
  public let patch: Int

  /// - Parameters:
  ///   - name: prefix of the parameters' names, which are a convolution's: `.weight` (features × channels × patch ×
  ///     patch) and `.bias` (features).
  ///   - features: features of a token, at least 1.
  ///   - patch: height and width of a patch, at least 1; what is left of the image at its right and bottom is dropped.
  public init(_ name: String, features: Int, patch: Int) {
    self.name = name
    self.features = features
    self.patch = patch
  }

  /// `PatchEmbedding`.
  public var kind: String { "PatchEmbedding" }

  private var convolution: Convolution {
    Convolution(name ?? "", channels: features, kernel: patch, stride: patch)
  }

  /// (C, H, W) → (⌊H/patch⌋ · ⌊W/patch⌋, features), patches row by row.
  public func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] {
    let image = try convolution.outputShape(input: input)
    return [image[1] * image[2], image[0]]
  }

  /// Weights and bias of the convolution.
  public func parameters(input: [Int]) -> [ParameterSpecification] { convolution.parameters(input: input) }

  func compile(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value {
    let image = try convolution.compile(input, site, compiler)
    let precision = image.descriptor.precision
    // Channels last, an image is its tokens, row by row.
    let inOrder = try MemoryDescriptor.channelsLast(image.descriptor.shape, precision)
    let tensor = try compiler.reordered(image.tensor, to: inOrder, layer: site.label)
    let shape = try outputShape(input: input.shape)
    let rows = try MemoryDescriptor.plain([compiler.batchSize * shape[0], shape[1]], precision)
    let tokens = Value(
      shape: shape, descriptor: rows, buffer: tensor.buffer ?? image.buffer, requiresGradient: true,
      mayBeOverwritten: true)
    compiler.onBackward {
      guard let gradient = try compiler.alignedGradient(of: tokens, layer: site.label) else { return }
      image.receive(
        Value.Gradient(
          descriptor: inOrder, buffer: gradient.buffer, mayBeOverwritten: gradient.mayBeOverwritten))
    }
    return tokens
  }
}

/// A learned token in front of the others, from which a classifier reads (Dosovitskiy et al. 2020).
public struct ClassToken: Layer, CompilableLayer {
  /// The parameter's name.
  public let name: String?

  /// - Parameter name: the parameter's name, such as `class_token`; its shape is 1 × 1 × features, and it starts normal
  ///   with a standard deviation of 0.02.
  public init(_ name: String) { self.name = name }

  /// `ClassToken`.
  public var kind: String { "ClassToken" }

  /// (tokens, features) → (tokens + 1, features).
  public func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] {
    guard input.count == 2 else { throw ShapeMismatch(expected: "2 dimensions: tokens, features") }
    return [input[0] + 1, input[1]]
  }

  /// The token.
  public func parameters(input: [Int]) -> [ParameterSpecification] {
    guard let name, let features = input.last else { return [] }
    return [
      ParameterSpecification(
        name: name, shape: [1, 1, features], fanIn: features, initializer: .normal(standardDeviation: 0.02))
    ]
  }

  func compile(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value {
    let (tokens, features, examples) = (input.shape[0], input.shape[1], compiler.batchSize)
    let token = try compiler.makeParameter(
      parameters(input: input.shape)[0], physical: .plain([1, 1, features]))
    let precision = input.descriptor.precision
    let descriptor = try MemoryDescriptor.plain([examples * (tokens + 1), features], precision)
    let output = Value(
      shape: [tokens + 1, features], descriptor: descriptor, buffer: compiler.makeBuffer(descriptor),
      requiresGradient: true, mayBeOverwritten: true)
    let (source, target, storage) = (input.buffer, output.buffer, precision.storage)
    compiler.emit("\(site.label) forward", touching: [source, target]) { context in
      fw_tokens_prepend(
        storage, examples, tokens, features, context.parameters + token.offset, source.address, target.address)
    }
    compiler.onBackward {
      guard let gradient = try compiler.alignedGradient(of: output, layer: site.label)?.buffer else { return }
      let result = compiler.makeBuffer(input.descriptor)
      let needsInput = input.requiresGradient
      compiler.emit("\(site.label) backward", touching: [gradient] + (needsInput ? [result] : [])) { context in
        fw_sum_over_examples(
          storage, examples, (tokens + 1) * features, features, gradient.address, context.gradients + token.offset)
        if needsInput {
          fw_tokens_prepend_backward(storage, examples, tokens, features, gradient.address, result.address)
        }
      }
      compiler.markFinished(from: token.offset)
      if needsInput { input.receive(Value.Gradient(descriptor: input.descriptor, buffer: result)) }
    }
    return output
  }
}

/// One of the tokens, as features of the example.
public struct TokenSelection: Layer, CompilableLayer {
  /// Which token, from 0.
  public let token: Int

  /// - Parameter token: which token, from 0.
  public init(_ token: Int) { self.token = token }

  /// `TokenSelection`.
  public var kind: String { "TokenSelection" }

  /// (tokens, features) → (features).
  public func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] {
    guard input.count == 2, token >= 0, token < input[0] else {
      throw ShapeMismatch(expected: "2 dimensions: tokens, features, with a token \(token)")
    }
    return [input[1]]
  }

  func compile(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value {
    let (tokens, features, examples, token) = (input.shape[0], input.shape[1], compiler.batchSize, token)
    let precision = input.descriptor.precision
    let descriptor = try MemoryDescriptor.plain([examples, features], precision)
    let output = Value(
      shape: [features], descriptor: descriptor, buffer: compiler.makeBuffer(descriptor),
      requiresGradient: input.requiresGradient, mayBeOverwritten: true)
    let (source, target, storage) = (input.buffer, output.buffer, precision.storage)
    compiler.emit("\(site.label) forward", touching: [source, target]) { _ in
      fw_tokens_select(storage, examples, tokens, features, token, source.address, target.address)
    }
    guard input.requiresGradient else { return output }
    compiler.onBackward {
      guard let gradient = try compiler.alignedGradient(of: output, layer: site.label)?.buffer else { return }
      let result = compiler.makeBuffer(input.descriptor)
      compiler.emit("\(site.label) backward", touching: [gradient, result]) { _ in
        fw_tokens_select_backward(storage, examples, tokens, features, token, gradient.address, result.address)
      }
      input.receive(Value.Gradient(descriptor: input.descriptor, buffer: result))
    }
    return output
  }
}
