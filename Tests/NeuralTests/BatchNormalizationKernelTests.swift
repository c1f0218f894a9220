import CKernels
import Foundation
import Testing

/// The passes of batch normalisation against its definition in double precision.
struct BatchNormalizationKernelTests {
  struct Case: CustomTestStringConvertible, Sendable {
    var examples = 3
    var channels = 16
    var area = 35
    var block = 16
    var storage = FW_FLOAT32

    var layout: fw_image_layout {
      fw_image_layout(examples: examples, channels: channels, area: area, block: block)
    }
    var testDescription: String {
      "\(examples) × \(channels) × \(area) in blocks of \(block)" + (storage == FW_FLOAT32 ? "" : ", bfloat16")
    }
  }

  /// Full blocks and others, more rows than are in flight or in a piece, fewer pixels than a vector holds, a channel,
  /// an example, a pixel.
  static let shapes: [Case] = [
    Case(), Case(channels: 5), Case(channels: 5, block: 5), Case(channels: 5, block: 1),
    Case(examples: 1, channels: 19, area: 7), Case(examples: 1, channels: 19, area: 70, block: 19),
    Case(examples: 1, channels: 19, area: 9, block: 1), Case(channels: 1, area: 33, block: 1), Case(channels: 1),
    Case(examples: 2, channels: 80, area: 65, block: 80), Case(examples: 4, channels: 48, area: 16),
    Case(examples: 2, channels: 112, area: 5, block: 112), Case(examples: 64, channels: 19, area: 1, block: 19),
    Case(examples: 2, channels: 32, area: 64, block: 32), Case(examples: 2, channels: 32, area: 64, block: 1),
  ]
  static let cases = shapes + shapes.map { with($0) { $0.storage = FW_BFLOAT16 } }

  struct Function: CustomTestStringConvertible, Sendable {
    var activation: fw_activation
    var hasResidual: Bool
    var hasSecond: Bool

    var testDescription: String {
      "activation \(activation.rawValue)" + (hasResidual ? ", residual" : "") + (hasSecond ? ", two gradients" : "")
    }
  }

  static let functions = [FW_IDENTITY, FW_RELU, FW_GELU_TANH, FW_SILU].flatMap { activation in
    [(false, false), (true, false), (false, true), (true, true)].map {
      Function(activation: activation, hasResidual: $0.0, hasSecond: $0.1)
    }
  }

  @Test(arguments: cases, functions)
  func bothWaysFollowTheDefinition(_ test: Case, _ function: Function) {
    let problem = BatchNormalizationProblem(test, function)
    let (result, expected) = (problem.run(), problem.reference())
    // bfloat16 rounds what is stored; dz is stored before dx is computed from it.
    let rounding = test.storage == FW_FLOAT32 ? 0 : 1.0 / 256
    expectClose(result.mean, expected.mean, 2e-6, "mean")
    expectClose(result.rstd, expected.rstd, 1e-5, "rstd")
    expectClose(result.output, expected.output, 2e-5 + rounding, "output")
    expectClose(result.dgamma, expected.dgamma, 1e-4, "gradient of gamma")
    expectClose(result.dbeta, expected.dbeta, 1e-4, "gradient of beta")
    if let dz = result.residual { expectClose(dz, expected.residual, 2e-5 + rounding, "gradient of the residual") }
    expectClose(result.source, expected.source, 3e-5 + 2 * rounding, "gradient of the source")
  }

  /// The definition's own gradients, and the kernels', against differences of the loss in double precision.
  @Test(arguments: functions)
  func gradientsAreThoseOfFiniteDifferences(_ function: Function) {
    let problem = BatchNormalizationProblem(Case(examples: 2, channels: 3, area: 5), function)
    let expected = problem.reference()
    let gradients = problem.run().source
    let step = 1e-6
    for index in expected.source.indices {
      let difference = (problem.loss(moving: index, by: step) - problem.loss(moving: index, by: -step)) / (2 * step)
      #expect(abs(gradients[index] - difference) < 1e-4)
    }
  }

  @Test(arguments: cases.filter { $0.area > 1 })
  func aSecondRunGivesTheSameBits(_ test: Case) {
    let problem = BatchNormalizationProblem(test, Function(activation: FW_RELU, hasResidual: true, hasSecond: true))
    #expect(problem.run() == problem.run())
  }

  /// Writing over an operand changes nothing.
  @Test(arguments: [FW_FLOAT32, FW_BFLOAT16], functions)
  func inPlace(_ storage: fw_storage, _ function: Function) {
    for shape in [Case(channels: 21), Case(channels: 21, block: 21), Case(channels: 3, block: 1)] {
      let problem = BatchNormalizationProblem(with(shape) { $0.storage = storage }, function)
      #expect(problem.run(inPlace: true) == problem.run())
    }
  }

  /// A mean a thousand times the deviation does not cancel the deviation away.
  @Test(arguments: [16, 24, 1])
  func aLargeMeanCostsNoPrecision(_ block: Int) {
    var layout = fw_image_layout(examples: 8, channels: 24, area: 100, block: block)
    let tensor = ImageTensor(layout, FW_FLOAT32)
    var random = SplitMix(state: 5)
    tensor.fill { _, channel, _ in Double(1000 + channel) + Double(random.uniform()) }
    let sums = statistics(&layout, tensor)
    for channel in 0..<24 {
      var values: [Double] = []
      for example in 0..<8 { for pixel in 0..<100 { values.append(tensor[example, channel, pixel]) } }
      let mean = values.reduce(0, +) / 800
      let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 800
      let found = sums[channel] / 800
      #expect(abs(found - mean) < 1e-5)
      #expect(abs(sums[24 + channel] / 800 - found * found - variance) < 1e-5 * variance)
    }
  }

  /// Sums over parts of a batch add up to those over the whole, which is how ranks pool their statistics.
  @Test func sumsOfPartsAddUp() {
    var half = fw_image_layout(examples: 3, channels: 19, area: 10, block: 16)
    var whole = half
    whole.examples = 6
    let tensor = ImageTensor(whole, FW_FLOAT32)
    var random = SplitMix(state: 6)
    tensor.fill { _, channel, _ in Double(channel) + Double(random.uniform()) }
    let all = statistics(&whole, tensor)
    let (first, second) = (statistics(&half, tensor), statistics(&half, tensor, from: fw_image_count(&half)))
    for i in all.indices { #expect(abs(first[i] + second[i] - all[i]) < 1e-5 * (1 + abs(all[i]))) }
  }

  /// The running statistics take the unbiased variance; evaluation uses them.
  @Test func runningStatistics() {
    var means: [Float] = [1, -2]
    var variances: [Float] = [4, 9]
    // Ten elements: of mean 3 and variance 2, and of mean 0 and variance 1.
    let sums: [Double] = [30, 0, 110, 10]
    fw_batch_norm_update_running(2, 10, sums, 0.1, &means, &variances)
    #expect(abs(means[0] - 1.2) < 1e-6 && abs(means[1] + 1.8) < 1e-6)
    #expect(abs(variances[0] - (3.6 + 0.2 * 10 / 9)) < 1e-6 && abs(variances[1] - (8.1 + 0.1 * 10 / 9)) < 1e-6)
    var scale = [Float](repeating: .nan, count: 16)
    var shift = scale
    fw_batch_norm_evaluation_channels(2, [3, 4], [0.25, 4], [2, 1], [5, 6], 0, &scale, &shift)
    #expect(scale == [4, 0.5] + [Float](repeating: 0, count: 14))
    #expect(shift == [-7, 4] + [Float](repeating: 0, count: 14))
  }

  /// All values equal: the variance is zero, not something that rounding made negative.
  @Test func constantsAreNormalizedToBeta() {
    var layout = fw_image_layout(examples: 4, channels: 16, area: 36, block: 16)
    let tensor = ImageTensor(layout, FW_FLOAT32)
    tensor.fill { _, channel, _ in 0.1 + Double(channel) }
    let sums = statistics(&layout, tensor)
    var (mean, rstd, scale, shift) = (zeros(16), zeros(16), zeros(16), zeros(16))
    fw_batch_norm_channels(16, 144, sums, nil, nil, 1e-5, &mean, &rstd, &scale, &shift)
    #expect(rstd.allSatisfy { abs($0 - 316.22777) < 0.1 })
    fw_batch_norm_apply(&layout, FW_FLOAT32, tensor.pointer, scale, shift, nil, FW_IDENTITY, tensor.pointer)
    for channel in 0..<16 { #expect(abs(tensor[0, channel, 0]) < 1e-2) }
  }

  @Test(arguments: [FW_FLOAT32, FW_BFLOAT16])
  func notANumberComesThrough(_ storage: fw_storage) {
    let test = Case(channels: 5, storage: storage)
    let function = Function(activation: FW_RELU, hasResidual: false, hasSecond: false)
    let problem = BatchNormalizationProblem(test, function)
    problem.source[1, 2, 3] = .nan
    let result = problem.run()
    #expect(result.mean[2].isNaN && !result.mean[1].isNaN && !result.mean[3].isNaN)
    #expect(result.output.contains { $0.isNaN })
  }

  private func statistics(_ layout: inout fw_image_layout, _ tensor: ImageTensor, from offset: Int = 0) -> [Double] {
    var sums = [Double](repeating: .nan, count: 2 * layout.channels)
    var workspace = [Float](repeating: .nan, count: fw_channel_count(layout.channels))
    fw_batch_norm_statistics(&layout, FW_FLOAT32, tensor.pointer + 4 * offset, &workspace, &sums)
    return sums
  }

  private func zeros(_ count: Int) -> [Float] { [Float](repeating: 0, count: count) }

  private func expectClose(_ values: [Double], _ expected: [Double], _ tolerance: Double, _ name: Comment) {
    let scale = expected.reduce(1) { max($0, abs($1)) }
    let error = zip(values, expected).reduce(0) { max($0, abs($1.0 - $1.1)) }
    #expect(values.count == expected.count, name)
    #expect(error <= tolerance * scale, name)
  }
}

private func with<Value>(_ value: Value, _ change: (inout Value) -> Void) -> Value {
  var copy = value
  change(&copy)
  return copy
}
