import CKernels
import Testing

/// Rows of tokens: where each element goes, forward and back.
struct TokenKernelTests {
  static let storages = [FW_FLOAT32, FW_BFLOAT16]
  /// Examples, tokens, width.
  static let shapes = [[3, 4, 16], [1, 1, 1], [2, 5, 19], [65, 3, 7]]

  @Test(arguments: storages, shapes)
  func aTokenGoesInFront(_ storage: fw_storage, _ shape: [Int]) {
    let (examples, tokens, width) = (shape[0], shape[1], shape[2])
    var random = SplitMix(state: 6)
    let token = StoredArray(count: width, scale: 1, random: &random)
    let rounded = StoredArray(storage, count: width)
    for i in 0..<width { rounded[i] = token[i] }
    let source = StoredArray(storage, count: examples * tokens * width, scale: 1, random: &random)
    let result = StoredArray(storage, count: examples * (1 + tokens) * width)
    fw_tokens_prepend(storage, examples, tokens, width, token.floats, source.pointer, result.pointer)
    var expected: [Double] = []
    for n in 0..<examples {
      expected += rounded.values
      expected += source.values[n * tokens * width..<(n + 1) * tokens * width]
    }
    #expect(result.values == expected && result.isGuardIntact)

    let back = StoredArray(storage, count: source.count)
    fw_tokens_prepend_backward(storage, examples, tokens, width, result.pointer, back.pointer)
    #expect(back.bytes == source.bytes && back.isGuardIntact)
  }

  @Test(arguments: storages, shapes)
  func oneTokenIsSelected(_ storage: fw_storage, _ shape: [Int]) {
    let (examples, tokens, width) = (shape[0], shape[1], shape[2])
    var random = SplitMix(state: 6)
    let source = StoredArray(storage, count: examples * tokens * width, scale: 1, random: &random)
    for token in 0..<tokens {
      let result = StoredArray(storage, count: examples * width)
      fw_tokens_select(storage, examples, tokens, width, token, source.pointer, result.pointer)
      let back = StoredArray(storage, count: source.count)
      fw_tokens_select_backward(storage, examples, tokens, width, token, result.pointer, back.pointer)
      for i in 0..<source.count {
        let (n, t, c) = (i / (tokens * width), i / width % tokens, i % width)
        if t == token { #expect(result[n * width + c] == source[i]) }
        #expect(back[i] == (t == token ? source[i] : 0))
      }
      #expect(result.isGuardIntact && back.isGuardIntact)
    }
  }

  @Test(arguments: storages, shapes)
  func tablesAreAddedAndGradientsSummed(_ storage: fw_storage, _ shape: [Int]) {
    let (examples, count) = (shape[0], shape[1] * shape[2])
    var random = SplitMix(state: 6)
    let source = StoredArray(storage, count: examples * count, scale: 1, random: &random)
    let table = StoredArray(count: count, scale: 1, random: &random)
    let result = StoredArray(storage, count: source.count)
    fw_add_to_examples(storage, examples, count, source.pointer, table.floats, result.pointer)
    let tolerance = storage == FW_FLOAT32 ? 1e-7 : 1.0 / 256
    let sums: [Double] = (0..<source.count).map { source[$0] + table[$0 % count] }
    #expect(largestError(result.values, sums) <= tolerance)

    // All of an example, and its first row alone, as for a class token.
    for part in [count, shape[2]] {
      let sum = StoredArray(count: part)
      fw_sum_over_examples(storage, examples, count, part, source.pointer, sum.floats)
      var expected = [Double](repeating: 0, count: part)
      for n in 0..<examples {
        for i in 0..<part { expected[i] += source[n * count + i] }
      }
      #expect(largestError(sum.values, expected) < 1e-6 && sum.isGuardIntact)
    }
    #expect(result.isGuardIntact)
  }
}
