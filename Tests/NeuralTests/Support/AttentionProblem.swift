import CKernels
import Foundation

/// Operands of one call of the attention kernels, and what the definition makes of them.
struct AttentionProblem {
  struct Result {
    var output: StoredArray
    var gradient: StoredArray
    var probabilities: StoredArray
    var workspace: StoredArray
  }

  private(set) var test: AttentionKernelTests.Case
  /// [examples][tokens][3][heads][width]
  private(set) var projections: StoredArray
  /// The gradient of the output: [examples][tokens][heads][width].
  private(set) var difference: StoredArray

  init(_ test: AttentionKernelTests.Case, scale: Float = 2) {
    self.test = test
    var random = SplitMix(state: 5)
    let count = test.examples * test.tokens * test.heads * test.width
    projections = StoredArray(test.storage, count: 3 * count, scale: scale, random: &random)
    difference = StoredArray(test.storage, count: count, scale: 1, random: &random)
  }

  mutating func keep(example: Int) {
    func part(_ array: StoredArray) -> StoredArray {
      let result = StoredArray(array.storage, count: array.count / test.examples)
      for i in 0..<result.count { result[i] = array[example * result.count + i] }
      return result
    }
    (projections, difference) = (part(projections), part(difference))
    test.examples = 1
  }

  func run(firstExample: UInt64 = 100, keepsProbabilities: Bool = true) -> Result {
    var shape = test.shape
    let result = Result(
      output: StoredArray(test.storage, count: difference.count),
      gradient: StoredArray(test.storage, count: projections.count),
      probabilities: StoredArray(count: fw_attention_probabilities(&shape)),
      workspace: StoredArray(count: fw_attention_workspace(&shape)))
    withDropout(test.dropout) { dropout in
      fw_attention_forward(
        &shape, projections.pointer, result.output.pointer, keepsProbabilities ? result.probabilities.floats : nil,
        firstExample, dropout, result.workspace.floats)
      guard keepsProbabilities else { return }
      fw_attention_backward(
        &shape, projections.pointer, result.probabilities.floats, difference.pointer, result.gradient.pointer, dropout,
        result.workspace.floats)
    }
    return result
  }

  func reference() -> (output: [Double], gradient: [Double]) { reference(projections.values) }

  /// The sum of the output times `difference`, whose gradient `reference()` gives.
  func loss(_ inputs: [Double]) -> Double {
    zip(reference(inputs).output, difference.values).reduce(0) { $0 + $1.0 * $1.1 }
  }

  private func reference(_ x: [Double]) -> (output: [Double], gradient: [Double]) {
    let (tokens, width, model) = (test.tokens, test.width, test.heads * test.width)
    let factor = 1 / Double(width).squareRoot()
    let mask = dropoutFactors(
      test.dropout, examples: test.examples, count: test.heads * tokens * tokens, firstExample: 100)
    let out = difference.values
    var output = [Double](repeating: 0, count: out.count)
    var gradient = [Double](repeating: 0, count: x.count)
    for n in 0..<test.examples {
      for head in 0..<test.heads {
        // Where the elements of one token's query (0), key (1) and value (2), and of its output, begin.
        func input(_ kind: Int, _ token: Int) -> Int { ((n * tokens + token) * 3 + kind) * model + head * width }
        func result(_ token: Int) -> Int { (n * tokens + token) * model + head * width }
        func product(_ a: [Double], _ i: Int, _ b: [Double], _ j: Int) -> Double {
          (0..<width).reduce(0) { $0 + a[i + $1] * b[j + $1] }
        }
        for i in 0..<tokens {
          let scores = (0..<tokens).map { factor * product(x, input(0, i), x, input(1, $0)) }
          let peak = scores.reduce(-Double.infinity, max)
          let powers = scores.map { exp($0 - peak) }
          let sum = powers.reduce(0, +)
          let p = powers.map { $0 / sum }
          let kept = (0..<tokens).map { mask[((n * test.heads + head) * tokens + i) * tokens + $0] }
          let slopes = (0..<tokens).map { kept[$0] * product(out, result(i), x, input(2, $0)) }
          let mean = (0..<tokens).reduce(0) { $0 + p[$1] * slopes[$1] }
          for j in 0..<tokens {
            let slope = factor * p[j] * (slopes[j] - mean)
            for c in 0..<width {
              output[result(i) + c] += p[j] * kept[j] * x[input(2, j) + c]
              gradient[input(0, i) + c] += slope * x[input(1, j) + c]
              gradient[input(1, j) + c] += slope * x[input(0, i) + c]
              gradient[input(2, j) + c] += p[j] * kept[j] * out[result(i) + c]
            }
          }
        }
      }
    }
    return (output, gradient)
  }
}
