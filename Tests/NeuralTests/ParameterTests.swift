import Neural
import Testing

@Suite struct ParameterTests {
  @Test func initialValuesAreUniformWithinPyTorchsBounds() throws {
    let harness = try Harness(Models.mnist(), batchSize: 1)
    let values = try harness.canonical(harness.parameters)
    for tensor in harness.plan.layout.tensors {
      let drawn = try #require(values[tensor.name]).map(Double.init)
      let bound = 1 / Double(tensor.fanIn).squareRoot()
      #expect(drawn.allSatisfy { abs($0) <= bound })
      guard drawn.count > 200 else { continue }
      let count = Double(drawn.count)
      let mean = drawn.reduce(0, +) / count
      let variance = drawn.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count
      // Uniform in ±b: variance b²/3, fourth moment b⁴/5. Five standard errors.
      #expect(abs(mean) < 5 * bound / (3 * count).squareRoot(), "\(tensor.name)")
      #expect(abs(variance - bound * bound / 3) < 5 * bound * bound * (4 / 45 / count).squareRoot(), "\(tensor.name)")
      // Neighbours do not hang together.
      let product = zip(drawn, drawn.dropFirst()).reduce(0) { $0 + $1.0 * $1.1 } / count
      #expect(abs(product) < 5 * bound * bound / 3 / count.squareRoot(), "\(tensor.name)")
      #expect((drawn.max() ?? 0) > 0.95 * bound && (drawn.min() ?? 0) < -0.95 * bound)
    }
    #expect(harness.plan.layout.tensors.map(\.fanIn) == [9, 9, 288, 288, 9216, 9216, 128, 128])
  }

  @Test func initialValuesDependOnTheSeedAndOnNothingElse() throws {
    func draw(_ seed: UInt64, batchSize: Int, _ algorithm: ConvolutionAlgorithm) throws -> [String: [Float]] {
      let harness = try Harness(
        NetworkCase.smallMNIST.model, batchSize: batchSize, options: PlanOptions(convolution: algorithm, seed: seed + 5)
      )
      for index in 0..<harness.parameters.count { harness.parameters.pointer[index] = .nan }
      try harness.plan.initializeParameters(seed: seed, into: harness.parameters.pointer)
      #expect(harness.parameters.values.allSatisfy { $0.isFinite })  // the padding too
      return try harness.canonical(harness.parameters)
    }
    let first = try draw(1, batchSize: 1, .direct)
    #expect(try draw(1, batchSize: 7, .winograd) == first)
    #expect(try draw(2, batchSize: 1, .direct) != first)
    let (weight, other) = (try #require(first["conv2.weight"]), try #require(first["fc1.weight"]))
    #expect(Array(weight[0..<8]) != Array(other[0..<8]))
  }

  @Test(arguments: NetworkCase.all)
  func canonicalRoundTrip(_ network: NetworkCase) throws {
    let harness = try Harness(network.model, batchSize: network.batch)
    let layout = harness.plan.layout
    let arena = Arena(count: layout.count)
    for (index, tensor) in layout.tensors.enumerated() {
      let values = (0..<tensor.elementCount).map { Float($0 + 1 + index * 100_000) }
      try values.withUnsafeBufferPointer { buffer in
        try harness.plan.readCanonical(tensor: index, from: try #require(buffer.baseAddress), to: arena.pointer)
      }
    }
    let read = try harness.canonical(arena)
    for (index, tensor) in layout.tensors.enumerated() {
      #expect(read[tensor.name] == (0..<tensor.elementCount).map { Float($0 + 1 + index * 100_000) })
    }
    // All that is not a parameter has stayed zero.
    #expect(arena.values.filter { $0 != 0 }.count == layout.parameterCount)
    #expect(arena.isGuardIntact)
  }
}
