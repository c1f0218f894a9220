/// Colour images that are drawn rather than collected, for when no data set is at hand: one of ten shapes in any
/// colour, size, place and direction, before a cloudy, spotted and noisy background, 32×32, like CIFAR-10.
///
/// Each example is a function of (seed, split, index) alone, the same bytes on every machine, so any part of the set
/// can be made by itself, and training and test examples never share a random draw. Classes are exactly balanced:
/// examples 10 b ..< 10 b + 10 show each shape once, in random order.
///
/// Colours say nothing of the class, nor does any single pixel. Drawing all 60,000 takes about half a second on one
/// core, in debug builds too.
public enum SyntheticShapes {
  /// Which of the two sets.
  public typealias Split = SyntheticDigits.Split

  /// What the classes are, in the order of their labels.
  public static let classNames = [
    "disc", "ring", "square", "frame", "triangle", "cross", "star", "stripes", "checker", "crescent",
  ]

  /// Height and width of an image.
  public static let imageSide = ShapeRenderer.side

  /// Makes both sets.
  ///
  /// - Parameters:
  ///   - train: examples in the training set, 1 to 2^32 - 1.
  ///   - test: examples in the test set, 1 to 2^32 - 1.
  ///   - seed: two seeds give two unrelated sets.
  /// - Throws: ``DatasetError`` if a number is impossible.
  public static func make(
    train: Int = 50_000, test: Int = 10_000, seed: UInt64 = 0
  ) throws -> (train: LabeledImages, test: LabeledImages) {
    // A range cannot be made of a negative number, so that is refused first.
    guard train > 0, test > 0 else {
      throw DatasetError(
        .argument,
        "\(train) training examples and \(test) test examples of synthetic shapes; at least one of each was expected")
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
        "synthetic shapes \(examples.lowerBound) ..< \(examples.upperBound); at least one was expected, "
          + "with indices of at most 32 bits")
    }
    let images = try ByteStorage.allocate(examples.count * ShapeRenderer.imageSize)
    let labels = try ByteStorage.allocate(examples.count)
    render(split, examples: examples, seed: seed, images: images.memory, labels: labels.memory)
    return try LabeledImages(
      name: "synthetic shapes, \(split == .train ? "training" : "test") set (drawn from seed \(seed))",
      images: ByteView(images.finish()), labels: ByteView(labels.finish()),
      channels: 3, height: imageSide, width: imageSide, classCount: classNames.count)
  }

  /// Draws consecutive examples into memory of the caller, for instance each rank its part of a shared window.
  ///
  /// - Parameters:
  ///   - split: training or test set.
  ///   - examples: indices in that set, from 0.
  ///   - seed: two seeds give two unrelated sets.
  ///   - images: receives `examples.count` × 3 × 32 × 32 bytes.
  ///   - labels: receives `examples.count` bytes, 0 to 9.
  public static func render(
    _ split: Split, examples: Range<Int>, seed: UInt64,
    images: UnsafeMutablePointer<UInt8>, labels: UnsafeMutablePointer<UInt8>
  ) {
    var block = -1
    var classes: [UInt8] = []
    for example in examples {
      if example / 10 != block {
        block = example / 10
        classes = shuffledClasses(domain: split.shapeLabelDomain, block: block, seed: seed)
      }
      let label = classes[example % 10]
      let position = example - examples.lowerBound
      labels[position] = label
      ShapeRenderer.draw(
        label, split, example: example, seed: seed, into: images + position * ShapeRenderer.imageSize)
    }
  }
}

extension SyntheticDigits.Split {
  /// Where the split's shape streams lie.
  var shapeDomain: Philox.Domain { self == .train ? .trainShapes : .testShapes }
  /// Where the split's streams of noise over shapes lie.
  var shapeNoiseDomain: Philox.Domain { self == .train ? .trainShapeNoise : .testShapeNoise }
  /// Where the split's streams of shapes' labels lie.
  var shapeLabelDomain: Philox.Domain { self == .train ? .trainShapeLabels : .testShapeLabels }
}
