/// Work that a kernel of our own does and for which oneDNN has a primitive: what the profiler times in its place.
///
/// Kernels are emitted with the primitives that a plan made of nothing but primitives would run for the same work,
/// fused where oneDNN can fuse them: a ReLU behind a batch normalisation or a sum, but not two gradients into a
/// normalisation. What oneDNN has no primitive for has no equivalent and counts nothing: dropout, the loss, tokens and
/// their positions. Nor do the copies that layouts would need.
struct Equivalent {
  enum Work {
    case batchNormalization(MemoryDescriptor, isRectified: Bool)
    case batchNormalizationBackward(MemoryDescriptor, isRectified: Bool)
    /// Of rows × features.
    case layerNormalization(MemoryDescriptor)
    case layerNormalizationBackward(MemoryDescriptor)
    /// In place of the first addend.
    case sum(MemoryDescriptor, isRectified: Bool)
    case activation(Activation, MemoryDescriptor)
    case activationBackward(Activation, MemoryDescriptor)
    /// Source, weights and destination, [batch, rows, columns] each.
    case matrixProduct(MemoryDescriptor, MemoryDescriptor, MemoryDescriptor)
    /// Over the last dimension.
    case softmax(MemoryDescriptor)
    case softmaxBackward(MemoryDescriptor)
  }

  /// The layer that the work is part of.
  let layer: String
  let work: Work

  init(_ layer: String, _ work: Work) {
    self.layer = layer
    self.work = work
  }

  /// What is computed, in a word or two.
  var name: String {
    switch work {
    case .batchNormalization(_, let isRectified), .batchNormalizationBackward(_, let isRectified):
      isRectified ? "batch norm+ReLU" : "batch norm"
    case .layerNormalization, .layerNormalizationBackward: "layer norm"
    case .sum(_, let isRectified): isRectified ? "sum+ReLU" : "sum"
    case .activation(let activation, _), .activationBackward(let activation, _): activation.rawValue
    case .matrixProduct: "matrix product"
    case .softmax, .softmaxBackward: "softmax"
    }
  }
}

// What several kernels stand for.
extension Equivalent {
  /// A batch normalisation with what is done behind it: the sum of a residual block, then an activation.
  static func batchNormalization(
    _ data: MemoryDescriptor, addsResidual: Bool, _ activation: Activation?, layer: String
  ) -> [Equivalent] {
    let isFused = activation == .relu && !addsResidual
    var work: [Work] = [.batchNormalization(data, isRectified: isFused)]
    if addsResidual { work.append(.sum(data, isRectified: activation == .relu)) }
    if let activation, activation != .relu { work.append(.activation(activation, data)) }
    return work.map { Equivalent(layer, $0) }
  }

  /// The way back through that, from one gradient or from two to be added.
  static func batchNormalizationBackward(
    _ data: MemoryDescriptor, addsGradients: Bool, addsResidual: Bool, _ activation: Activation?, layer: String
  ) -> [Equivalent] {
    let isFused = activation == .relu && !addsResidual
    var work: [Work] = addsGradients ? [.sum(data, isRectified: false)] : []
    if let activation, !isFused { work.append(.activationBackward(activation, data)) }
    work.append(.batchNormalizationBackward(data, isRectified: isFused))
    return work.map { Equivalent(layer, $0) }
  }

  /// Attention of `heads` heads in all examples together, tokens × width each, every head's matrices dense: oneDNN
  /// 2.6's matrix product has no generated kernel for heads that lie side by side.
  static func attention(
    heads: Int, tokens: Int, width: Int, _ precision: Precision, layer: String
  ) throws(OneDNNError) -> (forward: [Equivalent], backward: [Equivalent]) {
    let rows = try MemoryDescriptor.plain([heads, tokens, width], precision)
    let columns = try MemoryDescriptor.transposed([heads, width, tokens], precision)
    let scores = try MemoryDescriptor.plain([heads, tokens, tokens], precision)
    let turned = try MemoryDescriptor.transposed([heads, tokens, tokens], precision)
    let forward: [Work] = [
      .matrixProduct(rows, columns, scores),  // queries · keysᵀ
      .softmax(scores),
      .matrixProduct(scores, rows, rows),  // probabilities · values
    ]
    let backward: [Work] = [
      .matrixProduct(turned, rows, rows),  // of the values: probabilitiesᵀ · gradient
      .matrixProduct(rows, columns, scores),  // of the probabilities: gradient · valuesᵀ
      .softmaxBackward(scores),
      .matrixProduct(scores, rows, rows),  // of the queries: gradient of the scores · keys
      .matrixProduct(turned, rows, rows),  // of the keys: its transpose · queries
    ]
    return (forward.map { Equivalent(layer, $0) }, backward.map { Equivalent(layer, $0) })
  }
}
