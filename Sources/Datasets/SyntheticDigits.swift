/// Digits that are drawn rather than collected, for when no data set is at hand: strokes with jittered control points,
/// elastic and affine distortion, varying pens, inks and noise, 28×28 grey, ten classes, like MNIST.
///
/// Each example is a function of (seed, split, index) alone, the same bytes on every machine, so any part of the set
/// can be made by itself, and training and test examples never share a random draw. Classes are exactly balanced:
/// examples 10 b ..< 10 b + 10 hold each digit once, in random order.
///
/// They are about as hard as MNIST: trained on the default sizes, a linear (softmax) classifier gets 89 to 91 of 100
/// test images right, and the network of the MNIST example more than 99 after one epoch. Drawing all 70,000 takes about
/// a second on one core.
public enum SyntheticDigits {
  /// Which of the two sets.
  public enum Split: String, Sendable, CaseIterable {
    /// The examples to train on.
    case train
    /// The examples to evaluate on.
    case test
  }

  /// Height and width of an image.
  public static let imageSide = DigitRenderer.size

  /// Makes both sets.
  ///
  /// - Parameters:
  ///   - train: examples in the training set, 1 to 2^32 - 1.
  ///   - test: examples in the test set, 1 to 2^32 - 1.
  ///   - seed: two seeds give two unrelated sets.
  /// - Throws: ``DatasetError`` if a number is impossible.
  public static func make(
    train: Int = 60_000, test: Int = 10_000, seed: UInt64 = 0
  ) throws -> (train: LabeledImages, test: LabeledImages) {
    // A range cannot be made of a negative number, so that is refused first.
    guard train > 0, test > 0 else {
      throw DatasetError(
        .argument,
        "\(train) training examples and \(test) test examples of synthetic digits; at least one of each was expected")
    }
    return (
      train: try make(.train, examples: 0..<train, seed: seed), test: try make(.test, examples: 0..<test, seed: seed)
    )
  }

  /// Makes some consecutive examples of one set, the same ones as in the whole set.
  ///
  /// - Parameters:
  ///   - split: training or test set.
  ///   - examples: indices in that set, at least one.
  ///   - seed: two seeds give two unrelated sets.
  /// - Throws: ``DatasetError`` if the range is empty or goes beyond 32 bits.
  public static func make(_ split: Split, examples: Range<Int>, seed: UInt64 = 0) throws -> LabeledImages {
    guard !examples.isEmpty, examples.lowerBound >= 0, examples.upperBound <= UInt32.max else {
      throw DatasetError(
        .argument,
        "synthetic digits \(examples.lowerBound) ..< \(examples.upperBound); at least one was expected, "
          + "with indices of at most 32 bits")
    }
    let imageSize = imageSide * imageSide
    let images = try ByteStorage.allocate(examples.count * imageSize)
    let labels = try ByteStorage.allocate(examples.count)
    render(split, examples: examples, seed: seed, images: images.memory, labels: labels.memory)
    return try LabeledImages(
      name: "synthetic digits, \(split == .train ? "training" : "test") set (drawn from seed \(seed))",
      images: ByteView(images.finish()), labels: ByteView(labels.finish()),
      channels: 1, height: imageSide, width: imageSide, classCount: 10)
  }

  /// Draws consecutive examples into memory of the caller, for instance each rank its part of a shared window.
  ///
  /// - Parameters:
  ///   - split: training or test set.
  ///   - examples: indices in that set, from 0.
  ///   - seed: two seeds give two unrelated sets.
  ///   - images: receives `examples.count` × 28 × 28 bytes.
  ///   - labels: receives `examples.count` bytes, 0 to 9.
  public static func render(
    _ split: Split, examples: Range<Int>, seed: UInt64,
    images: UnsafeMutablePointer<UInt8>, labels: UnsafeMutablePointer<UInt8>
  ) {
    var renderer = DigitRenderer()
    var block = -1
    var digits: [UInt8] = []
    for example in examples {
      if example / 10 != block {
        block = example / 10
        digits = shuffledDigits(split, block: block, seed: seed)
      }
      let digit = digits[example % 10]
      let position = example - examples.lowerBound
      labels[position] = digit
      var random = Philox(seed: seed, domain: split.imageDomain, subject: UInt64(example))
      renderer.draw(Int(digit), &random, into: images + position * imageSide * imageSide)
    }
  }

  /// The ten digits in the order in which the examples 10 × block ..< 10 × block + 10 show them.
  static func shuffledDigits(_ split: Split, block: Int, seed: UInt64) -> [UInt8] {
    shuffledClasses(domain: split.labelDomain, block: block, seed: seed)
  }
}

/// 0 to 9 in the order in which the examples 10 × block ..< 10 × block + 10 of a synthetic set show them.
func shuffledClasses(domain: Philox.Domain, block: Int, seed: UInt64) -> [UInt8] {
  var random = Philox(seed: seed, domain: domain, subject: UInt64(block))
  var classes: [UInt8] = Array(0..<10)
  for last in stride(from: 9, to: 0, by: -1) {
    classes.swapAt(last, Int(random.next(below: UInt32(last + 1))))
  }
  return classes
}

extension SyntheticDigits.Split {
  /// Where the split's image streams lie.
  var imageDomain: Philox.Domain { self == .train ? .trainImages : .testImages }
  /// Where the split's label streams lie.
  var labelDomain: Philox.Domain { self == .train ? .trainLabels : .testLabels }
}
