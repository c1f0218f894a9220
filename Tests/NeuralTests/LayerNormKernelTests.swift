import CKernels
import Testing

/// Layer normalisation of rows, both ways, against its definition in double precision.
struct LayerNormKernelTests {
  struct Case: CustomTestStringConvertible, Sendable {
    var rows = 9
    var width = 128
    var storage = FW_FLOAT32
    /// What all elements have in common.
    var offset = 0.0

    var testDescription: String {
      "\(rows) × \(width)" + (storage == FW_FLOAT32 ? "" : ", bfloat16") + (offset == 0 ? "" : ", mean \(offset)")
    }
  }

  static let cases = [FW_FLOAT32, FW_BFLOAT16].flatMap { storage in
    [(9, 128), (4, 16), (1, 1), (3, 5), (7, 33), (2, 768)].map {
      Case(rows: $0.0, width: $0.1, storage: storage)
    }
  }

  @Test(arguments: cases, [false, true])
  func bothWaysFollowTheDefinition(_ test: Case, _ hasResidual: Bool) {
    let problem = LayerNormProblem(test)
    let (result, expected) = (problem.run(residual: hasResidual), problem.reference(residual: hasResidual))
    let tolerance = test.storage == FW_FLOAT32 ? 5e-6 : 1.0 / 200
    #expect(largestError(result.output.values, expected.output) < tolerance)
    // One element is its own mean: nothing is left of its gradient but rounding, times 1 / sqrt(epsilon).
    if test.width > 1 || hasResidual {
      #expect(largestError(result.source.values, expected.source) < max(tolerance, test.width == 1 ? 1e-3 : 0))
    }
    #expect(largestError(result.weight.values, expected.weight) < 5e-6)
    #expect(largestError(result.bias.values, expected.bias) < 5e-6)
    #expect(result.output.isGuardIntact && result.source.isGuardIntact)
    #expect(result.weight.isGuardIntact && result.bias.isGuardIntact)
  }

  /// A mean that is large against the deviation costs what rounding the elements themselves does.
  @Test func aLargeMeanCostsNoMorePrecision() {
    let problem = LayerNormProblem(Case(offset: 1000))
    let (result, expected) = (problem.run(), problem.reference())
    #expect(largestError(result.output.values, expected.output) < 1e-4)
    #expect(largestError(result.source.values, expected.source) < 1e-4)
  }

  /// The first element, from which the others are measured, as far from them as can be.
  @Test func anOutlierInFrontIsNoProblem() {
    let problem = LayerNormProblem(Case(width: 768))
    for row in 0..<9 { problem.source[row * 768] = 1e4 }
    #expect(largestError(problem.run().output.values, problem.reference().output) < 1e-4)
  }

  @Test func rowsThatAreConstantGiveTheBias() {
    let problem = LayerNormProblem(Case(rows: 2, width: 20))
    for i in 0..<40 { problem.source[i] = 3 }
    let output = problem.run().output
    #expect((0..<40).allSatisfy { output[$0] == problem.bias[$0 % 20] })
  }

  @Test(arguments: cases)
  func aSecondRunGivesTheSameBits(_ test: Case) {
    let problem = LayerNormProblem(test)
    let (first, second) = (problem.run(residual: true), problem.run(residual: true))
    #expect(first.output.bytes == second.output.bytes && first.source.bytes == second.source.bytes)
    #expect(first.weight.bytes == second.weight.bytes && first.bias.bytes == second.bias.bytes)
  }

  @Test(arguments: cases)
  func gradientsMayGoWhereTheyCameFrom(_ test: Case) {
    let problem = LayerNormProblem(test)
    let expected = problem.run(residual: true)
    #expect(problem.run(residual: true, over: .difference).source.bytes == expected.source.bytes)
    #expect(problem.run(residual: true, over: .residual).source.bytes == expected.source.bytes)
  }

  @Test func notANumberComesThrough() {
    let problem = LayerNormProblem(Case(rows: 2, width: 20))
    problem.source[5] = .nan
    let output = problem.run().output
    #expect((0..<40).allSatisfy { output[$0].isNaN == ($0 < 20) })
  }
}

/// Operands of one call, and what the definition makes of them.
struct LayerNormProblem {
  enum Target { case own, difference, residual }

  struct Result {
    var output: StoredArray
    var source: StoredArray
    var weight: StoredArray
    var bias: StoredArray
  }

  let test: LayerNormKernelTests.Case
  let epsilon: Float = 1e-6
  let source: StoredArray
  let difference: StoredArray
  let residual: StoredArray
  let weight: StoredArray
  let bias: StoredArray

  init(_ test: LayerNormKernelTests.Case) {
    self.test = test
    var random = SplitMix(state: 8)
    let count = test.rows * test.width
    source = StoredArray(test.storage, count: count, scale: 2, random: &random)
    for i in 0..<count { source[i] += test.offset }
    difference = StoredArray(test.storage, count: count, scale: 1, random: &random)
    residual = StoredArray(test.storage, count: count, scale: 1, random: &random)
    weight = StoredArray(count: test.width, scale: 1, random: &random)
    bias = StoredArray(count: test.width, scale: 1, random: &random)
  }

  func run(residual hasResidual: Bool = false, over target: Target = .own) -> Result {
    func copy(_ array: StoredArray) -> StoredArray {
      let result = StoredArray(array.storage, count: array.count)
      result.pointer.copyMemory(from: array.pointer, byteCount: array.bytes.count)
      return result
    }
    let (difference, residual) = (copy(difference), copy(residual))
    let own = StoredArray(test.storage, count: source.count)
    let result = Result(
      output: StoredArray(test.storage, count: source.count),
      source: target == .own ? own : target == .difference ? difference : residual,
      weight: StoredArray(count: test.width), bias: StoredArray(count: test.width))
    let (mean, inverse) = (StoredArray(count: test.rows), StoredArray(count: test.rows))
    fw_layer_norm_forward(
      test.storage, test.rows, test.width, source.pointer, weight.floats, bias.floats, epsilon, result.output.pointer,
      mean.floats, inverse.floats)
    fw_layer_norm_backward(
      test.storage, test.rows, test.width, source.pointer, weight.floats, mean.floats, inverse.floats,
      difference.pointer, hasResidual ? residual.pointer : nil, result.source.pointer, result.weight.floats,
      result.bias.floats)
    return result
  }

  func reference(residual hasResidual: Bool = false) -> (
    output: [Double], source: [Double], weight: [Double], bias: [Double]
  ) {
    let (x, d, w, b) = (source.values, difference.values, weight.values, bias.values)
    let width = Double(test.width)
    var (output, gradient) = ([Double](), [Double]())
    var toWeight = [Double](repeating: 0, count: test.width)
    var toBias = toWeight
    for row in 0..<test.rows {
      let range = row * test.width..<(row + 1) * test.width
      let mean = x[range].reduce(0, +) / width
      let variance = x[range].reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / width
      let inverse = 1 / (variance + Double(epsilon)).squareRoot()
      let u = x[range].map { ($0 - mean) * inverse }
      let g = zip(d[range], w).map { $0 * $1 }
      let flat = g.reduce(0, +) / width
      let slope = zip(g, u).reduce(0) { $0 + $1.0 * $1.1 } / width
      for i in 0..<test.width {
        output.append(u[i] * w[i] + b[i])
        gradient.append(inverse * (g[i] - flat - u[i] * slope) + (hasResidual ? residual[range.lowerBound + i] : 0))
        toWeight[i] += d[range.lowerBound + i] * u[i]
        toBias[i] += d[range.lowerBound + i]
      }
    }
    return (output, gradient, toWeight, toBias)
  }
}
