import Neural
import Testing

@Suite struct GradientTests {
  /// The yardstick itself: the plain double-precision gradients are the slopes of the plain double-precision loss.
  @Test(arguments: NetworkCase.all)
  func referenceGradientsAreFiniteDifferences(_ network: NetworkCase) throws {
    let harness = try Harness(network.model, batchSize: 1, options: PlanOptions(labelSmoothing: 0.1))
    var reference = try ReferenceNetwork(
      network.model, parameters: harness.canonical(harness.parameters).mapValues { $0.map(Double.init) })
    let input = harness.plan.input.map(Double.init)
    let labels = harness.plan.labels.map(Int.init)
    func evaluate() -> (loss: Double, gradients: [String: [Double]]) {
      reference.lossAndGradients(input: input, labels: labels, batch: 1, smoothing: 0.1)
    }
    let gradients = evaluate().gradients
    var random = SplitMix(state: 3)
    for (name, gradient) in gradients {
      for _ in 0..<2 {
        let index = Int(random.next() % UInt64(gradient.count))
        let kept = reference.parameters[name]?[index] ?? 0
        let epsilon = 1e-6
        reference.parameters[name]?[index] = kept + epsilon
        let above = evaluate().loss
        reference.parameters[name]?[index] = kept - epsilon
        let below = evaluate().loss
        reference.parameters[name]?[index] = kept
        let slope = (above - below) / (2 * epsilon)
        #expect(abs(slope - gradient[index]) < 1e-7 + 1e-5 * abs(slope), "\(name)[\(index)]")
      }
    }
  }

  @Test(arguments: NetworkCase.all, ConvolutionAlgorithm.allCases)
  func planAgreesWithReference(_ network: NetworkCase, _ algorithm: ConvolutionAlgorithm) throws {
    let options = PlanOptions(convolution: algorithm, dropoutScale: 0, labelSmoothing: 0.1)
    let harness = try Harness(network.model, batchSize: network.batch, options: options)
    harness.plan.lossScale = 0.25
    // Nothing may depend on what a former step left behind.
    for _ in 0..<2 {
      let loss = try harness.step()
      let expected = try harness.reference()
      #expect(abs(loss - expected.loss) < 1e-5 * abs(expected.loss))
      for (name, gradient) in try harness.canonical(harness.gradients) {
        let wanted = try #require(expected.gradients[name]).map { $0 * 0.25 }
        #expect(relativeError(gradient, wanted) < 2e-5, "\(name)")
      }
      #expect(harness.parameters.isGuardIntact && harness.gradients.isGuardIntact)
    }
  }

  /// With dropout the reference has no mask to share, so the plan's own loss is differenced, along its gradient.
  @Test(arguments: [NetworkCase.smallMNIST, dropoutAlone, NetworkCase.twoReLUs[0], NetworkCase.twoReLUs[1]])
  func dropoutGradientsAreFiniteDifferences(_ network: NetworkCase) throws {
    let harness = try Harness(network.model, batchSize: network.batch, options: PlanOptions(seed: 5))
    try harness.step(7, firstExample: 2)
    let gradient = harness.gradients.values.map(Double.init)
    let start = harness.parameters.values
    let norm = gradient.reduce(0) { $0 + $1 * $1 }.squareRoot()
    try #require(norm > 0)
    func loss(at distance: Double) throws -> Double {
      for index in 0..<start.count {
        harness.parameters.pointer[index] = Float(Double(start[index]) + distance * gradient[index] / norm)
      }
      return try harness.plan.forward(step: 7, firstExample: 2)
    }
    // Richardson's extrapolation of central differences: the steps can be large enough for single precision.
    let h = 4e-3
    let coarse = (try loss(at: 2 * h) - loss(at: -2 * h)) / (4 * h)
    let fine = (try loss(at: h) - loss(at: -h)) / (2 * h)
    let slope = (4 * fine - coarse) / 3
    #expect(abs(slope - norm) < 5e-3 * norm, "slope \(slope), gradient's norm \(norm)")
  }

  /// A dropout without a ReLU before it draws its mask again on the way back.
  static let dropoutAlone = NetworkCase("dropout alone, images and features", batch: 3, input: [3, 7, 6]) {
    Convolution("conv", channels: 7, kernel: 3)
    Dropout(0.3)
    Flatten()
    Dense("fc1", 19)
    Dropout(0.5)
    Dense("fc2", 4)
  }
}
