import Glibc
import Testing

@testable import Neural

/// What holds for the plans of all layers, in every precision that there is.
@Suite struct LayerPlanTests {
  private func harness(_ network: NetworkCase, _ precision: Precision) throws -> Harness {
    try Harness(
      network.model, batchSize: network.batch, options: PlanOptions(labelSmoothing: 0.1, seed: 5, precision: precision))
  }

  @Test(arguments: NetworkCase.everything, Precision.available)
  func repeatsItself(_ network: NetworkCase, _ precision: Precision) throws {
    func run(_ harness: Harness) throws -> [UInt64] {
      let loss = try harness.step(3)
      let bits = harness.gradients.bits + harness.plan.runningStatistics.map(\.bitPattern)
      return [loss.bitPattern] + bits.map(UInt64.init)
    }
    let (first, second) = (try harness(network, precision), try harness(network, precision))
    let statistics = first.plan.runningStatistics
    let expected = try run(first)
    #expect(try run(second) == expected)
    // Nor does it depend on what a former step left behind.
    try first.step(4)
    first.plan.runningStatistics = statistics
    #expect(try run(first) == expected)
  }

  @Test(arguments: NetworkCase.everything, Precision.available)
  func announcedGradientsAreFinal(_ network: NetworkCase, _ precision: Precision) throws {
    try AnnouncementCheck.run(try harness(network, precision))
  }

  /// The padding, inside tensors and between them, stays zero, and nothing is written outside of the arenas.
  @Test(arguments: NetworkCase.everything, Precision.available)
  func paddingStaysZero(_ network: NetworkCase, _ precision: Precision) throws {
    let harness = try harness(network, precision)
    try harness.step()
    for arena in [harness.gradients, harness.parameters] {
      let nonzero = arena.values.filter { $0 != 0 }.count
      let expected = try harness.canonical(arena).values.reduce(0) { $0 + $1.filter { $0 != 0 }.count }
      #expect(nonzero == expected)
      #expect(arena.isGuardIntact)
    }
  }

  /// Parameters and gradients have the same shapes, names and numbers of elements; only layouts differ.
  @Test(.enabled(if: Precision.available.contains(.bfloat16)), arguments: NetworkCase.everything)
  func bfloat16PlansHaveTheSameParameters(_ network: NetworkCase) throws {
    let (single, half) = (try harness(network, .float32), try harness(network, .bfloat16))
    #expect(single.plan.layout.tensors.map(\.name) == half.plan.layout.tensors.map(\.name))
    #expect(single.plan.layout.tensors.map(\.shape) == half.plan.layout.tensors.map(\.shape))
    #expect(single.plan.statistics == half.plan.statistics)
    #expect(try single.canonical(single.parameters) == half.canonical(half.parameters))
    #expect(half.plan.input.isEmpty && half.plan.inputBytes.count * 2 == single.plan.inputBytes.count)
  }

  /// bfloat16 keeps 8 bits: a rounding is off by a factor of 1 ± 2⁻⁹ at most. Where elements lie close to a ReLU's or a
  /// max-pooling's kink some of them fall on its other side, and few examples make much of each; without kinks, the
  /// gradient is good to two hundredths.
  @Test(.enabled(if: Precision.available.contains(.bfloat16)), arguments: NetworkCase.everything)
  func bfloat16AgreesWithFloat32(_ network: NetworkCase) throws {
    let (single, half) = (try harness(network, .float32), try harness(network, .bfloat16))
    let (expected, loss) = (try single.step(), try half.step())
    #expect(abs(loss - expected) < 2e-2 * expected, "\(loss), \(expected)")
    let (wanted, gradients) = (try single.canonical(single.gradients), try half.canonical(half.gradients))
    let names = single.plan.layout.tensors.map(\.name)
    let whole = names.flatMap { wanted[$0] ?? [] }.map(Double.init)
    let error = relativeError(names.flatMap { gradients[$0] ?? [] }, whole)
    #expect(error < (network.model.hasKinks ? 0.3 : 2e-2), "\(error)")
    if !single.plan.statistics.isEmpty {
      let error = relativeError(half.plan.runningStatistics, single.plan.runningStatistics.map(Double.init))
      #expect(error < 2e-3, "\(error)")
    }
    let (one, other) = (try single.plan.evaluate(count: 1).lossSum, try half.plan.evaluate(count: 1).lossSum)
    #expect(abs(one - other) < 3e-2 * one, "\(one), \(other)")
  }

  /// What the profiler takes for its yardstick computes the same thing by oneDNN's primitives. In bfloat16, too, both
  /// see the same elements on the same sides of kinks.
  @Test(arguments: NetworkCase.everything, Precision.available)
  func plansWithoutFusedKernelsAgree(_ network: NetworkCase, _ precision: Precision) throws {
    let options = PlanOptions(labelSmoothing: 0.1, seed: 5, precision: precision)
    let fused = try harness(network, precision)
    let loss = try fused.step(3)
    let plain = try Plan(network.model, batchSize: network.batch, options: options, usesFusedKernels: false)
    try #require(plain.layout.tensors.map(\.name) == fused.plan.layout.tensors.map(\.name))
    let (parameters, gradients) = (Arena(count: plain.layout.count), Arena(count: plain.layout.count))
    try plain.initializeParameters(seed: 11, into: parameters.pointer)
    try plain.bind(parameters: parameters.pointer, gradients: gradients.pointer)
    try plain.fillInput(fused.input)
    for index in 0..<network.batch { plain.labels[index] = fused.plan.labels[index] }
    let other = try plain.forward(step: 3, firstExample: 0)
    try plain.backward { _ in }
    #expect(abs(other - loss) < (precision == .float32 ? 1e-5 : 1e-3) * loss)
    let tolerance = precision == .float32 ? 1e-4 : 2e-2
    let expected = try fused.canonical(fused.gradients)
    for (index, tensor) in plain.layout.tensors.enumerated() where !network.model.untrainedNames.contains(tensor.name) {
      var values = [Float](repeating: 0, count: tensor.elementCount)
      try values.withUnsafeMutableBufferPointer {
        try plain.writeCanonical(tensor: index, from: gradients.pointer, to: try #require($0.baseAddress))
      }
      let wanted = try #require(expected[tensor.name]).map(Double.init)
      let difference = relativeError(values, wanted)
      let norm = wanted.reduce(0) { $0 + $1 * $1 }.squareRoot()
      // In front of a normalisation a bias has no gradient but rounding.
      #expect(difference < tolerance || norm < tolerance / 10, "\(tensor.name): \(difference)")
    }
  }

  @Test(arguments: NetworkCase.everything, Precision.available)
  func evaluationHasNoDropout(_ network: NetworkCase, _ precision: Precision) throws {
    let dropping = try harness(network, precision)
    let options = PlanOptions(dropoutScale: 0, labelSmoothing: 0.1, precision: precision)
    let plain = try Harness(network.model, batchSize: network.batch, options: options)
    let first = try dropping.plan.evaluate(count: network.batch)
    let second = try plain.plan.evaluate(count: network.batch)
    #expect(abs(first.lossSum - second.lossSum) < 1e-5 * second.lossSum)
    if plain.plan.statistics.isEmpty && precision == .float32 {
      #expect(abs(try plain.step() - first.lossSum) < 1e-5 * first.lossSum)
    }
  }
}

/// A caller may update what is announced at once: nothing behind the announced offset is read or written again.
enum AnnouncementCheck {
  /// - Returns: the step's loss.
  @discardableResult
  static func run(_ harness: Harness) throws -> Double {
    let count = harness.plan.layout.count
    let expected = Arena(count: count)
    let loss = try harness.step()
    expected.pointer.update(from: harness.gradients.pointer, count: count)
    var offsets: [Int] = []
    var end = count
    _ = try harness.plan.forward(step: 0, firstExample: 0)
    // What has no gradient keeps its zeros; all else must be written again.
    let isTrained = !harness.plan.layout.tensors.contains { harness.model.untrainedNames.contains($0.name) }
    if isTrained { harness.gradients.pointer.update(repeating: 0, count: count) }
    try harness.plan.backward { offset in
      offsets.append(offset)
      let bytes = (end - offset) * MemoryLayout<Float>.stride
      #expect(memcmp(harness.gradients.pointer + offset, expected.pointer + offset, bytes) == 0)
      // Ruin the parameters that are said to be done with.
      (harness.parameters.pointer + offset).update(repeating: .nan, count: end - offset)
      end = offset
    }
    #expect(zip(offsets, offsets.dropFirst()).allSatisfy { $0 > $1 } && offsets.last == 0)
    #expect(memcmp(harness.gradients.pointer, expected.pointer, count * MemoryLayout<Float>.stride) == 0)
    #expect(harness.gradients.isGuardIntact && harness.parameters.isGuardIntact)
    return loss
  }
}
