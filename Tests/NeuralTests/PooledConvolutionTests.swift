import CKernels
import Testing

/// The way back through a convolution and its pooling, both copies of the kernel, against the definition in double
/// precision.
struct PooledConvolutionTests {
  struct Case: CustomTestStringConvertible, Sendable {
    var examples = 2
    var input = 16
    var output = 32
    var height = 9
    var width = 8
    var kernel = 3
    var padding = 0
    var isRectified = true
    var isSourceRectified = true
    /// Share of the pooled gradient that is zero.
    var zeros = 0.4

    var testDescription: String {
      "\(examples) × \(input) × \(height) × \(width) to \(output), kernel \(kernel), padding \(padding)"
        + (isRectified ? ", rectified" : "") + (isSourceRectified ? ", source rectified" : "") + ", zeros \(zeros)"
    }

    var shape: fw_pooled_convolution {
      fw_pooled_convolution(
        examples: examples, in_channels: input, out_channels: output, height: height, width: width, kernel: kernel,
        padding: padding)
    }
    var rows: Int { (height + 2 * padding - kernel + 1) / 2 }
    var columns: Int { (width + 2 * padding - kernel + 1) / 2 }
  }

  static let cases = [
    Case(),
    Case(isRectified: false, isSourceRectified: false),
    // More pooled pixels than are listed at a time, and no multiple of 16; more channels than a word of a mask has.
    Case(examples: 1, input: 48, output: 80, height: 21, width: 20),
    Case(examples: 3, output: 16, height: 7, width: 23, padding: 1, isSourceRectified: false),
    Case(input: 32, output: 64, height: 8, width: 8, padding: 2),
    Case(output: 16, height: 5, width: 4, kernel: 1, isRectified: false),
    Case(output: 32, height: 4, width: 5, kernel: 1, padding: 1),
    Case(input: 32, output: 16, height: 11, width: 12, kernel: 5),
    Case(output: 48, height: 6, width: 7, kernel: 5, padding: 2, isRectified: false),
    // A pooled image of one pixel; every element counts; none does.
    Case(examples: 1, output: 16, height: 4, width: 4),
    Case(output: 128, zeros: 0),
    Case(output: 16, zeros: 1),
  ]

  @Test(arguments: cases)
  func bothCopiesGiveTheDefinedGradients(_ test: Case) {
    let problem = Problem(test)
    let expected = problem.reference()
    for gradients in [problem.run(.chosen), problem.run(.portable)] {
      expectClose(gradients.weights, expected.weights, "weights")
      expectClose(gradients.bias, expected.bias, "bias")
      expectClose(gradients.source, expected.source, "source")
    }
  }

  @Test(arguments: [Problem.Copy.chosen, .portable])
  func aSecondRunGivesTheSameBits(_ copy: Problem.Copy) {
    let problem = Problem(Case(examples: 2, input: 32, output: 80, height: 21, width: 20))
    #expect(problem.run(copy) == problem.run(copy))
  }

  /// Gradients that nobody wants are left out, and the others do not notice.
  @Test(arguments: [Problem.Copy.chosen, .portable])
  func unwantedGradientsAreLeftOut(_ copy: Problem.Copy) {
    let problem = Problem(Case(padding: 1))
    let whole = problem.run(copy)
    let part = problem.run(copy, wantsBias: false, wantsSource: false)
    #expect(part.weights == whole.weights)
    #expect(part.bias.allSatisfy(\.isNaN) && part.source.allSatisfy(\.isNaN))
  }

  @Test(arguments: [Problem.Copy.chosen, .portable])
  func notANumberComesThrough(_ copy: Problem.Copy) {
    let problem = Problem(Case(isRectified: false))
    problem.difference.pointer[0] = .nan
    let gradients = problem.run(copy)
    #expect(gradients.bias[0].isNaN && gradients.weights[0].isNaN && gradients.source.contains { $0.isNaN })
    #expect(!gradients.bias[1].isNaN)
  }

  private func expectClose(_ values: [Float], _ expected: [Double], _ name: Comment) {
    let scale = expected.reduce(0) { max($0, abs($1)) }
    let error = zip(values, expected).reduce(0) { max($0, abs(Double($1.0) - $1.1)) }
    #expect(values.count == expected.count, name)
    #expect(error <= 3e-6 * scale, name)
  }
}

/// Operands of one call, drawn from a fixed sequence.
struct Problem {
  enum Copy: Sendable { case chosen, portable }

  struct Gradients: Equatable {
    var weights: [Float]
    var bias: [Float]
    var source: [Float]
  }

  let test: PooledConvolutionTests.Case
  let scale: Float = 1.25
  let difference: Arena
  let pooled: Arena
  let source: Arena
  let weights: Arena
  let winners: [UInt8]

  init(_ test: PooledConvolutionTests.Case) {
    self.test = test
    var state: UInt64 = 0x9E37_79B9_7F4A_7C15
    func draw() -> Double {  // in -1 ..< 1
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Double(state >> 32) / 2_147_483_648 - 1
    }
    func arena(_ count: Int, _ value: () -> Double) -> Arena {
      let arena = Arena(count: count)
      for i in 0..<count { arena.pointer[i] = Float(value()) }
      return arena
    }
    let count = test.examples * test.output * test.rows * test.columns
    // Where a ReLU follows, its output says which elements count; else their own zeros do.
    difference = arena(count) { !test.isRectified && (draw() + 1) / 2 < test.zeros ? 0 : draw() }
    pooled = arena(count) { (draw() + 1) / 2 < test.zeros ? 0 : 1 + draw() / 2 }
    source = arena(test.examples * test.input * test.height * test.width) { draw() }
    weights = arena(test.output * test.kernel * test.kernel * test.input) { draw() }
    winners = (0..<count).map { _ in UInt8((draw() + 1) * 2) }
  }

  func run(_ copy: Copy, wantsBias: Bool = true, wantsSource: Bool = true) -> Gradients {
    var shape = test.shape
    // Filled, because a result must not rest on what was there.
    func filled(_ count: Int) -> Arena {
      let arena = Arena(count: count)
      for i in 0..<count { arena.pointer[i] = .nan }
      return arena
    }
    let workspace = filled(fw_pooled_convolution_workspace(&shape))
    let (weightsTarget, bias) = (filled(weights.count), filled(test.output))
    let sourceTarget = filled(source.count)
    let kernel = copy == .chosen ? fw_pooled_convolution_backward : fw_pooled_convolution_backward_portable
    kernel(
      &shape, difference.pointer, pooled.pointer, winners, test.isRectified, scale, source.pointer, weights.pointer,
      weightsTarget.pointer, wantsBias ? bias.pointer : nil, wantsSource ? sourceTarget.pointer : nil,
      test.isSourceRectified, workspace.pointer)
    for arena in [workspace, weightsTarget, bias, sourceTarget] { #expect(arena.isGuardIntact) }
    return Gradients(weights: weightsTarget.values, bias: bias.values, source: sourceTarget.values)
  }

  /// The definition: each element of the convolution's output gradient that is not zero, times what it saw.
  func reference() -> (weights: [Double], bias: [Double], source: [Double]) {
    let (kernel, input) = (test.kernel, test.input)
    var weightsGradient = [Double](repeating: 0, count: weights.count)
    var bias = [Double](repeating: 0, count: test.output)
    var sourceGradient = [Double](repeating: 0, count: source.count)
    for example in 0..<test.examples {
      for channel in 0..<test.output {
        for row in 0..<test.rows {
          for column in 0..<test.columns {
            let at = blocked(example, channel, row, column, test.output, test.rows, test.columns)
            if test.isRectified && pooled.pointer[at] <= 0 { continue }
            let value = Double(difference.pointer[at]) * Double(scale)
            bias[channel] += value
            let top = 2 * row + Int(winners[at]) / 2 - test.padding
            let left = 2 * column + Int(winners[at]) % 2 - test.padding
            for tap in 0..<kernel * kernel {
              let (y, x) = (top + tap / kernel, left + tap % kernel)
              guard 0..<test.height ~= y, 0..<test.width ~= x else { continue }
              for i in 0..<input {
                let seen = blocked(example, i, y, x, input, test.height, test.width)
                let weight = (channel * kernel * kernel + tap) * input + i
                weightsGradient[weight] += value * Double(source.pointer[seen])
                if !test.isSourceRectified || source.pointer[seen] > 0 {
                  sourceGradient[seen] += value * Double(weights.pointer[weight])
                }
              }
            }
          }
        }
      }
    }
    return (weightsGradient, bias, sourceGradient)
  }

  /// Offset in an image of 16-channel blocks.
  private func blocked(
    _ example: Int, _ channel: Int, _ row: Int, _ column: Int, _ channels: Int, _ height: Int, _ width: Int
  ) -> Int {
    (((example * (channels / 16) + channel / 16) * height + row) * width + column) * 16 + channel % 16
  }
}
