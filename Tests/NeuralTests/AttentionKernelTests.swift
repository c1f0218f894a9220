import CKernels
import Testing

/// The core of self-attention, both ways, against its definition in double precision.
struct AttentionKernelTests {
  struct Case: CustomTestStringConvertible, Sendable {
    var examples = 2
    var tokens = 17
    var heads = 4
    var width = 32
    var storage = FW_FLOAT32
    var dropout: fw_dropout?

    var shape: fw_attention {
      fw_attention(storage: storage, examples: examples, tokens: tokens, heads: heads, width: width)
    }
    var testDescription: String {
      "\(examples) × \(tokens) tokens, \(heads) heads of \(width)" + (storage == FW_FLOAT32 ? "" : ", bfloat16")
        + (dropout == nil ? "" : ", dropout")
    }
  }

  /// The small vision transformer's; one token of one element; odd numbers; whole vectors; more queries than a block,
  /// in blocks that are even and in others.
  static let shapes: [Case] = [
    Case(), Case(examples: 1, tokens: 1, heads: 1, width: 1), Case(examples: 3, tokens: 5, heads: 2, width: 7),
    Case(tokens: 16, heads: 2, width: 16), Case(tokens: 65, heads: 3, width: 24), Case(tokens: 49, heads: 1, width: 8),
    Case(examples: 1, tokens: 101, heads: 2, width: 33),
  ]
  static let cases = shapes.flatMap { shape in
    [FW_FLOAT32, FW_BFLOAT16].flatMap { storage in
      [nil, fw_dropout.some].map { dropout in
        var test = shape
        (test.storage, test.dropout) = (storage, dropout)
        return test
      }
    }
  }

  @Test(arguments: cases)
  func bothWaysFollowTheDefinition(_ test: Case) {
    let problem = AttentionProblem(test)
    let (result, expected) = (problem.run(), problem.reference())
    let tolerance = test.storage == FW_FLOAT32 ? 2e-6 : 1.0 / 200
    #expect(largestError(result.output.values, expected.output) < tolerance)
    #expect(largestError(result.gradient.values, expected.gradient) < tolerance)
    #expect(result.output.isGuardIntact && result.gradient.isGuardIntact && result.probabilities.isGuardIntact)
    #expect(result.workspace.isGuardIntact)
  }

  /// The definition's own gradients against differences of a loss in double precision.
  @Test(arguments: [nil, fw_dropout.some])
  func theReferenceAgreesWithFiniteDifferences(_ dropout: fw_dropout?) {
    let problem = AttentionProblem(Case(examples: 1, tokens: 3, heads: 2, width: 3, dropout: dropout))
    let gradient = problem.reference().gradient
    var inputs = problem.projections.values
    for index in inputs.indices {
      let (value, step) = (inputs[index], 1e-5)
      inputs[index] = value + step
      let above = problem.loss(inputs)
      inputs[index] = value - step
      let below = problem.loss(inputs)
      inputs[index] = value
      #expect(abs((above - below) / (2 * step) - gradient[index]) < 1e-8)
    }
  }

  @Test(arguments: cases)
  func aSecondRunGivesTheSameBits(_ test: Case) {
    let problem = AttentionProblem(test)
    let (first, second) = (problem.run(), problem.run())
    #expect(first.output.bytes == second.output.bytes && first.gradient.bytes == second.gradient.bytes)
  }

  /// What an example gives does not depend on the batch it is in.
  @Test func anExampleStandsAlone() {
    let whole = AttentionProblem(Case(examples: 3, dropout: .some)).run(firstExample: 10)
    var inputs = AttentionProblem(Case(examples: 3, dropout: .some))
    inputs.keep(example: 2)
    let alone = inputs.run(firstExample: 12)
    #expect(Array(whole.output.bytes.suffix(alone.output.bytes.count)) == alone.output.bytes)
    #expect(Array(whole.gradient.bytes.suffix(alone.gradient.bytes.count)) == alone.gradient.bytes)
  }

  @Test func probabilitiesMayBeLeftOut() {
    let problem = AttentionProblem(Case(tokens: 65, dropout: .some))
    #expect(problem.run(keepsProbabilities: false).output.bytes == problem.run().output.bytes)
  }

  /// Scores so far apart that one key takes all, and so large that their exponentials overflow unless shifted.
  @Test(arguments: [Float(30), 1000])
  func largeScoresAreNoProblem(_ scale: Float) {
    let problem = AttentionProblem(Case(), scale: scale)
    // Scores of some 10^6 are known to a tenth, as float32 rounds.
    #expect(largestError(problem.run().output.values, problem.reference().output) < (scale > 100 ? 1e-2 : 1e-4))
  }

  @Test func notANumberComesThrough() {
    let problem = AttentionProblem(Case(examples: 2))
    problem.projections[0] = .nan  // the first query of the first head
    let result = problem.run()
    #expect((0..<32).allSatisfy { result.output[$0].isNaN })
    #expect((32..<result.output.count).allSatisfy { !result.output[$0].isNaN })
  }
}
