/// A stream of random 32-bit words that is a pure function of a key and a counter: Philox4x32-10 of Salmon, Moraes,
/// Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), with its published round and key constants.
///
/// Streams of different (key, domain, subject) never share a block, so an example or an epoch has its own stream,
/// whoever computes it, in whatever order, on however many ranks.
struct Philox {
  /// What a stream is for; part of the counter, so that two purposes never draw the same block.
  enum Domain: UInt32, CaseIterable {
    case permutation = 0
    case trainLabels, testLabels
    case trainImages, testImages
    case choiceWeights
    case trainChoices, testChoices
    case augmentation
    case trainShapeLabels, testShapeLabels
    case trainShapes, testShapes
    case trainShapeNoise, testShapeNoise
  }

  private let key0: UInt32
  private let key1: UInt32
  /// Block number (0), domain (1), subject (2, 3).
  private var counter: (UInt32, UInt32, UInt32, UInt32)
  private var words: (UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0)
  private var used = 4

  /// - Parameters:
  ///   - seed: the key.
  ///   - domain: what the stream is for.
  ///   - subject: the epoch, the example's index in its split, or both.
  init(seed: UInt64, domain: Domain, subject: UInt64) {
    key0 = UInt32(truncatingIfNeeded: seed)
    key1 = UInt32(truncatingIfNeeded: seed >> 32)
    counter = (0, domain.rawValue, UInt32(truncatingIfNeeded: subject), UInt32(truncatingIfNeeded: subject >> 32))
  }

  /// The ten rounds, on one block.
  static func block(
    key: (UInt32, UInt32), counter: (UInt32, UInt32, UInt32, UInt32)
  ) -> (UInt32, UInt32, UInt32, UInt32) {
    var (k0, k1) = key
    var (c0, c1, c2, c3) = counter
    var round = 0
    while round < 10 {
      let product0 = 0xD251_1F53 &* UInt64(c0)
      let product1 = 0xCD9E_8D57 &* UInt64(c2)
      c0 = UInt32(truncatingIfNeeded: product1 >> 32) ^ c1 ^ k0
      c1 = UInt32(truncatingIfNeeded: product1)
      c2 = UInt32(truncatingIfNeeded: product0 >> 32) ^ c3 ^ k1
      c3 = UInt32(truncatingIfNeeded: product0)
      k0 = k0 &+ 0x9E37_79B9
      k1 = k1 &+ 0xBB67_AE85
      round += 1
    }
    return (c0, c1, c2, c3)
  }

  /// The next four words at once; words left over from single draws are skipped.
  mutating func nextBlock() -> (UInt32, UInt32, UInt32, UInt32) {
    let result = Philox.block(key: (key0, key1), counter: counter)
    counter.0 &+= 1  // 2^32 blocks: 2^34 words, more than any one epoch or image draws
    used = 4
    return result
  }

  /// The next word, uniform over all 2^32.
  mutating func next() -> UInt32 {
    if used == 4 {
      words = nextBlock()
      used = 0
    }
    used += 1
    switch used {
    case 1: return words.0
    case 2: return words.1
    case 3: return words.2
    default: return words.3
    }
  }

  /// Uniform over 0 ..< bound without bias, `bound` at least 1: Lemire's multiply-and-reject ("Fast random integer
  /// generation in an interval", ACM TOMACS 2019), which divides only when it comes close to rejecting.
  mutating func next(below bound: UInt32) -> UInt32 {
    var product = UInt64(next()) &* UInt64(bound)
    if UInt32(truncatingIfNeeded: product) < bound {
      let threshold = (0 &- bound) % bound
      while UInt32(truncatingIfNeeded: product) < threshold { product = UInt64(next()) &* UInt64(bound) }
    }
    return UInt32(truncatingIfNeeded: product >> 32)
  }

  /// Uniform over [-1, 1) in steps of 2^-23, exact in a Float.
  mutating func signedUnit() -> Float {
    Float(Int32(bitPattern: next()) >> 8) * 0x1p-23
  }

  /// Uniform over [low, high).
  mutating func uniform(_ low: Float, _ high: Float) -> Float {
    low + (high - low) * (Float(next() >> 8) * 0x1p-24)
  }

  /// Over (-1, 1), most often near 0: the difference of two uniform draws, a triangle of standard deviation about
  /// 0.41.
  mutating func bell() -> Float {
    let word = next()
    return Float(Int32(word >> 16) - Int32(word & 0xffff)) * 0x1p-16
  }
}
