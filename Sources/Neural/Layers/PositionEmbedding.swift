internal import CKernels
internal import Glibc

/// Adds to each token what tells its position.
public struct PositionEmbedding: Layer, CompilableLayer {
  /// What is added.
  public enum Kind: Sendable, Hashable {
    /// A parameter of shape 1 × tokens × features, which starts normal with a standard deviation of 0.02.
    case learned
    /// Fixed sines and cosines of the column, in the first half of the features, and of the row, in the second half, of
    /// tokens that lie row by row on a grid of `rows` rows. Within a half, feature i < features/4 is sin(p·ω) and
    /// feature features/4 + i is cos(p·ω), with ω = 10000^(-4i/features) (Vaswani et al. 2017, in two dimensions).
    case sineCosine(rows: Int)
  }

  /// The parameter's name; nil where nothing is learned.
  public let name: String?
  /// What is added.
  public let position: Kind

  /// Learned positions.
  /// - Parameter name: the parameter's name, such as `position_embedding`.
  public init(_ name: String) {
    self.name = name
    position = .learned
  }

  /// Fixed positions on a grid.
  /// - Parameter rows: rows of the grid; the tokens' number is a multiple of it, their features one of 4.
  public init(sineCosineOfRows rows: Int) {
    name = nil
    position = .sineCosine(rows: rows)
  }

  /// `PositionEmbedding`.
  public var kind: String { "PositionEmbedding" }

  /// The shape of the input: (tokens, features).
  public func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] {
    guard input.count == 2 else { throw ShapeMismatch(expected: "2 dimensions: tokens, features") }
    if case .sineCosine(let rows) = position {
      guard rows >= 1, input[0] % rows == 0, input[1] % 4 == 0 else {
        throw ShapeMismatch(
          expected: "tokens on a grid of \(rows) rows, and a number of features that 4 divides")
      }
    }
    return input
  }

  /// The positions, where they are learned.
  public func parameters(input: [Int]) -> [ParameterSpecification] {
    guard let name, input.count == 2 else { return [] }
    return [
      ParameterSpecification(
        name: name, shape: [1] + input, fanIn: input[1], initializer: .normal(standardDeviation: 0.02))
    ]
  }

  func compile(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value {
    let (count, examples) = (input.shape[0] * input.shape[1], compiler.batchSize)
    let storage = input.descriptor.precision.storage
    let parameter = try parameters(input: input.shape).first.map {
      try compiler.makeParameter($0, physical: .plain($0.shape))
    }
    let fixed = parameter == nil ? try table(input.shape) : nil
    let target = input.mayBeOverwritten ? input.buffer : compiler.makeBuffer(input.descriptor)
    let output = Value(
      shape: input.shape, descriptor: input.descriptor, buffer: target,
      requiresGradient: input.requiresGradient || parameter != nil, mayBeOverwritten: true)
    let source = input.buffer
    compiler.emit("\(site.label) forward", touching: [source, target]) { context in
      if let parameter {
        fw_add_to_examples(
          storage, examples, count, source.address, context.parameters + parameter.offset, target.address)
      } else if let fixed {
        let table = fixed.address.assumingMemoryBound(to: Float.self)
        fw_add_to_examples(storage, examples, count, source.address, table, target.address)
      }
    }
    compiler.onBackward {
      if let parameter, let gradient = try compiler.alignedGradient(of: output, layer: site.label) {
        let buffer = gradient.buffer
        compiler.emit("\(site.label) backward", touching: [buffer]) { context in
          fw_sum_over_examples(
            storage, examples, count, count, buffer.address, context.gradients + parameter.offset)
        }
        compiler.markFinished(from: parameter.offset)
        if input.requiresGradient { input.receive(gradient) }
      } else if input.requiresGradient {
        output.gradients.forEach(input.receive)
      }
    }
    return output
  }

  /// The fixed positions, tokens × features.
  private func table(_ shape: [Int]) throws(PlanError) -> MemoryBlock {
    guard case .sineCosine(let rows) = position else { throw .usage("positions that are learned have no table") }
    let (tokens, features) = (shape[0], shape[1])
    let block = try MemoryBlock(
      byteCount: MemoryBlock.byteCount(ofFloats: shape), alignment: 64, for: "a table of positions")
    let values = block.address.bindMemory(to: Float.self, capacity: tokens * features)
    let (columns, quarter) = (tokens / rows, features / 4)
    for token in 0..<tokens {
      for (half, place) in [token % columns, token / columns].enumerated() {
        for index in 0..<quarter {
          let angle = Double(place) * pow(10000, -Double(index) / Double(quarter))
          let first = values + token * features + half * 2 * quarter + index
          first[0] = Float(sin(angle))
          first[quarter] = Float(cos(angle))
        }
      }
    }
    return block
  }
}
