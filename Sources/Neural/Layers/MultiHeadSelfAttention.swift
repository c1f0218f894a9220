internal import CKernels

/// Multi-head self-attention (Vaswani et al. 2017), as PyTorch's
/// `MultiheadAttention(features, heads, batch_first=True)` of one sequence with itself.
public struct MultiHeadSelfAttention: Layer, CompilableLayer {
  /// Prefix of the parameters' names.
  public let name: String?
  /// Heads; they divide the features among them.
  public let heads: Int
  /// Probability of an attention weight to be dropped in training.
  public let dropout: Double
  /// The one token whose output is read, where a selection behind the layer was taken into it.
  var selectedToken: Int?

  /// - Parameters:
  ///   - name: prefix of the parameters' names: `in_proj_weight` (3·features × features: queries, keys, values),
  ///     `in_proj_bias` (3·features), `out_proj.weight` (features × features), `out_proj.bias` (features).
  ///   - heads: at least 1; the features are a multiple of it.
  ///   - dropout: probability of an attention weight to be dropped in training, in 0 ..< 1.
  public init(_ name: String, heads: Int, dropout: Double = 0) {
    self.name = name
    self.heads = heads
    self.dropout = dropout
  }

  /// `MultiHeadSelfAttention`.
  public var kind: String { "MultiHeadSelfAttention" }

  /// The shape of the input: (tokens, features).
  public func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] {
    guard input.count == 2, heads >= 1, input[1] % heads == 0 else {
      throw ShapeMismatch(expected: "2 dimensions: tokens, features, with features that its \(heads) heads divide")
    }
    return input
  }

  func check(_ description: String) throws(PlanError) { try Dropout.check(dropout, description) }

  /// The projections in front and behind. PyTorch names the first one's parameters without a dot.
  private func projections(_ features: Int) -> (Dense, Dense) {
    let prefix = name ?? ""
    return (
      Dense(
        weightName: "\(prefix).in_proj_weight", biasName: "\(prefix).in_proj_bias", features: 3 * features,
        initializer: .xavierUniform, biasInitializer: .zeros),
      Dense("\(prefix).out_proj", features, biasInitializer: .zeros)
    )
  }

  /// Weights and biases of both projections.
  public func parameters(input: [Int]) -> [ParameterSpecification] {
    guard input.count == 2 else { return [] }
    let (first, last) = projections(input[1])
    return first.parameters(input: input) + last.parameters(input: input)
  }

  func compile(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value {
    let (first, last) = projections(input.shape[1])
    let projected = try first.compile(input, site, compiler)
    var attended = try attend(projected, input.shape, site, compiler)
    if let selectedToken { attended = try TokenSelection(selectedToken).compile(attended, site, compiler) }
    return try last.compile(attended, site, compiler)
  }

  /// Softmax of the products of queries and keys, times the values.
  private func attend(
    _ projected: Value, _ shape: [Int], _ site: LayerSite, _ compiler: PlanCompiler
  ) throws -> Value {
    let precision = projected.descriptor.precision
    var problem = fw_attention(
      storage: precision.storage, examples: compiler.batchSize, tokens: shape[0], heads: heads,
      width: shape[1] / heads)
    let stride = MemoryLayout<Float>.stride
    let probabilities = compiler.makeBuffer(
      byteCount: fw_attention_probabilities(&problem) * stride, isPinned: false)
    let workspaceSize = fw_attention_workspace(&problem) * stride
    let workspace = compiler.makeBuffer(byteCount: workspaceSize, isPinned: false)
    let descriptor = try MemoryDescriptor.plain([compiler.batchSize * shape[0], shape[1]], precision)
    let output = Value(
      shape: shape, descriptor: descriptor, buffer: compiler.makeBuffer(descriptor), requiresGradient: true,
      mayBeOverwritten: true)
    let pointwise = Pointwise(rectifies: false, dropProbability: dropout * compiler.options.dropoutScale)
    let drops = pointwise.dropThreshold > 0
    let template = pointwise.streamTemplate(site, compiler)
    let (source, target) = (projected.buffer, output.buffer)
    let equivalents = try Equivalent.attention(
      heads: compiler.batchSize * heads, tokens: shape[0], width: shape[1] / heads, precision, layer: site.label)
    compiler.emit(
      "\(site.label) attention", touching: [source, target, probabilities, workspace],
      equivalents: equivalents.forward
    ) { [problem] context in
      var (problem, dropout) = (problem, template)
      dropout.step = context.step
      withUnsafePointer(to: &dropout) { dropout in
        fw_attention_forward(
          &problem, source.address, target.address, context.isTraining ? probabilities.floats : nil,
          context.firstExample, drops && context.isTraining ? dropout : nil, workspace.floats)
      }
    }
    compiler.onBackward {
      guard let gradient = try compiler.alignedGradient(of: output, layer: site.label)?.buffer else { return }
      let result = compiler.makeBuffer(projected.descriptor)
      let workspace = compiler.makeBuffer(byteCount: workspaceSize, isPinned: false)
      compiler.emit(
        "\(site.label) attention backward", touching: [source, probabilities, gradient, result, workspace],
        equivalents: equivalents.backward
      ) { [problem] _ in
        var (problem, dropout) = (problem, template)
        withUnsafePointer(to: &dropout) { dropout in
          fw_attention_backward(
            &problem, source.address, probabilities.floats, gradient.address, result.address,
            drops ? dropout : nil, workspace.floats)
        }
      }
      projected.receive(Value.Gradient(descriptor: projected.descriptor, buffer: result))
    }
    return output
  }
}
