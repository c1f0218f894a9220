import Neural
import Testing

/// Gradients of every layer are slopes of the plan's own loss, dropout included.
@Suite struct LayerGradientTests {
  /// Along the gradient of each tensor by itself, which no other tensor's can hide, and along random directions, which
  /// a gradient that has a wrong part beside the right one fails.
  @Test(arguments: NetworkCase.layers)
  func gradientsAreFiniteDifferences(_ network: NetworkCase) throws {
    let harness = try Harness(
      network.model, batchSize: network.batch, options: PlanOptions(labelSmoothing: 0.1, seed: 5))
    // Away from the special values at which normalisations and biases start.
    var random = SplitMix(state: 8)
    for (index, tensor) in harness.plan.layout.tensors.enumerated() where tensor.shape.count == 1 {
      let values = try #require(try harness.canonical(harness.parameters)[tensor.name])
      try harness.setParameter(index, to: values.map { $0 + 0.3 * random.uniform() })
    }
    try harness.step(7, firstExample: 2)
    let gradient = harness.gradients.values.map(Double.init)
    let norm = gradient.reduce(0) { $0 + $1 * $1 }.squareRoot()
    try #require(norm > 0)
    let untrained = network.model.untrainedNames
    for tensor in harness.plan.layout.tensors {
      let range = tensor.offset..<(tensor.offset + tensor.physicalCount)
      let own = gradient[range].reduce(0) { $0 + $1 * $1 }.squareRoot()
      if untrained.contains(tensor.name) {
        #expect(own == 0, "\(tensor.name)")
        continue
      }
      let tolerance = 5e-3 * own + 5e-4 * norm
      func expectSlope(along direction: [Double]) throws {
        let length = direction.reduce(0) { $0 + $1 * $1 }.squareRoot()
        guard length > 0 else { return }
        let unit = direction.map { $0 / length }
        let expected = zip(unit, gradient).reduce(0) { $0 + $1.0 * $1.1 }
        let found = try harness.slope(
          along: unit, expected: expected, within: tolerance, step: 7, firstExample: 2)
        #expect(
          abs(found - expected) <= tolerance,
          "\(tensor.name): slope \(found), but \(expected) says the gradient of norm \(own) of \(norm)")
      }
      try expectSlope(along: gradient.indices.map { range.contains($0) ? gradient[$0] : 0 })
      // By way of the canonical layout, which has no padding.
      let index = try #require(harness.plan.layout.tensors.firstIndex(of: tensor))
      let drawn = (0..<tensor.elementCount).map { _ in random.uniform() }
      let arena = Arena(count: gradient.count)
      try drawn.withUnsafeBufferPointer {
        try harness.plan.readCanonical(tensor: index, from: try #require($0.baseAddress), to: arena.pointer)
      }
      try expectSlope(along: arena.values.map(Double.init))
    }
  }
}
