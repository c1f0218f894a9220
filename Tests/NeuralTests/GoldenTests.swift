import Foundation
import Neural
import Testing

/// Plans agree with PyTorch in double precision. A tensor's error is the Euclidean norm of the difference over that of
/// PyTorch's tensor.
@Suite struct GoldenTests {
  /// Gradients that are zero in exact arithmetic (a bias in front of a normalisation) are compared with the network's
  /// whole gradient instead.
  private func expectGradients(_ harness: Harness, _ golden: Golden, within tolerance: Double) throws {
    let gradients = try harness.canonical(harness.gradients)
    let expected = try gradients.keys.reduce(into: [String: [Double]]()) {
      $0[$1] = try golden.tensor("gradient.\($1)").map(Double.init)
    }
    let norms = expected.mapValues { $0.reduce(0) { $0 + $1 * $1 }.squareRoot() }
    let whole = norms.values.reduce(0) { $0 + $1 * $1 }.squareRoot()
    for (name, gradient) in gradients {
      let wanted = try #require(expected[name])
      let norm = max(norms[name] ?? 0, 1e-3 * whole)
      let difference = zip(gradient, wanted).reduce(0) { $0 + pow(Double($1.0) - $1.1, 2) }.squareRoot()
      #expect(difference <= tolerance * norm, "\(name): \(difference / norm)")
    }
  }

  private func expect(_ values: [Float], _ golden: Golden, _ name: String, within tolerance: Double) throws {
    let error = relativeError(values, try golden.tensor(name).map(Double.init))
    #expect(error <= tolerance, "\(name): \(error)")
  }

  @Test(arguments: GoldenNetworks.names, ConvolutionAlgorithm.allCases)
  func float32AgreesWithPyTorch(_ name: String, _ algorithm: ConvolutionAlgorithm) throws {
    try agree(name, PlanOptions(convolution: algorithm), tolerance: 1e-5)
  }

  /// To a few roundings. Of one network some elements lie closer to a ReLU's kink than that, fall on its other side,
  /// and change gradients by more.
  @Test(.enabled(if: Precision.available.contains(.bfloat16)), arguments: GoldenNetworks.names)
  func bfloat16AgreesWithPyTorch(_ name: String) throws {
    try agree(
      name, PlanOptions(precision: .bfloat16), tolerance: 3e-2, gradients: name == "pre-activation" ? 0.3 : 3e-2)
  }

  private func agree(_ name: String, _ plain: PlanOptions, tolerance: Double, gradients: Double? = nil) throws {
    let golden = try Golden(name)
    let model = try #require(GoldenNetworks.model(name))
    let harness = try golden.harness(model, options: plain)
    #expect(
      Set(harness.plan.layout.tensors.map { "parameter.\($0.name)" })
        == Set(golden.tensors.keys.filter { $0.hasPrefix("parameter.") }))
    let loss = try harness.plan.forward(step: 0, firstExample: 0)
    try expect([Float(loss)], golden, "loss", within: tolerance)
    try expect(Array(harness.plan.logits), golden, "logits", within: tolerance)

    // The statistics have moved on: gradients are those of a plan that has not.
    var options = plain
    options.labelSmoothing = 0.1
    let smoothed = try golden.harness(model, options: options)
    try expect([Float(try smoothed.step())], golden, "smoothed_loss", within: tolerance)
    try expectGradients(smoothed, golden, within: gradients ?? tolerance)
    guard !smoothed.plan.statistics.isEmpty else { return }
    let statistics = smoothed.plan.runningStatistics
    for tensor in smoothed.plan.statistics {
      try expect(
        Array(statistics[tensor.offset..<tensor.offset + tensor.count]), golden, "buffer_after.\(tensor.name)",
        within: tolerance)
    }
    _ = try smoothed.plan.evaluate(count: smoothed.plan.batchSize)
    try expect(Array(smoothed.plan.logits), golden, "evaluation_logits", within: tolerance)
  }
}
