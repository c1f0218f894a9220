import CKernels
import Foundation
import Testing

/// GELU, SiLU and dropout over flat arrays, against their definitions in double precision.
struct SmoothActivationKernelTests {
  struct Case: CustomTestStringConvertible, Sendable {
    var activation = FW_SMOOTH_GELU_TANH
    var storage = FW_FLOAT32
    var dropout: fw_dropout?
    /// Of an example: whole blocks of random bits, and not even a whole vector at the end.
    var count = 2 * 64 + 37

    var testDescription: String {
      "activation \(activation.rawValue)" + (storage == FW_FLOAT32 ? "" : ", bfloat16")
        + (dropout == nil ? "" : ", dropout") + ", \(count) elements"
    }
  }

  static let cases = [FW_SMOOTH_GELU_ERF, FW_SMOOTH_GELU_TANH, FW_SMOOTH_SILU].flatMap { activation in
    [FW_FLOAT32, FW_BFLOAT16].flatMap { storage in
      [nil, fw_dropout.some].flatMap { dropout in
        [2 * 64 + 37, 64, 1].map {
          Case(activation: activation, storage: storage, dropout: dropout, count: $0)
        }
      }
    }
  }

  /// An activation and its derivative.
  static func definition(_ activation: fw_smooth, _ x: Double) -> (value: Double, slope: Double) {
    switch activation {
    case FW_SMOOTH_GELU_ERF:
      let phi = erfc(-x / 2.0.squareRoot()) / 2
      return (x * phi, phi + x * exp(-x * x / 2) / (2 * Double.pi).squareRoot())
    case FW_SMOOTH_GELU_TANH:
      let root = (2 / Double.pi).squareRoot()
      let t = tanh(root * (x + 0.044715 * x * x * x))
      return (x / 2 * (1 + t), (1 + t) / 2 + x / 2 * (1 - t * t) * root * (1 + 3 * 0.044715 * x * x))
    default:
      let s = 1 / (1 + exp(-x))
      return (x * s, s + x * s * (1 - s))
    }
  }

  @Test(arguments: cases)
  func valuesAndDerivativesFollowTheDefinition(_ test: Case) {
    let examples = 3
    var random = SplitMix(state: 3)
    let source = StoredArray(test.storage, count: examples * test.count, scale: 6, random: &random)
    let values = StoredArray(test.storage, count: source.count)
    let slopes = StoredArray(test.storage, count: source.count)
    let expected = source.values.map { Self.definition(test.activation, $0) }
    withDropout(test.dropout) { dropout in
      fw_smooth_forward(
        test.activation, test.storage, source.pointer, values.pointer, slopes.pointer, examples, test.count, 9, dropout)
    }
    let factors = dropoutFactors(test.dropout, examples: examples, count: test.count, firstExample: 9)
    let tolerance = test.storage == FW_FLOAT32 ? 2e-6 : 1.0 / 256
    for i in 0..<source.count {
      // The second term: a derivative is small as the difference of two numbers that are not.
      let (value, slope) = (expected[i].value * factors[i], expected[i].slope * factors[i])
      #expect(abs(values[i] - value) <= tolerance * max(abs(value), 1))
      #expect(abs(slopes[i] - slope) <= tolerance * max(abs(slope), 1))
      if factors[i] == 0 { #expect(values[i] == 0 && slopes[i] == 0) }
    }
    #expect(values.isGuardIntact && slopes.isGuardIntact)

    // Over the source, or not at all.
    let again = StoredArray(test.storage, count: source.count)
    let second = StoredArray(test.storage, count: source.count)
    withDropout(test.dropout) { dropout in
      fw_smooth_forward(
        test.activation, test.storage, source.pointer, again.pointer, nil, examples, test.count, 9, dropout)
      fw_smooth_forward(
        test.activation, test.storage, source.pointer, second.pointer, source.pointer, examples, test.count, 9, dropout)
    }
    #expect(again.bytes == values.bytes && second.bytes == values.bytes && source.bytes == slopes.bytes)
  }

  /// Far out, where a tanh is -1 and an error function 0 in float32, what is small is right all the same; further out
  /// it is nothing, but still finite and no larger than what the exponential's end leaves.
  @Test(arguments: [FW_SMOOTH_GELU_ERF, FW_SMOOTH_GELU_TANH, FW_SMOOTH_SILU])
  func tailsAreRight(_ activation: fw_smooth) {
    let source = StoredArray(count: 6)
    for (i, x) in [-4.0, -5, -6, -100, 100, 1e30].enumerated() { source[i] = x }
    let values = StoredArray(count: source.count)
    let slopes = StoredArray(count: source.count)
    fw_smooth_forward(
      activation, FW_FLOAT32, source.pointer, values.pointer, slopes.pointer, 1, source.count, 0, nil)
    for i in 0..<3 {
      let expected = Self.definition(activation, source[i])
      #expect(abs(values[i] - expected.value) <= 1e-5 * abs(expected.value))
      #expect(abs(slopes[i] - expected.slope) <= 1e-5 * abs(expected.slope))
    }
    #expect(abs(values[3]) < 1e-30 && abs(slopes[3]) < 1e-30)
    #expect(values[4] == source[4] && slopes[4] == 1)
    #expect(values[5] == source[5])
  }

  @Test(arguments: [FW_SMOOTH_GELU_ERF, FW_SMOOTH_GELU_TANH, FW_SMOOTH_SILU], [FW_FLOAT32, FW_BFLOAT16])
  func notANumberComesThrough(_ activation: fw_smooth, _ storage: fw_storage) {
    let (source, values) = (StoredArray(storage, count: 17), StoredArray(storage, count: 17))  // all not-a-number
    source[3] = 1
    fw_smooth_forward(activation, storage, source.pointer, values.pointer, nil, 1, 17, 0, nil)
    #expect((0..<17).allSatisfy { values[$0].isNaN == ($0 != 3) })
  }

  @Test(arguments: [FW_FLOAT32, FW_BFLOAT16], [nil, fw_dropout.some])
  func dropoutIsAddedToAResidual(_ storage: fw_storage, _ drops: fw_dropout?) {
    let (examples, count) = (3, 64 + 29)
    var random = SplitMix(state: 4)
    let source = StoredArray(storage, count: examples * count, scale: 1, random: &random)
    let residual = StoredArray(storage, count: source.count, scale: 1, random: &random)
    let sum = StoredArray(storage, count: source.count)
    let alone = StoredArray(storage, count: source.count)
    withDropout(drops) { dropout in
      fw_dropout_add(storage, source.pointer, residual.pointer, sum.pointer, examples, count, 9, dropout)
      fw_dropout_add(storage, source.pointer, nil, alone.pointer, examples, count, 9, dropout)
    }
    let factors = dropoutFactors(drops, examples: examples, count: count, firstExample: 9)
    let kept: [Double] = zip(source.values, factors).map { $0 * $1 }
    let tolerance = storage == FW_FLOAT32 ? 1e-7 : 1.0 / 256
    #expect(largestError(alone.values, kept) <= tolerance)
    let added: [Double] = zip(kept, residual.values).map { $0 + $1 }
    #expect(largestError(sum.values, added) <= tolerance)
    #expect(alone.isGuardIntact && sum.isGuardIntact)
  }

  @Test(arguments: [FW_FLOAT32, FW_BFLOAT16], [1, 16, 33])
  func productsGoElementByElement(_ storage: fw_storage, _ count: Int) {
    var random = SplitMix(state: 4)
    let a = StoredArray(storage, count: count, scale: 1, random: &random)
    let b = StoredArray(storage, count: count, scale: 1, random: &random)
    let expected = StoredArray(storage, count: count)
    for i in 0..<count { expected[i] = a[i] * b[i] }  // exact in double, and rounded once
    fw_multiply(storage, a.pointer, b.pointer, a.pointer, count)
    #expect(a.bytes == expected.bytes && a.isGuardIntact)
  }
}
