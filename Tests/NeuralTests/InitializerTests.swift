import Neural
import Testing

@Suite struct InitializerTests {
  /// Weights of a layer as they start, with fan-in and fan-out.
  struct Drawn: CustomTestStringConvertible {
    let initializer: Initializer
    let isConvolution: Bool
    var testDescription: String { "\(initializer), \(isConvolution ? "convolution" : "dense")" }
    var fanIn: Double { isConvolution ? 8 * 9 : 300 }
    var fanOut: Double { isConvolution ? 32 * 9 : 200 }

    func values(seed: UInt64 = 3) throws -> [Double] {
      let initializer = initializer
      let model =
        isConvolution
        ? Sequential(input: [16, 5, 5]) {
          Convolution("layer", channels: 32, kernel: 3, groups: 2, initializer: initializer)
          GlobalAveragePool()
        } : Sequential(input: [300]) { Dense("layer", 200, initializer: initializer) }
      let harness = try Harness(model, batchSize: 1)
      try harness.plan.initializeParameters(seed: seed, into: harness.parameters.pointer)
      return try #require(try harness.canonical(harness.parameters)["layer.weight"]).map(Double.init)
    }
  }

  private static func drawn(_ initializers: [Initializer]) -> [Drawn] {
    initializers.flatMap { initializer in [true, false].map { Drawn(initializer: initializer, isConvolution: $0) } }
  }

  @Test(arguments: drawn([.pyTorchDefault, .kaimingUniform, .xavierUniform, .uniform(bound: 0.7)]))
  func uniformOnesHaveTheirBounds(_ drawn: Drawn) throws {
    let bound: Double
    switch drawn.initializer {
    case .pyTorchDefault: bound = 1 / drawn.fanIn.squareRoot()
    case .kaimingUniform: bound = (6 / drawn.fanIn).squareRoot()
    case .xavierUniform: bound = (6 / (drawn.fanIn + drawn.fanOut)).squareRoot()
    default: bound = 0.7
    }
    let values = try drawn.values()
    #expect(values.allSatisfy { abs($0) <= bound * (1 + 1e-6) })
    #expect((values.max() ?? 0) > 0.98 * bound && (values.min() ?? 0) < -0.98 * bound)
    expectMoments(values, variance: bound * bound / 3, kurtosis: 1.8)
  }

  @Test(
    arguments: drawn([
      .kaimingNormal, .kaimingNormalFanOut, .xavierNormal, .normal(standardDeviation: 0.3),
      .truncatedNormal(standardDeviation: 0.3),
    ]))
  func normalOnesHaveTheirDeviations(_ drawn: Drawn) throws {
    var (deviation, kurtosis) = (0.3, 3.0)
    switch drawn.initializer {
    case .kaimingNormal: deviation = (2 / drawn.fanIn).squareRoot()
    case .kaimingNormalFanOut: deviation = (2 / drawn.fanOut).squareRoot()
    case .xavierNormal: deviation = (2 / (drawn.fanIn + drawn.fanOut)).squareRoot()
    default: break
    }
    let values = try drawn.values()
    let largest = values.map(abs).max() ?? 0
    if case .truncatedNormal = drawn.initializer {
      #expect(largest <= 0.6 * (1 + 1e-6) && largest > 0.59)
      // A normal distribution cut off at two deviations: variance 0.7737, fourth moment 1.4161 (in powers of them).
      deviation *= 0.77374.squareRoot()
      kurtosis = 1.4161 / (0.77374 * 0.77374)
    } else {
      #expect(largest > 2.7 * deviation)
    }
    expectMoments(values, variance: deviation * deviation, kurtosis: kurtosis)
  }

  /// Mean 0, the variance and the fourth moment, each within five standard errors; and neighbours do not hang together.
  private func expectMoments(_ values: [Double], variance: Double, kurtosis: Double) {
    let count = Double(values.count)
    let mean = values.reduce(0, +) / count
    #expect(abs(mean) < 5 * (variance / count).squareRoot())
    let second = values.reduce(0) { $0 + $1 * $1 } / count
    #expect(abs(second - variance) < 5 * variance * ((kurtosis - 1) / count).squareRoot())
    let fourth = values.reduce(0) { $0 + $1 * $1 * $1 * $1 } / count / (variance * variance)
    #expect(abs(fourth - kurtosis) < 50 / count.squareRoot(), "\(fourth)")
    let product = zip(values, values.dropFirst()).reduce(0) { $0 + $1.0 * $1.1 } / count
    #expect(abs(product) < 5 * variance / count.squareRoot())
  }

  @Test(arguments: drawn([.kaimingNormal, .truncatedNormal(standardDeviation: 0.3), .kaimingUniform]))
  func theyDependOnTheSeed(_ drawn: Drawn) throws {
    #expect(try drawn.values(seed: 3) == drawn.values(seed: 3))
    #expect(try drawn.values(seed: 3) != drawn.values(seed: 4))
    #expect(try drawn.values(seed: 3) != drawn.values(seed: 3 + 1 << 40))
  }

  @Test func constantsAreConstants() throws {
    for (initializer, value) in [(Initializer.constant(-0.25), -0.25), (.zeros, 0), (.ones, 1)] {
      for drawn in Self.drawn([initializer]) { #expect(try drawn.values().allSatisfy { $0 == value }) }
    }
    let harness = try Harness(
      Sequential(input: [5]) {
        BatchNorm("bn", initialWeight: 0.5)
        LayerNorm("norm")
        Dense("fc", 3, biasInitializer: .zeros)
      }, batchSize: 2)
    let values = try harness.canonical(harness.parameters)
    #expect(values["bn.weight"] == [0.5, 0.5, 0.5, 0.5, 0.5] && values["bn.bias"] == [0, 0, 0, 0, 0])
    #expect(values["norm.weight"] == [1, 1, 1, 1, 1] && values["norm.bias"] == [0, 0, 0, 0, 0])
    #expect(values["fc.bias"] == [0, 0, 0])
  }

  /// The first output channels are the input's, whether there are more of them or fewer.
  @Test(arguments: [(3, 3), (3, 1), (5, 3), (2, 5), (19, 3)])
  func diracPassesChannelsOn(_ channels: Int, _ kernel: Int) throws {
    let model = Sequential(input: [3, 4, 5]) {
      Convolution(
        "conv", channels: channels, kernel: kernel, padding: kernel / 2, bias: false, initializer: .dirac)
      Flatten()
    }
    let harness = try Harness(model, batchSize: 2)
    _ = try harness.plan.evaluate(count: 0)
    let logits = Array(harness.plan.logits)
    for example in 0..<2 {
      for index in 0..<min(channels, 3) * 20 {
        #expect(logits[example * channels * 20 + index] == harness.input[example * 60 + index])
      }
    }
    // What is left starts as PyTorch's.
    let weights = try #require(try harness.canonical(harness.parameters)["conv.weight"])
    let rest = weights.dropFirst(3 * 3 * kernel * kernel)
    #expect(rest.allSatisfy { $0 != 0 && abs($0) <= 1 / Float(3 * kernel * kernel).squareRoot() })
  }

  /// Attention and tokens start as PyTorch's `MultiheadAttention` and the vision transformer's.
  @Test func transformersStartAsTheirs() throws {
    let harness = try Harness(Models.vitTiny(), batchSize: 1)
    let values = try harness.canonical(harness.parameters).mapValues { $0.map(Double.init) }
    let projection = try #require(values["blocks.0.attention.in_proj_weight"])
    let bound = (6.0 / (128 + 3 * 128)).squareRoot()
    #expect((projection.map(abs).max() ?? 0) <= bound && (projection.map(abs).max() ?? 0) > 0.99 * bound)
    for name in ["in_proj_bias", "out_proj.bias"] {
      #expect(values["blocks.0.attention.\(name)"]?.allSatisfy { $0 == 0 } == true)
    }
    let token = try #require(values["class_token"])
    let deviation = (token.reduce(0) { $0 + $1 * $1 } / 128).squareRoot()
    #expect(abs(deviation - 0.02) < 0.02 * 5 / 16)
  }

  /// Whatever the layout, which differs by batch, algorithm and precision.
  @Test(arguments: [
    NetworkCase.layers.first { $0.name == "transformer with dropout everywhere" },
    NetworkCase.layers.first { $0.name == "pre-activation, with projection and without" },
    NetworkCase("dirac and normal", batch: 1, input: [16, 8, 8]) {
      Convolution("conv1", channels: 32, kernel: 3, padding: 1, initializer: .dirac)
      Convolution("conv2", channels: 32, kernel: 3, padding: 1, initializer: .kaimingNormalFanOut)
      Flatten()
      Dense("fc", 3, initializer: .truncatedNormal(standardDeviation: 0.1))
    },
  ])
  func valuesDoNotDependOnTheLayout(_ network: NetworkCase?) throws {
    let network = try #require(network)
    let first = try Harness(network.model, batchSize: 2)
    let expected = try first.canonical(first.parameters)
    for precision in Precision.available {
      for algorithm in ConvolutionAlgorithm.allCases {
        for batchSize in [2, 33] {
          let other = try Harness(
            network.model, batchSize: batchSize, options: PlanOptions(convolution: algorithm, precision: precision))
          #expect(try other.canonical(other.parameters) == expected)
        }
      }
    }
  }
}
